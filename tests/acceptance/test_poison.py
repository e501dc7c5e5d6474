"""An item that kills whoever works on it ends alone, and takes nobody else with it."""

from pathlib import Path

import pytest

from ingest.samples import make_video
from tests.openers import NotPermitted, deadly
from tests.service import Service, differs, sandbox

pytestmark = pytest.mark.acceptance

LIMITS = "upload=20/s"
TIMINGS = "poll=1s,unsure=2s,lease=2s"


def test_a_file_that_kills_its_workers_ends_as_poison_and_the_others_arrive(home: Path) -> None:
    folder = home.parent / "clips"
    folder.mkdir()
    for number in range(12):
        make_video(folder / f"clip {number:02}.mp4", seconds=0.3, seed=number)
    culprit = folder / "clip 05.mp4"
    with sandbox("--limits", LIMITS) as vendor:
        service = Service(home, vendor.url, INGEST_LIMITS=LIMITS, INGEST_TIMINGS=TIMINGS)
        with service.up():
            try:
                with deadly(culprit) as victims:
                    service.add(str(folder))
                    service.wait(1, 200)
            except NotPermitted as error:
                pytest.skip(f"opens cannot be watched here ({error}); run the tests as root")
        items, report = service.items(), vendor.report()
    ends = {Path(item["source"]).name: (item["status"], item["stage"]) for item in items}
    assert ends.pop(culprit.name) == ("FAIL", "poison")
    assert set(ends.values()) == {("PARSE", None)}
    assert differs(items, report) == []
    assert (report["duplicates"], report["violations"]) == ([], [])
    # two workers, then the process that had nothing else to do, and nobody after it
    assert [name.partition(" ")[2] for name in victims[:2]] == ["worker", "worker"]
    assert "alone" in victims[2]
    assert len(victims) == 3
    told = next(item for item in items if item["source"] == str(culprit))
    assert "ingest retry" in told["error"]
