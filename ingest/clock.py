"""Our times are integer milliseconds since 1970 UTC: the same arithmetic on both databases, no zone to lose."""

import time
from datetime import UTC, datetime

#: Memories.ai mints ids as 64-bit snowflakes that count milliseconds from here (contract A.6, inferred).
_SNOWFLAKE_EPOCH_MS = 1_609_459_200_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


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
