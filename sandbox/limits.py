"""Call limits: per key and lane, a strict sliding window over the times requests arrived (contract B.1, E.4).

The seed does not say whether its "1 QPS" is a fixed or a sliding window (contract F.1); the strictest reading
is the safe one to test against: never more than N accepted calls in any window of that length.
"""

import re
import threading
from bisect import bisect_right, insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limit:
    """`calls` in any `window` seconds."""

    calls: int
    window: float


_SECOND, _MINUTE = 1.0, 60.0

#: Lane -> limit, the seed's rate table (contract B.1). A lane is the set of calls that share a limit;
#: calls without a documented limit get one a second.
DEFAULTS: Mapping[str, Limit] = {
    "upload": Limit(1, _SECOND),
    "scrape": Limit(1, _MINUTE),
    "image": Limit(1, _SECOND),
    "list": Limit(5, _SECOND),
    "delete": Limit(5, _SECOND),
    "task_status": Limit(1, _SECOND),
    "detail": Limit(1, _SECOND),
    "download": Limit(12, _MINUTE),
    "transcription": Limit(5, _SECOND),
    "audio_transcription": Limit(5, _SECOND),
    "summary": Limit(5, _SECOND),
    "search": Limit(10, _SECOND),
    "chat": Limit(1, _SECOND),
    "marketer": Limit(1, _SECOND),
    "sessions": Limit(5, _SECOND),
    "caption_video": Limit(1, _SECOND),
    "caption_image": Limit(5, _SECOND),
    "human_reid": Limit(1, _SECOND),
}

#: Lanes of the calls under `/v1/understand/`, at the vendor a host of its own (contract A.1).
UNDERSTAND_LANES = ("caption_video", "caption_image", "human_reid")

_RATE = re.compile(r"(\d+)/(\d*)\s*(s|min|h|d)")
_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def parse_limits(text: str) -> dict[str, Limit | None]:
    """The whole table with `text` laid over the defaults; None means no limit.

    `text` is `LANE=N/[K]unit` or `LANE=off`, comma separated, e.g. `upload=20/s,scrape=1/2s`.
    ValueError carries a sentence.
    """
    table: dict[str, Limit | None] = dict(DEFAULTS)
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        lane, _, rate = (piece.strip() for piece in part.partition("="))
        if lane not in DEFAULTS:
            raise ValueError(f"'{lane}' is no lane; the lanes are {', '.join(DEFAULTS)}.")
        table[lane] = None if rate == "off" else _parse_rate(part, rate)
    return table


def _parse_rate(part: str, rate: str) -> Limit:
    match = _RATE.fullmatch(rate)
    if match is None or int(match[1]) == 0 or (match[2] and int(match[2]) == 0):
        raise ValueError(
            f"'{part}' is no limit; write LANE=N/[K]unit with unit s, min, h or d "
            "(upload=1/s, scrape=1/2min), or LANE=off."
        )
    return Limit(int(match[1]), int(match[2] or 1) * _UNITS[match[3]])


class Gate:
    """Decides which calls are within the limit. A refused call does not occupy the window.

    Two requests may reach `judge` in another order than they arrived in, so a call is also judged against
    accepted calls that arrived *after* it: no window of the lane ever holds one call too many.
    """

    def __init__(self, limits: Mapping[str, Limit | None]) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._accepted: dict[tuple[str, str], list[float]] = {}  # (key, lane) -> arrivals, oldest first

    def judge(self, lane: str, key: str, at: float) -> float | None:
        """None when the call that arrived `at` is accepted, else the gap in seconds that was too small."""
        limit = self._limits[lane]
        if limit is None:
            return None
        with self._lock:
            accepted = self._accepted.setdefault((key, lane), [])
            del accepted[: bisect_right(accepted, at - 2 * limit.window - 10)]
            spans = [span for span in _spans_with(accepted, at, limit.calls) if span < limit.window]
            if spans:
                return min(spans)
            insort(accepted, at)
            return None

    def withdraw(self, lane: str, key: str, at: float) -> None:
        """The accepted call that arrived `at` was refused for another reason and occupies nothing."""
        with self._lock:
            accepted = self._accepted.get((key, lane), [])
            if at in accepted:
                accepted.remove(at)

    def forget(self) -> None:
        with self._lock:
            self._accepted.clear()


def _spans_with(accepted: list[float], at: float, calls: int) -> Iterable[float]:
    """How long each run of `calls` accepted neighbours becomes when `at` joins it."""
    place = bisect_right(accepted, at)
    for first in range(max(0, place - calls), place + 1):
        run = accepted[first : first + calls]
        if len(run) == calls:
            yield max(at, run[-1]) - min(at, run[0])
