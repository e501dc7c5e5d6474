"""Profiles that yt-dlp lists: only new posts become items, what is gone is noticed, trouble is remembered."""

from typing import Any

import pytest
from sqlalchemy import select, text

from ingest import creators, following, queries, store
from ingest.creators import Words
from ingest.models import Creator, CreatorPost, Item, Job, Run
from ingest.sources.found import Found, Kind
from tests.integration.test_settling import context, upstream  # noqa: F401
from tests.platforms import Shown, TikTok, http_error, tiktok_id
from workers import creators as looks
from workers import lists
from workers.context import Context

pytestmark = pytest.mark.integration


def _not_available(_number: int) -> None:
    raise http_error(503)


def _shown(number: int, at: int | None = None) -> Shown:
    return Shown(tiktok_id(number), at or 1_700_000_000 + number * 3600)


@pytest.fixture
def pages(context: Context) -> TikTok:  # noqa: F811
    found = TikTok("demo", [_shown(number) for number in range(17)], per_page=5)
    context.make_ydl = found.serve
    return found


def _follow(context: Context, **words: Any) -> None:  # noqa: F811
    given = {"every": "1h", "by_list": True, "limit": 1000, "stop_after": 4, "full_every": 3} | words
    creators.follow(context.database, Words("https://www.tiktok.com/@demo", **given))


def _look(context: Context) -> dict[str, Any]:  # noqa: F811
    """The next run, from its due time to its end; its report."""
    with context.database.write() as session:
        session.execute(text("UPDATE creator SET next_run_at = 1000 + runs WHERE running_id IS NULL"))
    looks.run(context)
    lists.run(context)
    with context.database.read() as session:
        (last,) = queries.runs(session, 1, 1)
        return creators.run_row(session, last)


def _items(context: Context) -> list[Item]:  # noqa: F811
    with context.database.read() as session:
        return list(queries.items(session))


def test_new_posts_are_scraped_in_full_batches_and_known_ones_never_again(
    context: Context,  # noqa: F811
    pages: TikTok,
) -> None:
    _follow(context)
    first = _look(context)
    assert (first["how"], first["state"], first["seen"], first["new"], first["complete"]) == (
        "full",
        "done",
        17,
        17,
        True,
    )
    pages.posts += [_shown(17), _shown(18)]
    second = _look(context)
    assert (second["how"], second["seen"], second["new"], second["known"]) == ("list", 6, 2, 4)
    items = _items(context)
    assert [one.kind for one in items] == ["post"] * 19 and len({one.post_id for one in items}) == 19
    with context.database.write() as session:
        claimed = store.claim(session, items[0].lane, "account", 60.0)  # type: ignore[arg-type]
    assert claimed is not None and len(claimed.items) == 19  # one call carries all of them


def test_a_full_pass_notices_what_is_gone_and_what_came_back(context: Context, pages: TikTok) -> None:  # noqa: F811
    _follow(context, full_every=1)
    _look(context)
    removed = pages.posts.pop(9)
    assert (_look(context)["gone"], _look(context)["gone"]) == (1, 0)
    with context.database.read() as session:
        gone = session.execute(select(CreatorPost.key).where(CreatorPost.gone_at.is_not(None))).scalars().all()  # type: ignore[union-attr]
    assert gone == [f"post:tiktok:{removed.id}"]
    pages.posts.insert(9, removed)
    pages.posts[0].title = "another title"
    back = _look(context)
    assert (back["new"], back["known"], back["changed"], back["gone"]) == (0, 17, 2, 0)
    assert len(_items(context)) == 17


def test_a_page_that_shows_nothing_any_more_is_asked_again_before_all_counts_as_gone(
    context: Context,  # noqa: F811
    pages: TikTok,
) -> None:
    _follow(context, full_every=1)
    _look(context)
    pages.posts = []
    run = _look(context)
    assert (run["state"], run["gone"]) == ("failed", 0) and "no post" in run["error"]


def test_a_post_that_is_there_already_is_known_and_not_sent_again(context: Context, pages: TikTok) -> None:  # noqa: F811
    number = pages.posts[0].id
    with context.database.write() as session:
        job = store.add_job(session, "add", ["x"], "default", "private")
        one = Found(Kind.POST, "https://x", key=f"post:tiktok:{number}", platform="tiktok", post_id=number)
        store.add_items(session, session.get_one(Job, job), [one], {})
    _follow(context)
    _look(context)
    mine = [one for one in _items(context) if one.post_id == number]
    assert len(mine) == 1 and mine[0].job_id == 1
    with context.database.read() as session:
        post = session.get(CreatorPost, (1, f"post:tiktok:{number}"))
    assert post is not None and post.item_id == mine[0].id


def test_fresh_posts_wait_until_they_are_old_enough(context: Context, pages: TikTok) -> None:  # noqa: F811
    from ingest.clock import now_ms

    now = now_ms()
    pages.posts = [_shown(1, now // 1000 - 600), _shown(2, now // 1000 - 7800)]
    _follow(context, not_before="1h")
    _look(context)
    waits = sorted(round((one.due_at - now) / 60_000) for one in _items(context))
    assert waits[0] <= 0 and waits[1] == 50


def test_a_private_profile_is_remembered_and_a_platform_that_fails_is_asked_again_soon(
    context: Context,  # noqa: F811
    pages: TikTok,
) -> None:
    _follow(context)
    pages.status = 10222
    run = _look(context)
    assert (run["state"], "private" in run["error"]) == ("failed", True)
    with context.database.read() as session:
        assert creators.get(session, 1).trouble == "private"
    pages.status, pages.before = 0, _not_available
    assert _look(context)["state"] == "failed"
    with context.database.read() as session:
        one = creators.get(session, 1)
    assert (one.trouble, one.failures) == (None, 2)


def test_a_list_whose_worker_died_is_taken_up_by_another(context: Context, pages: TikTok) -> None:  # noqa: F811
    _follow(context)
    looks.run(context)
    with context.database.write() as session:
        assert following.take_listing(session, 60.0) is not None  # and then it dies
        assert following.take_listing(session, 60.0) is None
        session.execute(text("UPDATE creator_run SET lease_until = 0"))
    lists.run(context)
    with context.database.read() as session:
        (run,) = session.execute(select(Run)).scalars()
        (one,) = session.execute(select(Creator)).scalars()
    assert (run.state, run.tries, run.new, one.running_id) == ("done", 2, 17, None)
