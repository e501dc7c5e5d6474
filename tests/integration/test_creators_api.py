"""Following over the API and in words, on both databases."""

import json
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from console.app import create_app
from ingest import creators, following, queries, store
from ingest.access import Role
from ingest.choosing import BadRequest, NotThere
from ingest.clock import now_ms
from ingest.creators import Words
from ingest.database import Database
from ingest.models import Measurement
from ingest.settings import Settings

pytestmark = pytest.mark.integration

URL = "https://www.tiktok.com/@demo"
API = "/api/v1/creators"


@pytest.fixture
def ask(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("INGEST_HOME", str(tmp_path))
    monkeypatch.setenv("INGEST_REDIS_URL", "redis://127.0.0.1:1/0")
    with database.write() as session:
        token = store.add_token(session, "operator", Role.OPERATE)
    client = create_app(Settings(), database).test_client()  # type: ignore[call-arg]

    def asked(method: str, path: str = "", body: Any = None, **headers: str) -> Any:
        named = {"Authorization": f"Bearer {token}"} | {name.replace("_", "-"): one for name, one in headers.items()}
        return client.open(API + path, method=method, json=body, headers=named)

    return asked


def test_a_profile_is_followed_once_and_looked_at_at_once(ask: Any, database: Database) -> None:
    made = ask("POST", "", {"url": URL, "every": "6h", "limit": 7}, Idempotency_Key="k")
    assert (made.status_code, made.headers["Location"]) == (HTTPStatus.CREATED, f"{API}/1")
    assert made.json["schedule"] == "every 6 h" and made.json["state"] == "waiting"
    assert ask("POST", "", {"url": URL, "every": "6h", "limit": 7}, Idempotency_Key="k").json == made.json
    again = ask("POST", "", {"url": "https://m.tiktok.com/@DEMO?x=1", "every": "1d"})
    assert again.status_code == HTTPStatus.CONFLICT and "creator 1" in again.json["detail"]
    with database.write() as session:
        (run,) = following.take_due(session)
        assert following.take_due(session) == []
    with database.read() as session:
        (item,) = queries.items_by_id(session, [run.item_id or 0])
        (wish,) = [item.wish]
    assert (item.kind, item.lane, item.status, wish) == ("creator", "scrape", "QUEUED", {"count": 7, "tag": None})
    story = ask("GET", "/1").json
    assert story["state"] == "running" and len(story["next_runs"]) == 5 and story["last"]["state"] == "running"


def test_what_is_asked_of_a_creator_shows_in_its_row_and_its_etag(ask: Any) -> None:
    ask("POST", "", {"url": URL, "cron": "0 */6 * * *", "zone": "Europe/Berlin"})
    tag = ask("GET", "/1").headers["ETag"]
    assert ask("GET", "/1", If_None_Match=tag).status_code == HTTPStatus.NOT_MODIFIED
    paused = ask("POST", "/1/pause", {"reason": "holidays"})
    assert (paused.json["state"], paused.json["pause_reason"]) == ("paused", "holidays")
    assert ask("GET", "/1", If_None_Match=tag).status_code == HTTPStatus.OK
    assert ask("POST", "/1/run").status_code == HTTPStatus.CONFLICT
    assert ask("POST", "/1/resume").json["state"] == "waiting"
    assert ask("POST", "/1/run").json["state"] == "waiting"
    assert ask("POST", "/1/remove").json["state"] == "removed"
    assert ask("GET").json == {"creators": []} and len(ask("GET", "?removed=true").json["creators"]) == 1
    assert ask("POST", "", {"url": URL, "every": "1d"}).json["creator"] == 1  # followed once more
    assert ask("GET", "/2").status_code == HTTPStatus.NOT_FOUND


def test_one_that_was_removed_while_it_was_paused_is_followed_anew_not_resumed(ask: Any) -> None:
    ask("POST", "", {"url": URL, "every": "6h"})
    assert ask("POST", "/1/pause").json["state"] == "paused"
    assert ask("POST", "/1/remove").json["state"] == "removed"
    assert ask("POST", "/1/resume").status_code == HTTPStatus.CONFLICT
    assert ask("POST", "", {"url": URL, "every": "6h"}).json["state"] == "waiting"


def test_reports_and_numbers_come_in_pages(ask: Any, database: Database) -> None:
    ask("POST", "", {"url": URL, "every": "6h"})
    for _ in range(3):
        with database.write() as session:
            following.run_now(session, 1)
            (run,) = following.take_due(session)
            following.end(session, run, seen=2, new=1, known=1)
            session.add(Measurement(creator_id=1, item_id=run.item_id or 0, at=now_ms(), views=5))
    first = ask("GET", "/1/runs?limit=2").json
    rest = ask("GET", f"/1/runs?limit=2&cursor={first['next']}").json
    assert [one["run"] for one in first["runs"] + rest["runs"]] == [3, 2, 1] and rest["next"] is None
    assert {(one["seen"], one["new"], one["known"]) for one in first["runs"]} == {(2, 1, 1)}
    page = ask("GET", "/1/metrics?limit=2").json
    more = ask("GET", f"/1/metrics?limit=2&cursor={page['next']}").json
    assert [one["views"] for one in page["measurements"] + more["measurements"]] == [5, 5, 5]
    assert ask("GET", f"/1/runs?cursor={page['next']}").status_code == HTTPStatus.NOT_FOUND
    assert json.loads(ask("GET", "/1").text)["runs"] == 3


def test_a_creator_that_fails_again_and_again_is_paused_with_the_reason(database: Database) -> None:
    creators.follow(database, Words(URL, every="6h"))
    for number in range(following.MOST_FAILURES):
        with database.write() as session:
            assert following.run_now(session, 1), number
            (run,) = following.take_due(session)
            assert following.fail(session, run, "the page is empty", permanent=None)
            assert not following.end(session, run)  # once is enough
    with database.read() as session:
        row = creators.creator_row(creators.get(session, 1))
    assert row["state"] == "paused" and "the page is empty" in row["pause_reason"]
    assert creators.act(database, 1, "resume")["failures"] == 0


def test_what_lasts_is_looked_at_again_seldom(database: Database) -> None:
    creators.follow(database, Words(URL, every="1h", by_list=True))
    with database.write() as session:
        (run,) = following.take_due(session)
        following.fail(session, run, "it is private", permanent="private")
    with database.read() as session:
        one = creators.get(session, 1)
    assert one.trouble == "private" and (one.next_run_at or 0) > now_ms() + 23 * 3600 * 1000


def test_a_platform_that_did_not_answer_is_asked_again_soon(database: Database) -> None:
    creators.follow(database, Words(URL, every="1d", by_list=True))
    with database.write() as session:
        (run,) = following.take_due(session)
        following.fail(session, run, "HTTP Error 503", permanent=None, again=300)
    with database.read() as session:
        assert (creators.get(session, 1).next_run_at or 0) < now_ms() + 301_000


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({}, "every"),
        ({"every": "6h", "cron": "* * * * *"}, "cron"),
        ({"every": "1s"}, "too often"),
        ({"every": "soon"}, "duration"),
        ({"cron": "61 * * * *"}, "cron"),
        ({"every": "6h", "zone": "Mars/Base"}, "Mars/Base"),
        ({"every": "6h", "limit": 0}, "posts"),
        ({"every": "6h", "refresh": "7d"}, "--public"),
        ({"every": "6h", "not_before": "1h"}, "--list"),
        ({"every": "6h", "url": "https://www.youtube.com/playlist?list=PL" + "a" * 32}, "--list"),
        ({"every": "6h", "url": "https://www.instagram.com/name/", "by_list": True}, "yt-dlp"),
        ({"every": "6h", "url": "https://www.tiktok.com/@a/video/7300000000000000001"}, "post"),
        ({"every": "6h", "url": "https://example.com/"}, "example.com"),
    ],
)
def test_words_that_cannot_be_meant_get_a_sentence(tmp_path: Path, words: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        creators.follow(None, Words(**({"url": URL} | words)))  # type: ignore[arg-type]


def test_nobody_is_not_there(database: Database) -> None:
    with pytest.raises(NotThere):
        creators.act(database, 7, "run")
