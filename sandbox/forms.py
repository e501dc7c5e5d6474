"""Reading what callers send: multipart with a file, forms, JSON, queries (contract E.2)."""

from collections.abc import Iterable, Mapping
from typing import IO, Any, NamedTuple
from urllib.parse import urlsplit

from flask import Request
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import HTTPException
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

from sandbox.answers import Refusal
from sandbox.library import DEFAULT_NAMESPACE
from sandbox.spool import Spool

#: Every spelling of the callback parameter found in the seed (contract E.2 12).
CALLBACK_NAMES = ("callback", "callback_url", "callBackUri", "callBackURI")
#: Longest callback URL (contract B.2 U1).
CALLBACK_LENGTH = 299
#: Largest file (contract B.2 U1).
FILE_BYTES = 3 * 1024**3
TAGS = 20

_TEXT_BYTES = 1024 * 1024


class Upload(NamedTuple):
    spool: Spool
    file_name: str
    fields: MultiDict[str, str]


def read_upload(request: Request) -> Upload:
    """The part `file` of a multipart body, streamed to a spool; other file parts are dropped."""
    mimetype, parameters = parse_options_header(request.content_type)
    if mimetype != "multipart/form-data":
        raise Refusal("the request is not multipart/form-data")
    spools: list[Spool] = []

    def new_spool(*_: Any, **__: Any) -> IO[bytes]:
        spools.append(Spool())
        return spools[-1]  # type: ignore[return-value]

    parser = FormDataParser(stream_factory=new_spool, max_form_memory_size=_TEXT_BYTES, silent=False)
    file = None
    try:
        _, fields, files = parser.parse(request.stream, mimetype, request.content_length, parameters)
        file = files.get("file")
        if file is None:
            raise Refusal("the part 'file' is missing")
        spool: Any = file.stream
        if spool.size == 0:
            raise Refusal("the part 'file' is empty")
        if spool.size > FILE_BYTES:
            raise Refusal("the file is larger than 3 GB")
        spools.remove(spool)
        return Upload(spool, file.filename or "", fields)
    except (ValueError, HTTPException) as error:
        raise Refusal(f"the multipart body cannot be read: {error}") from None
    finally:
        for unused in spools:
            unused.close()


def read_fields(request: Request) -> Mapping[str, Any]:
    """Fields of a form or a JSON object, whatever the header says about JSON; query as fallback."""
    if request.form:
        return request.form
    if not request.get_data(cache=True):
        return request.args
    fields = request.get_json(force=True, silent=True)
    if not isinstance(fields, dict):
        raise Refusal("the body is no JSON object")
    return {**request.args, **fields}


def namespace(*places: Mapping[str, Any]) -> str:
    """`unique_id` from the first place that has it; must not be empty when present (contract A.7)."""
    value = _first(places, ("unique_id",))
    if value is None:
        return DEFAULT_NAMESPACE
    if not str(value):
        raise Refusal("unique_id must not be empty")
    return str(value)


def callback(*places: Mapping[str, Any]) -> str | None:
    url = _first(places, CALLBACK_NAMES)
    if not url:
        return None
    if len(str(url)) > CALLBACK_LENGTH:
        raise Refusal(f"the callback is longer than {CALLBACK_LENGTH} characters")
    return str(url)


def extras(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata of a video; the service adds a tag `api` of its own (contract B.2 U1, E.2 37)."""
    given = {
        name: fields[name]
        for name in ("datetime_taken", "camera_model", "latitude", "longitude")
        if fields.get(name) not in (None, "")
    }
    if ("latitude" in given) != ("longitude" in given):
        raise Refusal("latitude and longitude must be sent together")
    tags = fields.getlist("tags") if isinstance(fields, MultiDict) else fields.get("tags") or []
    tags = [tags] if isinstance(tags, str) else list(tags)
    if len(tags) > TAGS:
        raise Refusal(f"more than {TAGS} tags")
    return {**given, "tags": [*tags, "api"]} if tags else given


def link(fields: Mapping[str, Any]) -> str:
    url = fields.get("url")
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
    except ValueError:
        parts = None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise Refusal("the parameter 'url' is missing or no http link")
    return str(url)


def number(fields: Mapping[str, Any], name: str, default: int) -> int:
    """A whole number from 1, given as number or text."""
    value = fields.get(name)
    if value is None or value == "":
        return default
    try:
        whole = int(value)
    except (TypeError, ValueError):
        whole = 0
    if whole < 1:
        raise Refusal(f"{name} is no number from 1")
    return whole


def words(fields: Mapping[str, Any], name: str) -> list[str]:
    """A list of strings; absent is empty."""
    value = fields.get(name) or []
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise Refusal(f"{name} is no list of strings")
    return value


def _first(places: Iterable[Mapping[str, Any]], names: Iterable[str]) -> Any:
    wanted = list(names)
    return next((place[name] for place in places for name in wanted if place.get(name) is not None), None)
