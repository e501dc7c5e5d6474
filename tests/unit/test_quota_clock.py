"""The slot scripts alone, under a clock that stands still: every answer to the microsecond."""

import time
from collections.abc import Iterator

import fakeredis
import pytest

from ingest.lanes import Lane, Limit
from ingest.quota import Quota

START = 1_795_000_000.25
USE_BY, PATIENCE, INTERVAL = 250_000, 2_000_000, 1_000_000
LINE = ["line", "ready", "seen"]


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now

    def on(self, micros: int) -> None:
        self.now = round(self.now + micros / 1e6, 6)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "time", made)
    return made


@pytest.fixture
def quota(clock: Clock) -> Iterator[Quota]:
    yield Quota(fakeredis.FakeRedis(), {lane: Limit(1, 1.0) for lane in Lane})


def take(quota: Quota, ticket: str, *buckets: str, ready: bool = True) -> tuple[int, int, int, int]:
    names = buckets or ("bucket",)
    argv = [ticket, str(int(ready)), str(USE_BY), str(PATIENCE), *[str(INTERVAL)] * len(names)]
    granted, wait, before, outstanding = quota.run("take", [*LINE, *names], argv)
    return int(granted), int(wait), int(before), int(outstanding)


def stamp(quota: Quota, ticket: str, *buckets: str) -> int:
    names = buckets or ("bucket",)
    return int(quota.run("stamp", list(names), [ticket, *[str(INTERVAL)] * len(names)]))


def opened(quota: Quota, clock: Clock) -> None:
    """Past the first wait of an empty Redis."""
    take(quota, "first")
    clock.on(USE_BY + INTERVAL)
    assert take(quota, "first")[0] == 1
    assert stamp(quota, "first") == 1


def test_an_empty_bucket_opens_after_its_use_by_and_one_interval(quota: Quota, clock: Clock) -> None:
    assert take(quota, "a") == (0, USE_BY + INTERVAL, 0, 0)
    clock.on(USE_BY + INTERVAL - 1)
    assert take(quota, "a")[:2] == (0, 1)
    clock.on(1)
    assert take(quota, "a")[0] == 1


def test_the_next_slot_opens_an_interval_after_the_stamp(quota: Quota, clock: Clock) -> None:
    opened(quota, clock)
    assert take(quota, "b") == (0, INTERVAL, 0, 0)
    clock.on(INTERVAL - 1)
    assert take(quota, "b")[0] == 0
    clock.on(1)
    assert take(quota, "b")[0] == 1
    clock.on(40_000)  # it takes a while to write
    assert stamp(quota, "b") == 1
    assert take(quota, "c")[:2] == (0, INTERVAL)


def test_an_unstamped_slot_counts_as_sent_at_its_use_by(quota: Quota, clock: Clock) -> None:
    opened(quota, clock)
    clock.on(INTERVAL)
    assert take(quota, "killed")[0] == 1
    take(quota, "next")
    clock.on(USE_BY + INTERVAL - 1)
    assert take(quota, "next")[0] == 0
    clock.on(1)
    assert take(quota, "next")[0] == 1
    assert stamp(quota, "killed") == 0  # it comes back too late to move anything


def test_a_slot_given_back_is_open_at_once(quota: Quota, clock: Clock) -> None:
    opened(quota, clock)
    clock.on(INTERVAL)
    assert take(quota, "b")[0] == 1
    assert int(quota.run("leave", [*LINE, "bucket"], ["b"])) == 1
    assert take(quota, "c")[0] == 1


def test_places_are_kept_in_order_and_only_by_those_who_look(quota: Quota, clock: Clock) -> None:
    opened(quota, clock)
    for ticket in ("a", "b", "c"):
        clock.on(10)
        take(quota, ticket)
    assert [take(quota, ticket)[2] for ticket in ("a", "b", "c")] == [0, 1, 2]
    assert take(quota, "c")[1] == INTERVAL - 30 + 2 * INTERVAL
    clock.on(PATIENCE)
    take(quota, "c")  # a and b have not looked for too long
    clock.on(PATIENCE - 1)
    assert take(quota, "c")[0] == 1


def test_one_that_is_not_ready_lets_the_ready_pass(quota: Quota, clock: Clock) -> None:
    opened(quota, clock)
    take(quota, "busy", ready=False)
    clock.on(10)
    take(quota, "ready")
    clock.on(INTERVAL)
    assert take(quota, "busy", ready=False)[0] == 0
    assert take(quota, "ready")[0] == 1


def test_all_buckets_or_none(quota: Quota, clock: Clock) -> None:
    take(quota, "x", "fast", "slow")
    clock.on(USE_BY + INTERVAL)
    assert take(quota, "x", "fast", "slow")[0] == 1
    assert stamp(quota, "x", "fast", "slow") == 2
    clock.on(INTERVAL)
    assert take(quota, "y", "slow")[0] == 1
    assert stamp(quota, "y", "slow") == 1
    # slow is taken again, fast is open: who needs both gets neither, and fast stays open for others
    assert take(quota, "z", "fast", "slow")[:2] == (0, INTERVAL)
    quota.run("leave", [*LINE, "fast", "slow"], ["z"])
    assert take(quota, "w", "fast")[0] == 1


def test_too_fast_closes_twice_as_long_each_time_and_no_longer_than_its_limit(quota: Quota, clock: Clock) -> None:
    waits = []
    for _ in range(7):
        wait, _margin = quota.run("close", ["bucket"], [str(INTERVAL), "2000000", "60000000"])
        waits.append(int(wait) // 1_000_000)
        clock.on(int(wait) + 1)
    assert waits == [2, 4, 8, 16, 32, 60, 60]


def test_too_fast_after_a_good_while_closes_as_shortly_as_at_first(quota: Quota, clock: Clock) -> None:
    def close() -> int:
        wait, _margin = quota.run("close", ["bucket"], [str(INTERVAL), "2000000", "60000000"])
        clock.on(int(wait) + 1)
        return int(wait) // 1_000_000

    assert [close(), close()] == [2, 4]
    clock.on(8_000_000)  # open for twice as long as it was closed
    assert [close(), close()] == [2, 4]
    clock.on(7_000_000)
    assert close() == 8


def test_a_clock_that_steps_back_does_not_keep_a_lane_closed(quota: Quota, clock: Clock) -> None:
    opened(quota, clock)
    clock.on(-3_600_000_000)
    assert take(quota, "a")[1] <= USE_BY + INTERVAL


def test_microseconds_survive_the_way_through_lua(quota: Quota, clock: Clock) -> None:
    opened(quota, clock)
    stored = quota._redis.hget("bucket", "next")
    assert stored is not None and int(stored) == round((clock.now + 1) * 1e6)
