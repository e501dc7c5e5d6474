"""Where do things stand? Items that Memories.ai has are asked about when due: hinted at, or by schedule with back-off.

The cheapest question is asked: by id for a few, the list (200 a page) for many, the task for a scrape, the public detail for public
videos. The list lags: absent or pending means ask again, never FAIL before the deadline.
"""

import logging
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

from sqlmodel import Session

from ingest import queries, store
from ingest.candidates import created_ms
from ingest.clock import now_ms
from ingest.durations import say_duration
from ingest.lanes import Lane
from ingest.models import PUBLIC, Item, Submission
from ingest.sources import posts
from ingest.statuses import News, Stage, Status
from ingest.upstream.client import LIST_PAGE
from ingest.upstream.fields import Video, Word
from workers import creators
from workers.asking import AFTER_TROUBLE, NoAnswer, NotNow, ask, ask_until, delay
from workers.context import Context

log = logging.getLogger(__name__)

#: Up to so many ids one by one; more go to the list.
_FEW = 3
#: Whoever took items to ask about has so long, then others may, seconds.
_HOLD = 60.0
_LATE_QUESTIONS = 6
#: A task that is said to have failed may have brought some posts, and the list lags: so many looks before its word is taken.
_FAILED_TASK_LOOKS = 3
#: An account that others fill too holds many videos that are not ours; each costs a question.
_MOST_STRANGERS = 60


def run(context: Context) -> None:
    """Ask about everything that is due, until nothing is or no answer comes."""
    while not context.stop.is_set() and context.pause_of(Lane.LIST) is None:
        with context.database.write() as session:
            known = store.take_due(session, Status.UNPARSE, LIST_PAGE, _HOLD, has_video=True)
            tasks = store.take_due(session, Status.UNPARSE, LIST_PAGE, _HOLD, lanes=[Lane.SCRAPE], has_video=False)
            late = store.take_late(session, LIST_PAGE, _HOLD)
        if not (known or tasks or late):
            return
        answered = _about_videos(context, [item for item in known + late if item.video_no])
        answered &= _about_tasks(context, [item for item in tasks + late if not item.video_no])
        if not answered:
            return  # trouble: the rest waits for the next tick, not for a storm of questions


def each_group(context: Context, groups: Iterable[tuple[Sequence[Item], Callable[[], None]]]) -> bool:
    """Ask about one group after the other; False when one got no answer.

    What goes wrong with one group, in our own code too, must not keep the others from being asked.
    """
    answered = True
    for items, ask_about in groups:
        try:
            ask_about()
        except NotNow:
            put_off(context, items, AFTER_TROUBLE)
            answered = False
        except Exception:
            log.exception("Items %s could not be asked about", [item.id for item in items][:10])
            put_off(context, items, _AFTER_FAULT)
    return answered


# Videos whose number is known


def _about_videos(context: Context, items: Sequence[Item]) -> bool:
    by_place: dict[tuple[str, str], list[Item]] = defaultdict(list)
    for item in items:
        by_place[item.unique_id, item.library].append(item)
    groups: list[tuple[Sequence[Item], Callable[[], None]]] = []
    for (unique_id, library), group in by_place.items():
        if library == PUBLIC or len(group) <= _FEW:
            groups += [([item], partial(_ask_one, context, item)) for item in group]
        else:
            groups.append((group, partial(_ask_list, context, unique_id, group)))
    return each_group(context, groups)


def _ask_one(context: Context, item: Item) -> None:
    video = look_up(context, item.video_no or "", item.unique_id, item.library)
    with context.database.write() as session:
        hear(context, session, item, video)


def _ask_list(context: Context, unique_id: str, items: Sequence[Item]) -> None:
    numbers = {item.video_no for item in items if item.video_no}
    listed = None if context.filter_ignored else _some(context, unique_id, numbers)
    if listed is None:
        oldest = min(item.accepted_at or item.created_at for item in items)
        listed = sweep(context, unique_id, oldest, until=numbers)
    found = {video.video_no: video for video in listed}
    with context.database.write() as session:
        for item in items:
            hear(context, session, item, found.get(item.video_no or ""))


def _some(context: Context, unique_id: str, numbers: set[str]) -> list[Video] | None:
    """These videos from the list; None where the vendor ignores ``video_nos``, which ids not asked for give away."""
    listed = ask(context, Lane.LIST, lambda up, gate: up.list_videos(unique_id, 1, gate, sorted(numbers)))
    if {video.video_no for video in listed} <= numbers:
        return listed
    log.info("Memories.ai does not honour video_nos here; the list is swept instead")
    context.filter_ignored = True
    return None


def look_up(context: Context, number: str, unique_id: str, library: str) -> Video | None:
    """One video by its number; None where it is not there (yet)."""
    try:
        if library == PUBLIC:
            return ask(context, Lane.DETAIL, lambda up, gate: up.public_detail(number, gate))
        return ask(context, Lane.DETAIL, lambda up, gate: up.metadata(number, unique_id, gate))
    except NoAnswer:  # the call is no part of the seed: some deployments may not have it
        listed = [] if library == PUBLIC else _some(context, unique_id, {number}) or []
        return next((video for video in listed if video.video_no == number), None)


def _page(context: Context, unique_id: str, page: int) -> list[Video]:
    return ask(context, Lane.LIST, lambda up, gate: up.list_videos(unique_id, page, gate))


def sweep(context: Context, unique_id: str, oldest_ms: int, until: set[str] | None = None) -> list[Video]:
    """The list of a namespace, newest first, back to what is older than ``oldest_ms`` or until all of ``until`` were seen.

    Pages shift while uploads run, so it is keyed by id and ends at an empty page, not at a count (contract B.3 L1).
    """
    seen: dict[str, Video] = {}
    page, newest_first, first, before = 1, True, -math.inf, math.inf
    while True:
        listed = _page(context, unique_id, page)
        seen.update({video.video_no: video for video in listed})
        times = [created_ms(video) for video in listed]
        # The order is stated nowhere: only where it was seen to hold so far does an old page end the list.
        known = [made for made in times if made is not None]
        newest_first &= len(known) == len(times) and all(a >= b for a, b in pairwise([before, *known]))
        first, before = max([first, *known[:1]]), known[-1] if known else before
        past = newest_first and first > before and max(known, default=math.inf) < oldest_ms - _SWEEP_SLACK_MS
        if not listed or past or (until is not None and until <= seen.keys()):
            return list(seen.values())
        page += 1


#: A page counts as too old only when all of it is older by this much: clocks differ, and the order is not promised.
_SWEEP_SLACK_MS = 120_000


# Posts whose task is known


def _about_tasks(context: Context, items: Sequence[Item]) -> bool:
    return each_group(
        context,
        [
            (group, partial(look_at_task, context, submission, {item.id for item in group if item.id}))
            for submission, group in by_submission(context, items)
        ],
    )


def by_submission(context: Context, items: Iterable[Item]) -> list[tuple[Submission, list[Item]]]:
    """Items with the submission that they travelled in last."""
    groups: dict[int, list[Item]] = defaultdict(list)
    for item in items:
        if item.submission_id is not None:
            groups[item.submission_id].append(item)
    with context.database.read() as session:
        submissions = queries.submissions(session, groups)
    return [(submissions[number], group) for number, group in groups.items()]


def look_at_task(context: Context, submission: Submission, asked_about: set[int]) -> None:
    """What a scrape has produced so far, matched to its items by platform and post id, never by order.

    Items of ``asked_about`` that do not appear are asked about again, or expire.
    """
    assert submission.id is not None
    if creators.is_look(submission):
        creators.look(context, submission)
        return
    task_id, unique_id = submission.task_id, submission.unique_id
    videos = (
        ask(context, Lane.TASK_STATUS, lambda up, gate: up.task_videos(task_id, unique_id, gate)) if task_id else []
    )
    with context.database.read() as session:
        items = queries.items_by_id(session, submission.item_ids)
    by_post = {(item.platform, item.post_id): item for item in items}
    by_number = {item.video_no: item for item in items if item.video_no}
    matched: dict[int, Video] = {}
    unmatched = []
    for video in videos:
        if submission.library == PUBLIC:  # public videos are in no list: their own detail alone confirms their state
            video = replace(video, word=Word.PENDING)
        item = by_number.get(video.video_no) or by_post.get(_post_of(context, submission, video))
        if (
            item is not None
            and item.submission_id != submission.id
            and video.video_no in (item.duplicate_upstream or ())
        ):
            continue  # a person sends the post again: what an older scrape made of it is known
        if item is None or item.id is None:
            unmatched.append(video.video_no)
        else:
            matched[item.id] = video
    missing = [item for item in items if item.id in asked_about and item.id not in matched]
    matched |= _brought_by_a_lost_task(context, submission, missing)
    with context.database.write() as session:
        if unmatched:
            store.note_unmatched(session, submission.id, unmatched)
        for item in items:
            assert item.id is not None
            if item.id in matched:
                _hear_of_post(context, session, item, matched[item.id], submission)
            elif item.id in asked_about:
                _hear_nothing_of_post(context, session, item, submission)


def _brought_by_a_lost_task(context: Context, submission: Submission, missing: Sequence[Item]) -> dict[int, Video]:
    """At the deadline, posts that an earlier scrape may have brought whose answer was lost, and its task with it: they are in the list."""
    late = {
        (item.platform, item.post_id): item
        for item in missing
        if item.attempts > 1 and item.status == Status.UNPARSE and _passed(_waits_since(item), context.timings.scrape)
    }
    if not late or submission.library == PUBLIC:  # public videos are in no list
        return {}
    listed = sweep(context, submission.unique_id, min(item.created_at for item in late.values()))
    with context.database.read() as session:
        owned = queries.owned(session, [video.video_no for video in listed])
    found: dict[int, Video] = {}
    strangers = [video for video in listed if video.video_no not in owned]
    for video in strangers[:_MOST_STRANGERS]:
        if len(found) == len(late):
            break
        try:
            item = late.get(_post_of(context, submission, video))
        except NoAnswer:
            break  # nothing here tells where a video came from
        if item is not None and item.id is not None:
            found[item.id] = video
    return found


def _post_of(context: Context, submission: Submission, video: Video) -> tuple[str | None, str | None]:
    """Platform and post id of a video; where the task gave ids only, its detail says where it came from."""
    url = video.url
    if url is None:
        if submission.library == PUBLIC:
            detail = ask(context, Lane.DETAIL, lambda up, gate: up.public_detail(video.video_no, gate))
        else:
            detail = ask(
                context,
                Lane.DETAIL,
                lambda up, gate: up.private_details(video.video_no, submission.unique_id, gate),
            )
        url = detail.url if detail else None
    post = posts.recognise(url) if url else None
    return (post.platform, post.post_id) if isinstance(post, posts.Post) else (None, None)


def _hear_of_post(context: Context, session: Session, item: Item, video: Video, submission: Submission) -> None:
    assert item.id is not None
    if item.video_no not in (None, video.video_no):
        store.note_second_video(session, item.id, video.video_no)
        return
    given_up = item.status == Status.FAIL and item.video_no is not None  # that it is not ready is no news
    if item.status != Status.UNPARSE and video.word is Word.PENDING and not given_up:
        values = {
            "video_no": video.video_no,
            "task_id": submission.task_id,
            "accepted_at": now_ms(),
            "due_at": now_ms(),
        }
        store.tell(session, item.id, News.IDENTIFIED, submission_id=submission.id, values=values)
        return
    store.found_video(session, item.id, video.video_no)
    if submission.library == PUBLIC and item.video_no is None:
        store.make_due(session, [item.id])  # its detail is asked next
        return
    item.video_no = video.video_no
    hear(context, session, item, video)


def _hear_nothing_of_post(context: Context, session: Session, item: Item, submission: Submission) -> None:
    assert item.id is not None
    since = _waits_since(item)
    if (
        submission.hinted_task_state == Word.BROKEN
        and item.status == Status.UNPARSE
        and item.asked >= _FAILED_TASK_LOOKS
    ):
        values = {
            "error_code": "task_failed",
            "error": "Memories.ai reports that the scrape failed, and the post is not in it",
        }
        store.tell(session, item.id, News.BROKEN, submission_id=submission.id, values=values)
    elif _passed(since, context.timings.scrape):
        said = f"the post did not appear within {say_duration(context.timings.scrape)} (task {submission.task_id})"
        values = {"error_code": "never_appeared", "error": said}
        if not store.tell(session, item.id, News.EXPIRED, submission_id=submission.id, values=values):
            store.no_late_news(session, [item.id])
    else:
        ask_until(context, session, item, context.timings.scrape)


def _waits_since(item: Item) -> int:
    return item.accepted_at or item.updated_at


# What an answer means for an item


def hear(context: Context, session: Session, item: Item, video: Video | None) -> None:
    """A confirmed state of an item's video; None where the list does not have it (yet)."""
    assert item.id is not None
    values: dict[str, Any] = {"video_no": item.video_no}
    if video is not None and video.word is Word.READY:
        store.tell(session, item.id, News.READY, submission_id=item.submission_id, values=values)
    elif video is not None and video.word is Word.BROKEN:
        cause = video.cause or "no cause was given"
        values |= {"error_code": "not_indexed", "error": f"Memories.ai could not index it: {cause}"}
        store.tell(session, item.id, News.BROKEN, submission_id=item.submission_id, values=values)
    elif item.stage == Stage.EXPIRED:
        _still_late(context, session, item)
    elif _passed(item.accepted_at or item.updated_at, context.timings.parse):
        where = "it is not in the list" if video is None else f"its status is {video.raw_status}"
        said = f"{item.video_no} was not ready within {say_duration(context.timings.parse)}; {where}"
        store.tell(
            session,
            item.id,
            News.EXPIRED,
            submission_id=item.submission_id,
            values={"error_code": "not_ready", "error": said},
        )
    else:
        ask_until(context, session, item, context.timings.parse)


def _still_late(context: Context, session: Session, item: Item) -> None:
    assert item.id is not None
    if item.asked >= _LATE_QUESTIONS:
        store.no_late_news(session, [item.id])
    else:
        store.ask_again(session, item, delay(context, item))


def put_off(context: Context, items: Sequence[Item], seconds: float) -> None:
    """No answer: due again soon. The question was not asked, so it is not counted."""
    with context.database.write() as session:
        store.put_off(session, [item.id for item in items if item.id], seconds)


#: After a fault of our own that a person must look at, seconds.
_AFTER_FAULT = 60.0


def _passed(since_ms: int, seconds: float) -> bool:
    return now_ms() > since_ms + seconds * 1000
