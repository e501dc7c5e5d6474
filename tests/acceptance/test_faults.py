"""What a bad day does to a running import: stops, kills, a broker that is gone."""

import signal
from pathlib import Path

import psutil
import pytest

from tests.service import Service, differs, eventually, sandbox

pytestmark = pytest.mark.acceptance

LIMITS = "upload=20/s,scrape=1/2s"
TIMINGS = "scrape=15s,poll=2s,unsure=20s,lease=10s"


def _all_true(service: Service, vendor, job: int = 1) -> None:  # type: ignore[no-untyped-def]
    report = vendor.report()
    assert differs(service.items("--job", str(job)), report) == []
    assert report["duplicates"] == []
    assert report["violations"] == []


def test_sigterm_leaves_no_process_and_the_next_start_goes_on(home: Path, clips: Path) -> None:
    with sandbox("--limits", LIMITS, "--answer", "1-2") as vendor:
        service = Service(home, vendor.url, INGEST_LIMITS=LIMITS, INGEST_TIMINGS=TIMINGS)
        with service.up():
            assert service.process is not None
            names = {" ".join(part.cmdline()) for part in service.parts()}
            for name in ("ingest web", "ingest console", "ingest worker", "ingest beat", "valkey-server"):
                assert any(name in line for line in names), names
            service.add(str(clips))
            eventually(lambda: service.status(1)["counts"]["SENDING"] >= 1, 90)
            everyone = service.parts()
            service.process.send_signal(signal.SIGTERM)
            assert service.process.wait(15) == 0
            assert not [part for part in everyone if part.is_running() and part.status() != psutil.STATUS_ZOMBIE]
            counts = service.status(1)["counts"]
            assert counts["SENDING"] == 0
            # a stop burns no attempt: what was cut is UNSURE, what was not sent is as it was
            assert {item["attempts"] for item in service.items("--status", "QUEUED")} <= {0}
        with service.up():
            service.wait(1, 200)
            _all_true(service, vendor)


@pytest.mark.parametrize("how_many", [pytest.param(1, marks=pytest.mark.storm), 2])
def test_a_killed_worker_comes_back_and_the_job_completes(home: Path, clips: Path, how_many: int) -> None:
    with sandbox("--limits", LIMITS, "--answer", "1-2") as vendor:
        service = Service(home, vendor.url, INGEST_LIMITS=LIMITS, INGEST_TIMINGS=TIMINGS)
        with service.up():
            service.add(str(clips))
            eventually(lambda: service.status(1)["counts"]["SENDING"] >= 2, 90)
            workers = [part for part in service.parts() if "ingest worker" in " ".join(part.cmdline())]
            victims = workers[:how_many]
            for victim in victims:
                victim.send_signal(signal.SIGKILL)
            service.wait(1, 200)
            assert "starting it again" in service.words.read_text()
            _all_true(service, vendor)
            assert {item["status"] for item in service.items()} == {"PARSE"}


def test_a_second_up_is_refused_and_a_killed_one_leaves_no_orphans(home: Path) -> None:
    with sandbox() as vendor:
        service = Service(home, vendor.url)
        with service.up():
            assert service.process is not None
            second = service.run("up")
            assert second.returncode == 2
            assert "runs on" in second.stderr and "already" in second.stderr
            everyone = service.parts()
            service.process.send_signal(signal.SIGKILL)
            gone, alive = psutil.wait_procs(everyone, timeout=30)
            assert not alive
            assert len(gone) >= 6


def test_a_killed_broker_loses_nothing(home: Path, clips: Path) -> None:
    with sandbox("--limits", LIMITS) as vendor:
        service = Service(home, vendor.url, INGEST_LIMITS=LIMITS, INGEST_TIMINGS=TIMINGS)
        with service.up():
            service.add(str(clips))
            eventually(lambda: service.status(1)["counts"]["UNPARSE"] >= 1, 90)
            service.part("valkey-server").send_signal(signal.SIGKILL)
            service.wait(1, 200)
            _all_true(service, vendor)
