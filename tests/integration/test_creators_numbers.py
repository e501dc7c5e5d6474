"""Numbers of public videos over time: asked for when due, once, and kept as a series."""

import json
from pathlib import Path

import pytest
from sqlalchemy import select, text

from ingest import creators, following, queries, store
from ingest.creators import Words
from ingest.models import CreatorPost, Item, Job, Measurement
from ingest.sources.found import Found, Kind
from ingest.upstream.fields import Counters, read_counters
from tests.integration.test_settling import context, upstream  # noqa: F401
from tests.vendor import Vendor, ok
from workers import numbers
from workers.context import Context

pytestmark = pytest.mark.integration

PAYLOAD = json.loads((Path(__file__).parents[1] / "payloads" / "response-public-video-detail.json").read_text())


def _three_posts(context: Context) -> None:  # noqa: F811
    """A public creator with two ready posts and one that is not."""
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
            for n in range(3)
        ]
        store.add_items(session, job, posts, {})
        items = session.execute(select(Item).where(Item.kind == "post").order_by(Item.id)).scalars().all()  # type: ignore[arg-type]
        seen = [following.SeenPost(f"post:tiktok:{n}", one.source, one.id) for n, one in enumerate(items)]
        following.saw(session, run, seen)
        session.execute(
            text("UPDATE item SET status = 'PARSE', video_no = 'PI-' || id WHERE kind = 'post' AND post_id < '2'")
        )
        session.execute(text("UPDATE creator SET refresh_at = 1"))


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
    _three_posts(context)
    numbers.run(context)
    numbers.run(context)
    assert [(one.creator_id, one.views, one.likes, one.shares, one.comments) for one in _series(context)] == [
        (1, 20340, 812, 4, 19)
    ] * 2
    assert upstream.asked("get_public_video_detail") == 2
    with context.database.write() as session:
        session.execute(text("UPDATE creator SET refresh_at = 1"))
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
    _three_posts(context)
    numbers.run(context)
    assert _series(context) == []
    with context.database.write() as session:
        held = session.execute(select(CreatorPost.measure_at).where(CreatorPost.measure_at.is_not(None))).all()  # type: ignore[union-attr]
        assert len(held) == 2
        session.execute(text("UPDATE creator_post SET measure_at = 1 WHERE measure_at IS NOT NULL"))
        session.execute(text("DELETE FROM pause"))
    upstream.answers["get_public_video_detail"] = lambda _: ok({"status": "PARSE", "video_no": "PI-1"})
    numbers.run(context)
    assert _series(context) == []
