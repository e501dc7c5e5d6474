"""Identifiers as the vendor mints them (contract A.6)."""

import secrets
import threading
import time
import uuid

#: The vendor's snowflake counts milliseconds from 2021-01-01 UTC.
EPOCH_MS = 1_609_459_200_000
_SEQUENCE_BITS = 22

PRIVATE, PUBLIC, IMAGE = "VI", "PI-", ""


class Mint:
    """Ids of videos and images: unique, increasing, and their creation time can be read from them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def new(self, prefix: str) -> tuple[str, int]:
        """A new id and its creation time in ms, e.g. `("VI631413884779040768", 1760000001234)`."""
        with self._lock:
            now = time.time_ns() // 1_000_000
            self._last = max(self._last + 1, (now - EPOCH_MS) << _SEQUENCE_BITS)
            return f"{prefix}{self._last}", (self._last >> _SEQUENCE_BITS) + EPOCH_MS


def new_task_id() -> str:
    return f"{uuid.uuid4()}_{secrets.token_hex(16)}"


def new_caption_id() -> str:
    return str(uuid.uuid4())
