"""Real processes for tests: the sandbox, the service, the command line. Everything on loopback, everything ended at the end."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import redis
from sqlalchemy import select

from ingest import queries
from ingest.broker import server_command, socket_path
from ingest.database import Database, open_database
from ingest.models import Worker
from ingest.processes import die_with_parent, free_port

KEY = "sk-test"
INGEST = [sys.executable, "-P", "-c", "from ingest.cli import main; main()"]


def eventually(condition: Callable[[], Any], seconds: float = 30.0, what: str = "") -> Any:
    """The first true value of ``condition``; an assertion when it does not come in time."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or condition}"
        time.sleep(0.1)


class Sandbox:
    def __init__(self, url: str, process: subprocess.Popen[str]) -> None:
        self.url = url
        self.process = process

    def report(self) -> dict[str, Any]:
        return httpx.get(f"{self.url}/_sandbox/report", timeout=20).json()


@contextmanager
def sandbox(*options: str) -> Iterator[Sandbox]:
    command = [sys.executable, "-P", "-m", "sandbox", "--port", "0", "--key", KEY, *options]
    with (
        tempfile.TemporaryFile() as words,
        ended(
            subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=words,
                text=True,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        ) as process,
    ):
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "http://" in line, "the sandbox did not start"
        yield Sandbox("http://" + line.split("http://")[1].strip(), process)


@contextmanager
def ended(process: subprocess.Popen[str], seconds: float = 10.0) -> Iterator[subprocess.Popen[str]]:
    """The process, ended at the end: asked first, killed then."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def running_valkey(*options: str) -> Iterator[str]:
    """The address of a Valkey with a home of its own."""
    home = Path(tempfile.mkdtemp(prefix="vk-"))
    process = subprocess.Popen(
        [*server_command(home), *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    url = f"unix://{socket_path(home)}"

    def answers() -> bool:
        try:
            return bool(redis.Redis.from_url(url).ping())
        except redis.RedisError:
            return False

    try:
        eventually(answers, 15, "Valkey to answer")
        yield url
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(home, ignore_errors=True)


class Service:
    """One state folder: its command line, and its ``up`` when it runs."""

    def __init__(self, home: Path, upstream: str, **variables: str) -> None:
        self.home = home
        self.port, self.console_port = free_port(), free_port()
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("INGEST_", "MEMORIES_"))}
        self.environment = clean | {
            "INGEST_HOME": str(home),
            "MEMORIES_API_KEY": KEY,
            "MEMORIES_API_URL": upstream,
            "INGEST_PORT": str(self.port),
            "INGEST_CONSOLE_PORT": str(self.console_port),
            "COLUMNS": "200",
            **variables,
        }
        self.process: subprocess.Popen[str] | None = None
        self._opened: Database | None = None
        self.words = home.parent / f"{home.name}.up.log"

    def run(self, *arguments: str, stdin: str = "", timeout: float = 200) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*INGEST, *arguments],
            env=self.environment,
            cwd=self.home.parent,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def add(self, *arguments: str, **options: Any) -> dict[str, Any]:
        done = self.run("add", *arguments, "--json", **options)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def token(self, name: str, *options: str) -> str:
        """A new token of the console."""
        done = self.run("tokens", "add", name, *options)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def status(self, job: int) -> dict[str, Any]:
        """As ``ingest status JOB --json`` prints it, without the second that a start of Python costs."""
        with self.database().read() as session:
            found = queries.job_status(session, job)
        assert found is not None
        return found

    def database(self) -> Database:
        if self._opened is None:
            self._opened = open_database(
                self.environment.get("INGEST_DATABASE_URL") or f"sqlite:///{self.home}/ingest.db"
            )
        return self._opened

    def let_go(self) -> None:
        """Close our own connections: whoever opens and closes a SQLite file beside them takes away their locks."""
        if self._opened is not None:
            self._opened.dispose()
            self._opened = None

    def items(self, *arguments: str) -> list[dict[str, Any]]:
        done = self.run("items", "--json", *arguments)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def wait(self, job: int, seconds: float) -> dict[str, Any]:
        eventually(lambda: self.status(job)["state"] == "done", seconds, f"job {job} to be done")
        return self.status(job)

    def heartbeats(self) -> list[str]:
        """Names of the worker processes that live."""
        with self.database().read() as session:
            return [one.name for one in session.execute(select(Worker)).scalars()]

    @contextmanager
    def up(self) -> Iterator["Service"]:
        with (
            self.words.open("w") as words,
            ended(
                subprocess.Popen(
                    [*INGEST, "up"],
                    env=self.environment,
                    cwd=self.home.parent,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=words,
                    text=True,
                    start_new_session=True,
                )
            ) as self.process,
        ):
            eventually(self._is_up, 150, "up to be ready")
            yield self

    def _is_up(self) -> bool:
        assert self.process is not None
        said = self.words.read_text()
        assert self.process.poll() is None, said
        return "ready:" in said

    def parts(self) -> list[psutil.Process]:
        """All processes below ``up``."""
        assert self.process is not None
        return psutil.Process(self.process.pid).children(recursive=True)

    def part(self, name: str) -> psutil.Process:
        """The child whose command line contains ``name``."""

        def named() -> psutil.Process | None:
            for process in self.parts():
                try:
                    line = " ".join(process.cmdline())
                except psutil.NoSuchProcess:
                    continue
                if name in line:
                    return process
            return None

        return eventually(named, 20, f"a process named {name}")


def unknown_videos(items: list[dict[str, Any]], report: dict[str, Any]) -> list[str]:
    """Videos upstream that no item of ours has, neither as its own nor as a second one."""
    known = {item["video_no"] for item in items} | {no for item in items for no in item["duplicate_upstream"] or ()}
    return [video["video_no"] for video in report["videos"] if video["video_no"] not in known]


def differs(items: list[dict[str, Any]], report: dict[str, Any]) -> list[str]:
    """Sentences about items whose final status is not the sandbox's truth; empty when all agree."""
    by_number = {video["video_no"]: video for video in report["videos"]}
    wrong = []
    for item in items:
        video = by_number.get(item["video_no"])
        said = {"PARSE": "PARSE", "FAILED": "FAIL", "UNPARSE": "UNPARSE"}[video["status"]] if video else None
        if video and video.get("stuck"):
            said = "FAIL"  # it stays UNPARSE for good, which ends at our own deadline
        agrees = said == item["status"] if video else item["status"] in ("FAIL", "SKIPPED", "CANCELLED")
        if not agrees:
            wrong.append(
                f"item {item['id']} {item['source']} is {item['status']}, the truth is {said}: {item['error']}"
            )
    return wrong
