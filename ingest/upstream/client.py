"""Calls to Memories.ai over httpx. One call, one fresh connection, one verdict; nothing is retried here.

Two hosts, two keys: an ``Upstream`` is one of them. ``caption_...`` belong to the host of the captions, all else to the other.

A dead keep-alive connection must not make an item UNSURE, so connections are not reused. The request waits for its slot *after*
the connection stands: httpcore's trace calls ``Gate.before_write`` before the first header byte and ``Gate.wrote`` after the headers.
"""

import hashlib
import json
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
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
    Caption,
    Counters,
    Envelope,
    Image,
    Video,
    read_caption,
    read_counters,
    read_envelope,
    read_images,
    read_task,
    read_upload,
    read_video,
    read_videos,
)

PREFIX = "/serve/api/v1/"
UNDERSTAND_PREFIX = "/v1/understand/"
#: The vendor stores at most so many characters of a callback address (contract B.2 U1).
CALLBACK_LIMIT = 299
LIST_PAGE = 200
#: People to look for in one call (seed, Human ReID; contract B.7 D1).
MOST_PERSONS = 5
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
#: What the host of the captions says to whatever it does not do: only the words tell why (contract A.4).
_NO = "-1"
#: More exact than for 0001: here the words may also be of a link that the vendor could not fetch, which is the item's trouble.
_PASSING = ("try again", "network abnormal", "network is abnormal")


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


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody to look for: a name, and a picture as a public link or as a file (contract B.7 D1)."""

    name: str
    url: str | None = None
    path: Path | None = None
    #: The name and the kind that the file travels under; its own name without one.
    file_name: str | None = None
    content_type: str = "image/jpeg"

    def __post_init__(self) -> None:
        if bool(self.url) == (self.path is not None):
            raise ValueError(f"{self.name} needs one reference picture: a link or a file")


@dataclass(frozen=True, slots=True)
class Wish:
    """What a caption is to tell (contract B.7 D1)."""

    prompt: str
    system_prompt: str
    persons: tuple[Person, ...] = ()
    #: None leaves it to the vendor, who takes that for no.
    thinking: bool | None = None

    def __post_init__(self) -> None:
        if len(self.persons) > MOST_PERSONS:
            raise ValueError(f"a caption looks for at most {MOST_PERSONS} persons, not for {len(self.persons)}")

    def body(self) -> dict[str, Any]:
        """As JSON. A person whose picture is a file is named only: the files follow in the same order."""
        body: dict[str, Any] = {"user_prompt": self.prompt, "system_prompt": self.system_prompt}
        if self.persons:
            body["persons"] = [{"name": one.name, **({"url": one.url} if one.url else {})} for one in self.persons]
        if self.thinking is not None:
            body["thinking"] = self.thinking
        return body


#: What a caption is asked about: a public link, or a file that is open.
CaptionSource = str | FileBody


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture on its way into the library. Those of one call share their ``details`` (contract B.2 U9)."""

    path: Path
    name: str
    content_type: str = "image/jpeg"
    details: Details = field(default_factory=Details)


@dataclass(frozen=True, slots=True)
class SentPicture:
    """What became of one picture; ``sha256`` is of the bytes that left, None when they did not leave whole."""

    image: Image
    sha256: str | None
    size: int


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
        if quality is not None:
            body["quality"] = quality
        return self._scrape("scraper_url", body, "callback_url", unique_id, callback, public, gate)

    def scraper(self, url: str, count: int, unique_id: str, callback: str | None, public: bool, gate: Gate) -> str:
        """U5 and U6: the task id. The newest ``count`` posts of a profile, which the vendor calls ``username``."""
        body: dict[str, Any] = {"username": url, "scraper_cnt": count}
        return self._scrape("scraper", body, "callback_url", unique_id, callback, public, gate)

    def scraper_tag(
        self, tags: Sequence[str], count: int, unique_id: str, callback: str | None, public: bool, gate: Gate
    ) -> str:
        """U7 and U8: the task id. ``count`` posts for each hashtag of TikTok, without its ``#``."""
        body: dict[str, Any] = {"hash_tags": list(tags), "scraper_cnt": count}
        return self._scrape("scraper_tag", body, "callback", unique_id, callback, public, gate)

    def _scrape(
        self,
        path: str,
        body: dict[str, Any],
        callback_name: str,
        unique_id: str,
        callback: str | None,
        public: bool,
        gate: Gate,
    ) -> str:
        path = f"{path}_public" if public else path
        if not public:
            body["unique_id"] = unique_id
        if callback:
            body[callback_name] = callback
        envelope = self._call("POST", path, gate, json=body)
        return _must(read_task(envelope.data), f"{path} answered without a taskId")

    def upload_images(self, pictures: Sequence[Picture], unique_id: str, gate: Gate) -> list[SentPicture]:
        """U9: all in one call, answered in their order. One bad picture refuses the whole call, as far as is known.

        ValueError when their details differ: the call has room for one set, which holds for all its pictures. An OSError is
        of a file; it says nothing of the call.
        """
        details = {picture.details for picture in pictures}
        if len(details) != 1:
            raise ValueError("the pictures of one call share their details, and there is at least one")
        with ExitStack() as opened:
            bodies = [
                opened.enter_context(FileBody(one.path, one.name, content_type=one.content_type)) for one in pictures
            ]
            files = [("files", (body.name, body, body.content_type)) for body in bodies]
            fields = {"unique_id": unique_id, **details.pop().form()}
            envelope = self._call("POST", "upload_img", gate, data=fields, files=files)
        images = read_images(envelope.data)
        if len(images) != len(bodies):
            told = f": {', '.join(image.image_no for image in images)}" if images else ""
            raise Unsure("no_id", f"upload_img answered with {len(images)} numbers for {len(bodies)} pictures{told}")
        return [SentPicture(image, body.sha256, body.size) for image, body in zip(images, bodies, strict=True)]

    # Captions. Each costs when it is accepted; there is no call that asks what became of one (contract B.7).

    def caption_video(self, source: CaptionSource, wish: Wish, callback: str, gate: Gate) -> str:
        """D1 for a link, D2 for a file: the task id. The result comes to ``callback``, once, and nowhere else.

        ValueError for a link with a reference picture that is a file: such a call does not exist.
        """
        path = "upload" if isinstance(source, str) else "uploadFile"
        with _asked(source, wish, link="video_url", file="files", callback=callback) as content:
            data = self._understand(path, gate, **content).data
        return _must(read_task(data), f"{path} answered without a task_id")

    def caption_video_now(self, source: CaptionSource, wish: Wish, gate: Gate, patience: float = 900.0) -> Caption:
        """D3: as :meth:`caption_video`, but the answer is the result; it may take ``patience`` seconds.

        Unsure may mean that it was made, paid for and lost.
        """
        path = "uploadSync" if isinstance(source, str) else "uploadFileSync"
        with _asked(source, wish, link="video_url", file="files") as content:
            return self._caption(path, gate, patience, content)

    def caption_image(self, source: CaptionSource, wish: Wish, gate: Gate, patience: float | None = None) -> Caption:
        """D4 for a link, D5 for a file: the answer is the result; ``patience`` as above, else as for any call."""
        path = "uploadImg" if isinstance(source, str) else "uploadImgFile"
        with _asked(source, wish, link="url", file="file") as content:
            return self._caption(path, gate, patience, content)

    def _caption(self, path: str, gate: Gate, patience: float | None, content: Mapping[str, Any]) -> Caption:
        caption = read_caption(self._understand(path, gate, patience, **content).data)
        if caption is None:
            raise Unsure("no_text", f"{path} answered without a text")
        return caption

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

    def public_counters(self, video_no: str, gate: Gate) -> Counters:
        """L6: views, likes, shares and comments of a public video."""
        envelope = self._call("GET", "get_public_video_detail", gate, params={"video_no": video_no})
        return read_counters(envelope.data)

    def public_detail(self, video_no: str, gate: Gate) -> Video | None:
        """L6: one video of the public library, which is in no list."""
        return read_video(self._call("GET", "get_public_video_detail", gate, params={"video_no": video_no}).data)

    def _call(self, method: str, path: str, gate: Gate, **content: Any) -> Envelope:
        return self._send(_Target(method, PREFIX, path, "MEMORIES_API_URL"), gate, content)

    def _understand(self, path: str, gate: Gate, patience: float | None = None, **content: Any) -> Envelope:
        if patience is not None:
            usual = self._client.timeout
            content["timeout"] = httpx.Timeout(connect=usual.connect, read=patience, write=usual.write, pool=usual.pool)
        return self._send(_Target("POST", UNDERSTAND_PREFIX, path, "MEMORIES_CAPTION_URL"), gate, content)

    def _send(self, target: "_Target", gate: Gate, content: Mapping[str, Any]) -> Envelope:
        call = _Call(gate)
        with self._lock:
            if self._cut:
                raise Unavailable("stopping", "the service is stopping")
            self._calls.add(call)
        try:
            request = self._client.build_request(
                target.method,
                self._base + target.prefix + target.path,
                **content,
                extensions={"trace": call.trace},
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
        return _verdict(response, body.replace(self._key, b"[key]") if self._key else body, target)


@contextmanager
def _asked(
    source: CaptionSource, wish: Wish, *, link: str, file: str, callback: str | None = None
) -> Iterator[dict[str, Any]]:
    """A caption's request as httpx takes it: JSON for a link; for a file a form whose part ``req`` is that JSON."""
    body = {**wish.body(), **({"callback": callback} if callback else {})}
    paths = [(one, one.path) for one in wish.persons if one.path is not None]
    if isinstance(source, str):
        if paths:
            raise ValueError("beside a link, reference pictures must be links too: only a form can carry files")
        yield {"json": {link: source, **body}}
        return
    with ExitStack() as opened:
        references = [
            opened.enter_context(FileBody(path, one.file_name or path.name, content_type=one.content_type))
            for one, path in paths
        ]
        files: list[tuple[str, tuple[str, Any, str]]] = [
            ("req", ("req.json", json.dumps(body).encode(), "application/json"))
        ]
        files += [(file, (source.name, source, source.content_type))]
        files += [("file", (one.name, one, one.content_type)) for one in references]
        yield {"files": files}


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a call goes, and the setting that is wrong when nothing is there."""

    method: str
    prefix: str
    path: str
    setting: str


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


def _verdict(response: httpx.Response, body: bytes, target: _Target) -> Envelope:
    """The envelope first, the HTTP status second: errors of this vendor travel as HTTP 200 (contract A.3, A.4)."""
    status, path = response.status_code, target.path
    envelope = read_envelope(body)
    if envelope is None or (status >= 500 and envelope.code not in (*_TOO_FAST_CODES, *_ACCOUNT_CODES)):
        raise _status_verdict(response, body, target)
    if envelope.ok and response.is_success:
        return envelope
    code, message = envelope.code, envelope.message or f"{path} answered {envelope.code} without a message"
    if code in _TOO_FAST_CODES:
        raise TooFast("0429", message)
    if code in _ACCOUNT_CODES:
        raise AccountTrouble(_ACCOUNT_CODES[code], message)
    if status in (401, 402, 403, 429):  # some gateway's own code: these say enough
        raise _status_verdict(response, body, target)
    if code == "0001" and any(word in message.lower() for word in ("network", "try again")):
        raise Unavailable(code, message)  # a fault at the vendor's edge, seen to pass quickly (contract A.4)
    if code == _NO and "request has exceeded the limit" in message.lower():
        raise TooFast("0429", message)
    if code == _NO and any(words in message.lower() for words in _PASSING):
        raise Unavailable(code, message)
    if code == "0001" and "no static resource" in message.lower():  # the address is wrong, not the item
        raise Missing(code, message)
    if code in OK_CODES:
        raise Unsure(code, f"{path} contradicts itself (code {code}, HTTP {status}): {message}")
    raise Refused(code, message)


def _status_verdict(response: httpx.Response, body: bytes, target: _Target) -> UpstreamError:
    status, path = response.status_code, target.path
    page = body[:120].decode("utf-8", "replace").replace("\0", "").strip()
    if status == 429:
        return TooFast("0429", "Request has exceeded the limit (HTTP 429)")
    if status in (401, 402, 403):
        return AccountTrouble(f"0{status}", f"{path} answered HTTP {status}")
    if status in (404, 405) or 300 <= status < 400:
        where = response.headers.get("location", "")
        hint = f" and points to {where}" if where else ""
        return Missing(f"http_{status}", f"{path} answered HTTP {status}{hint}; is {target.setting} right?")
    if 400 <= status < 500 and status not in (408, 425):  # these two speak of the moment, not of the item
        return Refused(f"http_{status}", f"{path} answered HTTP {status}: {page}")
    return Unsure(f"http_{status}", f"{path} answered HTTP {status} with a body that is no verdict: {page}")


def _must(value: str | None, complaint: str) -> str:
    if value is None:
        raise Unsure("no_id", complaint)
    return value
