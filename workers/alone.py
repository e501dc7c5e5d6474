"""``python -m workers alone``: one submission, sent by a process that has nothing else to lose. Its parent is ``workers.isolation``."""

import logging
import signal
import threading

from sqlalchemy.exc import SQLAlchemyError

from ingest import nudge, store
from ingest.lanes import ALSO, Lane
from ingest.processes import die_with_parent
from ingest.quota import NotSoon, QuotaUnavailable, Stopped
from ingest.settings import Settings
from workers import fitness, turns
from workers.context import Context
from workers.isolation import FAULT, NOT_STARTED, WRITING

log = logging.getLogger(__name__)


def main(settings: Settings, lane: Lane, submission_id: int) -> int:
    """The exit code: 0 when what came of it is written down, else NOT_STARTED or FAULT. Any other end is a death."""
    try:
        return _run(settings, lane, submission_id)
    except MemoryError:
        raise  # a death like any other
    except Exception:
        log.exception("Submission %d failed in an unforeseen way", submission_id)
        return FAULT


def _say_writing() -> None:
    try:
        print(WRITING, flush=True)
    except OSError as error:  # the parent is gone, and this process goes with it
        raise Stopped("nobody is left to hear of it") from error


def _run(settings: Settings, lane: Lane, submission_id: int) -> int:
    # SIGKILL: one that outlived its parent, and hung, would keep its lease for ever.
    die_with_parent(signal.SIGKILL)
    try:
        context = Context(settings, nudge.make_celery(settings))
        with context.database.write() as session:
            claimed = store.claimed_as(session, submission_id)
    except (SQLAlchemyError, OSError) as error:
        log.warning("Submission %d cannot begin alone: %s", submission_id, error)
        return NOT_STARTED
    for number in (signal.SIGTERM, signal.SIGINT):
        # In a thread: the main one may hold the very lock that is needed, as it waits for the same event.
        signal.signal(number, lambda *_: threading.Thread(target=context.order_stop, daemon=True).start())
    if claimed is not None:
        claimed = fitness.fit(context, claimed)
    if claimed is not None:
        try:
            with context.quota.line(settings.account_for(lane), lane, *ALSO.get(lane, ()), stop=context.stop) as place:
                place.near(turns.LEAD)
                if context.pause_of(lane) is not None:
                    raise Stopped("paused before it was sent")
                turns.send(context, lane, claimed, place, on_write=_say_writing)
        except (Stopped, NotSoon, QuotaUnavailable) as error:
            turns.release(context, claimed, str(error) or "the service stopped before it was sent")
    context.close()
    return 0
