"""``ingest doctor`` finds what a first start trips over, says what to do, and changes nothing."""

import json
import os
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis

from ingest.clock import now_ms
from ingest.database import Database, migrate
from ingest.doctor.checks import CHECKS
from ingest.doctor.visit import Result, State, Visit, examine
from ingest.models import Callback, Item, Job, Pause, Worker
from ingest.nudge import SETTLE, make_celery
from ingest.processes import free_port
from ingest.settings import load
from tests.service import Service, running_valkey, sandbox
from tests.vendor import vendor

pytestmark = pytest.mark.acceptance

MINUTE = 60_000


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    with sandbox() as running:
        yield running.url


def look(monkeypatch: pytest.MonkeyPatch, service: Service) -> dict[str, Result]:
    """All checks but those of the libraries, in this process: a start of Python each would take a minute."""
    for name in os.environ:
        if name.startswith(("INGEST_", "MEMORIES_")):
            monkeypatch.delenv(name)
    for name, value in service.environment.items():
        if name.startswith(("INGEST_", "MEMORIES_")):
            monkeypatch.setenv(name, value)
    monkeypatch.chdir(service.home.parent)
    checks = [one for one in CHECKS if one.name not in ("video library", "yt-dlp")]
    return {one.check: one for one in examine(checks, Visit())}


def bad(found: dict[str, Result]) -> list[str]:
    return [name for name, one in found.items() if one.state is State.FAIL]


def everything(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def test_a_first_start_without_a_key_is_told_what_to_do(home: Path) -> None:
    service = Service(home, "http://127.0.0.1:9", MEMORIES_API_KEY="")
    done = service.run("doctor")
    assert done.returncode == 1
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines].count("FAIL") == 1
    assert {line.split()[0] for line in lines} == {"ok", "warn", "FAIL"}
    key = next(line for line in lines if line.startswith("FAIL"))
    assert "MEMORIES_API_KEY" in key and "ingest demo" in key
    assert len(lines) == len(CHECKS)
    # it changed nothing
    assert everything(home.parent) == []


def test_a_broken_env_file_is_a_line_among_others(home: Path, upstream: str) -> None:
    service = Service(home, upstream)
    for name in ("INGEST_PORT", "MEMORIES_API_KEY"):
        del service.environment[name]
    (home.parent / ".env").write_text(
        "INGEST_PORT=eight\nMEMORIES_API_KEY=sk-test\nthis is no line\nINGEST_PUBLIC_ULR=x\n"
    )
    done = service.run("doctor", "--json")
    assert (done.returncode, done.stderr) == (1, "")
    found = {one["check"]: one for one in map(json.loads, done.stdout.splitlines())}
    assert [name for name, one in found.items() if one["state"] == "fail"] == ["configuration"]
    for words in ("INGEST_PORT: ", "line 3 of .env", "did you mean INGEST_PUBLIC_URL?"):
        assert words in found["configuration"]["detail"]
    assert found["ports"]["detail"] == "not checked: INGEST_PORT must be put right first"
    assert found["upstream"]["state"] == "ok"
    assert set(found["key"]) == {"check", "state", "detail"}


def test_a_configuration_that_nobody_can_read_is_a_line_too(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(home, "http://127.0.0.1:9")
    home.parent.joinpath(".env").write_bytes(b"INGEST_PORT=\xff")
    found = look(monkeypatch, service)
    assert bad(found) == ["configuration"]
    assert "UTF-8" in found["configuration"].detail
    assert found["key"].detail.startswith("not checked")


def test_before_the_first_start_a_right_key_is_all_it_takes(
    home: Path, upstream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = look(monkeypatch, Service(home, upstream))
    assert bad(found) == []
    assert "accepts the key" in found["upstream"].detail
    assert "Memories.ai" in found["clock"].detail
    assert "will be made" in found["state folder"].detail
    assert not home.exists()


def test_a_refused_key_fails(home: Path, upstream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = look(monkeypatch, Service(home, upstream, MEMORIES_API_KEY="sk-wrong-1234567890"))
    assert bad(found) == ["upstream"]
    assert "0401" in found["upstream"].detail and "MEMORIES_API_KEY" in found["upstream"].detail
    assert not any("sk-wrong-1234567890" in one.detail for one in found.values())


def test_an_upstream_that_is_not_there_or_is_somebody_else_fails(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = look(monkeypatch, Service(home, f"http://127.0.0.1:{free_port()}"))
    assert bad(found) == ["upstream"]
    assert "cannot be reached" in found["upstream"].detail
    with vendor() as other:
        other.answers["list_videos"] = lambda _: b"<html>Welcome to nginx</html>"
        found = look(monkeypatch, Service(home, other.url))
        assert bad(found) == ["upstream"]
        assert "is MEMORIES_API_URL right?" in found["upstream"].detail
        # spent credit keeps an import from working; too fast does not
        other.answers["list_videos"] = lambda _: {"code": "0402", "msg": "Insufficient balance"}
        assert bad(look(monkeypatch, Service(home, other.url))) == ["upstream"]
        other.answers["list_videos"] = lambda _: {"code": "0429", "msg": "Request has exceeded the limit."}
        found = look(monkeypatch, Service(home, other.url))
        assert (bad(found), found["upstream"].state) == ([], State.WARN)
        assert other.asked("list_videos") == 3


def test_a_running_service_is_well(home: Path, upstream: str) -> None:
    service = Service(home, upstream)
    service.environment["INGEST_PUBLIC_URL"] = f"http://127.0.0.1:{service.port}"
    service.environment["INGEST_HOST"] = "127.0.0.1"
    with service.up():
        done = service.run("doctor")
        print(done.stdout)
        assert done.returncode == 0, done.stdout
        states = {line[5:].split("  ")[0].strip(): line.split()[0] for line in done.stdout.splitlines()}
        assert set(states.values()) == {"ok"}
        assert "reaches the receiver" in done.stdout
        assert f"{service.port} is held by the receiver" in done.stdout


def test_a_port_of_somebody_else_fails(home: Path, upstream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(home, upstream)
    with socket.create_server(("127.0.0.1", service.port)):
        found = look(monkeypatch, service)
    assert bad(found) == ["ports"]
    assert f"{service.port}" in found["ports"].detail and "INGEST_PORT" in found["ports"].detail
    service.environment["INGEST_CONSOLE_PORT"] = service.environment["INGEST_PORT"]
    assert "cannot share" in look(monkeypatch, service)["ports"].detail


@pytest.fixture
def standing(home: Path, upstream: str) -> Iterator[Service]:
    """A state with rows as a service has them, which nobody serves."""
    service = Service(home, upstream)
    home.mkdir(mode=0o700)
    migrate(f"sqlite:///{home}/ingest.db")
    yield service
    service.let_go()


def a_worker(name: str, queues: str, took_ago: int) -> Worker:
    now = now_ms()
    return Worker(
        name=name,
        host="elsewhere",
        pid=7,
        started_at=now - 10 * MINUTE,
        seen_at=now,
        queues=queues,
        took_at=now - took_ago,
    )


def test_a_deaf_worker_and_a_queue_without_one_fail(standing: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    with standing.database().write() as session:
        session.add(a_worker("elsewhere:7", "settle", 5 * MINUTE))
    found = look(monkeypatch, standing)
    assert bad(found) == ["workers"]
    assert "worker elsewhere:7 is deaf" in found["workers"].detail and "for 5 min" in found["workers"].detail
    assert "no worker serves the queue send" in found["workers"].detail
    # no service of ours is known to be at rest, and no broker keeps the limit
    assert found["upstream"].detail.startswith("not checked")


def test_a_lane_that_sends_nothing_and_an_inbox_that_nobody_applies_fail(
    standing: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    past = now_ms() - 5 * MINUTE
    with standing.database().write() as session:
        session.add(a_worker("elsewhere:7", "send,settle", 1000))
        session.add(Job(id=1, command="add", created_at=past))
        session.flush()
        item = {
            "job_id": 1,
            "kind": "link",
            "lane": "upload",
            "status": "QUEUED",
            "created_at": past,
            "updated_at": past,
        }
        session.add(Item(source="https://x.example/1.mp4", due_at=past, **item))
        session.add(Item(source="https://x.example/2.mp4", due_at=now_ms() + MINUTE, **item))
        session.add(Callback(kind="upload", body=b"{}", received_at=past, due_at=past))
    found = look(monkeypatch, standing)
    assert bad(found) == ["backlog", "callbacks"]
    assert "lane upload has 1 item due and sent nothing for 5 min" in found["backlog"].detail
    assert "a callback waits for 5 min" in found["callbacks"].detail
    # a pause explains it, and is told by itself
    with standing.database().write() as session:
        session.add(Pause(scope="account", by="vendor", reason="out of credit", since=past))
    found = look(monkeypatch, standing)
    assert bad(found) == ["pauses", "callbacks"]
    assert "out of credit" in found["pauses"].detail


def test_a_database_of_another_version_is_told_and_left_alone(
    standing: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = standing.home / "ingest.db"
    for revision, state, words in (("9999", State.FAIL, "newer"), ("0001", State.WARN, "ingest migrate")):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
            connection.commit()
        before = path.read_bytes()
        found = look(monkeypatch, standing)
        assert (found["database"].state, words in found["database"].detail) == (state, True)
        assert found["pauses"].detail.startswith("not checked")
        assert path.read_bytes() == before
        if revision == "9999":
            done = standing.run("status")
            assert (done.returncode, "Traceback" in done.stderr, "newer" in done.stderr) == (2, False, True)
    path.write_bytes(b"this is not a database, and it is long enough to be read as one " * 40)
    found = look(monkeypatch, standing)
    assert bad(found) == ["database"]
    assert "not a database" in found["database"].detail


def test_a_folder_that_others_may_read_is_a_warning(standing: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    standing.home.chmod(0o755)
    found = look(monkeypatch, standing)
    assert (bad(found), found["state folder"].state) == ([], State.WARN)
    assert "chmod 700" in found["state folder"].detail
    standing.environment["INGEST_HOME"] = "/proc/nowhere"
    found = look(monkeypatch, standing)
    assert "state folder" in bad(found)
    assert "INGEST_HOME" in found["state folder"].detail


def test_hosts_that_share_a_database_need_a_secret(
    home: Path, upstream: str, postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service(home, upstream, INGEST_DATABASE_URL=postgres_database)
    found = look(monkeypatch, service)
    assert bad(found) == ["secret"]
    assert "INGEST_SECRET" in found["secret"].detail
    assert "empty; the first start makes the schema" in found["database"].detail
    migrate(postgres_database)
    service.environment["INGEST_SECRET"] = "signs everything here"
    found = look(monkeypatch, service)
    assert bad(found) == []
    assert "PostgreSQL" in found["database"].detail and "schema" in found["database"].detail
    assert "PostgreSQL" in found["clock"].detail
    assert found["backlog"].state is found["callbacks"].state is State.OK
    Database(postgres_database).dispose()


def test_a_redis_that_throws_away_is_told(home: Path, upstream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_valkey("--maxmemory-policy", "allkeys-lru") as url:
        service = Service(home, upstream, INGEST_REDIS_URL=url)
        found = look(monkeypatch, service)
        assert (bad(found), found["redis"].state) == ([], State.WARN)
        assert "noeviction" in found["redis"].detail
        assert "accepts the key" in found["upstream"].detail
        assert "Redis" in found["clock"].detail
        redis.Redis.from_url(url).config_set("maxmemory", "100mb")
        assert bad(look(monkeypatch, service)) == ["redis"]
    found = look(monkeypatch, service)
    assert bad(found) == ["redis"]
    assert "INGEST_REDIS_URL" in found["redis"].detail


def test_a_missing_beat_is_told_from_a_deaf_worker(standing: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    with standing.database().write() as session:
        session.add(a_worker("elsewhere:7", "send,settle", 5 * MINUTE))
    with running_valkey() as url:
        standing.environment["INGEST_REDIS_URL"] = url
        found = look(monkeypatch, standing)
        assert bad(found) == ["beat"]
        assert "nothing ticks" in found["beat"].detail and "ingest beat" in found["beat"].detail
        # a tick that lies there and is not taken: it is the worker
        app = make_celery(load())
        app.send_task("workers.sweep", queue=SETTLE, ignore_result=True)
        app.close()
        found = look(monkeypatch, standing)
        assert bad(found) == ["workers"]
        assert "elsewhere:7 is deaf" in found["workers"].detail
        assert found["beat"].detail.startswith("1 tick")
