"""No answer tells a vendor's key or a callback's token, whatever a stranger wrote into what we keep and show."""

import json
import re

from ingest.settings import Settings

#: The address of a callback up to its token (``ingest.tokens``), slashes escaped as often as they were.
_CALLBACK = re.compile(rb"(webhooks\\*/[a-z]+\\*/)(?:[a-z2-7]{10}|account)\.[\w-]+\.[\w-]{20,}")
#: A shorter key stands in many a word by chance, and would be told by what is hidden.
_SHORTEST_KEY = 8


class Discretion:
    """Call it with the bytes of an answer."""

    def __init__(self, settings: Settings) -> None:
        given = [settings.api_key, settings.caption_api_key, settings.secret]
        secrets = {one.get_secret_value() for one in given}
        self._secrets = [json.dumps(one)[1:-1].encode() for one in secrets if len(one) >= _SHORTEST_KEY]

    def __call__(self, body: bytes) -> bytes:
        for secret in self._secrets:
            body = body.replace(secret, b"[key]")
        return _CALLBACK.sub(rb"\1[token]", body)
