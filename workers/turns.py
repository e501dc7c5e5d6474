"""A lane's turn: get in line, claim when the slot is about to open, send at the slot, record.

Several turns of one lane run at once, because an upload may take minutes while a slot comes each second; a turn that was granted its
slot nudges the next one.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from ingest import content, pauses, queries, store
from ingest.candidates import sent_name
from ingest.clock import now_ms
from ingest.durations import jittered
from ingest.lanes import Lane
from ingest.models import Item
from ingest.quota import NotSoon, Place, QuotaUnavailable, SlotLost, Stopped
from ingest.sources.found import Kind
from ingest.statuses import News
from ingest.store import Claimed
from ingest.tokens import callback_url
from ingest.upstream.client import CALLBACK_LIMIT, Details, FileBody
from ingest.upstream.errors import AccountTrouble, Refused, TooFast, Unavailable, Unsure
from workers import isolation
from workers.context import Context, LeaseGate

log = logging.getLogger(__name__)

#: Claiming, writing down and connecting begin so long before the slot opens, seconds.
LEAD = 0.3
#: A turn does not hold a thread for a slot that is further off; the sweep comes back to it, seconds.
_LONGEST_WAIT = 20.0
_MOST_TURNS = 8
#: Items that turn out unfit are passed over within one turn, but not without end.
_MOST_UNFIT = 20
#: An item whose call met a fault at the vendor's edge waits so long, seconds.
_AFTER_FAULT = 2.0
#: An item whose turn met a fault of our own waits so long, seconds: a person must look at the log.
_AFTER_OWN_FAULT = 60.0
_RECORD_AGAIN = 0.5


def wanted_turns(interval: float) -> int:
    """How many turns of a lane may usefully stand in line: the lead time must not cost slots."""
    return min(_MOST_TURNS, 1 + ceil(LEAD / interval)) if interval > 0 else _MOST_TURNS


def turn(context: Context, lane: Lane) -> None:
    """One turn. Ends early, and harmlessly, when there is nothing to do or no slot to be had."""
    if context.stop.is_set() or context.pause_of(lane) is not None:
        return
    account = context.settings.account_for(lane)
    limit = context.settings.limits[lane]
    prepared = None
    try:
        if limit and context.quota.waiting(account, lane) >= wanted_turns(limit.interval):
            return
        with context.quota.line(account, lane, stop=context.stop) as place:
            place.near(LEAD, at_most=_LONGEST_WAIT)
            prepared = _prepare(context, lane)
            if prepared is not None and not prepared.suspect:
                send(context, lane, prepared, place)
        if prepared is not None and prepared.suspect:
            isolation.run(context, lane, prepared)
    except (Stopped, NotSoon):
        return
    except QuotaUnavailable as error:
        log.warning("No call is made on lane %s: %s", lane, error)


def _prepare(context: Context, lane: Lane) -> Claimed | None:
    """Claim until something fit to be sent is in hand."""
    account = context.settings.account_for(lane)
    for _ in range(_MOST_UNFIT):
        with context.database.write() as session:
            # Read again with the claim: a pause that was set while this turn stood in line holds at once.
            if queries.pause_of_lane(session, lane, account) is not None:
                return None
            held = queries.paused_jobs(session)
            suspects = not context.alone.locked()
            claimed = store.claim(session, lane, account.fingerprint, context.timings.lease, held, suspects=suspects)
        if claimed is None or claimed.suspect or claimed.items[0].kind != Kind.FILE or fit(context, claimed):
            return claimed
    return None


def fit(context: Context, claimed: Claimed) -> bool:
    """Look at the file right before it is sent; False when its item ended here."""
    item = claimed.items[0]
    assert item.id is not None and claimed.submission.id is not None
    path = Path(item.source)
    with context.renewer.holding(claimed.submission.id):
        try:
            fitness = content.check_file(path)
            sha256 = _hash_where_it_matters(context, item, fitness)
        except content.Unfit as error:
            _end_unsent(context, claimed, News.UNFIT, error_code=error.code, error=str(error))
            return False
        except OSError as error:
            message = f"{path} cannot be read: {error.strerror}"
            _end_unsent(context, claimed, News.UNFIT, error_code="unreadable", error=message)
            return False
    with context.database.write() as session:
        twin = store.learn_content(session, item.id, sha256, fitness.size, fitness.mtime_ns) if sha256 else None
        if fitness.warning:
            store.warn(session, item.id, fitness.warning)
        if twin is not None:  # in one transaction: a twin that frees its content must find its copy
            _close_unsent(session, claimed, News.DUPLICATE, **store.copy_of(*twin))
    return twin is None


def _hash_where_it_matters(context: Context, item: Item, fitness: content.Fitness) -> str | None:
    """sha256 when another live item of the namespace has as many bytes; else the upload hashes on its way."""
    with context.database.read() as session:
        others = queries.same_size(session, item.unique_id, item.library, [fitness.size], but=item.id)
    if not others or item.again:
        return None
    for other in others:
        content.learn_of(context.database, other)
    if item.sha256 and (item.size, item.mtime_ns) == (fitness.size, fitness.mtime_ns):
        return item.sha256
    return content.hash_file(Path(item.source))


def _end_unsent(context: Context, claimed: Claimed, news: News, **values: object) -> None:
    with context.database.write() as session:
        _close_unsent(session, claimed, news, **values)


def _close_unsent(session: Session, claimed: Claimed, news: News, **values: object) -> None:
    submission_id = claimed.submission.id
    assert submission_id is not None
    if store.close_submission(session, submission_id, "released", ended_at=now_ms(), message=str(values["error"])):
        for item_id in claimed.fences:
            store.tell(session, item_id, news, submission_id=submission_id, values=values)


def send(
    context: Context, lane: Lane, claimed: Claimed, place: Place, on_write: Callable[[], None] | None = None
) -> None:
    """Send what was claimed at the next slot, and record what came of it. ``on_write``: told right before the first byte leaves."""
    submission_id = claimed.submission.id
    assert submission_id is not None
    gate = _TurnGate(place, context, submission_id, lane)
    if on_write is not None:
        gate.on_write = on_write
    with context.renewer.holding(submission_id):
        try:
            _record(context, lane, claimed, gate, _call(context, lane, claimed, gate))
        except Refused as error:
            with context.database.write() as session:
                store.refused(session, claimed, error.code, error.message, gate.sent_at)
                pauses.passed(session, lane)
        except TooFast as error:
            context.close_lane(lane, error)
            release(context, claimed, f"{error.code}: too fast", code=error.code)
        except AccountTrouble as error:
            with context.database.write() as session:
                pauses.account_trouble(session, context.settings.account_for(lane), error, context.timings.probe)
            release(context, claimed, f"{error.code}: {error.message}", code=error.code)
        except Unavailable as error:
            if context.stop.is_set():
                release(context, claimed, "the service stopped before it was sent")
                return
            with context.database.write() as session:
                pauses.unreachable(session, lane, error)
            # Later than the lane: an item that alone meets this must not hold up the others.
            release(context, claimed, error.message, code=error.code, delay_seconds=jittered(_AFTER_FAULT))
        except Unsure as error:
            _lose(context, claimed, gate, error.message, code=error.code)
            if not context.stop.is_set():
                with context.database.write() as session:
                    pauses.unreachable(session, lane, error)
        except (Stopped, NotSoon, SlotLost, QuotaUnavailable) as error:
            release(context, claimed, str(error) or "the service stopped before it was sent")
        except OSError as error:  # the file, not the wire: httpx wraps that
            _end_file(context, claimed, gate, error)
        except Exception as error:
            # A fault of our own. Its items must not stay in the hands of nobody until the lease ends.
            log.exception("Submission %s failed in an unforeseen way", submission_id)
            if gate.sent_at is None:
                release(context, claimed, f"fault: {error}", delay_seconds=_AFTER_OWN_FAULT)
            else:
                _lose(context, claimed, gate, f"fault: {error}")


def _lose(context: Context, claimed: Claimed, gate: "_TurnGate", detail: str, code: str | None = None) -> None:
    assert claimed.submission.id is not None
    said = "the service stopped while it was sent" if context.stop.is_set() else detail
    with context.database.write() as session:
        store.lost(
            session, claimed.submission.id, claimed.fences, said, ended_at=now_ms(), sent_at=gate.sent_at, code=code
        )


def _end_file(context: Context, claimed: Claimed, gate: "_TurnGate", error: OSError) -> None:
    """The file could not be read. Before the request left this is its end; in the middle of it, half a body is no upload."""
    source = claimed.items[0].source
    message = f"{source} cannot be read: {error.strerror}"
    if gate.sent_at is None:
        _end_unsent(context, claimed, News.UNFIT, error_code="unreadable", error=message)
        return
    _lose(context, claimed, gate, message)


def release(
    context: Context, claimed: Claimed, detail: str, *, code: str | None = None, delay_seconds: float = 0.0
) -> None:
    with context.database.write() as session:
        store.released(session, claimed, detail, code=code, delay_seconds=delay_seconds)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a submission was given: a video_no, or a task id; and what was sent, if it was a file."""

    video_no: str | None = None
    task_id: str | None = None
    body: FileBody | None = None


def _call(context: Context, lane: Lane, claimed: Claimed, gate: "_TurnGate") -> _Answer:
    submission, first, upstream = claimed.submission, claimed.items[0], context.upstream(lane)
    callback = _callback(context, submission.operation, submission.short_id)
    if first.kind == Kind.FILE:
        path = Path(first.source)
        named = (first.details or {}).get("title")
        name = sent_name(
            f"{named}{path.suffix}" if named else path.name, submission.short_id if context.settings.name_ids else None
        )
        with FileBody(path, name, content.content_type(path)) as body:
            return _Answer(upstream.upload(body, submission.unique_id, callback, _details(first), gate), body=body)
    if first.kind == Kind.LINK:
        return _Answer(upstream.upload_url(first.source, submission.unique_id, callback, _details(first), gate))
    urls = [item.source for item in claimed.items if item.id in claimed.fences]
    public = submission.library == "public"
    return _Answer(task_id=upstream.scraper_url(urls, submission.unique_id, callback, first.quality, public, gate))


def _details(item: Item) -> Details:
    given = {name: value for name, value in (item.details or {}).items() if name != "title"}
    return Details(tags=tuple(item.tags or ()), **given)


def _record(context: Context, lane: Lane, claimed: Claimed, gate: "_TurnGate", answer: _Answer) -> None:
    """The answer is the only carrier of its id: a database that is away for a moment must not cost it."""
    deadline = time.monotonic() + context.timings.lease
    while True:
        try:
            with context.database.write() as session:
                due_at = now_ms() + round(pauses.first_question(context.settings) * 1000)
                store.accepted(
                    session,
                    claimed,
                    video_no=answer.video_no,
                    task_id=answer.task_id,
                    sent_at=gate.sent_at,
                    due_at=due_at,
                )
                pauses.passed(session, lane)
            break
        except OperationalError as error:
            if time.monotonic() > deadline:
                raise
            log.warning("An answer could not be recorded, trying again: %s", error.orig)
            time.sleep(_RECORD_AGAIN)
    body, item_id = answer.body, claimed.items[0].id
    if body is not None and body.sha256 is not None and item_id is not None:
        with context.database.write() as session:  # on its own: who owns the content must not undo what was accepted
            store.learn_content(session, item_id, body.sha256, body.size, None)


def _callback(context: Context, operation: str, short_id: str) -> str | None:
    door = "scraper" if operation.startswith("scraper") else "upload"
    url = callback_url(context.settings.public_url, context.secret, door, short_id)
    if url and len(url) > CALLBACK_LIMIT:
        log.error(
            "INGEST_PUBLIC_URL is too long: the callback address has %d characters, Memories.ai keeps 299",
            len(url),
        )
        return None
    return url


class _TurnGate(LeaseGate):
    """As every gate, and it wakes the next turn once its own slot is used."""

    def __init__(self, place: Place, context: Context, submission_id: int, lane: Lane) -> None:
        super().__init__(place, context, submission_id)
        self._lane = lane

    def wrote(self) -> None:
        super().wrote()
        self._context.nudger.turn(self._lane)
