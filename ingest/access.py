"""Who may use the operator's API: named tokens, each for reading or for operating. A token is shown once; rows hold a digest of it.

>>> parse("ingest-7-abc")
(7, 'abc')
"""

import hashlib
import hmac
import re
import secrets
from enum import StrEnum

_SHAPE = re.compile(r"ingest-([1-9][0-9]{0,8})-([A-Za-z0-9_-]{3,100})")
#: 256 bits: nobody guesses it, so a plain digest is enough and checking it is cheap.
_SECRET_BYTES = 32
#: The name of the token that a first start makes.
FIRST = "first"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


class Role(StrEnum):
    READ = "read"
    OPERATE = "operate"


def new_secret() -> str:
    return secrets.token_urlsafe(_SECRET_BYTES)


def digest(secret: str) -> str:
    return hashlib.sha256(f"memories-ingest:{secret}".encode()).hexdigest()


def format_token(token_id: int, secret: str) -> str:
    """The id finds its row; what proves anything is the rest."""
    return f"ingest-{token_id}-{secret}"


def parse(text: str) -> tuple[int, str] | None:
    """(id, secret), or None for what has not the shape of a token."""
    match = _SHAPE.fullmatch(text)
    return (int(match[1]), match[2]) if match else None


def is_right(secret: str, kept_digest: str) -> bool:
    return hmac.compare_digest(digest(secret), kept_digest)


def check_name(name: str) -> str:
    """ValueError is a sentence."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"'{name}' is no name of a token; it is 1 to 64 letters, digits and . _ @ -, and begins with a letter or digit"
        )
    return name
