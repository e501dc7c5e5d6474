"""What every task of a worker process shares: settings, database, slots, the vendor, the way to stop."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import redis
from celery import Celery
from sqlalchemy.exc import SQLAlchemyError

from ingest import broker, nudge, pauses, queries, store
from ingest.clock import now_ms
from ingest.database import Database, open_database
from ingest.lanes import CAPTION_LANES, Lane
from ingest.nudge import SEND, Nudger
from ingest.quota import USE_BY, Place, Quota, QuotaUnavailable, Slot, SlotGate, SlotLost, connect
from ingest.settings import Settings
from ingest.upstream.client import Upstream
from ingest.upstream.errors import TooFast

log = logging.getLogger(__name__)

#: Seconds a running request may go on after the order to stop.
GRACE = 4.0


@dataclass(frozen=True, slots=True)
class Post:
    """What a worker process was started for: its queues, and how many messages it works on at once."""

    queues: str = ""
    threads: int = 0


class Context:
    """Made once per worker process, closed at its end. A process without a ``post`` is no worker: it has no heartbeat."""

    def __init__(self, settings: Settings, celery: Celery, post: Post | None = None) -> None:
        self.settings = settings
        self.timings = settings.timings
        self.database: Database = open_database(settings.database)
        with self.database.write() as session:
            store.rebase_events(session)
        self.redis: redis.Redis = connect(broker.redis_url(settings))
        self.quota = Quota(self.redis, settings.limits)
        self.secret = settings.signing_secret
        self.celery = celery
        self.nudger = Nudger(celery)
        self.stop = threading.Event()
        self._upstreams = {
            False: Upstream(settings.api_url, settings.account.key, silence=self.timings.http),
            True: Upstream(
                settings.caption_url, settings.account_for(Lane.CAPTION_VIDEO).key, silence=self.timings.http
            ),
        }
        self.renewer = Renewer(self.database, self.timings.lease, post, self.stop)
        #: Captions may be answered in minutes: a quarter of the threads at most waits for them.
        self.patient = threading.BoundedSemaphore(max(2, (post.threads if post else 0) // 4))
        #: Held while an item that took workers down runs in a process of its own: one at a time.
        self.alone = threading.Lock()
        #: Held while a profile is listed: one at a time.
        self.listing = threading.Lock()
        #: How a ``YoutubeDL`` is made of its options; None for yt-dlp's own.
        self.make_ydl: Callable[[dict[str, Any]], Any] | None = None
        #: The vendor was seen to ignore ``video_nos``: the list is swept instead.
        self.filter_ignored = False

    def upstream(self, lane: Lane) -> Upstream:
        return self._upstreams[lane in CAPTION_LANES]

    def pause_of(self, lane: Lane):
        """The pause that keeps a lane from sending now, or None."""
        with self.database.read() as session:
            return queries.pause_of_lane(session, lane, self.settings.account_for(lane))

    def waiting_turns(self) -> int:
        """Messages that lie in the broker's queue for turns and nobody took yet."""
        number = nudge.waiting(self.celery, SEND)
        if number is None:
            raise QuotaUnavailable("the broker did not answer")
        return number

    def close_lane(self, lane: Lane, error: TooFast) -> None:
        """After a 0429: nobody sends on this lane for a while, and people see why."""
        try:
            seconds = self.quota.close(self.settings.account_for(lane), lane)
        except QuotaUnavailable as unavailable:
            log.warning("Lane %s could not be closed, but without Redis no call is made either: %s", lane, unavailable)
            return
        log.info("Memories.ai says too fast on lane %s; it stays closed for %.0f s", lane, seconds)
        with self.database.write() as session:
            pauses.too_fast(session, lane, error, seconds)

    def order_stop(self) -> None:
        """No turn begins any more; what runs gets ``GRACE`` seconds and is then cut. Returns at once."""
        if not self.stop.is_set():
            self.stop.set()
            self.renewer.wake()
            timer = threading.Timer(GRACE, self._cut)
            timer.daemon = True
            timer.start()

    def _cut(self) -> None:
        for upstream in self._upstreams.values():
            upstream.cut()

    def close(self) -> None:
        self.stop.set()
        self.renewer.close()
        for upstream in self._upstreams.values():
            upstream.close()
        with suppress(SQLAlchemyError), self.database.write() as session:
            store.heart_stops(session)
        self.database.dispose()


class Renewer:
    """Keeps the leases of what this process is sending, in one statement each third of a lease; and tells that it lives.

    Not tied to the bytes: a sender that waits for its answer moves none and is alive all the same; how long it may wait is
    bounded by the ``http`` timing. A process that is killed or frozen renews nothing.
    """

    def __init__(
        self, database: Database, lease_seconds: float, post: Post | None = None, stop: threading.Event | None = None
    ) -> None:
        self._database = database
        self._lease = lease_seconds
        self._post = post
        self._stop = stop or threading.Event()
        self._held: set[int] = set()
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._wake = threading.Event()
        self._started_at = now_ms()
        self._took_at: int | None = None
        self._at_work = 0
        self._thread = threading.Thread(target=self._run, name="renewer", daemon=True)
        self._thread.start()

    @contextmanager
    def holding(self, submission_id: int) -> Iterator[None]:
        with self._lock:
            self._held.add(submission_id)
        try:
            yield
        finally:
            with self._lock:
                self._held.discard(submission_id)

    @contextmanager
    def working(self) -> Iterator[None]:
        """While a message of the broker is worked on: a worker that lives and takes none is deaf."""
        with self._lock:
            self._took_at = now_ms()
            self._at_work += 1
        try:
            yield
        finally:
            with self._lock:
                self._at_work -= 1

    def wake(self) -> None:
        """Write now: the process was told to stop."""
        self._wake.set()

    def _run(self) -> None:
        while not self._end.is_set():
            with self._lock:
                held = list(self._held)
                if self._post and self._at_work >= self._post.threads:
                    self._took_at = now_ms()  # it takes no message because all its hands are full
                took_at = self._took_at
            self._wake.clear()
            try:
                self._database.follow_clock()
                with self._database.write() as session:
                    if self._post is not None:
                        stopping = now_ms() if self._stop.is_set() else None
                        store.heartbeat(session, self._started_at, self._post.queues, took_at, stopping)
                    if held:
                        store.renew(session, held, self._lease)
            except Exception as error:  # noqa: BLE001  (without this thread every sender would be taken for dead)
                log.warning("Leases could not be renewed, trying again: %s", error)
            self._wake.wait(self._lease / 3)

    def close(self) -> None:
        self._end.set()
        self._wake.set()
        self._thread.join(timeout=5)


#: The lease is read again when the last look is older than this, seconds, or than a quarter of a lease.
_LEASE_CHECK_AGE = 1.0


class LeaseGate(SlotGate):
    """As every gate, and it lets nothing out whose lease has passed to somebody else."""

    def __init__(self, place: Place, context: Context, submission_id: int) -> None:
        super().__init__(place)
        self._context = context
        self._submission_id = submission_id
        #: Told right before the first byte leaves.
        self.on_write: Callable[[], None] = lambda: None
        self._look_is_old = min(_LEASE_CHECK_AGE, context.timings.lease / 4)
        #: From here on bytes may have left, ms.
        self.sent_at: int | None = None

    def before_write(self) -> None:
        super().before_write()
        self.on_write()
        self.sent_at = now_ms()

    def _await_slot(self) -> Slot:
        self._check_lease()
        checked = time.monotonic()
        slot = super()._await_slot()
        # Each millisecond between the grant and the write is taken from the limit, so the database is asked before; the lease was
        # found good for longer than a slot lasts.
        if time.monotonic() - checked > self._look_is_old:
            self._check_lease()
        return slot

    def _check_lease(self) -> None:
        with self._context.database.read() as session:
            if not store.holds_lease(session, self._submission_id, self._look_is_old + USE_BY):
                raise SlotLost("the lease ran out while waiting for the slot")
