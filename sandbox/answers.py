"""The envelope of every answer (contract A.3, A.4): application errors travel over HTTP 200."""

from typing import Any

from flask import Response, jsonify

OK = "0000"
PARAMETER = "0001"
KEY = "0401"
CREDIT = "0402"
LIMIT = "0429"


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
