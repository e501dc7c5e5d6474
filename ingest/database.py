"""Engines and transactions. SQLite: WAL, ``BEGIN IMMEDIATE`` for writes; Postgres: READ COMMITTED and compare-and-set.

One transaction per unit of work, never an HTTP call inside one, ids and plain rows carried out of it.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError
from sqlmodel import Session

import ingest.models  # noqa: F401  (fills the metadata)
from ingest import clock
from ingest.home import network_filesystem
from ingest.settings import ConfigurationError

#: Longest wait for SQLite's one writer. Transactions are short; only a stuck disk comes near it.
_BUSY_MS = 30_000
_WRITE = "ingest_write"


class Database:
    """``with database.write() as session`` commits at the end; ``read()`` never does.

    The default driver mode of SQLite loses read-modify-write updates, and a deferred transaction that upgrades fails at once in
    spite of the busy timeout; so transactions begin explicitly, as IMMEDIATE where they will write.

    ``look_only``: nothing can be changed through it, the file's mode included, and nobody waits long.
    """

    def __init__(self, url: str, *, look_only: bool = False) -> None:
        self.url = url
        self.engine = _looking_engine(url) if look_only else _engine(url)
        self.is_sqlite = self.engine.dialect.name == "sqlite"

    @contextmanager
    def write(self) -> Iterator[Session]:
        with (
            self.engine.connect().execution_options(**{_WRITE: True}) as connection,
            _session(connection) as session,
            session.begin(),
        ):
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """All that is read in it is of one moment, on both databases."""
        with self._connect_to_read() as connection, _session(connection) as session:
            yield session

    def _connect_to_read(self) -> Connection:
        connection = self.engine.connect()
        return connection if self.is_sqlite else connection.execution_options(isolation_level="REPEATABLE READ")

    def follow_clock(self) -> None:
        """Go by the database's clock, where hosts share a database: theirs may differ."""
        if self.is_sqlite:
            return
        with self.engine.connect() as connection:
            asked = time.monotonic()
            shared = connection.execute(text("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")).scalar()
            clock.follow(int(shared or 0), (asked + time.monotonic()) / 2)

    def dispose(self) -> None:
        self.engine.dispose()


def _session(connection: Connection) -> Session:
    return Session(connection, expire_on_commit=False, autoflush=True)


class _HintingCompiler(SQLiteCompiler):
    """Lets ``with_hint(table, "INDEXED BY ...", "sqlite")`` through, which the dialect drops."""

    def get_from_hint_text(self, table: Any, text: str | None) -> str | None:
        return text


def _engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        # hide_parameters: errors end in logs, and rows hold what users sent.
        return create_engine(url, pool_pre_ping=True, pool_size=8, max_overflow=32, hide_parameters=True)
    # A file's pool must not make a thread wait for another's connection: SQLite's own lock is the queue.
    engine = create_engine(
        url,
        pool_size=8,
        max_overflow=64,
        hide_parameters=True,
        connect_args={"timeout": _BUSY_MS / 1000, "check_same_thread": False},
    )

    engine.dialect.statement_compiler = _HintingCompiler

    @event.listens_for(engine, "connect")
    def _connect(connection, _record) -> None:
        connection.isolation_level = None  # we begin ourselves
        cursor = connection.cursor()
        mode = cursor.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != "wal":
            raise ConfigurationError(
                f"SQLite cannot use WAL here (journal_mode is {mode}); put INGEST_HOME on a local disk or use Postgres."
            )
        # FULL: a submission row must survive a power cut that comes after the bytes left.
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITE)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


#: Longest wait of those who only look: for a connection, a lock, an answer.
_LOOK_SECONDS = 4


def _looking_engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        engine = create_engine(url, hide_parameters=True, connect_args={"connect_timeout": _LOOK_SECONDS})

        @event.listens_for(engine, "connect")
        def _postgres(connection, _record) -> None:
            # Statements, not start-up options: a pooler would refuse those.
            connection.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
            connection.execute(f"SET statement_timeout = '{_LOOK_SECONDS}s'")
            connection.commit()

        return engine
    path = Path(make_url(url).database or "").absolute()
    engine = create_engine(
        url,
        hide_parameters=True,
        # rw: a reader alone could not clean up the log that it opens. A file that is not there is not made.
        creator=lambda: sqlite3.connect(
            f"{path.as_uri()}?mode=rw", uri=True, timeout=_LOOK_SECONDS, check_same_thread=False, isolation_level=None
        ),
    )
    engine.dialect.statement_compiler = _HintingCompiler

    @event.listens_for(engine, "connect")
    def _sqlite(connection, _record) -> None:
        connection.execute("PRAGMA query_only=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


_upgrade_lock = threading.Lock()
_MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"


def alembic_config(url: str) -> Any:
    from alembic.config import Config  # a third of a second, and hardly ever needed

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["url"] = url
    return config


def migrate(url: str) -> tuple[str | None, str]:
    """Bring the schema up; (revision before, revision after). Safe when several parts start at once."""
    before, head = revisions(url)
    if before is not None and before > head:
        raise ConfigurationError(
            f"The database has schema {before}, which is newer than this program ({head}); "
            "install the newer version again, or restore a backup"
        )
    if before != head:
        from alembic import command  # a third of a second, and hardly ever needed

        with _upgrade_lock:
            command.upgrade(alembic_config(url), "head")
    return before, head


def revisions(url: str) -> tuple[str | None, str]:
    """(what the database has, what the code needs); ConfigurationError if the database cannot be opened."""
    engine = _engine(url)
    try:
        with engine.connect() as connection:
            there = inspect(connection).has_table("alembic_version")
            current = connection.execute(text("SELECT version_num FROM alembic_version")).scalar() if there else None
    except DatabaseError as error:
        raise ConfigurationError(
            f"The database cannot be opened ({engine.url.set(query={})}): {str(error.orig).strip()}"
        ) from None
    finally:
        engine.dispose()
    return current, head_revision()


def head_revision() -> str:
    """The newest revision: file names begin with their revision, counted up."""
    return max(path.name for path in (_MIGRATIONS / "versions").glob("[0-9]*_*.py")).partition("_")[0]


def open_database(url: str) -> Database:
    """The database with its schema up to date. ConfigurationError where SQLite would not be safe."""
    path = make_url(url).database
    if url.startswith("sqlite") and path and (kind := network_filesystem(Path(path).absolute())):
        raise ConfigurationError(
            f"{path} lies on a network file system ({kind}), where SQLite gets corrupted; "
            "put INGEST_HOME on a local disk, or set INGEST_DATABASE_URL to a PostgreSQL"
        )
    migrate(url)
    database = Database(url)
    database.follow_clock()
    return database
