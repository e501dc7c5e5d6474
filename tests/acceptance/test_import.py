"""A library goes in: files, links and posts, through the whole service, against the strict sandbox."""

from pathlib import Path

import pytest

from tests.service import Sandbox, Service, differs, sandbox

pytestmark = pytest.mark.acceptance

LIMITS = "upload=20/s,scrape=1/2s"
TIMINGS = "scrape=14s,poll=2s,unsure=20s,lease=10s"


def _manifest(folder: Path) -> Path:
    """Ten links (one of them bad) and 120 posts of two platforms (one gone, one bad)."""
    links = [f"https://media.example/{number}/holiday-{number}.mp4" for number in range(9)]
    links.append("https://media.example/bad-link.mp4")
    tiktok = [f"https://www.tiktok.com/@alice/video/73{number:017}" for number in range(60)]
    youtube = [f"https://www.youtube.com/watch?v=abcdefgh{number:03}" for number in range(60)]
    tiktok[7] += "?gone=1"
    youtube[9] += "&x=bad"
    manifest = folder / "sources.txt"
    manifest.write_text("\n".join([*links, *tiktok, *youtube]) + "\n")
    return manifest


def _check(service: Service, vendor: Sandbox, job: int) -> None:
    items, report = service.items("--job", str(job)), vendor.report()
    assert len(items) == 190
    assert differs(items, report) == []
    assert report["violations"] == []
    assert report["duplicates"] == []
    assert sorted(report["calls"]["scrape"]["batch_sizes"]) == [10, 10, 50, 50]
    counts = service.status(job)["counts"]
    # bad link and bad post fail upstream, the gone post expires
    assert (counts["PARSE"], counts["FAIL"]) == (187, 3)


@pytest.mark.parametrize(
    ("database", "callbacks"),
    [("sqlite", True), ("sqlite", False), ("postgres", True)],
    ids=["sqlite, with callbacks", "sqlite, without a public address", "postgres, with callbacks"],
)
def test_every_final_status_is_the_vendors_truth(
    home: Path, clips: Path, database: str, callbacks: bool, request: pytest.FixtureRequest
) -> None:
    with sandbox("--limits", LIMITS) as vendor:
        service = Service(home, vendor.url, INGEST_LIMITS=LIMITS, INGEST_TIMINGS=TIMINGS)
        if database == "postgres":
            service.environment["INGEST_DATABASE_URL"] = request.getfixturevalue("postgres_database")
            service.environment["INGEST_SECRET"] = "shared by all hosts"
        if callbacks:
            service.environment["INGEST_PUBLIC_URL"] = f"http://127.0.0.1:{service.port}"
        with service.up():
            added = service.add(str(clips), str(_manifest(home.parent)))
            assert added == {"job": 1, "items": 190, "queued": 190, "skipped": 0}
            service.wait(1, 200)
            _check(service, vendor, 1)
            sent = vendor.report()["callbacks"]["sent"]
            assert (sent > 0) is callbacks
