"""The Celery application of the workers. ``create_app`` connects nothing; the worker's start does."""

import logging
import threading
from typing import Any

from celery import Celery
from celery.signals import beat_init, worker_init, worker_ready, worker_shutdown, worker_shutting_down

from ingest import nudge
from ingest.lanes import Lane
from ingest.nudge import CANARY, SETTLE, STALE, TURN
from ingest.processes import tell_ready
from ingest.settings import Settings
from workers import turns
from workers.context import Context, Post
from workers.schedule import PERIODIC, Periodic

log = logging.getLogger(__name__)


class Holder:
    """The context of this worker process: there between its start and its end."""

    def __init__(self) -> None:
        self.context: Context | None = None

    def get(self) -> Context:
        assert self.context is not None, "the worker has not started"
        return self.context


def create_app(settings: Settings, post: Post | None = None, ordered: threading.Event | None = None) -> Celery:
    """``post``: what a worker is started for; beat and those who only send have none. ``ordered`` is set when it is told to stop."""
    app = nudge.make_celery(settings)
    app.conf.beat_schedule = {
        one.name: {
            "task": one.name,
            "schedule": one.every,
            # A tick that nobody took is stale when the next ones are there; on a starved machine late ones must still count.
            "options": {"queue": SETTLE, "expires": max(10.0, one.every * 3), "ignore_result": True},
        }
        for one in PERIODIC
    }
    app.conf.beat_max_loop_interval = 1
    holder = Holder()

    @app.task(name=TURN, expires=STALE)
    def turn(lane: str) -> None:
        with holder.get().renewer.working():
            turns.turn(holder.get(), Lane(lane))

    @app.task(name=CANARY, expires=STALE)
    def canary() -> None:
        """A message that went through: the heartbeat says when this worker took its last one."""
        with holder.get().renewer.working():
            return

    for one in PERIODIC:
        _register(app, holder, one)
    _connect_signals(app, settings, holder, post, ordered or threading.Event())
    return app


def _register(app: Celery, holder: Holder, one: Periodic) -> None:
    at_work = threading.Lock()

    @app.task(name=one.name)
    def tick() -> None:
        context = holder.get()
        # One at a time in a process: a tick that finds the last one at work adds nothing.
        with context.renewer.working():
            if at_work.acquire(blocking=False):
                try:
                    if not context.stop.is_set():
                        one.run(context)
                finally:
                    at_work.release()


def _connect_signals(
    app: Celery, settings: Settings, holder: Holder, post: Post | None, ordered: threading.Event
) -> None:
    def start(**_: Any) -> None:
        try:
            holder.context = Context(settings, app, post)
        except Exception as error:
            # Celery logs what a signal raises and runs on, deaf; leaving is the only way to be started again.
            log.exception("The worker cannot start")
            raise SystemExit(1) from error

    def stop(**_: Any) -> None:
        ordered.set()
        if holder.context is not None:
            holder.context.order_stop()

    def end(**_: Any) -> None:
        if holder.context is not None:
            holder.context.close()

    def ready(**_: Any) -> None:
        tell_ready()

    # weak=False: these closures have no other owner.
    worker_init.connect(start, weak=False)
    worker_ready.connect(ready, weak=False)
    beat_init.connect(ready, weak=False)
    worker_shutting_down.connect(stop, weak=False)
    worker_shutdown.connect(end, weak=False)
