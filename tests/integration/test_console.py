"""The operator's API over both databases: who may come in, what is answered to whom knows already, what a request does twice."""

import io
import json
import re
import shlex
import threading
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete, select, update
from typer.testing import CliRunner
from werkzeug.test import TestResponse

from console import answering, making, once
from console.app import create_app
from console.items import list_kind
from ingest import queries, store, tokens
from ingest.access import Role
from ingest.cli.app import app as command_line
from ingest.clock import now_ms
from ingest.database import Database, migrate
from ingest.models import Callback, Event, Feed, Item, Request, Submission
from ingest.samples import make_video
from ingest.settings import Settings
from ingest.statuses import News
from tests.console import fill

pytestmark = pytest.mark.integration

KEY, SECRET = "sk-vendor-key-that-nobody-may-see", "the-secret-that-signs-callbacks"
API = "/api/v1"
#: Nothing of it may be asked without a token.
CLOSED = ("/metrics", "/docs", "/", f"{API}/openapi.json")
HEALTH = ("/healthz", "/readyz", "/healthz/pipeline")


class Caller:
    """One who holds a token."""

    def __init__(self, app: Flask, token: str) -> None:
        self.token = token
        self._client: FlaskClient = app.test_client()

    def get(self, path: str, **headers: str) -> TestResponse:
        return self._client.get(path, headers=self._headers(headers))

    def post(self, path: str, body: Any = None, **headers: str) -> TestResponse:
        return self._client.post(path, json=body, headers=self._headers(headers))

    def send(self, path: str, body: bytes, kind: str, *, chunked: bool) -> TestResponse:
        """Bytes as they are; in chunks they come without a length, and the server says where they end."""
        ended = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""}
        return self._client.post(
            path,
            input_stream=io.BytesIO(body),
            content_type=kind,
            environ_overrides=ended if chunked else {},
            headers=self._headers({}),
        )

    def _headers(self, more: dict[str, str]) -> dict[str, str]:
        named = {name.replace("_", "-"): value for name, value in more.items()}
        return {"Authorization": f"Bearer {self.token}"} | named


@pytest.fixture
def app(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Flask:
    fill(database)
    (tmp_path / "library").mkdir()
    variables = {
        "INGEST_HOME": str(tmp_path / "home"),
        "MEMORIES_API_KEY": KEY,
        "INGEST_SECRET": SECRET,
        "INGEST_REDIS_URL": "redis://127.0.0.1:1/0",
        "INGEST_LIBRARY_ROOTS": str(tmp_path / "library"),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return create_app(Settings(), database)  # type: ignore[call-arg]


def _caller(app: Flask, database: Database, name: str, role: Role) -> Caller:
    with database.write() as session:
        token = store.add_token(session, name, role)
    assert token is not None
    return Caller(app, token)


@pytest.fixture
def operator(app: Flask, database: Database) -> Caller:
    return _caller(app, database, "operator", Role.OPERATE)


@pytest.fixture
def reader(app: Flask, database: Database) -> Caller:
    return _caller(app, database, "reader", Role.READ)


def _document(caller: Caller) -> dict[str, Any]:
    return json.loads(caller.get(f"{API}/openapi.json").text)


def _filled(path: str) -> str:
    for name, value in {"job": "1", "item": "1", "callback": "1", "lane": "upload", "account": "account"}.items():
        path = path.replace(f"{{{name}}}", value)
    return path


def _tell(database: Database, item: int, news: News) -> None:
    with database.write() as session:
        assert store.tell(session, item, news) is not None


# What is answered to whom knows already


@pytest.mark.parametrize(
    "path", ["/stats", "/jobs/1", "/jobs", "/items?job=1", "/items/1", "/items?status=QUEUED&kind=link&order=oldest"]
)
def test_an_unchanged_answer_is_not_sent_again_and_a_changed_one_is(
    operator: Caller, database: Database, path: str
) -> None:
    first = operator.get(API + path)
    assert first.status_code == HTTPStatus.OK and not first.headers["ETag"].startswith("W/")
    again = operator.get(API + path, If_None_Match=first.headers["ETag"])
    assert (again.status_code, again.data, again.headers["ETag"]) == (
        HTTPStatus.NOT_MODIFIED,
        b"",
        first.headers["ETag"],
    )
    with database.write() as session:
        store.warn(session, 1, "another codec")
    changed = operator.get(API + path, If_None_Match=first.headers["ETag"])
    assert changed.status_code == HTTPStatus.OK and changed.headers["ETag"] != first.headers["ETag"]


def test_a_pause_changes_what_is_said_of_jobs_and_totals(operator: Caller) -> None:
    tags = {path: operator.get(API + path).headers["ETag"] for path in ("/stats", "/jobs/1")}
    assert operator.post(f"{API}/accounts/account/pause", {"reason": "quota"}).status_code == HTTPStatus.OK
    for path, tag in tags.items():
        answer = operator.get(API + path, If_None_Match=tag)
        assert answer.status_code == HTTPStatus.OK and "quota" in answer.text


def test_callbacks_change_with_what_becomes_of_them(operator: Caller) -> None:
    first = operator.get(f"{API}/callbacks")
    assert operator.get(f"{API}/callbacks", If_None_Match=first.headers["ETag"]).status_code == HTTPStatus.NOT_MODIFIED
    assert operator.post(f"{API}/callbacks/2/replay").json == {"replayed": 1}
    after = operator.get(f"{API}/callbacks", If_None_Match=first.headers["ETag"])
    assert after.status_code == HTTPStatus.OK
    assert {one["id"]: one["state"] for one in after.json["callbacks"]}[2] == "new"  # type: ignore[index]


def test_a_job_that_finds_nothing_or_has_nothing_to_cancel_is_told_of_all_the_same(
    operator: Caller, database: Database
) -> None:
    """Neither leaves an event."""
    with database.write() as session:
        empty = store.add_job(session, "adopt", [], "default", "private")
    tags = {path: operator.get(API + path).headers["ETag"] for path in ("/jobs", f"/jobs/{empty}", "/jobs?limit=1")}
    assert operator.post(f"{API}/jobs/{empty}/cancel").json == {"cancelled": 0, "going_on": 0}
    for path, tag in tags.items():
        answer = operator.get(API + path, If_None_Match=tag)
        assert answer.status_code == HTTPStatus.OK and '"state":"cancelled"' in answer.text, path
    tag = operator.get(f"{API}/jobs").headers["ETag"]
    with database.write() as session:
        newest = store.add_job(session, "adopt", [], "default", "private")
    answer = operator.get(f"{API}/jobs", If_None_Match=tag)
    assert answer.status_code == HTTPStatus.OK and answer.json["jobs"][0]["job"] == newest  # type: ignore[index]


def test_an_items_story_changes_with_everything_that_was_sent_for_it(operator: Caller, database: Database) -> None:
    with database.read() as session:
        first, items = session.execute(select(Submission.id, Submission.item_ids).order_by(Submission.id)).first()  # type: ignore[call-overload,misc]
    path = f"{API}/items/{items[0]}"

    def sent() -> list[dict[str, Any]]:
        return operator.get(path).json["submissions"]  # type: ignore[index,no-any-return]

    tag = operator.get(path).headers["ETag"]
    with database.write() as session:
        store.note_unmatched(session, first, ["VI9"])
    answer = operator.get(path, If_None_Match=tag)
    assert answer.status_code == HTTPStatus.OK and sent()[0]["unmatched"] == ["VI9"]
    # The one before the last changes too: a late callback names what it was.
    with database.write() as session:
        session.execute(update(Item).where(Item.id == items[0]).values(submission_id=None))  # type: ignore[arg-type]
    tag = operator.get(path).headers["ETag"]
    with database.write() as session:
        store.hint_submission(session, first, task_id="a late task")
    answer = operator.get(path, If_None_Match=tag)
    assert answer.status_code == HTTPStatus.OK and sent()[0]["task_id"] == "a late task"


def test_callbacks_that_retention_took_out_of_the_middle_are_gone_from_the_list(
    operator: Caller, database: Database
) -> None:
    with database.write() as session:
        session.execute(update(Callback).where(Callback.id.in_([1, 5])).values(state="parked"))  # type: ignore[union-attr]
    first = operator.get(f"{API}/callbacks")
    with database.write() as session:
        gone = store.forget_callbacks(session, now_ms() + 1, 100)
    after = operator.get(f"{API}/callbacks", If_None_Match=first.headers["ETag"])
    assert gone and after.status_code == HTTPStatus.OK
    assert len(after.json["callbacks"]) == len(first.json["callbacks"]) - gone  # type: ignore[index]


@pytest.mark.parametrize("path", ["/lanes", "/openapi.json", "/callbacks/1"])
def test_what_does_not_change_is_not_sent_again(operator: Caller, path: str) -> None:
    first = operator.get(API + path)
    again = operator.get(API + path, If_None_Match=first.headers["ETag"])
    assert (first.status_code, again.status_code, again.data) == (HTTPStatus.OK, HTTPStatus.NOT_MODIFIED, b"")


def test_lanes_show_at_once_what_a_person_did(operator: Caller) -> None:
    def held(tag: str = "") -> tuple[str, dict[str, bool]]:
        answer = operator.get(f"{API}/lanes", If_None_Match=tag)
        assert answer.status_code == HTTPStatus.OK
        return answer.headers["ETag"], {one["lane"]: one["paused"] is not None for one in answer.json["lanes"]}  # type: ignore[index]

    tag, lanes = held()
    assert lanes["scrape"] and not lanes["upload"]
    assert operator.post(f"{API}/lanes/upload/pause").status_code == HTTPStatus.OK
    tag, lanes = held(tag)
    assert lanes["upload"]
    assert operator.post(f"{API}/lanes/upload/resume").status_code == HTTPStatus.OK
    assert not held(tag)[1]["upload"]


# Pages


@pytest.mark.parametrize(
    ("path", "name"),
    [("/items?", "items"), ("/items?order=oldest&", "items"), ("/jobs?", "jobs"), ("/callbacks?", "callbacks")],
)
def test_pages_show_each_row_once(operator: Caller, path: str, name: str) -> None:
    key = "job" if name == "jobs" else "id"
    whole = [one[key] for one in operator.get(f"{API}{path}limit=100").json[name]]  # type: ignore[index]
    found, cursor = list[int](), ""
    while True:
        page = operator.get(f"{API}{path}limit=1{cursor}").json
        assert page is not None
        found += [one[key] for one in page[name]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert found == whole and len(whole) == len(set(whole)) > 1


def test_a_cursor_of_other_filters_leads_nowhere(operator: Caller) -> None:
    cursor = operator.get(f"{API}/items?limit=1").json["next"]  # type: ignore[index]
    answer = operator.get(f"{API}/items?limit=1&status=FAIL&cursor={cursor}")
    assert (answer.status_code, answer.json["type"]) == (
        HTTPStatus.NOT_FOUND,
        "urn:memories-ingest:problem:unknown-cursor",
    )  # type: ignore[index]


@pytest.mark.parametrize("cursor", ["x", "W10", "WzFd", "%00", "é", "WyJhIiwgInQiLCB0cnVlXQ", "bnVsbA"])
def test_a_made_up_cursor_is_never_our_fault(operator: Caller, cursor: str) -> None:
    for path in ("/items?cursor=", "/jobs?cursor=", "/callbacks?cursor=", "/changes?after="):
        assert operator.get(f"{API}{path}{cursor}").status_code == HTTPStatus.NOT_FOUND


def test_no_list_takes_the_cursor_of_another(operator: Caller) -> None:
    lists = (
        "/items?limit=1",
        "/items?order=oldest&limit=1",
        "/items?job=1&limit=1",
        "/jobs?limit=1",
        "/callbacks?limit=1",
    )
    cursors = {path: operator.get(API + path).json["next"] for path in lists}  # type: ignore[index]
    assert all(cursors.values())
    for mine in lists:
        for other, cursor in cursors.items():
            answer = operator.get(f"{API}{mine}&cursor={cursor}")
            assert answer.status_code == (HTTPStatus.OK if mine == other else HTTPStatus.NOT_FOUND), (mine, other)
        assert operator.get(f"{API}/changes?after={cursors[mine]}").status_code == HTTPStatus.NOT_FOUND


def test_the_order_of_values_makes_no_other_list(operator: Caller) -> None:
    cursor = operator.get(f"{API}/items?status=QUEUED,FAIL&limit=1").json["next"]  # type: ignore[index]
    answer = operator.get(f"{API}/items?status=FAIL&status=QUEUED&limit=1&cursor={cursor}")
    assert answer.status_code == HTTPStatus.OK


def test_a_cursor_with_our_mark_and_any_place_is_never_our_fault(operator: Caller) -> None:
    kinds = {"/items": list_kind("newest", {}), "/jobs": "jobs", "/callbacks": "callbacks []"}
    epoch, tx, event = _place(operator)
    for number in (-1, 0, 2**31, 2**63 - 1, 2**63, 10**200, 1.5, True, None, "1", [1], {"a": 1}):
        for path, kind in kinds.items():
            answer = operator.get(f"{API}{path}?cursor={answering.cursor(kind, number)}")
            assert answer.status_code in (HTTPStatus.OK, HTTPStatus.NOT_FOUND), (path, number)
        for place in ((epoch, tx, number), (epoch, 0, number), (epoch, number, event), (number, tx, event)):
            answer = operator.get(f"{API}/changes?after={answering.cursor('changes', *place)}")
            assert answer.status_code in (HTTPStatus.OK, HTTPStatus.NOT_FOUND, HTTPStatus.GONE), place


def _place(caller: Caller) -> list[Any]:
    return answering.place_of("changes", caller.get(f"{API}/changes").json["next"], 3)  # type: ignore[index]


# Changes


def test_a_place_comes_first_and_following_from_it_gives_each_change_once(operator: Caller, database: Database) -> None:
    begin = operator.get(f"{API}/changes").json
    assert begin is not None and (begin["changes"], begin["more"]) == ([], False)
    for item in range(15, 22):
        _tell(database, item, News.CANCEL)
    found, page = list[int](), {"next": begin["next"], "more": True}
    while page["more"]:
        page = operator.get(f"{API}/changes?after={page['next']}&limit=3").json  # type: ignore[assignment]
        found += [one["item"]["id"] for one in page["changes"]]
    assert found == list(range(15, 22))
    assert operator.get(f"{API}/changes?after={page['next']}").json["changes"] == []  # type: ignore[index]
    # From the first place again: the same, and each item as it stands now.
    whole = operator.get(f"{API}/changes?after={begin['next']}&wait=5").json
    assert whole is not None and [one["item"]["status"] for one in whole["changes"]] == ["CANCELLED"] * 7


def test_a_cursor_of_another_database_begins_again(operator: Caller) -> None:
    epoch, begun = _place(operator)[0], time.monotonic()
    for place in (("another epoch", 0, 0), ("", 0, 1), (epoch, 2**62, 2**62)):
        for wait in ("", "&wait=25"):
            answer = operator.get(f"{API}/changes?after={answering.cursor('changes', *place)}{wait}")
            assert answer.status_code == HTTPStatus.GONE, place
            assert answer.json["type"] == "urn:memories-ingest:problem:cursor-too-old"  # type: ignore[index]
    assert time.monotonic() - begun < 20


def test_who_waits_while_the_database_is_restored_is_told_to_begin_again(operator: Caller, database: Database) -> None:
    def restore() -> None:
        with database.write() as session:
            session.execute(update(Feed).values(epoch="after"))

    place = operator.get(f"{API}/changes").json["next"]  # type: ignore[index]
    later = threading.Timer(0.5, restore)
    later.start()
    assert operator.get(f"{API}/changes?after={place}&wait=20").status_code == HTTPStatus.GONE
    later.join()


def test_a_long_poll_returns_soon_after_a_change_and_otherwise_at_its_end(operator: Caller, database: Database) -> None:
    place = operator.get(f"{API}/changes").json["next"]  # type: ignore[index]
    begun = time.monotonic()
    assert operator.get(f"{API}/changes?after={place}&wait=0.6").json["changes"] == []  # type: ignore[index]
    assert time.monotonic() - begun >= 0.6
    later = threading.Timer(0.3, _tell, (database, 15, News.CANCEL))
    later.start()
    begun = time.monotonic()
    (change,) = operator.get(f"{API}/changes?after={place}&wait=25").json["changes"]  # type: ignore[index]
    assert time.monotonic() - begun < 10
    assert (change["item"]["id"], change["from"], change["to"]) == (15, "QUEUED", "CANCELLED")
    later.join()


def test_who_was_away_for_too_long_is_told_to_begin_again(operator: Caller, database: Database) -> None:
    place = operator.get(f"{API}/changes").json["next"]  # type: ignore[index]
    _tell(database, 15, News.CANCEL)
    _tell(database, 16, News.CANCEL)
    store.count_all(database)
    with database.write() as session:
        store.forget_events(session, list(session.execute(select(Event.id)).scalars()))
    answer = operator.get(f"{API}/changes?after={place}")
    assert (answer.status_code, answer.json["type"]) == (HTTPStatus.GONE, "urn:memories-ingest:problem:cursor-too-old")  # type: ignore[index]


# The same request twice


def _links(*names: str) -> dict[str, Any]:
    return {"command": "add", "sources": [f"https://new.example/{name}.mp4" for name in names]}


def _jobs(database: Database) -> int:
    with database.read() as session:
        return len(queries.jobs(session, 1000))


def test_a_request_with_a_key_is_carried_out_once_and_answered_alike(operator: Caller, database: Database) -> None:
    first = operator.post(f"{API}/jobs", _links("a", "b"), Idempotency_Key="k1")
    assert first.status_code == HTTPStatus.ACCEPTED and first.headers["Location"] == f"{API}/jobs/{first.json['job']}"  # type: ignore[index]
    assert int(first.headers["Retry-After"]) >= 1
    number = _jobs(database)
    again = operator.post(f"{API}/jobs", _links("a", "b"), Idempotency_Key="k1")
    assert (again.json, again.status_code, again.headers["Idempotency-Replayed"]) == (
        first.json,
        first.status_code,
        "true",
    )
    assert again.headers["Location"] == first.headers["Location"]
    assert _jobs(database) == number
    other = operator.post(f"{API}/jobs", _links("c"), Idempotency_Key="k1")
    assert (other.status_code, other.json["type"].rpartition(":")[2]) == (HTTPStatus.CONFLICT, "key-reused")  # type: ignore[index]


def test_keys_of_two_tokens_are_apart(operator: Caller, app: Flask, database: Database) -> None:
    second = _caller(app, database, "second", Role.OPERATE)
    first = operator.post(f"{API}/jobs", _links("a"), Idempotency_Key="k1").json
    assert second.post(f"{API}/jobs", _links("z"), Idempotency_Key="k1").json != first


def test_a_request_that_came_to_nothing_frees_its_key(operator: Caller) -> None:
    bad = {"command": "add", "sources": ["https://"]}
    assert operator.post(f"{API}/jobs", bad, Idempotency_Key="k1").status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert operator.post(f"{API}/jobs", _links("a"), Idempotency_Key="k1").status_code == HTTPStatus.ACCEPTED


@pytest.fixture
def begun(operator: Caller, database: Database) -> Callable[[str, int | None], None]:
    """A request that some process has begun: its row, as another owner's, with the job it has made so far."""

    def begin(owner: str, age_ms: int | None) -> None:
        operator.post(f"{API}/jobs", _links("a", "b", "c"), Idempotency_Key="k1")
        with database.write() as session:
            row = session.execute(select(Request)).scalars().one()
            row.status, row.body, row.location, row.owner = None, None, None, owner
            row.started_at = now_ms() - (age_ms or 0)
            session.add(row)
            last = session.execute(select(Item).order_by(Item.id.desc())).scalars().first()  # type: ignore[union-attr]
            assert last is not None
            session.execute(delete(Event).where(Event.item_id == last.id))  # type: ignore[arg-type]
            session.delete(last)  # it died before the last of them was written

    return begin


def test_a_request_under_way_is_not_begun_a_second_time(
    operator: Caller, begun: Callable[[str, int | None], None]
) -> None:
    begun("another process", 0)
    answer = operator.post(f"{API}/jobs", _links("a", "b", "c"), Idempotency_Key="k1")
    assert (answer.status_code, answer.json["type"].rpartition(":")[2]) == (HTTPStatus.CONFLICT, "in-flight")  # type: ignore[index]
    assert answer.headers["Retry-After"]


def test_a_request_whose_process_died_goes_on_with_its_job(
    operator: Caller, database: Database, begun: Callable[[str, int | None], None]
) -> None:
    begun("a process that died", round(once._LEASE * 1000) + 1)
    number = _jobs(database)
    answer = operator.post(f"{API}/jobs", _links("a", "b", "c"), Idempotency_Key="k1")
    assert answer.status_code == HTTPStatus.ACCEPTED and _jobs(database) == number
    job = answer.json["job"]  # type: ignore[index]
    with database.read() as session:
        sources = [one.source for one in queries.items(session, job_id=job)]
    assert sorted(sources) == sorted(_links("a", "b", "c")["sources"])


def test_a_request_that_fails_half_way_is_carried_on_by_the_next_one(
    operator: Caller, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.adding._CHUNK", 2)
    write, chunks = store.add_items, list[int]()

    def fail(*given: Any, **named: Any) -> store.Added:
        chunks.append(len(given[2]))
        if len(chunks) == 2:
            raise OSError("the disk is full")
        return write(*given, **named)

    monkeypatch.setattr(store, "add_items", fail)
    body = _links("a", "b", "c", "d", "e")
    failed = operator.post(f"{API}/jobs", body, Idempotency_Key="k1")
    assert (failed.status_code, failed.mimetype) == (500, "application/problem+json")
    assert "disk" not in failed.text
    number = _jobs(database)
    answer = operator.post(f"{API}/jobs", body, Idempotency_Key="k1")
    assert answer.status_code == HTTPStatus.ACCEPTED and "Idempotency-Replayed" not in answer.headers
    made = answer.json  # all that its job holds, and not only what this try wrote
    assert made is not None and (made["items"], made["queued"], made["skipped"]) == (5, 5, 0)
    with database.read() as session:
        assert _jobs(database) == number and len(list(queries.items(session, job_id=made["job"]))) == 5
    again = operator.post(f"{API}/jobs", body, Idempotency_Key="k1")
    assert again.json == made and again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["Retry-After"] == answer.headers["Retry-After"]


def test_of_many_who_send_the_same_request_at_once_one_is_carried_out(
    app: Flask, operator: Caller, database: Database
) -> None:
    number, answers, gate = _jobs(database), list[TestResponse](), threading.Barrier(8)

    def send() -> None:
        mine = Caller(app, operator.token)
        gate.wait()
        answers.append(mine.post(f"{API}/jobs", _links("a", "b"), Idempotency_Key="k1"))

    _together(send, 8)
    assert _jobs(database) == number + 1
    carried_out = [one for one in answers if one.status_code == HTTPStatus.ACCEPTED]
    assert len({one.json["job"] for one in carried_out}) == 1  # type: ignore[index]
    assert all(one.status_code in (HTTPStatus.ACCEPTED, HTTPStatus.CONFLICT) for one in answers)
    assert len([one for one in carried_out if "Idempotency-Replayed" not in one.headers]) == 1


def _together(work: Callable[[], None], number: int) -> None:
    threads = [threading.Thread(target=work) for _ in range(number)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()


def test_who_was_thought_dead_makes_no_second_job(
    operator: Caller, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stood still between its row and its job, for longer than the lease."""
    examine, second = making.examine, list[TestResponse]()

    def stand_still(*given: Any, **named: Any) -> Any:
        monkeypatch.setattr(making, "examine", examine)
        with database.write() as session:
            session.execute(update(Request).values(started_at=now_ms() - round(once._LEASE * 1000) - 1))
        second.append(operator.post(f"{API}/jobs", _links("a"), Idempotency_Key="k1"))
        return examine(*given, **named)

    monkeypatch.setattr(making, "examine", stand_still)
    number = _jobs(database)
    late = operator.post(f"{API}/jobs", _links("a"), Idempotency_Key="k1")
    assert (late.status_code, late.headers["Retry-After"]) == (HTTPStatus.CONFLICT, "2")
    assert second[0].status_code == HTTPStatus.ACCEPTED and _jobs(database) == number + 1
    again = operator.post(f"{API}/jobs", _links("a"), Idempotency_Key="k1")
    assert again.json == second[0].json and again.headers["Idempotency-Replayed"] == "true"


def test_what_is_refused_in_the_middle_of_its_work_frees_its_key(operator: Caller, tmp_path: Path) -> None:
    for refused in (str(tmp_path / "outside.mp4"), str(tmp_path / "library" / "nothing.mp4")):
        body = {"command": "add", "sources": [refused]}
        assert operator.post(f"{API}/jobs", body, Idempotency_Key="k1").status_code in (403, 422)
    assert operator.post(f"{API}/jobs/999/cancel", Idempotency_Key="k1").status_code == HTTPStatus.NOT_FOUND
    assert operator.post(f"{API}/jobs", _links("a"), Idempotency_Key="k1").status_code == HTTPStatus.ACCEPTED


def test_a_key_that_is_none_is_refused_and_nothing_is_done(operator: Caller, database: Database) -> None:
    number = _jobs(database)
    for key in ("", "a b", "x" * 201, "\xe9"):
        answer = operator.post(f"{API}/jobs", _links("a"), Idempotency_Key=key)
        assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY and _jobs(database) == number, key


def test_any_change_is_made_once_under_its_key(operator: Caller) -> None:
    for path in ("items/15/cancel", "jobs/1/cancel", "lanes/upload/pause", "callbacks/2/replay"):
        first = operator.post(f"{API}/{path}", Idempotency_Key=path)
        again = operator.post(f"{API}/{path}", Idempotency_Key=path)
        assert first.status_code == HTTPStatus.OK and again.json == first.json, path
        assert again.headers["Idempotency-Replayed"] == "true"


# What may be imported


def test_paths_are_taken_from_the_library_alone(operator: Caller, tmp_path: Path) -> None:
    make_video(tmp_path / "library" / "a.mp4")
    inside = operator.post(f"{API}/jobs", {"command": "add", "sources": [str(tmp_path / "library")]})
    assert (inside.status_code, inside.json["queued"]) == (HTTPStatus.ACCEPTED, 1)  # type: ignore[index]
    (tmp_path / "secret.mp4").write_bytes(b"x")
    said = []
    for outside in ("secret.mp4", "nothing.mp4"):
        answer = operator.post(f"{API}/jobs", {"command": "add", "sources": [str(tmp_path / outside)]})
        assert answer.status_code == HTTPStatus.FORBIDDEN
        said.append(answer.json["detail"].replace(outside, ""))  # type: ignore[index]
    assert said[0] == said[1]  # whether it exists is not told


def test_no_way_leads_out_of_the_library(operator: Caller, tmp_path: Path) -> None:
    library, outside = tmp_path / "library", tmp_path / "outside"
    outside.mkdir()
    make_video(outside / "a.mp4")
    (library / "link").symlink_to(outside)
    (tmp_path / "library-of-another").mkdir()
    ways = ("../outside/a.mp4", "link/a.mp4", "link", "../library-of-another", "../library/../outside", "link/../..")
    for way in ways:
        there = operator.post(f"{API}/jobs", {"command": "add", "sources": [f"{library}/{way}"]})
        assert (there.status_code, there.json["type"].rpartition(":")[2]) == (403, "outside-roots"), way  # type: ignore[index]
    for source in ("a.mp4", "file:///etc/passwd", "-", "~/a.mp4"):
        refused = operator.post(f"{API}/jobs", {"command": "add", "sources": [source]})
        assert refused.status_code == HTTPStatus.UNPROCESSABLE_ENTITY, source


def test_a_manifest_in_the_library_names_nothing_outside(operator: Caller, tmp_path: Path) -> None:
    make_video(tmp_path / "secret.mp4")
    make_video(tmp_path / "library" / "a.mp4")
    manifest = tmp_path / "library" / "list.txt"
    said = []
    for name in ("secret.mp4", "absent.mp4"):
        manifest.write_text(f"a.mp4\n../{name}\n{tmp_path}/{name}\n")
        refused = operator.post(f"{API}/jobs", {"command": "add", "sources": [str(manifest)]})
        assert refused.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
        said.append(refused.text.replace(name, ""))
        taken = operator.post(f"{API}/jobs", {"command": "add", "sources": [str(manifest)], "skip_invalid": True}).json
        assert taken is not None and (taken["items"], len(taken["problems"])) == (1, 2)
    assert said[0] == said[1]


def test_portraits_come_from_the_library_too(operator: Caller, tmp_path: Path) -> None:
    said = []
    for name in ("portrait.png", "absent.png"):
        if name == "portrait.png":
            (tmp_path / name).write_bytes(b"\x89PNG")
        body = {"command": "caption", "prompt": "Who?", "sync": True, "sources": ["https://new.example/a.mp4"]}
        refused = operator.post(f"{API}/jobs", body | {"persons": [{"name": "Bob", "picture": str(tmp_path / name)}]})
        assert refused.status_code == HTTPStatus.FORBIDDEN
        said.append(refused.text.replace(name, ""))
    assert said[0] == said[1]


def test_a_caption_that_could_not_be_answered_is_refused(operator: Caller) -> None:
    body = {"command": "caption", "prompt": "What?", "sources": ["https://new.example/a.mp4"]}
    assert operator.post(f"{API}/jobs", body).status_code == HTTPStatus.CONFLICT
    made = operator.post(f"{API}/jobs", body | {"sync": True})
    assert (made.status_code, made.json["items"]) == (HTTPStatus.ACCEPTED, 1)  # type: ignore[index]


# What may be done


def test_what_failed_is_tried_again_and_what_waits_is_stopped(operator: Caller, database: Database) -> None:
    tried = operator.post(f"{API}/jobs/1/retry", {"error_code": ["empty"]}).json
    assert tried is not None and (tried["queued"], tried["passed_over"]) == (1, 0)
    dry = operator.post(f"{API}/jobs/1/retry", {"dry_run": True}).json
    assert dry is not None and dry["queued"] + dry["asked"] + dry["passed_over"] > 0
    assert operator.post(f"{API}/items/15/cancel").json == {"cancelled": True, "status": "CANCELLED", "why": None}
    assert operator.post(f"{API}/items/15/cancel").json["cancelled"] is False  # type: ignore[index]
    before = operator.get(f"{API}/jobs/1").json["counts"]["QUEUED"]  # type: ignore[index]
    assert operator.post(f"{API}/jobs/1/cancel").json["cancelled"] == before > 0  # type: ignore[index]


@pytest.mark.parametrize("scope", ["jobs/1", "lanes/upload", "accounts/account"])
def test_what_is_held_back_goes_on_when_it_is_resumed(operator: Caller, scope: str) -> None:
    paused = operator.post(f"{API}/{scope}/pause", {"reason": "for now", "seconds": 600}).json
    assert paused is not None and paused["by"] == "operator" and paused["until"] is not None
    assert operator.post(f"{API}/{scope}/resume").json == {"resumed": True, "paused": None}
    assert operator.post(f"{API}/{scope}/resume").json == {"resumed": False, "paused": None}


def _state(database: Database) -> tuple[Any, ...]:
    """What a person can have changed."""
    with database.read() as session:
        items = [(one.id, one.status, one.attempts, one.error_code) for one in queries.items(session)]
        jobs = [(one.id, one.cancelled_at is not None) for one in queries.jobs(session)]
        pauses = [(one.scope, one.by, one.reason, one.until is None) for one in queries.pauses(session)]
        callbacks = [(one.id, one.state, one.tries) for one in queries.callbacks(session)]
    return sorted(items), jobs, sorted(pauses), callbacks


@pytest.mark.parametrize(
    ("path", "body", "command"),
    [
        ("jobs/1/retry", {}, "retry --job 1"),
        ("jobs/1/retry", {"dry_run": True}, "retry --job 1 --dry-run"),
        ("jobs/1/retry", {"status": ["CANCELLED"]}, "retry --job 1 --status CANCELLED"),
        ("jobs/1/retry", {"error_code": ["empty"], "resend": True}, "retry --job 1 --error-code empty --resend"),
        ("jobs/1/retry", {"stage": ["preflight"]}, "retry --job 1 --stage preflight"),
        ("items/5/retry", {}, "retry 5"),
        ("items/5/retry", {"resend": True}, "retry 5 --resend"),
        ("items/20/retry", {}, "retry 20"),
        ("jobs/1/cancel", None, "cancel 1"),
        ("items/15/cancel", None, "cancel --item 15"),
        ("items/4/cancel", None, "cancel --item 4"),
        ("jobs/1/pause", {"reason": "a  test"}, "pause 1 --reason 'a  test'"),
        ("lanes/upload/pause", {"seconds": 1800}, "pause upload --for 30m"),
        ("lanes/scrape/resume", None, "resume scrape"),
        ("accounts/account/pause", {}, "pause account"),
        ("callbacks/2/replay", None, "callbacks replay 2"),
        (
            "callbacks/replay",
            {"state": ["malformed", "unmatched"]},
            "callbacks replay --state malformed --state unmatched",
        ),
    ],
)
def test_the_api_does_what_the_command_line_does(
    operator: Caller, database: Database, tmp_path: Path, path: str, body: Any, command: str
) -> None:
    home = tmp_path / "twin"
    home.mkdir()
    url = f"sqlite:///{home}/ingest.db"
    migrate(url)
    twin = Database(url)
    fill(twin)
    before = _state(database)
    assert before == _state(twin)
    assert operator.post(f"{API}/{path}", body).status_code == HTTPStatus.OK
    environment = {"INGEST_HOME": str(home), "INGEST_DATABASE_URL": url}
    done = CliRunner().invoke(command_line, shlex.split(command), env=environment)
    assert done.exit_code in (0, 1), done.output
    assert _state(database) == _state(twin)
    assert (_state(database) == before) == (body == {"dry_run": True} or path in ("items/20/retry", "items/4/cancel"))
    twin.dispose()


def test_what_is_not_there_cannot_be_changed(operator: Caller) -> None:
    paths = [f"jobs/999/{what}" for what in ("retry", "cancel", "pause", "resume")]
    paths += ["items/999/retry", "items/999/cancel", "callbacks/999/replay", "accounts/account:caption/pause"]
    for path in paths:
        answer = operator.post(f"{API}/{path}")
        assert answer.status_code == HTTPStatus.NOT_FOUND, path
        assert answer.json["type"] == "urn:memories-ingest:problem:not-found"  # type: ignore[index]


# Who may come in


def test_a_token_that_reads_changes_nothing(reader: Caller, database: Database) -> None:
    def everything() -> tuple[Any, ...]:
        with database.read() as session:
            pauses = [(one.scope, one.by) for one in queries.pauses(session)]
            return queries.version(session), pauses, queries.callbacks_version(session), len(queries.jobs(session))

    before, tried = everything(), 0
    for path, operations in _document(reader)["paths"].items():
        if "post" in operations:
            answer = reader.post(_filled(path), {})
            assert answer.status_code == HTTPStatus.FORBIDDEN, path
            tried += 1
    assert tried >= 12 and everything() == before


def test_without_a_token_only_health_answers(app: Flask, reader: Caller) -> None:
    client = app.test_client()
    for path, operations in _document(reader)["paths"].items():
        for method in operations:
            answer = client.open(_filled(path), method=method.upper(), json={} if method == "post" else None)
            assert (answer.status_code != HTTPStatus.UNAUTHORIZED) == (path in HEALTH), (method, path)
    for path in CLOSED:
        assert client.get(path).status_code == HTTPStatus.UNAUTHORIZED, path


def test_no_method_and_no_spelling_gets_past_the_door(app: Flask) -> None:
    client = app.test_client()
    for method in ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"):
        for path in (f"{API}/stats", f"{API}/nothing", f"{API}/", f"{API}/%2e%2e/v1/stats", "/%6detrics", "/metrics/"):
            assert client.open(path, method=method).status_code == HTTPStatus.UNAUTHORIZED, (method, path)
        for path in (f"/{API}/stats", "/API/v1/stats", "/api//v1/stats", "/static/app.py", "/static/../app.py"):
            answer = client.open(path, method=method, follow_redirects=True)
            assert answer.status_code in (401, 404, 405) or method == "OPTIONS", (method, path)
            assert "counts" not in answer.text, (method, path)


def test_what_is_no_token_opens_nothing(app: Flask, operator: Caller) -> None:
    shapes = (
        "",
        "Bearer",
        "Bearer ",
        "Basic {}",
        "{}",
        "Bearer {} {}",
        "Bearer {}x",
        "Bearer ingest-1-",
        "Bearer \xff",
    )
    for number, shape in enumerate(shapes):
        given = {"Authorization": shape.replace("{}", operator.token)}
        client = app.test_client()
        address = {"REMOTE_ADDR": f"192.0.2.{number}"}  # else they would be slowed
        assert client.get(f"{API}/stats", headers=given, environ_base=address).status_code == 401, shape
    assert app.test_client().get(f"{API}/stats?token={operator.token}").status_code == HTTPStatus.UNAUTHORIZED


def test_a_token_of_another_number_opens_nothing(app: Flask, operator: Caller, reader: Caller) -> None:
    swapped = re.sub(r"^ingest-\d+", re.match(r"ingest-\d+", operator.token)[0], reader.token)  # type: ignore[index]
    assert Caller(app, swapped).get(f"{API}/stats").status_code == HTTPStatus.UNAUTHORIZED


def test_wrong_tokens_are_held_against_their_address_alone(app: Flask, reader: Caller) -> None:
    for number in range(70):
        Caller(app, f"ingest-1-{number:040}").get(f"{API}/stats")
    client, given = app.test_client(), {"Authorization": f"Bearer {reader.token}"}
    here = client.get(f"{API}/stats", headers=given)  # right, but not known from here: guessing goes on no faster
    assert here.status_code == HTTPStatus.TOO_MANY_REQUESTS and here.json["type"].endswith(":slowed")  # type: ignore[index]
    elsewhere = client.get(f"{API}/stats", headers=given, environ_base={"REMOTE_ADDR": "192.0.2.7"})
    assert elsewhere.status_code == HTTPStatus.OK
    assert all(client.get(path).status_code != HTTPStatus.TOO_MANY_REQUESTS for path in HEALTH)
    assert client.get(f"/?token={reader.token}").status_code == HTTPStatus.TOO_MANY_REQUESTS


def test_health_tells_strangers_no_more_than_that(app: Flask) -> None:
    for path in HEALTH:
        text = app.test_client().get(path).text
        assert KEY not in text and "redis://" not in text and "sqlite" not in text and "@" not in text


def test_a_revoked_token_opens_nothing_after_a_moment(reader: Caller, database: Database) -> None:
    assert reader.get(f"{API}/stats").status_code == HTTPStatus.OK
    with database.write() as session:
        assert store.revoke_token(session, "reader")
    deadline = time.monotonic() + 2
    while reader.get(f"{API}/stats").status_code != HTTPStatus.UNAUTHORIZED:
        assert time.monotonic() < deadline


def test_who_waits_with_a_token_that_is_revoked_meanwhile_hears_no_more(reader: Caller, database: Database) -> None:
    place = reader.get(f"{API}/changes").json["next"]  # type: ignore[index]

    def revoke_and_change() -> None:
        with database.write() as session:
            assert store.revoke_token(session, "reader")
        time.sleep(1.2)
        _tell(database, 15, News.CANCEL)

    later = threading.Timer(0.3, revoke_and_change)
    later.start()
    answer = reader.get(f"{API}/changes?after={place}&wait=20")
    later.join()
    assert answer.status_code == HTTPStatus.UNAUTHORIZED and "15" not in answer.text


def test_a_hundred_wrong_tokens_are_slowed_and_the_right_one_is_not(app: Flask, reader: Caller) -> None:
    assert reader.get(f"{API}/stats").status_code == HTTPStatus.OK
    told = [Caller(app, f"ingest-1-{number:040}").get(f"{API}/stats") for number in range(100)]
    slowed = [one for one in told if one.status_code == HTTPStatus.TOO_MANY_REQUESTS]
    assert len(slowed) >= 35 and all(int(one.headers["Retry-After"]) > 0 for one in slowed)
    assert {one.status_code for one in told} == {HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS}
    assert reader.get(f"{API}/stats").status_code == HTTPStatus.OK


def test_a_link_becomes_a_cookie_with_which_no_other_site_can_change_anything(app: Flask, operator: Caller) -> None:
    browser = app.test_client()
    came = browser.get(f"/?token={operator.token}")
    assert came.status_code == HTTPStatus.SEE_OTHER and "token" not in came.headers["Location"]
    assert "HttpOnly" in came.headers["Set-Cookie"] and "SameSite=Strict" in came.headers["Set-Cookie"]
    assert browser.get("/docs").status_code == HTTPStatus.OK
    path = f"{API}/jobs/1/pause"
    strangers = [{"Sec-Fetch-Site": site} for site in ("cross-site", "same-site", "none")]
    strangers += [{"Origin": one} for one in ("https://evil.example", "null", "http://localhost:81", "")]
    # What the browser says of the site counts, whatever else is sent.
    strangers += [{"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"}, {}]
    for site in strangers:
        assert browser.post(path, json={}, headers=site).status_code == HTTPStatus.FORBIDDEN
    for site in ({"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://localhost"}):
        assert browser.post(path, json={}, headers=site).status_code == HTTPStatus.OK
    assert browser.get(f"{API}/stats", headers={"Sec-Fetch-Site": "same-origin"}).status_code == HTTPStatus.OK


def test_a_link_that_only_reads_changes_nothing_by_its_cookie(app: Flask, reader: Caller) -> None:
    browser = app.test_client()
    assert browser.get(f"/?token={reader.token}").status_code == HTTPStatus.SEE_OTHER
    answer = browser.post(f"{API}/jobs/1/pause", json={}, headers={"Sec-Fetch-Site": "same-origin"})
    assert (answer.status_code, answer.json["type"].rpartition(":")[2]) == (HTTPStatus.FORBIDDEN, "read-only")  # type: ignore[index]


def test_a_wrong_link_is_told_so_on_a_page_and_sets_no_cookie(app: Flask) -> None:
    answer = app.test_client().get("/?token=ingest-1-wrong<script>")
    assert (answer.status_code, answer.mimetype) == (HTTPStatus.UNAUTHORIZED, "text/html")
    assert "Set-Cookie" not in answer.headers and "<script>" not in answer.text and "wrong" not in answer.text


def test_no_key_and_no_callback_token_is_in_any_answer(operator: Caller, reader: Caller, database: Database) -> None:
    with database.read() as session:
        sent = list(session.execute(select(Submission)).scalars())
    signed = [tokens.sign(SECRET, door, one.short_id) for door in tokens.DOORS for one in sent]
    # A token of any other moment too: it begins with what names its submission, and a dot.
    shapes = [re.compile(rf"{one.short_id}\.[\w-]+\.[\w-]+") for one in sent]
    assert sent and all(any(shape.search(one) for shape in shapes) for one in signed)
    paths = [path for path, operations in _document(operator)["paths"].items() if "get" in operations]
    named = [f"{API}/items/{one}" for found in sent for one in found.item_ids]
    pages = [f"{API}/items?limit=1000", f"{API}/changes?after={_begin(operator)}&limit=1000", "/docs", *CLOSED]
    for path in (*map(_filled, paths), *(f"{_filled(path)}?limit=x" for path in paths), *paths, *named, *pages):
        answer = operator.get(path)
        text = answer.text + str(answer.headers)
        secrets = (KEY, SECRET, *signed, operator.token, reader.token)
        assert not any(secret in text for secret in secrets), path
        assert not any(shape.search(text) for shape in shapes), path
    assert any(one.short_id in operator.get(path).text for one in sent for path in named)  # they were looked at


def _begin(caller: Caller) -> str:
    """The place before all events."""
    epoch, _, _ = _place(caller)
    return answering.cursor("changes", epoch, 0, 0)


def test_what_was_sent_is_not_said_again_by_a_problem(operator: Caller) -> None:
    secret = "sk-sent-by-mistake"
    tried = [
        operator.post(f"{API}/jobs", {"command": secret}),
        operator.post(f"{API}/jobs", {"command": "add", "sources": ["https://a.example/b.mp4"], "quality": secret}),
        operator.post(f"{API}/jobs", {"command": "caption", "prompt": [secret], "sources": [], "thinking": secret}),
        operator.post(f"{API}/jobs/1/pause", {"seconds": secret}),
        operator.get(f"{API}/items?status={secret}&limit={secret}"),
        operator.get(f"{API}/jobs?cursor={secret}"),
        operator.send(f"{API}/jobs", f'{{"{secret}'.encode(), "application/json", chunked=False),
        operator.get(f"{API}/stats", Authorization=f"Bearer {secret}"),
    ]
    for answer in tried:
        assert 400 <= answer.status_code < 500 and answer.mimetype == "application/problem+json"
        assert secret not in answer.text, answer.text


def test_a_problem_is_one_document_with_a_stable_type(operator: Caller) -> None:
    for path, status, kind in (
        ("/jobs/999", 404, "not-found"),
        ("/items?limit=0", 422, "invalid"),
        ("/items?status=NOTHING", 422, "invalid"),
        ("/nothing", 404, "not-found"),
    ):
        answer = operator.get(API + path)
        assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
        told = answer.json
        assert told is not None and told["type"] == f"urn:memories-ingest:problem:{kind}" and told["status"] == status
    answer = operator.post(f"{API}/stats")
    assert answer.status_code == HTTPStatus.METHOD_NOT_ALLOWED and "GET" in answer.headers["Allow"]


def test_a_body_that_cannot_be_understood_is_not_taken_for_none(operator: Caller, database: Database) -> None:
    with database.read() as session:
        before = queries.version(session)
    for body, kind, status in (
        (b'{"dry_run": true', "application/json", 400),
        (b'{"dry_run": true}', "text/plain", 415),
        (b'{"dry_run": ' + b"[" * 100_000, "application/json", 400),
        (b"[]", "application/json", 422),
        (b'"dry_run"', "application/json", 422),
        (b" " * (17 << 20), "application/json", 413),
    ):
        for chunked in (False, True):
            answer = operator.send(f"{API}/jobs/1/retry", body, kind, chunked=chunked)
            assert (answer.status_code, answer.mimetype) == (status, "application/problem+json"), (body[:20], chunked)
    with database.read() as session:
        assert queries.version(session) == before


def test_the_database_that_is_away_is_said_and_nothing_else(app: Flask, operator: Caller, database: Database) -> None:
    from sqlalchemy import event
    from sqlalchemy.exc import OperationalError

    def away(*_: Any) -> None:
        raise OperationalError("SELECT secret", {}, Exception("no route"))

    assert operator.get(f"{API}/stats").status_code == HTTPStatus.OK
    event.listen(database.engine, "before_cursor_execute", away)
    try:
        answer = operator.get(f"{API}/items")
    finally:
        event.remove(database.engine, "before_cursor_execute", away)
    assert (answer.status_code, answer.json["type"].rpartition(":")[2]) == (503, "database")  # type: ignore[index]
    assert "secret" not in answer.text and answer.headers["Retry-After"]


@pytest.fixture(autouse=True)
def _closed(database: Database) -> Iterator[None]:
    yield
    database.engine.dispose()
