"""``Idempotency-Key``: a request that is sent again, because its answer was lost, is carried out once.

The row is written before the work begins and names the job in the very transaction that makes it; so when this process dies in the
middle, the same request goes on where that one ended.
"""

import hashlib
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus

from flask import Response, g, request
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from console.answering import Problem, as_json, invalid
from ingest import store
from ingest.clock import now_ms
from ingest.database import Database
from ingest.models import Request

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
_KEY = re.compile(r"[!-~]{1,200}")
#: Who works on a request says so this often; after the lease without a word it is gone, seconds.
_LEASE, _RENEW_EVERY = 60.0, 15.0


class Once:
    """One try of a request. ``job`` is what an earlier try has made already."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.owner = uuid.uuid4().hex
        self.job: int | None = None

    def made(self, session: Session, job_id: int) -> None:
        """Called in the transaction that makes the job."""
        if not store.request_made_job(session, self.key, self.owner, job_id):
            raise _in_flight()  # it stood still for so long that another try took it over
        self.job = job_id


def once(database: Database, work: Callable[[Once | None], Response]) -> Response:
    """Carry ``work`` out, or answer what was answered before."""
    key = request.headers.get(HEADER)
    if key is None:
        return work(None)
    if not _KEY.fullmatch(key):
        raise invalid(f"{HEADER}: it has 1 to 200 printable characters of ASCII, and no blanks")
    kept = hashlib.sha256(f"{g.caller.token_id}:{key}".encode()).hexdigest()
    begun = _begin(database, kept)
    if isinstance(begun, Response):
        return begun
    try:
        with _renewing(database, begun):
            answer = work(begun)
    except BaseException:
        _give_up(database, begun)
        raise
    with database.write() as session:
        location, text = answer.headers.get("Location"), answer.get_data(as_text=True)
        store.end_request(session, kept, begun.owner, answer.status_code, location, text)
    return answer


def _begin(database: Database, key: str) -> Once | Response:
    described = b"\n".join([request.method.encode(), request.full_path.encode(), request.get_data()])
    digest, mine = hashlib.sha256(described).hexdigest(), Once(key)
    with database.write() as session:
        earlier = store.begin_request(session, key, digest, mine.owner)
        if earlier is None:
            return mine
        if earlier.digest != digest:
            raise Problem(HTTPStatus.CONFLICT, "key-reused", f"this {HEADER} came with another request before")
        if earlier.status is not None:
            return _replay(earlier)
        fresh = earlier.started_at > now_ms() - _LEASE * 1000
        if (earlier.owner and fresh) or not store.take_over_request(session, earlier, mine.owner):
            raise _in_flight()
        mine.job = earlier.job_id
        return mine


def _in_flight() -> Problem:
    return Problem(
        HTTPStatus.CONFLICT,
        "in-flight",
        "the same request is being carried out; ask again for its answer",
        headers={"Retry-After": "2"},
    )


def _replay(earlier: Request) -> Response:
    answer = as_json(earlier.body or "", earlier.status or 200)
    answer.headers[REPLAYED] = "true"
    if earlier.location:
        answer.headers["Location"] = earlier.location
    return answer


def _give_up(database: Database, begun: Once) -> None:
    """It came to nothing: the key is free again. Where a job was begun, whoever asks next goes on with it."""
    with database.write() as session:
        if begun.job is None:
            store.drop_request(session, begun.key, begun.owner)
        else:
            store.leave_request(session, begun.key, begun.owner)


@contextmanager
def _renewing(database: Database, begun: Once) -> Iterator[None]:
    done = threading.Event()

    def renew() -> None:
        while not done.wait(_RENEW_EVERY):
            # A database that is away for a moment must not end this for good.
            with suppress(SQLAlchemyError), database.write() as session:
                store.renew_request(session, begun.key, begun.owner)

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
