"""Several beats begin the runs of creators, one of them killed again and again: no due time is run twice, and none is missed."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select, update

from ingest import clock, creators, following, queries
from ingest.creators import Words
from ingest.database import Database
from ingest.models import Creator, Item, Run
from ingest.statuses import News
from ingest.store import tell
from tests.service import eventually

pytestmark = pytest.mark.integration

_creator = Creator.__table__  # type: ignore[attr-defined]

#: A beat: it begins what is due, and ends what has come to its end.
_BEAT = """
import sys, time
from ingest import following
from ingest.database import Database
database = Database(sys.argv[1])
while True:
    with database.write() as session:
        following.take_due(session)
    with database.write() as session:
        following.end_vendor_runs(session)
    time.sleep(0.01)
"""
_CREATORS, _TIMES = 10, 20


def _beat(url: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", _BEAT, url], start_new_session=True, stderr=subprocess.DEVNULL)


def _answer(database: Database) -> None:
    """Every look is over at once: it was there and brought nothing."""
    with database.write() as session:
        open_ = select(Item.id).where(Item.kind == "creator", Item.status == "QUEUED")
        for number in session.execute(open_).scalars().all():
            tell(session, number or 0, News.READY)


def _next_time(database: Database, due: dict[int, list[int]], at: int) -> None:
    """Creators whose run is over are due at a new time, long past; each of these times must become one run."""
    with database.write() as session:
        for number, times in due.items():
            idle = update(_creator).where(
                _creator.c.id == number, _creator.c.running_id.is_(None), _creator.c.next_run_at > at
            )
            if len(times) < _TIMES and session.execute(idle.values(next_run_at=at + len(times))).rowcount:  # type: ignore[attr-defined]
                times.append(at + len(times))


def test_two_hundred_due_times_become_two_hundred_runs_while_beats_are_killed(database: Database) -> None:
    for number in range(_CREATORS):
        creators.follow(database, Words(f"https://www.tiktok.com/@beat.{number}", every="1d"))
    with database.write() as session:
        session.execute(update(_creator).values(next_run_at=2**50))
    draw, due, kills = random.Random(4), {number: list[int]() for number in range(1, _CREATORS + 1)}, 0
    url = database.engine.url.render_as_string(hide_password=False)
    beats = [_beat(url) for _ in range(2)]
    killed_at = time.monotonic() + 2
    try:

        def through() -> bool:
            nonlocal kills, killed_at
            _next_time(database, due, 1_700_000_000_000)
            _answer(database)
            if time.monotonic() > killed_at:
                os.killpg(beats[0].pid, signal.SIGKILL)
                beats[0].wait()
                beats[0] = _beat(url)
                kills, killed_at = kills + 1, time.monotonic() + draw.uniform(1.0, 2.5)
            with database.read() as session:
                ended = session.execute(select(func.count()).select_from(Run).where(Run.state == "done")).scalar()
            return ended == _CREATORS * _TIMES

        eventually(through, 150, "all due times to be run")
    finally:
        for one in beats:
            os.killpg(one.pid, signal.SIGKILL)
            one.wait()
    with database.read() as session:
        ran = Counter((one.creator_id, one.due_at) for one in session.execute(select(Run)).scalars())
        items = Counter(one.id for one in session.execute(select(Item)).scalars())
        carried = [one.item_id for one in session.execute(select(Run)).scalars()]
    assert ran == Counter((number, at) for number, times in due.items() for at in times)
    assert len(carried) == len(set(carried)) == len(items) == _CREATORS * _TIMES
    assert kills >= 1


# The clock


def _at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("now", "following_run"),
    [
        # The day that has 23 hours, and the one that has 25: six o'clock in Berlin is six o'clock.
        ("2026-03-28T05:00:01", "2026-03-29T04:00:00"),
        ("2026-10-24T04:00:01", "2026-10-25T05:00:00"),
    ],
)
def test_the_next_look_is_at_the_same_hour_on_both_edges_of_daylight_saving(
    database: Database, now: str, following_run: str
) -> None:
    creators.follow(database, Words("https://www.tiktok.com/@demo", cron="0 6 * * *", zone="Europe/Berlin"))
    frozen = _at(now)
    with database.write() as session:
        session.execute(update(_creator).values(next_run_at=frozen - 1000, created_at=frozen - 10**9))
    clock.follow(frozen, time.monotonic())
    with database.write() as session:
        (run,) = following.take_due(session)
    with database.read() as session:
        one = creators.get(session, 1)
    assert (run.due_at, one.next_run_at) == (frozen - 1000, _at(following_run))


def test_after_downtime_one_look_is_owed_and_not_those_that_were_missed(database: Database) -> None:
    creators.follow(database, Words("https://www.tiktok.com/@demo", every="1h"))
    with database.write() as session:
        session.execute(update(_creator).values(next_run_at=_creator.c.next_run_at - 7 * 3600 * 1000))
    with database.write() as session:
        (run,) = following.take_due(session)
        following.end(session, run)
    with database.write() as session:
        assert following.take_due(session) == []
    with database.read() as session:
        assert len(queries.runs(session, 1)) == 1


def test_what_is_owed_in_quiet_hours_waits_for_their_end(database: Database) -> None:
    creators.follow(database, Words("https://www.tiktok.com/@demo", every="1h", quiet="22:00-06:00"))
    night = _at("2026-06-01T23:30:00")
    with database.write() as session:
        session.execute(update(_creator).values(next_run_at=night - 1000, created_at=night - 10**9))
    clock.follow(night, time.monotonic())
    with database.write() as session:
        assert following.take_due(session) == []
    with database.read() as session:
        assert creators.get(session, 1).next_run_at == _at("2026-06-02T06:00:00")
