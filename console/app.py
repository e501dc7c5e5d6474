"""What the operator may ask over HTTP: jobs, items, totals, lanes. Every read is one of ``ingest.queries``.

Each request but ``/healthz`` carries the token of this state folder: ``Authorization: Bearer TOKEN`` or ``?token=``.
"""

import hmac
import signal
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, abort, jsonify, request
from sqlmodel import Session
from werkzeug.exceptions import HTTPException

from ingest import queries
from ingest.database import Database, open_database
from ingest.home import kept_token
from ingest.settings import Settings, load
from ingest.statuses import Status

_PAGE, _LARGEST_PAGE = 100, 1000


def create_app(settings: Settings, database: Database, token: str) -> Flask:
    app = Flask("console")

    @app.before_request
    def guard() -> None:
        if request.path != "/healthz" and not _token_is(token):
            abort(HTTPStatus.UNAUTHORIZED, "a token is needed: Authorization: Bearer TOKEN")

    @app.get("/healthz")
    def healthz() -> Response:
        return Response("ok\n", mimetype="text/plain")

    @app.get("/api/v1/jobs")
    def jobs() -> Response:
        with database.read() as session:
            return jsonify([_job(session, settings, one.id) for one in queries.jobs(session, _number("limit", 50))])

    @app.get("/api/v1/jobs/<int(max=9223372036854775807):job_id>")
    def job(job_id: int) -> Response:
        with database.read() as session:
            return jsonify(_job(session, settings, job_id))

    @app.get("/api/v1/items")
    def items() -> Response:
        statuses = [name for name in request.args.get("status", "").upper().split(",") if name]
        if any(name not in [*Status] for name in statuses):
            abort(HTTPStatus.BAD_REQUEST, f"status is any of {', '.join(Status)}, comma separated")
        limit = min(_number("limit", _PAGE), _LARGEST_PAGE)
        job_id = _number("job", 0) or None
        with database.read() as session:
            found = queries.items(session, job_id=job_id, statuses=statuses, after=_number("after", 0), limit=limit)
            rows = [queries.item_row(one) for one in found]
        following = rows[-1]["id"] if len(rows) == limit else None
        return jsonify({"items": rows, "after": following})

    @app.get("/api/v1/items/<int(max=9223372036854775807):item_id>")
    def item(item_id: int) -> Response:
        with database.read() as session:
            story = queries.item_story(session, item_id)
        return jsonify(story) if story else abort(HTTPStatus.NOT_FOUND, f"there is no item {item_id}")

    @app.get("/api/v1/stats")
    def stats() -> Response:
        with database.read() as session:
            standing = queries.pauses(session, settings.account)
            return jsonify({"counts": queries.counts(session), "paused": [queries.say_pause(one) for one in standing]})

    @app.errorhandler(HTTPException)
    def problem(error: HTTPException) -> Response:
        """RFC 9457."""
        body = {"type": "about:blank", "title": error.name, "status": error.code, "detail": error.description}
        response = jsonify(body)
        response.status_code = error.code or 500
        response.mimetype = "application/problem+json"
        return response

    return app


def _job(session: Session, settings: Settings, job_id: int | None) -> dict[str, Any]:
    pause = queries.pause_of_job(session, job_id or 0, settings)
    found = queries.job_status(session, job_id or 0, pause)
    if found is None:
        abort(HTTPStatus.NOT_FOUND, f"there is no job {job_id}")
    return found


def _number(name: str, default: int) -> int:
    text = request.args.get(name, "")
    if text and not (text.isascii() and text.isdigit() and len(text) < 19):
        abort(HTTPStatus.BAD_REQUEST, f"{name} is a whole number")
    return int(text) if text else default


def _token_is(token: str) -> bool:
    given = request.headers.get("Authorization", "").removeprefix("Bearer ").strip() or request.args.get("token", "")
    return hmac.compare_digest(given.encode(), token.encode())


def from_environment() -> Flask:
    """What the server loads in its worker process."""
    from ingest.processes import die_with_parent

    # SIGKILL: the server takes up SIGTERM late in its start, and one that is answered nothing has nothing to finish.
    die_with_parent(signal.SIGKILL)
    settings = load()
    return create_app(settings, open_database(settings.database), kept_token(settings.home))
