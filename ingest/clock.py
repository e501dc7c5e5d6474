"""Our times are integer milliseconds since 1970 UTC: the same arithmetic on both databases, no zone to lose."""

import time
from datetime import UTC, datetime

#: Memories.ai mints ids as 64-bit snowflakes that count milliseconds from here (contract A.6, inferred).
_SNOWFLAKE_EPOCH_MS = 1_609_459_200_000


#: What a clock that all hosts share said, ms, and our monotonic clock at that moment, seconds.
_shared: tuple[int, float] | None = None


def now_ms() -> int:
    """Now, by the clock that the hosts of this state share; by our own where one host has it all."""
    if _shared is None:
        return time.time_ns() // 1_000_000
    then, at = _shared
    return then + int((time.monotonic() - at) * 1000)


def follow(shared_ms: int, at: float) -> None:
    """From now on go by a shared clock, which said ``shared_ms`` when ``time.monotonic()`` was ``at``.

    Leases and due times are written by one host and read by another: a host an hour ahead would take all others for dead.
    """
    global _shared
    _shared = (shared_ms, at)


def iso(ms: int | None) -> str | None:
    """``2026-11-25T12:45:48Z``, for people and JSON."""
    if ms is None:
        return None
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def minted_ms(video_no: str) -> int | None:
    """When an id was made, read from the id itself; None where it holds no snowflake."""
    digits = video_no[2:].lstrip("-") if video_no[:2] in ("VI", "PI") else ""
    if len(digits) != 18 or not (digits.isascii() and digits.isdigit()):
        return None
    return (int(digits) >> 22) + _SNOWFLAKE_EPOCH_MS
