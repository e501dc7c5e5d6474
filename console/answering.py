"""How the API answers: problems (RFC 9457), cursors, and 304 where nothing has changed."""

import base64
import hashlib
import json
import threading
from binascii import Error as NotBase64
from collections.abc import Callable
from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from flask import Flask, Response, request
from pydantic import ValidationError
from werkzeug.exceptions import BadRequest, HTTPException, RequestEntityTooLarge, UnsupportedMediaType

from console.schemas import LARGEST_ID

#: Before the name of a kind of problem: stable, and no address to follow.
_TYPES = "urn:memories-ingest:problem:"
JSON, PROBLEM_JSON = "application/json", "application/problem+json"


class Problem(Exception):
    """An answer that says why not. ``kind`` is stable: programs go by it."""

    def __init__(
        self,
        status: HTTPStatus,
        kind: str,
        detail: str,
        *,
        code: str | None = None,
        errors: list[dict[str, str]] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail = status, kind, detail
        self.code, self.errors, self.headers = code, errors, headers or {}

    def response(self) -> Response:
        body: dict[str, Any] = {
            "type": _TYPES + self.kind,
            "title": self.status.phrase,
            "status": int(self.status),
            "detail": self.detail,
        }
        if self.code is not None:
            body["code"] = self.code
        if self.errors is not None:
            body["errors"] = self.errors
        answer = as_json(body, self.status)
        answer.mimetype = PROBLEM_JSON
        answer.headers.update(self.headers)
        return answer


def not_there(detail: str) -> Problem:
    return Problem(HTTPStatus.NOT_FOUND, "not-found", detail)


def invalid(detail: str, errors: list[dict[str, str]] | None = None) -> Problem:
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", detail, errors=errors)


def invalid_input(error: ValidationError) -> Response:
    """Each field that is wrong, by its name, and why. What was sent is not repeated: it may hold anything."""
    errors = [
        {
            "field": ".".join(str(part) for part in one["loc"]) or "body",
            "message": _message(one),
        }
        for one in error.errors()
    ]
    first = errors[0]
    more = f", and {len(errors) - 1} more" if len(errors) > 1 else ""
    return invalid(f"{first['field']}: {first['message']}{more}", errors).response()


def _message(one: Any) -> str:
    if one["type"] == "union_tag_invalid":  # the one sentence of Pydantic's that repeats what it was given
        return f"{one['ctx']['discriminator']} is one of {one['ctx']['expected_tags']}"
    return str(one["msg"]).removeprefix("Value error, ")


#: So many threads read bodies at once: who sends theirs a byte a minute holds up other bodies at most, and no reader.
_reading = threading.BoundedSemaphore(32)


def _body() -> bytes:
    if request.content_length == 0 or (request.content_length is None and "Transfer-Encoding" not in request.headers):
        return b""
    if not _reading.acquire(timeout=1):
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE, "busy", "too many bodies are on their way", headers={"Retry-After": "2"}
        )
    try:
        sent = request.get_data()
    finally:
        _reading.release()
    # What comes in chunks has no Content-Length, and is cut off at the limit.
    if len(sent) >= (request.max_content_length or len(sent) + 1):
        raise RequestEntityTooLarge
    return sent


def check_body() -> None:
    """A body is one JSON object, or there is none: one that cannot be understood would count as left out further on, `dry_run` with it."""
    if not _body():
        return
    if not request.is_json:
        raise UnsupportedMediaType("the body is JSON: Content-Type: application/json")
    try:
        given = request.get_json()
    except RecursionError:
        raise BadRequest("the body is nested too deep") from None
    if not isinstance(given, dict):
        raise invalid("body: it must be a JSON object", [{"field": "body", "message": "it must be a JSON object"}])


def answer_errors(app: Flask) -> None:
    """Everything that goes wrong is answered alike."""

    @app.errorhandler(Problem)
    def problem(error: Problem) -> Response:
        return error.response()

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        if error.response is not None:  # made by us on the way
            return error.response  # type: ignore[return-value]
        status = HTTPStatus(error.code or 500)
        said = Problem(status, status.phrase.lower().replace(" ", "-"), error.description or status.phrase)
        answer = said.response()
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            answer.headers["Allow"] = ", ".join(sorted(getattr(error, "valid_methods", None) or ()))
        return answer


def dumps(body: Any) -> str:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def as_json(body: Any, status: int = 200) -> Response:
    text = body if isinstance(body, str) else dumps(body)
    return Response(text.encode("utf-8", "replace"), status, mimetype=JSON)


# Conditional answers


@cache
def _program() -> str:
    """Another version may show the same rows otherwise."""
    return version("memories-ingest")


def unless_known(about: tuple[Any, ...], body: Callable[[], Any]) -> Response:
    """304 where the asker has what ``about`` stands for; ``body`` is made only where it does not.

    ``about`` says everything that the body depends on, and is read *before* the body: at worst an answer is newer than its tag, and
    the next poll gets it once more.
    """
    described = json.dumps([_program(), request.full_path, *about], default=str).encode()
    tag = hashlib.blake2b(described, digest_size=12).hexdigest()
    known = request.if_none_match.contains(tag)
    answer = Response(status=304) if known else as_json(body())
    answer.set_etag(tag)
    answer.headers["Cache-Control"] = "private, no-cache"
    return answer


# Cursors


def cursor(kind: str, *place: Any) -> str:
    """Opaque: where the next page goes on. ``kind`` names the list and its filters, so that no cursor is taken for another's."""
    text = json.dumps([_mark(kind), *place], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def place_of(kind: str, given: str, count: int) -> list[Any]:
    """The ``count`` parts of a cursor's place; 404 for one that is not of this list."""
    try:
        mark, *place = json.loads(base64.urlsafe_b64decode(given + "=" * (-len(given) % 4)))
    except (ValueError, NotBase64, TypeError):
        mark, place = None, []
    whole = [isinstance(one, (int, str)) and not isinstance(one, bool) for one in place]
    if mark != _mark(kind) or len(place) != count or not all(whole):
        raise no_place()
    return place


def no_place() -> Problem:
    return Problem(
        HTTPStatus.NOT_FOUND, "unknown-cursor", "this cursor is not of this list under these filters; begin without one"
    )


def id_of(kind: str, given: str | None) -> int | None:
    """The id that a page goes on from."""
    if given is None:
        return None
    (number,) = place_of(kind, given, 1)
    if not isinstance(number, int) or not 0 <= number <= LARGEST_ID:
        raise no_place()
    return number


def _mark(kind: str) -> str:
    return hashlib.blake2b(kind.encode(), digest_size=4).hexdigest()
