"""The state folder's disk is full for some seconds in the middle of an import."""

import time
from pathlib import Path

import pytest

from tests.disk import Ballast, small_disk
from tests.service import Service, differs, eventually, sandbox

pytestmark = pytest.mark.acceptance

LIMITS = "upload=5/s,detail=20/s,list=20/s"
TIMINGS = "poll=1s,unsure=3s,lease=2s"


@pytest.mark.parametrize(
    ("links", "seconds"), [pytest.param(40, 5, id="some"), pytest.param(150, 12, id="many", marks=pytest.mark.storm)]
)
def test_an_import_outlives_a_full_disk(home: Path, links: int, seconds: int) -> None:
    with small_disk(home, 32), sandbox("--limits", LIMITS, "--answer", "0.2-0.8") as vendor:
        service = Service(home, vendor.url, INGEST_LIMITS=LIMITS, INGEST_TIMINGS=TIMINGS)
        service.environment["INGEST_PUBLIC_URL"] = f"http://127.0.0.1:{service.port}"
        try:
            with service.up():
                service.add(*[f"https://media.example/clip-{number:03}.mp4" for number in range(links)])
                eventually(lambda: vendor.report()["calls"]["upload"]["accepted"] >= 5, 60, "the first uploads")
                ballast = Ballast(home)
                # again and again: each log that is turned over or WAL that is reset makes a little room
                until = time.monotonic() + seconds
                while time.monotonic() < until:
                    ballast.fill()
                    time.sleep(0.1)
                full = vendor.report()["calls"]["upload"]["accepted"]
                ballast.free()
                service.wait(1, 120)
                items, report = service.items(), vendor.report()
        finally:
            service.let_go()
    # whoever starts parts again only when they failed must be told that they did
    assert "(exit 0)" not in service.words.read_text()
    print(f"\n{full} of {links} were accepted when there was space again")
    assert full < links
    assert (report["violations"], report["duplicates"]) == ([], [])
    assert differs(items, report) == []
    assert {item["status"] for item in items} == {"PARSE"}
