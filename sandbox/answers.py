"""The envelopes of all answers (contract A.3, A.4, B.7): application errors travel over HTTP 200."""

from collections.abc import Callable
from typing import Any, NamedTuple

from flask import Response, jsonify

OK = "0000"
PARAMETER = "0001"
KEY = "0401"
CREDIT = "0402"
LIMIT = "0429"
PERMISSION = "9009"

#: The one code of the understand host for whatever it refuses or fails at (contract B.7 D1).
UNDERSTAND_FAILED = -1


class Refusal(Exception):
    """A call the vendor answers with an error code; the text is the message it shows."""

    def __init__(self, message: str, code: str = PARAMETER) -> None:
        super().__init__(message)
        self.code = code


def ok(data: Any) -> Response:
    return jsonify({"code": OK, "msg": "success", "data": data, "success": True, "failed": False})


def refused(refusal: Refusal) -> Response:
    """One for the limit has the seed's short form without the flags (contract E.4 56, 57)."""
    if refusal.code == LIMIT:
        return jsonify({"code": LIMIT, "msg": str(refusal)})
    return jsonify({"code": refusal.code, "msg": str(refusal), "data": None, "success": False, "failed": True})


def understood(data: Any) -> Response:
    """An integer code and no flags (contract E.3 53)."""
    return jsonify({"code": 0, "msg": "success", "data": data})


def declined(refusal: Refusal) -> Response:
    """-1 for what it refuses or fails at; what concerns the account has the codes of all calls (contract A.4)."""
    if refusal.code == LIMIT:  # captions stand in the seed's one rate table, with its one answer
        return refused(refusal)
    code = UNDERSTAND_FAILED if refusal.code == PARAMETER else refusal.code
    return jsonify({"code": code, "msg": str(refusal), "data": None})


class Host(NamedTuple):
    """How one of the vendor's hosts words its answers."""

    ok: Callable[[Any], Response]
    refused: Callable[[Refusal], Response]


LIBRARY = Host(ok, refused)
UNDERSTAND = Host(understood, declined)
