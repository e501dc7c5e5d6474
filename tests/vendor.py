"""A Memories.ai that answers what a test tells it to, over real HTTP: for answers that the strict sandbox never gives."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

#: From the request's JSON body or query to the answer's body; bytes are sent as they are.
Answer = Callable[[dict[str, Any]], Any]


def ok(data: Any) -> dict[str, Any]:
    return {"code": "0000", "msg": "success", "data": data, "success": True, "failed": False}


class Vendor:
    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.url = ""

    def answer(self, call: str, request: dict[str, Any]) -> Any:
        self.calls.append((call, request))
        if call not in self.answers:
            return {"code": "0001", "msg": f"No static resource {call}."}
        return self.answers[call](request)

    def asked(self, call: str) -> int:
        return sum(name == call for name, _ in self.calls)


@contextmanager
def vendor() -> Iterator[Vendor]:
    scripted = Vendor()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            self._send(query)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            try:
                request = json.loads(body)
            except ValueError:
                request = {"raw": body}
            self._send(request)

        def _send(self, request: dict[str, Any]) -> None:
            said = scripted.answer(urlsplit(self.path).path.rpartition("/")[2], request)
            body = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    scripted.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield scripted
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
