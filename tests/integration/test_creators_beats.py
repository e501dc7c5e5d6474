"""Several beats begin the runs of creators, one of them killed again and again: no due time is run twice, and none is missed."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import func, select, text, update

from ingest import clock, creators, following, queries, store
from ingest.creators import Words
from ingest.database import Database, migrate
from ingest.following import SeenPost
from ingest.models import Creator, Item, Run
from ingest.processes import die_with_parent
from ingest.statuses import News
from ingest.store import tell
from tests.service import eventually

pytestmark = pytest.mark.integration

_creator = Creator.__table__  # type: ignore[attr-defined]
_run = Run.__table__  # type: ignore[attr-defined]

#: A beat: it begins what is due, and ends what has come to its end, as soon as it is told to.
_BEAT = """
import sys
from ingest import following, queries
from ingest.database import Database
database = Database(sys.argv[1])
with database.read() as session:
    queries.creators(session)
print("ready", flush=True)
sys.stdin.readline()
while True:
    with database.write() as session:
        following.take_due(session)
    with database.write() as session:
        following.end_vendor_runs(session)
"""
_CREATORS, _LONG_AGO = 10, 1_700_000_000_000


class _Beats:
    """So many at work; where one is killed, another that stood ready goes on, so that kills can be close to each other."""

    def __init__(self, url: str, count: int, words: Path) -> None:
        self._command, self._words = [sys.executable, "-c", _BEAT, url], words.open("w")
        self.kills = 0
        self._ready = [self._start() for _ in range(3)]
        self.at_work = [self._go() for _ in range(count)]

    def _start(self) -> subprocess.Popen[bytes]:
        # No beat may fail, for example because two wait for each other: what they say is kept.
        return subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )

    def _go(self) -> subprocess.Popen[bytes]:
        beat = self._ready.pop(0)
        self._ready.append(self._start())
        assert beat.stdin is not None and beat.stdout is not None
        assert (
            beat.stdout.readline() == b"ready\n"
        )  # the others go on meanwhile, and none is killed before it has begun
        beat.stdin.write(b"go\n")
        beat.stdin.flush()
        return beat

    def kill(self, place: int) -> None:
        assert self.at_work[place].poll() is None, "a beat ended by itself"
        _end(self.at_work[place])
        self.at_work[place] = self._go()
        self.kills += 1

    def end(self) -> None:
        for beat in [*self.at_work, *self._ready]:
            _end(beat)
        self._words.close()


def _end(beat: subprocess.Popen[bytes]) -> None:
    os.killpg(beat.pid, signal.SIGKILL)
    beat.wait()
    assert beat.stdin is not None and beat.stdout is not None
    beat.stdin.close()
    beat.stdout.close()


def _answer(database: Database) -> None:
    """Every look is over at once: it was there and brought nothing."""
    with database.write() as session:
        open_ = select(Item.id).where(Item.kind == "creator", Item.status == "QUEUED")
        for number in session.execute(open_).scalars().all():
            tell(session, number or 0, News.READY)


def _next_times(database: Database, due: dict[int, list[int]], most: int) -> None:
    """Creators whose run is over are due at a new time, long past; each of these times must become one run."""
    with database.write() as session:
        for number, times in due.items():
            idle = update(_creator).where(
                _creator.c.id == number, _creator.c.running_id.is_(None), _creator.c.next_run_at > _LONG_AGO + most
            )
            at = _LONG_AGO + len(times)
            if len(times) < most and session.execute(idle.values(next_run_at=at)).rowcount:  # type: ignore[attr-defined]
                times.append(at)


def _done(database: Database) -> int:
    with database.read() as session:
        return session.execute(select(func.count()).select_from(Run).where(Run.state == "done")).scalar_one()


@pytest.mark.parametrize(
    ("beats", "mortal", "times", "pause"),
    [
        pytest.param(2, 1, 200, (0.05, 1.0), id="one of two is killed, 200 due times"),
        pytest.param(
            4,
            4,
            1000,
            (0.1, 2.0),
            id="four are killed, 1000 due times",
            marks=[pytest.mark.storm, pytest.mark.timeout(900)],
        ),
    ],
)
def test_each_due_time_becomes_one_run_while_beats_are_killed(
    database: Database, tmp_path: Path, beats: int, mortal: int, times: int, pause: tuple[float, float]
) -> None:
    for number in range(_CREATORS):
        creators.follow(database, Words(f"https://www.tiktok.com/@beat.{number}", every="1d"))
    with database.write() as session:
        session.execute(update(_creator).values(next_run_at=2**50))
    draw, due = random.Random(4), {number: list[int]() for number in range(1, _CREATORS + 1)}
    words = tmp_path / "beats.log"
    at_work = _Beats(database.engine.url.render_as_string(hide_password=False), beats, words)
    kill_at = time.monotonic()
    try:

        def through() -> bool:
            nonlocal kill_at
            _next_times(database, due, times // _CREATORS)
            _answer(database)
            if time.monotonic() > kill_at:
                at_work.kill(draw.randrange(mortal))
                kill_at = time.monotonic() + draw.uniform(*pause)
            return _done(database) == times

        _until(through, 150 if times <= 200 else 800)
        assert [beat.poll() for beat in at_work.at_work] == [None] * beats
    finally:
        at_work.end()
    print(f"\n{times} due times, {at_work.kills} kills")
    assert words.read_text() == ""
    assert at_work.kills >= 5
    _check(database, due, times)


def _until(condition: Callable[[], bool], seconds: float) -> None:
    """As ``eventually``, without a pause: what happens in between would be too slow for the beats to meet."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.005)


def _check(database: Database, due: dict[int, list[int]], times: int) -> None:
    """No time was run twice, none was missed, and each run has an item of its own."""
    with database.read() as session:
        runs = list(session.execute(select(Run)).scalars())
        items = {one.id: one for one in session.execute(select(Item)).scalars()}
        counted = {one.id: (one.runs, one.running_id) for one in session.execute(select(Creator)).scalars()}
    assert Counter((one.creator_id, one.due_at) for one in runs) == Counter(
        (number, at) for number, known in due.items() for at in known
    )
    assert len(runs) == len(items) == times
    assert [items[one.item_id].together for one in runs] == [f"creator:{one.id}" for one in runs]
    assert counted == {number: (len(known), None) for number, known in due.items()}


def test_a_look_that_begins_and_one_that_takes_in_late_posts_do_not_wait_for_each_other(
    postgres_database: str,
) -> None:
    """The one has the creator and waits to add items, the other adds items and points to the creator: one would be ended by PostgreSQL."""
    migrate(postgres_database)
    database = Database(postgres_database)
    creators.follow(database, Words("https://www.tiktok.com/@demo", every="1h"))
    with database.write() as session:
        (late,) = following.take_due(session)
        following.end(session, late)
        following.run_now(session, 1)
    begun: list[Run] = []

    def begin() -> None:
        with database.write() as session:
            begun.extend(following.take_due(session))

    beat = threading.Thread(target=begin)
    with database.write() as session:
        store._before_other_adds(session)
        beat.start()
        eventually(lambda: _somebody_waits(database), 20, "the beat to wait")
        following.saw(session, late, [SeenPost("post:tiktok:1", "https://www.tiktok.com/@demo/video/1")])
    beat.join(20)
    database.dispose()
    assert len(begun) == 1


def _somebody_waits(database: Database) -> bool:
    with database.read() as session:
        return bool(session.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar_one())


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


@pytest.mark.parametrize(
    ("plan", "first", "following_runs"),
    [
        # The clock leaps over half past two: right after the leap. Then it is half past two again, an hour earlier elsewhere.
        ({"cron": "30 2 * * *"}, "03-28T01:30", ["03-29T01:00", "03-30T00:30"]),
        # It shows half past two twice: the first time.
        ({"cron": "30 2 * * *"}, "10-24T00:30", ["10-25T00:30", "10-26T01:30"]),
        # What runs in every hour goes on in elapsed time.
        ({"cron": "0 * * * *"}, "03-29T00:00", ["03-29T01:00", "03-29T02:00"]),
        ({"cron": "0 * * * *"}, "10-24T23:00", ["10-25T00:00", "10-25T01:00", "10-25T02:00"]),
        ({"every": "1h"}, "03-29T00:00", ["03-29T01:00", "03-29T02:00"]),
        ({"every": "1h"}, "10-24T23:00", ["10-25T00:00", "10-25T01:00", "10-25T02:00"]),
        # The night ends an hour earlier or later elsewhere.
        ({"every": "1h", "quiet": "01:00-05:00"}, "03-28T23:00", ["03-29T03:00", "03-29T04:00"]),
        ({"every": "1h", "quiet": "01:00-05:00"}, "10-24T22:00", ["10-25T04:00", "10-25T05:00"]),
    ],
)
def test_from_run_to_run_across_both_edges(
    database: Database, plan: dict[str, str], first: str, following_runs: list[str]
) -> None:
    """The clock stands still at each time that is due; what is written then is when it stands still next."""
    creators.follow(database, Words("https://www.tiktok.com/@demo", zone="Europe/Berlin", **plan))
    at = _at(f"2026-{first}:00")
    with database.write() as session:
        session.execute(update(_creator).values(next_run_at=at, created_at=at))
    written = []
    for _ in following_runs:
        clock.follow(at, time.monotonic())
        with database.write() as session:
            (run,) = following.take_due(session)
            assert run.due_at == at
            assert following.take_due(session) == []
            following.end(session, run)
        with database.read() as session:
            at = creators.get(session, 1).next_run_at or 0
        written.append(at)
    assert written == [_at(f"2026-{one}:00") for one in following_runs]


def test_a_schedule_that_cannot_be_read_any_more_keeps_no_other_from_beginning(database: Database) -> None:
    for name in ("first", "second"):
        creators.follow(database, Words(f"https://www.tiktok.com/@{name}", every="1h"))
    with database.write() as session:
        session.execute(update(_creator).where(_creator.c.id == 1).values(zone="Mars/Olympus", next_run_at=1))
    with database.write() as session:
        assert [run.creator_id for run in following.take_due(session)] == [2]
    with database.read() as session:
        first = creators.get(session, 1)
    assert first.paused_at and "Mars/Olympus" in (first.pause_reason or "")


def test_a_time_that_was_run_before_is_passed_over(database: Database) -> None:
    """The clock was set back, and a person says "now" in a millisecond that was due once."""
    for name in ("first", "second"):
        creators.follow(database, Words(f"https://www.tiktok.com/@{name}", every="1h"))
    with database.write() as session:
        (first, _) = following.take_due(session)
        following.end(session, first)
        session.execute(update(_creator).values(next_run_at=first.due_at, running_id=None))
        session.execute(update(_run).where(_run.c.creator_id == 2).values(due_at=1))
    with database.write() as session:
        assert [run.creator_id for run in following.take_due(session)] == [2]
    with database.read() as session:
        assert len(queries.runs(session, 1)) == 1
        assert (creators.get(session, 1).next_run_at or 0) > first.due_at


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
