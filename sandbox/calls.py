"""The way of a call: admission (key, credit, limit), parameters, act, answer. Faults meet a call on it."""

import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from flask import Flask, Response, request

from sandbox import accidents, answers
from sandbox.admission import Ticket
from sandbox.answers import Host, Refusal
from sandbox.server import ARRIVED, CHUNK, HANG_UP
from sandbox.vendor import Vendor

#: Both spellings of the prefix are in the seed (contract E.2 26).
PREFIXES = ("/serve/api/v1/", "/v1/")
UNDERSTAND_PREFIX = "/v1/understand/"

Given = TypeVar("Given")


class Calls:
    def __init__(self, app: Flask, vendor: Vendor) -> None:
        self._app = app
        self._vendor = vendor

    def add(self, lane: str, method: str, name: str, act: Callable[[], Any], slow: bool = False) -> None:
        """`act` returns the answer's `data` or raises Refusal; a `slow` call takes `--answer` seconds."""
        view = self._view(answers.LIBRARY, lane, _nothing, _no_lane, lambda _: answers.ok(act()), slow)
        for prefix in PREFIXES:
            self._app.add_url_rule(prefix + name, f"{prefix}{name}", view, methods=[method])

    def add_understand(
        self,
        lane: str,
        name: str,
        read: Callable[[], Given],
        joins: Callable[[Given], Iterable[str]],
        act: Callable[[Given], Response],
        slow: bool = False,
    ) -> None:
        """What was `read` of the request tells which lanes the call joins besides its own; then it is acted on."""
        path = UNDERSTAND_PREFIX + name
        view = self._view(answers.UNDERSTAND, lane, read, joins, act, slow)
        self._app.add_url_rule(path, path, view, methods=["POST"])

    def _view(
        self,
        host: Host,
        lane: str,
        read: Callable[[], Given],
        joins: Callable[[Given], Iterable[str]],
        act: Callable[[Given], Response],
        slow: bool,
    ) -> Callable[[], Response]:
        def view() -> Response:
            arrived = request.environ.get(ARRIVED) or time.monotonic()
            try:
                ticket = self._vendor.admission.admit(lane, key_of_request(), arrived)
                answer, accepted = self._pass(host, ticket, read, joins, act)
            except Refusal as refusal:
                return _unread(host.refused(refusal))
            if not accepted:
                return answer
            if slow:
                time.sleep(self._vendor.draw(self._vendor.options.answer))
            if ticket.fault is None:
                return answer
            self._vendor.faults.count(ticket.fault)
            return accidents.after(ticket.fault, answer, self._vendor.options.slow)

        return view

    def _pass(
        self,
        host: Host,
        ticket: Ticket,
        read: Callable[[], Given],
        joins: Callable[[Given], Iterable[str]],
        act: Callable[[Given], Response],
    ) -> tuple[Response, bool]:
        """The answer, and whether the call was accepted."""
        accepted = False
        try:
            if ticket.fault in accidents.UNREAD:
                return self._spoil(host, ticket.fault), False
            given = read()
            for lane in joins(given):
                self._vendor.admission.join(ticket, lane)
            if ticket.fault is not None and ticket.fault in accidents.BEFORE:
                return self._spoil(host, ticket.fault), False
            answer = act(given)
            accepted = True
            return answer, True
        finally:
            if not accepted:  # spoilt, refused for its parameters, or its body ended early
                self._vendor.admission.refund(ticket)

    def _spoil(self, host: Host, fault: str) -> Response:
        self._vendor.faults.count(fault)
        answer = accidents.before(fault, host)
        return answer if HANG_UP in request.environ else _unread(answer)


def key_of_request() -> str:
    """The raw key, or behind `Bearer` (contract A.2)."""
    header = request.headers.get("Authorization", "").strip()
    return header[7:].strip() if header.lower().startswith("bearer ") else header


def _nothing() -> None:
    return None


def _no_lane(_: object) -> Iterable[str]:
    return ()


def _unread(refusal: Response) -> Response:
    """A refusal goes out when its whole request is in: a caller that still writes could not hear it."""
    while request.stream.read(CHUNK):
        pass
    return refusal
