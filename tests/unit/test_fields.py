"""The vendor's shapes, read from the samples in tests/payloads (facts of contract/memories-ai.md, invented values)."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.upstream.fields import (
    Caption,
    Heard,
    Image,
    Malformed,
    Tokens,
    Video,
    Word,
    decoded_names,
    read_callback,
    read_caption,
    read_envelope,
    read_images,
    read_int,
    read_ms,
    read_task,
    read_text,
    read_upload,
    read_video,
    read_videos,
    read_word,
)

PAYLOADS = Path(__file__).parent.parent / "payloads"

BEACH, DOCK, GATE = "VI631413884779040768", "VI631414136437280769", "VI631414406735007746"
FIRST, SECOND = "VI631414719810441219", "VI631414726324195332"
TASK = "0d6c1b7e-52f4-4a39-9e80-6b1f2c7a9d35_9f3b6c1de4a85270b1c2d3e4f5a60718"
CAPTION = "5f0a9c3e-7b21-4d68-8e14-c2d7f6b3a190"
TEXT = "A delivery van stops at a loading bay and two parcels are carried inside."
SEEN = Caption(TEXT, Tokens(1840, 212, 2052))

CALLBACKS = {
    "caption-failure-message-unconfirmed": Heard(
        "K4", (), CAPTION, Word.BROKEN, "-1", message="the video could not be read"
    ),
    "caption-failure-text-unconfirmed": Heard(
        "K4", (), CAPTION, Word.BROKEN, "-1", message="the video could not be read"
    ),
    "caption-failure-unconfirmed": Heard("K4", (), CAPTION, Word.BROKEN, "-1"),
    "caption-success": Heard("K4", (), CAPTION, Word.READY, "0", SEEN),
    "caption-success-persons": Heard(
        "K4",
        (),
        "a1b2c3d4e5",
        Word.READY,
        "0",
        Caption("Ada and Ben are both at the dock. Ada comes first.", Tokens(210, 92, 302)),
    ),
    "caption-success-response-alias": Heard("K4", (), CAPTION, Word.READY, "0", SEEN),
    "scraper-task-failed": Heard("K2", (), TASK, Word.BROKEN, "FAILED"),
    "scraper-task-succeeded": Heard("K2", (), TASK, Word.PENDING, "SUCCEEDED"),
    "scraper-task-succeeded-minimal": Heard("K2", (), TASK, Word.PENDING, "SUCCEEDED"),
    "scraper-video-index-failed-unconfirmed": Heard("K3", (SECOND,), TASK, Word.BROKEN, "INDEXING_FAILED"),
    "scraper-video-indexed": Heard("K3", (FIRST,), TASK, Word.READY, "INDEXING_SUCCEEDED"),
    "upload-enveloped-unconfirmed": Heard("K1", (BEACH,), None, Word.READY, "PARSE"),
    "upload-fail": Heard("K1", (DOCK,), None, Word.BROKEN, "FAIL"),
    "upload-parse": Heard("K1", (BEACH,), None, Word.READY, "PARSE"),
    "upload-parse-legacy-clientid": Heard("K1", (BEACH,), None, Word.READY, "PARSE"),
    "upload-unparse": Heard("K1", (BEACH,), None, Word.PENDING, "UNPARSE"),
    "v2-task-result": Heard("K7"),
}

#: Answers that are no: their code and words.
ERRORS = {
    "error-0001-network-abnormal": ("0001", "network abnormal, try again later"),
    "error-0001-no-static-resource": ("0001", "No static resource serve/api/v1/no_such_call."),
    "error-0001-parameter": ("0001", "parameter error"),
    "error-0001-video-not-found": ("0001", "video not found"),
    "error-0401": ("0401", "key not valid"),
    "error-0402": ("0402", "credit used up"),
    "error-0403": ("0403", "account disabled"),
    "error-0409": ("0409", "operation may not be repeated"),
    "error-0429": ("0429", "Request has exceeded the limit."),
    "error-0429-full": ("0429", "Request has exceeded the limit."),
    "error-9009": ("9009", "permission denied"),
    "understand-rejected": ("-1", "request refused"),
}

#: Bodies without an envelope (contract B.5, B.6 C3, A.4).
BARE = {
    "chat-personal",
    "chat-stream-events",
    "http-404-gateway",
    "search-audio-transcripts-seed",
    "similar-images-seed",
}

UPLOADS = {
    "upload": BEACH,
    "upload-hex-name": BEACH,
    "upload-url": DOCK,
    "upload-url-short": DOCK,
}

LISTS = {
    "list-videos": [
        Video(GATE, Word.PENDING, "UNPARSE", None, "gate-b-0413", 2_918_400, 1_760_000_125_678),
        Video(DOCK, Word.READY, "PARSE", None, "loading-dock", 9_120_044, 1_760_000_061_234),
        Video(BEACH, Word.READY, "PARSE", None, "bay-camera-0412", 2_918_400, 1_760_000_001_234),
    ],
    "list-videos-empty": [],
    "list-videos-failed": [
        Video(DOCK, Word.BROKEN, "FAILED", "codec not supported", "loading-dock", 9_120_044, 1_760_000_061_234)
    ],
    "list-videos-typed": [Video(BEACH, Word.READY, "PARSE", None, "bay-camera-0412", 2_918_400, 1_760_000_001_234)],
    "task-status-empty": [],
    "task-status-empty-seed": [],
    "task-status-video-ids": [Video(FIRST), Video(SECOND)],
    "task-status-videos": [
        Video(
            FIRST,
            Word.PENDING,
            "UNPARSE",
            name="restock day",
            created_ms=1_760_000_200_321,
            url="https://www.tiktok.com/@example_shop/video/7000000000000000001",
        ),
        Video(
            SECOND,
            Word.READY,
            "PARSE",
            name="new shelf",
            created_ms=1_760_000_201_874,
            url="https://www.tiktok.com/@example_shop/video/7000000000000000002",
        ),
    ],
}

DETAILS = {
    "get-metadata": Video(BEACH, Word.READY, "PARSE", None, "bay-camera-0412", 2_918_400, 1_760_000_001_234),
    "get-metadata-unknown": None,
    "private-video-details": Video(
        BEACH,
        Word.READY,
        "PARSE",
        None,
        "bay-camera-0412",
        2_918_400,
        1_760_000_001_234,
        "https://storage.example.com/library/bay-camera-0412.mp4?sig=EXAMPLE",
    ),
    "public-video-detail": Video(
        "PI-631415139807039488",
        Word.READY,
        "PARSE",
        name="Corner shop tour #example",
        created_ms=1_760_000_300_456,
        url="https://www.tiktok.com/player/v1/7000000000000000003",
    ),
}


def payload(name: str) -> bytes:
    return (PAYLOADS / f"{name}.json").read_bytes()


def names(kind: str) -> set[str]:
    return {path.stem.removeprefix(kind) for path in PAYLOADS.glob(f"{kind}*.json")}


def data_of(name: str) -> object:
    envelope = read_envelope(payload(f"response-{name}"))
    assert envelope is not None and envelope.ok
    return envelope.data


# The samples


def test_every_sample_of_a_callback_has_a_meaning_here():
    assert set(CALLBACKS) == names("callback-")


@pytest.mark.parametrize("name", CALLBACKS)
def test_a_callback_means(name):
    assert read_callback(payload(f"callback-{name}")) == CALLBACKS[name]


@pytest.mark.parametrize("name", sorted(names("response-")))
def test_an_answer_is_a_yes_a_no_or_no_envelope(name):
    envelope = read_envelope(payload(f"response-{name}"))
    if name in BARE:
        assert envelope is None
        return
    assert envelope is not None
    assert envelope.ok == (name not in ERRORS)
    if name in ERRORS:
        assert (envelope.code, envelope.message) == ERRORS[name]


@pytest.mark.parametrize("name", UPLOADS)
def test_an_upload_answers_with_its_video(name):
    assert read_upload(data_of(name)) == UPLOADS[name]


@pytest.mark.parametrize("name", LISTS)
def test_a_list_or_a_task_holds_videos(name):
    assert read_videos(data_of(name)) == LISTS[name]


@pytest.mark.parametrize("name", DETAILS)
def test_a_detail_is_one_video_or_nothing(name):
    assert read_video(data_of(name)) == DETAILS[name]


def test_a_scraper_answers_with_its_task():
    assert read_task(data_of("scraper-url")) == TASK


def test_an_understand_call_answers_with_its_task():
    assert read_task(data_of("understand-accepted")) == CAPTION


@pytest.mark.parametrize(
    ("name", "caption"),
    [
        ("understand-now", SEEN),
        ("image-caption", Caption("A shelf with three labelled boxes.", Tokens(640, 41, 681))),
        ("understand-accepted", None),
    ],
)
def test_an_answer_holds_a_caption_or_none(name, caption):
    assert read_caption(data_of(name)) == caption


@pytest.mark.parametrize(
    ("name", "images"),
    [
        ("upload-img", [Image("631415560634126336"), Image("631415560642514945")]),
        (
            "upload-img-table-shape",
            [Image("631415560634126336", "shelf-a", Word.PENDING, "SUCCESS", 1_760_000_400_789)],
        ),
    ],
)
def test_an_upload_of_pictures_answers_with_their_numbers_in_order(name, images):
    assert read_images(data_of(name)) == images


@pytest.mark.parametrize("name", ["id", "imageNo", "image_no"])
@pytest.mark.parametrize("number", ["631415560634126336", 631415560634126336])
def test_every_name_and_type_of_a_pictures_number(name, number):
    assert read_images([{name: number}]) == [Image("631415560634126336")]


@pytest.mark.parametrize("data", [None, {}, "text", [], [None], ["1"], [{"id": None}], [{"id": "1"}, {}]])
def test_pictures_without_a_number_each_are_none(data):
    assert read_images(data) == []


# Aliases (contract C.3)


@pytest.mark.parametrize("name", ["videoNo", "video_no", "videoId", "video_id"])
def test_every_name_of_a_video_id(name):
    said = {name: BEACH, "status": "PARSE"}
    assert read_callback(json.dumps(said).encode()).video_nos == (BEACH,)
    assert read_upload(said) == BEACH
    assert read_video(said) == Video(BEACH, Word.READY, "PARSE")


@pytest.mark.parametrize("name", ["taskId", "task_id"])
def test_every_name_of_a_task(name):
    assert read_callback(json.dumps({name: TASK, "status": "SUCCEEDED"}).encode()).task_id == TASK
    assert read_task({name: TASK}) == TASK


@pytest.mark.parametrize("name", ["status", "videoStatus", "video_status"])
def test_every_name_of_a_state(name):
    said = {"videoNo": BEACH, name: "FAIL"}
    assert read_callback(json.dumps(said).encode()).word is Word.BROKEN
    video = read_video(said)
    assert video is not None and video.word is Word.BROKEN


@pytest.mark.parametrize(
    "listed",
    [
        {"video_ids": [FIRST, SECOND]},
        {"videoNos": [FIRST, SECOND]},
        {"video_nos": [FIRST, SECOND]},
        {"videos": [{"video_no": FIRST}, {"video_no": SECOND}]},
        {"videos": [{"videoNo": FIRST}, {"videoNo": SECOND}]},
        {"data": {"video_ids": [FIRST, SECOND]}},
    ],
)
def test_every_name_of_a_list_of_ids(listed):
    heard = read_callback(json.dumps({"taskId": TASK, "status": "SUCCEEDED", **listed}).encode())
    assert heard == Heard("K2", (FIRST, SECOND), TASK, Word.PENDING, "SUCCEEDED")
    if "data" not in listed:
        assert [video.video_no for video in read_videos(listed)] == [FIRST, SECOND]


@pytest.mark.parametrize("name", ["text", "response"])
def test_every_name_of_a_captions_text(name):
    said = {"status": 0, "task_id": CAPTION, "data": {name: TEXT}}
    assert read_callback(json.dumps(said).encode()).caption == Caption(TEXT)
    assert read_caption({name: TEXT}) == Caption(TEXT)


@pytest.mark.parametrize("state", [0, "0", " 0 "])
def test_a_captions_state_may_come_as_a_text(state):
    said = {"status": state, "task_id": CAPTION, "data": {"text": TEXT}}
    assert read_callback(json.dumps(said).encode()) == Heard("K4", (), CAPTION, Word.READY, "0", Caption(TEXT))


@pytest.mark.parametrize("state", [-1, "-1", 1, 500])
@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, None),
        ({"data": None}, None),
        ({"data": "null"}, None),
        ({"data": {}}, None),
        ({"data": {"text": "", "token": None}}, None),
        ({"data": "too long"}, "too long"),
        ({"data": {"text": "too long"}}, "too long"),
        ({"data": {"response": "too long"}}, "too long"),
        ({"data": {"message": "too long"}}, "too long"),
        ({"message": "too long"}, "too long"),
        ({"msg": "too long", "data": {"text": "x"}}, "too long"),
        ({"cause": "too long"}, "too long"),
    ],
)
def test_a_caption_that_failed_has_words_or_none(state, more, words):
    heard = read_callback(json.dumps({"status": state, "task_id": CAPTION, **more}).encode())
    assert heard == Heard("K4", (), CAPTION, Word.BROKEN, str(state), message=words)


@pytest.mark.parametrize("data", [None, {}, {"text": None}, {"text": " "}, {"text": ["x"]}, "text", ["text"]])
def test_a_success_without_a_text_brings_no_caption(data):
    said = {"status": 0, "task_id": CAPTION, "data": data}
    assert read_callback(json.dumps(said).encode()) == Heard("K4", (), CAPTION, Word.READY, "0")


@pytest.mark.parametrize(
    ("token", "tokens"),
    [
        ({"input": "1840", "output": 212.0, "total": None}, Tokens(1840, 212, None)),
        ({"input": -1, "output": 10**30, "total": "many"}, Tokens()),
        (None, Tokens()),
        (2052, Tokens()),
        ([], Tokens()),
    ],
)
def test_what_a_caption_cost_is_read_as_far_as_it_makes_sense(token, tokens):
    assert read_caption({"text": TEXT, "token": token}) == Caption(TEXT, tokens)


@pytest.mark.parametrize("name", ["cause", "message", "msg"])
def test_every_name_of_an_explanation(name):
    video = read_video({"videoNo": BEACH, "status": "FAILED", name: "codec not supported"})
    assert video is not None and video.cause == "codec not supported"


@pytest.mark.parametrize("name", ["msg", "message"])
def test_every_name_of_an_envelopes_words(name):
    envelope = read_envelope(json.dumps({"code": "0001", name: "parameter error"}).encode())
    assert envelope is not None and envelope.message == "parameter error"


# Words (contract D.1, D.2)


@pytest.mark.parametrize("word", ["PARSE", "DONE", "INDEXING_SUCCEEDED", " parse ", "Parse", "done"])
def test_words_that_mean_ready(word):
    assert read_word(word) is Word.READY


@pytest.mark.parametrize(
    "word", ["FAIL", "FAILED", "PARSE_ERROR", "ERROR", "INDEXING_FAILED", "UPLOAD_ERROR", " failed ", "Parse_Error"]
)
def test_words_that_mean_broken(word):
    assert read_word(word) is Word.BROKEN


@pytest.mark.parametrize(
    "word",
    ["UNPARSE", "SUCCEEDED", "PENDING", "PROCESSING", "UPLOADING", "COMPLETED", "READY", "NOT_FOUND", "", None, 0, {}],
)
def test_any_other_word_means_not_ready_yet(word):
    assert read_word(word) is Word.PENDING


def test_an_unknown_word_is_kept_as_it_came():
    assert read_video({"video_no": BEACH, "status": "Polishing"}) == Video(BEACH, Word.PENDING, "Polishing")


# Values


@pytest.mark.parametrize("nothing", [None, "null", "NULL", "", "  ", {}, [], True, False])
def test_every_way_to_write_nothing(nothing):
    assert read_text(nothing) is None
    assert read_int(nothing) is None
    assert read_ms(nothing) is None


@pytest.mark.parametrize(
    ("value", "number"),
    [("34", 34), (34, 34), (34.0, 34), ("34.9", 34), (" 34 ", 34), ("-1", -1), ("0", 0), (0, 0)],
)
def test_a_number_may_come_as_a_text(value, number):
    assert read_int(value) == number


@pytest.mark.parametrize("value", ["many", "1,5", "0x10", "nan", float("nan"), float("inf"), "1e999", "9" * 5000])
def test_what_is_no_number_is_none(value):
    assert read_int(value) is None


def test_a_huge_number_stays_what_it_is():
    assert read_int(10**30) == 10**30


@pytest.mark.parametrize(
    ("value", "ms"),
    [
        ("1760000001234", 1_760_000_001_234),
        (1_760_000_001_234, 1_760_000_001_234),
        ("1759827200", 1_759_827_200_000),
        (1_759_827_200, 1_759_827_200_000),
        (1_759_827_200.0, 1_759_827_200_000),
        ("0", None),
        (-5, None),
    ],
)
def test_a_time_is_in_seconds_or_ms_by_its_size(value, ms):
    assert read_ms(value) == ms


@pytest.mark.parametrize("size", ["0", 0, None, "null", "", "unknown"])
def test_a_size_that_is_not_known_yet_is_none(size):
    assert read_video({"video_no": BEACH, "size": size}) == Video(BEACH)


@pytest.mark.parametrize("cause", [None, "null", ""])
def test_no_cause_is_none(cause):
    assert read_video({"video_no": BEACH, "cause": cause}) == Video(BEACH)


@pytest.mark.parametrize(("said", "kept"), [("a\0b", "ab"), ("cut \ud83d", "cut ?"), ("\0", None), ("ü 🎬", "ü 🎬")])
def test_a_text_is_one_that_a_database_takes(said, kept):
    assert read_text(json.loads(json.dumps(said))) == kept


def test_an_id_may_be_a_number():
    assert read_video({"video_no": 631415560634126336}) == Video("631415560634126336")


def test_doubled_ids_count_once_and_the_richer_one_is_kept():
    data = {
        "video_ids": [FIRST, FIRST, SECOND],
        "videoNos": [SECOND, BEACH],
        "videos": [{"video_no": FIRST, "status": "PARSE"}, {"videoNo": FIRST, "status": "UNPARSE"}],
    }
    assert read_videos(data) == [Video(FIRST, Word.READY, "PARSE"), Video(SECOND), Video(BEACH)]


def test_a_callback_that_names_one_video_twice_names_it_once():
    said = {"videoId": FIRST, "taskId": TASK, "status": "INDEXING_SUCCEEDED", "video_ids": [FIRST, SECOND]}
    assert read_callback(json.dumps(said).encode()).video_nos == (FIRST, SECOND)


@pytest.mark.parametrize("data", [None, [], "text", 3, {"videos": None}, {"videos": {}}, {"videos": [None, 3, {}, ""]}])
def test_a_list_without_videos_is_empty(data):
    assert read_videos(data) == []


# The envelope (contract A.3)


@pytest.mark.parametrize("code", ["0000", "0", 0, "200", 200, "SUCCESS", " 0000 "])
@pytest.mark.parametrize("flags", [{}, {"success": True, "failed": False}, {"success": None}, {"failed": False}])
def test_a_yes(code, flags):
    envelope = read_envelope(json.dumps({"code": code, "msg": "success", "data": None, **flags}).encode())
    assert envelope is not None and envelope.ok


@pytest.mark.parametrize("flags", [{"success": False}, {"failed": True}, {"success": True, "failed": True}])
def test_a_flag_that_says_no_outweighs_the_code(flags):
    envelope = read_envelope(json.dumps({"code": "0000", "data": {"videoNo": BEACH}, **flags}).encode())
    assert envelope is not None and not envelope.ok


@pytest.mark.parametrize("code", ["0001", "0429", 429, -1, "-1", "00", "success!", "500"])
def test_any_other_code_is_a_no_whatever_the_flags(code):
    envelope = read_envelope(json.dumps({"code": code, "success": True, "failed": False}).encode())
    assert envelope is not None and not envelope.ok
    assert envelope.code == str(code)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"0000"',
        b"{}",
        b'{"code": null}',
        b'{"code": {}}',
        b'{"code": true}',
        b'{"code": "0000"',
        b"<html>502 Bad Gateway</html>",
        b'{"code": "\xff"}',
        b"[" * 100_000,
    ],
)
def test_a_body_without_a_code_is_no_envelope(body):
    assert read_envelope(body) is None


# Callbacks of every other kind


@pytest.mark.parametrize(
    "body",
    [b"", b"hello", b"null", b"3", b'"PARSE"', b"[1]", b'{"videoNo": ', b"\xff\xfe\x00", b"[" * 100_000, b"9" * 5000],
)
def test_a_body_that_says_nothing_is_malformed(body):
    with pytest.raises(Malformed):
        read_callback(body)


@pytest.mark.parametrize("inner", ['{"a":%s}', "[%s]"])
def test_a_body_nested_too_deep_is_malformed(inner):
    def nested(levels: int) -> bytes:
        text = "1"
        for _ in range(levels):
            text = inner % text
        return f'{{"videoNo": "{BEACH}", "status": "PARSE", "more": {text}}}'.encode()

    assert read_callback(nested(39)).video_nos == (BEACH,)
    with pytest.raises(Malformed, match="nested too deep"):
        read_callback(nested(41))


def test_a_word_for_word_unknown_callback_is_unknown():
    assert read_callback(b'{"hello": "world"}') == Heard("unknown")
    assert read_callback(b"{}") == Heard("unknown")


def test_a_wide_body_is_read():
    said = {"videoNo": BEACH, "status": "PARSE", "more": [[number] for number in range(50_000)]}
    assert read_callback(json.dumps(said).encode()) == Heard("K1", (BEACH,), None, Word.READY, "PARSE")


@pytest.mark.parametrize("status", [True, False, 0.0, None])
def test_only_a_whole_number_is_a_captions_state(status):
    assert read_callback(json.dumps({"task_id": CAPTION, "status": status}).encode()).variant == "K2"


def test_what_stands_outside_goes_before_what_stands_inside():
    said = {"videoNo": BEACH, "status": None, "data": {"videoNo": DOCK, "status": "FAIL"}}
    assert read_callback(json.dumps(said).encode()) == Heard("K1", (BEACH,), None, Word.BROKEN, "FAIL")


# Names (contract B.3 L1)


@pytest.mark.parametrize(
    "name",
    [
        "beach [k3f9x2m7qa]",
        "BEACH [K3F9X2M7QA]",
        "beach%20%5Bk3f9x2m7qa%5D",
        "9f_beach%20[k3f9x2m7qa]_1760000001234",
        b"beach [k3f9x2m7qa]".hex(),
        b"beach [k3f9x2m7qa]".hex().upper(),
    ],
)
def test_a_name_is_read_as_it_is_decoded_and_from_hex(name):
    assert any("beach [k3f9x2m7qa]" in read for read in decoded_names(name))


def test_a_name_that_is_none_can_be_read_in_no_way():
    assert decoded_names(None) == decoded_names("") == frozenset()


# Whatever comes

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**300, 10**301)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["null", "PARSE", "0000", "\ud800", "a\0b", BEACH])
)
_FIELDS = st.sampled_from(
    [
        *("videoNo", "video_no", "videoId", "video_ids", "videoNos", "videos", "taskId", "task_id", "status", "code"),
        *("videoStatus", "data", "text", "response", "msg", "cause", "success", "failed", "size", "create_time"),
        *("video_name", "video_url", "uploadTime", "token", "input", "total", "id", "imageNo", "message"),
    ]
)
_JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_FIELDS | st.text(max_size=3), inner, max_size=6),
    max_leaves=20,
)


def _clean(text: str | None) -> bool:
    return text is None or (text.strip() != "" and "\0" not in text and text == text.encode(errors="replace").decode())


@given(_JSON)
def test_no_value_is_too_strange_to_be_read(value):
    assert _clean(read_text(value))
    assert isinstance(read_int(value), (int, type(None)))
    assert isinstance(read_ms(value), (int, type(None)))
    assert read_word(value) in Word
    for video in [read_video(value), *read_videos(value)]:
        assert video is None or (video.video_no and _clean(video.video_no) and _clean(video.cause))
    caption = read_caption(value)
    assert caption is None or (caption.text and _clean(caption.text))
    assert all(image.image_no and _clean(image.image_no) and _clean(image.name) for image in read_images(value))
    assert _clean(read_upload(value))
    assert _clean(read_task(value))


@given(_JSON)
def test_no_envelope_is_too_strange_to_be_read(value):
    envelope = read_envelope(json.dumps(value).encode())
    assert envelope is None or (_clean(envelope.code) and _clean(envelope.message or None))
    if envelope is not None:
        assert isinstance(value, dict) and "code" in value


@given(_JSON)
def test_a_callback_is_heard_or_malformed(value):
    try:
        heard = read_callback(json.dumps(value).encode())
    except Malformed:
        assert not isinstance(value, dict)
    else:
        assert heard.variant in ("K1", "K2", "K3", "K4", "K7", "unknown")
        said = heard.caption.text if heard.caption else None
        assert all(map(_clean, [*heard.video_nos, heard.task_id, heard.raw_status, heard.message, said]))


@given(st.binary(max_size=200))
def test_any_bytes_are_an_envelope_or_none_and_a_callback_or_malformed(body):
    assert read_envelope(body) is None or body.lstrip()[:1] == b"{"
    try:
        read_callback(body)
    except Malformed as error:
        assert str(error).startswith("the body is ")


@given(st.text(max_size=60) | st.binary(max_size=30).map(bytes.hex))
def test_no_name_is_too_strange_to_be_decoded(name):
    assert name.lower() in decoded_names(name) or name == ""
