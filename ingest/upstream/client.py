"""Calls to Memories.ai over httpx. One call, one fresh connection, one verdict; nothing is retried here.

A dead keep-alive connection must not make an item UNSURE, so connections are not reused. The request waits for its slot *after*
the connection stands: httpcore's trace calls ``Gate.before_write`` before the first header byte and ``Gate.wrote`` after the headers.
"""

import hashlib
import socket
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import h11
import httpx

from ingest.clock import now_ms
from ingest.upstream.errors import AccountTrouble, Missing, Refused, TooFast, Unavailable, Unsure, UpstreamError
from ingest.upstream.fields import (
    OK_CODES,
    Envelope,
    Video,
    read_envelope,
    read_task,
    read_upload,
    read_video,
    read_videos,
)

PREFIX = "/serve/api/v1/"
#: The vendor stores at most so many characters of a callback address (contract B.2 U1).
CALLBACK_LIMIT = 299
LIST_PAGE = 200
_CHUNK = 1 << 20
_CONNECT_SECONDS = 10.0
#: An answer longer than this is not from the vendor; a page of 200 videos has about 60 kB.
_LONGEST_ANSWER = 32 << 20
_ACCOUNT_CODES = {
    "0401": "0401",
    "401": "0401",
    "0402": "0402",
    "402": "0402",
    "0403": "0403",
    "403": "0403",
    "9009": "9009",
}
_TOO_FAST_CODES = frozenset({"0429", "429"})


class Gate(Protocol):
    """What stands between a request and the wire."""

    def before_write(self) -> None:
        """Called when the connection stands; returns when the request may be written, raises to send nothing."""

    def wrote(self) -> None:
        """Called when the request's headers are on the wire."""


class OpenGate:
    """No limit."""

    def before_write(self) -> None: ...

    def wrote(self) -> None: ...


@dataclass(slots=True)
class FileBody:
    """A file on its way: hashed while it is read, in 1 MiB pieces, never whole in memory."""

    path: Path
    name: str
    content_type: str = "video/mp4"
    sha256: str | None = None
    size: int = 0
    _hash: Any = field(default_factory=hashlib.sha256)
    _file: BinaryIO | None = None

    def __enter__(self) -> "FileBody":
        self._file = self.path.open("rb")
        return self

    def __exit__(self, *_exc: object) -> None:
        assert self._file is not None
        self._file.close()

    def fileno(self) -> int:
        """httpx takes the length from here."""
        assert self._file is not None
        return self._file.fileno()

    def read(self, _size: int = -1) -> bytes:
        # httpx asks for 64 KiB at a time; a megabyte is faster than curl, and it takes what it is given.
        assert self._file is not None
        piece = self._file.read(_CHUNK)
        if piece:
            self._hash.update(piece)
            self.size += len(piece)
        else:
            self.sha256 = self._hash.hexdigest()
        return piece


@dataclass(frozen=True, slots=True)
class Details:
    """What may be said of a video when it is sent (contract B.2 U1)."""

    tags: tuple[str, ...] = ()
    #: ``YYYY-MM-DD HH:MM:SS``
    datetime_taken: str | None = None
    camera_model: str | None = None
    latitude: float | None = None
    longitude: float | None = None

    def form(self) -> dict[str, Any]:
        """As form fields; a tag is a field of its own, repeated."""
        given = {
            "tags": list(self.tags),
            "datetime_taken": self.datetime_taken,
            "camera_model": self.camera_model,
            "latitude": self.latitude,
            "longitude": self.longitude,
        }
        return {name: value for name, value in given.items() if value not in (None, [])}


class Upstream:
    """The vendor at one address with one key. Thread-safe; ``cut`` ends what is under way."""

    def __init__(
        self,
        base_url: str,
        key: str,
        *,
        silence: float = 120.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        #: How far the vendor's clock is ahead of ours by its last answer, seconds; None as long as it has not said.
        self.ahead: float | None = None
        #: It has answered at least once, so that ``ahead`` is all that will be known of its clock.
        self.spoke = False
        host = httpx.URL(base_url).host
        self._base = base_url.rstrip("/")
        self._key = key.encode()
        self._calls: set[_Call] = set()
        self._lock = threading.Lock()
        self._cut = False
        self._client = httpx.Client(
            # The raw key, no scheme word (contract A.2).
            headers={"Authorization": key, "User-Agent": "memories-ingest"},
            timeout=httpx.Timeout(silence, connect=_CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            trust_env=host not in ("127.0.0.1", "localhost", "::1"),
            transport=transport,
            follow_redirects=False,
            event_hooks={"response": [self._read_clock]},
        )

    def _read_clock(self, response: httpx.Response) -> None:
        self.spoke = True
        try:
            # The header has whole seconds, cut off.
            said = parsedate_to_datetime(response.headers.get("date", "")).timestamp() + 0.5
        except ValueError:
            return
        self.ahead = said - now_ms() / 1000

    def close(self) -> None:
        self._client.close()

    def cut(self) -> None:
        """End the running requests now: their threads see a broken connection."""
        with self._lock:
            self._cut = True
            calls = list(self._calls)
        for call in calls:
            call.cut()

    # What changes something.

    def upload(self, body: FileBody, unique_id: str, callback: str | None, details: Details, gate: Gate) -> str:
        """U1: the video_no."""
        fields = {"unique_id": unique_id, **({"callback": callback} if callback else {}), **details.form()}
        envelope = self._call("POST", "upload", gate, data=fields, files={"file": (body.name, body, body.content_type)})
        return _must(read_upload(envelope.data), "upload answered without a videoNo")

    def upload_url(self, url: str, unique_id: str, callback: str | None, details: Details, gate: Gate) -> str:
        """U2, as a form (JSON is refused by some deployments): the video_no."""
        fields = {"url": url, "unique_id": unique_id, **({"callback": callback} if callback else {}), **details.form()}
        envelope = self._call("POST", "upload_url", gate, data=fields)
        return _must(read_upload(envelope.data), "upload_url answered without a videoNo")

    def scraper_url(
        self,
        urls: Sequence[str],
        unique_id: str,
        callback: str | None,
        quality: int | None,
        public: bool,
        gate: Gate,
    ) -> str:
        """U3 and U4: the task id. All urls of one platform, at most 50."""
        body: dict[str, Any] = {"video_urls": list(urls)}
        if not public:
            body["unique_id"] = unique_id
        if callback:
            body["callback_url"] = callback
        if quality is not None:
            body["quality"] = quality
        path = "scraper_url_public" if public else "scraper_url"
        envelope = self._call("POST", path, gate, json=body)
        return _must(read_task(envelope.data), f"{path} answered without a taskId")

    # Questions.

    def list_videos(
        self, unique_id: str, page: int, gate: Gate, video_nos: Sequence[str] | None = None, size: int = LIST_PAGE
    ) -> list[Video]:
        """L1, one page, newest first; with ``video_nos`` only those, where the vendor honours it."""
        body: dict[str, Any] = {"page": page, "size": size, "unique_id": unique_id}
        if video_nos:
            body["video_nos"] = list(video_nos)
        data = self._call("POST", "list_videos", gate, json=body).data
        if not (isinstance(data, Mapping) and isinstance(data.get("videos"), list)):
            # An empty page may prove that a file never arrived; an answer without a list proves nothing.
            raise Unsure("no_list", "list_videos answered without a list of videos")
        return read_videos(data)

    def task_videos(self, task_id: str, unique_id: str, gate: Gate) -> list[Video]:
        """L3: what a scraper task has produced so far; empty while it downloads."""
        params = {"task_id": task_id, "unique_id": unique_id}
        return read_videos(self._call("GET", "get_video_ids_by_task_id", gate, params=params).data)

    def metadata(self, video_no: str, unique_id: str, gate: Gate) -> Video | None:
        """L4: one video; None when it is not there (yet)."""
        params = {"video_no": video_no, "unique_id": unique_id}
        return read_video(self._call("GET", "get_metadata", gate, params=params).data)

    def private_details(self, video_no: str, unique_id: str, gate: Gate) -> Video | None:
        """L5: one video with the address it was scraped from."""
        params = {"video_no": video_no, "unique_id": unique_id}
        return read_video(self._call("GET", "get_private_video_details", gate, params=params).data)

    def public_detail(self, video_no: str, gate: Gate) -> Video | None:
        """L6: one video of the public library, which is in no list."""
        return read_video(self._call("GET", "get_public_video_detail", gate, params={"video_no": video_no}).data)

    def _call(self, method: str, path: str, gate: Gate, **content: Any) -> Envelope:
        call = _Call(gate)
        with self._lock:
            if self._cut:
                raise Unavailable("stopping", "the service is stopping")
            self._calls.add(call)
        try:
            request = self._client.build_request(
                method, self._base + PREFIX + path, extensions={"trace": call.trace}, **content
            )
            response = self._client.send(request, stream=True)
            try:
                body = _read(response)
            finally:
                response.close()
        except (httpx.TransportError, httpx.DecodingError, h11.LocalProtocolError) as error:
            raise _transport_verdict(error, call.wrote, self._base) from error
        finally:
            with self._lock:
                self._calls.discard(call)
        # A vendor that quotes the key in its message must not carry it into our rows and logs.
        return _verdict(response, body.replace(self._key, b"[key]") if self._key else body, path)


class _Call:
    """One request under way: its gate and its socket."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._stream: Any = None
        #: From here on bytes may have left.
        self.wrote = False

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._stream = info["return_value"]
        elif event.startswith("http11.send_request_headers") and info.get("request") is not None:
            if info["request"].method == b"CONNECT":
                return  # a proxy's tunnel, not our request
            if event.endswith("started"):
                self._gate.before_write()
                self.wrote = True
        if event == "http11.send_request_headers.complete" and self.wrote:
            self._gate.wrote()

    def cut(self) -> None:
        if self._stream is None:
            return
        plain = self._stream.get_extra_info("socket")
        try:
            plain.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it ended by itself meanwhile


def _read(response: httpx.Response) -> bytes:
    pieces, length = [], 0
    for piece in response.iter_bytes():
        length += len(piece)
        if length > _LONGEST_ANSWER:
            raise httpx.ReadError("the answer does not end")
        pieces.append(piece)
    return b"".join(pieces)


def _transport_verdict(error: Exception, wrote: bool, base: str) -> Unavailable | Unsure:
    said = str(error).strip() or type(error).__name__
    if not wrote:
        return Unavailable("unreachable", f"{base} cannot be reached: {said}")
    if isinstance(error, httpx.ReadTimeout):
        said = "no answer came in time"
    if isinstance(error, h11.LocalProtocolError):  # the body had not the length that was told
        said = "the file changed while it was sent"
    return Unsure("no_answer", f"the request left, but no readable answer came: {said}")


def _verdict(response: httpx.Response, body: bytes, path: str) -> Envelope:
    """The envelope first, the HTTP status second: errors of this vendor travel as HTTP 200 (contract A.3, A.4)."""
    status = response.status_code
    envelope = read_envelope(body)
    if envelope is None or (status >= 500 and envelope.code not in (*_TOO_FAST_CODES, *_ACCOUNT_CODES)):
        raise _status_verdict(response, body, path)
    if envelope.ok and response.is_success:
        return envelope
    code, message = envelope.code, envelope.message or f"{path} answered {envelope.code} without a message"
    if code in _TOO_FAST_CODES:
        raise TooFast("0429", message)
    if code in _ACCOUNT_CODES:
        raise AccountTrouble(_ACCOUNT_CODES[code], message)
    if status in (401, 402, 403, 429):  # some gateway's own code: these say enough
        raise _status_verdict(response, body, path)
    if code == "0001" and any(word in message.lower() for word in ("network", "try again")):
        raise Unavailable(code, message)  # a fault at the vendor's edge, seen to pass quickly (contract A.4)
    if code == "0001" and "no static resource" in message.lower():  # the address is wrong, not the item
        raise Missing(code, message)
    if code in OK_CODES:
        raise Unsure(code, f"{path} contradicts itself (code {code}, HTTP {status}): {message}")
    raise Refused(code, message)


def _status_verdict(response: httpx.Response, body: bytes, path: str) -> UpstreamError:
    status = response.status_code
    page = body[:120].decode("utf-8", "replace").replace("\0", "").strip()
    if status == 429:
        return TooFast("0429", "Request has exceeded the limit (HTTP 429)")
    if status in (401, 402, 403):
        return AccountTrouble(f"0{status}", f"{path} answered HTTP {status}")
    if status in (404, 405) or 300 <= status < 400:
        where = response.headers.get("location", "")
        hint = f" and points to {where}" if where else ""
        return Missing(f"http_{status}", f"{path} answered HTTP {status}{hint}; is MEMORIES_API_URL right?")
    if 400 <= status < 500 and status not in (408, 425):  # these two speak of the moment, not of the item
        return Refused(f"http_{status}", f"{path} answered HTTP {status}: {page}")
    return Unsure(f"http_{status}", f"{path} answered HTTP {status} with a body that is no verdict: {page}")


def _must(value: str | None, complaint: str) -> str:
    if value is None:
        raise Unsure("no_id", complaint)
    return value
