"""Who may come in: a named token, in the ``Authorization`` header or, for a browser, in a cookie that the first link sets.

Wrong tokens are slowed by address: after a few of them nothing from there is looked at for a while, but tokens that this address has
used well before.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from flask import g, request
from sqlalchemy.exc import SQLAlchemyError

from console.answering import Problem
from ingest import access, queries, store
from ingest.access import Role
from ingest.clock import now_ms
from ingest.database import Database
from ingest.models import Token

log = logging.getLogger(__name__)

COOKIE = "ingest_console"
#: A token that was right is not looked up again for so long, seconds: so long may one that was revoked be good.
_BELIEVED = 1.0
#: When a token was used is noted this often, ms.
_NOTED_EVERY = 60_000
#: So many wrong ones from one address, then each so many seconds gives one back.
_WRONG_ALLOWED, _WRONG_EVERY = 60, 3.0
_ADDRESSES = 10_000
_READING = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Caller:
    token_id: int
    name: str
    role: Role


class Guard:
    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._believed: Recent[tuple[Caller, float]] = Recent(1000)
        #: By address: how many wrong ones are held against it, and since when.
        self._wrong: Recent[tuple[float, float]] = Recent(_ADDRESSES)
        #: (address, digest) that went well.
        self._known: Recent[bool] = Recent(_ADDRESSES)

    def admit(self) -> None:
        """Let the request pass, as ``g.caller``; :class:`Problem` otherwise."""
        given, by_cookie = _given()
        if given is None:
            raise _unauthorized("a token is needed: Authorization: Bearer TOKEN; `ingest tokens add NAME` makes one")
        g.caller = caller = self.caller(given)
        if request.method in _READING:
            return
        if by_cookie and not _same_origin():
            raise Problem(HTTPStatus.FORBIDDEN, "other-origin", "another site may not change anything in your name")
        if caller.role is not Role.OPERATE:
            raise Problem(
                HTTPStatus.FORBIDDEN,
                "read-only",
                f"token '{caller.name}' only reads; one that may change things: ingest tokens add NAME --operate",
            )

    def caller(self, token: str) -> Caller:
        address, digest = request.remote_addr or "", access.digest(token)
        self._slow_down(address, digest)
        believed = self._believed.get(digest)
        if believed is not None and believed[1] > self._clock():
            return believed[0]
        row = self._right(token)
        if row is None:
            self._believed.drop(digest)
            self._known.drop(f"{address} {digest}")
            self._hold_against(address)
            raise _unauthorized("this token opens nothing; `ingest tokens list` tells which there are")
        caller = Caller(row.id or 0, row.name, Role(row.role))
        self._believed.put(digest, (caller, self._clock() + _BELIEVED))
        self._known.put(f"{address} {digest}", True)
        if row.used_at is None or row.used_at < now_ms() - _NOTED_EVERY:
            self._note_use(caller)
        return caller

    def _note_use(self, caller: Caller) -> None:
        try:
            with self._database.write() as session:
                store.token_used(session, caller.token_id)
        except SQLAlchemyError as error:  # a full disk must not lock out whoever comes to see what is wrong
            log.warning("When token %s was used could not be noted: %s", caller.name, error)

    def _right(self, token: str) -> Token | None:
        parsed = access.parse(token)
        if parsed is None:
            return None
        number, secret = parsed
        with self._database.read() as session:
            row = queries.token(session, number)
        # Compared whatever there is, so that the time tells nothing.
        right = access.is_right(secret, row.digest if row else access.digest(""))
        return row if row is not None and right and row.revoked_at is None else None

    def _slow_down(self, address: str, digest: str) -> None:
        held = self._held(address)
        if held >= _WRONG_ALLOWED and not self._known.get(f"{address} {digest}"):
            seconds = round((held - _WRONG_ALLOWED + 1) * _WRONG_EVERY)
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                "slowed",
                f"too many wrong tokens came from this address; try again in {seconds} s",
                headers={"Retry-After": str(seconds)},
            )

    def _held(self, address: str) -> float:
        held, since = self._wrong.get(address) or (0.0, 0.0)
        return max(0.0, held - (self._clock() - since) / _WRONG_EVERY)

    def _hold_against(self, address: str) -> None:
        self._wrong.put(address, (self._held(address) + 1, self._clock()))


def _given() -> tuple[str | None, bool]:
    """(token, whether a browser sent it by itself)."""
    kind, _, value = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() == "bearer" and value.strip():
        return value.strip(), False
    return request.cookies.get(COOKIE) or None, True


def _same_origin() -> bool:
    """A cookie comes along whoever has the browser send it; where it came from, the browser says."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc == request.host


def _unauthorized(detail: str) -> Problem:
    return Problem(HTTPStatus.UNAUTHORIZED, "unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})


T = TypeVar("T")


class Recent(Generic[T]):
    """The last so many, for several threads: who comes with a million names does not fill the memory."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[str, T] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: str) -> T | None:
        with self._lock:
            return self._kept.get(name)

    def put(self, name: str, value: T) -> None:
        with self._lock:
            self._kept[name] = value
            self._kept.move_to_end(name)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)

    def drop(self, name: str) -> None:
        with self._lock:
            self._kept.pop(name, None)
