"""Who follows the console's feed from before the first add ends with exactly what the rows show."""

import signal
from pathlib import Path

import pytest

from tests.follower import following
from tests.service import Service, eventually, sandbox

pytestmark = pytest.mark.acceptance

LIMITS = "upload=20/s,scrape=1/2s,list=20/s,detail=20/s,task_status=10/s"


def test_a_follower_ends_with_the_state_of_the_rows_through_a_restart_of_the_console(home: Path) -> None:
    with sandbox("--limits", LIMITS, "--faults", "http_500=0.1,drop_answer=0.1,half_task=0.3", "--seed", "5") as vendor:
        service = Service(
            home, vendor.url, INGEST_LIMITS=LIMITS, INGEST_TIMINGS="scrape=10s,poll=1s,unsure=4s,parse=30s"
        )
        with service.up(), following(service) as one:
            links = [f"https://media.example/{number}/clip-{number}.mp4" for number in range(14)]
            posts = [f"https://www.tiktok.com/@a/video/73{number:017}" for number in range(5)]
            # one again: it is a copy
            service.add(*links, *posts)
            service.add(links[3])
            eventually(lambda: len(one.follower.items) == 20, 30, "the follower to have heard of all items")
            service.part("ingest console").send_signal(signal.SIGKILL)
            service.wait(1, 120)
            one.knows_all()
            assert one.asked_again > 0
            assert {item["status"] for item in one.follower.items.values()} >= {"PARSE", "SKIPPED"}
