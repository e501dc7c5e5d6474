"""Real servers for this shelf: a Valkey, a PostgreSQL, both from wheels. Where a wheel does not exist the test skips, but not in CI."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.database import Database, migrate
from tests.receiver import Receiver


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'test.db'}"
        return
    yield request.getfixturevalue("postgres_database")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Each kind of database with its schema up."""
    migrate(database_url)
    opened = Database(database_url)
    yield opened
    opened.dispose()


@pytest.fixture
def receiver(home: Path, database_url: str) -> Iterator[Receiver]:
    home.mkdir()
    found = Receiver(home, database_url)
    yield found
    found.end()
