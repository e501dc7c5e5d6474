"""The rows are the queue: adding, claiming, settling, on SQLite and on PostgreSQL alike."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlmodel import Session

from ingest import pauses, queries, store
from ingest.batching import TOGETHER
from ingest.clock import now_ms
from ingest.database import Database, migrate
from ingest.lanes import DEFAULT_LIMITS, Lane
from ingest.models import Item, Job, Pause, Submission
from ingest.sources.found import Found, Kind, Options
from ingest.statuses import News, Status
from ingest.upstream.errors import Unavailable

pytestmark = pytest.mark.integration

LEASE = 60.0


def _file(number: int, size: int = 100) -> Found:
    return Found(Kind.FILE, f"/library/{number:05}.mp4", size=size + number, mtime_ns=1)


def _link(number: int) -> Found:
    url = f"https://media.example/{number}.mp4"
    return Found(Kind.LINK, url, key=f"link:{url}")


def _post(number: int, platform: str = "tiktok") -> Found:
    return Found(
        Kind.POST,
        f"https://{platform}/{number}",
        key=f"post:{platform}:{number}",
        platform=platform,
        post_id=str(number),
    )


def _add(database: Database, *found: Found, unique_id: str = "default", hashes: dict[str, str] | None = None) -> int:
    with database.write() as session:
        job_id = store.add_job(session, "add", ["x"], unique_id, "private")
        store.add_items(session, session.get_one(Job, job_id), list(found), hashes or {})
    return job_id


def _items(database: Database) -> list[Item]:
    with database.read() as session:
        return list(queries.items(session))


def _claim(database: Database, lane: Lane = Lane.UPLOAD) -> store.Claimed | None:
    with database.write() as session:
        return store.claim(session, lane, "account", LEASE)


def _accept(database: Database, claimed: store.Claimed, video_no: str | None, task_id: str | None = None) -> None:
    with database.write() as session:
        store.accepted(session, claimed, video_no=video_no, task_id=task_id, sent_at=now_ms(), due_at=now_ms())


def test_a_copy_is_skipped_and_names_its_twin(database: Database) -> None:
    _add(database, _link(1), _post(1), _link(1), _post(1))
    _add(database, _post(1), _link(2))
    found = _items(database)
    assert [item.status for item in found] == ["QUEUED", "QUEUED", "SKIPPED", "SKIPPED", "SKIPPED", "QUEUED"]
    assert [item.twin_id for item in found] == [None, None, found[0].id, found[1].id, found[1].id, None]
    assert f"item {found[1].id}" in (found[4].error or "")


def test_the_same_in_another_namespace_is_no_copy(database: Database) -> None:
    _add(database, _post(1))
    _add(database, _post(1), unique_id="family")
    assert {item.status for item in _items(database)} == {"QUEUED"}


def test_files_are_copies_by_content_not_by_name(database: Database) -> None:
    same = {"/library/00001.mp4": "aa", "/library/00002.mp4": "aa", "/library/00003.mp4": "bb"}
    _add(database, _file(1), _file(2), _file(3), hashes=same)
    assert [item.status for item in _items(database)] == ["QUEUED", "SKIPPED", "QUEUED"]


def test_the_copy_is_sent_when_its_twin_will_not_be(database: Database) -> None:
    _add(database, _link(1), _link(1), _link(1))
    first, second, third = _items(database)
    assert first.id and second.id and third.id
    claimed = _claim(database)
    assert claimed
    with database.write() as session:
        store.refused(session, claimed, "0001", "no", now_ms())
    first, second, third = _items(database)
    assert (first.status, first.stage) == ("FAIL", "refused")
    assert (second.status, second.twin_id) == ("QUEUED", None)
    assert (third.status, third.twin_id) == ("SKIPPED", second.id)
    again = _claim(database)
    assert again and again.items[0].id == second.id


def test_a_twin_that_failed_upstream_keeps_its_content(database: Database) -> None:
    _add(database, _link(1), _link(1))
    claimed = _claim(database)
    assert claimed
    _accept(database, claimed, "VI1")
    with database.write() as session:
        store.tell(session, claimed.items[0].id or 0, News.BROKEN, values={"error": "codec"})
    assert [item.status for item in _items(database)] == ["FAIL", "SKIPPED"]


def test_a_batch_holds_at_most_fifty_of_one_platform(database: Database) -> None:
    _add(database, *[_post(n, "tiktok" if n % 2 else "youtube") for n in range(120)])
    sizes: Counter[str] = Counter()
    while claimed := _claim(database, Lane.SCRAPE):
        platforms = {item.platform for item in claimed.items}
        assert len(platforms) == 1
        sizes[f"{platforms.pop()} {len(claimed.items)}"] += 1
    assert sizes == {"youtube 50": 1, "youtube 10": 1, "tiktok 50": 1, "tiktok 10": 1}


def test_an_urgent_item_goes_first(database: Database) -> None:
    _add(database, _link(1), _link(2))
    with database.write() as session:
        job_id = store.add_job(session, "add", ["x"], "default", "private", priority=5)
        store.add_items(session, session.get_one(Job, job_id), [_link(9)], {})
    claimed = _claim(database)
    assert claimed and claimed.items[0].source.endswith("/9.mp4")


def test_a_small_job_does_not_wait_behind_a_backlog(database: Database) -> None:
    _add(database, *[_link(number) for number in range(30)])
    for _ in range(10):
        _claim(database)
    small = _add(database, *[_link(number) for number in range(100, 103)])
    jobs = []
    while claimed := _claim(database):
        jobs.append(claimed.items[0].job_id)
    assert len(jobs) == 23
    assert [index for index, job in enumerate(jobs) if job == small] == [1, 3, 5]
    with database.read() as session:
        assert queries.counts(session)["SENDING"] == 33


def test_the_end_of_a_small_job_is_not_the_end_of_the_backlog(database: Database) -> None:
    _add(database, *[_link(number) for number in range(30)])
    small = _add(database, *[_link(number) for number in range(100, 103)])
    with database.read() as session:
        (ahead,) = queries.ahead(session, DEFAULT_LIMITS, small)
    assert ahead.items == 6


def test_a_mixed_list_becomes_batches_that_are_never_mixed(database: Database) -> None:
    found = [
        Found(
            Kind.POST,
            f"https://x/{number}",
            key=f"post:{number}",
            platform=("youtube", "tiktok")[number % 2],
            post_id=str(number),
            options=Options(unique_id=("a", "b", "c")[number % 3], quality=(None, 720)[number % 5 == 0]),
        )
        for number in range(240)
    ]
    _add(database, *found)
    seen: Counter[int] = Counter()
    while claimed := _claim(database, Lane.SCRAPE):
        seen.update(claimed.fences)
        assert len(claimed.items) <= 50
        assert len({tuple(getattr(item, name) for name in TOGETHER) for item in claimed.items}) == 1
    assert len(seen) == 240 and set(seen.values()) == {1}


def test_many_claimers_never_share_an_item(database: Database) -> None:
    _add(database, *[_link(number) for number in range(200)])
    taken: Counter[int] = Counter()
    lock = threading.Lock()

    def claimer(_: int) -> None:
        while claimed := _claim(database):
            with lock:
                taken.update(claimed.fences)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(claimer, range(8)))
    assert len(taken) == 200
    assert set(taken.values()) == {1}


def test_news_of_many_tellers_moves_an_item_once(database: Database) -> None:
    _add(database, _link(1))
    claimed = _claim(database)
    assert claimed
    _accept(database, claimed, "VI1")
    number = claimed.items[0].id or 0

    def teller(index: int) -> Status | None:
        with database.write() as session:
            return store.tell(session, number, News.READY if index % 2 else News.BROKEN, values={"error": None})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(teller, range(16)))
    with database.read() as session:
        item, story = session.get_one(Item, number), queries.item_story(session, number)
    assert item.status == "PARSE"
    assert story
    ways = [event["to"] for event in story["events"]]
    assert ways in (["QUEUED", "SENDING", "UNPARSE", "PARSE"], ["QUEUED", "SENDING", "UNPARSE", "FAIL", "PARSE"])


def test_a_dead_sender_leaves_its_item_unsure_at_the_end_of_its_lease(database: Database) -> None:
    _add(database, _link(1))
    claimed = _claim(database)
    assert claimed
    with database.write() as session:
        assert store.expire_leases(session, LEASE) == 0
        session.execute(text("UPDATE submission SET lease_until = 5"))
    with database.write() as session:
        assert store.expire_leases(session, LEASE) == 1
    with database.read() as session:
        submission = session.get_one(Submission, claimed.submission.id)
        assert (submission.state, submission.ended_at) == ("lost", 5)
        assert not store.holds_lease(session, submission.id or 0)
    assert _items(database)[0].status == "UNSURE"


def test_an_answer_that_comes_after_its_lease_counts(database: Database) -> None:
    _add(database, _link(1))
    claimed = _claim(database)
    assert claimed
    with database.write() as session:
        session.execute(text("UPDATE submission SET lease_until = 5"))
        store.expire_leases(session, LEASE)
    _accept(database, claimed, "VI1")
    item = _items(database)[0]
    assert (item.status, item.video_no) == ("UNPARSE", "VI1")


def test_a_second_video_of_an_item_is_recorded_not_taken(database: Database) -> None:
    _add(database, _link(1))
    claimed = _claim(database)
    assert claimed
    _accept(database, claimed, "VI1")
    _accept(database, claimed, "VI2")
    item = _items(database)[0]
    assert (item.video_no, item.duplicate_upstream) == ("VI1", ["VI2"])


def test_what_was_surely_not_sent_burns_no_attempt(database: Database) -> None:
    _add(database, _link(1))
    claimed = _claim(database)
    assert claimed and _items(database)[0].attempts == 1
    with database.write() as session:
        store.released(session, claimed, "too fast", delay_seconds=0)
    item = _items(database)[0]
    assert (item.status, item.attempts) == ("QUEUED", 0)


def test_a_release_by_an_overtaken_sender_changes_nothing(database: Database) -> None:
    _add(database, _link(1))
    old = _claim(database)
    assert old
    with database.write() as session:
        session.execute(text("UPDATE submission SET lease_until = 5"))
        store.expire_leases(session, LEASE)
        store.tell(session, old.items[0].id or 0, News.ABSENT)
    new = _claim(database)
    assert new
    with database.write() as session:
        store.released(session, old, "late")
    assert _items(database)[0].status == "SENDING"


def test_counts_name_every_status_and_the_rest_is_arithmetic(database: Database) -> None:
    job = _add(database, *[_post(n) for n in range(120)], *[_link(n) for n in range(7)])
    with database.read() as session:
        counts = queries.counts(session, job)
        ahead = {one.lane: one for one in queries.ahead(session, DEFAULT_LIMITS, job)}
    assert set(counts) == set(Status)
    assert counts["QUEUED"] == 127
    assert (ahead[Lane.SCRAPE].calls, ahead[Lane.SCRAPE].seconds) == (3, 180.0)
    assert (ahead[Lane.UPLOAD].calls, ahead[Lane.UPLOAD].seconds) == (7, 7.0)


def test_a_pause_holds_for_its_key_alone_and_ends_by_time(database: Database) -> None:
    from ingest.settings import Account

    refused, other = Account("account", "one"), Account("account", "two")
    with database.write() as session:
        store.pause(session, "account", by="vendor", reason="refused", code="0401", fingerprint=refused.fingerprint)
        store.pause(session, "lane:scrape", by="upstream", reason="away", seconds=-1)
    with database.read() as session:
        assert queries.pause_of_lane(session, Lane.UPLOAD, refused)
        assert queries.pause_of_lane(session, Lane.UPLOAD, other) is None
        assert queries.pause_of_lane(session, Lane.SCRAPE, other) is None


def _plan(database: Database, act: Callable[[Session], object]) -> str:
    """What the planner says about every SELECT that ``act`` runs."""
    seen: list[tuple[str, Any]] = []

    def note(_connection, _cursor, statement, parameters, _context, _many) -> None:  # type: ignore[no-untyped-def]
        seen.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        with database.write() as session:
            act(session)
    finally:
        event.remove(database.engine, "before_cursor_execute", note)
    lines = []
    with database.engine.connect() as connection:
        for statement, parameters in seen:
            if statement.startswith("SELECT"):
                lines += [str(row) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    return "\n".join(lines)


def test_what_runs_every_second_never_walks_a_whole_table(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'plan.db'}"
    migrate(url)
    database = Database(url)
    acts: dict[str, Callable[[Session], object]] = {
        "claim": lambda session: store.claim(session, Lane.UPLOAD, "account", LEASE),
        "lanes": queries.lanes_with_work,
        "questions": lambda session: store.take_due(session, Status.UNPARSE, 200, 1, has_video=True),
        "late": lambda session: store.take_late(session, 200, 1),
        "callbacks": lambda session: store.take_callbacks(session, 500),
        "leases": lambda session: store.expire_leases(session, LEASE),
        "owned": lambda session: queries.owned(session, ["VI1"]),
    }
    for name, act in acts.items():
        plan = _plan(database, act)
        assert "SCAN" not in plan.replace("SCAN item USING INDEX ix_item_doubled", ""), f"{name}: {plan}"
        if name == "claim":
            assert "ix_item_claim" in plan and "TEMP B-TREE" not in plan, plan


def test_an_item_settled_by_a_late_answer_is_not_sent_again(database: Database) -> None:
    _add(database, _link(1))
    old = _claim(database)
    assert old
    with database.write() as session:
        session.execute(text("UPDATE submission SET lease_until = 5"))
        store.expire_leases(session, LEASE)
        store.tell(session, old.items[0].id or 0, News.ABSENT)
    new = _claim(database)
    assert new
    with database.read() as session:
        assert store.holds_lease(session, new.submission.id or 0)
    _accept(database, old, "VI1")
    with database.read() as session:
        assert not store.holds_lease(session, new.submission.id or 0)
    with database.write() as session:
        store.refused(session, new, "0001", "no", None)
    item = _items(database)[0]
    assert (item.status, item.video_no, item.submission_id) == ("UNPARSE", "VI1", old.submission.id)


def test_a_persons_pause_outlives_the_vendors(database: Database) -> None:
    from ingest.settings import Account

    account = Account("account", "one")
    with database.write() as session:
        store.pause(session, "lane:upload", by="operator", reason="night")
        store.pause(session, "lane:upload", by="upstream", reason="away", seconds=60)
        pauses.passed(session, Lane.UPLOAD)
    with database.read() as session:
        found = queries.pause_of_lane(session, Lane.UPLOAD, account)
    assert found and found.by == "operator"


def test_trouble_of_many_hours_keeps_its_longest_back_off(database: Database) -> None:
    with database.write() as session:
        store.pause(session, "lane:upload", by="upstream", reason="away", seconds=1)
        session.execute(text("UPDATE pause SET count = 5000"))
        pauses.unreachable(session, Lane.UPLOAD, Unavailable("unreachable", "away"))
        assert session.get_one(Pause, ("lane:upload", "upstream")).until <= now_ms() + 36_000  # type: ignore[operator]


def test_two_turns_that_learn_the_same_content_at_once_find_one_owner(database: Database) -> None:
    _add(database, _file(1), _file(2))
    first_holds, second_asks = threading.Event(), threading.Event()

    def first() -> tuple[int, str] | None:
        with database.write() as session:
            twin = store.learn_content(session, 1, "abc", 100, 1)
            first_holds.set()
            second_asks.wait(0.5)
        return twin

    def second() -> tuple[int, str] | None:
        first_holds.wait(5)
        with database.write() as session:
            return store.learn_content(session, 2, "abc", 100, 1)

    with ThreadPoolExecutor(2) as pool:
        twins = [future.result() for future in (pool.submit(first), pool.submit(second))]
    assert twins[0] is None
    assert twins[1] is not None and twins[1][0] == 1
    assert [item.sha256 for item in _items(database)] == ["abc", "abc"]
