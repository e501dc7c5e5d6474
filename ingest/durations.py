"""Durations as people write them: ``250ms``, ``90s``, ``15m`` (or ``min``), ``2h``, ``60d``; a bare number means seconds."""

import random
import re

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_SHAPE = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d)?")


def parse_duration(text: str) -> float:
    """Seconds. Raises ValueError with a sentence."""
    match = _SHAPE.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError(f"'{text}' is not a duration; write for example 90s, 15m, 2h or 1d")
    return float(match[1]) * _UNITS[match[2] or "s"]


def jittered(seconds: float) -> float:
    """A little longer, never shorter: those who failed together must not come back together."""
    return seconds * random.uniform(1.0, 1.2)


def say_duration(seconds: float) -> str:
    """The two largest units: ``1 h 5 min``, ``12 s``."""
    left = round(seconds)
    if left < 1:
        return f"{seconds:.1f} s"
    parts = []
    for name, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2])
