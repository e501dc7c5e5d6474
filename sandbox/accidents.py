"""What a caller sees of a fault: each function takes the answer of a call and spoils it."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from flask import Response, jsonify, request

from sandbox.answers import Host, Refusal
from sandbox.server import CHUNK, HANG_UP, HangUp

_PAGE = """<html>
<head><title>502 Bad Gateway</title></head>
<body>
<center><h1>502 Bad Gateway</h1></center>
<hr><center>nginx</center>
</body>
</html>
"""


def _close(answer: Response) -> Response:
    request.environ[HANG_UP] = HangUp.CLOSE
    return answer


def _cut(answer: Response) -> Response:
    request.environ[HANG_UP] = HangUp.RESET
    return answer


def _cut_half(answer: Response) -> Response:
    """A chunked body does not say how long it is: its first piece is read."""
    left = CHUNK if request.content_length is None else request.content_length // 2
    while left > 0 and (data := request.stream.read(min(left, CHUNK))):
        left -= len(data)
    return _cut(answer)


def _http_500(_: Response) -> Response:
    """As the vendor's framework words it (contract A.4, gateway errors): no envelope, no code."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    response = jsonify({"timestamp": now, "status": 500, "error": "Internal Server Error", "path": request.path})
    response.status_code = 500
    return response


def _http_502(_: Response) -> Response:
    return Response(_PAGE, 502, mimetype="text/html")


def _break_json(answer: Response) -> Response:
    whole = answer.get_data()
    answer.set_data(whole[: len(whole) // 2])
    return answer


Accident = Callable[[Response], Response]

#: Faults of calls that are never acted on.
BEFORE: Mapping[str, Accident] = {
    "cut_before": _cut,
    "cut_body": _cut_half,
    "http_500": _http_500,
    "http_502": _http_502,
    "broken_json": _break_json,
    "network": lambda answer: answer,
}

#: Those that break the connection before the whole body was read: what the call asked for is never known.
UNREAD = ("cut_before", "cut_body")

#: Faults of calls that have been accepted.
AFTER: Mapping[str, Accident] = {
    "drop_answer": _close,
    "http_500_after": _http_500,
    "http_502_after": _http_502,
    "broken_json_after": _break_json,
}


def before(fault: str, host: Host) -> Response:
    if fault == "network":
        return host.refused(Refusal("network abnormal, try again later"))
    return BEFORE[fault](host.ok(None))


def after(fault: str, answer: Response, slow: float) -> Response:
    """`slow` is the time that the fault of this name takes."""
    if fault == "slow":
        time.sleep(slow)
        return answer
    return AFTER[fault](answer)
