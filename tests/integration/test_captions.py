"""What a caption's callback does, and what nothing else may do, on both databases."""

import json
from typing import Any

import pytest
from sqlalchemy import select, text

from ingest import queries, store
from ingest.captions import Asked, join
from ingest.clock import now_ms
from ingest.lanes import Lane
from ingest.models import Callback, Item, Job, Submission
from ingest.sources.found import Found, Kind
from tests.integration.test_settling import context, upstream  # noqa: F401
from workers import captions, inbox
from workers.context import Context

pytestmark = pytest.mark.integration

DONE = {"status": 0, "task_id": "t1", "data": {"text": "A beach.", "token": {"input": 5, "output": 2, "total": 7}}}
FAILED = {"status": -1, "task_id": "t1", "data": None}


def _add(context: Context, *, parts: int = 0, now: bool = False) -> None:  # noqa: F811
    asked = Asked("What?", "Be brief", now=now)
    one = Found(Kind.CAPTION, "https://media.example/1.mp4", key="caption:1", wish=asked.row(), lane=asked.lane)
    if parts:
        spans = [Found(Kind.CAPTION, one.source, wish=one.wish, lane=one.lane, span=(n, n + 1)) for n in range(parts)]
        one = Found(Kind.CAPTION, one.source, wish={**asked.row(), "parts": parts}, lane=one.lane, parts=tuple(spans))
    with context.database.write() as session:
        job = store.add_job(session, "caption", ["x"], "default", "private")
        store.add_items(session, session.get_one(Job, job), [one], {})


def _claim(context: Context) -> store.Claimed:  # noqa: F811
    with context.database.write() as session:
        claimed = store.claim(session, Lane.CAPTION_VIDEO, "account", 60)
    assert claimed is not None
    return claimed


def _accept(context: Context, task_id: str = "t1") -> Submission:  # noqa: F811
    claimed = _claim(context)
    with context.database.write() as session:
        due = now_ms() + 60_000
        store.accepted(session, claimed, video_no=None, task_id=task_id, sent_at=now_ms(), due_at=due)
    return claimed.submission


def _call_back(context: Context, door: str, short_id: str | None, body: Any) -> Callback:  # noqa: F811
    with context.database.write() as session:
        raw = json.dumps(body).encode()
        session.add(Callback(kind=door, short_id=short_id, body=raw, received_at=now_ms(), due_at=now_ms()))
    inbox.run(context)
    with context.database.read() as session:
        return session.execute(select(Callback).order_by(text("id DESC"))).scalars().first()  # type: ignore[return-value]


def _items(context: Context) -> list[Item]:  # noqa: F811
    with context.database.read() as session:
        return list(queries.items(session))


def _sql(context: Context, statement: str) -> None:  # noqa: F811
    with context.database.write() as session:
        session.execute(text(statement))


def test_the_callback_carries_the_result_and_twice_is_once(context: Context) -> None:  # noqa: F811
    _add(context)
    submission = _accept(context)
    for _ in range(2):
        assert _call_back(context, "caption", submission.short_id, DONE).state == "applied"
    (item,) = _items(context)
    assert (item.status, item.result) == (
        "PARSE",
        {"text": "A beach.", "tokens": {"input": 5, "output": 2, "total": 7}},
    )
    _call_back(context, "caption", submission.short_id, FAILED)
    assert _items(context)[0].status == "PARSE"


def test_a_callback_before_its_answer_counts(context: Context) -> None:  # noqa: F811
    _add(context)
    claimed = _claim(context)
    _call_back(context, "caption", claimed.submission.short_id, DONE)
    assert _items(context)[0].status == "PARSE"
    with context.database.write() as session:
        store.accepted(session, claimed, video_no=None, task_id="t1", sent_at=now_ms(), due_at=now_ms())
    assert _items(context)[0].status == "PARSE"


def test_a_result_after_the_deadline_wins(context: Context) -> None:  # noqa: F811
    _add(context)
    submission = _accept(context)
    _sql(context, f"UPDATE item SET due_at = 0, accepted_at = {now_ms() - 7 * 3_600_000}")
    captions.run(context)
    (item,) = _items(context)
    assert (item.status, item.stage, item.error_code) == ("FAIL", "expired", "no_callback")
    _call_back(context, "caption", submission.short_id, DONE)
    assert _items(context)[0].status == "PARSE"


def test_before_the_deadline_nothing_ends_it(context: Context) -> None:  # noqa: F811
    _add(context)
    _accept(context)
    _sql(context, "UPDATE item SET due_at = 0")
    captions.run(context)
    (item,) = _items(context)
    assert item.status == "UNPARSE" and item.due_at > now_ms() + 3_600_000


def test_through_the_accounts_door_only_a_known_task_counts(context: Context) -> None:  # noqa: F811
    _add(context)
    _accept(context)
    assert _call_back(context, "account", None, {**DONE, "task_id": "forged"}).state == "parked"
    assert _items(context)[0].status == "UNPARSE"
    assert _call_back(context, "account", None, DONE).state == "applied"
    assert _items(context)[0].status == "PARSE"


def test_a_caption_for_what_is_none_changes_nothing(context: Context) -> None:  # noqa: F811
    with context.database.write() as session:
        job = store.add_job(session, "add", ["x"], "default", "private")
        store.add_items(
            session, session.get_one(Job, job), [Found(Kind.LINK, "https://a.example/1.mp4", key="link:1")], {}
        )
        claimed = store.claim(session, Lane.UPLOAD, "account", 60)
    assert claimed is not None
    assert "no caption" in (_call_back(context, "upload", claimed.submission.short_id, DONE).note or "")
    assert _items(context)[0].status == "SENDING"


def test_a_lost_sync_answer_ends_at_once_and_a_lost_async_one_waits(context: Context) -> None:  # noqa: F811
    for now, status in ((True, "FAIL"), (False, "UNSURE")):
        _add(context, now=now)
        claimed = _claim(context)
        with context.database.write() as session:
            number = claimed.submission.id or 0
            store.lost(session, number, claimed.fences, "time-out", ended_at=now_ms(), sent_at=now_ms())
        captions.run(context)
        assert _items(context)[-1].status == status
        _sql(context, "DELETE FROM item")


def test_a_whole_ends_with_its_parts_and_follows_one_that_is_sent_again(context: Context) -> None:  # noqa: F811
    _add(context, parts=2)
    whole, *_ = _items(context)
    assert (whole.status, [item.status for item in _items(context)[1:]]) == ("UNPARSE", ["QUEUED", "QUEUED"])
    first, second = _accept(context, "t1"), _accept(context, "t2")
    _call_back(context, "caption", second.short_id, {**DONE, "task_id": "t2"})
    _call_back(context, "caption", first.short_id, FAILED)
    whole = _items(context)[0]
    assert (whole.status, whole.error_code) == ("FAIL", "part_failed")
    assert "item 2" in (whole.error or "")
    passed = list(store.retry(context.database, [1], resend=False, dry_run=False))
    assert passed[0].action == "passed_over"
    again = list(store.retry(context.database, [2], resend=False, dry_run=False))
    assert again[0].action == "queued"
    third = _accept(context, "t3")
    _call_back(context, "caption", third.short_id, {**DONE, "task_id": "t3"})
    whole = _items(context)[0]
    assert whole.status == "PARSE"
    assert (whole.result or {})["tokens"] == {"input": 10, "output": 4, "total": 14}


def test_a_failure_of_an_older_request_does_not_stop_the_one_a_person_made(context: Context) -> None:  # noqa: F811
    _add(context)
    old = _accept(context)
    _sql(context, f"UPDATE item SET due_at = 0, accepted_at = {now_ms() - 7 * 3_600_000}")
    captions.run(context)
    (again,) = store.retry(context.database, [1], resend=False, dry_run=False)
    assert again.action == "queued" and "costs again" in (again.why or "")
    _call_back(context, "caption", old.short_id, FAILED)
    assert _items(context)[0].status == "QUEUED"
    _call_back(context, "caption", old.short_id, DONE)  # but its result is one: it was paid for
    assert _items(context)[0].status == "PARSE"


def test_cancelled_parts_end_their_whole_and_the_same_may_be_asked_again(context: Context) -> None:  # noqa: F811
    _add(context, parts=2)
    assert [(number, done) for number, _, done in store.cancel_items(context.database, [1])] == [(1, True)]
    captions.run(context)
    _sql(context, "UPDATE item SET due_at = 0 WHERE id = 1")
    captions.run(context)
    whole, *parts = _items(context)
    assert [part.status for part in parts] == ["CANCELLED", "CANCELLED"]
    assert (whole.status, whole.error_code, whole.holds) == ("FAIL", "part_failed", None)


def test_a_question_that_is_sent_again_is_still_asked_once(context: Context) -> None:  # noqa: F811
    """What failed before it was sent frees its question; a retry takes it up again."""
    asked = Asked("What?", "Be brief")
    one = Found(Kind.CAPTION, "https://media.example/1.mp4", key="caption:1", wish=asked.row() | {"key": "caption:1"})

    def add() -> str:
        with context.database.write() as session:
            job = store.add_job(session, "caption", ["x"], "default", "private")
            store.add_items(session, session.get_one(Job, job), [one], {})
        return _items(context)[-1].status

    assert add() == "QUEUED"
    store.cancel_job(context.database, 1)
    list(store.retry(context.database, [1], resend=False, dry_run=False))
    assert add() == "SKIPPED"


def test_one_caption_in_four_threads_waits(context: Context) -> None:  # noqa: F811
    held = [context.patient.acquire(blocking=False) for _ in range(3)]
    assert held == [True, True, False]


def test_texts_are_joined_by_time() -> None:
    joined = join([((60, 90), {"text": "second"}), ((0, 60), {"text": "first"})])
    assert joined["text"].index("first") < joined["text"].index("second")
