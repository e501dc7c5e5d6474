"""Slots under the vendor's limits, for any number of workers on any number of hosts. Fails closed: without Redis, no slot.

    with quota.line(Lane.UPLOAD) as place:
        place.near(0.3)            # sleep until the slot is about to open, then prepare: claim, write down, connect
        slot = place.take()        # served first come, first served, among those who are ready
        ...                        # write the request before slot.use_by
        slot.stamp()               # it is on the wire: the next slot opens an interval from now

What counts is the moment a request leaves, not the moment a slot is handed out; see the headers of ``lua/*.lua``.
"""

import logging
import math
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

import redis

from ingest.lanes import Lane, Limit

if TYPE_CHECKING:
    from ingest.settings import Account

log = logging.getLogger(__name__)

#: A slot not used within this many seconds is given back.
USE_BY = 0.25
#: A place in line is kept for a waiter that looks at least this often, seconds.
PATIENCE = 2.0
#: Looks of the first in line while a slot is outstanding, seconds: the stamp may come any moment.
_EAGER = 0.001
#: Looks of those behind it, seconds.
_PATIENT = 0.004
_LONGEST_SLEEP = 0.5
#: Kept between our clock and the far end's, as part of the interval and at most in seconds.
_MARGIN, _MARGIN_MOST = 0.02, 0.005
#: First and longest wait after a 0429: for lanes of one call a second or faster, and for slower ones (contract A.4), seconds.
_BACKOFF_FAST = (2.0, 60.0)
_BACKOFF_SLOW = (60.0, 300.0)


class QuotaUnavailable(Exception):
    """Redis did not answer, so no call may be made."""


class Stopped(Exception):
    """The process is stopping; whoever waited leaves the line."""


class NotSoon(Exception):
    """The slot is further off than the caller wants to wait."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the next slot opens in {seconds:.1f} s")
        self.seconds = seconds


class SlotLost(Exception):
    """The slot's use-by passed before the request was written; nothing was sent."""


def connect(url: str) -> redis.Redis:
    """A client that never waits long: a slot is worth less than a second."""
    return redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2, health_check_interval=15)


@dataclass(frozen=True, slots=True)
class Outlook:
    """A lane as ``Quota.peek`` finds it: seconds until its next slot, seconds added to its interval by refusals, places in line.

    ``sent``: requests that left since its bucket was made, which idles for a day at least before it goes; None without a limit.
    """

    next_slot: float
    margin: float
    in_line: int
    sent: int | None = None


class Quota:
    """The lanes of one configuration on one Redis."""

    def __init__(self, client: redis.Redis, limits: Mapping[Lane, Limit | None]) -> None:
        self._redis = client
        self.limits = limits
        folder = files("ingest") / "lua"
        self._scripts = {
            name: client.register_script((folder / f"{name}.lua").read_text())
            for name in ("take", "stamp", "leave", "close")
        }

    def line(self, account: "Account", *lanes: Lane, stop: threading.Event | None = None) -> "Place":
        """A place in the line of the first lane, for a call that counts against all of them."""
        return Place(self, account, lanes, stop or threading.Event())

    def waiting(self, account: "Account", lane: Lane) -> int:
        """How many stand in line."""
        keys = _line_keys(account, lane)
        try:
            seconds, micros = self._redis.time()  # the clock the line was written with, not ours
            oldest = (seconds - PATIENCE) * 1e6 + micros
            return int(self._redis.zcount(keys[2], f"{oldest:.0f}", "+inf"))
        except redis.RedisError as error:
            raise QuotaUnavailable(f"Redis did not answer: {error}") from error

    def peek(self, account: "Account", lane: Lane) -> "Outlook":
        """Where a lane stands, without getting in line and without changing anything."""
        return self.peek_all({lane: account})[lane]

    def peek_all(self, accounts: "Mapping[Lane, Account]") -> dict[Lane, "Outlook"]:
        """As :meth:`peek`, of many lanes, each with its account; two trips to Redis, however many."""
        try:
            with self._redis.pipeline(transaction=False) as asked:
                asked.time()
                asked.info("server")
                for lane, account in accounts.items():
                    asked.hmget(_bucket_key(account, lane), "next", "closed", "margin", "run", "sent")
                (seconds, micros), server, *buckets = asked.execute()
                # The clock the line was written with, not ours.
                oldest = f"{(seconds - PATIENCE) * 1e6 + micros:.0f}"
                for lane, account in accounts.items():
                    asked.zcount(_line_keys(account, lane)[2], oldest, "+inf")
                in_line = asked.execute()
        except redis.RedisError as error:
            raise QuotaUnavailable(f"Redis did not answer: {error}") from error
        now, run = seconds + micros / 1e6, server.get("run_id", "")
        return {
            lane: self._outlook(lane, now, run, bucket, int(waiting))
            for lane, bucket, waiting in zip(accounts, buckets, in_line, strict=True)
        }

    def _outlook(self, lane: Lane, now: float, run: str, bucket: Sequence[bytes | None], in_line: int) -> "Outlook":
        """As `take.lua` reads it: a missing bucket and one of another server start closed."""
        if self.limits[lane] is None:
            return Outlook(0.0, 0.0, in_line)
        following, closed, margin, written_by, sent = bucket
        interval, learned = int(self.interval_us(lane)) / 1e6, float(margin or 0) / 1e6
        latest = now + USE_BY + interval
        believed = following is not None and (written_by or b"").decode() == run
        opens = min(float(following or 0) / 1e6, latest + learned) if believed else latest
        opens = max(opens, float(closed or 0) / 1e6)
        return Outlook(max(0.0, opens - now), learned, in_line, int(sent or 0))

    def close(self, account: "Account", lane: Lane) -> float:
        """After a 0429: nobody sends on this lane for the returned number of seconds."""
        limit = self.limits[lane] or Limit(1, 1.0)
        first, longest = _BACKOFF_FAST if limit.interval <= 1 else _BACKOFF_SLOW
        # A lane that was set to every few seconds need not be closed for a minute.
        first = min(first, max(2.0, limit.interval))
        argv = [f"{seconds * 1e6:.0f}" for seconds in (limit.interval, first, longest)]
        wait, _margin = self.run("close", [_bucket_key(account, lane)], argv)
        return int(wait) / 1e6

    def interval_us(self, lane: Lane) -> str:
        limit = self.limits[lane]
        assert limit is not None
        return f"{(limit.interval + min(limit.interval * _MARGIN, _MARGIN_MOST)) * 1e6:.0f}"

    def run(self, script: str, keys: list[str], argv: list[str]):
        try:
            return self._scripts[script](keys=keys, args=argv)
        except redis.RedisError as error:
            raise QuotaUnavailable(f"Redis did not answer: {error}") from error


class Place:
    """One place in a lane's line. Leaving the ``with`` block leaves the line and gives back an unused slot."""

    def __init__(self, quota: Quota, account: "Account", lanes: tuple[Lane, ...], stop: threading.Event) -> None:
        self._quota = quota
        self._stop = stop
        limited = [lane for lane in lanes if quota.limits[lane] is not None]
        self._free = not limited
        self._ticket = uuid.uuid4().hex
        self._line = _line_keys(account, lanes[0])
        self._buckets = [_bucket_key(account, lane) for lane in limited]
        self._interval = max((quota.limits[lane].interval for lane in limited), default=0.0)  # type: ignore[union-attr]
        self._intervals = [quota.interval_us(lane) for lane in limited]
        self._used = False

    def __enter__(self) -> "Place":
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._free or self._used:
            return
        try:
            self._quota.run("leave", self._line + self._buckets, [self._ticket])
        except QuotaUnavailable:
            return  # an abandoned place is pruned after PATIENCE, an unstamped slot counts as sent

    def near(self, lead: float, at_most: float = math.inf) -> None:
        """Sleep until the turn is likely to come within ``lead`` seconds. NotSoon if it is further off than ``at_most``."""
        while not self._free:
            _granted, wait, _before, _outstanding = self._look(ready=False)
            if wait <= lead:
                return
            if wait > at_most:
                raise NotSoon(wait)
            self._sleep(min(wait - lead, _LONGEST_SLEEP))

    def take(self, at_most: float = math.inf) -> "Slot":
        """Wait for the slot itself. The request must be written before ``Slot.use_by``. NotSoon if that is far off."""
        while not self._free:
            # The holder's own clock, started before Redis is asked: what the answer takes is not lost time but used time.
            asked = time.monotonic()
            granted, wait, before, outstanding = self._look(ready=True)
            if granted:
                return Slot(self, asked + USE_BY)
            if wait > at_most:
                raise NotSoon(wait)
            if before:  # looked at again when it is likely to be the first: a crowd that polls slows the one that sends
                nap = max(wait - self._interval, _PATIENT)
            else:
                nap = _EAGER if outstanding else wait
            self._sleep(min(nap, _LONGEST_SLEEP))
        return Slot(self, time.monotonic() + 3600)

    def _look(self, *, ready: bool) -> tuple[bool, float, int, bool]:
        if self._stop.is_set():
            raise Stopped
        argv = [
            self._ticket,
            str(int(ready)),
            f"{USE_BY * 1e6:.0f}",
            f"{PATIENCE * 1e6:.0f}",
            *self._intervals,
        ]
        granted, wait, before, outstanding = self._quota.run("take", self._line + self._buckets, argv)
        return bool(granted), int(wait) / 1e6, int(before), bool(outstanding)

    def _sleep(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise Stopped

    def give_back(self) -> None:
        """The slot came to nothing; this place may take another."""
        if not self._free:
            self._quota.run("leave", self._line + self._buckets, [self._ticket])

    def use(self) -> None:
        """The request may leave any moment from now on: whatever happens, its slot is not given back."""
        self._used = True

    def stamp(self) -> None:
        if not self._free:
            self._quota.run("stamp", self._buckets, [self._ticket, *self._intervals])


class Slot:
    """The permission to write one request until ``use_by`` (monotonic seconds)."""

    def __init__(self, place: Place, use_by: float) -> None:
        self._place = place
        self.use_by = use_by

    def check(self) -> None:
        """Right before the write; SlotLost when it came too late."""
        if time.monotonic() >= self.use_by:
            raise SlotLost("the slot's use-by passed before the request could be written")
        self._place.use()

    def stamp(self) -> None:
        """Right after the write."""
        self._place.stamp()


class SlotGate:
    """The gate of one request (``ingest.upstream.client.Gate``): it waits for the slot, and stamps it."""

    #: A slot that comes later than this is not waited for with a connection open, seconds.
    soon = 5.0
    _tries = 5

    def __init__(self, place: Place) -> None:
        self._place = place
        self._slot: Slot | None = None

    def before_write(self) -> None:
        for _ in range(self._tries):
            self._slot = self._await_slot()
            try:
                self._slot.check()
            except SlotLost:
                self._place.give_back()
                continue
            return
        raise SlotLost(
            "the machine is too busy: the slot's use-by passed each time before the request could be written"
        )

    def _await_slot(self) -> Slot:
        return self._place.take(at_most=self.soon)

    def wrote(self) -> None:
        assert self._slot is not None
        try:
            self._slot.stamp()
        except QuotaUnavailable as error:
            # The bytes are gone; an unstamped slot counts as sent at its use-by, which is safe.
            log.warning("A sent request could not be stamped: %s", error)


def _line_keys(account: "Account", lane: Lane) -> list[str]:
    return [f"ingest:{{{account.fingerprint}}}:{part}:{lane}" for part in ("line", "ready", "seen")]


def _bucket_key(account: "Account", lane: Lane) -> str:
    return f"ingest:{{{account.fingerprint}}}:bucket:{lane}"
