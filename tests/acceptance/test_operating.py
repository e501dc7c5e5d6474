"""What an operator does: try again, cancel, pause, resume, look at limits and callbacks."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ingest import queries, store
from ingest.cli.app import app
from ingest.models import Callback
from ingest.statuses import News
from ingest.tokens import verify
from tests.service import INGEST, Service, eventually, sandbox

pytestmark = pytest.mark.acceptance


class Here(Service):
    """Commands run in this process, on a real state folder: a start of Python costs more than all that they do."""

    def run(self, *arguments: str, stdin: str = "", timeout: float = 200) -> subprocess.CompletedProcess[str]:
        foreign: dict[str, str | None] = {
            name: None for name in os.environ if name.startswith(("INGEST_", "MEMORIES_"))
        }
        done = CliRunner().invoke(app, arguments, input=stdin, env=foreign | self.environment, prog_name="ingest")
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)


@pytest.fixture
def idle(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A state folder without a running service, and nobody upstream."""
    monkeypatch.chdir(home.parent)
    yield Here(home, "http://127.0.0.1:9")


def _said(done: subprocess.CompletedProcess[str]) -> str:
    return "\n".join(line for line in done.stderr.splitlines() if not line.startswith("state:"))


def _wrong(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit 2, one sentence with these words, and nothing on stdout."""
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert len(_said(done).splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr


def _rows(done: subprocess.CompletedProcess[str], code: int = 0) -> list[dict[str, Any]]:
    assert done.returncode == code, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _end(service: Service, item: int, news: News, code: str, video_no: str | None = None) -> None:
    """As a worker ends it."""
    with service.database().write() as session:
        start = {News.EXPIRED: News.IDENTIFIED, News.BROKEN: News.ACCEPTED}.get(news)
        if start:
            store.tell(session, item, start, values={"video_no": video_no})
        assert store.tell(session, item, news, values={"error_code": code, "error": f"it ended: {code}"})


def _links(service: Service, *numbers: int) -> None:
    service.add(*[f"https://media.example/{number}.mp4" for number in numbers])


def test_retry_says_for_each_item_what_is_done_and_why(idle: Service) -> None:
    _links(idle, 1, 2, 3, 4)
    _end(idle, 1, News.UNFIT, "empty")
    _end(idle, 2, News.EXPIRED, "not_ready", "VI2")
    _end(idle, 3, News.BROKEN, "not_indexed", "VI3")
    before = idle.items()
    dry = idle.run("retry", "--job", "1", "--dry-run")
    assert dry.returncode == 0 and "nothing was changed" in _said(dry)
    assert "item 1 would be queued again" in dry.stdout and "FAIL preflight empty: it ended: empty" in dry.stdout
    assert idle.items() == before
    rows = _rows(idle.run("retry", "--job", "1", "--json"))
    assert [(row["id"], row["was"], row["stage"], row["error_code"], row["action"]) for row in rows] == [
        (1, "FAIL", "preflight", "empty", "queued"),
        (2, "FAIL", "expired", "not_ready", "asked"),
        (3, "FAIL", "upstream", "not_indexed", "queued"),
    ]
    assert set(rows[0]) == {"id", "source", "was", "stage", "error_code", "error", "action", "why"}
    items = idle.items()
    assert [item["status"] for item in items] == ["QUEUED", "UNPARSE", "QUEUED", "QUEUED"]
    assert [item["error"] for item in items] == [None] * 4
    assert items[2]["duplicate_upstream"] == ["VI3"]


def test_retry_of_what_cannot_be_tried_again_changes_nothing_and_says_why(idle: Service) -> None:
    _links(idle, 1, 2)
    _links(idle, 1)
    _end(idle, 2, News.UNFIT, "empty")
    _wrong(idle.run("retry"), "--job", "--status", "--error-code")
    _wrong(idle.run("retry", "2", "99"), "no item 99")
    _wrong(idle.run("retry", "--job", "9"), "no job 9")
    _wrong(idle.run("retry", "--status", "PARSE"), "PARSE", "CANCELLED")
    _wrong(idle.run("retry", "--stage", "later"), "'later' is no stage", "preflight")
    assert idle.items()[1]["status"] == "FAIL"
    done = idle.run("retry", "1", "2", "3")
    assert done.returncode == 1
    assert "item 1 passed over: it is under way (QUEUED)" in done.stdout
    assert "item 2 queued again" in done.stdout
    assert "item 3 passed over: it is a copy of item 1" in done.stdout
    assert "1 queued again, 2 passed over" in done.stderr
    nothing = idle.run("retry", "--error-code", "empty")
    assert (nothing.returncode, nothing.stdout) == (1, "")
    named = _rows(idle.run("retry", "2", "--error-code", "0001", "--json"), 1)
    assert named[0]["action"] == "passed_over" and "filter" in named[0]["why"]


def test_a_reader_that_goes_away_leaves_nothing_untried(idle: Service) -> None:
    _links(idle, *range(1500))
    idle.let_go()
    assert idle.run("cancel", "1").returncode == 0
    retry = " ".join(f"'{word}'" for word in [*INGEST, "retry", "--status", "CANCELLED"])
    done = subprocess.run(["bash", "-c", f"{retry} | head -1"], env=idle.environment, capture_output=True, text=True)
    assert "item 1 queued again" in done.stdout
    assert "Traceback" not in done.stderr
    assert idle.status(1)["counts"]["QUEUED"] == 1500


def test_single_items_are_cancelled_and_what_is_on_its_way_is_named(idle: Service) -> None:
    _links(idle, 1, 2, 3)
    _end(idle, 2, News.UNFIT, "empty")
    with idle.database().write() as session:
        store.tell(session, 3, News.ACCEPTED, values={"video_no": "VI3"})
    assert _rows(idle.run("cancel", "--item", "1", "--json"))[0] == {
        "id": 1,
        "status": "CANCELLED",
        "cancelled": True,
        "why": None,
    }
    done = idle.run("cancel", "--item", "2", "--item", "3")
    assert (done.returncode, done.stdout) == (1, "")
    assert "item 2 was not cancelled: it has ended already (FAIL)" in done.stderr
    assert "item 3 was not cancelled: Memories.ai has it already" in done.stderr
    _wrong(idle.run("cancel"), "--item")
    _wrong(idle.run("cancel", "1", "--item", "1"), "--item")
    _wrong(idle.run("cancel", "--item", "99"), "no item 99")


def test_what_a_person_paused_is_shown_and_resumed(idle: Service) -> None:
    _links(idle, 1)
    done = idle.run("pause", "upload", "--reason", "night\x1b[31m  shift", "--for", "2h")
    assert done.returncode == 0 and "until" in done.stdout and "\x1b" not in done.stdout
    paused = {"scope": "lane:upload", "reason": r"paused by an operator: night\x1b[31m shift"}
    assert idle.status(1)["paused"] is None  # asked without the account's settings
    assert _rows(idle.run("status", "--json"))[0]["paused"] == paused
    assert "paused (lane upload): by an operator: night" in idle.run("status").stdout
    assert _rows(idle.run("pause", "upload", "--json"))[0]["was_paused"] is True
    row = next(row for row in _rows(idle.run("limits", "--json")) if row["lane"] == "upload")
    assert (row["paused"]["scope"], row["paused"]["by"], row["paused"]["until"]) == ("lane:upload", "operator", None)
    assert (row["items"], row["limit"], row["margin"], row["end"]) == (1, "1/s", None, None)
    assert idle.run("pause", "account").returncode == 0
    shut = idle.run("resume", "upload")
    assert (shut.returncode, shut.stdout) == (1, "") and "ingest resume account" in shut.stderr
    assert idle.run("resume", "account").returncode == 0
    assert _rows(idle.run("resume", "upload", "--json"))[0] == {"scope": "lane:upload", "resumed": True, "paused": None}
    again = idle.run("resume", "upload")
    assert again.returncode == 1 and "Nothing was paused" in again.stderr


def test_what_cannot_be_paused_is_said(idle: Service) -> None:
    _wrong(idle.run("pause", "uploads"), "'uploads'", "account", "upload, scrape")
    _wrong(idle.run("pause", "account:caption"), "account:caption")
    _wrong(idle.run("resume", "job:7"), "no job 7")
    _wrong(idle.run("pause", "upload", "--for", "a while"), "'a while'", "2h")
    _wrong(idle.run("pause", "upload", "--for", "9999999999d"), "--for")


def test_a_lane_that_the_vendor_closed_is_not_opened_by_hand(idle: Service) -> None:
    idle.run("migrate")
    with idle.database().write() as session:
        store.pause(session, "lane:upload", by="vendor", reason="too fast (0429)", code="0429", seconds=300)
    done = idle.run("resume", "upload")
    assert done.returncode == 1
    assert "until" in done.stderr and "too fast (0429)" in done.stderr
    with idle.database().read() as session:
        assert [one.by for one in queries.pauses(session)] == ["vendor"]


def test_limits_without_a_broker_know_what_waits(idle: Service) -> None:
    _links(idle, 1, 2, 3)
    done = idle.run("limits")
    assert done.returncode == 0 and "unknown" in done.stderr
    lines = {line.split()[0]: line.split() for line in done.stdout.splitlines()}
    assert set(lines) == {"lane", "upload", "scrape", "list", "task_status", "detail"}
    assert lines["upload"][1:7] == ["1/s", "-", "-", "-", "3", "3"]
    assert len(_rows(idle.run("limits", "--json"))) == 18


def test_callbacks_are_listed_and_replayed(idle: Service) -> None:
    idle.run("migrate")
    with idle.database().write() as session:
        for number, state in enumerate(["applied", "unmatched", "malformed"]):
            body = b"\xff not json" if state == "malformed" else b'{"videoNo": "VI1"}'
            note = f"note {number}"
            session.add(Callback(kind="upload", body=body, received_at=5, due_at=5, tries=12, state=state, note=note))
    rows = _rows(idle.run("callbacks", "list", "--json"))
    assert [(row["id"], row["state"]) for row in rows] == [(3, "malformed"), (2, "unmatched"), (1, "applied")]
    assert rows[0]["body"] == "\ufffd not json"
    assert "note 1" in idle.run("callbacks", "list", "--state", "unmatched").stdout
    _wrong(idle.run("callbacks", "replay", "1", "99"), "no callback 99")
    _wrong(idle.run("callbacks", "replay"), "--state")
    _wrong(idle.run("callbacks", "list", "--state", "lost"), "'lost'", "parked")
    assert [row["state"] for row in _rows(idle.run("callbacks", "list", "--json"))][2] == "applied"
    assert idle.run("callbacks", "replay", "--state", "unmatched", "--json").stdout == '{"replayed": 1}\n'
    assert [row["state"] for row in _rows(idle.run("callbacks", "list", "--json"))] == ["malformed", "new", "applied"]


def test_the_address_to_register_is_printed_and_the_secret_is_not(idle: Service) -> None:
    _wrong(idle.run("callbacks", "url"), "INGEST_PUBLIC_URL")
    idle.environment |= {"INGEST_PUBLIC_URL": "https://me.example.com/", "INGEST_SECRET": "hush-hush"}
    done = idle.run("callbacks", "url")
    start, _, token = done.stdout.strip().rpartition("/")
    assert start == "https://me.example.com/webhooks/account"
    assert verify("hush-hush", "account", token) == "account"
    assert "hush-hush" not in done.stdout + done.stderr
    idle.environment["INGEST_PUBLIC_URL"] = "https://me.example.com/" + "x" * 280
    done = idle.run("callbacks", "url")
    assert done.returncode == 0 and "299" in done.stderr


def test_items_show_the_newest_and_filter(idle: Service) -> None:
    _links(idle, *range(60))
    _end(idle, 3, News.UNFIT, "empty")
    done = idle.run("items")
    shown = [int(line.split()[0]) for line in done.stdout.splitlines()[1:]]
    assert shown == list(range(11, 61))
    assert "10 older ones are not shown" in done.stderr
    assert [item["id"] for item in idle.items("--error-code", "empty", "--stage", "preflight")] == [3]
    assert idle.items("--kind", "file", "--kind", "post") == []
    assert idle.items("--platform", "tiktok") == idle.items("--lane", "scrape") == idle.items("--namespace", "x") == []
    assert idle.items("--lane", "upload", "--namespace", "default") == idle.items()
    assert len(idle.items()) == 60
    _wrong(idle.run("items", "--kind", "film"), "'film' is no kind", "creator")
    _wrong(idle.run("items", "--platform", "vimeo"), "'vimeo' is no platform; the platforms are tiktok, youtube")
    _wrong(idle.run("items", "--lane", "fast"), "'fast' is no lane; the lanes are upload")
    assert _rows(idle.run("status", "--json"))[-1]["all"] is True


def test_an_operator_at_work_beside_a_running_service(home: Path) -> None:
    limits = "upload=20/s,list=20/s,detail=20/s"
    with sandbox("--limits", limits, "--parse", "0.3-0.6") as vendor:
        service = Service(home, vendor.url, INGEST_LIMITS=limits, INGEST_TIMINGS="poll=1s")
        service.environment["INGEST_PUBLIC_URL"] = f"http://127.0.0.1:{service.port}"
        with service.up():
            assert service.run("pause", "upload", "--reason", "night").returncode == 0
            service.add(*[f"https://media.example/{name}.mp4" for name in ("good", "bad", "other")])
            assert service.run("cancel", "--item", "3").returncode == 0
            rows = {row["lane"]: row for row in _rows(service.run("limits", "--json"))}
            assert rows["upload"]["next_slot"] is not None and rows["upload"]["items"] == 2
            assert rows["upload"]["paused"]["reason"] == "paused by an operator: night"
            assert vendor.report()["videos"] == []
            assert service.run("resume", "upload").returncode == 0
            counts = service.wait(1, 60)["counts"]
            assert (counts["PARSE"], counts["FAIL"], counts["CANCELLED"]) == (1, 1, 1)
            done = service.run("retry", "2")
            assert done.returncode == 0 and "FAIL upstream not_indexed" in done.stdout
            service.wait(1, 60)
            assert service.run("callbacks", "replay", "--state", "applied").returncode == 0
            eventually(lambda: _states(service) == {"applied"}, 30, "the callbacks to be applied once more")
            with service.database().read() as session:
                items = list(queries.items(session))
            assert [item.status for item in items] == ["PARSE", "FAIL", "CANCELLED"]
            # the second upload is the item's, the first one stays known as its double
            videos = [video["video_no"] for video in vendor.report()["videos"] if "bad" in video["url"]]
            assert sorted([items[1].video_no or "", *(items[1].duplicate_upstream or [])]) == sorted(videos)
            assert len(videos) == 2 and vendor.report()["violations"] == []


def _states(service: Service) -> set[str]:
    with service.database().read() as session:
        return {one.state for one in queries.callbacks(session, limit=1000)}
