"""Followed profiles that yt-dlp lists: one call to Memories.ai a minute carries fifty new posts, instead of one profile."""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sqlmodel import Session

from ingest import following, listing, queries, store
from ingest.clock import now_ms
from ingest.following import FULL, SeenPost
from ingest.lanes import Lane
from ingest.listing import Listed, Look
from ingest.models import Creator, Job, Run
from ingest.sources.found import Found, Kind
from ingest.sources.profiles import Profile
from ingest.troubles import Trouble
from workers.context import Context

log = logging.getLogger(__name__)

#: Posts of one transaction.
_AT_ONCE = 500
#: A platform that did not answer is asked again after 5, 10, 20 ... minutes, and at the next time that is due at the latest.
_FIRST_AGAIN = 300.0
#: Whoever lists has died so often with this run in hand: enough.
_MOST_TRIES = 3


def run(context: Context) -> None:
    """List what waits for it, one profile at a time in each process: a platform takes offence at crowds."""
    if not context.listing.acquire(blocking=False):
        return
    try:
        while not context.stop.is_set():
            with context.database.write() as session:
                taken = following.take_listing(session, context.timings.lease)
            if taken is None:
                return
            _list(context, *taken)
    finally:
        context.listing.release()


def _list(context: Context, run: Run, creator: Creator) -> None:
    assert run.id is not None and creator.id is not None
    if run.tries > _MOST_TRIES:
        with context.database.write() as session:
            following.fail(session, run, f"{_MOST_TRIES} workers died while they listed it", permanent=None)
        return
    with context.database.read() as session:
        known = {one.key for one in queries.creator_posts(session, creator.id)}
    with _renewing(context, run.id):
        look = listing.look(
            Profile(creator.platform, creator.kind, creator.handle, creator.url),  # type: ignore[arg-type]
            known=known.__contains__,
            stop_after=creator.stop_after,
            full=run.how == FULL,
            limit=creator.scrape_limit if not known else None,
            stop=context.stop,
            make=context.make_ydl,
        )
    if context.stop.is_set():
        return  # not to its end; the next start takes the run up
    if look.complete and known and not look.posts:
        # Before all that was seen counts as gone, the platform says it once more.
        look = replace(look, complete=False, trouble=Trouble("temporary", f"{creator.url} shows no post any more."))
    _take_in(context, run, creator, look)
    context.nudger.turn(Lane.SCRAPE)


def _fail(session: Session, run: Run, creator: Creator, trouble: Trouble, **report: Any) -> None:
    again = None if trouble.permanent else _FIRST_AGAIN * 2.0 ** min(creator.failures, 10)
    permanent = trouble.kind if trouble.permanent else None
    following.fail(session, run, str(trouble), permanent=permanent, again=again, **report)


def _take_in(context: Context, run: Run, creator: Creator, look: Look) -> None:
    """New posts become items, in small transactions: a crash costs nothing, for what is there is known the next time."""
    changed = 0
    for start in range(0, len(look.posts), _AT_ONCE):
        with context.database.write() as session:
            changed += _note(session, run, creator, look.posts[start : start + _AT_ONCE])
    with context.database.write() as session:
        following.alone(session, run.creator_id)
        new = queries.new_posts_of_run(session, run.id or 0)
        report: dict[str, Any] = {
            "seen": len(look.posts),
            "new": new,
            "known": len(look.posts) - new,
            "changed": changed,
        }
        if look.complete:
            report |= {"gone": following.missed(session, run, since=None, misses=1), "complete": True}
        if look.trouble is not None:
            _fail(session, run, creator, look.trouble, **report)
        else:
            following.end(session, run, **report)


def _note(session: Session, run: Run, creator: Creator, listed: Sequence[Listed]) -> int:
    following.alone(session, run.creator_id)
    known = queries.known_posts(session, creator.id or 0, [one.post.key for one in listed])
    fresh = [one for one in listed if one.post.key not in known]
    holds = {store.holds_key(creator.unique_id, creator.library, one.post.key): one for one in fresh}
    owned = queries.owners(session, list(holds))
    wanted = [_found(one) for hold, one in holds.items() if hold not in owned]
    if wanted:
        store.add_items(session, session.get_one(Job, creator.job_id), wanted, {})
    owned = queries.owners(session, list(holds))
    items = {one.post.key: owned[hold][0] for hold, one in holds.items() if hold in owned}
    if creator.not_before:
        _hold_back(session, creator, [one for one in fresh if one.post.key in items], items)
    seen = [SeenPost(one.post.key, one.url, items.get(one.post.key), one.title, one.published_ms) for one in listed]
    return following.saw(session, run, seen)


def _found(one: Listed) -> Found:
    return Found(Kind.POST, one.url, key=one.post.key, platform=one.post.platform, post_id=one.post.post_id)


def _hold_back(session: Session, creator: Creator, fresh: Sequence[Listed], items: dict[str, int]) -> None:
    """Posts that are too fresh wait: a video that is scraped in its first minutes may be replaced, or not be there in full."""
    now = now_ms()
    for one in fresh:
        age = (now - one.published_ms) / 1000 if one.published_ms else 0.0
        if age < creator.not_before:
            store.put_off(session, [items[one.post.key]], creator.not_before - age)


@contextmanager
def _renewing(context: Context, run_id: int) -> Iterator[None]:
    """Nobody takes the run over while this process lives."""
    done, lease = threading.Event(), context.timings.lease

    def renew() -> None:
        while not done.wait(lease / 3):
            with context.database.write() as session:
                following.keep_listing(session, run_id, lease)

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
