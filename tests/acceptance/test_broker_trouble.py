"""Messages that are lost and doubled, sockets that fall silent: what a broker does to those who trust it."""

import statistics
import time
from pathlib import Path

import pytest
import redis

from tests.proxy import proxy
from tests.service import Service, differs, eventually, sandbox

pytestmark = pytest.mark.acceptance

LIMITS = "upload=20/s,scrape=1/s,detail=20/s,list=20/s,task_status=5/s"
_TIMES = 5
TIMINGS = "scrape=20s,poll=1s,unsure=20s,lease=10s"


@pytest.fixture
def broker_socket(valkey: str) -> str:
    redis.Redis.from_url(valkey).flushall()
    return valkey.removeprefix("unix://")


@pytest.mark.parametrize(
    ("files", "links", "posts"),
    [pytest.param(10, 4, 12, id="some"), pytest.param(60, 100, 300, id="many", marks=pytest.mark.storm)],
)
def test_lost_and_doubled_messages_change_nothing(
    home: Path, clips: Path, broker_socket: str, files: int, links: int, posts: int
) -> None:
    manifest = home.parent / "sources.txt"
    lines = [f"https://media.example/{number}/clip-{number}.mp4" for number in range(links)]
    lines += [f"https://www.tiktok.com/@alice/video/73{number:017}" for number in range(posts)]
    manifest.write_text("\n".join(lines) + "\n")
    chosen = [str(clip) for clip in sorted(clips.glob("*.mp4"))[:files]]
    with proxy(broker_socket, drop=2, double=5) as between, sandbox("--limits", LIMITS) as vendor:
        service = Service(home, vendor.url, INGEST_LIMITS=LIMITS, INGEST_TIMINGS=TIMINGS, INGEST_REDIS_URL=between.url)
        with service.up():
            service.add(*chosen, str(manifest))
            service.wait(1, 250)
            items, report = service.items(), vendor.report()
    print(f"\n{between.dropped} of {between.seen} messages were lost, {between.doubled} doubled")
    assert between.dropped >= between.seen // 2 > 0
    assert between.doubled > 0
    assert len(items) == files + links + posts
    assert differs(items, report) == []
    assert {item["status"] for item in items} == {"PARSE"}
    assert (report["violations"], report["duplicates"]) == ([], [])


@pytest.mark.storm
def test_work_goes_on_when_every_socket_to_the_broker_has_fallen_silent(home: Path, broker_socket: str) -> None:
    """The sockets of the consumers and those of the slots alike. The machine may be slow, so the bound is generous."""
    waits = []
    with proxy(broker_socket) as between, sandbox("--limits", LIMITS) as vendor:
        service = Service(home, vendor.url, INGEST_LIMITS=LIMITS, INGEST_TIMINGS=TIMINGS, INGEST_REDIS_URL=between.url)
        with service.up():
            service.add("https://media.example/first.mp4")
            service.wait(1, 60)  # it consumes
            for number in range(_TIMES):
                assert between.fall_silent() >= 4
                began = time.monotonic()
                service.add(f"https://media.example/{number}.mp4")
                job = number + 2
                eventually(lambda job=job: not service.status(job)["counts"]["QUEUED"], 60, "the item to be taken up")
                waits.append(time.monotonic() - began)
                service.wait(job, 60)
            report = vendor.report()
    print(f"\ntaken up after {', '.join(f'{wait:.1f}' for wait in waits)} s; median {statistics.median(waits):.1f} s")
    assert (len(report["videos"]), report["duplicates"], report["violations"]) == (_TIMES + 1, [], [])
