"""Followed profiles: begin what is due, read what a look of the vendor has brought, end the runs.

A look is one item of kind ``creator`` that carries a scraper task; every video that the task reports becomes an item of its own. Nothing
says when a task is complete, so a look ends when as many posts came as were asked for, or none is new for ``quiet``.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlmodel import Session

from ingest import following, queries, store
from ingest.clock import now_ms
from ingest.durations import say_duration
from ingest.following import Asked, SeenPost
from ingest.lanes import Lane
from ingest.models import PUBLIC, Item, Job, Run, Submission
from ingest.sources import posts
from ingest.sources.found import Found, Kind
from ingest.sources.posts import Post
from ingest.statuses import News, Status
from ingest.store import Reported
from ingest.upstream.fields import Video, Word
from workers.asking import ask, ask_until
from workers.context import Context

#: A task that is said to have failed may have brought some posts, and the list lags: so many looks before its word is taken.
_FAILED_LOOKS = 3


def run(context: Context) -> None:
    """Begin runs that are due, end those whose task is done."""
    with context.database.write() as session:
        begun = following.take_due(session)
    if any(one.how == following.VENDOR for one in begun):
        context.nudger.turn(Lane.SCRAPE)
    with context.database.write() as session:
        following.end_vendor_runs(session)


def is_look(submission: Submission) -> bool:
    """Whether this submission scrapes a profile or hashtag, not posts by name."""
    return submission.operation.startswith("scraper") and not submission.operation.startswith("scraper_url")


def look(context: Context, submission: Submission) -> None:
    """What the task of a look has brought so far; its new posts become items."""
    task_id, unique_id = submission.task_id, submission.unique_id
    videos = (
        ask(context, Lane.TASK_STATUS, lambda up, gate: up.task_videos(task_id, unique_id, gate)) if task_id else []
    )
    with context.database.read() as session:
        (item,) = queries.items_by_id(session, submission.item_ids)
        run = queries.run_of_item(session, item.id or 0)
    told = item.result or {}
    reported = _posts_of(context, submission, [one for one in videos if one.video_no not in told.get("videos", [])])
    with context.database.write() as session:
        if reported:
            told = _take_in(session, submission, item, run, told, reported)
        _go_on(context, session, submission, item, told)


def _posts_of(context: Context, submission: Submission, videos: Sequence[Video]) -> list[tuple[Video, Post | None]]:
    """Videos with the post that each is; None where nothing tells."""
    found: list[tuple[Video, Post | None]] = []
    for video in videos:
        url = video.url
        if url is None:
            detail = ask(context, Lane.DETAIL, _detail(submission, video.video_no))
            if detail is None:
                continue  # not there yet; the next look finds it
            video = replace(detail, video_no=video.video_no)
            url = detail.url
        post = posts.recognise(url) if url else None
        found.append((video, post if isinstance(post, Post) else None))
    return found


def _detail(submission: Submission, number: str) -> Any:
    if submission.library == PUBLIC:
        return lambda up, gate: up.public_detail(number, gate)
    return lambda up, gate: up.private_details(number, submission.unique_id, gate)


def _take_in(
    session: Session,
    submission: Submission,
    item: Item,
    run: Run | None,
    told: dict[str, Any],
    reported: Sequence[tuple[Video, Post | None]],
) -> dict[str, Any]:
    """New posts become items, known ones are noted; what the look has brought stands in its item's result."""
    assert item.id is not None and submission.id is not None
    if run is not None:
        following.alone(session, run.creator_id)
    named = {post.key: (video, post) for video, post in reported if post is not None}
    strangers = [video.video_no for video, post in reported if post is None]
    if strangers:
        store.note_unmatched(session, submission.id, [*(submission.unmatched or []), *strangers])
    job = session.get_one(Job, item.job_id)
    reports = [Reported(_found(video, post), video.video_no) for video, post in named.values()]
    items = store.add_reported(session, job, submission, item.id, reports)
    changed = 0
    if run is not None:
        seen = [
            SeenPost(key, _address(video, post), items[key][0], video.name, posts.published_ms(post))
            for key, (video, post) in named.items()
        ]
        changed = following.saw(session, run, seen)
    fresh = [items[key][0] for key in named if items[key][1]]
    result = {
        "videos": [*told.get("videos", []), *(video.video_no for video, _ in reported)],
        "posts": [*told.get("posts", []), *(key for key in named if key not in told.get("posts", []))],
        "new": [*told.get("new", []), *fresh],
        "changed": told.get("changed", 0) + changed,
        "last_new_at": now_ms(),
    }
    store.note_result(session, item.id, result, f"{len(fresh)} new posts, {len(named) - len(fresh)} known")
    return result


def _found(video: Video, post: Post) -> Found:
    return Found(Kind.POST, _address(video, post), key=post.key, platform=post.platform, post_id=post.post_id)


def _address(video: Video, post: Post) -> str:
    return video.url or posts.address(post)


def _go_on(context: Context, session: Session, submission: Submission, item: Item, told: dict[str, Any]) -> None:
    """Is that all? Asked again otherwise."""
    assert item.id is not None
    timings, now = context.timings, now_ms()
    brought = len(told.get("posts", []))
    accepted = item.accepted_at or item.updated_at
    quiet_since = max(told.get("last_new_at", 0), (item.hinted_at or 0) if submission.hinted_task_state else 0)
    quiet_for = (now - quiet_since) / 1000 if quiet_since else 0.0
    values: dict[str, Any] = {}
    if item.status == Status.UNSURE:
        if submission.task_id:
            values = {"task_id": submission.task_id, "accepted_at": now, "due_at": now}
            store.tell(session, item.id, News.IDENTIFIED, submission_id=submission.id, values=values)
    elif brought >= Asked.read(item.wish or {}).count or (brought and quiet_for >= timings.quiet):
        store.tell(session, item.id, News.READY, submission_id=submission.id)
    elif not brought and submission.hinted_task_state == Word.BROKEN and item.asked >= _FAILED_LOOKS:
        why = "Memories.ai reports that the scrape failed: the profile may be private, gone, or without posts"
        values = {"error_code": "task_failed", "error": why}
        store.tell(session, item.id, News.BROKEN, submission_id=submission.id, values=values)
    elif not brought and now > accepted + timings.scrape * 1000:
        said = f"no post appeared within {say_duration(timings.scrape)} (task {submission.task_id})"
        values = {"error_code": "never_appeared", "error": said}
        if not store.tell(session, item.id, News.EXPIRED, submission_id=submission.id, values=values):
            store.no_late_news(session, [item.id])
    else:
        left = timings.quiet - quiet_for if brought else timings.scrape
        ask_until(context, session, item, timings.scrape, at_most=left + 0.1)
