"""Hosts whose wall clocks are an hour off: slots go by the clock of Redis, waits by a monotonic one."""

import os
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.service import INGEST, Service, differs, ended, eventually, sandbox

pytestmark = pytest.mark.acceptance

LIMITS = "upload=2/s,list=20/s,detail=20/s"
_HOUR = 3600


@pytest.fixture(scope="module")
def skew(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that gives one process another wall clock."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no C compiler: apt-get install gcc libc6-dev")
    library = tmp_path_factory.mktemp("skew") / "skew.so"
    source = Path(__file__).parent.parent / "skew.c"
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return library


class Host:
    """Parts of the service, and its command line, under a clock of their own."""

    def __init__(self, stack: ExitStack, service: Service, skew: Path, seconds: int) -> None:
        self._stack, self._service = stack, service
        self._variables = {"LD_PRELOAD": str(skew), "SKEW": str(seconds)}
        self._log = service.home.parent / f"host{seconds:+d}.log"

    def start(self, *part: str) -> None:
        log = self._stack.enter_context(self._log.open("a"))
        environment = self._service.environment | self._variables
        process = subprocess.Popen(
            [*INGEST, *part], env=environment, stdout=log, stderr=log, text=True, start_new_session=True
        )
        self._stack.enter_context(ended(process))

    def await_worker(self) -> None:
        eventually(lambda: " ready." in self._log.read_text(), 60, "the worker to be ready")

    def add(self, *sources: str) -> None:
        right = self._service.environment
        self._service.environment = right | self._variables
        try:
            self._service.add(*sources)
        finally:
            self._service.environment = right


def _links(who: str, count: int) -> list[str]:
    return [f"https://media.example/{who}-{number:03}.mp4" for number in range(count)]


@pytest.mark.parametrize("links", [6, pytest.param(60, marks=pytest.mark.storm)])
def test_clocks_an_hour_off_break_no_limit(home: Path, skew: Path, links: int) -> None:
    with ExitStack() as stack:
        vendor = stack.enter_context(sandbox("--limits", LIMITS, "--answer", "0.2-0.8", "--parse", "0.5-1"))
        service = Service(home, vendor.url, INGEST_LIMITS=LIMITS, INGEST_TIMINGS="poll=2s,lease=10s,unsure=15s")
        stack.enter_context(service.up())
        hosts = [Host(stack, service, skew, seconds) for seconds in (_HOUR, -_HOUR)]
        for host in hosts:
            host.start("worker", "--queues", "send")
        for host in hosts:
            host.await_worker()
        service.add(*_links("clip", links))
        service.wait(1, 200)
        items, report = service.items(), vendor.report()
    assert report["violations"] == []
    assert report["calls"]["upload"]["smallest_gap"] >= 0.5
    assert (len(report["videos"]), report["duplicates"]) == (links, [])
    assert differs(items, report) == []
    assert {item["status"] for item in items} == {"PARSE"}


@pytest.mark.storm
@pytest.mark.parametrize("seconds", [_HOUR, -_HOUR], ids=["ahead", "behind"])
def test_a_host_an_hour_off_takes_nobody_for_dead_and_sends_nothing_twice(
    home: Path, skew: Path, seconds: int, postgres_database: str
) -> None:
    """Answers take seconds and the list lags: a sender taken for dead is one whose upload is about to be repeated."""
    with ExitStack() as stack:
        vendor = stack.enter_context(
            sandbox("--limits", LIMITS, "--answer", "5-8", "--parse", "0.5-1", "--list-lag", "10")
        )
        service = Service(home, vendor.url, INGEST_LIMITS=LIMITS, INGEST_TIMINGS="poll=2s,lease=10s,unsure=15s")
        service.environment["INGEST_DATABASE_URL"] = postgres_database
        service.environment["INGEST_SECRET"] = "shared by all hosts"
        stack.enter_context(service.up())
        host = Host(stack, service, skew, seconds)
        host.start("worker")
        host.start("beat")
        service.add(*_links("ours", 20))
        host.add(*_links("theirs", 20))
        service.wait(1, 120)
        service.wait(2, 120)
        items, report = service.items(), vendor.report()
        with service.database().read() as session:
            lost = session.execute(text("SELECT count(*) FROM event WHERE news = 'lost'")).scalar_one()
    assert report["violations"] == []
    assert (lost, report["duplicates"]) == (0, [])
    assert differs(items, report) == []


@pytest.mark.storm
@pytest.mark.parametrize("seconds", [_HOUR, -_HOUR], ids=["ahead", "behind"])
def test_a_lost_answer_is_settled_where_the_only_host_is_an_hour_off(home: Path, skew: Path, seconds: int) -> None:
    """Creation times are by the vendor's clock, the window in which one looks for them is not."""
    limits = "upload=20/s,list=20/s,detail=20/s"
    with sandbox("--limits", limits, "--faults", "drop_answer=0.5", "--seed", "3", "--parse", "0.5-1") as vendor:
        service = Service(home, vendor.url, INGEST_LIMITS=limits, INGEST_TIMINGS="poll=1s,lease=10s,unsure=4s")
        service.environment |= {"LD_PRELOAD": str(skew), "SKEW": str(seconds)}
        with service.up():
            service.add(*_links("clip", 8))
            service.wait(1, 120)
        items, report = service.items(), vendor.report()
    assert report["faults"]["drop_answer"] > 0
    assert (len(report["videos"]), report["duplicates"], report["violations"]) == (8, [], [])
    assert {item["status"] for item in items} == {"PARSE"}
