"""A lane's turn: get in line, claim when the slot is about to open, send at the slot, record.

Several turns of one lane run at once, because an upload may take minutes while a slot comes each second; a turn that was granted its
slot nudges the next one.
"""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from sqlalchemy.exc import OperationalError

from ingest import captions, content, following, pauses, queries, store
from ingest.candidates import sent_name
from ingest.captions import Asked, is_link
from ingest.clock import now_ms
from ingest.durations import jittered
from ingest.lanes import ALSO, CAPTION_LANES, Lane, Limit
from ingest.models import Item
from ingest.quota import NotSoon, Place, QuotaUnavailable, SlotLost, Stopped
from ingest.settings import Account
from ingest.sources.found import Kind
from ingest.statuses import News
from ingest.store import Claimed
from ingest.tokens import callback_url
from ingest.upstream.client import CALLBACK_LIMIT, Details, FileBody, Gate, Person, Picture, Upstream, Wish
from ingest.upstream.errors import AccountTrouble, Refused, TooFast, Unavailable, Unsure
from workers import captions as captions_of
from workers import fitness, isolation
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
    if lane in CAPTION_LANES and not context.patient.acquire(blocking=False):
        return  # answers may take minutes: they must not hold every thread
    try:
        _turn(context, lane, account, limit)
    finally:
        if lane in CAPTION_LANES:
            context.patient.release()


def _turn(context: Context, lane: Lane, account: Account, limit: Limit | None) -> None:
    prepared = None
    try:
        if limit and context.quota.waiting(account, lane) >= wanted_turns(limit.interval):
            return
        with context.quota.line(account, lane, *ALSO.get(lane, ()), stop=context.stop) as place:
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
        if claimed is None or claimed.suspect:
            return claimed
        if (fit := fitness.fit(context, claimed)) is not None:
            return fit
    return None


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
                if lane is Lane.IMAGE and len(claimed.fences) > 1:
                    store.separate(session, claimed, f"{error.code}: {error.message}", error.code)
                    return
                store.refused(session, claimed, error.code, error.message, gate.sent_at)
                pauses.passed(session, lane)
        except TooFast as error:
            for one in (lane, *ALSO.get(lane, ())):
                context.close_lane(one, error)
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
        except content.Unfit as error:  # a part that could not be cut, no address to call back: nothing was sent
            with context.database.write() as session:
                fitness.close_unsent(session, claimed, News.UNFIT, error_code=error.code, error=str(error))
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
    message = f"{error.filename or source} cannot be read: {error.strerror}"
    if gate.sent_at is None and (len(claimed.fences) > 1 or error.filename not in (None, source)):
        # One of several, somebody's picture, or our own spool: the next look finds which, and ends that one alone.
        release(context, claimed, message, delay_seconds=_AFTER_FAULT)
        return
    if gate.sent_at is None:
        with context.database.write() as session:
            fitness.close_unsent(session, claimed, News.UNFIT, error_code="unreadable", error=message)
        return
    _lose(context, claimed, gate, message)


def release(
    context: Context, claimed: Claimed, detail: str, *, code: str | None = None, delay_seconds: float = 0.0
) -> None:
    with context.database.write() as session:
        store.released(session, claimed, detail, code=code, delay_seconds=delay_seconds)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a submission was given: a video_no, a task id, or at once all there is, by item; and what was sent, if it was a file."""

    video_no: str | None = None
    task_id: str | None = None
    body: FileBody | None = None
    results: Mapping[int, Mapping[str, Any]] | None = None


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
    if first.kind == Kind.IMAGE:
        return _pictures(upstream, claimed, gate)
    if first.kind == Kind.CAPTION:
        return _caption(context, upstream, claimed, callback, gate)
    public = submission.library == "public"
    if first.kind == Kind.CREATOR:
        return _Answer(task_id=_look_at_creator(upstream, first, callback, public, gate))
    urls = [item.source for item in claimed.items if item.id in claimed.fences]
    return _Answer(task_id=upstream.scraper_url(urls, submission.unique_id, callback, first.quality, public, gate))


def _look_at_creator(upstream: Upstream, item: Item, callback: str | None, public: bool, gate: Gate) -> str:
    asked = following.Asked.read(item.wish or {})
    if asked.tag:
        return upstream.scraper_tag([asked.tag], asked.count, item.unique_id, callback, public, gate)
    return upstream.scraper(item.source, asked.count, item.unique_id, callback, public, gate)


def _pictures(upstream: Upstream, claimed: Claimed, gate: Gate) -> _Answer:
    items = [item for item in claimed.items if item.id in claimed.fences]
    short_id = claimed.submission.short_id
    # All that is said of one is said of all: that is what made them travel together.
    details = _details(items[0])
    pictures = [
        Picture(
            Path(item.source),
            sent_name(Path(item.source).name, short_id),
            content.content_type(Path(item.source)),
            details,
        )
        for item in items
    ]
    told = upstream.upload_images(pictures, claimed.submission.unique_id, gate)
    return _Answer(
        results={item.id: {"video_no": one.image.image_no} for item, one in zip(items, told, strict=True) if item.id}
    )


def _caption(context: Context, upstream: Upstream, claimed: Claimed, callback: str | None, gate: Gate) -> _Answer:
    item, asked = claimed.items[0], Asked.read(claimed.items[0].wish or {})
    assert item.id is not None
    persons = tuple(
        Person(name, url=source)
        if is_link(source)
        else Person(name, path=Path(source), content_type=content.content_type(Path(source)))
        for name, source in asked.persons
    )
    wish = Wish(asked.prompt, asked.system_prompt, persons, asked.thinking)
    with ExitStack() as stack:
        source: str | FileBody = item.source
        if not is_link(item.source):
            path = stack.enter_context(fitness.part_of(context, item, claimed.submission.short_id))
            name = sent_name(Path(item.source).name, claimed.submission.short_id)
            source = stack.enter_context(FileBody(path, name, content.content_type(path)))
        if asked.media == captions.IMAGE:
            told = upstream.caption_image(source, wish, gate)
        elif asked.now:
            told = upstream.caption_video_now(source, wish, gate)
        else:
            if callback is None:
                said = "a caption comes by callback, and there is no address for one: set INGEST_PUBLIC_URL, or ask with --sync"
                raise content.Unfit("no_callback", said)
            return _Answer(task_id=upstream.caption_video(source, wish, callback, gate))
    return _Answer(results={item.id: {"result": captions.result_of(told)}})


def _details(item: Item) -> Details:
    given = {name: value for name, value in (item.details or {}).items() if name != "title"}
    return Details(tags=tuple(item.tags or ()), **given)


def _record(context: Context, lane: Lane, claimed: Claimed, gate: "_TurnGate", answer: _Answer) -> None:
    """The answer is the only carrier of its id: a database that is away for a moment must not cost it."""
    deadline = time.monotonic() + context.timings.lease
    while True:
        try:
            with context.database.write() as session:
                if answer.results is not None:
                    store.completed(session, claimed.submission.id or 0, answer.results, sent_at=gate.sent_at)
                    captions_of.parts_ended(session, claimed.items)
                    pauses.passed(session, lane)
                    break
                wait = context.timings.caption if lane in CAPTION_LANES else pauses.first_question(context.settings)
                due_at = now_ms() + round(wait * 1000)
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
    door = "scraper" if operation.startswith("scraper") else "caption" if operation == store.CAPTION else "upload"
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
