"""Every process is killed, again and again, and Redis is emptied: nothing is lost, nothing goes twice, nobody is accused, and who follows
the console's feed of changes misses nothing."""

import random
import signal
import time
from pathlib import Path

import psutil
import pytest
import redis

from ingest.broker import socket_path
from tests.follower import following
from tests.service import Service, differs, eventually, sandbox, unknown_videos
from tests.storm.library import make_sources

pytestmark = [pytest.mark.storm, pytest.mark.timeout(900)]

LIMITS = "upload=4/s,scrape=1/2s,list=20/s,detail=20/s,task_status=10/s"
TIMINGS = "scrape=40s,poll=2s,unsure=15s,lease=6s"
PARTS = ("ingest worker", "ingest beat", "ingest web", "ingest console", "valkey-server")


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_twenty_kills_and_two_emptied_brokers(home: Path, database: str, request: pytest.FixtureRequest) -> None:
    chance = random.Random(7)
    # two emptied brokers among twenty kills
    blows = [*PARTS * 4, "flush", "flush"]
    chance.shuffle(blows)
    killed: list[str] = []
    with sandbox("--limits", LIMITS, "--answer", "0.3-2", "--parse", "1-4", "--seed", "7") as vendor:
        service = Service(home, vendor.url, INGEST_LIMITS=LIMITS, INGEST_TIMINGS=TIMINGS)
        service.environment["INGEST_PUBLIC_URL"] = f"http://127.0.0.1:{service.port}"
        if database == "postgres":
            service.environment["INGEST_DATABASE_URL"] = request.getfixturevalue("postgres_database")
            service.environment["INGEST_SECRET"] = "shared by all hosts"
        with service.up(), following(service) as follower:
            service.add(*make_sources(home.parent, files=120, links=30, posts=150))
            began = time.monotonic()
            for what in blows:
                # at random moments, as long as there is work; a part that is being started again cannot be killed
                pause = time.monotonic() + chance.uniform(0.5, 4)
                eventually(lambda pause=pause: time.monotonic() > pause, 10)
                if what == "flush":
                    eventually(lambda: _flush(home), 60, "the broker to be there to be emptied")
                    killed.append(what)
                elif service.status(1)["state"] == "running":
                    killed.append(_kill(service, what, chance))
            service.wait(1, 240)
            took = time.monotonic() - began
            items, report = service.items(), vendor.report()
            follower.knows_all()
    print(f"\n{database}: {len(killed)} blows, done in {took:.0f} s")
    assert len(killed) == 22
    assert differs(items, report) == []
    assert unknown_videos(items, report) == []
    assert {item["status"] for item in items} == {"PARSE"}
    assert (report["duplicates"], report["violations"]) == ([], [])
    assert {item["stage"] for item in items} == {None}


def _flush(home: Path) -> bool:
    try:
        with redis.Redis.from_url(f"unix://{socket_path(home)}") as client:
            return bool(client.flushall())
    except redis.RedisError:
        return False


def _kill(service: Service, name: str, chance: random.Random) -> str:
    def choose() -> psutil.Process | None:
        found = []
        for part in service.parts():
            try:
                if name in " ".join(part.cmdline()):
                    found.append(part)
            except psutil.NoSuchProcess:
                continue
        return chance.choice(found) if found else None

    eventually(choose, 60, f"{name} to be there to be killed").send_signal(signal.SIGKILL)
    return name
