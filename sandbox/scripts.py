"""What is known beforehand of a made-up page: how many posts, how they come and go, how fast they are seen."""

import dataclasses
import math
import re
from dataclasses import dataclass
from random import Random
from typing import Any

from sandbox.pages import Page

#: Kinds of pages. Only a normal one shows posts; who asks cannot tell the others apart.
NORMAL, PRIVATE, GONE, GEO, EMPTY = KINDS = ("normal", "private", "gone", "geo", "empty")

DAY = 86_400.0
LARGEST, QUICKEST = 10_000, 0.01  # posts to begin with; seconds between two events of a kind
_KIND_WORD = re.compile(rf"(?<![a-z])({'|'.join(KINDS[1:])})(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    posts: int = 12  # that are there at the beginning, a day apart
    grow_every: float | None = None  # seconds until a new post; None: never
    lose_every: float | None = None  # seconds until one is lost
    regain_after: float | None = None  # seconds until a lost one is back
    kind: str = NORMAL
    pace: float = 0.1  # views a second that an average post settles at
    tags: tuple[str, ...] = ()  # hashtags whose pages show the posts too


def parse_script(given: Any, before: Script | None) -> Script:
    """A script from a control; what it leaves out stays as `before`. ValueError carries a sentence."""
    names = {field.name for field in dataclasses.fields(Script)} - ({"posts"} if before else set())
    for name, value in given.items():
        if name not in names:
            known = " Its posts are there already: add, remove or restore them." if name == "posts" else ""
            raise ValueError(f"'{name}' is nothing to say here; there is {', '.join(sorted(names))}.{known}")
        if not _FITS[name](value):
            raise ValueError(f"'{name}' cannot be {value!r}; {_EXPECTED[name]}.")
    said = {**given, "tags": tuple(tag.lower() for tag in given["tags"])} if "tags" in given else given
    return dataclasses.replace(before or Script(), **said)


def made_up(page: Page, seed: int) -> Script:
    """Of a page that nobody has told of: the same for the same seed. A word of its name decides its kind."""
    dice = Random(f"{seed}:{page.url}")
    kind = _KIND_WORD.search(page.name)
    return Script(
        posts=dice.randint(3, 40),
        grow_every=dice.uniform(0.5, 4) * DAY,
        lose_every=dice.uniform(10, 40) * DAY,
        regain_after=dice.choice((None, dice.uniform(2, 30) * DAY)),
        kind=kind[1].lower() if kind else NORMAL,
        pace=10 ** dice.uniform(-2, -0.3),
    )


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _wait(value: Any) -> bool:
    return value is None or (_number(value) and value >= QUICKEST)


def _words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) and word and "#" not in word for word in value)


_FITS = {
    "posts": lambda value: type(value) is int and 0 <= value <= LARGEST,
    "grow_every": _wait,
    "lose_every": _wait,
    "regain_after": _wait,
    "kind": lambda value: value in KINDS,
    "pace": lambda value: _number(value) and value >= 0,
    "tags": _words,
}
_SECONDS = f"write seconds from {QUICKEST}, or null for never"
_EXPECTED = {
    "posts": f"write a number from 0 to {LARGEST}",
    "grow_every": _SECONDS,
    "lose_every": _SECONDS,
    "regain_after": _SECONDS,
    "kind": f"write {', '.join(KINDS)}",
    "pace": "write views a second, from 0",
    "tags": "write a list of hashtags without their #",
}
