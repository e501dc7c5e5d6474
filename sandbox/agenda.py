"""Things that will happen at a time: one thread, a heap, acts that are quick."""

import heapq
import itertools
import threading
import time
from collections.abc import Callable


class Agenda:
    """`after(seconds, act)` from any thread; nothing happens before `start`."""

    def __init__(self) -> None:
        self._entries: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()  # entries of one moment happen in the order they were made
        self._changed = threading.Condition()

    def start(self) -> None:
        threading.Thread(target=self._run, name="agenda", daemon=True).start()

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        with self._changed:
            heapq.heappush(self._entries, (time.monotonic() + seconds, next(self._order), act))
            self._changed.notify()

    def clear(self) -> None:
        with self._changed:
            self._entries.clear()

    def _run(self) -> None:
        while True:
            with self._changed:
                wait = self._entries[0][0] - time.monotonic() if self._entries else None
                if wait is None or wait > 0:
                    self._changed.wait(wait)
                    continue
                act = heapq.heappop(self._entries)[2]
            act()
