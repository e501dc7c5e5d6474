"""One call, one verdict. The vendor is an httpx transport, or a real socket where it matters what was on the wire."""

import gzip
import hashlib
import json
import queue
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs

import httpx
import pytest

from ingest.upstream.client import Details, FileBody, OpenGate, Upstream
from ingest.upstream.errors import AccountTrouble, Missing, Refused, TooFast, Unavailable, Unsure, UpstreamError, Wait
from ingest.upstream.fields import Video, Word

KEY = "sk-0123456789abcdef"
URL = "https://vendor.example"
BEACH = "VI631413884779040768"
TASK = "0d6c1b7e-52f4-4a39-9e80-6b1f2c7a9d35_9f3b6c1de4a85270b1c2d3e4f5a60718"
PAYLOADS = Path(__file__).parent.parent / "payloads"
OPEN = OpenGate()
NOTHING = Details()


def payload(name: str) -> bytes:
    return (PAYLOADS / f"response-{name}.json").read_bytes()


def envelope(code: Any = "0000", msg: str = "success", **more: Any) -> bytes:
    return json.dumps({"code": code, "msg": msg, "data": None, **more}).encode()


class Vendor:
    """Answers every request the same and keeps what it was asked."""

    def __init__(
        self, body: bytes = payload("upload"), status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        self.requests: list[httpx.Request] = []
        self._answer = (status, headers or {}, body)
        self.upstream = Upstream(URL, KEY, transport=httpx.MockTransport(self._handle))

    def _handle(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        status, headers, body = self._answer
        return httpx.Response(status, headers=headers, content=body)

    @property
    def asked(self) -> httpx.Request:
        assert len(self.requests) == 1
        return self.requests[0]


def verdict(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> UpstreamError | None:
    """What an upload comes to that is answered like this; None: accepted."""
    vendor = Vendor(body, status, headers)
    try:
        vendor.upstream.upload_url("https://a.example/b.mp4", "default", None, NOTHING, OPEN)
    except UpstreamError as error:
        assert KEY not in f"{error} {error!r}"
        return error
    return None


def is_(error: UpstreamError | None, kind: type[UpstreamError], code: str) -> bool:
    return type(error) is kind and error.code == code


# The verdict: the envelope first


@pytest.mark.parametrize("name", ["upload", "upload-hex-name", "upload-url", "upload-url-short"])
def test_a_yes_is_a_yes(name):
    assert verdict(payload(name)) is None


@pytest.mark.parametrize("code", ["0000", "0", 0, "200", 200, "SUCCESS"])
def test_every_spelling_of_yes_is_a_yes(code):
    assert verdict(envelope(code, data={"videoNo": BEACH})) is None


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("error-0001-network-abnormal", Unavailable, "0001"),
        ("error-0001-parameter", Refused, "0001"),
        ("error-0001-video-not-found", Refused, "0001"),
        ("error-0001-no-static-resource", Missing, "0001"),
        ("error-0401", AccountTrouble, "0401"),
        ("error-0402", AccountTrouble, "0402"),
        ("error-0403", AccountTrouble, "0403"),
        ("error-0409", Refused, "0409"),
        ("error-0429", TooFast, "0429"),
        ("error-0429-full", TooFast, "0429"),
        ("error-9009", AccountTrouble, "9009"),
        ("understand-rejected", Refused, "-1"),
    ],
)
def test_an_error_that_comes_as_http_200_is_an_error(name, kind, code):
    error = verdict(payload(name))
    assert is_(error, kind, code)
    assert error is not None and error.message == json.loads(payload(name))["msg"]


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        ("0003", Refused, "0003"),
        ("16", Refused, "16"),
        (-1, Refused, "-1"),
        (400, Refused, "400"),
        (401, AccountTrouble, "0401"),
        (402, AccountTrouble, "0402"),
        (403, AccountTrouble, "0403"),
        (9009, AccountTrouble, "9009"),
        (429, TooFast, "0429"),
        ("what", Refused, "what"),
    ],
)
def test_a_code_may_be_a_number_or_unknown(code, kind, said):
    assert is_(verdict(envelope(code, "no")), kind, said)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
@pytest.mark.parametrize(("code", "kind"), [("0402", AccountTrouble), ("0429", TooFast)])
def test_the_envelope_goes_before_the_status(status, code, kind):
    assert is_(verdict(envelope(code, "no"), status), kind, code)


@pytest.mark.parametrize("kind", [TooFast, AccountTrouble])
def test_what_has_nothing_to_do_with_the_item_only_waits(kind):
    assert issubclass(kind, Wait)
    assert not issubclass(kind, Refused | Unavailable | Unsure)


@pytest.mark.parametrize("message", ["Network abnormal", "Please TRY AGAIN later", "the network is abnormal"])
def test_a_fault_at_the_vendors_edge_is_tried_again(message):
    assert is_(verdict(envelope("0001", message, success=False)), Unavailable, "0001")


def test_a_no_without_words_still_says_what_happened():
    error = verdict(b'{"code": "0001"}')
    assert error is not None and error.message == "upload_url answered 0001 without a message"


@pytest.mark.parametrize("flags", [{"success": False}, {"failed": True}])
def test_a_yes_whose_flags_say_no_is_no_verdict(flags):
    assert is_(verdict(envelope("0000", "hm", **{"data": {"videoNo": BEACH}, **flags})), Unsure, "0000")


@pytest.mark.parametrize("status", [301, 400, 404])
def test_a_yes_whose_status_says_no_is_no_verdict(status):
    assert is_(verdict(payload("upload"), status), Unsure, "0000")


@pytest.mark.parametrize("data", [None, {}, [], "x", {"videoNo": None}, {"videoNo": "null"}, {"videoName": "beach"}])
def test_a_yes_that_names_no_video_is_no_verdict(data):
    assert is_(verdict(envelope(data=data)), Unsure, "no_id")


# The verdict: the status second


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (401, AccountTrouble, "0401"),
        (402, AccountTrouble, "0402"),
        (403, AccountTrouble, "0403"),
        (429, TooFast, "0429"),
        (404, Missing, "http_404"),
        (405, Missing, "http_405"),
        (301, Missing, "http_301"),
        (302, Missing, "http_302"),
        (308, Missing, "http_308"),
        (400, Refused, "http_400"),
        (413, Refused, "http_413"),
        (415, Refused, "http_415"),
        (408, Unsure, "http_408"),
        (425, Unsure, "http_425"),
        (500, Unsure, "http_500"),
        (502, Unsure, "http_502"),
        (503, Unsure, "http_503"),
        (504, Unsure, "http_504"),
        (200, Unsure, "http_200"),
        (204, Unsure, "http_204"),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>no envelope</html>", b'{"status": 503, "error": "x"}', b"\0\xff"])
def test_without_an_envelope_the_status_decides(status, kind, code, body):
    assert is_(verdict(body, status), kind, code)


@pytest.mark.parametrize(
    "body", [b'{"code": "0000", "da', b"{}", b"[]", b"null", b'{"code": null}', b"\xff\xfe", b"0" * 5000]
)
def test_half_an_answer_is_no_verdict(body):
    assert is_(verdict(body), Unsure, "http_200")


@pytest.mark.parametrize("code", ["0000", "0001", "500", 500])
def test_a_server_error_is_no_verdict_even_with_an_envelope(code):
    assert is_(verdict(envelope(code, data={"videoNo": BEACH}), 500), Unsure, "http_500")


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (429, TooFast, "0429"),
        (401, AccountTrouble, "0401"),
        (402, AccountTrouble, "0402"),
        (403, AccountTrouble, "0403"),
    ],
)
def test_a_plain_status_counts_under_a_code_that_nobody_knows(status, kind, code):
    assert is_(verdict(envelope("rate_limited", "slow down"), status), kind, code)


def test_a_gateways_404_asks_whether_the_address_is_right():
    error = verdict(payload("http-404-gateway"), 404)
    assert error is not None and "is MEMORIES_API_URL right?" in error.message


def test_a_redirect_is_not_followed_with_the_key_and_says_where_it_points():
    vendor = Vendor(b"", 302, {"location": "https://elsewhere.example/"})
    with pytest.raises(Unavailable, match=r"points to https://elsewhere\.example/"):
        vendor.upstream.upload_url("https://a.example/b.mp4", "default", None, NOTHING, OPEN)
    assert vendor.asked.url.host == "vendor.example"


def test_a_message_is_one_that_a_database_takes():
    error = verdict(b"\0page\0", 502)
    assert error is not None and "\0" not in error.message and "page" in error.message


# What the requests look like


def form_of(request: httpx.Request) -> dict[str, list[str]]:
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    return parse_qs(request.content.decode(), strict_parsing=True)


def json_of(request: httpx.Request) -> Any:
    assert request.headers["content-type"] == "application/json"
    return json.loads(request.content)


def parts_of(request: httpx.Request) -> dict[str, EmailMessage]:
    head = b"Content-Type: " + request.headers["content-type"].encode() + b"\r\n\r\n"
    whole = BytesParser(policy=HTTP).parsebytes(head + request.content)
    parts = cast(list[EmailMessage], list(whole.iter_parts()))  # type: ignore[attr-defined]
    named = {str(part["content-disposition"].params["name"]): part for part in parts}
    assert len(named) == len(parts)
    return named


def test_a_link_travels_as_a_form():
    vendor = Vendor()
    callback = "https://me.example/webhooks/upload/token"
    assert vendor.upstream.upload_url("https://a.example/b c.mp4?x=1&y=ü", "anna", callback, NOTHING, OPEN) == BEACH
    assert (vendor.asked.method, str(vendor.asked.url)) == ("POST", f"{URL}/serve/api/v1/upload_url")
    assert form_of(vendor.asked) == {
        "url": ["https://a.example/b c.mp4?x=1&y=ü"],
        "unique_id": ["anna"],
        "callback": [callback],
    }


def test_posts_travel_as_json_with_a_callback_url():
    vendor = Vendor(payload("scraper-url"))
    urls = ["https://www.tiktok.com/@a/video/1", "https://www.tiktok.com/@a/video/2"]
    callback = "https://me.example/webhooks/scraper/token"
    assert vendor.upstream.scraper_url(urls, "anna", callback, 1080, False, OPEN) == TASK
    assert (vendor.asked.method, vendor.asked.url.path) == ("POST", "/serve/api/v1/scraper_url")
    assert json_of(vendor.asked) == {
        "video_urls": urls,
        "unique_id": "anna",
        "callback_url": callback,
        "quality": 1080,
    }


def test_public_posts_have_a_path_of_their_own_and_no_namespace():
    vendor = Vendor(payload("scraper-url"))
    assert vendor.upstream.scraper_url(["https://youtu.be/x"], "anna", None, None, True, OPEN) == TASK
    assert vendor.asked.url.path == "/serve/api/v1/scraper_url_public"
    assert json_of(vendor.asked) == {"video_urls": ["https://youtu.be/x"]}


def test_a_scrape_that_names_no_task_is_no_verdict():
    vendor = Vendor(envelope(data={}))
    with pytest.raises(Unsure, match="scraper_url answered without a taskId"):
        vendor.upstream.scraper_url(["https://youtu.be/x"], "default", None, None, False, OPEN)


def test_without_a_public_address_no_callback_is_named():
    vendor = Vendor()
    vendor.upstream.upload_url("https://a.example/b.mp4", "default", None, NOTHING, OPEN)
    assert set(form_of(vendor.asked)) == {"url", "unique_id"}


def test_a_page_of_the_list_has_two_hundred_videos():
    vendor = Vendor(payload("list-videos"))
    found = vendor.upstream.list_videos("anna", 3, OPEN)
    assert [video.word for video in found] == [Word.PENDING, Word.READY, Word.READY]
    assert (vendor.asked.method, vendor.asked.url.path) == ("POST", "/serve/api/v1/list_videos")
    assert json_of(vendor.asked) == {"page": 3, "size": 200, "unique_id": "anna"}


def test_the_list_can_be_asked_for_some_ids():
    vendor = Vendor(payload("list-videos-empty"))
    assert vendor.upstream.list_videos("anna", 1, OPEN, [BEACH]) == []
    assert json_of(vendor.asked)["video_nos"] == [BEACH]


@pytest.mark.parametrize(
    ("path", "ask", "answer", "query"),
    [
        (
            "get_video_ids_by_task_id",
            lambda up: [video.video_no for video in up.task_videos(TASK, "anna", OPEN)],
            ("task-status-video-ids", ["VI631414719810441219", "VI631414726324195332"]),
            {"task_id": TASK, "unique_id": "anna"},
        ),
        (
            "get_metadata",
            lambda up: up.metadata(BEACH, "anna", OPEN).video_no,
            ("get-metadata", BEACH),
            {"video_no": BEACH, "unique_id": "anna"},
        ),
        (
            "get_metadata",
            lambda up: up.metadata(BEACH, "anna", OPEN),
            ("get-metadata-unknown", None),
            {"video_no": BEACH, "unique_id": "anna"},
        ),
        (
            "get_private_video_details",
            lambda up: up.private_details(BEACH, "anna", OPEN).url,
            ("private-video-details", "https://storage.example.com/library/bay-camera-0412.mp4?sig=EXAMPLE"),
            {"video_no": BEACH, "unique_id": "anna"},
        ),
        (
            "get_public_video_detail",
            lambda up: up.public_detail("PI-631415139807039488", OPEN).url,
            ("public-video-detail", "https://www.tiktok.com/player/v1/7000000000000000003"),
            {"video_no": "PI-631415139807039488"},
        ),
    ],
)
def test_a_question_is_a_get_with_a_query(path, ask, answer, query):
    name, expected = answer
    vendor = Vendor(payload(name))
    assert ask(vendor.upstream) == expected
    assert (vendor.asked.method, vendor.asked.url.path) == ("GET", f"/serve/api/v1/{path}")
    assert dict(vendor.asked.url.params) == query


def test_the_key_stands_raw_in_its_header_and_nowhere_else():
    vendor = Vendor()
    vendor.upstream.upload_url("https://a.example/b.mp4", "default", None, NOTHING, OPEN)
    assert vendor.asked.headers["authorization"] == KEY
    rest = [value for name, value in vendor.asked.headers.items() if name != "authorization"]
    assert KEY not in f"{vendor.asked.url} {vendor.asked.content!r} {rest}"


def test_a_slash_at_the_end_of_the_address_does_not_matter():
    seen = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.path)
        return httpx.Response(200, content=payload("get-metadata"))

    Upstream(URL + "/proxy/", KEY, transport=httpx.MockTransport(handle)).metadata(BEACH, "default", OPEN)
    assert seen == ["/proxy/serve/api/v1/get_metadata"]


# Files


def send_file(vendor: Vendor, path: Path, name: str, **options: Any) -> FileBody:
    with FileBody(path, name, **options) as body:
        vendor.upstream.upload(body, "anna", "https://me.example/t", Details(camera_model="Dock Cam"), OPEN)
    return body


@pytest.mark.parametrize("size", [1, 1 << 20, (5 << 19) + 7])
def test_a_file_arrives_whole_and_is_hashed_on_its_way(tmp_path, size):
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    (tmp_path / "beach.mp4").write_bytes(content)
    vendor = Vendor()
    body = send_file(vendor, tmp_path / "beach.mp4", "beach [k3f7x2m7qa].mp4", content_type="video/quicktime")
    parts = parts_of(vendor.asked)
    assert parts["file"].get_payload(decode=True) == content
    assert parts["file"].get_content_type() == "video/quicktime"
    assert body.sha256 == hashlib.sha256(content).hexdigest()
    assert int(vendor.asked.headers["content-length"]) == len(vendor.asked.content)


def test_a_file_travels_with_its_fields(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"video")
    vendor = Vendor()
    send_file(vendor, tmp_path / "a.mp4", "a.mp4")
    assert (vendor.asked.method, vendor.asked.url.path) == ("POST", "/serve/api/v1/upload")
    fields = {name: part.get_content().strip() for name, part in parts_of(vendor.asked).items() if name != "file"}
    assert fields == {
        "unique_id": "anna",
        "callback": "https://me.example/t",
        "camera_model": "Dock Cam",
    }


def test_each_tag_is_a_form_field_of_its_own(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"video")
    vendor = Vendor()
    with FileBody(tmp_path / "a.mp4", "a.mp4") as body:
        vendor.upstream.upload(body, "anna", None, Details(tags=("sea", "dock"), latitude=1.5, longitude=-2.0), OPEN)
    sent = vendor.asked.content
    assert sent.count(b'name="tags"') == 2
    assert b"sea" in sent and b"dock" in sent and b"1.5" in sent and b"-2.0" in sent


@pytest.mark.parametrize(
    ("name", "on_the_wire"),
    [
        ("beach [k3f7x2m7qa].mp4", "beach [k3f7x2m7qa].mp4"),
        ("Süßes Café 🎬.mp4", "Süßes Café 🎬.mp4"),
        ('say "hi".mp4', "say %22hi%22.mp4"),
        ("two\r\nlines.mp4", "two%0D%0Alines.mp4"),
    ],
)
def test_a_name_stands_in_the_content_disposition(tmp_path, name, on_the_wire):
    (tmp_path / "a.mp4").write_bytes(b"video")
    vendor = Vendor()
    send_file(vendor, tmp_path / "a.mp4", name)
    assert f'form-data; name="file"; filename="{on_the_wire}"\r\n'.encode() in vendor.asked.content


def test_a_file_that_was_not_sent_has_no_hash(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"video")
    with FileBody(tmp_path / "a.mp4", "a.mp4") as body:
        assert body.read() == b"video"
        assert body.sha256 is None
        assert body.read() == b""
    assert body.sha256 == hashlib.sha256(b"video").hexdigest()


# On the wire: a real server of one connection


class Peer:
    """Takes one connection and does with it what the test says."""

    def __init__(self, act: Callable[["Peer", socket.socket], None]) -> None:
        self._act = act
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(10)
        self.port: int = self._listener.getsockname()[1]
        self.connected: queue.Queue[socket.socket] = queue.Queue()
        self.go = threading.Event()
        self.heard = b""
        self.acted = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with self._listener:
            connection, _ = self._listener.accept()
            connection.settimeout(10)
            with connection:
                self.connected.put(connection)
                self._act(self, connection)
                self.acted.set()
                self.go.wait(10)

    def hear(self, connection: socket.socket, until: bytes | None = None) -> None:
        """Take what comes, up to a text or to the end."""
        with suppress(ConnectionError):
            while until is None or until not in self.heard:
                piece = connection.recv(1 << 16)
                if not piece:
                    return
                self.heard += piece

    def close(self) -> None:
        self.go.set()
        self._thread.join(10)
        assert not self._thread.is_alive()


@contextmanager
def peer(act: Callable[[Peer, socket.socket], None]) -> Iterator[Peer]:
    one = Peer(act)
    try:
        yield one
    finally:
        one.close()


def answers(raw: bytes) -> Callable[[Peer, socket.socket], None]:
    """Hears the request's headers, says this, and hangs up."""

    def act(one: Peer, connection: socket.socket) -> None:
        one.hear(connection, b"\r\n\r\n")
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        one.hear(connection)

    return act


def http(body: bytes, status: str = "200 OK", more: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


def silent(one: Peer, connection: socket.socket) -> None:
    one.hear(connection, b"\r\n\r\n")


def ask(port: int, gate: Any = OPEN, *, silence: float = 10.0, scheme: str = "http") -> Video | None:
    upstream = Upstream(f"{scheme}://127.0.0.1:{port}", KEY, silence=silence)
    try:
        return upstream.metadata(BEACH, "default", gate)
    finally:
        upstream.close()


class Gate:
    """Notes what was on the wire before it opens, and when it was told that the headers left."""

    def __init__(self, one: Peer, before: Callable[[], None] = lambda: None) -> None:
        self._peer = one
        self._before = before
        self.calls: list[str] = []
        self.early: bytes | None = None

    def before_write(self) -> None:
        self.calls.append("before_write")
        connection = self._peer.connected.get(timeout=10)
        if connection.fileno() >= 0 and select.select([connection], [], [], 0)[0]:
            self.early = connection.recv(1 << 16, socket.MSG_PEEK)
        self._before()

    def wrote(self) -> None:
        self.calls.append("wrote")


class Held(Exception):
    pass


def held() -> None:
    raise Held


def patient(raw: bytes) -> Callable[[Peer, socket.socket], None]:
    """Touches the connection only when told to, then answers."""

    def act(one: Peer, connection: socket.socket) -> None:
        assert one.go.wait(10)
        answers(raw)(one, connection)

    return act


def test_nothing_is_written_before_the_gate_opens():
    with peer(patient(http(payload("get-metadata")))) as one:
        gate = Gate(one, one.go.set)
        video = ask(one.port, gate)
    assert video is not None and video.word is Word.READY
    assert gate.early is None
    assert gate.calls == ["before_write", "wrote"]
    assert one.heard.startswith(b"GET /serve/api/v1/get_metadata?video_no=")


def test_a_gate_that_does_not_open_sends_no_byte():
    with peer(lambda one, connection: one.hear(connection)) as one:
        gate = Gate(one, held)
        with pytest.raises(Held):
            ask(one.port, gate)
        assert one.acted.wait(10), "the connection stays open"
    assert one.heard == b""
    assert gate.calls == ["before_write"]


def test_a_gate_that_does_not_open_sends_no_byte_of_a_file(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"video" * 1000)
    with peer(lambda one, connection: one.hear(connection)) as one:
        upstream = Upstream(f"http://127.0.0.1:{one.port}", KEY)
        with FileBody(tmp_path / "a.mp4", "a.mp4") as body, pytest.raises(Held):
            upstream.upload(body, "default", None, NOTHING, Gate(one, held))
        assert one.acted.wait(10), "the connection stays open"
    assert one.heard == b""
    assert body.sha256 is None


def test_each_call_has_a_connection_of_its_own():
    with peer(answers(http(payload("get-metadata")))) as one, peer(answers(http(payload("get-metadata")))) as other:
        assert ask(one.port) == ask(other.port) is not None
    upstream = Upstream(f"http://127.0.0.1:{free_port()}", KEY)
    with pytest.raises(Unavailable):
        upstream.metadata(BEACH, "default", OPEN)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_a_refused_connection_means_not_sent():
    with pytest.raises(Unavailable, match=r"http://127\.0\.0\.1:\d+ cannot be reached") as error:
        ask(free_port())
    assert error.value.code == "unreachable"


def test_a_failed_handshake_means_not_sent():
    with peer(lambda _one, connection: connection.shutdown(socket.SHUT_RDWR)) as one, pytest.raises(Unavailable):
        ask(one.port, scheme="https")


def test_a_name_that_nobody_knows_means_not_sent():
    with pytest.raises(Unavailable):
        Upstream("http://vendor.invalid", KEY).metadata(BEACH, "default", OPEN)


def closes_at_once(_one: Peer, connection: socket.socket) -> None:
    connection.close()


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(closes_at_once, id="closed at accept"),
        pytest.param(answers(b""), id="closed after the headers"),
        pytest.param(answers(b"220 smtp.example ESMTP\r\n"), id="garbage"),
        pytest.param(answers(b"HTTP/1.1 200 OK\r\nContent-Le"), id="half a header"),
        pytest.param(answers(http(payload("get-metadata"))[:-20]), id="half a body"),
        pytest.param(
            answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"), id="half of the chunks"
        ),
        pytest.param(answers(http(b"no gzip", more="Content-Encoding: gzip\r\n")), id="broken gzip"),
    ],
)
def test_what_breaks_after_the_gate_is_unsure(act):
    with peer(act) as one:
        opened = []
        with pytest.raises(Unsure) as error:
            ask(one.port, Gate(one, lambda: opened.append(one.acted.wait(10) if act is closes_at_once else True)))
    assert opened == [True]
    assert error.value.code == "no_answer"
    assert error.value.message.startswith("the request left, but no readable answer came: ")


def test_an_answer_that_does_not_come_is_unsure_after_the_silence():
    with peer(silent) as one:
        started = time.monotonic()
        with pytest.raises(Unsure, match="no answer came in time"):
            ask(one.port, silence=0.2)
        assert time.monotonic() - started < 5


def test_an_answer_that_does_not_end_is_unsure():
    def endless(one: Peer, connection: socket.socket) -> None:
        one.hear(connection, b"\r\n\r\n")
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with suppress(ConnectionError):
            while True:
                connection.sendall(b" " * (1 << 20))

    with peer(endless) as one, pytest.raises(Unsure, match="the answer does not end"):
        ask(one.port)


def test_a_packed_answer_is_read():
    packed = gzip.compress(payload("get-metadata"))
    with peer(answers(http(packed, more="Content-Encoding: gzip\r\n"))) as one:
        assert ask(one.port) is not None


def test_an_early_refusal_is_heard_while_the_body_still_leaves(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"video" * 1_000_000)
    with peer(answers(http(envelope("0402", "credit used up")))) as one:
        upstream = Upstream(f"http://127.0.0.1:{one.port}", KEY)
        with FileBody(tmp_path / "a.mp4", "a.mp4") as body, pytest.raises(AccountTrouble):
            upstream.upload(body, "default", None, NOTHING, OPEN)


@pytest.mark.parametrize("now", [b"video", b"video" * 2_000_000])
def test_a_file_that_changes_on_its_way_is_unsure(tmp_path, now):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"video" * 1_000_000)
    with peer(answers(b"")) as one:
        upstream = Upstream(f"http://127.0.0.1:{one.port}", KEY)
        gate = Gate(one, lambda: path.write_bytes(now))
        with FileBody(path, "a.mp4") as body, pytest.raises(Unsure, match="the file changed while it was sent"):
            upstream.upload(body, "default", None, NOTHING, gate)


def test_a_file_arrives_whole_through_a_real_connection(tmp_path):
    content = bytes(range(256)) * 12_000
    (tmp_path / "a.mp4").write_bytes(content)

    def takes_all(one: Peer, connection: socket.socket) -> None:
        one.hear(connection, b"\r\n\r\n")
        length = int(one.heard.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(one.heard.partition(b"\r\n\r\n")[2]) < length:
            one.heard += connection.recv(1 << 16)
        connection.sendall(http(payload("upload")))

    with peer(takes_all) as one:
        upstream = Upstream(f"http://127.0.0.1:{one.port}", KEY)
        with FileBody(tmp_path / "a.mp4", "a.mp4") as body:
            assert upstream.upload(body, "default", None, NOTHING, OPEN) == BEACH
    assert content in one.heard
    assert body.sha256 == hashlib.sha256(content).hexdigest()


# Cutting


def test_cut_ends_a_running_request_at_once():
    with peer(silent) as one:
        upstream = Upstream(f"http://127.0.0.1:{one.port}", KEY, silence=60)
        came: queue.Queue[object] = queue.Queue()

        def call() -> None:
            try:
                came.put(upstream.metadata(BEACH, "default", OPEN))
            except UpstreamError as error:
                came.put(error)

        threading.Thread(target=call, daemon=True).start()
        assert one.acted.wait(10)
        upstream.cut()
        assert isinstance(came.get(timeout=2), Unsure)


def test_cut_ends_a_file_on_its_way(tmp_path):
    (tmp_path / "a.mp4").write_bytes(bytes(32 << 20))  # more than two sockets hold
    with peer(silent) as one:
        upstream = Upstream(f"http://127.0.0.1:{one.port}", KEY, silence=60)
        came: queue.Queue[object] = queue.Queue()

        def call() -> None:
            with FileBody(tmp_path / "a.mp4", "a.mp4") as body:
                try:
                    came.put(upstream.upload(body, "default", None, NOTHING, OPEN))
                except UpstreamError as error:
                    came.put(error)

        threading.Thread(target=call, daemon=True).start()
        assert one.acted.wait(10)
        upstream.cut()
        assert isinstance(came.get(timeout=2), Unsure)


def test_after_the_cut_nothing_is_sent():
    vendor = Vendor()
    vendor.upstream.cut()
    with pytest.raises(Unavailable, match="the service is stopping"):
        vendor.upstream.upload_url("https://a.example/b.mp4", "default", None, NOTHING, OPEN)
    assert vendor.requests == []
