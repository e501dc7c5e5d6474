"""Callbacks: bodies as in contract C.2, sent once, with a time-out, never again (contract C.1, C.4)."""

import http.client
import json
import queue
import threading
from collections import Counter, deque
from typing import Any, NamedTuple
from urllib.parse import urlsplit

#: Seconds a receiver has for its answer.
TIMEOUT = 10.0
#: Senders per receiver. Each receiver has its own, so a dead one holds up only its own callbacks.
SENDERS = 4
_REMEMBERED_FAILURES = 20


def k1(video_no: str, status: str) -> dict[str, Any]:
    return {"videoNo": video_no, "status": status}


def k2(task_id: str, status: str, message: str | None) -> dict[str, Any]:
    body = {"taskId": task_id, "status": status}
    return body if message is None else {"message": message, **body}


def k3(video_no: str, task_id: str) -> dict[str, Any]:
    return {
        "videoId": video_no,
        "message": "video indexed",
        "taskId": task_id,
        "status": "INDEXING_SUCCEEDED",
    }


class Letter(NamedTuple):
    kind: str  # K1, K2, K3
    url: str
    body: dict[str, Any]


class Outbox:
    """Sends letters from a few threads per receiver and counts what became of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[str, queue.SimpleQueue[tuple[int, Letter]]] = {}
        self._age = 0  # letters posted before the last `forget` are dropped
        self._start_counts()

    def post(self, letter: Letter) -> None:
        """Never blocks. A URL without a scheme is taken as plain http (contract C.1)."""
        url = letter.url if "://" in letter.url else f"http://{letter.url}"
        receiver = url.split("://", 1)[1].split("/", 1)[0]
        with self._lock:
            self._waiting += 1
            if receiver not in self._queues:
                self._queues[receiver] = queue.SimpleQueue()
                for _ in range(SENDERS):
                    threading.Thread(target=self._run, args=(self._queues[receiver],), daemon=True).start()
            self._queues[receiver].put((self._age, letter._replace(url=url)))

    def forget(self) -> None:
        with self._lock:
            self._age += 1
            self._start_counts()

    def report(self) -> dict[str, Any]:
        with self._lock:
            return {
                "sent": sum(self._kinds.values()),
                "by_kind": dict(sorted(self._kinds.items())),
                "answered": self._answered,
                "failed": self._failed,
                "waiting": self._waiting,
                "failures": list(self._failures),
            }

    def _start_counts(self) -> None:
        self._kinds: Counter[str] = Counter()
        self._answered = self._failed = self._waiting = 0
        self._failures: deque[dict[str, str]] = deque(maxlen=_REMEMBERED_FAILURES)

    def _run(self, letters: "queue.SimpleQueue[tuple[int, Letter]]") -> None:
        while True:
            age, letter = letters.get()
            if age != self._age:
                continue
            with self._lock:
                self._kinds[letter.kind] += 1
            failure = deliver(letter)
            with self._lock:
                if age != self._age:
                    continue
                self._waiting -= 1
                if failure is None:
                    self._answered += 1
                else:
                    self._failed += 1
                    self._failures.append({"kind": letter.kind, "reason": failure})


def deliver(letter: Letter) -> str | None:
    """One attempt on a fresh connection; None when the receiver answered 2xx, else why not. No redirects."""
    connection: http.client.HTTPConnection | None = None
    try:
        parts = urlsplit(letter.url)
        if not parts.hostname:
            return "the URL has no host"
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname, parts.port, timeout=TIMEOUT)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        body = json.dumps(letter.body).encode()
        connection.request("POST", target, body, {"Content-Type": "application/json"})
        status = connection.getresponse().status
        return None if 200 <= status < 300 else f"the receiver answered {status}"
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    finally:
        if connection is not None:
            connection.close()
