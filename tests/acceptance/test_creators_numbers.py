"""Numbers of a followed creator's public videos, through the whole service, against a vendor whose counters move."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from ingest import following, queries
from ingest.following import Plan
from ingest.models import Item, Measurement
from ingest.schedules import parse_schedule
from ingest.sources import profiles
from tests.service import Sandbox, Service, eventually, sandbox

pytestmark = pytest.mark.acceptance

LIMITS = "scrape=1/s,list=20/s,task_status=20/s,detail=20/s"
TIMINGS = "scrape=30s,quiet=2s,poll=1s,unsure=10s,lease=10s"
PAGE = "https://www.tiktok.com/@numbers.demo"
POSTS, TIMES = 4, 2
#: From the vendor's answer to the row, on a busy machine, ms.
_SLACK = 5000
NAMES = {"views": "view_count", "likes": "like_count", "shares": "share_count", "comments": "comment_count"}


def _counters(vendor: Sandbox, at_ms: int) -> dict[str, dict[str, int]]:
    """The truth of a moment, by the number of the video."""
    told = httpx.get(f"{vendor.url}/_sandbox/profiles", params={"url": PAGE, "at_ms": at_ms}).json()
    (profile,) = told["profiles"] if isinstance(told, dict) else told
    return {number: post["counters"] for post in profile["posts"] for number in post["video_nos"]}


def _series(service: Service) -> dict[str, list[Measurement]]:
    series: dict[str, list[Measurement]] = defaultdict(list)
    with service.database().read() as session:
        query = select(Measurement, Item.video_no).join(Item, Item.id == Measurement.item_id)  # type: ignore[arg-type]
        for one, number in session.execute(query.order_by(Measurement.id)):  # type: ignore[arg-type]
            series[number].append(one)
    return series


def _enough(series: dict[str, list[Measurement]]) -> bool:
    return len(series) == POSTS and all(len(measurements) >= TIMES for measurements in series.values())


def _check(vendor: Sandbox, number: str, one: Measurement) -> None:
    """Counters never fall, so what was told lies between those of shortly before and those of when it was written."""
    before, then = _counters(vendor, one.at - _SLACK)[number], _counters(vendor, one.at)[number]
    for ours, theirs in NAMES.items():
        assert before[theirs] <= getattr(one, ours) <= then[theirs]


def test_each_number_is_what_the_vendor_showed_then(home: Path) -> None:
    with sandbox("--limits", LIMITS, "--scrape", "0.3-1", "--parse", "0.3-1", "--live-counters") as vendor:
        script: dict[str, Any] = {"url": PAGE, "posts": POSTS, "pace": 50}
        httpx.post(f"{vendor.url}/_sandbox/profiles", json=script).raise_for_status()
        service = Service(home, vendor.url, INGEST_LIMITS=LIMITS, INGEST_TIMINGS=TIMINGS)
        with service.up():
            profile = profiles.recognise(PAGE)
            assert profile is not None
            with service.database().write() as session:
                # once a minute is the shortest that a person may ask for
                plan = Plan(parse_schedule(every="1d"), public=True, limit=POSTS, refresh=2)
                following.follow(session, profile, plan)
            eventually(lambda: _enough(_series(service)), 90, f"{TIMES} numbers of each post")
            series, violations = _series(service), vendor.report()["violations"]
            for number, measurements in series.items():
                for one in measurements:
                    _check(vendor, number, one)
                views = [one.views or 0 for one in measurements]
                assert views == sorted(set(views))
            with service.database().read() as session:
                shown = list(queries.measurements(session, 1))  # all: a round may begin before the one before has ended
            service.let_go()
    assert violations == []
    assert {one["video_no"] for one in shown} == set(series)
