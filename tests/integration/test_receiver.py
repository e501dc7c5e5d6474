"""The public door: what it keeps, what it answers, what it does not say. Over real HTTP against the real server process."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from ingest.tokens import new_short_id, sign
from tests.receiver import SECRET, Receiver

pytestmark = pytest.mark.integration


def test_a_callback_answered_200_is_on_disk_raw(receiver: Receiver) -> None:
    short_id, body = new_short_id(), b'{"videoNo": "VI1",  "status":"PARSE"}'
    answer = receiver.post("upload", sign(SECRET, "upload", short_id), body)
    assert answer.status_code == 200
    (kept,) = receiver.kept()
    assert (kept.kind, kept.short_id, kept.body, kept.state) == ("upload", short_id, body, "new")


def test_a_body_that_is_no_json_is_kept_and_answered_200(receiver: Receiver) -> None:
    token = sign(SECRET, "upload", new_short_id())
    for body in (b"", b"not json", b"\xff\x00\xfe", b"[" * 5000):
        assert receiver.post("upload", token, body).status_code == 200
    assert [one.body for one in receiver.kept()] == [b"", b"not json", b"\xff\x00\xfe", b"[" * 5000]


def test_a_wrong_token_is_404_and_leaves_nothing(receiver: Receiver) -> None:
    good = sign(SECRET, "upload", "k3f9x2m7qa")
    forged = sign("another secret", "upload", "k3f9x2m7qa")
    for door, token in (
        ("upload", forged),
        ("scraper", good),
        ("upload", good[:-1]),
        ("upload", "x"),
        ("nowhere", good),
    ):
        assert receiver.post(door, token).status_code == 404
    assert receiver.kept() == []


def test_a_body_over_256_kb_is_413_declared_or_chunked(receiver: Receiver) -> None:
    token = sign(SECRET, "upload", new_short_id())
    assert receiver.post("upload", token, b"x" * 256_001).status_code == 413

    def chunks() -> Iterator[bytes]:
        for _ in range(300):
            yield b"x" * 1000

    answer = httpx.post(f"{receiver.url}/webhooks/upload/{token}", content=chunks(), timeout=15)
    assert answer.status_code == 413
    assert receiver.kept() == []
    assert receiver.post("upload", token, b"x" * 256_000).status_code == 200


def test_a_body_in_chunks_is_kept_whole(receiver: Receiver) -> None:
    token = sign(SECRET, "upload", new_short_id())

    def chunks() -> Iterator[bytes]:
        yield b'{"videoNo": '
        yield b'"VI1"}'

    assert httpx.post(f"{receiver.url}/webhooks/upload/{token}", content=chunks(), timeout=15).status_code == 200
    assert [one.body for one in receiver.kept()] == [b'{"videoNo": "VI1"}']


def test_other_methods_and_paths_say_nothing(receiver: Receiver) -> None:
    token = sign(SECRET, "upload", new_short_id())
    assert httpx.get(f"{receiver.url}/webhooks/upload/{token}").status_code == 405
    assert httpx.get(f"{receiver.url}/").status_code == 404
    assert token not in httpx.get(f"{receiver.url}/webhooks/x/{token}/y").text


def test_no_token_stands_in_a_log(receiver: Receiver) -> None:
    token = sign(SECRET, "upload", new_short_id())
    receiver.post("upload", token)
    receiver.post("upload", token + "x")
    assert token not in receiver.said()


def test_callbacks_acknowledged_before_a_kill_are_there_after_it(receiver: Receiver) -> None:
    acknowledged: list[str] = []
    lock = threading.Lock()
    killed = threading.Event()

    def send(number: int) -> None:
        short_id = new_short_id()
        if number == 150:
            receiver.kill()
            killed.set()
        try:
            answer = receiver.post("upload", sign(SECRET, "upload", short_id), str(number).encode())
        except httpx.TransportError:
            return
        if answer.status_code == 200:
            with lock:
                acknowledged.append(short_id)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(send, range(300)))
    assert killed.is_set()
    kept = [one.short_id for one in receiver.kept()]
    assert len(acknowledged) >= 100
    assert set(acknowledged) <= set(kept)
    assert len(kept) == len(set(kept))
    receiver.restart()
    assert receiver.post("upload", sign(SECRET, "upload", new_short_id())).status_code == 200


def test_a_database_that_is_gone_is_answered_503(receiver: Receiver) -> None:
    token = sign(SECRET, "upload", new_short_id())
    with receiver.database.engine.connect() as connection:
        connection.exec_driver_sql("ALTER TABLE callback RENAME TO elsewhere")
        connection.commit()
    answer = receiver.post("upload", token)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    with receiver.database.engine.connect() as connection:
        connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO callback")
        connection.commit()
    assert receiver.post("upload", token).status_code == 200
