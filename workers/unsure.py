"""Items whose answer was lost: adopt the video they became, or prove that there is none and send again. Never blindly twice."""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from sqlmodel import Session

from ingest import queries, store
from ingest.candidates import Absent, Adopt, Ambiguous, Finding, Unsettled, settle, short_ids_in
from ingest.clock import now_ms
from ingest.durations import jittered, say_duration
from ingest.lanes import Lane
from ingest.models import Item, Submission
from ingest.statuses import News, Status
from ingest.upstream.fields import Video, Word
from workers.asking import NoAnswer, delay
from workers.context import Context
from workers.questions import by_submission, each_group, hear, look_at_task, look_up, sweep

log = logging.getLogger(__name__)

_HOLD = 120.0
_AT_ONCE = 500
#: The first look comes so soon after the loss, seconds; later ones back off.
_FIRST = 2.0
#: A list that is refused so often, and past the deadline, will not be given.
_REFUSALS = 3


def run(context: Context) -> None:
    """Settle what is due, namespace by namespace."""
    if context.pause_of(Lane.LIST) is not None:
        return
    with context.database.write() as session:
        uploads = store.take_due(session, Status.UNSURE, _AT_ONCE, _HOLD, lanes=[Lane.UPLOAD])
        scrapes = store.take_due(session, Status.UNSURE, _AT_ONCE, _HOLD, lanes=[Lane.SCRAPE])
    by_namespace: dict[str, list[Item]] = defaultdict(list)
    for item in uploads:
        by_namespace[item.unique_id].append(item)
    each_group(
        context,
        [(items, partial(_settle_or_expire, context, unique_id, items)) for unique_id, items in by_namespace.items()],
    )
    _settle_scrapes(context, scrapes)


# Posts


def _settle_scrapes(context: Context, items: Sequence[Item]) -> None:
    """A repeated scrape is free (contract B.2 U3): look at the task if a callback named it, then send again what it does not hold."""
    each_group(
        context,
        [
            (group, partial(_settle_scrape, context, submission, group))
            for submission, group in by_submission(context, items)
        ],
    )


def _settle_scrape(context: Context, submission: Submission, items: Sequence[Item]) -> None:
    if submission.task_id:
        look_at_task(context, submission, set())
    with context.database.write() as session:
        for item in items:
            _send_again(context, session, item, "a repeated scrape is free")


# Files and links


def _settle_or_expire(context: Context, unique_id: str, items: Sequence[Item]) -> None:
    """As below; where Memories.ai answers, but not to the question, nothing will ever be proved: then the deadline ends it."""
    try:
        _settle_uploads(context, unique_id, items)
    except NoAnswer as error:
        with context.database.write() as session:
            submissions = queries.submissions(session, {item.submission_id for item in items if item.submission_id})
            for item in items:
                ended = submissions[item.submission_id or 0].ended_at or now_ms()
                if item.asked < _REFUSALS:
                    store.ask_again(session, item, delay(context, item))  # one refusal is none
                elif now_ms() > ended + context.timings.parse * 1000:
                    said = f"no answer came, and whether it arrived could not be asked: {error}"
                    _tell(session, item, News.EXPIRED, {"error_code": "ambiguous", "error": said})
        raise


def _settle_uploads(context: Context, unique_id: str, items: Sequence[Item]) -> None:
    with context.database.read() as session:
        submissions = queries.submissions(session, {item.submission_id for item in items if item.submission_id})
    left = [item for item in items if not _confirm_hint(context, item, submissions)]
    if left:
        _sweep_for(context, unique_id, left)


def _confirm_hint(context: Context, item: Item, submissions: dict[int, Submission]) -> bool:
    """A callback with the submission's token named a video: it is this item's when the vendor confirms the id."""
    number = submissions[item.submission_id or 0].hinted_video_no
    if number is None:
        return False
    video = look_up(context, number, item.unique_id, item.library)
    if video is None:
        return False  # the list lags; the sweep below looks as well, and asks again
    with context.database.write() as session:
        _identify(session, item, number)
        item.video_no = number
        if video.word is not Word.PENDING:
            hear(context, session, item, video)
    return True


def _sweep_for(context: Context, unique_id: str, items: Sequence[Item]) -> None:
    """One complete sweep of the namespace, and what it says about each of the items."""
    started = now_ms()
    clock_known = context.upstream(Lane.LIST).spoke
    with context.database.read() as session:
        unsettled = [_unsettled(context, one) for one in queries.unsettled_submissions(session, unique_id)]
    if not unsettled:
        return  # settled meanwhile
    videos = sweep(context, unique_id, min(one.since_ms for one in unsettled))
    findings = _findings(context, unique_id, unsettled, videos)
    with context.database.write() as session:
        submissions = queries.submissions(session, {item.submission_id for item in items if item.submission_id})
        for item in items:
            finding = findings.get(item.submission_id or 0)
            if isinstance(finding, Absent) and not clock_known:
                # How far the vendor's clock is off is known from this answer on: the next sweep may prove absence.
                store.ask_again(session, item, _FIRST)
            elif finding is not None:
                _conclude(context, session, item, submissions[item.submission_id or 0], finding, started)


def _findings(
    context: Context, unique_id: str, unsettled: Sequence[Unsettled], videos: Sequence[Video]
) -> dict[int, Finding]:
    with context.database.read() as session:
        # Read after the sweep: what was answered meanwhile is owned now.
        owned = queries.owned(session, [video.video_no for video in videos])
        others = queries.known_short_ids(session, short_ids_in(videos)) - {one.short_id for one in unsettled}
        # Being sent, or lost since the sweep began: their videos are theirs, not those of the ones we settle.
        rivals = queries.open_submissions(session, unique_id) + queries.unsettled_submissions(session, unique_id)
        swept = {one.submission_id for one in unsettled}
        under_way = [_unsettled(context, one) for one in rivals if one.id not in swept]
        strangers = queries.posts_on_their_way(session, unique_id)
    return settle(unsettled, videos, owned, others, under_way, strangers)


def _unsettled(context: Context, one: Submission) -> Unsettled:
    assert one.id is not None
    # Without the moment of sending (its sender died), the moment it was written down is the earliest.
    ended = one.ended_at or now_ms()
    # Creation times are by the vendor's clock. Where that differs the window is wider, never moved: one candidate too many leaves it
    # unsure, one too few sends it twice.
    ahead = round((context.upstream(Lane.LIST).ahead or 0.0) * 1000)
    return Unsettled(
        submission_id=one.id,
        short_id=one.short_id,
        since_ms=(one.sent_at or one.created_at) + min(0, ahead),
        until_ms=min(now_ms(), ended + round(context.timings.unsure * 1000)) + max(0, ahead),
        size=one.size,
        name_hint=one.name_hint,
    )


def _conclude(
    context: Context, session: Session, item: Item, submission: Submission, finding: Finding, started: int
) -> None:
    assert item.id is not None and submission.id is not None
    ended = submission.ended_at or submission.lease_until
    proof_at = ended + round(context.timings.unsure * 1000)
    match finding:
        case Adopt(number) if queries.owned(session, [number]):
            store.ask_again(session, item, _FIRST)  # another row was faster by a moment
        case Adopt(number, also):
            _identify(session, item, number)
            for second in also:
                store.note_second_video(session, item.id, second)
        case Absent() if submission.absences >= 1 and started >= proof_at:
            _send_again(context, session, item, "two complete sweeps of the list show that it never arrived")
        case Absent():
            soon = max(_FIRST, min(delay(context, item), (proof_at - now_ms()) / 1000 + 0.1))
            store.count_absence(session, submission.id, started)
            store.ask_again(session, item, soon)
        case Ambiguous(numbers):
            if now_ms() > ended + context.timings.parse * 1000:
                said = (
                    f"no answer came, and for {say_duration(context.timings.parse)} it could not be told which of these videos "
                    f"it is: {', '.join(numbers[:10])}"
                )
                values = {"error_code": "ambiguous", "error": said}
                _tell(session, item, News.EXPIRED, values)
            else:
                store.ask_again(session, item, delay(context, item))


def _identify(session: Session, item: Item, video_no: str) -> None:
    assert item.id is not None
    values = {"video_no": video_no, "accepted_at": now_ms(), "due_at": now_ms(), "asked": 0}
    _tell(session, item, News.IDENTIFIED, values)
    store.unpark(session, video_no)


def _send_again(context: Context, session: Session, item: Item, why: str) -> None:
    assert item.id is not None
    if item.killed_alone:
        _tell(session, item, News.POISONED, store.poison(item, item.lost_workers - 1))
        return
    if item.attempts >= store.MOST_ATTEMPTS:
        said = f"it was sent {item.attempts} times and never arrived"
        values = {"error_code": "never_arrived", "error": said}
        _tell(session, item, News.EXPIRED, values)
        return
    # Each attempt waits a little longer than the one before.
    values_again = {"due_at": now_ms() + round(jittered(2.0**item.attempts * 0.5) * 1000), "asked": 0}
    _tell(session, item, News.ABSENT, values_again, why)


def _tell(session: Session, item: Item, news: News, values: Mapping[str, Any], detail: str | None = None) -> None:
    """News about the submission that was looked into, not about one that the item travels in since."""
    assert item.id is not None
    guard = Item.__table__.c.submission_id == item.submission_id  # type: ignore[attr-defined]
    number = item.submission_id
    store.tell(session, item.id, news, detail=detail, submission_id=number, values=values, guard=guard)
