"""Waiting for changes: one thread looks for all who wait, and only while somebody does."""

import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from ingest import queries
from ingest.database import Database
from ingest.queries import Place

#: Between two looks, seconds.
_LOOK_EVERY = 0.25
#: After news the waiting are woken together, and then not again for so long, seconds: a hundred of them ask once for what came meanwhile.
_BREATH = 0.75
#: Threads that may wait at once; more are answered at once, and come again.
_MOST_WAITING = 256


class Watcher:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._condition = threading.Condition()
        self._newest: Place | None = None
        self._waiting = 0
        self._looks = False

    def wait_beyond(self, place: Place, seconds: float) -> None:
        """Return when there is something after ``place``, or after ``seconds``."""
        deadline = time.monotonic() + seconds
        with self._condition:
            if self._waiting >= _MOST_WAITING:
                return
            if not self._looks:
                self._newest = None
                threading.Thread(target=self._look, daemon=True).start()  # its first word waits for this lock
                self._looks = True
            self._waiting += 1
            try:
                while not self._is_beyond(place) and (left := deadline - time.monotonic()) > 0:
                    self._condition.wait(left)
            finally:
                self._waiting -= 1

    def ends_at(self, place: Place) -> bool:
        """Whether a look a moment ago found nothing after ``place``: who will wait anyhow need not look again first.

        A hundred who were told of the same news come back at once, and are at its end. What has happened since that look, the next one
        finds, and wakes them.
        """
        with self._condition:
            return self._looks and self._newest == place

    def _is_beyond(self, place: Place) -> bool:
        newest = self._newest
        if newest is None:
            return False
        return newest.epoch != place.epoch or (newest.tx, newest.id) > (place.tx, place.id)

    def _look(self) -> None:
        while True:
            newest = self._read()
            with self._condition:
                if not self._waiting:
                    self._looks = False
                    return
                changed = newest is not None and newest != self._newest
                if changed:
                    self._newest = newest
                    self._condition.notify_all()
            time.sleep(_BREATH if changed else _LOOK_EVERY)

    def _read(self) -> Place | None:
        try:
            with self._database.read() as session:
                return queries.newest_place(session)
        except SQLAlchemyError:
            # The database is away: whoever waits asks for itself in the end, and is told.
            return None


T = TypeVar("T")


class Brief(Generic[T]):
    """What was read is good for a moment: a hundred pollers at the same place cost one look. One thread looks, the others wait for it."""

    def __init__(self, seconds: float, most: int = 64) -> None:
        self._seconds, self._most = seconds, most
        self._kept: dict[Any, tuple[float, T]] = {}
        self._locks: dict[Any, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, key: Any, look: Callable[[], T], keep: Callable[[T], bool] = lambda _: True) -> T:
        with self._lock:
            if len(self._locks) > 4 * self._most:
                self._locks.clear()  # whoever holds one goes on with it; at worst two look
            mine = self._locks.setdefault(key, threading.Lock())
        with mine:
            kept = self._kept.get(key)
            if kept is not None and kept[0] > time.monotonic():
                return kept[1]
            found = look()
            if not keep(found):
                return found
            with self._lock:
                if len(self._kept) >= self._most:
                    self._kept.clear()
                self._kept[key] = (time.monotonic() + self._seconds, found)
            return found
