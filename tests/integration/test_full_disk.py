"""A disk that is full: the receiver says so, keeps what it said it kept, and goes on by itself when there is space again."""

from pathlib import Path

import pytest

from ingest.tokens import new_short_id, sign
from tests.disk import Ballast, small_disk
from tests.receiver import SECRET, Receiver
from tests.service import eventually

pytestmark = pytest.mark.integration


def test_a_full_disk_is_answered_503_and_ends_without_a_restart(home: Path) -> None:
    with small_disk(home, 16):
        receiver = Receiver(home, f"sqlite:///{home / 'ingest.db'}")
        try:
            _fill_and_free(receiver, Ballast(home))
        finally:
            receiver.end()


def _fill_and_free(receiver: Receiver, ballast: Ballast) -> None:
    said_kept: dict[str, bytes] = {}

    def post() -> int:
        short_id, body = new_short_id(), b"x" * 20_000
        code = receiver.post("upload", sign(SECRET, "upload", short_id), body).status_code
        assert code in (200, 503)
        if code == 200:
            said_kept[short_id] = body
        return code

    assert post() == 200
    ballast.fill()
    # what SQLite has allocated already may take some more
    eventually(lambda: post() == 503, 60, "the disk to be full")
    assert [post() for _ in range(10)] == [503] * 10
    process = receiver.process.pid
    ballast.free()
    eventually(lambda: post() == 200, 30, "it to keep callbacks again")
    assert [post() for _ in range(20)] == [200] * 20
    assert receiver.process.pid == process and receiver.process.poll() is None
    kept = {one.short_id: one.body for one in receiver.kept()}
    assert said_kept.items() <= kept.items()
