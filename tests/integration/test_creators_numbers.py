"""Numbers of public videos over time: asked for when due, once, and kept as a series."""

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from ingest import creators, following, queries, store
from ingest.clock import now_ms
from ingest.creators import Words
from ingest.database import Database
from ingest.lanes import Lane, Limit
from ingest.models import CreatorPost, Item, Job, Measurement
from ingest.quota import Quota
from ingest.sources.found import Found, Kind
from ingest.upstream.fields import Counters, read_counters
from tests.integration.test_settling import context, upstream  # noqa: F401
from tests.vendor import Vendor, ok
from workers import numbers
from workers.context import Context

pytestmark = pytest.mark.integration

PAYLOAD = json.loads((Path(__file__).parents[1] / "payloads" / "response-public-video-detail.json").read_text())


def _posts(context: Context, ready: int = 2, others: int = 1) -> None:  # noqa: F811
    """A public creator whose numbers are due, with so many ready posts, and others that are not."""
    creators.follow(context.database, Words("https://www.tiktok.com/@demo", every="1d", public=True, refresh="7d"))
    with context.database.write() as session:
        (run,) = following.take_due(session)
        job = session.get_one(Job, 1)
        posts = [
            Found(
                Kind.POST,
                f"https://www.tiktok.com/@demo/video/{n}",
                key=f"post:tiktok:{n}",
                platform="tiktok",
                post_id=str(n),
            )
            for n in range(ready + others)
        ]
        store.add_items(session, job, posts, {})
        items = session.execute(select(Item).where(Item.kind == "post").order_by(Item.id)).scalars().all()  # type: ignore[arg-type]
        seen = [following.SeenPost(f"post:tiktok:{n}", one.source, one.id) for n, one in enumerate(items)]
        following.saw(session, run, seen)
        session.execute(
            text(
                "UPDATE item SET status = 'PARSE', video_no = 'PI-' || id "
                f"WHERE kind = 'post' AND CAST(post_id AS INTEGER) < {ready}"
            )
        )
    _due_again(context)


def _due_again(context: Context) -> None:  # noqa: F811
    with context.database.write() as session:
        session.execute(text("UPDATE creator SET refresh_at = 1"))


def _waiting(database: Database) -> dict[str, int]:
    """When which post is asked about, of those that will be."""
    with database.read() as session:
        query = select(CreatorPost).where(CreatorPost.measure_at.is_not(None))  # type: ignore[union-attr]
        return {one.key: one.measure_at or 0 for one in session.execute(query).scalars()}


def _series(context: Context) -> list[Measurement]:  # noqa: F811
    with context.database.read() as session:
        return list(session.execute(select(Measurement).order_by(Measurement.id)).scalars())  # type: ignore[arg-type]


def test_counters_are_read_as_the_vendor_prints_them() -> None:
    assert read_counters(PAYLOAD["data"]) == Counters(20340, 812, 4, 19)
    assert not read_counters({"view_count": "many", "like_count": None, "share_count": "-1", "comment_count": "9" * 30})
    assert read_counters({"view_count": "12.0"}) == Counters(12)
    assert not read_counters(None)


def test_numbers_are_asked_for_when_due_and_then_not_before_the_next_time(
    context: Context,  # noqa: F811
    upstream: Vendor,  # noqa: F811
) -> None:
    upstream.answers["get_public_video_detail"] = lambda _: PAYLOAD
    _posts(context)
    numbers.run(context)
    numbers.run(context)
    assert [(one.creator_id, one.views, one.likes, one.shares, one.comments) for one in _series(context)] == [
        (1, 20340, 812, 4, 19)
    ] * 2
    assert upstream.asked("get_public_video_detail") == 2
    _due_again(context)
    numbers.run(context)
    assert len(_series(context)) == 4
    with context.database.read() as session:
        rows = list(queries.measurements(session, 1))
    assert rows[0]["video_no"].startswith("PI-") and rows[0]["url"].endswith("/video/0")


def test_trouble_costs_no_number_and_a_video_without_any_leaves_no_row(
    context: Context,  # noqa: F811
    upstream: Vendor,  # noqa: F811
) -> None:
    upstream.answers["get_public_video_detail"] = lambda _: {"code": "0429", "msg": "too fast", "data": None}
    _posts(context, ready=3)
    before = now_ms()
    numbers.run(context)
    assert (_series(context), upstream.asked("get_public_video_detail")) == ([], 1)
    failed, second, third = sorted(_waiting(context.database).values(), reverse=True)
    assert second == third <= now_ms() and before + 60_000 <= failed <= now_ms() + 60_000
    with context.database.write() as session:
        session.execute(text("UPDATE creator_post SET measure_at = 1 WHERE measure_at IS NOT NULL"))
        session.execute(text("DELETE FROM pause"))
    upstream.answers["get_public_video_detail"] = lambda _: ok({"status": "PARSE", "video_no": "PI-1"})
    numbers.run(context)
    assert (_series(context), _waiting(context.database)) == ([], {})


def test_a_number_that_is_none_is_left_out_and_the_others_are_kept(
    context: Context,  # noqa: F811
    upstream: Vendor,  # noqa: F811
) -> None:
    told = {"view_count": "17", "like_count": "many", "share_count": "null"}
    upstream.answers["get_public_video_detail"] = lambda _: ok(told)
    _posts(context, ready=1)
    numbers.run(context)
    (one,) = _series(context)
    assert (one.views, one.likes, one.shares, one.comments) == (17, None, None, None)


def test_what_the_vendor_refuses_to_tell_is_not_asked_for_again_before_the_next_time(
    context: Context,  # noqa: F811
    upstream: Vendor,  # noqa: F811
) -> None:
    def answer(request: dict[str, Any]) -> Any:
        return PAYLOAD if request["video_no"] != gone else {"code": "0001", "msg": "no such video", "data": None}

    upstream.answers["get_public_video_detail"] = answer
    _posts(context, ready=3)
    with context.database.read() as session:
        gone = session.execute(select(Item.video_no).where(Item.post_id == "0")).scalar_one()
    numbers.run(context)
    numbers.run(context)
    assert (len(_series(context)), upstream.asked("get_public_video_detail")) == (2, 3)


@pytest.mark.parametrize("away", ["paused", "removed"])
def test_nobody_asks_about_posts_of_a_creator_that_is(
    context: Context,  # noqa: F811
    upstream: Vendor,  # noqa: F811
    away: str,
) -> None:
    upstream.answers["get_public_video_detail"] = lambda _: PAYLOAD
    _posts(context, ready=3)
    with context.database.write() as session:
        following.take_refreshes(session)
        (one,) = following.take_to_measure(session, 1, 60)
        assert following.pause(session, 1, "holidays") if away == "paused" else following.unfollow(session, 1)
        # the answer to a question that is under way: a removed creator has no use for it
        assert following.measured(session, one, Counters(5)) == (away == "paused")
    numbers.run(context)
    assert upstream.asked("get_public_video_detail") == 0
    with context.database.write() as session:
        following.resume(session, 1)
    numbers.run(context)
    assert len(_series(context)) == (3 if away == "paused" else 0)


def test_a_round_that_takes_longer_than_its_interval_comes_to_the_last_post_too(
    context: Context,  # noqa: F811
    upstream: Vendor,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    upstream.answers["get_public_video_detail"] = lambda _: PAYLOAD
    monkeypatch.setattr(numbers, "_AT_ONCE", 2)
    _posts(context, ready=5)
    for _ in range(3):
        numbers.run(context)
        _due_again(context)
        time.sleep(0.002)  # due at another time
    assert len({one.item_id for one in _series(context)}) == 5


def test_whoever_comes_too_late_with_an_answer_writes_nothing(
    context: Context,  # noqa: F811
    upstream: Vendor,  # noqa: F811
) -> None:
    _posts(context, ready=1)
    with context.database.write() as session:
        following.take_refreshes(session)
        (slow,) = following.take_to_measure(session, 10, -0.001)
    with context.database.write() as session:
        (quick,) = following.take_to_measure(session, 10, 60)
        assert not following.measured(session, slow, Counters(1))
        following.not_measured(session, [slow], None, 60)
        assert following.measured(session, quick, Counters(2))
        assert not following.measured(session, quick, Counters(2))
    assert [one.views for one in _series(context)] == [2]


def test_several_processes_at_once_measure_each_post_once(
    context: Context,  # noqa: F811
    upstream: Vendor,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    upstream.answers["get_public_video_detail"] = lambda _: PAYLOAD
    monkeypatch.setattr(numbers, "_AT_ONCE", 3)
    _posts(context, ready=24)
    troubles: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(20):
                numbers.run(context)
        except Exception as error:
            troubles.append(error)
            raise

    threads = [threading.Thread(target=work) for _ in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert troubles == []
    assert (len(_series(context)), upstream.asked("get_public_video_detail")) == (24, 24)


def test_numbers_wait_for_those_who_ask_whether_a_video_is_ready(
    context: Context,  # noqa: F811
    upstream: Vendor,  # noqa: F811
) -> None:
    upstream.answers["get_public_video_detail"] = lambda _: PAYLOAD
    context.quota = Quota(context.redis, {**context.quota.limits, Lane.DETAIL: Limit(50, 1.0)})
    _posts(context, ready=6)
    with context.quota.line(context.settings.account_for(Lane.DETAIL), Lane.DETAIL) as somebody:
        somebody._look(ready=False)
        numbers.run(context)
        assert len(_series(context)) == 1
    numbers.run(context)
    assert len(_series(context)) == 6
