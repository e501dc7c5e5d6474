"""The limit holds whatever happens to those who keep it: kills between slot and send, an emptied Redis, a broker that restarts."""

import random
import signal
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from ingest.broker import socket_path
from tests.service import INGEST, Service, ended, eventually, sandbox

pytestmark = pytest.mark.storm


@pytest.mark.parametrize("seed", [1, 2])
def test_no_call_is_too_early_under_kills_and_an_emptied_redis(home: Path, seed: int) -> None:
    chance = random.Random(seed)
    limits = "upload=2/s,list=20/s,detail=20/s"
    with ExitStack() as stack:
        vendor = stack.enter_context(sandbox("--limits", limits, "--answer", "0.2-0.8", "--parse", "0.5-1"))
        service = Service(home, vendor.url, INGEST_LIMITS=limits, INGEST_TIMINGS="poll=2s,lease=10s,unsure=15s")
        stack.enter_context(service.up())
        for extra in (["worker", "--queues", "send"], ["beat"]):
            quiet = {"stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
            beside = subprocess.Popen([*INGEST, *extra], env=service.environment, **quiet)  # type: ignore[call-overload]
            stack.enter_context(ended(beside))
        service.add(*[f"https://media.example/clip-{number:03}.mp4" for number in range(90)])
        client = redis.Redis.from_url(f"unix://{socket_path(home)}")
        for blow in range(6):
            calls = vendor.report()["calls"]["upload"]["accepted"]
            eventually(lambda calls=calls: vendor.report()["calls"]["upload"]["accepted"] >= calls + 5, 90)
            what = ("flush", "worker", "flush", "broker", "worker", "flush")[blow]
            if what == "flush":
                client.flushall()
            elif what == "broker":
                service.part("valkey-server").send_signal(signal.SIGKILL)
            else:
                workers = [part for part in service.parts() if "ingest worker" in " ".join(part.cmdline())]
                chance.choice(workers).send_signal(signal.SIGKILL)
        service.wait(1, 200)
        report = vendor.report()
    assert report["violations"] == []
    assert report["calls"]["upload"]["smallest_gap"] >= 0.5
    assert len(report["videos"]) == 90
