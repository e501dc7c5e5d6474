"""Twelve creators of three platforms on a schedule, through the whole service, against pages that grow, lose and regain posts."""

import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from ingest import following, queries
from ingest.following import Plan
from ingest.models import Creator, CreatorPost, Item, Run
from ingest.schedules import parse_schedule
from ingest.sources import profiles
from tests.service import Sandbox, Service, differs, eventually, sandbox

pytestmark = pytest.mark.acceptance

#: Seconds of following, and between two looks. INGEST_TEST_SECONDS=600 follows for ten minutes and looks each 20 s.
SECONDS = int(os.environ.get("INGEST_TEST_SECONDS", "24"))
EVERY = 20 if SECONDS > 120 else 10
LIMITS = "scrape=1/s,list=20/s,task_status=20/s,detail=20/s"
TIMINGS = "scrape=30s,quiet=2s,poll=1s,unsure=10s,lease=10s"
MOST = 6
PAGES = [
    *[f"https://www.tiktok.com/@follow.{number}" for number in range(4)],
    *[f"https://www.youtube.com/@follow{number}" for number in range(4)],
    *[f"https://www.instagram.com/follow.{number}/" for number in range(4)],
]


def _tell(vendor: Sandbox, url: str, **script: Any) -> None:
    httpx.post(f"{vendor.url}/_sandbox/profiles", json={"url": url, **script}).raise_for_status()


def _follow(service: Service, urls: Sequence[str], **plan: Any) -> None:
    schedule = parse_schedule(every=f"{EVERY}s")
    with service.database().write() as session:
        for url in urls:
            profile = profiles.recognise(url)
            assert profile is not None
            following.follow(session, profile, Plan(schedule, limit=MOST, **plan))


def _no_more_looks(service: Service) -> None:
    """What is under way comes to its end."""
    with service.database().write() as session:
        for creator in queries.creators(session):
            following.unfollow(session, creator.id or 0)
    eventually(lambda: not _rows(service, Run, "running"), 60, "all looks to be over")
    eventually(
        lambda: all(one["status"] in ("PARSE", "FAIL") for one in service.items()), 60, "all items to have ended"
    )


def _rows(service: Service, kind: type[Any], state: str | None = None) -> list[Any]:
    with service.database().read() as session:
        query = select(kind) if state is None else select(kind).where(kind.state == state)
        return list(session.execute(query).scalars())


@pytest.mark.parametrize(
    "callbacks",
    [
        pytest.param(True, id="with callbacks"),
        pytest.param(False, id="without a public address", marks=pytest.mark.storm),
    ],
)
def test_every_post_comes_once_and_each_report_is_the_truth(home: Path, callbacks: bool) -> None:
    with sandbox("--limits", LIMITS, "--scrape", "0.3-1", "--parse", "0.3-1", "--seed", "5") as vendor:
        for url in PAGES:
            _tell(vendor, url, posts=4, grow_every=7, lose_every=16, regain_after=9)
        service = Service(home, vendor.url, INGEST_LIMITS=LIMITS, INGEST_TIMINGS=TIMINGS)
        if callbacks:
            service.environment["INGEST_PUBLIC_URL"] = f"http://127.0.0.1:{service.port}"
        with service.up():
            _follow(service, PAGES)
            deadline = time.monotonic() + SECONDS
            eventually(lambda: time.monotonic() > deadline, SECONDS + 10)
            _no_more_looks(service)
            report = vendor.report()
            _check(service, report)
            service.let_go()


def _check(service: Service, report: dict[str, Any]) -> None:
    items, runs = service.items(), _rows(service, Run)
    looks, posts = [one for one in items if one["kind"] == "creator"], [one for one in items if one["kind"] == "post"]
    assert report["violations"] == [] and report["duplicates"] == []
    # Each post once, and all that a look has shown.
    by_number = Counter(one["video_no"] for one in posts)
    assert {number for number, times in by_number.items() if times > 1} == set()
    assert set(by_number) == {number for task in report["tasks"] for number in task["video_nos"]}
    assert differs(posts, report) == []
    # One call a look, and one look a time that was due.
    assert report["calls"]["scrape"]["accepted"] == len(looks) == len(runs)
    assert len({(one.creator_id, one.due_at) for one in runs}) == len(runs)
    assert len(runs) <= len(PAGES) * (SECONDS // EVERY + 2)
    assert min(Counter(one.creator_id for one in runs).values()) >= max(2, SECONDS // EVERY - 2)
    _check_reports(service, report, runs, {one["id"]: one["task_id"] for one in looks})


def _check_reports(service: Service, report: dict[str, Any], runs: Sequence[Run], task_of: dict[int, str]) -> None:
    tasks = {task["task_id"]: task for task in report["tasks"]}
    for run in runs:
        task = tasks[task_of[run.item_id or 0]]
        told = (run.state, run.seen, run.new, run.known, run.calls)
        assert told == ("done", len(task["video_nos"]), len(task["new"]), len(task["known"]), 1)
    kept = _rows(service, CreatorPost)
    with service.database().read() as session:
        urls = {one.id: one.url for one in session.execute(select(Creator)).scalars()}
        known = {one.id for one in session.execute(select(Item)).scalars()}
    shown = {(look["url"], post) for task in report["tasks"] for look in task["looks"] for post in look["post_ids"]}
    assert len(kept) == len({post for _, post in shown})
    assert all(one.item_id in known and one.creator_id in urls for one in kept)
