"""Bad input gets one clear sentence and the right exit code; what is wrong with the account is not the items' fault."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.clock import now_ms
from ingest.models import Worker
from ingest.processes import free_port
from ingest.samples import make_video
from tests.service import INGEST, Service, eventually, sandbox

pytestmark = pytest.mark.acceptance


@pytest.fixture
def idle(home: Path) -> Iterator[Service]:
    """A state folder without a running service, and nobody upstream."""
    yield Service(home, "http://127.0.0.1:9")


def _sentence(done, *words: str) -> None:  # type: ignore[no-untyped-def]
    """Exit 2, nothing on stdout, one sentence that has these words, no traceback."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if not line.startswith("state:")]
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0]


def test_wrong_sources_change_nothing_and_are_named(idle: Service) -> None:
    empty = idle.home.parent / "empty"
    empty.mkdir()
    _sentence(idle.run("add", "no/such/folder"), "no/such/folder", "does not exist")
    _sentence(idle.run("add", str(empty)), "empty", "no files")
    _sentence(idle.run("add", "ftp://host/a.mp4"), "ftp://")
    assert idle.items() == []
    assert [json.loads(line)["all"] for line in idle.run("status", "--json").stdout.splitlines()] == [True]


def test_every_wrong_source_of_one_call_is_named(idle: Service) -> None:
    done = idle.run("add", "nowhere.mp4", "gopher://x/y", "https://www.tiktok.com/@someone")
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if not line.startswith("state:")]
    assert len(lines) == 3, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("INGEST_LIMITS", "uplaod=1/s", "'uplaod' is no lane"),
        ("INGEST_LIMITS", "upload=often", "upload=often"),
        ("INGEST_TIMINGS", "patience=3s", "'patience' is no timing"),
        ("INGEST_PORT", "eight", "INGEST_PORT"),
        ("INGEST_HOME", "/proc/nowhere", "INGEST_HOME"),
        ("INGEST_REDIS_URL", "http://127.0.0.1:9", "INGEST_REDIS_URL"),
        ("INGEST_REDIS_URL", "redis://127.0.0.1:9", "does not answer"),
        ("INGEST_HOST", "192.0.2.1", "INGEST_PORT"),
        ("INGEST_CONSOLE_PORT", "same", "cannot share"),
        ("MEMORIES_API_URL", "api.memories.ai", "must start with http"),
        ("INGEST_DATABASE_URL", "postgresql://127.0.0.1:9/x", "INGEST_SECRET"),
    ],
)
def test_a_wrong_variable_is_named_with_what_would_be_right(
    idle: Service, variable: str, value: str, words: str
) -> None:
    idle.environment[variable] = str(idle.port) if value == "same" else value
    _sentence(idle.run("up"), words)


def test_without_a_key_sending_commands_point_to_the_demo(idle: Service) -> None:
    idle.environment["MEMORIES_API_KEY"] = ""
    for command in (["up"], ["worker"], ["add", "x.mp4"]):
        _sentence(idle.run(*command), "MEMORIES_API_KEY", "ingest demo")
    for command in (["status"], ["items"], ["migrate"]):
        assert idle.run(*command).returncode == 0


def test_a_state_that_cannot_be_used_is_one_sentence(idle: Service) -> None:
    blocked = idle.home.parent / "file"
    blocked.write_text("not a folder")
    for home in (blocked, blocked / "below"):
        idle.environment["INGEST_HOME"] = str(home)
        _sentence(idle.run("status"), str(blocked), "INGEST_HOME")
    broken = idle.home.parent / "broken"
    broken.mkdir()
    (broken / "ingest.db").write_text("this is not a database, and it is long enough to be read as one " * 40)
    idle.environment["INGEST_HOME"] = str(broken)
    _sentence(idle.run("status"), "not a database")
    (idle.home.parent / ".env").write_bytes(b"MEMORIES_API_KEY=\xff")
    _sentence(idle.run("status"), ".env", "UTF-8")


def test_a_worker_of_another_host_on_the_same_sqlite_is_refused(idle: Service) -> None:
    assert idle.run("migrate").returncode == 0
    with idle.database().write() as session:
        now = now_ms()
        session.add(Worker(name="elsewhere:1", host="elsewhere", pid=1, started_at=now, seen_at=now))
    _sentence(idle.run("worker"), "elsewhere", "INGEST_DATABASE_URL")


def test_a_number_no_database_can_hold_is_a_usage_error(idle: Service) -> None:
    for command in (["show", "9" * 20], ["status", "9" * 20], ["items", "--job", "9" * 20]):
        done = idle.run(*command)
        assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr


def test_a_full_disk_under_stdout_is_one_sentence(idle: Service) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*INGEST, "status"], env=idle.environment, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


def test_cancel_stops_what_is_not_sent_and_frees_its_copies(idle: Service, clips: Path) -> None:
    idle.add(str(clips / "clip 01.mp4"), "https://media.example/1.mp4")
    idle.add("https://media.example/1.mp4")
    done = idle.run("cancel", "1", "--json")
    assert done.stdout == '{"job": 1, "cancelled": 2, "going_on": 0}\n'
    assert idle.status(1)["state"] == "cancelled"
    # the copy of another job is sent after all
    assert [item["status"] for item in idle.items()] == ["CANCELLED", "CANCELLED", "QUEUED"]


def test_unknown_jobs_items_and_statuses_are_said_to_be_unknown(idle: Service) -> None:
    _sentence(idle.run("status", "77"), "no job 77")
    _sentence(idle.run("show", "77"), "no item 77")
    _sentence(idle.run("items", "--status", "DONE"), "'DONE' is no status", "PARSE")


def test_add_without_a_service_writes_and_says_how_to_start_it(idle: Service, clips: Path) -> None:
    done = idle.run("add", str(clips / "clip 01.mp4"), "--json")
    assert done.returncode == 0
    assert done.stdout == '{"job": 1, "items": 1, "queued": 1, "skipped": 0}\n'
    said = [line for line in done.stderr.splitlines() if not line.startswith("state:")]
    assert len(said) == 1 and "ingest up" in said[0], done.stderr
    _sentence(idle.run("add", str(clips / "clip 02.mp4"), "--wait"), "ingest up")
    assert len(idle.items()) == 1


def test_what_is_wrong_with_one_file_ends_that_item_only(home: Path) -> None:
    folder = home.parent / "mixed"
    folder.mkdir()
    make_video(folder / "good.mp4", seed=1)
    (folder / "text.mp4").write_text("this is not a video")
    (folder / "empty.mp4").touch()
    (folder / "readme.md").write_text("not a video by its name")
    (folder / "twin.mp4").write_bytes((folder / "good.mp4").read_bytes())
    limits = "upload=20/s,scrape=1/2s"
    with sandbox("--limits", limits) as vendor:
        service = Service(home, vendor.url, INGEST_LIMITS=limits, INGEST_TIMINGS="poll=1s")
        with service.up():
            done = service.run("add", str(folder), "--wait", "--json")
            assert done.returncode == 1, done.stderr
            assert done.stdout.splitlines()[-1].startswith('{"job": 1, "state": "done"')
            by_name = {Path(item["source"]).name: item for item in service.items()}
            assert by_name["good.mp4"]["status"] == "PARSE"
            assert (by_name["text.mp4"]["stage"], by_name["text.mp4"]["error_code"]) == ("preflight", "not_a_video")
            assert by_name["empty.mp4"]["error_code"] == "empty"
            assert by_name["readme.md"]["status"] == "SKIPPED"
            assert by_name["twin.mp4"]["status"] == "SKIPPED"
            assert f"item {by_name['good.mp4']['id']}" in by_name["twin.mp4"]["error"]
            # the same again: everything is known already
            again = service.add(str(folder / "good.mp4"))
            assert again == {"job": 2, "items": 1, "queued": 0, "skipped": 1}
            assert len(vendor.report()["videos"]) == 1


def test_a_wrong_key_pauses_the_account_and_says_so(home: Path, clips: Path) -> None:
    with sandbox() as vendor:
        service = Service(home, vendor.url, MEMORIES_API_KEY="sk-wrong-key-1234567890", INGEST_TIMINGS="poll=1s")
        with service.up():
            done = service.run("add", str(clips / "clip 01.mp4"), str(clips / "clip 02.mp4"), "--wait")
            assert done.returncode == 2
            assert "does not accept the key (0401)" in done.stderr
            # the call that was under way beside the refused one comes back as well
            eventually(lambda: service.status(1)["counts"]["QUEUED"] == 2, 60)
            assert '"scope": "account"' in service.run("status", "1", "--json").stdout
            assert {item["attempts"] for item in service.items()} == {0}
        service.let_go()
        # promise 6: the key is in no row and no log
        for path in home.rglob("*"):
            if path.is_file():
                assert b"sk-wrong-key-1234567890" not in path.read_bytes(), path
        # a pause for a refused key ends when a different key is configured
        service.environment["MEMORIES_API_KEY"] = "sk-test"
        with service.up():
            assert service.wait(1, 200)["counts"]["PARSE"] == 2


def test_an_unreachable_upstream_is_said_once_and_waited_out(home: Path, clips: Path) -> None:
    service = Service(home, f"http://127.0.0.1:{free_port()}")
    with service.up():
        waiting = subprocess.Popen(
            [*INGEST, "add", str(clips / "clip 01.mp4"), "--wait"],
            env=service.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            eventually(lambda: service.run("status", "1", "--json").stdout.count("cannot be reached"), 120)
            assert waiting.poll() is None
            assert service.status(1)["counts"]["QUEUED"] == 1
        finally:
            waiting.terminate()
            said = waiting.communicate(timeout=60)[1]
        assert said.count("cannot be reached") == 1
        assert {item["attempts"] for item in service.items()} == {0}


def test_a_port_in_use_is_named_with_its_variable(home: Path) -> None:
    with sandbox() as vendor:
        service = Service(home, vendor.url)
        service.environment["INGEST_PORT"] = vendor.url.rpartition(":")[2]
        _sentence(service.run("up"), "in use", "INGEST_PORT")
