"""What goes wrong at the stand-in on purpose: as its callers and receivers see it, and as its report tells it."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from typing import Any

import httpx
import pytest

from tests.integration.test_sandbox import (
    QUICK,
    TIKTOK,
    Receiver,
    Sandbox,
    assert_refused,
    raw_head,
    running,
    until,
)

pytestmark = pytest.mark.integration

LINK = "https://cdn.example.com/gate.mp4"
JUNK = b"no video" * 100_000
_names = (f"ns-{number}" for number in count())


class Faulty:
    """A stand-in, a namespace of it that nobody else uses, and the faults in force."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.namespace = next(_names)

    def set(self, **faults: float) -> None:
        assert self.sandbox.http.post("/_sandbox/faults", json=faults).json() == faults

    def control(self, name: str, body: Any) -> httpx.Response:
        return self.sandbox.http.post(f"/_sandbox/{name}", json=body)

    def send(self, url: str = LINK, **fields: str) -> httpx.Response:
        fields = {"url": url, "unique_id": self.namespace, **fields}
        return self.sandbox.http.post("/serve/api/v1/upload_url", data=fields)

    def send_file(self) -> httpx.Response:
        file = {"file": ("a.mp4", JUNK)}
        return self.sandbox.http.post("/serve/api/v1/upload", files=file, data={"unique_id": self.namespace})

    def ask(self) -> httpx.Response:
        return self.sandbox.http.post("/serve/api/v1/list_videos", json={"unique_id": self.namespace})

    def accepted(self) -> int:
        """Videos of the namespace by the report's account."""
        return len(self.videos())

    def videos(self) -> list[dict[str, Any]]:
        return [video for video in self.sandbox.report()["videos"] if video["unique_id"] == self.namespace]

    def happened(self) -> dict[str, int]:
        return {name: times for name, times in self.sandbox.report()["faults"].items() if times}


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    with running(*QUICK, "--slow", "0.5", "--spell", "30", "--callback-delay", "0.5") as sandbox:
        yield sandbox


@pytest.fixture
def faulty(shared: Sandbox) -> Iterator[Faulty]:
    """Quick, unlimited, without faults: a test sets its own."""
    shared.http.post("/_sandbox/reset")
    faulty = Faulty(shared)
    faulty.set()
    yield faulty
    faulty.set()


@pytest.fixture
def start() -> Iterator[Callable[..., Faulty]]:
    with ExitStack() as stack:
        yield lambda *options: Faulty(stack.enter_context(running(*options)))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


# Calls


@pytest.mark.parametrize("send", [Faulty.send, Faulty.send_file])
def test_a_dropped_answer_is_accepted_all_the_same(faulty, send):
    faulty.set(drop_answer=1)
    with pytest.raises(httpx.TransportError):
        send(faulty)
    assert faulty.accepted() == 1
    assert faulty.happened() == {"drop_answer": 1}


@pytest.mark.parametrize("send", [Faulty.send, Faulty.send_file])
@pytest.mark.parametrize("fault", ["cut_before", "cut_body"])
def test_a_broken_connection_accepts_nothing(faulty, send, fault):
    faulty.set(**{fault: 1})
    with pytest.raises(httpx.TransportError):
        send(faulty)
    report = faulty.sandbox.report()
    assert faulty.accepted() == report["broken_bodies"] == 0
    assert report["calls"]["upload"]["count"] == faulty.happened()[fault] == 1


def test_a_body_is_cut_when_half_of_it_has_come(faulty):
    faulty.set(cut_body=1)
    body = b"--b\r\n" + b"x" * 100_000
    with socket.create_connection(faulty.sandbox.address) as caller:
        caller.settimeout(10)
        caller.sendall(raw_head("upload", len(body), "multipart/form-data; boundary=b") + body[: len(body) // 2 - 10])
        until(lambda: faulty.sandbox.report()["calls"]["upload"]["count"] == 1)
        until(lambda: faulty.happened() == {"cut_body": 1})
        caller.setblocking(False)
        with pytest.raises(BlockingIOError):
            caller.recv(1)
        caller.settimeout(10)
        with pytest.raises(ConnectionError):
            caller.sendall(body[len(body) // 2 - 10 :])
            assert caller.recv(1), "the end came in good order"


@pytest.mark.parametrize(("name", "accepted"), [("http_500", 0), ("http_500_after", 1)])
def test_http_500_carries_json_without_a_code(faulty, name, accepted):
    faulty.set(**{name: 1})
    answer = faulty.send_file()
    assert answer.status_code == 500
    said = answer.json()
    assert sorted(said) == ["error", "path", "status", "timestamp"]
    assert (said["status"], said["error"], said["path"]) == (500, "Internal Server Error", "/serve/api/v1/upload")
    assert (faulty.accepted(), faulty.happened()) == (accepted, {name: 1})


@pytest.mark.parametrize(("name", "accepted"), [("http_502", 0), ("http_502_after", 1)])
def test_http_502_carries_a_page(faulty, name, accepted):
    faulty.set(**{name: 1})
    answer = faulty.send()
    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (502, "text/html")
    assert "502 Bad Gateway" in answer.text
    assert (faulty.accepted(), faulty.happened()) == (accepted, {name: 1})


@pytest.mark.parametrize(("name", "accepted"), [("broken_json", 0), ("broken_json_after", 1)])
def test_broken_json_comes_over_http_200(faulty, name, accepted):
    faulty.set(**{name: 1})
    answer = faulty.send()
    assert answer.status_code == 200
    assert answer.text.startswith('{"code":"0000"')
    with pytest.raises(json.JSONDecodeError):
        answer.json()
    assert (faulty.accepted(), faulty.happened()) == (accepted, {name: 1})


def test_a_slow_answer_holds_up_nobody_else(faulty):
    faulty.set(slow=1)
    before = time.monotonic()
    with socket.create_connection(faulty.sandbox.address) as waiting:
        body = f"url={LINK}&unique_id={faulty.namespace}".encode()
        waiting.sendall(raw_head("upload_url", len(body), "application/x-www-form-urlencoded") + body)
        until(faulty.accepted)
        assert faulty.ask().json()["code"] == "0000"
        assert b'"0000"' in waiting.recv(65536)
    assert time.monotonic() - before >= 0.5
    assert faulty.happened() == {"slow": 1}


def test_an_abnormal_network_is_code_0001_and_accepts_nothing(faulty):
    faulty.set(network=1)
    assert faulty.send().json() == {
        "code": "0001",
        "msg": "network abnormal, try again later",
        "data": None,
        "success": False,
        "failed": True,
    }
    assert (faulty.accepted(), faulty.happened()) == (0, {"network": 1})


@pytest.mark.parametrize(
    ("method", "call", "request_"),
    [
        ("POST", "list_videos", {"json": {}}),
        ("GET", "get_metadata", {"params": {"video_no": "VI1"}}),
        ("GET", "get_video_ids_by_task_id", {"params": {"task_id": "t"}}),
        ("POST", "delete_videos", {"json": ["VI1"]}),
    ],
)
def test_questions_and_deletions_meet_the_faults_of_any_call_only(faulty, method, call, request_):
    def status() -> int:
        return faulty.sandbox.http.request(method, f"/v1/{call}", **request_).status_code

    faulty.set(cut_body=1, slow=1)
    assert (status(), faulty.happened()) == (200, {})
    faulty.set(http_502_after=1)
    assert status() == 502
    for fault in ("drop_answer", "cut_before"):
        faulty.set(**{fault: 1})
        with pytest.raises(httpx.TransportError):
            status()


def test_a_deletion_whose_answer_is_lost_has_happened(faulty):
    video_no = faulty.send().json()["data"]["videoNo"]
    faulty.set(drop_answer=1)
    with pytest.raises(httpx.TransportError):
        faulty.sandbox.post("delete_videos", params={"unique_id": faulty.namespace}, json=[video_no])
    assert faulty.videos()[0]["deleted"]


def test_a_call_meets_the_first_fault_of_the_table(faulty):
    faulty.set(network=1, http_500=1, spell=1)
    assert faulty.send().status_code == 500
    assert faulty.happened() == {"http_500": 1}


def test_a_call_refused_for_its_parameters_is_not_accepted_and_meets_no_fault(faulty):
    faulty.set(http_500_after=1)
    assert faulty.send(url="ftp://example.com/x").json()["code"] == "0001"
    assert faulty.happened() == {}


def test_a_call_beyond_the_limit_is_a_violation_and_meets_no_fault(start):
    faulty = start("--limits", "upload=1/h", "--answer", "0", "--faults", "http_500=1")
    assert faulty.send().status_code == 500
    assert faulty.send().json()["code"] == "0429"
    assert len(faulty.sandbox.report()["violations"]) == 1
    assert faulty.happened() == {"http_500": 1}


# Spells


def test_a_spell_refuses_one_lane_of_one_key_and_is_no_violation(faulty):
    faulty.set(spell=1)
    assert faulty.send().json() == {"code": "0429", "msg": "Request has exceeded the limit."}
    faulty.set()
    assert faulty.send_file().json()["code"] == "0429"
    assert faulty.ask().json()["code"] == "0000"
    other = faulty.sandbox.http.post("/v1/upload_url", data={"url": LINK}, headers={"Authorization": "another"})
    assert other.json()["code"] == "0000"
    report = faulty.sandbox.report()
    assert (report["spells"], report["violations"], faulty.happened()) == (2, [], {"spell": 1})
    upload = report["calls"]["upload"]
    assert (upload["count"], upload["accepted"], upload["refused"], len(upload["times"])) == (3, 1, 2, 3)
    assert faulty.accepted() == 0


def test_a_spell_ends_and_has_not_filled_the_window(start):
    faulty = start("--limits", "upload=1/h", "--answer", "0", "--spell", "0.2-0.4", "--faults", "spell=1")
    before = time.monotonic()
    assert faulty.send().json()["code"] == "0429"
    faulty.set()
    until(lambda: faulty.send().json()["code"] == "0000")
    assert time.monotonic() - before >= 0.2
    assert faulty.sandbox.report()["violations"] == []
    assert faulty.send().json()["code"] == "0429"
    assert len(faulty.sandbox.report()["violations"]) == 1


# The account


def test_spent_credit_refuses_what_takes_something_in_until_it_is_topped_up(start):
    faulty = start(*QUICK, "--credit", "2")
    codes = [faulty.send().json()["code"] for _ in range(3)]
    assert codes == ["0000", "0000", "0402"]
    scrape = {"video_urls": [TIKTOK + "1"], "unique_id": faulty.namespace}
    assert faulty.sandbox.post("scraper_url", json=scrape)["code"] == "0402"
    assert faulty.ask().json()["code"] == "0000"
    report = faulty.sandbox.report()
    assert (report["out_of_credit"], report["calls"]["upload"]["count"], faulty.accepted()) == (2, 2, 2)
    assert faulty.control("credit", {"calls": 1}).json() == {"calls": 1}
    assert faulty.sandbox.post("scraper_url", json=scrape)["code"] == "0000"
    assert faulty.send().json()["code"] == "0402"
    faulty.control("credit", {"calls": None})
    assert {faulty.send().json()["code"] for _ in range(3)} == {"0000"}


def test_only_what_is_accepted_costs_credit(faulty):
    faulty.control("credit", {"calls": 1})
    assert faulty.send(url="ftp://example.com/x").json()["code"] == "0001"
    for fault in ("network", "http_500", "broken_json", "cut_body"):
        faulty.set(**{fault: 1})
        try:
            faulty.send()
        except httpx.TransportError:
            assert fault == "cut_body"
    faulty.set(http_502_after=1)
    assert faulty.send().status_code == 502
    assert faulty.send().json()["code"] == "0402"
    assert faulty.accepted() == 1


def test_what_ends_after_the_credit_was_changed_gives_nothing_to_the_new(faulty):
    with socket.create_connection(faulty.sandbox.address) as caller:
        faulty.control("credit", {"calls": 1})
        caller.sendall(raw_head("upload", 1000, "multipart/form-data; boundary=b") + b"--b\r\n")
        until(lambda: faulty.sandbox.report()["calls"]["upload"]["count"] == 1)
        faulty.control("credit", {"calls": 0})
    until(lambda: faulty.sandbox.report()["broken_bodies"] == 1)
    assert faulty.send().json()["code"] == "0402"


def test_a_refused_key_answers_0401_to_every_call_until_it_is_given_back(faulty):
    assert faulty.control("key", {"refused": True}).json() == {"refused": True}
    assert faulty.send().json()["code"] == faulty.ask().json()["code"] == "0401"
    report = faulty.sandbox.report()
    assert (report["bad_keys"], report["calls"]["upload"]["count"], faulty.accepted()) == (2, 0, 0)
    faulty.control("key", {"refused": False})
    assert faulty.send().json()["code"] == "0000"


@pytest.mark.parametrize(
    ("control", "body"),
    [
        ("faults", {"drop_anser": 1}),
        ("faults", {"drop_answer": 2}),
        ("faults", {"drop_answer": True}),
        ("faults", ["drop_answer"]),
        ("credit", {}),
        ("credit", {"calls": -1}),
        ("credit", {"calls": "many"}),
        ("key", {"refused": 1}),
        ("key", []),
    ],
)
def test_a_wrong_control_is_answered_http_400_with_a_sentence_and_changes_nothing(faulty, control, body):
    faulty.set(callback_drop=0.5)
    answer = faulty.control(control, body)
    assert answer.status_code == 400
    assert answer.json()["error"].endswith(".")
    assert faulty.sandbox.http.get("/_sandbox/faults").json() == {"callback_drop": 0.5}
    assert faulty.send().json()["code"] == "0000"


# Callbacks


def statuses(receiver: Receiver, path: str = "k") -> list[str]:
    return [body["status"] for body in receiver.at(path)]


def settled(faulty: Faulty) -> dict[str, Any]:
    """The report's callbacks once nothing is parsed or sent any more."""

    def look() -> dict[str, Any] | None:
        report = faulty.sandbox.report()
        done = "UNPARSE" not in report["counts"] and not report["callbacks"]["waiting"]
        return report["callbacks"] if done else None

    return until(look)


def test_a_dropped_callback_never_comes(faulty, receiver):
    faulty.set(callback_drop=1)
    faulty.send(callback=receiver.url("k"))
    until(lambda: faulty.happened() == {"callback_drop": 1})
    counts = settled(faulty)
    assert (counts["dropped"], counts["sent"], receiver.got) == (1, 0, [])


def test_a_doubled_callback_comes_twice(faulty, receiver):
    faulty.set(callback_double=1)
    faulty.send(callback=receiver.url("k"))
    until(lambda: statuses(receiver) == ["PARSE", "PARSE"])
    counts = settled(faulty)
    assert (counts["doubled"], counts["sent"], counts["answered"]) == (1, 2, 2)


def test_a_delayed_callback_comes_late(faulty, receiver):
    faulty.set(callback_delay=1)
    before = time.monotonic()
    faulty.send(callback=receiver.url("k"))
    until(lambda: statuses(receiver) == ["PARSE"])
    assert time.monotonic() - before >= 0.15 + 0.5  # --parse and --callback-delay
    assert settled(faulty)["delayed"] == 1


def test_a_swapped_callback_comes_after_the_next_one_of_its_receiver(faulty, receiver):
    faulty.set(callback_swap=1)
    first, second = (faulty.send(callback=receiver.url("k")).json()["data"]["videoNo"] for _ in range(2))
    until(lambda: len(receiver.got) == 2)
    assert [body["videoNo"] for body in receiver.at("k")] == [second, first]
    assert settled(faulty)["swapped"] == 1


def test_a_swapped_task_callback_comes_after_that_of_its_video(faulty, receiver):
    faulty.set(callback_swap=1)
    faulty.sandbox.scrape(TIKTOK + "1", unique_id=faulty.namespace, callback_url=receiver.url("k"))
    until(lambda: len(receiver.got) == 2)
    assert statuses(receiver) == ["INDEXING_SUCCEEDED", "SUCCEEDED"]


def test_a_swapped_callback_that_waits_in_vain_comes_at_last(faulty, receiver):
    faulty.set(callback_swap=1)
    faulty.send(callback=receiver.url("k"))
    until(lambda: statuses(receiver) == ["PARSE"])
    assert settled(faulty)["swapped"] == 1


def test_an_early_callback_has_been_answered_before_the_upload_is(faulty, receiver):
    faulty.set(callback_early=1)
    video_no = faulty.send(callback=receiver.url("k")).json()["data"]["videoNo"]
    assert receiver.at("k")[0] == {"videoNo": video_no, "status": "UNPARSE"}
    until(lambda: statuses(receiver) == ["UNPARSE", "PARSE"])
    faulty.sandbox.scrape(TIKTOK + "1", unique_id=faulty.namespace, callback_url=receiver.url("task"))
    assert settled(faulty)["early"] == 1


def test_a_callback_may_say_parse_when_parsing_starts_and_again_at_its_end(faulty, receiver):
    faulty.set(callback_parse_at_start=1)
    faulty.send(callback=receiver.url("k"))
    bad = "https://cdn.example.com/bad.mp4"
    faulty.send(url=bad, callback=receiver.url("bad"))
    until(lambda: statuses(receiver) == ["PARSE", "PARSE"])
    until(lambda: statuses(receiver, "bad") == ["PARSE", "FAIL"])
    assert settled(faulty)["parse_at_start"] == 2


# What was taken in


def test_a_stuck_video_stays_unparsed(faulty, receiver):
    faulty.set(stuck=1)
    faulty.send(callback=receiver.url("k"))
    faulty.set()
    after = faulty.send(callback=receiver.url("k")).json()["data"]["videoNo"]
    until(lambda: receiver.got)
    assert [(video["stuck"], video["status"]) for video in faulty.videos()] == [(True, "UNPARSE"), (False, "PARSE")]
    assert [body["videoNo"] for body in receiver.at("k")] == [after]


def scraped(faulty: Faulty, *urls: str) -> list[str]:
    """What a task of these posts has yielded at its end."""
    task_id = faulty.sandbox.scrape(*urls, unique_id=faulty.namespace)

    def over() -> bool:
        [task] = [task for task in faulty.sandbox.report()["tasks"] if task["task_id"] == task_id]
        return task["status"] != "RUNNING"

    until(over)
    return [video["video_url"] for video in faulty.sandbox.task(task_id, faulty.namespace)["videos"]]


def test_a_gone_post_stays_gone_however_often_it_is_scraped(faulty):
    faulty.set(post_gone=1)
    assert scraped(faulty, TIKTOK + "1") == []
    faulty.set()
    again = "https://m.tiktok.com/@else/video/1"
    assert scraped(faulty, again, TIKTOK + "2") == [TIKTOK + "2"]
    assert faulty.sandbox.report()["gone"] == [TIKTOK + "1", again]
    assert faulty.happened() == {"post_gone": 1}


def test_a_post_that_has_appeared_is_never_gone(faulty):
    scraped(faulty, TIKTOK + "1")
    faulty.set(post_gone=1)
    assert scraped(faulty, TIKTOK + "1", TIKTOK + "2") == [TIKTOK + "1"]
    assert faulty.sandbox.report()["gone"] == [TIKTOK + "2"]


def test_half_a_task_is_brought_by_another(faulty):
    posts = [f"{TIKTOK}{number}" for number in range(5)]
    faulty.set(half_task=1)
    assert len(scraped(faulty, *posts)) == 3
    report = faulty.sandbox.report()
    missing = report["withheld"]
    assert len(missing) == 2 and set(missing) < set(posts)
    assert (report["gone"], faulty.accepted(), faulty.happened()) == ([], 3, {"half_task": 1})
    assert scraped(faulty, missing[0]) == [missing[0]]  # one post has no half
    assert faulty.sandbox.report()["withheld"] == missing[1:]
    faulty.set()
    assert scraped(faulty, *posts) == posts
    assert faulty.sandbox.report()["withheld"] == []
    assert faulty.accepted() == 5


# Names, lags, repeatability


def test_names_come_back_in_mixed_shapes_and_new_videos_are_listed_at_mixed_times(start):
    faulty = start(*QUICK, "--name-shape", "mixed", "--list-lag", "0-30", "--seed", "1")
    for _ in range(20):
        faulty.send()
    assert len(until(lambda: faulty.sandbox.list(faulty.namespace))) < 20
    names = [video["name"] for video in faulty.videos()]
    assert "gate" in names
    assert any(name[8:14] == "_gate_" for name in names)
    assert any(len(name) == 32 for name in names)


def test_the_same_seed_gives_the_same_sequence(start):
    def seen(seed: str) -> list[int]:
        faulty = start(*QUICK, "--seed", seed, "--faults", "http_500=0.3,http_502_after=0.3")
        return [faulty.send().status_code for _ in range(40)]

    first = seen("8")
    assert set(first) == {200, 500, 502}
    assert first == seen("8")
    assert first != seen("9")


def test_reset_forgets_what_happened_and_keeps_the_set_in_force(faulty):
    faulty.set(post_gone=1, spell=1)
    assert faulty.send().json()["code"] == "0429"
    faulty.set(post_gone=1)
    scraped(faulty, TIKTOK + "1")
    faulty.control("credit", {"calls": 0})
    faulty.control("key", {"refused": True})
    faulty.sandbox.http.post("/_sandbox/reset")
    assert faulty.sandbox.http.get("/_sandbox/faults").json() == {"post_gone": 1}
    report = faulty.sandbox.report()
    assert (faulty.happened(), report["gone"], report["spells"]) == ({}, [], 0)
    faulty.set()
    assert faulty.send().json()["code"] == "0000"
    assert scraped(faulty, TIKTOK + "1") == [TIKTOK + "1"]


def test_a_wrong_fault_ends_with_code_2_and_one_sentence():
    assert "callback_swap" in assert_refused(["--faults", "drop_anser=0.1"])


def test_the_faults_are_told_when_asked_for():
    command = [sys.executable, "-m", "sandbox", "--faults", "help"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=10)
    assert told.returncode == 0
    assert "drop_answer" in told.stdout
