"""What an input that is never looked at decides about itself: the word `bad` fails, the word `gone` never appears."""

import re
from urllib.parse import unquote, urlsplit

BAD = re.compile(r"(?<![a-z])bad(?![a-z])", re.IGNORECASE)
GONE = re.compile(r"(?<![a-z])gone(?![a-z])", re.IGNORECASE)

UNFETCHED = "the link could not be fetched"


def last_piece(url: str) -> str:
    return urlsplit(url).path.rstrip("/").rsplit("/", 1)[-1]


def file_piece(file_name: str) -> str:
    return re.split(r"[/\\]", file_name)[-1]


def of_link(url: str) -> str | None:
    """Why the link fails, None when it does not; its last piece decides."""
    piece = unquote(last_piece(url))
    return UNFETCHED if GONE.search(piece) or BAD.search(piece) else None
