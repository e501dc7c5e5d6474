"""The operator's API under attack: forged, doubled, broken off, overtaken, too much, too deep; on SQLite and on PostgreSQL alike."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from console import making
from console import once as once_module
from console.app import create_app
from console.feed import Watcher
from console.guard import COOKIE, Recent
from ingest import adding, queries, store
from ingest.access import Role
from ingest.clock import now_ms
from ingest.database import Database, open_database
from ingest.models import Callback, Item, Request
from ingest.settings import Settings, read
from ingest.statuses import News
from ingest.tokens import account_url, callback_url, new_short_id
from tests.console import Console, bearer, fill
from tests.service import eventually

pytestmark = pytest.mark.integration

HOST = "http://console.example:8001"
KEY, CAPTION_KEY, SECRET = "sk-recognisable-0123456789", "sk-captions-0123456789", "signs-callbacks-0123456789"


def _operations() -> list[tuple[str, str]]:
    """(method, path) of everything the document names, a path's ids filled in."""
    app = create_app(read(Settings), Database("sqlite:////nowhere/at-all.db"))
    document = app.config["OPENAPI"]
    names = {
        "{job}": "1",
        "{item}": "2",
        "{callback}": "1",
        "{lane}": "upload",
        "{account}": "account",
        "{creator}": "1",
    }
    found = []
    for path, methods in json.loads(document)["paths"].items():
        for name, value in names.items():
            path = path.replace(name, value)
        found += [(method.upper(), path) for method in methods]
    return found


OPERATIONS = _operations()
GETS = [path for method, path in OPERATIONS if method == "GET"]
POSTS = [path for method, path in OPERATIONS if method == "POST"]
API = "/api/v1"


class Door:
    """The app over a database, and clients of it."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings, self.database = settings, database
        self.app = create_app(settings, database)
        self._addresses = count()
        self.operate = self.token("operator", Role.OPERATE)

    def token(self, name: str, role: Role) -> str:
        with self.database.write() as session:
            return store.add_token(session, name, role) or ""

    def somewhere(self) -> str:
        """An address from which nobody came before."""
        number = next(self._addresses)
        return f"10.1.{number >> 8}.{number & 255}"

    def client(self, token: str | None = None, address: str = "10.0.0.1", **headers: str) -> httpx.Client:
        sent = headers if token is None else bearer(token) | headers
        transport = httpx.WSGITransport(self.app, remote_addr=address)
        return httpx.Client(transport=transport, base_url=HOST, headers=sent)

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.client(self.operate).get(API + path, headers=headers)

    def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return self.client(self.operate).post(API + path, json=body, headers=headers)

    def items(self, job: int) -> list[Item]:
        with self.database.read() as session:
            return list(queries.items(session, job_id=job))


@pytest.fixture
def library(tmp_path: Path) -> Path:
    (tmp_path / "library").mkdir()
    return tmp_path / "library"


@pytest.fixture
def settings(home: Path, library: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    variables = {
        "INGEST_HOME": str(home),
        "INGEST_DATABASE_URL": database_url,
        "INGEST_SECRET": SECRET,
        "INGEST_LIBRARY_ROOTS": str(library),
        "MEMORIES_API_KEY": KEY,
        "MEMORIES_CAPTION_API_KEY": CAPTION_KEY,
        "MEMORIES_API_URL": "http://127.0.0.1:9",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return read(Settings)


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """One for all that changes nothing, or nothing that matters to another test."""
    folder = tmp_path_factory.mktemp("standing")
    database = open_database(f"sqlite:///{folder}/test.db")
    fill(database)
    yield Door(Settings(INGEST_HOME=folder), database)  # type: ignore[call-arg]
    database.dispose()


@pytest.fixture
def door(settings: Settings, database: Database) -> Door:
    fill(database)
    return Door(settings, database)


def _links(*numbers: int) -> dict[str, Any]:
    return {"command": "add", "sources": [f"https://media.example/new-{number}.mp4" for number in numbers]}


def _problem(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    said = answer.json()
    assert (said["type"], said["status"]) == (f"urn:memories-ingest:problem:{kind}", status)
    assert said["title"] and said["detail"]
    return said


# Conditional answers


def _ready(door: Door) -> None:
    with door.database.write() as session:
        assert store.tell(session, 9, News.READY)


def _new_job_without_items(door: Door) -> None:
    with door.database.write() as session:
        store.add_job(session, "adopt", ["default"], "default", "private")


def _cancel_what_has_ended(door: Door) -> None:
    store.cancel_job(door.database, 1)  # all of it
    with door.database.write() as session:
        session.execute(update(store._job).values(cancelled_at=None))


def _cancel_once_more(door: Door) -> None:
    store.cancel_job(door.database, 1)


def _pause(door: Door) -> None:
    with door.database.write() as session:
        store.pause_by_operator(session, "job:1", "paused by an operator", None)


def _late_answer_of_an_earlier_try(door: Door) -> None:
    with door.database.write() as session:
        submission = session.get_one(Item, 33).submission_id
        assert submission is not None
        store.note_unmatched(session, submission, ["VI-of-nobody"])


def _new_callback(door: Door) -> None:
    with door.database.write() as session:
        session.add(Callback(kind="upload", body=b"{}", received_at=now_ms(), due_at=now_ms()))


def _callback_done(door: Door) -> None:
    with door.database.write() as session:
        store.callback_done(session, 1, "applied", "a video")


def _callback_of_the_middle_forgotten(door: Door) -> None:
    with door.database.write() as session:
        session.execute(update(store._callback).where(store._callback.c.state != "applied").values(state="new"))
        session.execute(update(store._callback).where(store._callback.c.state == "applied").values(received_at=1))
    before = door.get("/callbacks")
    with door.database.write() as session:
        assert store.forget_callbacks(session, 2, 10) == 1
    assert door.get("/callbacks", **{"If-None-Match": before.headers["ETag"]}).status_code == 200


@pytest.mark.parametrize(
    ("path", "prepare", "change"),
    [
        ("/jobs", None, _ready),
        ("/jobs", None, _new_job_without_items),
        ("/jobs", _cancel_what_has_ended, _cancel_once_more),
        ("/jobs", None, _pause),
        ("/jobs/1", None, _ready),
        ("/jobs/1", None, _pause),
        ("/jobs/1", _cancel_what_has_ended, _cancel_once_more),
        ("/stats", None, _ready),
        ("/stats", None, _pause),
        ("/items?job=1&limit=10&order=oldest", None, _ready),
        ("/items?status=PARSE", None, _ready),
        ("/items/9", None, _ready),
        ("/items/33", None, _late_answer_of_an_earlier_try),
        ("/callbacks", None, _new_callback),
        ("/callbacks", None, _callback_done),
        ("/callbacks?state=new&state=applied", None, _callback_done),
        ("/callbacks", None, _callback_of_the_middle_forgotten),
        ("/callbacks/1", None, _callback_done),
    ],
)
def test_what_is_known_is_304_until_it_changes(door: Door, path: str, prepare: Any, change: Any) -> None:
    if prepare:
        prepare(door)
    first = door.get(path)
    assert first.status_code == 200
    tag = first.headers["ETag"]
    assert tag.startswith('"')  # a strong one
    same = door.get(path, **{"If-None-Match": tag})
    assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", tag)
    assert door.get(path, **{"If-None-Match": f'"other", {tag}'}).status_code == 304
    assert door.get(path, **{"If-None-Match": '"other"'}).content == first.content
    change(door)
    changed = door.get(path, **{"If-None-Match": tag})
    assert changed.status_code == 200 and changed.headers["ETag"] != tag
    assert changed.content != first.content


def test_one_page_is_not_taken_for_another(door: Door) -> None:
    tags = [door.get(path).headers["ETag"] for path in ("/items", "/items?limit=5", "/items?order=oldest", "/jobs")]
    assert len(set(tags)) == 4


# Pages


def _walk(door: Door, path: str, name: str) -> list[int]:
    found, following = list[int](), ""
    while True:
        page = door.get(f"{path}{following}").json()
        found += [row["job" if name == "jobs" else "id"] for row in page[name]]
        if page["next"] is None:
            return found
        following = f"&cursor={page['next']}"


def test_pages_one_after_the_other_are_all_rows(door: Door) -> None:
    with door.database.read() as session:
        items = list(queries.items(session))
    numbers = [item.id for item in items]
    assert _walk(door, "/items?limit=7", "items") == numbers[::-1]
    assert _walk(door, "/items?limit=7&order=oldest", "items") == numbers
    wanted = [item.id for item in items if item.status in ("FAIL", "PARSE") and item.job_id in (1, 2)]
    assert _walk(door, "/items?status=FAIL,PARSE&job=1&job=2&order=oldest&limit=2", "items") == wanted
    assert _walk(door, "/items?lane=upload&kind=link&namespace=default&error_code=empty&limit=1", "items") == [3]
    assert _walk(door, "/items?namespace=default,other", "items") == []  # a name may hold a comma
    assert _walk(door, "/jobs?limit=1", "jobs") == [2, 1]
    assert _walk(door, "/callbacks?limit=2", "callbacks") == [5, 4, 3, 2, 1]
    assert _walk(door, "/callbacks?state=new,parked&limit=1", "callbacks") == [2, 1]


def test_a_cursor_of_another_list_is_refused(door: Door) -> None:
    cursor = door.get("/items?limit=3").json()["next"]
    assert door.get(f"/items?limit=5&cursor={cursor}").status_code == 200
    for path in ("/items?status=FAIL&", "/items?order=oldest&", "/items?job=1&", "/jobs?", "/callbacks?"):
        _problem(door.get(f"{path}cursor={cursor}"), 404, "unknown-cursor")
    _problem(door.get(f"/changes?after={cursor}"), 404, "unknown-cursor")


@pytest.mark.parametrize(
    "place",
    [[1, 2], [], ["1"], [None], [1.5], [True], [-1], [2**63], [[1]], [{}], [10**400]],
    ids=lambda one: f"{one}"[:20],
)
def test_a_forged_cursor_opens_nothing(standing: Door, place: list[Any]) -> None:
    import base64

    good = standing.get("/items?limit=3").json()["next"]
    mark = json.loads(base64.urlsafe_b64decode(good + "=" * (-len(good) % 4)))[0]
    forged = base64.urlsafe_b64encode(json.dumps([mark, *place]).encode()).decode().rstrip("=")
    _problem(standing.get(f"/items?cursor={forged[:500]}"), 404, "unknown-cursor")


# Changes


def test_a_long_list_of_changes_is_told_in_pages(door: Door) -> None:
    after = door.get("/changes").json()["next"]
    made = door.post("/jobs", _links(*range(25))).json()["job"]
    heard = []
    while True:
        page = door.get(f"/changes?after={after}&limit=10").json()
        heard += [one["item"]["id"] for one in page["changes"]]
        after = page["next"]
        if not page["more"]:
            break
    assert heard == [item.id for item in door.items(made)]


def test_followers_beyond_the_most_are_answered_at_once(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.feed._MOST_WAITING", 0)
    after = door.get("/changes").json()["next"]
    start = time.monotonic()
    assert door.get(f"/changes?after={after}&wait=30").status_code == 200
    assert time.monotonic() - start < 5


def test_a_watcher_that_gets_no_thread_watches_later(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = Watcher(database)
    with database.read() as session:
        place = queries.newest_place(session)
    with monkeypatch.context() as broken:

        def start(_thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        broken.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError):
            watcher.wait_beyond(place, 1)
    assert watcher._waiting == 0
    later = threading.Timer(0.3, fill, [database])
    later.start()
    start_at = time.monotonic()
    watcher.wait_beyond(place, 60)
    assert time.monotonic() - start_at < 50
    later.join()


# Once


def _kept(door: Door) -> list[Request]:
    with door.database.read() as session:
        return list(session.execute(select(Request)).scalars())


def _jobs(door: Door) -> int:
    with door.database.read() as session:
        return len(queries.jobs(session, 1000))


@pytest.mark.parametrize("key", ["", "x" * 201, "a b", "a\tb", "\x7f"])
def test_what_is_no_key_is_refused(standing: Door, key: str) -> None:
    answer = standing.client(standing.operate).post(f"{API}/jobs/1/cancel", headers={"Idempotency-Key": key})
    _problem(answer, 422, "invalid")


def test_a_request_that_is_being_carried_out_is_not_begun_again(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    make, meanwhile = making.make, list[httpx.Response]()

    def slow(*arguments: Any) -> Any:
        meanwhile.append(door.post("/jobs", _links(1), **{"Idempotency-Key": "k"}))
        return make(*arguments)

    monkeypatch.setattr(making, "make", slow)
    assert door.post("/jobs", _links(1), **{"Idempotency-Key": "k"}).status_code == 202
    _problem(meanwhile[0], 409, "in-flight")
    assert int(meanwhile[0].headers["Retry-After"]) > 0


@pytest.fixture
def half_made(door: Door, monkeypatch: pytest.MonkeyPatch) -> Door:
    """The process died after the first chunk: its row stands, its job has a part of its items."""
    write, written = store.add_items, list[int]()

    def dies(*arguments: Any, **more: Any) -> Any:
        if written:
            raise KeyboardInterrupt
        written.append(1)
        return write(*arguments, **more)

    with monkeypatch.context() as dying:
        dying.setattr(store, "add_items", dies)
        dying.setattr(once_module, "_give_up", lambda *_: None)
        dying.setattr(adding, "_CHUNK", 3)
        with pytest.raises(KeyboardInterrupt):
            door.post("/jobs", _links(*range(8)), **{"Idempotency-Key": "k"})
    return door


def test_a_request_whose_process_died_is_gone_on_with(half_made: Door) -> None:
    [row] = _kept(half_made)
    assert row.job_id is not None and row.status is None
    assert len(half_made.items(row.job_id)) == 3
    _problem(half_made.post("/jobs", _links(*range(8)), **{"Idempotency-Key": "k"}), 409, "in-flight")
    _silent_for(half_made, seconds=61)
    done = half_made.post("/jobs", _links(*range(8)), **{"Idempotency-Key": "k"})
    assert done.status_code == 202
    assert done.json() == {"job": row.job_id, "items": 8, "queued": 8, "skipped": 0, "problems": []}
    assert [item.source for item in half_made.items(row.job_id)] == _links(*range(8))["sources"]
    again = half_made.post("/jobs", _links(*range(8)), **{"Idempotency-Key": "k"})
    assert (again.content, again.headers["Idempotency-Replayed"]) == (done.content, "true")


def _silent_for(door: Door, seconds: int) -> None:
    with door.database.write() as session:
        session.execute(update(store._request).values(started_at=now_ms() - seconds * 1000))


def test_only_one_takes_over(half_made: Door) -> None:
    _silent_for(half_made, seconds=61)
    [earlier] = _kept(half_made)
    taken = []
    for owner in ("one", "other"):
        with half_made.database.write() as session:
            taken.append(store.take_over_request(session, earlier, owner))
    assert taken == [True, False]


def test_who_was_overtaken_has_no_more_say(half_made: Door) -> None:
    _silent_for(half_made, seconds=61)
    [earlier] = _kept(half_made)
    with half_made.database.write() as session:
        assert store.take_over_request(session, earlier, "new")
        store.drop_request(session, earlier.key, earlier.owner)
        store.leave_request(session, earlier.key, earlier.owner)
        store.end_request(session, earlier.key, earlier.owner, 500, None, "late")
        assert not store.request_made_job(session, earlier.key, earlier.owner, 77)
    [row] = _kept(half_made)
    assert (row.owner, row.status, row.job_id) == ("new", None, earlier.job_id)


def test_who_was_overtaken_before_its_job_was_made_makes_none(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    make, before = making.make, _jobs(door)

    def overtaken(*arguments: Any) -> Any:
        with door.database.write() as session:
            session.execute(update(store._request).values(owner="another"))
        return make(*arguments)

    monkeypatch.setattr(making, "make", overtaken)
    _problem(door.post("/jobs", _links(1), **{"Idempotency-Key": "k"}), 409, "in-flight")
    assert _jobs(door) == before
    assert [row.owner for row in _kept(door)] == ["another"]


def test_twenty_at_once_make_one_job(door: Door) -> None:
    before, answers = _jobs(door), list[httpx.Response]()

    def ask() -> None:
        answers.append(door.post("/jobs", _links(1), **{"Idempotency-Key": "k"}))

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert _jobs(door) == before + 1


# What may be imported


def test_nothing_else_is_imported_nor_told_of(door: Door, library: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.mp4").write_bytes(b"x")
    (library / "way-out").symlink_to(tmp_path)
    before = _jobs(door)
    said = []
    for name in ("secret.mp4", "nothing.mp4"):
        for folder in (tmp_path, library / "way-out", library / ".."):
            answer = door.post("/jobs", {"command": "add", "sources": [f"{folder}/{name}"]})
            said.append(
                _problem(answer, 403, "outside-roots")["detail"].replace(name, "NAME").replace(str(folder), "IN")
            )
    assert len(set(said)) == 1
    (library / "list.txt").write_text(f"{tmp_path}/secret.mp4\n../secret.mp4\n")
    listed = _problem(door.post("/jobs", {"command": "add", "sources": [f"{library}/list.txt"]}), 422, "invalid")
    assert len(listed["errors"]) == 2 and "INGEST_LIBRARY_ROOTS" in listed["detail"]
    assert _jobs(door) == before


def test_good_sources_are_taken_and_bad_ones_named_where_that_is_wished(door: Door) -> None:
    order = {**_links(1), "skip_invalid": True}
    order["sources"].append("/etc/passwd")
    made = door.post("/jobs", order)
    assert made.status_code == 202
    assert made.json()["items"] == 1 and "/etc/passwd" in made.json()["problems"][0]
    order["sources"] = ["/etc/passwd"]
    _problem(door.post("/jobs", order), 403, "outside-roots")


@pytest.mark.parametrize(
    "wrong",
    [
        {"sources": []},
        {"sources": ["beach.mp4"]},
        {"sources": ["https://"]},
        {"sources": ["https://user:hunter2@media.example/a.mp4"]},
        {"sources": ["https://media.example/a b.mp4"]},
        {"sources": ["s3://bucket/a.mp4"]},
        {"sources": ["-"]},
        {"sources": ["/\0"]},
        {"tags": ["\n"]},
        {"quality": 721},
        {"datetime_taken": "yesterday"},
        {"place": {"latitude": 1}},
        {"place": {"latitude": 91, "longitude": 0}},
        {"unique_id": " "},
        {"priority": True},
        {"priority": "1"},
        {"again": "yes"},
        {"unknown": 1},
        {"command": "delete"},
    ],
    ids=lambda one: json.dumps(one)[:40],
)
def test_a_wrong_order_changes_nothing_and_says_which_field(standing: Door, wrong: dict[str, Any]) -> None:
    before = _jobs(standing)
    said = _problem(standing.post("/jobs", {**_links(1), **wrong}), 422, "invalid")
    assert "hunter2" not in json.dumps(said)
    assert _jobs(standing) == before


def test_a_public_job_takes_posts_alone(door: Door) -> None:
    _problem(door.post("/jobs", {**_links(1), "public": True}), 409, "sources")
    post = {
        "command": "add",
        "public": True,
        "sources": ["https://www.youtube.com/watch?v=BaW_jenozKc"],
        "quality": 720,
    }
    assert door.post("/jobs", post).status_code == 202


def test_a_vendor_that_cannot_be_asked_is_a_bad_gateway(door: Door) -> None:
    _problem(door.post("/jobs", {"command": "adopt"}), 502, "vendor")


# Operating


@pytest.mark.parametrize("path", ["jobs/99", "items/99", "callbacks/99", "jobs/2147483647"])
def test_what_is_not_there_is_told_so(standing: Door, path: str) -> None:
    _problem(standing.get(f"/{path}"), 404, "not-found")
    kind = path.partition("/")[0]
    for action in {
        "jobs": ["retry", "cancel", "pause", "resume"],
        "items": ["retry", "cancel"],
        "callbacks": ["replay"],
    }[kind]:
        _problem(standing.post(f"/{path}/{action}"), 404, "not-found")


# Who may come in


def _everything(database: Database) -> list[Any]:
    """Each row of each table that an operator may change."""
    with database.read() as session:
        tables = (store._job, store._item, store._event, store._pause, store._callback, store._request)
        return [tuple(row) for table in tables for row in session.execute(select(table))]


@pytest.mark.parametrize("path", POSTS)
def test_who_may_only_read_changes_nothing(standing: Door, path: str) -> None:
    reader = standing.token(f"reader-{len(path)}-{hash(path) % 9999}", Role.READ)
    before = _everything(standing.database)
    with standing.client(reader) as client:
        said = _problem(client.post(path, json=_links(1)), 403, "read-only")
        _problem(client.post(path, content=b"{", headers={"Idempotency-Key": "k"}), 403, "read-only")
        for method in ("PUT", "PATCH", "DELETE"):
            assert client.request(method, path).status_code in (403, 405)
    assert "reader" in said["detail"]
    assert _everything(standing.database) == before


_OPEN = {("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/healthz/pipeline")}
_SHUT = [
    *[one for one in OPERATIONS if one not in _OPEN],
    *[
        ("GET", path)
        for path in ("/", "/docs", "/metrics", f"{API}/openapi.json", f"{API}/nothing", "/static/rapidoc-min.js")
    ],
    ("GET", "/?token="),
    ("HEAD", f"{API}/stats"),
    ("OPTIONS", f"{API}/stats"),
]


@pytest.mark.parametrize(("method", "path"), _SHUT)
def test_without_a_token_only_health_answers(standing: Door, method: str, path: str) -> None:
    address = standing.somewhere()
    for client in (
        standing.client(None, address),
        standing.client(None, address, Authorization="Basic Zm9vOmJhcg=="),
        standing.client(None, address, Authorization="Bearer"),
        standing.client("ingest-1-abc", address),
        standing.client("ingest-99999999999999999999-abc", address),
        standing.client(None, address, Cookie=f"{COOKIE}=ingest-1-abc"),
    ):
        answer = client.request(method, path)
        assert answer.status_code == 401, path
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert "ingest-1-abc" not in answer.text


def test_a_token_is_no_other(door: Door) -> None:
    number, _, secret = door.operate.removeprefix("ingest-").partition("-")
    other = door.token("other", Role.READ).split("-", 2)[1]
    for wrong in (f"ingest-{other}-{secret}", f"ingest-{number}-{secret}x", f"ingest-{number}-{secret[:-1]}", secret):
        _problem(door.client(wrong).get(f"{API}/stats"), 401, "unauthorized")
    assert door.client(door.operate).get(f"{API}/stats").status_code == 200


def test_a_hundred_wrong_tokens_are_slowed_and_the_right_one_is_not(door: Door) -> None:
    assert door.get("/stats").status_code == 200
    stranger = [door.client(f"ingest-1-{number:03}").get(f"{API}/stats") for number in range(100)]
    assert {answer.status_code for answer in stranger} == {401, 429}
    said = _problem(stranger[-1], 429, "slowed")
    assert 1 <= int(stranger[-1].headers["Retry-After"]) < 300 and "ingest-1" not in said["detail"]
    assert door.client().get(f"/?token={'ingest-1-xyz'}").status_code == 429
    assert door.get("/stats").status_code == 200
    # who was never seen there waits as well, and other addresses do not
    late = door.token("late", Role.READ)
    assert door.client(late).get(f"{API}/stats").status_code == 429
    assert door.client(late, address="10.0.0.2").get(f"{API}/stats").status_code == 200


def test_strangers_do_not_fill_the_memory() -> None:
    kept: Recent[int] = Recent(100)
    for number in range(10_000):
        kept.put(str(number), number)
    assert len(kept._kept) == 100 and kept.get("9999") == 9999 and kept.get("1") is None


def test_a_disk_that_takes_nothing_does_not_lock_out_readers(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy.exc import OperationalError

    def full(*_: Any) -> None:
        raise OperationalError("UPDATE", {}, Exception("database or disk is full"))

    monkeypatch.setattr(store, "token_used", full)
    assert door.client(door.token("new", Role.READ)).get(f"{API}/stats").status_code == 200


def test_the_page_fetches_nothing_from_elsewhere(standing: Door) -> None:
    page = standing.client(standing.operate).get("/docs")
    assert "//" not in page.text.replace("<!-- //", "")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src 'self';" in policy and "http" not in policy


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": HOST}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Origin": HOST}, 200),
        ({}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": HOST}, 403),
        ({"Origin": "http://console.example:9999"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": HOST + ".evil.example"}, 403),
    ],
    ids=lambda one: str(one),
)
def test_a_cookie_changes_things_from_our_own_page_alone(standing: Door, headers: dict[str, str], status: int) -> None:
    with standing.client(Cookie=f"{COOKIE}={standing.operate}") as client:
        assert client.get(f"{API}/stats", headers=headers).status_code == 200
        answer = client.post(f"{API}/jobs/1/pause", headers=headers)
    assert answer.status_code == status
    if status == 403:
        _problem(answer, 403, "other-origin")


# Secrets


def _with_secrets_everywhere(door: Door) -> list[str]:
    """Rows that hold what must not be told, as if a vendor had quoted it; the secrets."""
    addresses = [
        callback_url("https://me.example", SECRET, "upload", new_short_id()) or "",
        account_url("https://me.example", SECRET),
    ]
    quoted = f"no: {KEY} {CAPTION_KEY} {SECRET} " + " ".join(addresses)
    body = json.dumps({"said": quoted, "callback": addresses[0]}).replace("/", r"\/").encode()
    with door.database.write() as session:
        session.execute(update(store._item).values(error=quoted, warning=quoted, result={"text": quoted}))
        session.execute(update(store._submission).values(message=quoted, worker=quoted))
        session.execute(update(store._callback).values(note=quoted, body=body))
        session.execute(update(store._event).values(detail=quoted))
        session.execute(update(store._pause).values(reason=quoted))
    return [KEY, CAPTION_KEY, SECRET, *[one.rpartition("/")[2] for one in addresses]]


def test_no_answer_tells_a_key_or_a_callbacks_token(door: Door) -> None:
    place = door.get("/changes").json()["next"]
    secrets = _with_secrets_everywhere(door)
    _ready(door)
    answers = [door.client(door.operate).get(path) for path in (*GETS, "/docs")]
    answers += [door.get(f"/changes?after={place}"), *[door.get(f"/callbacks/{number}") for number in range(1, 6)]]
    answers += [door.get("/nothing"), door.get("/items?status=x"), door.client(KEY).get(f"{API}/stats")]
    answers += [door.post(path.removeprefix(API), {"state": ["new"]} if "replay" in path else None) for path in POSTS]
    answers += [door.post("/jobs", {"command": "add", "sources": [f"sk{KEY}"], KEY: 1})]
    told = [one for one in answers if "[key]" in one.text]
    assert len(told) > 5  # it was there to be told
    for answer in answers:
        for secret in secrets:
            assert secret not in answer.text, answer.request.url


def test_a_link_that_looks_a_little_like_ours_is_told_as_it_is(door: Door) -> None:
    source = "https://media.example/webhooks/upload/a.clip.mp4"
    job = door.post("/jobs", {"command": "add", "sources": [source]}).json()["job"]
    assert door.get(f"/items?job={job}").json()["items"][0]["source"] == source


# Strange requests


def _raw(door: Door, body: bytes | Iterator[bytes], kind: str | None = "application/json") -> httpx.Response:
    headers = {"Content-Type": kind} if kind else {}
    return door.client(door.operate).post(f"{API}/jobs/1/pause", content=body, headers=headers)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 200),
        (b"{}", 200),
        (b"null", 422),
        (b"[]", 422),
        (b'"{}"', 422),
        (b"1", 422),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[" * 100_000, 400),
        (b'{"a":' * 100_000, 400),
        (b"1" * 5000, 400),
        (b'{"seconds": NaN}', 422),
        (b'{"seconds": Infinity}', 422),
        (b'{"seconds": 1e999}', 422),
        (b'{"seconds": -1}', 422),
        (b'{"seconds": true}', 422),
        (b'{"seconds": "5"}', 422),
        (b'{"reason": "\\ud800"}', 422),
        (b'{"reason": "\\u0000"}', 422),
        (b'{"\\ud800": 1}', 422),
        (b'{"reason": "' + b"x" * 501 + b'"}', 422),
    ],
    ids=lambda one: str(one)[:30],
)
def test_a_body_is_one_object_or_there_is_none(standing: Door, body: bytes, status: int) -> None:
    standing.post("/jobs/1/resume")
    assert _raw(standing, body).status_code == status
    with standing.database.read() as session:
        assert ("job:1" in [one.scope for one in queries.pauses(session)]) is (status == 200)


def test_a_body_of_another_kind_is_refused(standing: Door) -> None:
    for kind in ("text/plain", "application/xml", "application/x-www-form-urlencoded", None):
        _problem(_raw(standing, b"{}", kind), 415, "unsupported-media-type")


def test_a_body_that_is_too_large_is_refused(standing: Door) -> None:
    answer = _raw(standing, b'{"reason": "' + b"x" * (17 << 20) + b'"}')
    assert answer.status_code == 413


def test_bodies_that_never_end_keep_no_reader_waiting(home: Path) -> None:
    console, never = Console(home), list[socket.socket]()
    try:
        # More than it has threads; a stranger's are not even begun to be read, wherever they go.
        for path, token, number in ((f"{API}/jobs", console.operate, 340), ("/healthz", "", 340)):
            for _ in range(number):
                never.append(socket.create_connection(("127.0.0.1", console.port)))
                begun = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
                never[-1].sendall(f"{begun}Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{{".encode())
        with console.client() as client:
            assert client.get(f"{API}/stats").status_code == 200
            eventually(lambda: client.post(f"{API}/lanes/upload/pause", json={}).status_code == 503, 30)
            for one in never:
                one.close()
            eventually(lambda: client.post(f"{API}/lanes/upload/pause", json={}).status_code == 200, 30)
    finally:
        console.end()


def test_a_filter_that_no_row_can_hold_is_no_fault_of_the_database(door: Door) -> None:
    for name in ("namespace", "error_code", "platform"):
        for value in ("%00", "a%00b", "%ff", "%ed%a0%80", "x" * 201, ""):
            assert door.get(f"/items?{name}={value}").status_code in (200, 422)


@pytest.mark.parametrize(
    "path",
    [
        "/items/0",
        "/items/-1",
        "/items/9999999999999999999999",
        "/items/1.0",
        "/items/%00",
        "/items/%2e%2e",
        "/jobs/1%0d%0aX: y",
    ],
)
def test_an_address_that_names_nothing_is_told_so(standing: Door, path: str) -> None:
    answer = standing.get(path)
    assert answer.status_code in (404, 422)
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_method_that_is_not_there_names_those_that_are(standing: Door) -> None:
    for method in ("PUT", "DELETE", "PATCH", "POST"):
        answer = standing.client(standing.operate).request(method, f"{API}/stats")
        _problem(answer, 405, "method-not-allowed")
        assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"


def test_a_page_for_people_shows_text_as_text(door: Door) -> None:
    for host in ("<script>alert(1)</script>", 'x"><script>'):
        answer = door.client(Host=host).get("/docs")
        assert answer.status_code in (400, 401) and "<script>" not in answer.text
    answer = door.client().get("/?token=<script>alert(1)</script>")
    assert answer.status_code == 401 and "<script>" not in answer.text
    answer = door.client().get("/?token=a%0d%0aSet-Cookie:%20x=y")
    assert "Set-Cookie" not in answer.headers


def test_each_answer_forbids_to_guess_and_to_keep_it(standing: Door) -> None:
    for answer in (
        standing.get("/stats"),
        standing.get("/nothing"),
        standing.client().get("/docs"),
        standing.client().get("/healthz"),
    ):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] in ("no-store", "private, no-cache")


def test_a_job_of_many_links_is_written_and_paged(door: Door) -> None:
    made = door.post("/jobs", _links(*range(2000)))
    assert made.json()["queued"] == 2000
    assert len(_walk(door, f"/items?job={made.json()['job']}&limit=1000", "items")) == 2000


def test_the_document_is_the_same_for_each_reader(standing: Door) -> None:
    first, second = standing.get("/openapi.json"), standing.get("/openapi.json")
    assert first.content == second.content
    for operations in first.json()["paths"].values():
        for operation in operations.values():
            names = [(one["in"], one["name"]) for one in operation.get("parameters", [])]
            assert len(names) == len(set(names))
