"""Turns, questions and the unsure, one pass at a time, against a vendor that answers what the test says."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from ingest import pauses, queries, store
from ingest.clock import now_ms
from ingest.lanes import Lane
from ingest.models import PRIVATE, Callback, Event, Item, Job, Submission
from ingest.nudge import make_celery
from ingest.quota import Place
from ingest.samples import make_video
from ingest.settings import Settings
from ingest.sources.found import Found, Kind
from ingest.sources.resolve import resolve
from ingest.statuses import News
from ingest.tokens import new_short_id
from tests.vendor import Vendor, ok, vendor
from workers import inbox, questions, retention, turns, unsure
from workers.context import Context

pytestmark = pytest.mark.integration

LIMITS = "upload=off,scrape=off,list=off,task_status=off,detail=off"


@pytest.fixture
def upstream() -> Iterator[Vendor]:
    with vendor() as found:
        yield found


@pytest.fixture
def context(
    home: Path, valkey: str, database_url: str, upstream: Vendor, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Context]:
    variables = {
        "INGEST_DATABASE_URL": database_url,
        "INGEST_SECRET": "shared by all hosts",
        "INGEST_HOME": str(home),
        "INGEST_REDIS_URL": valkey,
        "MEMORIES_API_KEY": "sk-secret-0123456789",
        "MEMORIES_API_URL": upstream.url,
        "INGEST_LIMITS": LIMITS,
        "INGEST_TIMINGS": "unsure=1s,poll=1s,parse=1h,scrape=1h",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = Settings()  # type: ignore[call-arg]
    made = Context(settings, make_celery(settings))
    made.upstream(Lane.LIST).spoke = True  # it has been running for a while
    yield made
    made.close()


def _add(context: Context, *sources: str) -> list[Item]:
    found = list(resolve(sources))
    with context.database.write() as session:
        job = store.add_job(session, "add", sources, "default", PRIVATE)
        store.add_items(session, session.get_one(Job, job), found, {})
    return _items(context)


def _items(context: Context) -> list[Item]:
    with context.database.read() as session:
        return list(queries.items(session))


def _sql(context: Context, statement: str) -> None:
    with context.database.write() as session:
        session.execute(text(statement))


def _lose(context: Context, *, minutes_ago: int = 2) -> Submission:
    """Claim the next upload and lose its answer, a while ago."""
    with context.database.write() as session:
        claimed = store.claim(session, Lane.UPLOAD, "account", 60)
        assert claimed and claimed.submission.id
        then = now_ms() - minutes_ago * 60_000
        store.lost(session, claimed.submission.id, claimed.fences, "time-out", ended_at=then + 1000, sent_at=then)
        session.execute(text(f"UPDATE submission SET created_at = {then} WHERE id = {claimed.submission.id}"))
    return claimed.submission


def _settle(context: Context, times: int = 1) -> None:
    for _ in range(times):
        _sql(context, "UPDATE item SET due_at = 0 WHERE status IN ('UNSURE', 'UNPARSE')")
        unsure.run(context)


def _video(number: str, name: str, at: int, status: str = "UNPARSE", size: str = "0") -> dict[str, Any]:
    return {"video_no": number, "video_name": name, "create_time": str(at), "status": status, "size": size}


def _pages(*pages: list[dict[str, Any]]) -> Any:
    return lambda request: ok({"videos": pages[request["page"] - 1] if request["page"] <= len(pages) else []})


# Lost answers


def test_what_killed_its_own_process_and_never_arrived_is_poison(
    context: Context, upstream: Vendor, tmp_path: Path
) -> None:
    _add(context, str(make_video(tmp_path / "beach.mp4")))
    _lose(context)
    _sql(context, "UPDATE item SET killed_alone = true, lost_workers = 3")
    upstream.answers["list_videos"] = _pages([])
    _settle(context, times=2)
    item = _items(context)[0]
    assert (item.status, item.stage) == ("FAIL", "poison")


def test_the_first_sweep_of_a_process_proves_no_absence(context: Context, upstream: Vendor, tmp_path: Path) -> None:
    """How far the vendor's clock is off is known from its first answer on; the window was made before."""
    _add(context, str(make_video(tmp_path / "beach.mp4")))
    _lose(context)
    context.upstream(Lane.LIST).spoke = False
    upstream.answers["list_videos"] = _pages([])
    _settle(context, times=2)
    assert _items(context)[0].status == "UNSURE"
    _settle(context)
    assert _items(context)[0].status == "QUEUED"


def test_where_the_list_never_answers_the_deadline_ends_it(context: Context, upstream: Vendor, tmp_path: Path) -> None:
    _add(context, str(make_video(tmp_path / "beach.mp4")))
    _lose(context, minutes_ago=59)
    _settle(context, times=3)
    assert _items(context)[0].status == "UNSURE"
    _sql(context, f"UPDATE submission SET ended_at = {now_ms() - 3_601_000}")
    _settle(context)
    item = _items(context)[0]
    assert (item.status, item.stage, item.error_code) == ("FAIL", "expired", "ambiguous")
    assert "could not be asked" in (item.error or "")


# Retention


def test_old_callbacks_and_events_go_and_their_effects_stay(context: Context, tmp_path: Path) -> None:
    _add(context, str(make_video(tmp_path / "a.mp4")), str(make_video(tmp_path / "b.mp4", seed=1)))
    long_ago, now = now_ms() - 31 * 24 * 3600 * 1000, now_ms()
    with context.database.write() as session:
        store.tell(session, 1, News.READY, values={"video_no": "VI1"})
        for at, state in ((long_ago, "applied"), (long_ago, "new"), (long_ago, "unmatched"), (now, "applied")):
            session.add(Callback(kind="upload", body=b"{}", received_at=at, state=state, due_at=at))
        store.warn(session, 2, "another codec")
        session.execute(text(f"UPDATE event SET at = {long_ago}"))
    retention.run(context)
    with context.database.read() as session:
        left = [(one.received_at, one.state) for one in session.execute(select(Callback)).scalars()]
        told = {one.item_id for one in session.execute(select(Event)).scalars()}
    assert sorted(left) == [(long_ago, "new"), (now, "applied")]
    assert told == {2}  # what is under way keeps its story
    assert (_items(context)[0].status, _items(context)[0].video_no) == ("PARSE", "VI1")


def test_a_lost_upload_is_found_by_the_short_id_in_its_name(context: Context, upstream: Vendor, tmp_path: Path) -> None:
    _add(context, str(make_video(tmp_path / "beach.mp4")))
    lost = _lose(context)
    upstream.answers["list_videos"] = _pages([_video("VI1", f"beach_{lost.short_id}_", now_ms() - 90_000)])
    _settle(context)
    item = _items(context)[0]
    assert (item.status, item.video_no) == ("UNPARSE", "VI1")


def test_it_is_sent_again_only_when_two_sweeps_show_nothing(context: Context, upstream: Vendor, tmp_path: Path) -> None:
    _add(context, str(make_video(tmp_path / "beach.mp4")))
    _lose(context)
    upstream.answers["list_videos"] = _pages([])
    _settle(context)
    assert _items(context)[0].status == "UNSURE"
    _settle(context)
    item = _items(context)[0]
    assert (item.status, item.attempts) == ("QUEUED", 1)


@pytest.mark.parametrize(
    "answer", [ok(None), ok([]), ok({"records": []}), b"half a pag", {"code": "0001", "msg": "no"}]
)
def test_an_answer_that_is_no_list_proves_nothing(
    context: Context, upstream: Vendor, tmp_path: Path, answer: Any
) -> None:
    _add(context, str(make_video(tmp_path / "beach.mp4")))
    _lose(context)
    upstream.answers["list_videos"] = lambda _: answer
    _settle(context, times=4)
    assert _items(context)[0].status == "UNSURE"
    assert upstream.asked("list_videos") == 4


@pytest.mark.parametrize("order", ["oldest first", "in no order"])
def test_a_list_that_is_not_newest_first_is_read_to_its_end(
    context: Context, upstream: Vendor, tmp_path: Path, order: str
) -> None:
    _add(context, str(make_video(tmp_path / "beach.mp4")))
    lost = _lose(context)
    times = range(200) if order == "oldest first" else [*range(199, 150, -1), *range(1, 151), 0]
    old = [_video(f"VI-old-{n}", f"old {n}", now_ms() - 90_000_000 + n) for n in times]
    upstream.answers["list_videos"] = _pages(old, [_video("VI1", f"beach [{lost.short_id}]", now_ms() - 90_000)])
    _settle(context)
    assert _items(context)[0].video_no == "VI1"


def test_a_list_that_is_newest_first_is_read_no_further_than_needed(
    context: Context, upstream: Vendor, tmp_path: Path
) -> None:
    _add(context, str(make_video(tmp_path / "beach.mp4")))
    _lose(context)
    old = [_video(f"VI-old-{n}", f"old {n}", now_ms() - 90_000_000 - n) for n in range(200)]
    upstream.answers["list_videos"] = _pages(old, old)
    _settle(context)
    assert upstream.asked("list_videos") == 1


def test_a_post_on_its_way_is_not_taken_for_a_lost_file(context: Context, upstream: Vendor, tmp_path: Path) -> None:
    _add(context, str(make_video(tmp_path / "beach.mp4")), "https://www.tiktok.com/@a/video/7300000000000000001")
    _lose(context)
    with context.database.write() as session:
        posts = store.claim(session, Lane.SCRAPE, "account", 60)
        assert posts
        store.accepted(session, posts, video_no=None, task_id="task", sent_at=now_ms(), due_at=now_ms() + 60_000)
    upstream.answers["list_videos"] = _pages([_video("VIpost", "a post", now_ms() - 60_000)])
    _sql(context, "UPDATE item SET due_at = 0 WHERE status = 'UNSURE'")
    unsure.run(context)
    item = _items(context)[0]
    assert (item.status, item.video_no) == ("UNSURE", None)


def test_a_hint_settles_it_once_the_vendor_confirms(context: Context, upstream: Vendor, tmp_path: Path) -> None:
    _add(context, str(make_video(tmp_path / "beach.mp4")))
    lost = _lose(context)
    _call_back(context, "upload", lost.short_id, {"videoNo": "VI7", "status": "PARSE"})
    upstream.answers["get_metadata"] = lambda request: ok(_video(request["video_no"], "x", now_ms(), "PARSE"))
    _settle(context)
    item = _items(context)[0]
    assert (item.status, item.video_no) == ("PARSE", "VI7")


def test_a_hint_that_cannot_be_asked_about_does_not_keep_the_list_from_settling(
    context: Context, upstream: Vendor, tmp_path: Path
) -> None:
    _add(context, str(make_video(tmp_path / "beach.mp4")))
    lost = _lose(context)
    _call_back(context, "upload", lost.short_id, {"videoNo": "VI7", "status": "PARSE"})
    upstream.answers["list_videos"] = lambda request: ok(
        {"videos": [] if request.get("video_nos") else [_video("VI8", f"b [{lost.short_id}]", now_ms() - 90_000)]}
        if request["page"] == 1
        else {"videos": []}
    )
    _settle(context)
    assert _items(context)[0].video_no == "VI8"


def test_a_lost_scrape_is_sent_again_at_once(context: Context, upstream: Vendor) -> None:
    _add(context, "https://www.tiktok.com/@a/video/7300000000000000001")
    with context.database.write() as session:
        claimed = store.claim(session, Lane.SCRAPE, "account", 60)
        assert claimed and claimed.submission.id
        store.lost(session, claimed.submission.id, claimed.fences, "reset", ended_at=now_ms(), sent_at=now_ms())
    _settle(context)
    assert _items(context)[0].status == "QUEUED"


# Questions


def _accept(context: Context, lane: Lane, video_no: str | None, task_id: str | None = None) -> Submission:
    with context.database.write() as session:
        claimed = store.claim(session, lane, "account", 60)
        assert claimed
        store.accepted(session, claimed, video_no=video_no, task_id=task_id, sent_at=now_ms(), due_at=0)
    return claimed.submission


def _ask(context: Context) -> None:
    _sql(context, "UPDATE item SET due_at = 0 WHERE status = 'UNPARSE'")
    questions.run(context)


def _call_back(context: Context, kind: str, short_id: str | None, body: Any) -> Callback:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with context.database.write() as session:
        session.add(Callback(kind=kind, short_id=short_id, body=raw, received_at=now_ms(), due_at=now_ms()))
    inbox.run(context)
    with context.database.read() as session:
        return session.execute(select(Callback).order_by(text("id DESC"))).scalars().first()  # type: ignore[return-value]


def test_one_refused_question_keeps_no_other_from_being_asked(context: Context, upstream: Vendor) -> None:
    _add(context, "https://a.example/1.mp4", "https://a.example/2.mp4")
    _accept(context, Lane.UPLOAD, "VI1")
    _accept(context, Lane.UPLOAD, "VI2")
    _sql(context, "UPDATE item SET accepted_at = 5 WHERE video_no = 'VI1'")
    refusal = {"code": "0001", "msg": "Video not found"}
    upstream.answers["get_metadata"] = lambda request: (
        refusal if request["video_no"] == "VI1" else ok(_video("VI2", "x", now_ms(), "PARSE"))
    )
    upstream.answers["list_videos"] = _pages([])
    _ask(context)
    first, second = _items(context)
    assert (first.status, first.stage, first.error_code) == ("FAIL", "expired", "not_ready")
    assert second.status == "PARSE"


def test_many_are_asked_about_in_one_call(context: Context, upstream: Vendor) -> None:
    _add(context, *[f"https://a.example/{n}.mp4" for n in range(60)])
    for n in range(60):
        _accept(context, Lane.UPLOAD, f"VI{n}")
    upstream.answers["list_videos"] = lambda request: ok(
        {"videos": [_video(n, "x", now_ms(), "PARSE") for n in request["video_nos"]]}
    )
    _ask(context)
    assert {item.status for item in _items(context)} == {"PARSE"}
    assert upstream.asked("list_videos") == 1


def test_a_vendor_that_ignores_the_filter_is_swept(context: Context, upstream: Vendor) -> None:
    _add(context, *[f"https://a.example/{n}.mp4" for n in range(10)])
    for n in range(10):
        _accept(context, Lane.UPLOAD, f"VI{n}")
    others = [_video(f"VIx{n}", "x", now_ms()) for n in range(200)]
    mine = [_video(f"VI{n}", "x", now_ms(), "PARSE") for n in range(10)]
    upstream.answers["list_videos"] = _pages(others, mine)
    _ask(context)
    assert {item.status for item in _items(context)} == {"PARSE"}


def test_posts_are_matched_by_their_id_never_by_order(context: Context, upstream: Vendor) -> None:
    urls = [f"https://www.tiktok.com/@a/video/730000000000000000{n}" for n in range(3)]
    _add(context, *urls)
    _accept(context, Lane.SCRAPE, None, "task")
    told = [_video(f"VI{n}", "x", now_ms(), "PARSE") | {"video_url": f"{urls[n]}?utm=1"} for n in (2, 0)]
    stray = _video("VI9", "x", now_ms()) | {"video_url": "https://www.tiktok.com/@b/video/7311111111111111111"}
    upstream.answers["get_video_ids_by_task_id"] = lambda _: ok({"videos": [*told, stray]})
    _ask(context)
    assert [item.video_no for item in _items(context)] == ["VI0", None, "VI2"]
    with context.database.read() as session:
        assert session.execute(select(Submission)).scalars().one().unmatched == ["VI9"]


def test_ids_without_a_source_are_attributed_by_their_detail(context: Context, upstream: Vendor) -> None:
    url = "https://www.youtube.com/watch?v=dQw4w9WgXcQ"
    _add(context, url)
    _accept(context, Lane.SCRAPE, None, "task")
    upstream.answers["get_video_ids_by_task_id"] = lambda _: ok({"taskId": "task", "video_ids": ["VI1"]})
    upstream.answers["get_private_video_details"] = lambda _: ok(_video("VI1", "x", now_ms()) | {"video_url": url})
    _ask(context)
    assert _items(context)[0].video_no == "VI1"


def test_a_task_said_to_have_failed_is_looked_at_more_than_once(context: Context, upstream: Vendor) -> None:
    url = "https://www.youtube.com/watch?v=dQw4w9WgXcQ"
    _add(context, url)
    submission = _accept(context, Lane.SCRAPE, None, "task")
    found: list[dict[str, Any]] = []
    upstream.answers["get_video_ids_by_task_id"] = lambda _: ok({"videos": found})
    _call_back(context, "scraper", submission.short_id, {"taskId": "task", "status": "FAILED"})
    _ask(context)
    assert _items(context)[0].status == "UNPARSE"
    found.append(_video("VI1", "x", now_ms(), "PARSE") | {"video_url": url})
    _ask(context)
    assert _items(context)[0].status == "PARSE"


def test_a_late_answer_of_a_first_scrape_leaves_no_row_that_cannot_be_asked_about(
    context: Context, upstream: Vendor
) -> None:
    _add(context, "https://www.tiktok.com/@a/video/7300000000000000001")
    with context.database.write() as session:
        first = store.claim(session, Lane.SCRAPE, "account", 60)
        assert first and first.submission.id
        store.lost(session, first.submission.id, first.fences, "reset", ended_at=now_ms(), sent_at=now_ms())
    _settle(context)
    _sql(context, "UPDATE item SET due_at = 0")
    with context.database.write() as session:
        second = store.claim(session, Lane.SCRAPE, "account", 60)
        assert second
        store.accepted(session, first, video_no=None, task_id="task-1", sent_at=now_ms(), due_at=0)
        store.released(session, second, "overtaken")
    upstream.answers["get_video_ids_by_task_id"] = lambda request: ok({"videos": []})
    _ask(context)
    assert [request["task_id"] for call, request in upstream.calls if call == "get_video_ids_by_task_id"] == ["task-1"]


# The inbox


def test_a_callback_faster_than_its_answer_is_asked_about_at_once(context: Context, upstream: Vendor) -> None:
    _add(context, "https://a.example/1.mp4")
    with context.database.write() as session:
        claimed = store.claim(session, Lane.UPLOAD, "account", 60)
        assert claimed
    _call_back(context, "upload", claimed.submission.short_id, {"videoNo": "VI1", "status": "PARSE"})
    with context.database.write() as session:
        later = now_ms() + 600_000
        store.accepted(session, claimed, video_no="VI1", task_id=None, sent_at=now_ms(), due_at=later)
    upstream.answers["get_metadata"] = lambda _: ok(_video("VI1", "x", now_ms(), "PARSE"))
    questions.run(context)
    assert _items(context)[0].status == "PARSE"


def test_parse_in_a_callback_is_a_hint_not_a_result(context: Context, upstream: Vendor) -> None:
    _add(context, "https://a.example/1.mp4")
    submission = _accept(context, Lane.UPLOAD, "VI1")
    kept = _call_back(context, "upload", submission.short_id, {"videoNo": "VI1", "status": "PARSE"})
    assert kept.state == "applied"
    upstream.answers["get_metadata"] = lambda _: ok(_video("VI1", "x", now_ms(), "UNPARSE"))
    _ask(context)
    assert _items(context)[0].status == "UNPARSE"
    upstream.answers["get_metadata"] = lambda _: ok(_video("VI1", "x", now_ms(), "FAILED") | {"cause": "codec"})
    _ask(context)
    item = _items(context)[0]
    assert (item.status, item.stage) == ("FAIL", "upstream")
    assert "codec" in (item.error or "")


def test_a_post_given_up_is_not_revived_by_a_look_at_its_task(context: Context, upstream: Vendor) -> None:
    urls = [f"https://www.tiktok.com/@a/video/730000000000000000{n}" for n in (1, 2)]
    _add(context, *urls)
    _accept(context, Lane.SCRAPE, None, "task")
    listed = _video("VI1", "one", now_ms()) | {"video_url": urls[0]}
    upstream.answers["get_video_ids_by_task_id"] = lambda _: ok({"videos": [listed]})
    upstream.answers["get_metadata"] = lambda _: ok(listed)
    _ask(context)
    _sql(context, f"UPDATE item SET accepted_at = {now_ms() - 3_601_000} WHERE id = 1")
    _ask(context)
    assert [(item.status, item.error_code) for item in _items(context)] == [("FAIL", "not_ready"), ("UNPARSE", None)]
    _ask(context)  # its sibling is still looked for
    assert _items(context)[0].status == "FAIL"


def test_a_post_that_a_lost_scrape_brought_is_found_before_it_is_given_up(context: Context, upstream: Vendor) -> None:
    url = "https://www.tiktok.com/@a/video/7300000000000000001"
    _add(context, url)
    _accept(context, Lane.SCRAPE, None, "task")
    listed = _video("VI1", "one", now_ms(), "PARSE")
    upstream.answers["get_video_ids_by_task_id"] = lambda _: ok({"videos": []})
    upstream.answers["list_videos"] = _pages([_video("VI0", "a stranger", now_ms()), listed])
    upstream.answers["get_private_video_details"] = lambda request: ok(
        listed | {"video_no": request["video_no"], "video_url": url if request["video_no"] == "VI1" else "https://x/y"}
    )
    _sql(context, f"UPDATE item SET attempts = 2, accepted_at = {now_ms() - 3_601_000}")
    _ask(context)
    item = _items(context)[0]
    assert (item.status, item.video_no) == ("PARSE", "VI1")


def test_the_last_question_comes_at_the_deadline(context: Context, upstream: Vendor) -> None:
    _add(context, "https://a.example/1.mp4")
    _accept(context, Lane.UPLOAD, "VI1")
    upstream.answers["get_metadata"] = lambda _: ok(_video("VI1", "x", now_ms()))
    _sql(context, f"UPDATE item SET asked = 20, accepted_at = {now_ms() - 3_590_000}")
    _ask(context)
    assert _items(context)[0].due_at <= now_ms() + 11_000


def test_what_a_callback_names_and_nobody_knows_is_parked(context: Context) -> None:
    assert _call_back(context, "upload", new_short_id(), {"videoNo": "VI404", "status": "PARSE"}).state == "parked"
    assert _call_back(context, "upload", new_short_id(), b"not json").state == "malformed"
    assert _call_back(context, "upload", new_short_id(), b"[" * 100_000).state == "malformed"


def test_a_parked_callback_is_applied_when_its_video_becomes_known(context: Context) -> None:
    _add(context, "https://a.example/1.mp4")
    # through the door of the account, before the answer of its own request
    parked = _call_back(context, "account", None, {"videoNo": "VI1", "status": "PARSE"})
    assert (parked.state, parked.subject) == ("parked", "VI1")
    _sql(context, f"UPDATE callback SET due_at = {now_ms() + 3_600_000}")
    _accept(context, Lane.UPLOAD, "VI1")
    inbox.run(context)
    with context.database.read() as session:
        assert session.get_one(Callback, parked.id).state == "applied"
    assert _items(context)[0].hinted_at is not None


# Turns


def test_turns_that_nobody_took_yet_are_counted(context: Context) -> None:
    before = context.waiting_turns()
    context.nudger.turn(Lane.UPLOAD, 3)
    assert context.waiting_turns() == before + 3


def test_a_file_moved_away_during_its_upload_keeps_its_answer(
    context: Context, upstream: Vendor, tmp_path: Path
) -> None:
    path = make_video(tmp_path / "beach.mp4")
    _add(context, str(path))

    def answer(_: dict[str, Any]) -> Any:
        path.unlink()
        return ok({"videoNo": "VI1"})

    upstream.answers["upload"] = answer
    turns.turn(context, Lane.UPLOAD)
    item = _items(context)[0]
    assert (item.status, item.video_no) == ("UNPARSE", "VI1")
    assert item.sha256


def test_a_vendor_that_quotes_the_key_does_not_carry_it_into_our_rows(context: Context, upstream: Vendor) -> None:
    _add(context, "https://a.example/1.mp4")
    upstream.answers["upload_url"] = lambda _: {"code": "0401", "msg": "API key sk-secret-0123456789 is not valid"}
    turns.turn(context, Lane.UPLOAD)
    with context.database.read() as session:
        (pause,) = queries.pauses(session)
    assert "[key]" in pause.reason
    assert "sk-secret" not in pause.reason
    assert _items(context)[0].attempts == 0


def test_a_folder_of_the_same_bytes_is_sent_once(context: Context, upstream: Vendor, tmp_path: Path) -> None:
    first = make_video(tmp_path / "a.mp4")
    (tmp_path / "b.mp4").write_bytes(first.read_bytes())
    # added one by one, so that only the size says that they could be the same
    for name in ("a.mp4", "b.mp4"):
        with context.database.write() as session:
            job = store.add_job(session, "add", [name], "default", PRIVATE)
            path = tmp_path / name
            found = Found(Kind.FILE, str(path), size=path.stat().st_size, mtime_ns=path.stat().st_mtime_ns)
            store.add_items(session, session.get_one(Job, job), [found], {})
    upstream.answers["upload"] = lambda _: ok({"videoNo": "VI1"})
    turns.turn(context, Lane.UPLOAD)
    turns.turn(context, Lane.UPLOAD)
    assert sorted(item.status for item in _items(context)) == ["SKIPPED", "UNPARSE"]
    assert upstream.asked("upload") == 1


@pytest.mark.parametrize("scope", ["account", "lane:upload", "job:1"])
def test_a_turn_that_stands_in_line_when_a_pause_is_set_sends_nothing(
    context: Context, upstream: Vendor, monkeypatch: pytest.MonkeyPatch, scope: str
) -> None:
    _add(context, "https://a.example/1.mp4")
    upstream.answers["upload_url"] = lambda _: ok({"videoNo": "VI1"})
    standing = Place.near

    def pause_meanwhile(place: Place, *args: Any, **options: Any) -> None:
        standing(place, *args, **options)
        with context.database.write() as session:
            pauses.by_operator(session, scope)

    monkeypatch.setattr(Place, "near", pause_meanwhile)
    turns.turn(context, Lane.UPLOAD)
    assert upstream.asked("upload_url") == 0
    assert (_items(context)[0].status, _items(context)[0].attempts) == ("QUEUED", 0)
    with context.database.write() as session:
        assert pauses.resume(session, context.settings, scope).ended
    monkeypatch.setattr(Place, "near", standing)
    turns.turn(context, Lane.UPLOAD)
    assert upstream.asked("upload_url") == 1


def test_a_broken_video_is_sent_anew_and_the_old_one_is_nobodys_candidate(context: Context, upstream: Vendor) -> None:
    (item,) = _add(context, "https://a.example/1.mp4")
    _accept(context, Lane.UPLOAD, "VI1")
    broken = _video("VI1", "1", now_ms(), "FAILED")
    upstream.answers["get_metadata"] = lambda _: ok(broken)
    _ask(context)
    assert (_items(context)[0].status, _items(context)[0].stage) == ("FAIL", "upstream")
    assert item.id and list(store.retry(context.database, [item.id]))
    _lose(context)
    upstream.answers["list_videos"] = _pages([broken])
    _settle(context, 3)
    assert (_items(context)[0].status, _items(context)[0].video_no) == ("QUEUED", None)
