"""Captions and images of the stand-in as its callers see them: real HTTP, real small videos and pictures."""

import base64
import hashlib
import io
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import av
import httpx
import pytest

from ingest.samples import make_video
from tests.integration.test_sandbox import UNLIMITED, Receiver, Sandbox, running, until

pytestmark = pytest.mark.integration

PAYLOADS = Path(__file__).parent.parent / "payloads"
OFF = f"{UNLIMITED},image=off,caption_video=off,caption_image=off,human_reid=off"
FAST = ("--answer", "0", "--caption", "0.1", "--slow", "0.5", "--callback-delay", "0.5")
QUICK = (*FAST, "--limits", OFF)
LINK = "https://cdn.example.com/gate.mp4"
PICTURE = "https://cdn.example.com/shelf.jpg"
ASKED = {"user_prompt": "What is carried?", "system_prompt": "You watch a gate."}
ALICE = {"name": "Alice", "url": "https://cdn.example.com/alice.jpg"}
OVER = {"code": "0429", "msg": "Request has exceeded the limit."}
PATIENCE = 30.0
_names = (f"ns-{number}" for number in count())


def sample(name: str) -> Any:
    return json.loads((PAYLOADS / f"{name}.json").read_text())


def shape(value: Any) -> Any:
    """Names and types, without the values."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def picture(codec: str = "png", pixels: str = "rgb24", seed: int = 0, form: str = "image2pipe") -> bytes:
    content = io.BytesIO()
    with av.open(content, "w", format=form) as container:
        stream: Any = container.add_stream(codec, rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        frame = av.VideoFrame(64, 48, "rgb24")
        frame.planes[0].update(hashlib.sha256(bytes([seed])).digest() * (frame.planes[0].buffer_size // 32))
        container.mux(stream.encode(frame.reformat(format=pixels)))
        container.mux(stream.encode())
    return content.getvalue()


PNG, JPEG, WEBP = picture(), picture("mjpeg", "yuvj420p"), picture("libwebp", "yuv420p")
GIF = picture("gif", "rgb8", form="gif")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Watcher:
    """A stand-in and the calls of this module."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.http = sandbox.http
        self.namespace = next(_names)

    def ask(self, name: str, body: Any, **options: Any) -> httpx.Response:
        return self.http.post(f"/v1/understand/{name}", json=body, **options)

    def link(self, callback: str = "http://127.0.0.1:9/", url: str = LINK, **fields: Any) -> httpx.Response:
        return self.ask("upload", {"video_url": url, "callback": callback, **ASKED, **fields})

    def send(self, name: str, req: dict[str, Any], *parts: tuple[str, str, bytes]) -> httpx.Response:
        """`parts` are name, file name and content of each file."""
        files: list[Any] = [("req", ("req.json", json.dumps(req), "application/json"))]
        files += [(part, (file_name, content)) for part, file_name, content in parts]
        return self.http.post(f"/v1/understand/{name}", files=files)

    def file(self, content: bytes, name: str = "gate.mp4", **fields: Any) -> httpx.Response:
        return self.send("uploadFile", {"callback": "http://127.0.0.1:9/", **ASKED, **fields}, ("files", name, content))

    def image(self, **fields: Any) -> httpx.Response:
        return self.ask("uploadImg", {"url": PICTURE, **ASKED, **fields})

    def images(self, *contents: bytes, **fields: Any) -> httpx.Response:
        files = [("files", (f"shelf-{number}.png", content)) for number, content in enumerate(contents)]
        return self.http.post("/serve/api/v1/upload_img", files=files, data={"unique_id": self.namespace, **fields})

    def faults(self, **faults: float) -> None:
        assert self.http.post("/_sandbox/faults", json=faults).json() == faults

    def report(self) -> dict[str, Any]:
        return self.sandbox.report()

    def happened(self) -> dict[str, int]:
        return {name: times for name, times in self.report()["faults"].items() if times}

    def accepted(self) -> int:
        report = self.report()
        return report["paid"] + len(report["images"])


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    with running(*QUICK) as sandbox:
        yield sandbox


@pytest.fixture
def watcher(shared: Sandbox) -> Iterator[Watcher]:
    """Quick, unlimited, without faults: a test sets its own."""
    shared.http.post("/_sandbox/reset")
    watcher = Watcher(shared)
    watcher.faults()
    yield watcher
    watcher.faults()


@pytest.fixture
def start() -> Iterator[Callable[..., Watcher]]:
    with ExitStack() as stack:
        yield lambda *options: Watcher(stack.enter_context(running(*options)))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Twenty seconds: the shortest that is understood."""
    return make_video(tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=20).read_bytes()


def told(receiver: Receiver, number: int = 1, path: str = "k") -> list[dict[str, Any]]:
    until(lambda: len(receiver.at(path)) >= number, PATIENCE)
    return receiver.at(path)


# Videos


def test_a_video_by_link_is_promised_and_its_caption_called_back(watcher, receiver):
    persons = [ALICE, {"name": "Bob", "url": "https://cdn.example.com/bob.jpg"}]
    answer = watcher.link(receiver.url("k"), persons=persons, thinking=True)
    assert answer.status_code == 200
    assert shape(answer.json()) == shape(sample("response-understand-accepted"))
    assert (answer.json()["code"], answer.json()["msg"]) == (0, "success")
    task_id = answer.json()["data"]["task_id"]
    [body] = told(receiver)
    assert shape(body) == shape(sample("callback-caption-success"))
    assert (body["status"], body["task_id"]) == (0, task_id)
    text, token = body["data"]["text"], body["data"]["token"]
    assert all(word in text for word in (LINK, ASKED["user_prompt"], "Alice", "Bob"))
    assert token["input"] + token["output"] == token["total"]
    [caption] = watcher.report()["captions"]
    assert abs(caption.pop("created_ms") / 1000 - time.time()) < 60
    assert caption == {
        "task_id": task_id,
        "kind": "video",
        "sync": False,
        "source": LINK,
        "sha256": None,
        "prompt": ASKED["user_prompt"],
        "system_prompt": ASKED["system_prompt"],
        "thinking": True,
        "persons": [{**person, "sha256": None} for person in persons],
        "callback": True,
        "status": "SUCCEEDED",
        "cause": None,
        "text": text,
        "token": token,
        "key": "1234",
    }


def test_a_video_file_is_told_by_its_content(watcher, receiver, clip):
    answer = watcher.file(clip, "camera 1.mp4", callback=receiver.url("k"))
    assert shape(answer.json()) == shape(sample("response-understand-accepted"))
    [body] = told(receiver)
    assert sha256(clip) in body["data"]["text"]
    [caption] = watcher.report()["captions"]
    assert (caption["source"], caption["sha256"]) == ("camera 1.mp4", sha256(clip))


def test_the_document_of_a_file_may_come_as_a_field(watcher, clip):
    req = {"req": json.dumps({"callback": "http://127.0.0.1:9/", **ASKED})}
    answer = watcher.http.post("/v1/understand/uploadFile", data=req, files={"files": ("a.mp4", clip)})
    assert answer.json()["code"] == 0


def test_a_persons_picture_is_the_next_file_unless_there_is_a_url(watcher, clip):
    bob, carol = picture(seed=1), picture(seed=2)
    persons = [{"name": "Bob"}, ALICE, {"name": "Carol"}]
    req = {"callback": "http://127.0.0.1:9/", **ASKED, "persons": persons}
    parts = [("files", "a.mp4", clip), ("file", "1.png", bob), ("file", "2.png", carol)]
    assert watcher.send("uploadFile", req, *parts).json()["code"] == 0
    assert watcher.report()["captions"][0]["persons"] == [
        {"name": "Bob", "url": None, "sha256": sha256(bob)},
        {**ALICE, "sha256": None},
        {"name": "Carol", "url": None, "sha256": sha256(carol)},
    ]
    assert watcher.send("uploadFile", req, *parts[:2]).json()["code"] == -1
    assert watcher.send("uploadFile", req, *parts, parts[2]).json()["code"] == -1


def test_a_synchronous_call_has_the_caption_in_its_answer_and_calls_nobody_back(start, receiver, clip):
    watcher = start(*QUICK, "--caption", "0.3")
    before = time.monotonic()
    by_link = watcher.ask("uploadSync", {"video_url": LINK, "callback": receiver.url("k"), **ASKED}).json()
    assert time.monotonic() - before >= 0.3
    by_file = watcher.send("uploadFileSync", ASKED, ("files", "a.mp4", clip)).json()
    for answer in (by_link, by_file):
        assert shape(answer) == shape(sample("response-image-caption"))
    assert LINK in by_link["data"]["text"] and sha256(clip) in by_file["data"]["text"]
    report = watcher.report()
    assert [(caption["sync"], caption["status"]) for caption in report["captions"]] == [(True, "SUCCEEDED")] * 2
    assert (report["callbacks"]["sent"], receiver.got) == (0, [])


def test_the_same_question_gets_the_same_caption_and_another_another(watcher):
    def answered(**fields: Any) -> dict[str, Any]:
        return watcher.ask("uploadSync", {"video_url": LINK, **ASKED, **fields}).json()["data"]

    first = answered()
    assert first == answered()
    for other in ({"user_prompt": "Who?"}, {"persons": [ALICE]}, {"video_url": "https://cdn.example.com/2.mp4"}):
        assert answered(**other)["text"] != first["text"]


# Images


def test_a_picture_is_captioned_in_the_answer_whichever_way_it_comes(watcher):
    inline = {"image_base64": base64.b64encode(JPEG).decode(), "img_type": "jpeg", **ASKED}
    answers = [
        watcher.image(),
        watcher.image(url=[PICTURE]),
        watcher.send("uploadImgFile", ASKED, ("file", "shelf.webp", WEBP)),
        watcher.ask("uploadImgFileBase64", inline),
    ]
    for answer in answers:
        assert shape(answer.json()) == shape(sample("response-image-caption"))
    seen = [(caption["kind"], caption["source"], caption["sha256"]) for caption in watcher.report()["captions"]]
    assert seen == [
        *[("image", PICTURE, None)] * 2,
        ("image", "shelf.webp", sha256(WEBP)),
        ("image", "inline.jpeg", sha256(JPEG)),
    ]


def test_persons_of_a_picture_are_the_files_after_the_first(watcher):
    req = {**ASKED, "persons": [{"name": "Bob"}]}
    bob = picture(seed=1)
    assert watcher.send("uploadImgFile", req, ("file", "shelf.png", PNG), ("file", "bob.png", bob)).json()["code"] == 0
    [caption] = watcher.report()["captions"]
    assert (caption["sha256"], caption["persons"][0]["sha256"]) == (sha256(PNG), sha256(bob))
    assert watcher.send("uploadImgFile", req, ("file", "shelf.png", PNG)).json()["code"] == -1


# What fails, what is refused


@pytest.mark.parametrize("word", ["bad", "gone"])
def test_a_link_with_the_word_in_its_last_piece_fails_by_callback_and_is_paid(watcher, receiver, word):
    answer = watcher.link(receiver.url("k"), url=f"https://cdn.example.com/a/{word}-dock.mp4").json()
    [body] = told(receiver)
    assert shape(body) == shape(sample("callback-caption-failure-unconfirmed"))
    assert (body["status"], body["task_id"]) == (-1, answer["data"]["task_id"])
    watcher.link(receiver.url("innocent"), url=f"https://cdn.example.com/{word}/badge.mp4")
    assert told(receiver, path="innocent")[0]["status"] == 0
    report = watcher.report()
    assert (report["paid"], report["caption_counts"]) == (2, {"FAILED": 1, "SUCCEEDED": 1})
    failed = report["captions"][0]
    assert (failed["status"], failed["text"], failed["cause"]) == ("FAILED", None, "the link could not be fetched")
    assert report["callbacks"]["by_kind"] == {"K4": 1, "K5": 1}


def test_a_video_that_breaks_the_vendors_conditions_is_accepted_and_fails(watcher, clip, tmp_path):
    def cause(content: bytes, name: str = "a.mp4", portrait: bytes | None = None) -> str:
        req = {"callback": "http://127.0.0.1:9/", **ASKED, "persons": [{"name": "Bob"}] if portrait else []}
        portraits = [("file", "bob.png", portrait)] if portrait else []
        task_id = watcher.send("uploadFile", req, ("files", name, content), *portraits).json()["data"]["task_id"]

        def failed() -> str | None:
            return next(c["cause"] for c in watcher.report()["captions"] if c["task_id"] == task_id)

        return until(failed, PATIENCE)

    short = make_video(tmp_path / "short.mp4", seconds=19).read_bytes()
    old = make_video(tmp_path / "old.mp4", "mpeg4", seconds=20).read_bytes()
    assert cause(short) == "the video takes 19.0 s; from 20 to 300 s can be understood"
    assert cause(bytes(20_000_001)) == "the video is larger than 20 MB"
    assert cause(old).startswith("unsupported codec mpeg4")
    assert cause(clip[:5000]).startswith("the file cannot be opened")
    assert cause(clip, "bad.mp4") == "the file could not be understood"
    assert cause(clip, portrait=PNG[:200]).startswith("the picture 'bob.png': the file cannot be opened")


def test_the_conditions_of_a_video_can_be_set(start, receiver, clip):
    watcher = start(*QUICK, "--caption-seconds", "1-19", "--caption-megabytes", "1")
    watcher.file(clip, callback=receiver.url("k"))
    watcher.file(bytes(1_000_001), callback=receiver.url("k"))
    told(receiver, 2)
    assert {caption["cause"].split(";")[0] for caption in watcher.report()["captions"]} == {
        "the video takes 20.0 s",
        "the video is larger than 1 MB",
    }


def test_a_synchronous_caption_that_fails_is_answered_minus_one_and_paid(watcher):
    short = {"image_base64": base64.b64encode(PNG[:200]).decode(), "img_type": "png", **ASKED}
    answers = [
        watcher.ask("uploadSync", {"video_url": "https://cdn.example.com/bad.mp4", **ASKED}),
        watcher.image(url="https://cdn.example.com/bad.jpg"),
        watcher.send("uploadImgFile", ASKED, ("file", "shelf.gif", GIF)),
        watcher.send("uploadImgFile", ASKED, ("file", "shelf.jpg", JPEG[: len(JPEG) // 2])),
        watcher.ask("uploadImgFileBase64", short),
    ]
    for answer in answers:
        assert answer.status_code == 200
        assert shape(answer.json()) == shape(sample("response-understand-rejected"))
        assert answer.json()["code"] == -1
    assert watcher.report()["paid"] == len(answers)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("upload", {"video_url": None}),
        ("upload", {"video_url": "ftp://cdn.example.com/x"}),
        ("upload", {"user_prompt": ""}),
        ("upload", {"system_prompt": None}),
        ("upload", {"callback": None}),
        ("upload", {"callback": "http://" + "x" * 293}),
        ("upload", {"persons": [ALICE] * 6}),
        ("upload", {"persons": [{"url": ALICE["url"]}]}),
        ("upload", {"persons": [{"name": "Alice"}]}),
        ("upload", {"persons": "Alice"}),
        ("upload", {"thinking": "yes"}),
        ("uploadSync", {"user_prompt": None}),
        ("uploadImg", {"url": None}),
        ("uploadImg", {"url": [PICTURE, PICTURE]}),
        ("uploadImgFileBase64", {"img_type": "gif"}),
        ("uploadImgFileBase64", {"image_base64": "no base64!"}),
    ],
)
def test_a_question_that_breaks_a_rule_is_refused_and_costs_nothing(watcher, name, change):
    whole = {"video_url": LINK, "url": PICTURE, "callback": "http://127.0.0.1:9/", **ASKED}
    whole |= {"image_base64": base64.b64encode(PNG).decode(), "img_type": "png"}
    answer = watcher.ask(name, {**whole, **change}).json()
    assert shape(answer) == shape(sample("response-understand-rejected"))
    assert (answer["code"], watcher.report()["paid"]) == (-1, 0)
    assert watcher.ask(name, whole).json()["code"] == 0


def test_a_callback_of_299_characters_is_taken(watcher):
    assert watcher.link("http://" + "x" * 292).json()["code"] == 0


def test_a_file_call_that_lacks_a_part_is_refused(watcher, clip):
    req = {"callback": "http://127.0.0.1:9/", **ASKED}
    assert watcher.send("uploadFile", req).json()["code"] == -1
    assert watcher.send("uploadFile", req, ("file", "a.mp4", clip)).json()["code"] == -1
    assert watcher.send("uploadFile", req, *[("files", "a.mp4", clip)] * 2).json()["code"] == -1
    assert watcher.send("uploadFile", ASKED, ("files", "a.mp4", clip)).json()["code"] == -1  # no callback
    assert watcher.http.post("/v1/understand/uploadFile", files={"files": ("a.mp4", clip)}).json()["code"] == -1
    assert watcher.http.post("/v1/understand/upload", content=b"[]").json()["code"] == -1
    assert watcher.report()["paid"] == 0


# Limits


def test_a_call_with_persons_needs_room_in_both_lanes_and_else_fills_neither(start):
    watcher = start(*FAST, "--limits", "caption_video=2/h,human_reid=1/h")
    assert watcher.link(persons=[ALICE]).json()["code"] == 0
    assert watcher.link(persons=[ALICE]).json() == OVER
    assert watcher.link().json()["code"] == 0
    assert watcher.link().json() == OVER
    report = watcher.report()
    assert [violation["lane"] for violation in report["violations"]] == ["human_reid", "caption_video"]
    counted = {lane: (calls["count"], calls["accepted"]) for lane, calls in report["calls"].items() if calls["count"]}
    assert counted == {"caption_video": (4, 2), "human_reid": (2, 1)}
    assert report["paid"] == 2


def test_pictures_have_a_lane_of_their_own_and_persons_theirs(start):
    watcher = start(*FAST, "--limits", "caption_video=1/h,caption_image=2/h,human_reid=1/h")
    assert watcher.link(persons=[ALICE]).json()["code"] == 0
    assert watcher.image(persons=[ALICE]).json() == OVER
    assert [watcher.image().json()["code"] for _ in range(3)] == [0, 0, "0429"]


def test_both_ways_of_a_video_share_one_limit(start, clip):
    watcher = start(*FAST, "--limits", "caption_video=1/h")
    assert watcher.ask("uploadSync", {"video_url": LINK, **ASKED}).json()["code"] == 0
    assert watcher.file(clip).json() == OVER


def test_a_call_that_goes_wrong_after_it_was_read_counts_for_its_persons_too(start):
    watcher = start(*FAST, "--limits", "caption_video=off,human_reid=1/h", "--faults", "http_500=1")
    assert watcher.link(persons=[ALICE]).status_code == 500
    watcher.faults()
    assert watcher.link(persons=[ALICE]).json() == OVER


# Callbacks


def test_a_caption_may_be_called_back_under_its_other_name(start, watcher, receiver):
    watcher.faults(callback_response=1)
    start(*QUICK, "--k4-response").link(receiver.url("option"))
    watcher.link(receiver.url("fault"))
    for path in ("option", "fault"):
        [body] = told(receiver, path=path)
        assert shape(body) == shape(sample("callback-caption-success-response-alias"))
    assert watcher.happened() == {"callback_response": 1}
    until(lambda: watcher.report()["callbacks"]["answered"] == 1, PATIENCE)
    assert watcher.report()["callbacks"]["by_kind"] == {"K4b": 1}


@pytest.mark.parametrize(("url", "status"), [(LINK, 0), ("https://cdn.example.com/bad.mp4", -1)])
def test_an_early_result_has_been_answered_before_its_own_request_is(watcher, receiver, url, status):
    watcher.faults(callback_early=1)
    answer = watcher.link(receiver.url("k"), url=url).json()
    [body] = receiver.at("k")
    assert (body["status"], body["task_id"]) == (status, answer["data"]["task_id"])
    time.sleep(0.5)  # --caption is over long ago: nothing comes twice
    assert len(receiver.at("k")) == watcher.report()["callbacks"]["early"] == 1


def test_a_result_may_come_early_though_the_answer_never_does(watcher, receiver):
    watcher.faults(callback_early=1, drop_answer=1)
    with pytest.raises(httpx.TransportError):
        watcher.link(receiver.url("k"))
    assert [body["status"] for body in told(receiver)] == [0]
    assert watcher.report()["paid"] == 1


def test_results_meet_the_faults_of_all_callbacks(watcher, receiver):
    watcher.faults(callback_double=1)
    watcher.link(receiver.url("double"))
    first, second = told(receiver, 2, "double")
    assert first == second
    watcher.faults(callback_drop=1)
    watcher.link(receiver.url("drop"))
    until(lambda: watcher.report()["callbacks"]["dropped"] == 1, PATIENCE)
    watcher.faults(callback_swap=1)
    tasks = []
    for _ in range(2):  # one after the other: which of two ends first would be chance
        tasks.append(watcher.link(receiver.url("swap")).json()["data"]["task_id"])
        until(lambda: watcher.report()["captions"][-1]["status"] == "SUCCEEDED", PATIENCE)
    assert [body["task_id"] for body in told(receiver, 2, "swap")] == tasks[::-1]
    watcher.faults(callback_delay=1)
    before = time.monotonic()
    watcher.link(receiver.url("delay"))
    told(receiver, path="delay")
    assert time.monotonic() - before >= 0.6  # --caption and --callback-delay
    assert receiver.at("drop") == []


# Calls that go wrong


SENDERS = [Watcher.link, Watcher.image, lambda watcher: watcher.file(PNG), lambda watcher: watcher.images(PNG)]
EACH_SENDER = pytest.mark.parametrize("send", SENDERS, ids=["link", "image", "file", "upload_img"])


@EACH_SENDER
def test_every_fault_of_a_sending_call_meets_captions_and_images(watcher, send):
    for fault in ("cut_before", "cut_body", "drop_answer"):
        watcher.faults(**{fault: 1})
        with pytest.raises(httpx.TransportError):
            send(watcher)
        assert watcher.accepted() == (fault == "drop_answer")
    for fault, status in (("http_500", 500), ("http_502", 502)):
        watcher.faults(**{fault: 1})
        assert send(watcher).status_code == status
        assert watcher.accepted() == 1
    watcher.faults(http_502_after=1)
    assert send(watcher).status_code == 502
    watcher.faults(broken_json_after=1)
    with pytest.raises(json.JSONDecodeError):
        send(watcher).json()
    watcher.faults(slow=1)
    before = time.monotonic()
    assert send(watcher).json()["code"] in (0, -1, "0000")
    assert time.monotonic() - before >= 0.5
    assert watcher.accepted() == 4
    assert set(watcher.happened().values()) == {1} and len(watcher.happened()) == 8


def test_faults_speak_the_hosts_own_language(watcher):
    watcher.faults(network=1)
    answer = watcher.link().json()
    assert answer == {"code": -1, "msg": "network abnormal, try again later", "data": None}
    assert watcher.images(PNG).json()["code"] == "0001"
    watcher.faults(broken_json=1)
    assert watcher.link().text.startswith('{"code":0,')
    assert watcher.accepted() == 0


def test_a_spell_refuses_one_lane_only(watcher):
    watcher.faults(spell=1)
    assert watcher.link().json() == OVER
    watcher.faults()
    assert watcher.link().json() == OVER
    assert watcher.image().json()["code"] == 0
    assert watcher.report()["violations"] == []


# Keys and credit


@pytest.mark.parametrize(
    ("general", "captions", "expected"),
    [
        (["sk-lib"], ["sk-cap"], {"sk-lib": ("9009", "0000"), "sk-cap": (0, "9009"), "sk-x": ("0401", "0401")}),
        ([], ["sk-cap"], {"sk-lib": ("9009", "0000"), "sk-cap": (0, "9009")}),
        (["sk-one"], ["sk-one"], {"sk-one": (0, "0000"), "sk-x": ("0401", "0401")}),
        (["sk-lib"], [], {"sk-lib": (0, "0000"), "sk-x": ("0401", "0401")}),
    ],
    ids=["two keys", "any general key", "one key for both", "no caption key"],
)
def test_each_host_takes_its_own_keys(start, general, captions, expected):
    options = [word for key in general for word in ("--key", key)]
    options += [word for key in captions for word in ("--caption-key", key)]
    watcher = start(*QUICK, *options)
    codes = {}
    for key in expected:
        watcher.http.headers["Authorization"] = key
        codes[key] = (watcher.link().json()["code"], watcher.sandbox.post("list_videos", json={})["code"])
    assert codes == expected
    answers = [code for pair in codes.values() for code in pair]
    report = watcher.report()
    assert (report["bad_keys"], report["wrong_host_keys"]) == (answers.count("0401"), answers.count("9009"))


def test_a_key_the_host_refuses_is_answered_without_the_librarys_flags(start):
    watcher = start(*QUICK, "--key", "sk-lib", "--caption-key", "sk-cap")
    watcher.http.headers["Authorization"] = "sk-lib"
    assert watcher.link().json() == {"code": "9009", "msg": "permission denied", "data": None}


def test_captions_and_images_cost_credit(watcher):
    watcher.http.post("/_sandbox/credit", json={"calls": 3})
    assert watcher.link(callback="").json()["code"] == -1
    codes = [send(watcher).json()["code"] for send in (Watcher.link, Watcher.image)]
    codes += [watcher.images(content).json()["code"] for content in (b"junk", PNG, PNG)]
    assert codes == [0, 0, "0001", "0000", "0402"]
    assert watcher.link().json() == {"code": "0402", "msg": "credit used up", "data": None}
    assert watcher.report()["out_of_credit"] == 2


# The library's images


def test_images_get_an_id_each_in_their_order_and_are_listed_newest_first(watcher):
    metadata = {"datetime_taken": "2026-01-02 03:04:05", "camera_model": "Dock", "latitude": "52.1", "longitude": "4.3"}
    answer = watcher.images(PNG, JPEG, WEBP, **metadata, tags=["a"]).json()
    assert shape(answer) == shape(sample("response-upload-img"))
    ids = [image["id"] for image in answer["data"]]
    assert ids == sorted(set(ids)) and all(len(one) == 18 and one.isdecimal() for one in ids)
    images = watcher.report()["images"]
    assert [(image["id"], image["sha256"]) for image in images] == [
        *zip(ids, map(sha256, (PNG, JPEG, WEBP)), strict=True)
    ]
    assert images[0]["metadata"] == {**metadata, "tags": ["a", "api"]}
    assert (images[0]["name"], images[0]["unique_id"]) == ("shelf-0", watcher.namespace)
    page = watcher.sandbox.post("img_list_page", json={"unique_id": watcher.namespace, "page_size": 2})
    assert shape(page) == shape(sample("response-img-list"))
    assert [image["image_no"] for image in page["data"]["images"]] == ids[:0:-1]
    assert (page["data"]["page_size"], page["data"]["total_count"]) == (2, "3")
    assert watcher.sandbox.post("img_list_page", json={})["data"]["images"] == []


@pytest.mark.parametrize("bad", [b"no picture at all", GIF, PNG[:200], JPEG[: len(JPEG) // 2], b""])
def test_one_bad_image_refuses_the_whole_call(watcher, bad):
    assert shape(watcher.images(PNG, bad).json()) == shape(sample("response-error-0001-parameter"))
    assert watcher.report()["images"] == []


def test_an_image_call_that_breaks_a_rule_is_refused(watcher):
    assert watcher.images(*[PNG] * 51).json()["code"] == "0001"
    assert watcher.images(PNG + bytes(20_000_000)).json()["code"] == "0001"
    assert watcher.images(PNG, latitude="52.1").json()["code"] == "0001"
    assert watcher.images(PNG, tags=["x"] * 51).json()["code"] == "0001"
    assert watcher.sandbox.post("upload_img", files={"file": ("a.png", PNG)})["code"] == "0001"
    assert watcher.report()["images"] == []


def test_images_have_a_limit_of_their_own(start):
    watcher = start(*FAST, "--limits", "image=1/h")
    assert watcher.images(PNG).json()["code"] == "0000"
    assert watcher.images(PNG).json() == OVER
    assert [violation["lane"] for violation in watcher.report()["violations"]] == ["image"]


# The report


def test_what_was_asked_or_sent_twice_is_told(watcher):
    tasks = [watcher.link().json()["data"]["task_id"] for _ in range(2)]
    watcher.link(user_prompt="Who?")
    watcher.link(persons=[ALICE])
    watcher.http.post(
        "/v1/understand/uploadSync", json={"video_url": LINK, **ASKED}, headers={"Authorization": "another"}
    )
    ids = [watcher.images(PNG).json()["data"][0]["id"] for _ in range(2)]
    watcher.images(JPEG)
    report = watcher.report()
    twice = {"key": "1234", "source": LINK, "prompt": ASKED["user_prompt"], "task_ids": tasks}
    assert (report["captions_twice"], report["paid"]) == ([twice], 5)
    assert report["images_twice"] == [{"unique_id": watcher.namespace, "sha256": sha256(PNG), "ids": ids}]
    assert report["duplicates"] == []
    brief = watcher.sandbox.report(brief=True)
    assert not {"captions", "images"} & set(brief)
    assert (brief["paid"], brief["captions_twice"]) == (5, [twice])


def test_reset_forgets_captions_and_images_and_calls_nobody_back(start, receiver):
    watcher = start(*QUICK, "--caption", "0.5")
    watcher.link(receiver.url("k"))
    watcher.images(PNG)
    watcher.http.post("/_sandbox/reset")
    report = watcher.report()
    assert (report["paid"], report["captions"], report["images"]) == (0, [], [])
    time.sleep(1)
    assert receiver.got == []
