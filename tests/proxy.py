"""A TCP proxy in front of a Valkey that loses and doubles Celery's messages, or falls silent without closing a socket."""

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

#: Where Celery's messages go: the keys of ``ingest.nudge`` with its prefix.
QUEUES = frozenset({b"ingest:send", b"ingest:settle"})


class _OneOf:
    """True for one of each ``every`` calls, drawn anew each time; never for 0.

    Drawn, because beat sends its ticks in a fixed order: a fixed count would lose the same ones always.
    """

    def __init__(self, every: int) -> None:
        self._every, self._count, self._which = every, 0, 0
        self._chance = random.Random(every)

    def __call__(self) -> bool:
        if not self._every:
            return False
        place = self._count % self._every
        if place == 0:
            self._which = self._chance.randrange(self._every)
        self._count += 1
        return place == self._which


class Proxy:
    """Of Celery's messages it loses one in each ``drop`` and doubles one in each ``double`` of the others; 0: none."""

    def __init__(self, upstream: str, drop: int = 0, double: int = 0) -> None:
        self._upstream = upstream
        self._lock = threading.Lock()
        self._links: list[_Link] = []
        self._server = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._server.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._drops, self._doubles = _OneOf(drop), _OneOf(double)
        self.seen = self.dropped = self.doubled = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            with self._lock:
                self._links = [link for link in self._links if not link.closed]
                self._links.append(_Link(self, client, self._upstream))

    def fall_silent(self) -> int:
        """Connections of this moment are neither answered nor closed from now on; new ones work. How many fell silent."""
        with self._lock:
            speaking = [link for link in self._links if not link.closed and not link.silent]
        for link in speaking:
            link.silent = True
        return len(speaking)

    def altered(self, command: list[bytes]) -> list[bytes]:
        """The command that goes on in place of this one. Its answer is of the same kind, so nothing else need be changed."""
        if command[0].upper() != b"LPUSH" or command[1] not in QUEUES:
            return command
        with self._lock:
            self.seen += 1
            if self._drops():
                self.dropped += 1
                return [b"LLEN", command[1]]
            if self._doubles():
                self.doubled += 1
                return [*command, *command[2:]]
        return command

    def close(self) -> None:
        self._server.close()
        with self._lock:
            for link in self._links:
                link.close()


class _Link:
    """One client's connection and its own to the server."""

    def __init__(self, proxy: Proxy, client: socket.socket, upstream: str) -> None:
        self._proxy, self._client = proxy, client
        self._server = socket.socket(socket.AF_UNIX)
        self._server.connect(upstream)
        self.silent = self.closed = False
        threading.Thread(target=self._forth, daemon=True).start()
        threading.Thread(target=self._back, daemon=True).start()

    def _forth(self) -> None:
        with suppress(OSError, ValueError), self._client.makefile("rb") as lines:
            while (command := _read_command(lines)) is not None:
                if not self.silent:
                    self._server.sendall(_command(self._proxy.altered(command)))
        self.close()

    def _back(self) -> None:
        with suppress(OSError):
            while data := self._server.recv(65536):
                if not self.silent:
                    self._client.sendall(data)
        if not self.silent:
            self.close()

    def close(self) -> None:
        self.closed = True
        for end in (self._client, self._server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def _read_command(lines) -> list[bytes] | None:  # type: ignore[no-untyped-def]
    """One command: an array of byte strings, as every client of ours sends it. None at the end."""
    head = lines.readline()
    if not head:
        return None
    if head[:1] != b"*":
        raise ValueError(f"no command: {head!r}")
    parts = []
    for _ in range(int(head[1:])):
        size = int(lines.readline()[1:])
        parts.append(lines.read(size))
        lines.read(2)
    return parts


def _command(parts: list[bytes]) -> bytes:
    return b"".join([b"*%d\r\n" % len(parts), *(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)])


@contextmanager
def proxy(upstream: str, *, drop: int = 0, double: int = 0) -> Iterator[Proxy]:
    """In front of the server that listens on the socket ``upstream``."""
    made = Proxy(upstream, drop, double)
    try:
        yield made
    finally:
        made.close()
