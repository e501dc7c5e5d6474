"""When a followed profile is looked at again: every so often, or by a cron in a zone; never in its quiet hours. Pure.

>>> from ingest.clock import iso
>>> schedule = parse_schedule(cron="0 */6 * * *", zone="Europe/Berlin", quiet="22:00-05:30")
>>> say(schedule)
'at 0 */6 * * * in Europe/Berlin, not 22:00-05:30'
>>> iso(next_run(schedule, 1_800_000_000_000, anchor_ms=0))
'2027-01-15T11:00:00Z'

``every`` counts elapsed time from its anchor. A cron goes by the clock on the wall of its zone. Where that clock is changed:

- a cron that runs in every hour (``*/10 * * * *``) goes on in elapsed time: times left out are left out, times shown twice count twice;
- one that names hours (``30 2 * * *``, ``0 */6 * * *``) runs once for each: where the clock leaps over the time, right after the leap;
  where it shows the time twice, at the first of the two;
- quiet hours last from the first time the clock shows their begin to the last time it shows their end.

A run that falls into quiet hours waits for their end; those that wait for the same end are one.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from itertools import count, islice
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from ingest.durations import parse_duration, say_duration

#: Seconds. Plans differ in how much may be scraped; a creator whose look is not over yet waits for it in any case.
SHORTEST_EVERY = 10
LONGEST_EVERY = 366 * 86400
#: Minutes of a day that quiet hours must leave. No clock is changed by more (Antarctica/Troll: two hours), so nights never touch.
OPEN_AT_LEAST = 120
#: Runs later than by half of the time to the next one would bunch up again.
LARGEST_JITTER_PERCENT = 50

_DAY_MINUTES, _DAY_SECONDS = 1440, 86400
_QUIET = re.compile(r"(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})")
_PERCENT = re.compile(r"(\d{1,3})\s*%")
#: Names of files, not of zones: each host would read something else into them.
_NO_ZONES = frozenset({"localtime", "posixrules", "Factory"})
#: A cron is a rhythm: where one starts to look for its first time does not matter.
_SOME_DAY = datetime(2000, 1, 1)
_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Quiet:
    """Minutes of the day, local; ``start`` after ``end`` goes over midnight. ``str`` is what ``parse_quiet`` reads."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if not (0 <= self.start < _DAY_MINUTES and 0 <= self.end < _DAY_MINUTES):
            raise ValueError(f"quiet hours go by minutes from 0 to {_DAY_MINUTES - 1}, not {self.start} and {self.end}")
        if self.start == self.end:
            raise ValueError(f"quiet hours {self} cover the whole day, so nothing would ever run")
        if (self.start - self.end) % _DAY_MINUTES < OPEN_AT_LEAST:
            raise ValueError(
                f"quiet hours {self} leave less than {OPEN_AT_LEAST // 60} hours; give a cron that names the time"
            )

    def __str__(self) -> str:
        return "-".join(f"{minute // 60:02}:{minute % 60:02}" for minute in (self.start, self.end))


@dataclass(frozen=True, slots=True)
class Jitter:
    """How much later than due a run may come: milliseconds, or a share of the time to the next run; never more than half of that."""

    ms: int = 0
    percent: int = 0

    def __post_init__(self) -> None:
        if self.ms < 0 or self.percent < 0:
            raise ValueError("a jitter only ever adds, so it is not negative")
        if self.ms and self.percent:
            raise ValueError("a jitter is either a time or a share, not both")
        if self.percent > LARGEST_JITTER_PERCENT:
            raise ValueError(f"a jitter of {self.percent}% is too much; {LARGEST_JITTER_PERCENT}% is the most")

    def __str__(self) -> str:
        if self.percent:
            return f"{self.percent}%"
        return f"{self.ms}ms" if self.ms % 1000 else f"{self.ms // 1000}s"


@dataclass(frozen=True, slots=True)
class Schedule:
    """``every`` (seconds) or ``cron`` (five fields); ``zone`` is for the cron and the quiet hours. What can be built can be run."""

    every: int | None = None
    cron: str | None = None
    zone: str = "UTC"
    quiet: Quiet | None = None
    jitter: Jitter = Jitter()

    def __post_init__(self) -> None:
        if (self.every is None) == (self.cron is None):
            raise ValueError(
                "a schedule is either every (for example 6h) or a cron (for example 0 */6 * * *), one of the two"
            )
        _check_zone(self.zone)
        if self.every is not None:
            _check_every(self.every, self.jitter)
        if self.cron is not None:
            object.__setattr__(self, "cron", " ".join(self.cron.split()))
            _check_cron(self.cron)


# In words -------------------------------------------------------------------------------------------------------------


def parse_schedule(
    *,
    every: str | None = None,
    cron: str | None = None,
    zone: str = "UTC",
    quiet: str | None = None,
    jitter: str | None = None,
) -> Schedule:
    """From what a person wrote; empty is not given. Raises ValueError with a sentence."""
    return Schedule(
        every=_parse_every(every) if every else None,
        cron=cron or None,
        zone=zone,
        quiet=parse_quiet(quiet) if quiet else None,
        jitter=parse_jitter(jitter) if jitter else Jitter(),
    )


def parse_quiet(text: str) -> Quiet:
    """``22:00-06:00``. Raises ValueError with a sentence."""
    match = _QUIET.fullmatch(text.strip())
    hours = [(int(match[i]), int(match[i + 1])) for i in (1, 3)] if match else []
    if not hours or any(minute > 59 or hour * 60 + minute > _DAY_MINUTES for hour, minute in hours):
        raise ValueError(f"'{text}' are no quiet hours; write for example 22:00-06:00")
    start, end = ((hour * 60 + minute) % _DAY_MINUTES for hour, minute in hours)
    return Quiet(start, end)


def parse_jitter(text: str) -> Jitter:
    """``10%`` or ``5m``. Raises ValueError with a sentence."""
    if share := _PERCENT.fullmatch(text.strip()):
        return Jitter(percent=int(share[1]))
    seconds = parse_duration(text)
    if seconds > LONGEST_EVERY:
        raise ValueError(f"a jitter of {text.strip()} is longer than a year")
    return Jitter(ms=round(seconds * 1000))


def say(schedule: Schedule) -> str:
    """``every 6 h``; ``at 0 */6 * * * in Europe/Berlin, not 22:00-06:00``."""
    if schedule.every is not None:
        words = f"every {say_duration(schedule.every)}"
        if schedule.quiet:
            words += f", not {schedule.quiet} in {schedule.zone}"
    else:
        words = f"at {schedule.cron} in {schedule.zone}"
        if schedule.quiet:
            words += f", not {schedule.quiet}"
    jitter = schedule.jitter
    if jitter.percent:
        words += f", up to {jitter.percent}% later"
    elif jitter.ms:
        words += f", up to {say_duration(jitter.ms / 1000)} later"
    return words


def _parse_every(text: str) -> int:
    seconds = parse_duration(text)
    if seconds > LONGEST_EVERY:
        raise ValueError(f"every {text.strip()} is longer than a year")
    if seconds != int(seconds):
        raise ValueError(f"every {text.strip()} is no whole number of seconds")
    return int(seconds)


def _check_every(every: int, jitter: Jitter) -> None:
    if every < SHORTEST_EVERY:
        raise ValueError(f"every {say_duration(every)} is too often; {say_duration(SHORTEST_EVERY)} is the shortest")
    if every > LONGEST_EVERY:
        raise ValueError(f"every {say_duration(every)} is longer than a year")
    if jitter.ms > every * 500:
        most = say_duration(every / 2)
        raise ValueError(
            f"a jitter of {say_duration(jitter.ms / 1000)} is too much for every {say_duration(every)}; {most} is the most"
        )


def _check_zone(zone: str) -> None:
    try:
        if zone in _NO_ZONES:
            raise ValueError(zone)
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):  # a folder ("Europe") is an OSError
        raise ValueError(f"'{zone}' is no time zone; write for example Europe/Berlin") from None


def _check_cron(cron: str) -> None:
    fields = cron.split()
    if len(fields) != 5:  # CronSim would take six, with seconds
        raise ValueError(f"'{cron}' is no cron of five fields; write for example 0 */6 * * *")
    try:
        # CronSim says the same of day 32 and of 30 February; the second is only wrong in its month.
        CronSim(" ".join((*fields[:3], "*", fields[4])), _SOME_DAY)
        CronSim(f"0 0 * {fields[3]} *", _SOME_DAY)
    except CronSimError as error:
        raise ValueError(f"'{cron}' is no cron: {str(error).lower()}; write for example 0 */6 * * *") from None
    try:
        next(CronSim(cron, _SOME_DAY))
    except (CronSimError, StopIteration):
        raise ValueError(f"'{cron}' never runs: no such day exists") from None


# When -----------------------------------------------------------------------------------------------------------------


def next_run(schedule: Schedule, after_ms: int, anchor_ms: int) -> int:
    """The first run strictly after ``after_ms``, without jitter. ``anchor_ms`` is any moment at which ``every`` is due."""
    if schedule.quiet:
        start, _ = _night(schedule.quiet, ZoneInfo(schedule.zone), after_ms // 1000)
        # What fell due earlier this night still waits for its end.
        after_ms = min(after_ms, start * 1000 - 1)
    return out_of_quiet(schedule, _due(schedule, after_ms, anchor_ms))


def following(schedule: Schedule, after_ms: int, anchor_ms: int, n: int, seed: str | int | None = None) -> list[int]:
    """The next ``n`` runs after ``after_ms``. To say what comes after a run that is written down, start from that."""
    return [spread(schedule, due, anchor_ms, seed) for due in islice(_runs(schedule, after_ms, anchor_ms), n)]


def after_run(schedule: Schedule, due_ms: int, now_ms: int, anchor_ms: int, seed: str | int | None = None) -> int:
    """What to write when the run of ``due_ms`` is claimed at ``now_ms``: whatever was missed until now is this one run.

    >>> after_run(Schedule(every=3600), due_ms=3_600_000, now_ms=36_000_001, anchor_ms=0)
    39600000
    """
    # A claimer whose clock is behind must not be given the same run again.
    return spread(schedule, next_run(schedule, max(due_ms, now_ms), anchor_ms), anchor_ms, seed)


def spread(schedule: Schedule, due_ms: int, anchor_ms: int, seed: str | int | None) -> int:
    """``due_ms`` and its jitter: the same in every process for the same seed; before the next run and the next quiet hours."""
    jitter = schedule.jitter
    if seed is None or jitter == Jitter():
        return due_ms
    gap = next_run(schedule, due_ms, anchor_ms) - due_ms
    room = min(jitter.ms or gap * jitter.percent // 100, gap // 2)
    if schedule.quiet:
        start, _ = _night(schedule.quiet, ZoneInfo(schedule.zone), due_ms // 1000)
        room = max(0, min(room, start * 1000 - 1 - due_ms))
    lot = int.from_bytes(blake2b(f"{seed}:{due_ms}".encode(), digest_size=8).digest())
    return due_ms + (lot * (room + 1) >> 64)


def out_of_quiet(schedule: Schedule, ms: int) -> int:
    """``ms`` itself, or the end of the quiet hours that hold it: an owed run waits for that too."""
    if schedule.quiet:
        start, end = _night(schedule.quiet, ZoneInfo(schedule.zone), ms // 1000)
        if start <= ms // 1000:
            return end * 1000
    return ms


def _runs(schedule: Schedule, after_ms: int, anchor_ms: int) -> Iterator[int]:
    while True:
        after_ms = next_run(schedule, after_ms, anchor_ms)
        yield after_ms


def _due(schedule: Schedule, after_ms: int, anchor_ms: int) -> int:
    """The next due time, quiet or not."""
    if schedule.cron is None:
        assert schedule.every is not None
        step = schedule.every * 1000
        return after_ms + step - (after_ms - anchor_ms) % step
    every_hour = len(CronSim(schedule.cron, _SOME_DAY).hours) == 24
    search = _elapsed if every_hour else _named
    return search(schedule.cron, ZoneInfo(schedule.zone), after_ms // 1000 + 1) * 1000


# From here on times are whole seconds; a datetime without zone is what a clock on the wall shows.
#
# CronSim is asked about such datetimes only. With a zone it steps by whole hours of elapsed time: after a change of half an hour
# (Australia/Lord_Howe) it is at half past and misses what is due on the hour, all day; and asked in an hour that the clock shows for
# the second time, it answers with the first, which is over.


def _elapsed(cron: str, zone: ZoneInfo, first: int) -> int:
    """At ``first`` or later, for a cron that runs in every hour: count on until the clock is changed, then from what it shows."""
    while True:
        offset = _offset(zone, first)
        shown = next(_shown(cron, first + offset))
        due = int((shown - _EPOCH).total_seconds()) - offset
        change = _change(zone, first, due)
        if change is None:
            return due
        first = change


def _named(cron: str, zone: ZoneInfo, first: int) -> int:
    """At ``first`` or later, for a cron that names hours: once for each."""
    # By what the clock shows a second before: if it leaps at ``first``, what it leaps over is due now.
    times = (_instant(zone, shown) for shown in _shown(cron, first + _offset(zone, first - 1)))
    return next(due for due in times if due >= first)


def _shown(cron: str, first: int) -> Iterator[datetime]:
    """What the clock shows when it is due, from ``first`` (as if that were UTC) on."""
    return CronSim(cron, _EPOCH + timedelta(seconds=first - 1))


def _night(quiet: Quiet, zone: ZoneInfo, second: int) -> tuple[int, int]:
    """Start and end of the quiet hours that hold this second, else of the next."""
    today = datetime.combine(datetime.fromtimestamp(second, zone), datetime.min.time())
    over_midnight = timedelta(days=quiet.start > quiet.end)
    for days in count(-1):
        day = today + timedelta(days=days)
        start = _instant(zone, day + timedelta(minutes=quiet.start))
        end = _instant(zone, day + timedelta(minutes=quiet.end) + over_midnight, last=True)
        if second < end:
            return start, end
    raise AssertionError("days do not end")


def _instant(zone: ZoneInfo, shown: datetime, *, last: bool = False) -> int:
    """When the clock shows this: the first time or the last; right after the leap where it leaps over it."""
    first, second = (int(shown.replace(tzinfo=zone, fold=fold).timestamp()) for fold in (0, 1))
    if first > second:  # zoneinfo's way to say that it is not shown at all
        change = _change(zone, second, first)
        assert change is not None
        return change
    return second if last else first


def _change(zone: ZoneInfo, low: int, high: int) -> int | None:
    """The first second in (low, high] at which the clock goes otherwise than at ``low``. No zone goes there and back in a day."""
    before = _offset(zone, low)
    while low < high:
        step = min(low + _DAY_SECONDS, high)
        if _offset(zone, step) != before:
            return low + 1 + bisect_left(range(low + 1, step), True, key=lambda second: _offset(zone, second) != before)
        low = step
    return None


def _offset(zone: ZoneInfo, second: int) -> int:
    offset = datetime.fromtimestamp(second, zone).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())
