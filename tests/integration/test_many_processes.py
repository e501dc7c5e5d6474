"""Eight processes on the same rows: no lost update, no "database is locked", no deadlock, on both databases."""

import multiprocessing
from collections import Counter
from multiprocessing.synchronize import Barrier

import pytest
from sqlalchemy import select, update

from ingest import queries, store
from ingest.clock import now_ms
from ingest.database import Database
from ingest.lanes import Lane
from ingest.models import PRIVATE, Item, Job
from ingest.sources.found import Found, Kind
from ingest.statuses import News

pytestmark = pytest.mark.integration

_PROCESSES, _ROUNDS, _ROWS = 8, 40, 12
_item = Item.__table__  # type: ignore[attr-defined]


def _count_up(url: str, start: Barrier, number: int) -> None:
    """Read a row, add one, write it; rows in an order of its own, two of them a transaction."""
    database = Database(url)
    start.wait(30)
    for turn in range(_ROUNDS):
        first = (turn * (number + 1)) % _ROWS + 1
        second = (turn * (number + 5)) % _ROWS + 1
        with database.write() as session:
            for row in sorted({first, second}):
                query = select(_item.c.asked).where(_item.c.id == row).with_for_update()
                asked = session.execute(query).scalar_one()
                session.execute(update(_item).where(_item.c.id == row).values(asked=asked + 1))
    database.dispose()


def _work(url: str, start: Barrier, number: int) -> None:
    """The life of items: claimed, accepted, ready; while others do the same and sweep."""
    database = Database(url)
    start.wait(30)
    while True:
        with database.write() as session:
            claimed = store.claim(session, Lane.UPLOAD, "account", 60)
        if claimed is None:
            break
        with database.write() as session:
            video = f"VI{claimed.items[0].id}"
            store.accepted(session, claimed, video_no=video, task_id=None, sent_at=now_ms(), due_at=0)
        with database.write() as session:
            store.expire_leases(session, 60.0)
            store.make_due(session, list(claimed.fences))
            for item in claimed.fences:
                store.tell(session, item, News.READY)
    database.dispose()


def _run(target, url: str) -> None:  # type: ignore[no-untyped-def]
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(_PROCESSES)
    processes = [context.Process(target=target, args=(url, start, number)) for number in range(_PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * _PROCESSES


def _fill(database: Database, rows: int) -> None:
    found = [Found(Kind.LINK, f"https://x/{n}", key=f"link:{n}") for n in range(rows)]
    with database.write() as session:
        job = store.add_job(session, "add", ["x"], "default", PRIVATE)
        store.add_items(session, session.get_one(Job, job), found, {})


def test_no_update_is_lost(database: Database, database_url: str) -> None:
    _fill(database, _ROWS)
    _run(_count_up, database_url)
    expected: Counter[int] = Counter()
    for number in range(_PROCESSES):
        for turn in range(_ROUNDS):
            expected.update({(turn * (number + 1)) % _ROWS + 1, (turn * (number + 5)) % _ROWS + 1})
    with database.read() as session:
        assert {item.id: item.asked for item in queries.items(session)} == dict(expected)


def test_every_item_lives_once(database: Database, database_url: str) -> None:
    _fill(database, 160)
    _run(_work, database_url)
    with database.read() as session:
        assert {(item.status, item.attempts) for item in queries.items(session)} == {("PARSE", 1)}
        assert queries.counts(session)["PARSE"] == 160
