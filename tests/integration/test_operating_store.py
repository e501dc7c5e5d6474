"""What a person may do to items, pauses and callbacks, on SQLite and on PostgreSQL alike."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select, text

from ingest import pauses, queries, store
from ingest.clock import now_ms
from ingest.database import Database
from ingest.lanes import Lane
from ingest.models import Callback, Item, Job, Pause
from ingest.queries import Selection
from ingest.retrying import Action
from ingest.settings import Settings
from ingest.sources.found import Found, Kind
from ingest.statuses import News, Stage, Status
from ingest.upstream.fields import Video, Word

pytestmark = pytest.mark.integration


def _link(number: int) -> Found:
    url = f"https://media.example/{number}.mp4"
    return Found(Kind.LINK, url, key=f"link:{url}")


def _post(number: int) -> Found:
    return Found(
        Kind.POST,
        f"https://tiktok/{number}",
        key=f"post:tiktok:{number}",
        platform="tiktok",
        post_id=str(number),
    )


def _add(database: Database, *found: Found, hashes: dict[str, str] | None = None, again: bool = False) -> list[int]:
    with database.write() as session:
        job_id = store.add_job(session, "add", ["x"], "default", "private")
        store.add_items(session, session.get_one(Job, job_id), list(found), hashes or {}, again=again)
    with database.read() as session:
        return [item.id for item in queries.items(session, job_id=job_id) if item.id]


def _set(database: Database, item_id: int, **values: Any) -> None:
    with database.write() as session:
        session.execute(
            text(f"UPDATE item SET {', '.join(f'{name} = :{name}' for name in values)} WHERE id = :id"),
            {**values, "id": item_id},
        )


def _fail(database: Database, item_id: int, news: News, code: str, video_no: str | None = None) -> None:
    """As workers end an item: sent first where that must be."""
    with database.write() as session:
        if news is not News.UNFIT:
            session.execute(text(f"UPDATE item SET status = 'SENDING', attempts = 3 WHERE id = {item_id}"))
        if news is News.EXPIRED:
            session.execute(text(f"UPDATE item SET status = 'UNSURE' WHERE id = {item_id}"))
        if video_no:
            session.execute(text(f"UPDATE item SET status = 'UNPARSE', accepted_at = 5 WHERE id = {item_id}"))
        values = {"error_code": code, "error": f"it failed: {code}", "video_no": video_no}
        assert store.tell(session, item_id, news, values=values) is Status.FAIL


def _item(database: Database, item_id: int) -> Item:
    with database.read() as session:
        return session.get_one(Item, item_id)


def _retry(database: Database, ids: Sequence[int], **options: bool) -> dict[int, tuple[Action, str | None]]:
    return {one.item.id or 0: (one.action, one.why) for one in store.retry(database, ids, **options)}


def test_what_failed_before_it_was_sent_begins_anew_and_owns_its_content(database: Database) -> None:
    (number,) = _add(database, _link(1))
    holds = _item(database, number).holds
    _fail(database, number, News.REFUSED, "0001")
    _set(database, number, lost_workers=2, killed_alone=True)
    assert _item(database, number).holds is None
    assert _retry(database, [number]) == {number: (Action.QUEUED, None)}
    item = _item(database, number)
    assert (item.status, item.stage, item.error_code, item.error) == ("QUEUED", None, None, None)
    assert (item.attempts, item.lost_workers, item.killed_alone) == (0, 0, False)
    assert item.holds == holds
    with database.read() as session:
        story = queries.item_story(session, number)
    assert story and story["events"][-1]["news"] == "retry"
    assert "it failed: 0001" in [event["detail"] for event in story["events"]]


@pytest.mark.parametrize("kind", ["post", "file"])
def test_each_kind_owns_its_content_again(database: Database, kind: str) -> None:
    file = Found(Kind.FILE, "/library/a.mp4", size=100, mtime_ns=1)
    (number,) = _add(database, _post(1) if kind == "post" else file, hashes={"/library/a.mp4": "aa"})
    holds = _item(database, number).holds
    assert holds
    _fail(database, number, News.UNFIT, "not_a_video")
    assert _retry(database, [number])[number][0] is Action.QUEUED
    assert _item(database, number).holds == holds


def test_a_copy_that_took_over_keeps_the_content(database: Database) -> None:
    first, second = _add(database, _link(1), _link(1))
    _fail(database, first, News.REFUSED, "0001")
    assert _item(database, second).status == "QUEUED"
    action, why = _retry(database, [first])[first]
    assert action is Action.PASSED_OVER
    assert why == f"it is the same as item {second}, which is QUEUED"
    assert _item(database, first).status == "FAIL"


def test_of_two_alike_the_first_is_sent(database: Database) -> None:
    first, second = _add(database, _link(1), _link(1))
    list(store.cancel_items(database, [first]))
    list(store.cancel_items(database, [second]))
    dry = _retry(database, [first, second], dry_run=True)
    assert {_item(database, number).status for number in (first, second)} == {"CANCELLED"}
    assert _retry(database, [first, second]) == dry
    assert [dry[number][0] for number in (first, second)] == [Action.QUEUED, Action.PASSED_OVER]


def test_what_was_sent_in_spite_of_its_twin_needs_to_own_nothing(database: Database) -> None:
    _add(database, _link(1))
    (number,) = _add(database, _link(1), again=True)
    list(store.cancel_items(database, [number]))
    assert _retry(database, [number])[number][0] is Action.QUEUED
    assert _item(database, number).holds is None


def test_a_file_that_the_account_held_before_us_is_not_sent(database: Database) -> None:
    (number,) = _add(database, Found(Kind.FILE, "/library/beach.mp4", size=100, mtime_ns=1))
    list(store.cancel_items(database, [number]))
    with database.write() as session:
        job = store.add_job(session, "adopt", ["default"], "default", "private")
        video = Video("VI9", Word.READY, "PARSE", name="beach", size=100)
        store.adopt(session, session.get_one(Job, job), [video])
    action, why = _retry(database, [number])[number]
    assert action is Action.PASSED_OVER and "which is PARSE" in (why or "")


def test_a_broken_video_stays_owned_when_its_file_is_sent_anew(database: Database) -> None:
    (number,) = _add(database, _link(1))
    _fail(database, number, News.BROKEN, "not_indexed", "VI1")
    holds = _item(database, number).holds
    assert holds
    assert _retry(database, [number])[number][0] is Action.QUEUED
    item = _item(database, number)
    assert (item.video_no, item.task_id, item.accepted_at) == (None, None, None)
    assert (item.duplicate_upstream, item.holds) == (["VI1"], holds)
    with database.read() as session:
        assert queries.owned(session, ["VI1"]) == {"VI1"}


def test_a_repeated_scrape_that_yields_the_same_video_makes_no_second_one_of_it(database: Database) -> None:
    (number,) = _add(database, _post(1))
    _fail(database, number, News.BROKEN, "not_indexed", "VI1")
    assert _retry(database, [number])[number][0] is Action.QUEUED
    with database.write() as session:
        store.found_video(session, number, "VI1")
    item = _item(database, number)
    assert (item.video_no, item.duplicate_upstream) == ("VI1", None)


def test_a_video_that_was_not_ready_in_time_gets_a_new_deadline(database: Database) -> None:
    (number,) = _add(database, _link(1))
    _fail(database, number, News.EXPIRED, "not_ready", "VI1")
    before = now_ms()
    assert _retry(database, [number])[number] == (Action.ASKED, None)
    item = _item(database, number)
    assert (item.status, item.video_no, item.error, item.asked) == ("UNPARSE", "VI1", None, 0)
    assert (item.accepted_at or 0) >= before and item.due_at >= before


def test_resend_sends_anew_what_may_be_there(database: Database) -> None:
    late, unclear = _add(database, _link(1), _link(2))
    _fail(database, late, News.EXPIRED, "not_ready", "VI1")
    _fail(database, unclear, News.EXPIRED, "ambiguous")
    assert _retry(database, [unclear])[unclear][0] is Action.PASSED_OVER
    done = _retry(database, [late, unclear], resend=True)
    assert {action for action, _ in done.values()} == {Action.QUEUED}
    assert _item(database, late).duplicate_upstream == ["VI1"]
    assert _item(database, late).video_no is None


def test_a_cancelled_job_runs_again(database: Database) -> None:
    ids = _add(database, *[_link(number) for number in range(3)])
    job = _item(database, ids[0]).job_id
    assert store.cancel_job(database, job) == 3
    _retry(database, ids[:1])
    with database.read() as session:
        assert session.get_one(Job, job).cancelled_at is None
        assert queries.job_status(session, job)["state"] == "running"  # type: ignore[index]


def test_a_trial_changes_nothing(database: Database) -> None:
    (number,) = _add(database, _link(1))
    _fail(database, number, News.REFUSED, "0001")
    before = _item(database, number).model_dump()
    assert _retry(database, [number], dry_run=True)[number][0] is Action.QUEUED
    assert _item(database, number).model_dump() == before


def test_more_than_a_page_is_tried_again_behind_what_waits(database: Database) -> None:
    ids = _add(database, *[_link(number) for number in range(1200)])
    store.cancel_job(database, _item(database, ids[0]).job_id)
    _add(database, *[_link(number) for number in range(5000, 5003)])
    assert len(_retry(database, ids)) == 1200
    with database.read() as session:
        turns = [item.turn for item in queries.items(session, job_id=_item(database, ids[0]).job_id)]
        assert queries.counts(session)["QUEUED"] == 1203
    assert len(set(turns)) == 1200  # one after the other, not all at once before the others


def test_two_who_try_again_at_once_send_it_once(database: Database) -> None:
    """Two items of one content in two jobs, tried again by many hands while the same is added once more."""
    first, second = _add(database, _link(1), _link(1))
    list(store.cancel_items(database, [first]))
    list(store.cancel_items(database, [second]))
    with ThreadPoolExecutor(6) as pool:
        tried = [pool.submit(_retry, database, [number]) for number in (first, second) * 3]
        added = [pool.submit(_add, database, _link(1)) for _ in range(2)]
        for one in [*tried, *added]:
            one.result()
    with database.read() as session:
        assert queries.counts(session)["QUEUED"] == 1


def test_what_is_added_while_its_like_is_tried_again_becomes_its_copy(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    (number,) = _add(database, _link(1))
    list(store.cancel_items(database, [number]))
    written, end = threading.Event(), store._run_again

    def linger(*args: Any) -> None:
        written.set()
        time.sleep(0.5)  # the add comes now, and must wait for the end of this transaction
        end(*args)

    monkeypatch.setattr(store, "_run_again", linger)
    with ThreadPoolExecutor(1) as pool:
        tried = pool.submit(_retry, database, [number])
        assert written.wait(10)
        (copy,) = _add(database, _link(1))
        assert tried.result()[number][0] is Action.QUEUED
    assert (_item(database, copy).status, _item(database, copy).twin_id) == ("SKIPPED", number)


def test_content_that_another_item_took_since_it_was_looked_at_is_left_to_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = _add(database, _link(1), _link(2), _link(3))
    holds = _item(database, first).holds
    list(store.cancel_items(database, [first, third]))
    look = store._decide_retries

    def overtaken(session: Any, *args: Any) -> Any:
        found = look(session, *args)
        session.execute(text("UPDATE item SET holds = :holds WHERE id = :id"), {"holds": holds, "id": second})
        return found

    monkeypatch.setattr(store, "_decide_retries", overtaken)
    done = _retry(database, [first, third])
    assert [done[number][0] for number in (first, third)] == [Action.PASSED_OVER, Action.QUEUED]
    assert [_item(database, number).status for number in (first, third)] == ["CANCELLED", "QUEUED"]


def test_an_item_that_moved_since_it_was_looked_at_is_left_alone(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    (number,) = _add(database, _link(1))
    _fail(database, number, News.EXPIRED, "never_arrived")
    look = store._decide_retries

    def late_answer(session: Any, *args: Any) -> Any:
        found = look(session, *args)
        store.tell(session, number, News.IDENTIFIED, values={"video_no": "VI1"})
        store.tell(session, number, News.EXPIRED, values={"error_code": "not_ready", "error": "late"})
        return found

    monkeypatch.setattr(store, "_decide_retries", late_answer)
    assert _retry(database, [number]) == {number: (Action.PASSED_OVER, "it has moved on just now")}
    assert (_item(database, number).status, _item(database, number).video_no) == ("FAIL", "VI1")


def test_filters_combine_and_values_of_one_do_not(database: Database) -> None:
    a, b, c = _add(database, _link(1), _link(2), _post(3))
    _fail(database, a, News.REFUSED, "0001")
    _fail(database, b, News.UNFIT, "empty")
    _fail(database, c, News.REFUSED, "0001")
    with database.read() as session:

        def chosen(**filters: Any) -> list[int]:
            return queries.item_ids(session, Selection(**filters))

        assert chosen(error_codes=["0001", "empty"]) == [a, b, c]
        assert chosen(error_codes=["0001"], kinds=["link"]) == [a]
        assert chosen(stages=[Stage.PREFLIGHT], error_codes=["0001"]) == []
        assert queries.item_ids(session, Selection(error_codes=["0001"]), [b, c]) == [c]
        newest, number = queries.newest_items(session, Selection(), 2)
        assert ([item.id for item in newest], number) == ([b, c], 3)


def test_only_what_waits_is_cancelled(database: Database) -> None:
    a, b = _add(database, _link(1), _link(2))
    _fail(database, b, News.REFUSED, "0001")
    assert list(store.cancel_items(database, [a, b])) == [(a, Status.CANCELLED, True), (b, Status.FAIL, False)]


# Pauses


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, database_url: str) -> Settings:
    for name, value in {"MEMORIES_API_KEY": "one", "INGEST_DATABASE_URL": database_url}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MEMORIES_CAPTION_API_KEY", raising=False)
    return Settings()  # type: ignore[call-arg]


def _standing(database: Database) -> set[tuple[str, str]]:
    with database.read() as session:
        return {(one.scope, one.by) for one in session.execute(select(Pause)).scalars()}


def test_to_pause_again_replaces_reason_and_end(database: Database) -> None:
    with database.write() as session:
        assert pauses.by_operator(session, "lane:upload", "night") is False
    with database.write() as session:
        assert pauses.by_operator(session, "lane:upload", "lunch", 60) is True
        one = session.get_one(Pause, ("lane:upload", "operator"))
        assert one.reason == "paused by an operator: lunch"
        assert one.until and one.until > now_ms()
        session.execute(text("UPDATE pause SET until = 5, since = 5"))
    with database.write() as session:
        assert pauses.by_operator(session, "lane:upload") is False
        assert session.get_one(Pause, ("lane:upload", "operator")).since > 5


def test_to_resume_the_account_tries_a_refused_key_again_at_once(database: Database, settings: Settings) -> None:
    with database.write() as session:
        key = settings.account.fingerprint
        store.pause(session, "account", by="vendor", reason="refused", code="0401", fingerprint=key, seconds=300)
        pauses.by_operator(session, "account")
        pauses.by_operator(session, "lane:upload")
        assert pauses.resume(session, settings, "account") == pauses.Resumed(True)
    assert _standing(database) == {("lane:upload", "operator")}


def test_a_lane_does_not_go_on_while_its_account_is_paused(database: Database, settings: Settings) -> None:
    with database.write() as session:
        pauses.by_operator(session, "account")
        pauses.by_operator(session, "lane:upload")
        resumed = pauses.resume(session, settings, "lane:upload")
    assert not resumed.ended and resumed.still and resumed.still.scope == "account"
    assert _standing(database) == {("account", "operator"), ("lane:upload", "operator")}


def test_a_lane_that_the_vendor_closed_opens_by_itself(database: Database, settings: Settings) -> None:
    with database.write() as session:
        pauses.by_operator(session, "lane:upload")
        store.pause(session, "lane:upload", by="upstream", reason="away", seconds=30)
        store.pause(session, "lane:upload", by="vendor", reason="too fast", code="0429", seconds=30)
        resumed = pauses.resume(session, settings, "lane:upload")
    assert resumed.ended and resumed.still and resumed.still.by == "vendor"
    assert _standing(database) == {("lane:upload", "vendor")}


def test_a_resumed_job_may_still_wait_for_its_account(database: Database, settings: Settings) -> None:
    with database.write() as session:
        pauses.by_operator(session, "job:7")
        pauses.by_operator(session, "account")
        resumed = pauses.resume(session, settings, "job:7")
        assert resumed.ended and resumed.still and resumed.still.scope == "account"
        assert pauses.resume(session, settings, "job:7").ended is False


def test_what_is_paused_shows_in_the_status_of_its_job(database: Database, settings: Settings) -> None:
    (number,) = _add(database, _link(1))
    job = _item(database, number).job_id
    for scope in (f"job:{job}", "lane:upload", "account"):
        with database.write() as session:
            pauses.by_operator(session, scope, "night")
        with database.read() as session:
            one = queries.job_status(session, job, queries.pause_of_job(session, job, settings))
        assert one and one["paused"] == {"scope": scope, "reason": "paused by an operator: night"}
        with database.write() as session:
            assert pauses.resume(session, settings, scope).ended


@pytest.mark.parametrize(
    ("typed", "scope"),
    [
        ("account", "account"),
        ("Upload", "lane:upload"),
        ("lane:scrape", "lane:scrape"),
        ("7", "job:7"),
        ("job:7", "job:7"),
    ],
)
def test_a_scope_is_found_as_people_type_it(settings: Settings, typed: str, scope: str) -> None:
    assert pauses.scope_named(settings, typed) == scope


@pytest.mark.parametrize("typed", ["", "0", "-1", "job:x", "lane:7", "account:caption", "9" * 30, "uploads"])
def test_what_is_no_scope_is_answered_with_what_there_is(settings: Settings, typed: str) -> None:
    with pytest.raises(ValueError, match=r"there is account, .* lanes upload"):
        pauses.scope_named(settings, typed)


def test_a_caption_key_of_its_own_is_an_account_of_its_own(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORIES_CAPTION_API_KEY", "two")
    assert pauses.scope_named(Settings(), "account:caption") == "account:caption"  # type: ignore[call-arg]


# Callbacks


def test_callbacks_are_replayed_from_the_start(database: Database) -> None:
    with database.write() as session:
        for number in range(1200):
            state = "unmatched" if number else "applied"
            row = Callback(kind="upload", body=b"\xff{}", received_at=5, due_at=now_ms() + 10**6, tries=12, state=state)
            session.add(row)
    with database.read() as session:
        newest = queries.callbacks(session, ["unmatched"], 3)
        ids = queries.callback_ids(session, states=["unmatched"])
        row = queries.callback_row(newest[0])
    assert [one.id for one in newest] == [ids[-1], ids[-2], ids[-3]]
    assert (row["body"], row["door"], row["submission"]) == ("\ufffd{}", "upload", None)
    assert store.replay_callbacks(database, ids) == 1199
    with database.write() as session:
        assert len(store.take_callbacks(session, 5000)) == 1199
        assert {one.tries for one in queries.callbacks(session, ["new"], 5000)} == {1}


def test_a_lane_row_says_what_keeps_it_and_when_it_ends(database: Database, settings: Settings) -> None:
    from ingest.outlook import lane_rows

    _add(database, *[_link(number) for number in range(7)], *[_post(number) for number in range(60)])
    with database.write() as session:
        pauses.by_operator(session, "lane:upload", "night")
    with database.read() as session:
        rows = {row["lane"]: row for row in lane_rows(session, settings, {})}
    assert set(rows) == set(Lane)
    upload, scrape = rows["upload"], rows["scrape"]
    assert (upload["items"], upload["calls"], upload["end"], upload["next_slot"]) == (7, 7, None, None)
    assert upload["paused"]["reason"] == "paused by an operator: night"
    assert (scrape["items"], scrape["calls"], scrape["seconds"], scrape["paused"]) == (60, 2, 120.0, None)
    assert scrape["end"]
