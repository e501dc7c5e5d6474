"""Many who poll the console share what it reads, and nobody is told later, or otherwise, for that."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event

from console.app import create_app
from ingest import store
from ingest.access import Role
from ingest.database import Database
from ingest.models import Job
from ingest.settings import Settings
from ingest.sources.found import Found, Kind
from ingest.statuses import News
from tests.follower import CHANGES, Follower, rows_of

pytestmark = pytest.mark.integration


@pytest.fixture
def ask(database: Database) -> Callable[..., Any]:
    """Ask the console as somebody with a token; each thread has a client of its own."""
    settings = Settings(memories_api_key="k", ingest_redis_url="redis://127.0.0.1:1/0")
    with database.write() as session:
        token = store.add_token(session, "reader", Role.READ)
    app = create_app(settings, database)

    def get(path: str, known: str = "", **query: Any) -> Any:
        client: FlaskClient = app.test_client()
        said = {"Authorization": f"Bearer {token}"} | ({"If-None-Match": known} if known else {})
        return client.get(path, query_string=query, headers=said)

    return get


@pytest.fixture
def statements(database: Database) -> Iterator[list[str]]:
    """What the database was asked."""
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    yield asked
    event.remove(database.engine, "before_cursor_execute", note)


def _add(database: Database, count: int) -> None:
    with database.write() as session:
        job = store.add_job(session, "add", ["x"], "default", "private")
        found = [Found(Kind.LINK, f"https://media.example/{number}.mp4") for number in range(count)]
        store.add_items(session, session.get_one(Job, job), found, {})


def _cancel(database: Database, item_id: int) -> None:
    with database.write() as session:
        store.tell(session, item_id, News.CANCEL)


def test_many_followers_end_with_the_rows_and_come_back_for_each_news_about_once(
    database: Database, ask: Callable[..., Any]
) -> None:
    followers = [Follower() for _ in range(12)]
    for one in followers:
        one.take(ask(CHANGES).json)
    stop, asked = threading.Event(), [0] * len(followers)

    def follow(number: int) -> None:
        while not stop.is_set():
            followers[number].take(ask(CHANGES, **followers[number].question(2)).json)
            asked[number] += 1

    threads = [threading.Thread(target=follow, args=(number,)) for number in range(len(followers))]
    for thread in threads:
        thread.start()
    _add(database, 20)
    for item_id in range(1, 21):
        _cancel(database, item_id)
        time.sleep(0.05)
    rows, deadline = rows_of(database), time.monotonic() + 10
    while any(one.items != rows for one in followers) and time.monotonic() < deadline:
        time.sleep(0.05)
    stop.set()
    for thread in threads:
        thread.join()
    assert [one.items == rows for one in followers] == [True] * len(followers)
    # forty changes in a second or two: told in a few handfuls, not one by one
    assert max(asked) < 20


def test_who_comes_back_to_the_end_waits_without_a_look_and_hears_of_what_comes_next(
    database: Database, ask: Callable[..., Any], statements: list[str]
) -> None:
    _add(database, 2)
    place = ask(CHANGES).json["next"]
    first = threading.Thread(target=ask, args=(CHANGES,), kwargs={"after": place, "wait": 4})
    first.start()
    time.sleep(1.2)  # it waits, and the one thread that looks has seen that this is the end
    statements.clear()
    heard: list[Any] = []
    second = threading.Thread(target=lambda: heard.append(ask(CHANGES, after=place, wait=4).json))
    second.start()
    time.sleep(0.6)
    assert not [one for one in statements if "JOIN item" in one]
    began = time.monotonic()
    _cancel(database, 2)
    second.join()
    first.join()
    assert time.monotonic() - began < 2.5
    assert [(one["item"]["id"], one["to"]) for one in heard[0]["changes"]] == [(2, "CANCELLED")]


def test_totals_of_one_state_are_read_once_and_those_of_the_next_at_once(
    database: Database, ask: Callable[..., Any], statements: list[str]
) -> None:
    _add(database, 3)
    first = ask("/api/v1/stats")
    statements.clear()
    again = ask("/api/v1/stats")
    assert (again.json, again.headers["ETag"]) == (first.json, first.headers["ETag"])
    assert not [one for one in statements if "sum(" in one.lower()]
    assert ask("/api/v1/stats", known=first.headers["ETag"]).status_code == 304
    _cancel(database, 1)
    changed = ask("/api/v1/stats", known=first.headers["ETag"])
    assert (changed.status_code, changed.json["counts"]["CANCELLED"]) == (200, 1)
    with database.write() as session:
        store.pause(session, "lane:upload", by="operator", reason="a look")
    paused = ask("/api/v1/stats", known=changed.headers["ETag"])
    assert [one["reason"] for one in paused.json["paused"]] == ["a look"]
    with database.write() as session:
        store.pause(session, "lane:upload", by="operator", reason="a look", code="0429")
    assert ask("/api/v1/stats", known=paused.headers["ETag"]).json["paused"][0]["code"] == "0429"
