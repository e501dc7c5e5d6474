"""Keeps callbacks: requests that arrive while the last commit runs share the next one, and each is answered after it.

One writer thread, one statement for a whole group, no ORM: several times the throughput of a commit per request, and no lock fight.
"""

import logging
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import insert

from ingest.clock import now_ms
from ingest.database import Database
from ingest.models import Callback

log = logging.getLogger(__name__)

#: A request does not wait longer for its commit, seconds; the sender gives up soon anyhow.
_PATIENCE = 8.0
#: More than this waiting means the disk is stuck: shed before accepting, never after.
_MOST_WAITING = 5000
#: The clock of the database is asked anew so often, seconds: a host that slept has lost it.
_FOLLOW = 60.0


class NotKept(Exception):
    """The callback is not on disk; the answer must not say that it is."""


@dataclass(slots=True)
class _Group:
    rows: list[dict[str, Any]] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None


class Keeper:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._open = _Group()
        self._lock = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._thread.start()

    def keep(self, kind: str, short_id: str | None, body: bytes) -> None:
        """Returns when the callback is on disk; NotKept when it is not."""
        now = now_ms()
        row: dict[str, Any] = {
            "kind": kind,
            "short_id": short_id,
            "body": body,
            "received_at": now,
            "state": "new",
            "due_at": now,
            "tries": 0,
        }
        with self._lock:
            group = self._open
            if self._closing or len(group.rows) >= _MOST_WAITING:
                raise NotKept("too many callbacks are waiting for the disk")
            group.rows.append(row)
            self._lock.notify()
        if not group.done.wait(_PATIENCE):
            raise NotKept("the database did not answer in time")
        if group.error is not None:
            raise NotKept(str(group.error))

    def _run(self) -> None:
        followed = time.monotonic()
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._open.rows or self._closing)
                if not self._open.rows:
                    return
                group, self._open = self._open, _Group()
            try:
                if time.monotonic() - followed > _FOLLOW:
                    self._database.follow_clock()
                    followed = time.monotonic()
                with self._database.write() as session:
                    session.execute(insert(Callback), group.rows)
            except Exception as error:  # noqa: BLE001  (the one writer must outlive everything; the senders hear of it)
                log.error("%d callbacks could not be kept: %s", len(group.rows), error)
                group.error = error
            finally:
                group.done.set()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def close(self) -> None:
        with self._lock:
            self._closing = True
            self._lock.notify()
        self._thread.join(timeout=5)
