"""Callback addresses end in an unguessable token that names their submission: the callback alone then tells which item it was.

A token is ``<short id>.<time>.<signature>``; it is checked before any database work and is good for 60 days. The one for all, of the
address that is registered once with the key, does not age.
"""

import base64
import hashlib
import secrets

from itsdangerous import BadSignature, TimestampSigner

MAX_AGE_SECONDS = 60 * 24 * 3600
DOORS = ("upload", "scraper", "caption")
#: The door of the address registered with the key, and what its token names in place of a submission.
ACCOUNT_DOOR = ACCOUNT_SUBJECT = "account"
_SHORT_ID_BYTES = 7  # 56 bits: 11 base32 letters, of which ten are used


def new_short_id() -> str:
    """Ten lower-case base32 letters: short enough for a file name, and no two submissions alike."""
    return base64.b32encode(secrets.token_bytes(_SHORT_ID_BYTES)).decode()[:10].lower()


def sign(secret: str, door: str, short_id: str) -> str:
    return _signer(secret, door).sign(short_id).decode()


def verify(secret: str, door: str, token: str) -> str | None:
    """The short id, or None for a token that is not ours, not for this door, or too old (at the account's door none is)."""
    try:
        signer = _signer(secret, door)
        short_id, signed_at = signer.unsign(token, return_timestamp=True)
    except BadSignature:
        return None
    # Not the library's max_age: it refuses a token "from the future", which only means that two hosts' clocks differ.
    old = signer.get_timestamp() - signed_at.timestamp() > MAX_AGE_SECONDS
    return None if old and door != ACCOUNT_DOOR else short_id.decode()


def callback_url(public_url: str, secret: str, door: str, short_id: str) -> str | None:
    """None without a public address: then nobody can call back, and questions are asked on a schedule."""
    return f"{public_url}/webhooks/{door}/{sign(secret, door, short_id)}" if public_url else None


def account_url(public_url: str, secret: str) -> str:
    """The address to register with the key: what callbacks without one of their own come to."""
    return f"{public_url}/webhooks/{ACCOUNT_DOOR}/{sign(secret, ACCOUNT_DOOR, ACCOUNT_SUBJECT)}"


def _signer(secret: str, door: str) -> TimestampSigner:
    return TimestampSigner(secret, salt=f"memories-ingest.callback.{door}", digest_method=hashlib.sha256)
