"""Faults: what goes wrong at the vendor, on the way, or with a callback; each with a probability, none by default.

The names and their meanings stand here and nowhere else. What a caller sees of a fault of its call is in
`accidents`, what becomes of a callback in `callbacks`, what becomes of a video or a task in `vendor`.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from random import Random
from typing import Any, NamedTuple

# What a fault befalls
CALL = "any call"
TAKING_CALL = "a call that takes something in"
LETTER = "a callback"
UPLOAD = "an upload with a callback"
ANNOUNCED = "an upload or a caption with a callback"
CAPTION = "a caption that succeeds"
CONTENT = "what was taken in"

#: The lanes whose calls take something in (and cost credit).
TAKING_LANES = ("upload", "scrape", "image", "caption_video", "caption_image")


class Fault(NamedTuple):
    befalls: str
    meaning: str


#: A call or a callback meets at most one fault: the first of this table that hits.
FAULTS: Mapping[str, Fault] = {
    "drop_answer": Fault(CALL, "accepted, then the connection is closed without an answer"),
    "cut_before": Fault(CALL, "the connection is broken before the body is read; nothing is accepted"),
    "cut_body": Fault(TAKING_CALL, "the connection is broken when half of the body is read; nothing is accepted"),
    "http_500": Fault(CALL, "HTTP 500 with JSON that is no envelope; nothing is accepted"),
    "http_500_after": Fault(CALL, "the same, but it was accepted"),
    "http_502": Fault(CALL, "HTTP 502 with an HTML page; nothing is accepted"),
    "http_502_after": Fault(CALL, "the same, but it was accepted"),
    "broken_json": Fault(CALL, "HTTP 200 with JSON that is cut in the middle; nothing is accepted"),
    "broken_json_after": Fault(CALL, "the same, but it was accepted"),
    "slow": Fault(TAKING_CALL, "accepted, but answered only after --slow seconds"),
    "network": Fault(CALL, "code 0001, network abnormal; nothing is accepted"),
    "spell": Fault(CALL, "for --spell seconds every call of this lane and key is answered 0429"),
    "callback_drop": Fault(LETTER, "never sent"),
    "callback_double": Fault(LETTER, "sent twice, the second a moment later"),
    "callback_delay": Fault(LETTER, "sent --callback-delay seconds late"),
    "callback_swap": Fault(LETTER, "sent after the receiver's next one, or 5 s late"),
    "callback_early": Fault(
        ANNOUNCED, "UNPARSE, or the caption's result, is called back, and that is answered, before the call is"
    ),
    "callback_parse_at_start": Fault(UPLOAD, "PARSE is called back when parsing starts, besides the real one"),
    "callback_response": Fault(CAPTION, "its callback carries data.response instead of data.text"),
    "stuck": Fault(CONTENT, "a video that stays UNPARSE for good"),
    "post_gone": Fault(CONTENT, "a post that never appears, however often it is scraped"),
    "half_task": Fault(CONTENT, "a task that yields half of its posts; another task brings the rest"),
}

_WRITE = f"write NAME=PROBABILITY with a probability from 0 to 1; the names are {', '.join(FAULTS)}."


def those_of(*kinds: str) -> tuple[str, ...]:
    """Names of the faults that befall one of `kinds`, in the order of the table."""
    return tuple(name for name, fault in FAULTS.items() if fault.befalls in kinds)


def of_call(lane: str) -> tuple[str, ...]:
    return those_of(CALL, TAKING_CALL) if lane in TAKING_LANES else those_of(CALL)


def explain() -> str:
    """The table for a person, one line for each fault."""
    width = max(map(len, FAULTS))
    return "\n".join(f"{name:{width}}  {fault.befalls}: {fault.meaning}" for name, fault in FAULTS.items())


def parse_faults(text: str) -> dict[str, float]:
    """A set of faults from `NAME=PROBABILITY,...`. ValueError carries a sentence."""
    found: dict[str, float] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, number = (piece.strip() for piece in part.partition("="))
        try:
            found |= check_faults({name: float(number)})
        except ValueError:
            raise ValueError(f"'{part}' is no fault; {_WRITE}") from None
    return found


def check_faults(given: Any) -> dict[str, float]:
    """A set of faults from an object {name: probability}. ValueError carries a sentence."""
    if not isinstance(given, dict):
        raise ValueError("Faults are an object of names and probabilities, such as {'drop_answer': 0.1}.")
    for name, probability in given.items():
        number = isinstance(probability, int | float) and not isinstance(probability, bool)
        if name not in FAULTS or not number or not 0 <= probability <= 1:
            raise ValueError(f"'{name}={probability}' is no fault; {_WRITE}")
    return {name: float(probability) for name, probability in given.items()}


class Faults:
    """The set in force, its dice, and how often each fault happened.

    Each fault has dice of its own: with a seed its decisions are the same in each run, whatever the others do.
    """

    def __init__(self, in_force: Mapping[str, float], seed: int | None) -> None:
        self._lock = threading.Lock()
        self._in_force = dict(in_force)
        self._dice = {name: Random(None if seed is None else f"{seed}:{name}") for name in FAULTS}
        self._happened: Counter[str] = Counter()

    @property
    def in_force(self) -> dict[str, float]:
        with self._lock:
            return dict(self._in_force)

    def replace(self, in_force: Mapping[str, float]) -> None:
        with self._lock:
            self._in_force = dict(in_force)

    def draw(self, names: Iterable[str]) -> str | None:
        """The first of `names` that hits. It has not happened before `count` is told so."""
        with self._lock:
            hits = [name for name in names if self._hits(name)]  # all dice are thrown, so that none depends on another
        return hits[0] if hits else None

    def befalls(self, name: str) -> bool:
        """Whether `name` happens now; if so it is counted."""
        with self._lock:
            hit = self._hits(name)
            self._happened[name] += hit
        return hit

    def seconds(self, name: str, low: float, high: float) -> float:
        """How long `name` lasts, from its own dice."""
        with self._lock:
            return self._dice[name].uniform(low, high)

    def count(self, name: str) -> None:
        with self._lock:
            self._happened[name] += 1

    def happened(self) -> dict[str, int]:
        with self._lock:
            return {name: self._happened[name] for name in FAULTS}

    def forget(self) -> None:
        """The counts; the set in force stays."""
        with self._lock:
            self._happened.clear()

    def _hits(self, name: str) -> bool:
        probability = self._in_force.get(name)
        return probability is not None and self._dice[name].random() < probability
