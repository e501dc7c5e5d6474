"""Reading what callers send: multipart with a file, forms, JSON, queries (contract E.2)."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, NamedTuple
from urllib.parse import urlsplit

from flask import Request
from werkzeug.datastructures import FileStorage, MultiDict
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
#: Most tags of a video and of an image (contract E.2 37).
TAGS, IMAGE_TAGS = 20, 50

_TEXT_BYTES = 1024 * 1024


class Part(NamedTuple):
    spool: Spool
    file_name: str


class Multipart:
    """A multipart body: its fields, and its file parts by name."""

    def __init__(self, fields: MultiDict[str, str], files: MultiDict[str, FileStorage]) -> None:
        self.fields = fields
        self._files = files

    def all(self, name: str, needed: bool = True) -> list[Part]:
        """The file parts of this name, in their order; none of them is empty."""
        parts = [Part(file.stream, file.filename or "") for file in self._files.getlist(name)]  # type: ignore[arg-type]
        if not parts and needed:
            raise Refusal(f"the part '{name}' is missing")
        if any(part.spool.size == 0 for part in parts):
            raise Refusal(f"the part '{name}' is empty")
        return parts

    def text(self, name: str) -> str:
        """A part that may come as a field or as a small file; empty when it is in neither."""
        file = self._files.get(name)
        if file is None:
            return self.fields.get(name, "")
        file.stream.seek(0)
        return file.stream.read(_TEXT_BYTES).decode(errors="replace")


@contextmanager
def multipart(request: Request) -> Iterator[Multipart]:
    """File parts are streamed to spools, which live as long as the context."""
    mimetype, parameters = parse_options_header(request.content_type)
    if mimetype != "multipart/form-data":
        raise Refusal("the request is not multipart/form-data")
    spools: list[Spool] = []

    def new_spool(*_: Any, **__: Any) -> IO[bytes]:
        spools.append(Spool())
        return spools[-1]  # type: ignore[return-value]

    parser = FormDataParser(stream_factory=new_spool, max_form_memory_size=_TEXT_BYTES, silent=False)
    try:
        try:
            _, fields, files = parser.parse(request.stream, mimetype, request.content_length, parameters)
        except (ValueError, HTTPException) as error:
            raise Refusal(f"the multipart body cannot be read: {error}") from None
        yield Multipart(fields, files)
    finally:
        for spool in spools:
            spool.close()


def file_of(sent: Multipart) -> Part:
    """The part `file` (contract B.2 U1)."""
    file = sent.all("file")[0]
    if file.spool.size > FILE_BYTES:
        raise Refusal("the file is larger than 3 GB")
    return file


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


def read_object(request: Request) -> Mapping[str, Any]:
    """Fields of a JSON object and of nothing else (contract B.7)."""
    fields = request.get_json(force=True, silent=True)
    if not isinstance(fields, dict):
        raise Refusal("the body is no JSON object")
    return fields


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


def extras(fields: Mapping[str, Any], most_tags: int = TAGS) -> dict[str, Any]:
    """Metadata of a video or an image; the service adds a tag `api` of its own (contract B.2 U1, E.2 37)."""
    given = {
        name: fields[name]
        for name in ("datetime_taken", "camera_model", "latitude", "longitude")
        if fields.get(name) not in (None, "")
    }
    if ("latitude" in given) != ("longitude" in given):
        raise Refusal("latitude and longitude must be sent together")
    tags = fields.getlist("tags") if isinstance(fields, MultiDict) else fields.get("tags") or []
    tags = [tags] if isinstance(tags, str) else list(tags)
    if len(tags) > most_tags:
        raise Refusal(f"more than {most_tags} tags")
    return {**given, "tags": [*tags, "api"]} if tags else given


def link(fields: Mapping[str, Any], name: str = "url") -> str:
    url = fields.get(name)
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
    except ValueError:
        parts = None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise Refusal(f"the parameter '{name}' is missing or no http link")
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


def text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value.strip():
        raise Refusal(f"the parameter '{name}' is missing or no text")
    return value


def words(fields: Mapping[str, Any], name: str) -> list[str]:
    """A list of strings; absent is empty."""
    value = fields.get(name) or []
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise Refusal(f"{name} is no list of strings")
    return value


def _first(places: Iterable[Mapping[str, Any]], names: Iterable[str]) -> Any:
    wanted = list(names)
    return next((place[name] for place in places for name in wanted if place.get(name) is not None), None)
