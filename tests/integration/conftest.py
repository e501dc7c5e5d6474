"""Real servers for this shelf: a Valkey, a PostgreSQL, both from wheels. Where a wheel does not exist the test skips, but not in CI."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from ingest.broker import server_command, socket_path
from ingest.database import Database, migrate
from tests.service import eventually


@pytest.fixture(scope="session")
def valkey() -> Iterator[str]:
    """The address of a running Valkey."""
    home = Path(tempfile.mkdtemp(prefix="vk-"))
    process = subprocess.Popen(
        server_command(home), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    url = f"unix://{socket_path(home)}"

    def answers() -> bool:
        try:
            return bool(redis.Redis.from_url(url).ping())
        except redis.RedisError:
            return False

    try:
        eventually(answers, 15, "Valkey to answer")
        yield url
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(home, ignore_errors=True)


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
