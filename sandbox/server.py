"""The HTTP side: a threading server whose requests carry the time at which they arrived.

Werkzeug's own handler closes every connection and stamps nothing, so the part that talks WSGI is ours.
"""

import io
import socket
import struct
import sys
from collections.abc import Callable
from enum import Enum
from typing import IO, Any

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from sandbox.arrival import StampedInput, stamp_connections

#: environ key of the arrival on `time.monotonic()`; limits are judged on it and on nothing later.
ARRIVED = "sandbox.arrived"
#: environ key of the same moment on `time.time()`.
ARRIVED_WALL = "sandbox.arrived_wall"

#: environ key by which a call says that there will be no answer; its value is a HangUp.
HANG_UP = "sandbox.hang_up"

BACKLOG = 512
#: Seconds of silence after which a connection is closed.
SILENCE = 120.0
CHUNK = 256 * 1024
_LINGER = struct.Struct("ii")  # whether, seconds


class HangUp(Enum):
    CLOSE = "close"  # the body is read, the connection ends in good order
    RESET = "reset"  # at once, whatever is still on its way


class BrokenBody(ConnectionError):
    """The caller went away, or fell silent, in the middle of its body."""


class Body:
    """A request's body: exactly as long as announced, else BrokenBody."""

    def __init__(self, stream: IO[bytes], length: int | None) -> None:
        self._stream = stream
        self._left = length  # None: chunked, the stream knows its end
        self.broken = False

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(CHUNK), b""))
        if self._left is not None:
            size = min(size, self._left)
        if size == 0:
            return b""
        try:
            data = self._stream.read(size)
        except OSError as error:  # reset, time-out, or a chunk cut in half
            self.broken = True
            raise BrokenBody(str(error)) from None
        if self._left is not None:
            self._left -= len(data)
            if len(data) < size:
                self.broken = True
                raise BrokenBody("the connection was closed")
        return data


class Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave in one packet
    timeout = SILENCE

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self._input = StampedInput(self.connection)
        self.rfile = io.BufferedReader(self._input, 64 * 1024)

    def handle_one_request(self) -> None:
        self._input.arm()
        super().handle_one_request()

    def parse_request(self) -> bool:
        """Called once the request line was read: a client may connect long before it asks."""
        self.arrival = self._input.arrival()
        return super().parse_request()

    def handle_expect_100(self) -> bool:
        going_on = super().handle_expect_100()
        self.wfile.flush()
        return going_on

    def run_wsgi(self) -> None:
        try:
            environ, body = self._environ()
        except ValueError:
            self.close_connection = True
            self.send_error(400)
            return
        answer: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> Callable[..., Any]:
            answer[:] = [(status, headers)]
            return lambda data: None

        result = self.server.app(environ, start_response)
        try:
            content = b"".join(result)
        finally:
            if hasattr(result, "close"):
                result.close()
        if HANG_UP in environ:
            self._hang_up(environ[HANG_UP], body)
        else:
            self._answer(*answer[0], content, body)

    def _environ(self) -> tuple[dict[str, Any], Body]:
        environ = self.make_environ()
        chunked = bool(environ.get("wsgi.input_terminated"))
        body = Body(environ["wsgi.input"], None if chunked else int(environ.get("CONTENT_LENGTH") or 0))
        environ |= {
            "wsgi.input": body,
            "wsgi.input_terminated": True,  # `Body` minds the length itself
            ARRIVED: self.arrival.monotonic,
            ARRIVED_WALL: self.arrival.wall,
        }
        if chunked:
            self.close_connection = True  # where a chunked body ends is not known for sure
        return environ, body

    def _hang_up(self, how: HangUp, body: Body) -> None:
        self.close_connection = True
        if how is HangUp.RESET:
            # To linger for no seconds: closing throws away what is under way and tells the caller so.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER.pack(1, 0))
            return
        while not body.broken and body.read(CHUNK):  # unread bytes would turn the end into a reset
            pass

    def _answer(self, status: str, headers: list[tuple[str, str]], content: bytes, body: Body) -> None:
        if body.broken:
            self.close_connection = True
            return
        while body.read(CHUNK):  # what nobody wanted would else be taken for the next request
            pass
        code, _, reason = status.partition(" ")
        self.send_response(int(code), reason)
        for name, value in headers:
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        self.wfile.flush()

    def version_string(self) -> str:
        return "sandbox"

    def log(self, *_: Any) -> None:
        """Quiet: the report tells more than a log would."""


class Server(ThreadedWSGIServer):
    """Serves `app` on a socket that listens already."""

    def __init__(self, app: Callable[..., Any], listening: socket.socket) -> None:
        host, port = listening.getsockname()[:2]
        super().__init__(host, port, app, Handler, fd=listening.fileno())

    def shutdown_request(self, request: Any) -> None:
        """A connection that is to be reset must not be ended in good order first."""
        lingers, _ = _LINGER.unpack(request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER.size))
        if lingers:
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if isinstance(error, ConnectionError):  # the caller left without its answer
            return
        print(f"sandbox: a request failed: {type(error).__name__}: {error}", file=sys.stderr)


def listen(host: str, port: int) -> socket.socket:
    """A bound socket that accepts connections from now on. OSError when it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(BACKLOG)
        stamp_connections(listening)
    except BaseException:
        listening.close()
        raise
    return listening
