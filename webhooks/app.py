"""``POST /webhooks/{door}/{token}``: check the token, keep the body, answer 200.

A wrong token is a 404 like any unknown path. A body that is no JSON is kept all the same: the sender will not repeat it, and a person
can look at it. Never 200 before the commit.
"""

import logging
import signal

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from ingest.database import Database, open_database
from ingest.settings import read
from ingest.tokens import ACCOUNT_DOOR, DOORS, verify
from webhooks.keeper import Keeper, NotKept
from webhooks.settings import ReceiverSettings

log = logging.getLogger(__name__)

#: Callbacks have a few hundred bytes; a caption's text some thousand.
_LARGEST = 256 * 1000


def create_app(database: Database, secret: str) -> Flask:
    app = Flask("webhooks")
    keeper = Keeper(database)

    @app.post("/webhooks/<door>/<token>")
    def receive(door: str, token: str) -> Response:
        short_id = verify(secret, door, token) if door in (*DOORS, ACCOUNT_DOOR) else None
        if short_id is None:
            return _answer(404, "not found")
        body = _body()
        if body is None:
            return _answer(413, "too large")
        try:
            keeper.keep(door, None if door == ACCOUNT_DOOR else short_id, body)
        except NotKept as error:
            log.error("A callback was answered 503: %s", error)
            return _answer(503, "not kept, try again", {"Retry-After": "5"})
        return _answer(200, "kept")

    @app.get("/healthz")
    def healthz() -> Response:
        return _answer(200, "ok") if keeper.is_alive() else _answer(503, "the writer has ended")

    @app.errorhandler(HTTPException)
    def plain(error: HTTPException) -> Response:
        # One short body for every refusal: nothing to learn from, and no token echoed.
        return _answer(error.code or 500, (error.name or "error").lower())

    return app


def _body() -> bytes | None:
    """The raw body, None when it is too large.

    Read from the server's own stream: a body that comes in chunks declares no length, and Flask takes that for an empty one.
    """
    if (request.content_length or 0) > _LARGEST:
        return None
    pieces, left = [], _LARGEST + 1
    while left > 0 and (piece := request.environ["wsgi.input"].read(left)):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces) if left > 0 else None


def _answer(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    return Response(text + "\n", status=status, headers=headers, mimetype="text/plain")


def from_environment() -> Flask:
    """What the server loads in its worker process."""
    from ingest.processes import die_with_parent

    # SIGKILL: the server takes up SIGTERM late in its start, and one that is answered nothing has nothing to finish.
    die_with_parent(signal.SIGKILL)
    settings = read(ReceiverSettings)
    return create_app(open_database(settings.database), settings.signing_secret)
