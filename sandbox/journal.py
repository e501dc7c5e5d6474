"""What the stand-in saw of its callers: calls with their times, breaches of limits, broken bodies."""

import itertools
import threading
import time
from typing import Any

#: Lanes of the calls served here, always in the report even when never called.
SERVED = (
    *("upload", "scrape", "image", "list", "delete", "task_status", "detail"),
    *("caption_video", "caption_image", "human_reid"),
)


class Journal:
    """Times are `time.monotonic()` seconds when given, seconds since the start in the report."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        with self._lock:
            self._start = time.monotonic()
            self._started_ms = time.time_ns() // 1_000_000
            self._calls: dict[str, list[tuple[float, str, bool]]] = {lane: [] for lane in SERVED}
            self._violations: list[dict[str, Any]] = []
            self._batches: dict[str, list[int]] = {"scrape": []}
            self._broken_bodies = 0
            self._bad_keys = self._wrong_host_keys = 0
            self._out_of_credit = 0
            self._spells = 0

    def call(self, lane: str, key: str, at: float, gap: float | None) -> None:
        """One call; `gap` as given by `Gate.judge`."""
        with self._lock:
            self._calls.setdefault(lane, []).append((at, key, gap is None))
            if gap is not None:
                self._violations.append(
                    {"lane": lane, "key": key[-4:], "at": self._since_start(at), "gap": round(gap, 6)}
                )

    def turned_away(self, lane: str, key: str, at: float) -> None:
        """An accepted call of `lane` was refused by another lane that it counts against too."""
        with self._lock:
            calls = self._calls[lane]
            if (at, key, True) in calls:  # else a reset has come between
                calls[calls.index((at, key, True))] = (at, key, False)

    def spelled(self, lane: str, key: str, at: float) -> None:
        """A call that a spell refused: it came, but it broke no limit."""
        with self._lock:
            self._calls.setdefault(lane, []).append((at, key, False))
            self._spells += 1

    def batch(self, lane: str, size: int) -> None:
        with self._lock:
            self._batches[lane].append(size)

    def broken_body(self) -> None:
        with self._lock:
            self._broken_bodies += 1

    def bad_key(self) -> None:
        with self._lock:
            self._bad_keys += 1

    def wrong_host_key(self) -> None:
        with self._lock:
            self._wrong_host_keys += 1

    def out_of_credit(self) -> None:
        with self._lock:
            self._out_of_credit += 1

    def report(self) -> dict[str, Any]:
        with self._lock:
            return {
                "started_ms": self._started_ms,
                "violations": list(self._violations),
                "calls": {lane: self._lane(lane) for lane in self._calls},
                "broken_bodies": self._broken_bodies,
                "bad_keys": self._bad_keys,
                "wrong_host_keys": self._wrong_host_keys,
                "out_of_credit": self._out_of_credit,
                "spells": self._spells,
            }

    def _lane(self, lane: str) -> dict[str, Any]:
        calls = sorted(self._calls[lane])
        by_key: dict[str, list[float]] = {}
        for at, key, _ in calls:
            by_key.setdefault(key, []).append(at)
        gaps = [b - a for times in by_key.values() for a, b in itertools.pairwise(times)]
        accepted = sum(1 for _, _, good in calls if good)
        summary: dict[str, Any] = {
            "count": len(calls),
            "accepted": accepted,
            "refused": len(calls) - accepted,
            "smallest_gap": round(min(gaps), 6) if gaps else None,
            "times": [self._since_start(at) for at, _, _ in calls],
        }
        if lane in self._batches:
            summary["batch_sizes"] = list(self._batches[lane])
        return summary

    def _since_start(self, at: float) -> float:
        return round(at - self._start, 6)
