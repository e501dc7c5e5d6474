"""Callbacks: bodies as in contract C.2, sent once, with a time-out, never again (contract C.1, C.4).

Unless a fault drops, doubles, delays or swaps them.
"""

import http.client
import json
import queue
import threading
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from sandbox.agenda import Agenda
from sandbox.faults import LETTER, Faults, those_of
from sandbox.options import Span

#: Seconds a receiver has for its answer.
TIMEOUT = 10.0
#: Senders per receiver. Each receiver has its own, so a dead one holds up only its own callbacks.
SENDERS = 4
_REMEMBERED_FAILURES = 20
#: Seconds between the two of a doubled callback.
MOMENT = 0.1
#: Seconds after which a callback is sent that waited for the next one in vain.
PATIENCE = 5.0

_FAULTS = those_of(LETTER)
#: How the report calls the faults of callbacks.
_REPORTED: Mapping[str, str] = {
    "callback_drop": "dropped",
    "callback_double": "doubled",
    "callback_delay": "delayed",
    "callback_swap": "swapped",
    "callback_early": "early",
    "callback_parse_at_start": "parse_at_start",
    "callback_response": "response",
}


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


def k4(task_id: str, text: str, token: dict[str, int], name: str = "text") -> dict[str, Any]:
    """K4b with another `name` of the text."""
    return {"status": 0, "task_id": task_id, "data": {name: text, "token": token}}


def k5(task_id: str) -> dict[str, Any]:
    """Only the status is documented (contract F.5 30)."""
    return {"status": -1, "task_id": task_id, "data": None}


class Letter(NamedTuple):
    kind: str  # K1, K2, K3, K4, K4b, K5
    url: str
    body: dict[str, Any]


@dataclass(slots=True, eq=False)
class _Entry:
    age: int
    letter: Letter
    receiver: str  # host and port
    sent: bool = False  # or about to be: it stands in a sender's queue
    behind: "_Entry | None" = None  # waits until this one has been sent


class Outbox:
    """Sends letters from a few threads per receiver and counts what became of them."""

    def __init__(self, faults: Faults, agenda: Agenda, delay: Span) -> None:
        self._faults = faults
        self._agenda = agenda
        self._delay = delay
        self._lock = threading.Lock()
        self._queues: dict[str, queue.SimpleQueue[_Entry]] = {}
        self._held: dict[str, _Entry] = {}  # receiver -> what waits for its next letter
        self._age = 0  # letters posted before the last `forget` are dropped
        self._start_counts()

    def post(self, letter: Letter) -> None:
        """Never blocks. A URL without a scheme is taken as plain http (contract C.1)."""
        fault = self._faults.draw(_FAULTS)
        if fault == "callback_drop":
            self._faults.count(fault)
            return
        entry = self._entry(letter)
        if fault == "callback_swap" and not self._hold(entry):
            fault = None
        if fault is not None:
            self._faults.count(fault)
        if fault == "callback_double":
            twin = self._entry(letter)
            self._agenda.after(MOMENT, lambda: self._send(twin))
        if fault == "callback_delay":
            late = self._faults.seconds(fault, *self._delay)
            self._agenda.after(late, lambda: self._send(entry))
        elif fault != "callback_swap":
            self._send(entry)

    def send_now(self, letter: Letter) -> None:
        """Returns when the receiver has answered, or when it will not."""
        self._deliver(self._entry(letter))

    def forget(self) -> None:
        with self._lock:
            self._age += 1
            self._held.clear()
            self._start_counts()

    def report(self) -> dict[str, Any]:
        happened = self._faults.happened()
        with self._lock:
            return {
                "sent": sum(self._kinds.values()),
                "by_kind": dict(sorted(self._kinds.items())),
                "answered": self._answered,
                "failed": self._failed,
                "waiting": self._waiting,
                "failures": list(self._failures),
                **{word: happened[name] for name, word in _REPORTED.items()},
            }

    def _start_counts(self) -> None:
        self._kinds: Counter[str] = Counter()
        self._answered = self._failed = self._waiting = 0
        self._failures: deque[dict[str, str]] = deque(maxlen=_REMEMBERED_FAILURES)

    def _entry(self, letter: Letter) -> _Entry:
        url = letter.url if "://" in letter.url else f"http://{letter.url}"
        receiver = url.split("://", 1)[1].split("/", 1)[0]
        with self._lock:
            self._waiting += 1
            return _Entry(self._age, letter._replace(url=url), receiver)

    def _hold(self, entry: _Entry) -> bool:
        """Keeps `entry` back, unless one is held for its receiver already: that one waits for this."""
        with self._lock:
            if entry.receiver in self._held:
                return False
            self._held[entry.receiver] = entry
        self._agenda.after(PATIENCE, lambda: self._send(entry))
        return True

    def _send(self, entry: _Entry) -> None:
        with self._lock:
            if entry.sent or entry.age != self._age:
                return
            entry.sent = True
            held = self._held.pop(entry.receiver, None)
            entry.behind = held if held is not entry else None
            self._queue(entry.receiver).put(entry)

    def _queue(self, receiver: str) -> "queue.SimpleQueue[_Entry]":
        if receiver not in self._queues:
            self._queues[receiver] = queue.SimpleQueue()
            for _ in range(SENDERS):
                threading.Thread(target=self._run, args=(self._queues[receiver],), daemon=True).start()
        return self._queues[receiver]

    def _run(self, entries: "queue.SimpleQueue[_Entry]") -> None:
        while True:
            entry = entries.get()
            if entry.age == self._age:
                self._deliver(entry)

    def _deliver(self, entry: _Entry) -> None:
        with self._lock:
            self._kinds[entry.letter.kind] += 1
        failure = deliver(entry.letter)
        with self._lock:
            if entry.age != self._age:
                return
            self._waiting -= 1
            if failure is None:
                self._answered += 1
            else:
                self._failed += 1
                self._failures.append({"kind": entry.letter.kind, "reason": failure})
        if entry.behind is not None:
            self._send(entry.behind)


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
