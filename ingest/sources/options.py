"""What a user may say about an item, read from texts (the command line, CSV) or from JSON, and checked."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from ingest.sources.files import is_utf8, printable, visible
from ingest.sources.found import NO_OPTIONS, Options

#: The columns of a manifest beside ``source``.
NAMES = tuple(name for name in Options.__dataclass_fields__ if name not in ("images", "location"))
COLUMNS = ("source", *NAMES)
#: The vendor's ladder (contract B.2 U3; its seed's last rung, "260", is read as a slip).
QUALITIES = (360, 480, 720, 1080, 1440, 2160)
MOST_TAGS = 20
LONGEST_CAMERA = 200

_INTEGER = re.compile(r"[0-9]+(?:\.0*)?")  # 720.0 is how a table with gaps writes 720
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_TIME = re.compile(r"[0-9W-]{8,10}(?:[T ][0-9:.,]+(?:Z|[+-][0-9:]+)?)?")
_LINE_BREAK = re.compile(r"\s*[\r\n]\s*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LONGEST_SHOWN = 60
_MOST_SHOWN = 5


class BadOptions(Exception):
    """One sentence for each option that cannot be taken, in ``problems``; each names its option."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__(" ".join(problems))


def read_options(given: Mapping[str, object]) -> Options:
    """The options that ``given`` names; raises ``BadOptions`` with every problem.

    A value is a text, or what JSON has for it: a number, a list of tags, None for "not given". An empty text is
    not given too, but for ``unique_id``. Times become ``YYYY-MM-DD HH:MM:SS``, in UTC when they name a zone.

    >>> read_options({"tags": "sea; summer", "datetime_taken": "2026-07-01T12:00+02:00"}).datetime_taken
    '2026-07-01 10:00:00'
    """
    unknown = [name for name in given if name not in _READERS]
    problems = [unknown_columns(unknown)] if unknown else []
    read: dict[str, object] = {}
    for name, value in given.items():
        reader = _READERS.get(name)
        if reader is None:
            continue
        if isinstance(value, str):
            value = value.strip()
        if value is None or (value == "" and name != "unique_id"):
            continue
        try:
            read[name] = reader(value)
        except _Bad as bad:
            read[name] = None
            problems.append(f"{name} {bad}.")
    for one, other in (("latitude", "longitude"), ("longitude", "latitude")):
        if one in read and other not in read:
            problems.append(f"{one} is given without {other}; give both or neither.")
    if problems:
        raise BadOptions(problems)
    return Options(**read) if read else NO_OPTIONS  # type: ignore[arg-type]


def unknown_columns(names: Sequence[str]) -> str:
    told = ", ".join(map(shown, names[:_MOST_SHOWN])) + (", ..." if len(names) > _MOST_SHOWN else "")
    return f"unknown column{'s' if len(names) > 1 else ''} {told}; the right ones are {', '.join(COLUMNS)}."


def shown(value: object) -> str:
    """A value in a sentence: short, on one line, whatever it holds."""
    text = printable(value) if isinstance(value, str) else str(value)
    if len(text) > _LONGEST_SHOWN:
        text = text[:_LONGEST_SHOWN] + "..."
    text = visible(text)
    return f"'{text}'" if isinstance(value, str) else text


class _Bad(Exception):
    """The rest of a sentence that begins with the name of the option."""


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _Bad(f"is {shown(value)}, but must be a text")
    if not is_utf8(value):
        raise _Bad(f"is {shown(value)}, which is not valid UTF-8")
    return value


def _line(value: object) -> str:
    """A text on one line: a quoted field of a table may hold several."""
    text = _LINE_BREAK.sub(" ", _text(value).strip())
    if _CONTROL.search(text):
        raise _Bad(f"is {shown(text)}, which holds control characters")
    return text


def _unique_id(value: object) -> str:
    text = _text(value)
    if not text:
        raise _Bad("is empty; leave it out, or name a namespace")
    if _CONTROL.search(text):
        raise _Bad(f"is {shown(text)}, which holds control characters")
    return text


def _library(value: object) -> str:
    name = _text(value).lower()
    if name not in ("private", "public"):
        raise _Bad(f"is {shown(value)}, but must be private or public")
    return name


def _quality(value: object) -> int:
    text = value if isinstance(value, str) else repr(value)
    number = int(text.partition(".")[0]) if _INTEGER.fullmatch(text) and len(text) < 10 else None
    if number not in QUALITIES:
        raise _Bad(f"is {shown(value)}, but must be one of {', '.join(map(str, QUALITIES))}")
    return number


def _tags(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = value.split(";")
    if not isinstance(value, (list, tuple)):
        raise _Bad(f"is {shown(value)}, but must be a list of texts, or a text with a ; between two tags")
    tags = tuple(dict.fromkeys(tag for one in value if (tag := _line(one))))
    if len(tags) > MOST_TAGS:
        raise _Bad(f"holds {len(tags)}, but Memories.ai takes {MOST_TAGS} at most")
    return tags


def _datetime_taken(value: object) -> str:
    text = _text(value)
    try:
        if not _TIME.fullmatch(text):
            raise ValueError
        taken = datetime.fromisoformat(text)
        if taken.tzinfo is not None:
            taken = taken.astimezone(UTC)
    except (ValueError, OverflowError):
        wanted = "a time such as 2026-07-01 14:30:00 or 2026-07-01T14:30:00+02:00, or a date"
        raise _Bad(f"is {shown(text)}, but must be {wanted}") from None
    return taken.replace(tzinfo=None).isoformat(" ", "seconds")


def _camera_model(value: object) -> str:
    text = _line(value)
    if len(text) > LONGEST_CAMERA:
        raise _Bad(f"has {len(text)} characters, but Memories.ai takes {LONGEST_CAMERA} at most")
    return text


def _degrees(most: int) -> Callable[[object], float]:
    def read(value: object) -> float:
        number = math.nan
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            number = float(value) if abs(value) <= most else math.inf
        elif isinstance(value, str) and _DECIMAL.fullmatch(value):
            number = float(value)
        if not -most <= number <= most:
            raise _Bad(f"is {shown(value)}, but must be a number such as 48.137, between -{most} and {most}")
        return number

    return read


_READERS: dict[str, Callable[[object], object]] = {
    "unique_id": _unique_id,
    "library": _library,
    "quality": _quality,
    "tags": _tags,
    "datetime_taken": _datetime_taken,
    "camera_model": _camera_model,
    "latitude": _degrees(90),
    "longitude": _degrees(180),
    "title": _line,
}
