"""Four hundred items while everything goes wrong at once: every final status is the vendor's truth, nothing went twice, and who
follows the console's feed of changes ends with exactly what the rows show."""

import random
import signal
import threading
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.follower import Following, following
from tests.service import Sandbox, Service, differs, eventually, sandbox, unknown_videos
from tests.storm.library import make_sources

pytestmark = pytest.mark.acceptance

LIMITS = "upload=20/s,scrape=1/2s,list=20/s,detail=20/s,task_status=10/s"
TIMINGS = "scrape=60s,poll=2s,unsure=15s,lease=10s,parse=90s,http=6s,probe=10s"

#: What meets a request: each call is hit by one of these with the probability in sum (three seeds: 5 %, 12 %, 20 %).
REQUESTS = [
    "drop_answer",
    "cut_before",
    "cut_body",
    "http_500",
    "http_500_after",
    "http_502",
    "http_502_after",
    "broken_json",
    "broken_json_after",
    "slow",
    "network",
]
#: What meets a callback, and what becomes of a video.
CALLBACKS = {"callback_drop": 0.2, "callback_double": 0.2, "callback_delay": 0.2, "callback_swap": 0.1}
EARLY = {"callback_early": 0.1, "callback_parse_at_start": 0.1}
CONTENT = {"stuck": 0.05, "post_gone": 0.05, "half_task": 0.2}


def _faults(share: float) -> dict[str, float]:
    each = share / len(REQUESTS)
    return dict.fromkeys(REQUESTS, each) | {"spell": 0.01} | CALLBACKS | EARLY | CONTENT


class Operator:
    """Somebody who uses every command while the storm blows, and expects an answer each time."""

    def __init__(self, service: Service, seed: int) -> None:
        self.service = service
        self.complaints: list[str] = []
        self.ran: dict[str, int] = {}
        self._chance = random.Random(seed)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Operator":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def ask(self, *words: str, codes: tuple[int, ...] = (0,)) -> str:
        done = self.service.run(*words)
        name = " ".join(words[: 2 if words[0] == "callbacks" else 1])
        self.ran[name] = self.ran.get(name, 0) + 1
        if done.returncode not in codes or "Traceback" in done.stderr:
            self.complaints.append(
                f"{' '.join(words)} -> {done.returncode}: {done.stdout[-500:]} {done.stderr[-1500:]}"
            )
        return done.stdout

    def _run(self) -> None:
        rounds = [
            self._pause_a_lane,
            self._pause_a_job,
            self._pause_the_account,
            self._look,
            self._cancel,
            self._replay,
            self._kill_the_console,
        ]
        while not self._end.wait(2):
            self._chance.choice(rounds)()

    def _pause_a_lane(self) -> None:
        self.ask("pause", "upload", "--reason", "a look at the disk")
        self.ask("limits", "--json")
        # while the vendor has closed the lane too, it says so and stays closed
        self.ask("resume", "upload", codes=(0, 1))

    def _pause_a_job(self) -> None:
        self.ask("pause", "1")
        self.ask("status", "1", "--json")
        self.ask("resume", "1")

    def _pause_the_account(self) -> None:
        self.ask("pause", "account")
        self.ask("resume", "upload", codes=(1,))
        self.ask("resume", "account")

    def _look(self) -> None:
        self.ask("status", "--json")
        self.ask("doctor", "--json", codes=(0, 1))
        self.ask("callbacks", "list", "--json")
        self.ask("items", "--status", "FAIL", "--json")

    def _cancel(self) -> None:
        made = self.ask("add", f"https://media.example/late/{self._chance.random()}.mp4", "--priority", "-9", "--json")
        job = made.partition('"job": ')[2].partition(",")[0]
        self.ask("cancel", job, "--json")

    def _replay(self) -> None:
        self.ask("callbacks", "replay", "--state", "applied")

    def _kill_the_console(self) -> None:
        """No command, but what an operator's machine may do to the one door that followers stand at."""
        with suppress(psutil.NoSuchProcess):
            self.service.part("ingest console").send_signal(signal.SIGKILL)
            self.ran["kill console"] = self.ran.get("kill console", 0) + 1


@pytest.mark.storm
@pytest.mark.timeout(900)
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
@pytest.mark.parametrize(("seed", "share"), [(1, 0.05), (2, 0.12), (3, 0.2)])
def test_every_end_is_the_truth_while_everything_fails(
    home: Path, database: str, seed: int, share: float, request: pytest.FixtureRequest
) -> None:
    with _weather(share, seed, credit=120) as vendor:
        service = _service(home, vendor, TIMINGS)
        if database == "postgres":
            service.environment["INGEST_DATABASE_URL"] = request.getfixturevalue("postgres_database")
            service.environment["INGEST_SECRET"] = "shared by all hosts"
        with service.up(), following(service) as follower:
            service.add(*make_sources(home.parent, files=180, links=40, posts=180))
            with Operator(service, seed) as operator:
                _top_up(vendor)
                service.wait(1, 400)
            assert operator.complaints == []
            eventually(lambda: not _open(service), 200, "what the operator added to end")
            items, report = service.items(), vendor.report()
            _check(items, report)
            print(f"\n{database}, seed {seed}: {_ends(items)}; faults {_told(report)}; commands {operator.ran}")
            _send_again_what_failed(service, vendor)
            follower.knows_all()
            print(_heard(follower))


def test_every_end_is_the_truth_in_a_short_storm(home: Path) -> None:
    with _weather(0.2, seed=4, credit=20) as vendor:
        service = _service(home, vendor, "scrape=15s,poll=1s,unsure=8s,lease=6s,parse=20s,http=6s,probe=3s")
        with service.up(), following(service) as follower:
            service.add(*make_sources(home.parent, files=24, links=8, posts=24))
            _top_up(vendor)
            service.wait(1, 150)
            _check(service.items(), vendor.report())
            follower.knows_all()


def _weather(share: float, seed: int, credit: int) -> AbstractContextManager[Sandbox]:
    faults = ",".join(f"{name}={chance}" for name, chance in _faults(share).items())
    options = ["--limits", LIMITS, "--faults", faults, "--seed", str(seed), "--slow", "20", "--spell", "0.5-2"]
    options += ["--list-lag", "0-4", "--name-shape", "mangled", "--answer", "0.05-0.5", "--credit", str(credit)]
    return sandbox(*options)


def _service(home: Path, vendor: Sandbox, timings: str) -> Service:
    service = Service(home, vendor.url, INGEST_LIMITS=LIMITS, INGEST_TIMINGS=timings)
    service.environment["INGEST_PUBLIC_URL"] = f"http://127.0.0.1:{service.port}"
    return service


def _top_up(vendor: Sandbox) -> None:
    eventually(lambda: vendor.report()["out_of_credit"], 120, "the credit to be spent")
    httpx.post(f"{vendor.url}/_sandbox/credit", json={"calls": None}).raise_for_status()


def _open(service: Service) -> list[Any]:
    return [item for item in service.items() if item["status"] in ("QUEUED", "SENDING", "UNSURE", "UNPARSE")]


def _check(items: list[dict[str, Any]], report: dict[str, Any]) -> None:
    assert differs(items, report) == []
    assert unknown_videos(items, report) == []
    assert (report["duplicates"], report["violations"]) == ([], [])
    assert [item for item in items if item["stage"] == "poison"] == []
    # who failed says why
    assert [item for item in items if item["status"] == "FAIL" and not (item["stage"] and item["error"])] == []


def _send_again_what_failed(service: Service, vendor: Sandbox) -> None:
    """The weather is fair again: what never appeared is sent once more, and comes."""
    withheld = set(vendor.report()["withheld"])
    failed = {item["error_code"] for item in service.items("--status", "FAIL")}
    httpx.post(f"{vendor.url}/_sandbox/faults", json={}).raise_for_status()
    done = service.run("retry", "--error-code", "never_appeared", "--error-code", "task_failed", "--json")
    assert done.returncode == (0 if failed & {"never_appeared", "task_failed"} else 1), done.stderr
    eventually(lambda: not _open(service), 200, "what was sent again to end")
    items, report = service.items(), vendor.report()
    _check(items, report)
    assert report["withheld"] == []
    assert {item["status"] for item in items if item["source"] in withheld} <= {"PARSE", "FAIL"}


def _heard(follower: Following) -> str:
    known = follower.follower
    return f"the follower heard of {len(known.items)} items in {known.told} changes, and found nobody there {follower.asked_again} times"


def _ends(items: list[dict[str, Any]]) -> dict[str, int]:
    ends: dict[str, int] = {}
    for item in items:
        key = item["status"] + (f"/{item['stage']}/{item['error_code']}" if item["status"] == "FAIL" else "")
        ends[key] = ends.get(key, 0) + 1
    return ends


def _told(report: dict[str, Any]) -> dict[str, int]:
    return {name: count for name, count in report["faults"].items() if count} | {"spells": report["spells"]}
