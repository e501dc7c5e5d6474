"""The vendor's field names, spellings and words, and their one meaning here (contract A.3, B.7, C.3, D.2, E.3).

Everything is optional, numbers may be strings, "nothing" may be ``null``, ``"null"``, ``""`` or absent; nothing here raises on
an unknown field, and an unknown status word means "not ready yet".
"""

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import unquote

_VIDEO = ("videoNo", "video_no", "videoId", "video_id")
_VIDEO_LISTS = ("video_ids", "videoNos", "video_nos")
_TASK = ("taskId", "task_id")
_STATUS = ("status", "videoStatus", "video_status")
_NAME = ("video_name", "videoName")
_EXPLANATION = ("cause", "message", "msg")
_CREATED = ("create_time", "uploadTime")
_IMAGE = ("id", "imageNo", "image_no")
_IMAGE_NAME = ("imageName", "image_name")
_CAPTION_TEXT = ("text", "response")
OK_CODES = frozenset({"0000", "0", "200", "SUCCESS"})

#: A body nested deeper than this is not from the vendor.
_MAX_DEPTH = 40


class Word(StrEnum):
    """What a status word means."""

    READY = "ready"
    BROKEN = "broken"
    PENDING = "pending"


_READY = frozenset({"PARSE", "DONE", "INDEXING_SUCCEEDED"})
_BROKEN = frozenset({"FAIL", "FAILED", "PARSE_ERROR", "ERROR"})


def read_word(value: object) -> Word:
    """A status word without regard to case and blanks; an unknown one is pending (contract D.2)."""
    word = str(value or "").strip().upper()
    if word in _READY:
        return Word.READY
    if word in _BROKEN or word.endswith(("_FAILED", "_ERROR")):
        return Word.BROKEN
    return Word.PENDING


def read_text(value: object) -> str | None:
    """A text that a database takes (no NUL, no half surrogate), or None for every way the vendor writes nothing."""
    if value is None or isinstance(value, (dict, list, bool)):
        return None
    text = str(value).replace("\0", "").encode("utf-8", "replace").decode().strip()
    return None if text.lower() in ("", "null") else text


def read_int(value: object) -> int | None:
    """A whole number that may come as a string or a float; None for nothing and for nonsense."""
    text = read_text(value)
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        try:
            return int(float(text))
        except (ValueError, OverflowError):
            return None


def read_ms(value: object) -> int | None:
    """A time in ms; values too small for that are seconds (contract E.3, 54)."""
    number = read_int(value)
    if number is None or number <= 0:
        return None
    return number if number > 10**11 else number * 1000


def _first(source: Mapping[str, Any], names: Iterable[str]) -> object:
    return next((source[name] for name in names if source.get(name) is not None), None)


@dataclass(frozen=True, slots=True)
class Video:
    """One video as a query reports it; ``word`` is a confirmed state."""

    video_no: str
    word: Word = Word.PENDING
    raw_status: str | None = None
    cause: str | None = None
    name: str | None = None
    size: int | None = None
    created_ms: int | None = None
    url: str | None = None


def read_video(source: object) -> Video | None:
    """A video of a list, a task or a detail; a bare id counts, as an unknown state."""
    if isinstance(source, str):
        number = read_text(source)
        return Video(number) if number else None
    if not isinstance(source, Mapping):
        return None
    number = read_text(_first(source, _VIDEO))
    if number is None:
        return None
    status = _first(source, _STATUS)
    return Video(
        video_no=number,
        word=read_word(status),
        raw_status=read_text(status),
        cause=read_text(_first(source, _EXPLANATION)),
        name=read_text(_first(source, _NAME)),
        size=read_int(source.get("size")) or None,  # "0" means not known yet
        created_ms=read_ms(_first(source, _CREATED)),
        url=read_text(source.get("video_url")),
    )


@dataclass(frozen=True, slots=True)
class Counters:
    """How often a public video was seen and liked; None for what is not told (contract B.3 L6: texts, not always there)."""

    views: int | None = None
    likes: int | None = None
    shares: int | None = None
    comments: int | None = None

    def __bool__(self) -> bool:
        return any(one is not None for one in (self.views, self.likes, self.shares, self.comments))


def read_counters(data: object) -> Counters:
    if not isinstance(data, Mapping):
        return Counters()
    names = ("view_count", "like_count", "share_count", "comment_count")
    found = [read_int(data.get(name)) for name in names]
    return Counters(*[one if one is not None and 0 <= one < 2**63 else None for one in found])


def read_videos(data: object) -> list[Video]:
    """The videos of a list or a task, whichever shape it takes; doubled ids once, the richer one kept."""
    if not isinstance(data, Mapping):
        return []
    found: dict[str, Video] = {}
    for name in ("videos", *_VIDEO_LISTS):
        listed = data.get(name)
        for one in listed if isinstance(listed, list) else ():
            video = read_video(one)
            if video and video.video_no not in found:
                found[video.video_no] = video
    return list(found.values())


def decoded_names(name: str | None) -> frozenset[str]:
    """The ways a name may be read: as it is, percent-decoded, from hex (names come back as a stem, mangled or encoded)."""
    if not name:
        return frozenset()
    names = {name.lower(), unquote(name).lower()}
    with suppress(ValueError):  # it is no hex, or no text in hex: nothing to add
        names.add(bytes.fromhex(name).decode().lower())
    return frozenset(names)


@dataclass(frozen=True, slots=True)
class Envelope:
    """``code`` as a string, whatever it came as; ``ok`` by code and flags together."""

    code: str
    message: str
    data: Any
    ok: bool


def read_envelope(body: bytes) -> Envelope | None:
    """The envelope of an answer; None when the body is none (a gateway's page, half an answer)."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    code = read_text(answer.get("code")) if isinstance(answer, dict) else None
    if code is None:
        return None
    flags_good = answer.get("success") is not False and answer.get("failed") is not True
    message = read_text(_first(answer, ("msg", "message"))) or ""
    return Envelope(code, message, answer.get("data"), code in OK_CODES and flags_good)


def read_upload(data: object) -> str | None:
    """The video_no of an upload's answer: its only synchronous carrier (contract B.2 U1)."""
    return read_text(_first(data, _VIDEO)) if isinstance(data, Mapping) else None


def read_task(data: object) -> str | None:
    """The task id of a scraper's answer (contract B.2 U3)."""
    return read_text(_first(data, _TASK)) if isinstance(data, Mapping) else None


@dataclass(frozen=True, slots=True)
class Image:
    """One picture of an answer to upload_img; the seed's sample knows its number only, its table the rest (contract B.2 U9)."""

    image_no: str
    name: str | None = None
    word: Word = Word.PENDING
    raw_status: str | None = None
    created_ms: int | None = None


def read_images(data: object) -> list[Image]:
    """The pictures in the order of the parts that were sent. Empty when one of them has no number: the order is all that
    tells whose a number is.
    """
    images = []
    for one in data if isinstance(data, list) else ():
        number = read_text(_first(one, _IMAGE)) if isinstance(one, Mapping) else None
        if number is None:
            return []
        status = one.get("uploadStatus")
        name, created = read_text(_first(one, _IMAGE_NAME)), read_ms(_first(one, _CREATED))
        images.append(Image(number, name, read_word(status), read_text(status), created))
    return images


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a caption cost; None is what the answer does not say."""

    input: int | None = None
    output: int | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Caption:
    """What the vendor saw. The text is never empty."""

    text: str
    tokens: Tokens = Tokens()


def read_caption(data: object) -> Caption | None:
    """A caption by either name of its text (contract C.3); None where there is no text."""
    if not isinstance(data, Mapping):
        return None
    text = read_text(_first(data, _CAPTION_TEXT))
    if text is None:
        return None
    token = data.get("token")
    spent = token if isinstance(token, Mapping) else {}
    return Caption(text, Tokens(*(_read_count(spent.get(name)) for name in ("input", "output", "total"))))


def _read_count(value: object) -> int | None:
    """A count that a database's 64 bits take; None for nonsense."""
    number = read_int(value)
    return number if number is not None and 0 <= number < 1 << 63 else None


class Malformed(Exception):
    """A callback's body that says nothing: kept, shown, without effect."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a callback says. A hint, but for a caption's result."""

    #: K1 upload, K2 scraper task, K3 scraper video, K4 caption (K4b and K5 too: ``word`` tells which), K7 another product
    #: (contract C.2), or "unknown".
    variant: str
    video_nos: tuple[str, ...] = ()
    task_id: str | None = None
    word: Word = Word.PENDING
    raw_status: str | None = None
    #: Of a caption that succeeded. None too when the vendor calls it a success and sends no text.
    caption: Caption | None = None
    #: Why a caption failed, in the vendor's words, if it has any (K5 is documented by its -1 alone).
    message: str | None = None


#: A caption's state is a whole number, and numbers of this vendor may come as texts.
_NUMBER = re.compile(r"-?[0-9]+")


def read_callback(body: bytes) -> Heard:
    """Recognise a callback by its fields, not by the door it came through (contract C.3). Malformed when it is none."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        raise Malformed("the body is no JSON") from None
    if not isinstance(said, dict):
        raise Malformed("the body is no JSON object")
    if _depth(said) > _MAX_DEPTH:
        raise Malformed("the body is nested too deep")
    inner = said.get("data")
    if isinstance(inner, dict):
        said = {**inner, **{name: value for name, value in said.items() if value is not None}}
    task = read_text(_first(said, _TASK))
    single = read_text(_first(said, _VIDEO))
    listed = [video.video_no for video in read_videos(said)]
    numbers = tuple(dict.fromkeys([single, *listed] if single else listed))
    status = _first(said, _STATUS)
    raw = read_text(status)
    if task and raw and isinstance(status, (int, str)) and _NUMBER.fullmatch(raw):
        if not raw.strip("-0"):
            return Heard("K4", numbers, task, Word.READY, raw, read_caption(said))
        words = read_text(inner) or read_text(_first(said, (*_EXPLANATION, *_CAPTION_TEXT)))
        return Heard("K4", numbers, task, Word.BROKEN, raw, message=words)
    if task and (single or str(status or "").upper().startswith("INDEXING_")):
        return Heard("K3", numbers, task, read_word(status), raw)
    if task and status is None and "code" in said:
        return Heard("K7")
    if task:
        return Heard("K2", numbers, task, read_word(status), raw)
    if single:
        return Heard("K1", numbers, None, read_word(status), raw)
    return Heard("unknown", numbers, task, read_word(status), raw)


def _depth(value: object, limit: int = _MAX_DEPTH + 1) -> int:
    """Nesting depth, counted without recursion and only as far as it matters."""
    level, layer = 0, [value]
    while layer and level < limit:
        level += 1
        layer = [
            inner
            for one in layer
            if isinstance(one, (dict, list))
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, (dict, list))
        ]
    return level
