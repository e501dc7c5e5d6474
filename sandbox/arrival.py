"""When a request arrived: the moment it reached this machine, not the moment a thread got round to it.

A thread of a busy process is easily 10 ms late, and then a gap of 0.99 s is held against a caller who kept
a whole second. Linux stamps what a socket receives; elsewhere the moment of reading must do.
"""

import contextlib
import socket
import struct
import sys
import time
from typing import Any, NamedTuple

#: From asm-generic/socket.h; Python has no name for it.
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("@qq")
#: Seconds. A stamp that lies further back is no stamp of this request (somebody has set the clock).
_BELIEVABLE = 5.0


class Arrival(NamedTuple):
    monotonic: float  # time.monotonic()
    wall: float  # time.time()


def stamp_connections(listening: socket.socket) -> None:
    """Connections that `listening` accepts will carry stamps, where the system can do that."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            listening.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)


class StampedInput(socket.SocketIO):
    """What comes in on a connection. `arm` it, read a request line, then ask for its `arrival`."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(connection, "r")
        self._connection = connection
        self._armed = False
        self._stamp: float | None = None

    def arm(self) -> None:
        self._armed, self._stamp = sys.platform == "linux", None

    def arrival(self) -> Arrival:
        wall, monotonic = time.time(), time.monotonic()
        late = wall - self._stamp if self._stamp is not None else 0.0
        if not 0 <= late < _BELIEVABLE:
            late = 0.0
        return Arrival(monotonic - late, wall - late)

    def readinto(self, buffer: Any) -> int | None:
        if self._armed:
            self._armed = False
            # One byte is looked at, not taken: its stamp is the request's, that of a longer read the body's.
            ancillary = self._connection.recvmsg(1, socket.CMSG_SPACE(_TIMESPEC.size), socket.MSG_PEEK)[1]
            for level, kind, data in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS) and len(data) >= _TIMESPEC.size:
                    seconds, nanoseconds = _TIMESPEC.unpack_from(data)
                    self._stamp = seconds + nanoseconds / 1e9
        return super().readinto(buffer)
