"""Small facts about processes: who dies with whom, who is ready, which port is free."""

import ctypes
import errno
import fcntl
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import IO

from ingest.home import make_private

_PR_SET_PDEATHSIG = 1
_READY_FILE = "INGEST_READY_FILE"
_CHILD_OF = "INGEST_CHILD_OF"


def die_with_parent(how: signal.Signals = signal.SIGTERM) -> None:
    """Linux: get a signal when the parent dies, however it dies, so that a killed supervisor leaves no orphans."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, how)
    # One that died before we could say so sends no signal any more.
    if (parent := os.environ.get(_CHILD_OF)) is not None and os.getppid() != int(parent):
        os.kill(os.getpid(), how)


def as_parent() -> dict[str, str]:
    """The variable by which our children know whom they die with, even when that has happened before they begin."""
    return {_CHILD_OF: str(os.getpid())}


def tell_ready() -> None:
    """Tell the supervisor, if there is one, that this part does its work now."""
    if name := os.environ.get(_READY_FILE):
        Path(name).write_text(str(os.getpid()))


def with_ready_file(path: Path) -> dict[str, str]:
    return {_READY_FILE: str(path)}


def port_problem(host: str, port: int) -> str | None:
    """Why one cannot listen there, or None."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return f"Port {port} on {host} is in use"
            return f"Nobody can listen on port {port} of {host}: {error.strerror}"
    return None


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_TRIES, _TRY_SECONDS = 10, 0.05


class Claim:
    """A lock file held while a service runs on a home; it falls with the process, however that ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def take(self) -> bool:
        """False when another process holds it. One that only looks (``is_held``) is waited for."""
        file = self._path.open("a+")
        for _ in range(_TRIES):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                time.sleep(_TRY_SECONDS)
                continue
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            self._file = file
            return True
        file.close()
        return False

    def is_held(self) -> bool:
        """True when some process holds it now."""
        if not self._path.exists():
            return False
        with self._path.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return True
        return False

    def holder(self) -> str:
        return self._path.read_text().strip() or "unknown"


def claim_of(home: Path) -> Claim:
    """Held by the ``up`` of this home from before its first child starts."""
    return Claim(make_private(home) / "up.lock")
