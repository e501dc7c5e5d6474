"""Captions and pictures on the wire, compared with the samples in tests/payloads (seed, contract B.7 and B.2 U9; values invented)."""

import hashlib
import json
import socket
import threading
from collections.abc import Callable
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any, cast

import pytest

from ingest.upstream.client import Details, FileBody, OpenGate, Person, Picture, SentPicture, Upstream, Wish
from ingest.upstream.errors import AccountTrouble, Missing, Refused, TooFast, Unavailable, Unsure, UpstreamError
from ingest.upstream.fields import Caption, Image, Tokens, Word
from tests.unit.test_upstream import KEY, PAYLOADS, Peer, Vendor, answers, envelope, http, payload, peer, silent

OPEN = OpenGate()
BACK = "https://ingest.example.com/callback"
LINK = "https://example.com/dock.mp4"
WISH = Wish("Say what happens at the dock and who is there.", "You describe what dock cameras see.")
ADA, BEN = Person("Ada", "https://example.com/ada.jpg"), Person("Ben", "https://example.com/ben.jpg")
TASK = "5f0a9c3e-7b21-4d68-8e14-c2d7f6b3a190"
SEEN = Caption("A delivery van stops at a loading bay and two parcels are carried inside.", Tokens(1840, 212, 2052))
SHELF = Caption("A shelf with three labelled boxes.", Tokens(640, 41, 681))
FIRST, SECOND = "631415560634126336", "631415560642514945"


def sample(name: str) -> dict[str, Any]:
    return json.loads((PAYLOADS / f"request-{name}.json").read_text())


def wish(**more: Any) -> Wish:
    return Wish(WISH.prompt, WISH.system_prompt, **more)


def parts_of(content_type: str, content: bytes) -> list[EmailMessage]:
    whole = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + content)
    return cast(list[EmailMessage], list(whole.iter_parts()))  # type: ignore[attr-defined]


def described(part: EmailMessage) -> dict[str, Any]:
    """A part as a sample tells it: a field with its value, a file with its name and kind, ``req`` with what it holds."""
    name, filename = part["content-disposition"].params["name"], part.get_filename()
    if filename is None:
        return {"name": name, "value": part.get_content().strip()}
    told = {"name": name, "filename": filename, "type": part.get_content_type()}
    return {**told, "json": json.loads(part.get_payload(decode=True))} if name == "req" else told  # type: ignore[arg-type]


class Caught:
    """A server of one request on a real socket: what a call puts on the wire, and the answer it gets."""

    def __init__(self, tmp_path: Path, answer: bytes) -> None:
        self.folder = tmp_path
        self._answer = answer
        self.path = ""
        self.headers: dict[str, str] = {}
        self.content = b""

    def run(self, call: Callable[[Upstream], Any]) -> Any:
        with peer(self._takes_all) as one:
            upstream = Upstream(f"http://127.0.0.1:{one.port}", KEY)
            try:
                came = call(upstream)
            finally:
                upstream.close()
        head, _, self.content = one.heard.partition(b"\r\n\r\n")
        request, *lines = head.decode().split("\r\n")
        method, self.path, _ = request.split(" ")
        assert method == "POST"
        self.headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        assert self.headers["authorization"] == KEY
        return came

    def _takes_all(self, one: Peer, connection: socket.socket) -> None:
        one.hear(connection, b"\r\n\r\n")
        length = int(one.heard.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(one.heard.partition(b"\r\n\r\n")[2]) < length:
            one.heard += connection.recv(1 << 16)
        connection.sendall(http(self._answer))

    def file(self, name: str, content: bytes) -> Path:
        (self.folder / name).write_bytes(content)
        return self.folder / name

    @property
    def told(self) -> dict[str, Any]:
        """The request in the words of a sample."""
        if self.headers["content-type"] == "application/json":
            return {"path": self.path, "json": json.loads(self.content)}
        parts = parts_of(self.headers["content-type"], self.content)
        return {"path": self.path, "parts": [described(part) for part in parts]}


# The samples


#: Sample -> the sample of its answer, the call, what comes of it.
LINKS: dict[str, tuple[str, Callable[[Upstream], Any], Any]] = {
    "understand-link": (
        "understand-accepted",
        lambda up: up.caption_video(LINK, wish(thinking=False), BACK, OPEN),
        TASK,
    ),
    "understand-link-persons": (
        "understand-accepted",
        lambda up: up.caption_video(LINK, wish(persons=(ADA, BEN)), BACK, OPEN),
        TASK,
    ),
    "understand-link-now": ("understand-now", lambda up: up.caption_video_now(LINK, WISH, OPEN), SEEN),
    "image-caption-link": (
        "image-caption",
        lambda up: up.caption_image("https://example.com/shelf.jpg", wish(persons=(ADA, BEN), thinking=True), OPEN),
        SHELF,
    ),
}
FILES: dict[str, tuple[str, Callable[[Upstream, FileBody], Any], Any]] = {
    "understand-file": ("understand-accepted", lambda up, body: up.caption_video(body, WISH, BACK, OPEN), TASK),
    "understand-file-now": ("understand-now", lambda up, body: up.caption_video_now(body, WISH, OPEN), SEEN),
    "image-caption-file": ("image-caption", lambda up, body: up.caption_image(body, WISH, OPEN), SHELF),
}
WITH_PERSONS, PICTURES = "understand-file-persons", "upload-img"


def test_every_sample_of_a_request_is_sent_here():
    samples = {path.stem.removeprefix("request-") for path in PAYLOADS.glob("request-*.json")}
    assert {*LINKS, *FILES, WITH_PERSONS, PICTURES} == samples


@pytest.mark.parametrize("name", LINKS)
def test_a_link_is_asked_about_as_in_its_sample(tmp_path, name):
    answer, call, came = LINKS[name]
    caught = Caught(tmp_path, payload(answer))
    assert caught.run(call) == came
    assert caught.told == sample(name)


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_asked_about_as_in_its_sample(tmp_path, name):
    answer, call, came = FILES[name]
    caught = Caught(tmp_path, payload(answer))
    content = bytes(range(256)) * 10_000
    told = sample(name)["parts"][1]
    with FileBody(caught.file("any", content), told["filename"], told["type"]) as body:
        assert caught.run(lambda up: call(up, body)) == came
    assert caught.told == sample(name)
    assert parts_of(caught.headers["content-type"], caught.content)[1].get_payload(decode=True) == content
    assert body.sha256 == hashlib.sha256(content).hexdigest()


def test_reference_pictures_follow_the_video_in_the_order_of_the_persons(tmp_path):
    caught = Caught(tmp_path, payload("understand-accepted"))
    ada = Person("Ada", path=caught.file("test_image.png", b"first"), content_type="image/png")
    ben = Person("Ben", path=caught.file("x", b"second"), file_name="ada.png", content_type="image/png")
    with FileBody(caught.file("v", b"video"), "video.mp4") as body:
        task = caught.run(lambda up: up.caption_video(body, wish(persons=(ada, ben), thinking=False), BACK, OPEN))
    assert task == TASK
    assert caught.told == sample(WITH_PERSONS)
    parts = parts_of(caught.headers["content-type"], caught.content)
    assert [part.get_payload(decode=True) for part in parts[1:]] == [b"video", b"first", b"second"]


def test_a_person_with_a_link_stands_between_persons_with_files(tmp_path):
    caught = Caught(tmp_path, payload("image-caption"))
    files = [caught.file(name, name.encode()) for name in ("a.jpg", "c.jpg")]
    persons = (Person("a", path=files[0]), BEN, Person("c", path=files[1]))
    with FileBody(caught.file("shelf", b"shelf"), "shelf.jpg", "image/jpeg") as body:
        caught.run(lambda up: up.caption_image(body, wish(persons=persons), OPEN))
    request, *files_sent = caught.told["parts"]
    assert request["json"]["persons"] == [{"name": "a"}, {"name": "Ben", "url": BEN.url}, {"name": "c"}]
    assert [(part["name"], part["filename"]) for part in files_sent] == [
        ("file", "shelf.jpg"),
        ("file", "a.jpg"),
        ("file", "c.jpg"),
    ]


def test_pictures_travel_together_as_in_their_sample(tmp_path):
    caught = Caught(tmp_path, payload("upload-img"))
    details = Details(
        datetime_taken="2025-10-09 08:30:00", camera_model="Example Cam 5", latitude=48.2082, longitude=16.3738
    )
    pictures = [
        Picture(caught.file("one", b"first"), "test1.jpg", "image/jpg", details),
        Picture(caught.file("two", b"second"), "test2.png", "image/png", details),
    ]
    assert caught.run(lambda up: up.upload_images(pictures, "default", OPEN)) == [
        SentPicture(Image(FIRST), hashlib.sha256(b"first").hexdigest(), 5),
        SentPicture(Image(SECOND), hashlib.sha256(b"second").hexdigest(), 6),
    ]
    assert caught.told == sample(PICTURES)
    parts = parts_of(caught.headers["content-type"], caught.content)
    assert [part.get_payload(decode=True) for part in parts[-2:]] == [b"first", b"second"]


def test_the_table_of_the_seed_knows_more_of_a_picture(tmp_path):
    caught = Caught(tmp_path, payload("upload-img-table-shape"))
    [sent] = caught.run(lambda up: up.upload_images([Picture(caught.file("a", b"a"), "shelf-a.jpg")], "anna", OPEN))
    assert sent.image == Image(FIRST, "shelf-a", Word.PENDING, "SUCCESS", 1_760_000_400_789)
    assert caught.told["parts"] == [
        {"name": "unique_id", "value": "anna"},
        {"name": "files", "filename": "shelf-a.jpg", "type": "image/jpeg"},
    ]


def test_each_tag_of_the_pictures_is_a_field_of_its_own(tmp_path):
    caught = Caught(tmp_path, payload("upload-img-table-shape"))
    picture = Picture(caught.file("a", b"a"), "a.jpg", details=Details(tags=("sea", "dock")))
    caught.run(lambda up: up.upload_images([picture], "anna", OPEN))
    assert [part["value"] for part in caught.told["parts"] if part["name"] == "tags"] == ["sea", "dock"]


# What cannot be asked


def nothing_leaves(call: Callable[[Upstream], Any], kind: type[Exception], words: str) -> None:
    vendor = Vendor()
    with pytest.raises(kind, match=words):
        call(vendor.upstream)
    assert vendor.requests == []


def test_a_link_cannot_carry_a_reference_picture_that_is_a_file(tmp_path):
    asked = wish(persons=(Person("Ada", path=tmp_path / "ada.jpg"),))
    nothing_leaves(lambda up: up.caption_video(LINK, asked, BACK, OPEN), ValueError, "must be links too")
    nothing_leaves(lambda up: up.caption_video_now(LINK, asked, OPEN), ValueError, "must be links too")
    nothing_leaves(lambda up: up.caption_image(LINK, asked, OPEN), ValueError, "must be links too")


def test_pictures_with_other_details_need_another_call(tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    pictures = [Picture(tmp_path / "a", "a.jpg", details=Details(camera_model=model)) for model in ("x", "y")]
    nothing_leaves(lambda up: up.upload_images(pictures, "anna", OPEN), ValueError, "share their details")
    nothing_leaves(lambda up: up.upload_images([], "anna", OPEN), ValueError, "at least one")


def test_a_file_that_is_gone_ends_the_call_before_it_begins(tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    gone = tmp_path / "gone"
    pictures = [Picture(tmp_path / "a", "a.jpg"), Picture(gone, "b.jpg")]
    nothing_leaves(lambda up: up.upload_images(pictures, "anna", OPEN), FileNotFoundError, "gone")
    with FileBody(tmp_path / "a", "a.mp4") as body:
        asked = wish(persons=(Person("Ada", path=gone),))
        nothing_leaves(lambda up: up.caption_video(body, asked, BACK, OPEN), FileNotFoundError, "gone")


def test_a_caption_looks_for_five_persons_at_most():
    assert len(wish(persons=(ADA,) * 5).body()["persons"]) == 5
    with pytest.raises(ValueError, match="at most 5 persons, not for 6"):
        wish(persons=(ADA,) * 6)


@pytest.mark.parametrize("given", [{}, {"url": ""}, {"url": "https://a.example/b.jpg", "path": Path("b.jpg")}])
def test_a_person_has_one_reference_picture(given):
    with pytest.raises(ValueError, match="Ada needs one reference picture"):
        Person("Ada", **given)


# The verdict

CALLS: dict[str, Callable[[Upstream], Any]] = {
    "caption_video": lambda up: up.caption_video(LINK, WISH, BACK, OPEN),
    "caption_video_now": lambda up: up.caption_video_now(LINK, WISH, OPEN),
    "caption_image": lambda up: up.caption_image(LINK, WISH, OPEN),
}


def verdict(call: Callable[[Upstream], Any], body: bytes, status: int = 200) -> UpstreamError:
    vendor = Vendor(body, status)
    with pytest.raises(UpstreamError) as error:
        call(vendor.upstream)
    assert len(vendor.requests) == 1
    return error.value


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (payload("understand-rejected"), Refused, "-1"),
        (payload("error-0001-network-abnormal"), Unavailable, "0001"),
        (payload("error-0001-parameter"), Refused, "0001"),
        (payload("error-0401"), AccountTrouble, "0401"),
        (payload("error-0402"), AccountTrouble, "0402"),
        (payload("error-0403"), AccountTrouble, "0403"),
        (payload("error-9009"), AccountTrouble, "9009"),
        (payload("error-0429"), TooFast, "0429"),
        (payload("error-0429-full"), TooFast, "0429"),
        (b'{"code": 429, "msg": "Request has exceeded the limit.", "data": null}', TooFast, "0429"),
        (b'{"code": 401, "msg": "no", "data": null}', AccountTrouble, "0401"),
        (b'{"code": 402, "msg": "no", "data": null}', AccountTrouble, "0402"),
        (b'{"code": -1, "msg": "Request has exceeded the limit.", "data": null}', TooFast, "0429"),
        (b'{"code": -1, "msg": "the video\'s size exceeded the limit", "data": null}', Refused, "-1"),
        (b'{"code": -1, "msg": "Network abnormal, please try again", "data": null}', Unavailable, "-1"),
        (b'{"code": -1, "msg": "the link\'s network did not answer", "data": null}', Refused, "-1"),
        (b'{"code": "-1", "msg": "failed", "data": {"task_id": "x", "text": "x"}}', Refused, "-1"),
        (b'{"code": 0, "msg": "suc', Unsure, "http_200"),
        (b"<html>", Unsure, "http_200"),
    ],
)
def test_a_caption_that_is_not_made_is_one_of_the_four_kinds(call, body, kind, code):
    error = verdict(call, body)
    assert (type(error), error.code) == (kind, code)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, AccountTrouble),
        (402, AccountTrouble),
        (429, TooFast),
        (404, Missing),
        (413, Refused),
        (408, Unsure),
        (500, Unsure),
        (503, Unsure),
    ],
)
def test_without_an_envelope_the_status_decides_about_a_caption(call, status, kind):
    assert type(verdict(call, b"", status)) is kind


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_wrong_address_names_the_setting_of_the_captions(call):
    assert "is MEMORIES_CAPTION_URL right?" in verdict(call, payload("http-404-gateway"), 404).message


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("data", [None, {}, [], "x", {"task_id": None, "text": ""}, {"task_id": "null", "text": None}])
def test_a_yes_that_brings_nothing_is_no_verdict(call, data):
    assert type(verdict(call, envelope(0, data=data))) is Unsure


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_caption_whose_answer_is_lost_may_have_been_made(call):
    with peer(answers(b"")) as one:
        upstream = Upstream(f"http://127.0.0.1:{one.port}", KEY)
        with pytest.raises(Unsure, match="the request left"):
            call(upstream)


@pytest.mark.parametrize(
    "call",
    [
        lambda up: up.caption_video_now(LINK, WISH, OPEN, patience=0.2),
        lambda up: up.caption_image(LINK, WISH, OPEN, patience=0.2),
    ],
)
def test_a_caption_at_once_has_a_patience_of_its_own(call):
    with peer(silent) as one:
        upstream = Upstream(f"http://127.0.0.1:{one.port}", KEY, silence=60)
        with pytest.raises(Unsure, match="no answer came in time"):
            call(upstream)


def test_a_caption_at_once_is_waited_for_longer_than_other_answers():
    def slow(one: Peer, connection: socket.socket) -> None:
        one.hear(connection, b"\r\n\r\n")
        threading.Event().wait(0.6)
        connection.sendall(http(payload("understand-now")))

    with peer(slow) as one:
        upstream = Upstream(f"http://127.0.0.1:{one.port}", KEY, silence=0.2)
        assert upstream.caption_video_now(LINK, WISH, OPEN) == SEEN


def test_a_gate_that_does_not_open_sends_no_byte_of_a_caption(tmp_path):
    class Shut(OpenGate):
        def before_write(self) -> None:
            raise InterruptedError

    (tmp_path / "a").write_bytes(b"video")
    with peer(lambda one, connection: one.hear(connection)) as one:
        upstream = Upstream(f"http://127.0.0.1:{one.port}", KEY)
        with FileBody(tmp_path / "a", "a.mp4") as body, pytest.raises(InterruptedError):
            upstream.caption_video(body, WISH, BACK, Shut())
        assert one.acted.wait(10)
    assert one.heard == b""


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (None, "0 numbers for 2 pictures"),
        ({}, "0 numbers for 2 pictures"),
        ([], "0 numbers for 2 pictures"),
        ([{"id": FIRST}], f"1 numbers for 2 pictures: {FIRST}"),
        ([{"id": FIRST}, {"name": "b"}], "0 numbers for 2 pictures"),
        ([{"id": "1"}, {"id": "2"}, {"id": "3"}], "3 numbers for 2 pictures: 1, 2, 3"),
    ],
)
def test_pictures_are_unsure_unless_each_has_its_number(tmp_path, data, told):
    (tmp_path / "a").write_bytes(b"a")
    pictures = [Picture(tmp_path / "a", "a.jpg"), Picture(tmp_path / "a", "b.jpg")]
    error = verdict(lambda up: up.upload_images(pictures, "anna", OPEN), envelope(data=data))
    assert type(error) is Unsure and error.message.endswith(told)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("error-0001-network-abnormal", Unavailable), ("error-0001-parameter", Refused), ("error-0402", AccountTrouble)],
)
def test_pictures_are_refused_like_any_upload(tmp_path, name, kind):
    (tmp_path / "a").write_bytes(b"a")
    error = verdict(lambda up: up.upload_images([Picture(tmp_path / "a", "a.jpg")], "anna", OPEN), payload(name))
    assert type(error) is kind
