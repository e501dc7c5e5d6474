"""The moment of arrival is the request's own, however late the stand-in gets round to reading it."""

import io
import socket
import sys
import time
from collections.abc import Iterator

import pytest

from sandbox.arrival import StampedInput
from sandbox.server import listen

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not stamp what TCP receives")


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with listen("127.0.0.1", 0) as listening:
        caller = socket.create_connection(listening.getsockname())
        connection, _ = listening.accept()
        with caller, connection:
            yield caller, connection


def test_a_request_read_late_still_counts_from_its_arrival(pair):
    caller, connection = pair
    stamped = StampedInput(connection)
    reader = io.BufferedReader(stamped)
    for _ in range(2):  # a kept connection brings many requests
        time.sleep(0.05)
        sent, sent_wall = time.monotonic(), time.time()
        caller.sendall(b"GET / HTTP/1.1\r\n")
        time.sleep(0.15)
        stamped.arm()
        assert reader.readline() == b"GET / HTTP/1.1\r\n"
        arrival = stamped.arrival()
        assert arrival.monotonic == pytest.approx(sent, abs=0.05)
        assert arrival.wall == pytest.approx(sent_wall, abs=0.05)


def test_a_request_that_was_read_along_with_the_one_before_counts_from_now(pair):
    caller, connection = pair
    stamped = StampedInput(connection)
    reader = io.BufferedReader(stamped)
    caller.sendall(b"one\r\ntwo\r\n")
    stamped.arm()
    assert reader.readline() == b"one\r\n"
    time.sleep(0.1)
    stamped.arm()
    assert reader.readline() == b"two\r\n"
    assert stamped.arrival().monotonic == pytest.approx(time.monotonic(), abs=0.05)
