"""Links: what is wrong with one, and the spelling under which equal links meet."""

import re
from contextlib import suppress
from pathlib import PurePosixPath
from urllib.parse import SplitResult, quote, unquote, urlsplit, urlunsplit

from ingest.sources.files import VIDEO_SUFFIXES, is_utf8, printable

#: Memories.ai fetches HLS playlists as well as files (contract B.2 U2).
DIRECT_SUFFIXES = VIDEO_SUFFIXES | {".m3u8"}

_DEFAULT_PORTS = {"http": 80, "https": 443}
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_KEPT = "!$&'()*+,;=:@/?~"
_TOKEN = re.compile(r"%[0-9A-Fa-f]{2}|[^A-Za-z0-9\-._~!$&'()*+,;=:@/?]", re.DOTALL)
_UNPRINTABLE = re.compile(r"[\s\x00-\x1f\x7f]")


def normalise(url: str) -> str:
    """The spelling that equal links share. For comparing alone: what is sent stays as it was given.

    Only what cannot change the answer is changed (RFC 3986, section 6.2): case of scheme and host, default
    port, fragment, dot segments, an empty path, needless percent-escapes. The query keeps its order. A text
    that is no address comes back as it is.

    >>> normalise("HTTPS://Example.COM:443/a/../clip.mp4?b=1&a=2#t=3")
    'https://example.com/clip.mp4?b=1&a=2'
    """
    try:
        parts = urlsplit(url)
        netloc = _netloc(parts)
    except ValueError:
        return url
    if not netloc:
        return url
    return urlunsplit((parts.scheme, netloc, _without_dots(_escaped(parts.path)), _escaped(parts.query), ""))


def is_direct(url: str) -> bool:
    """True where the path ends like a video file's: a link to be fetched, whoever's host it is on."""
    return PurePosixPath(unquote(urlsplit(url).path)).suffix.lower() in DIRECT_SUFFIXES


def problem_of(url: str) -> str | None:
    """Why an http(s) address cannot be taken, as a sentence; None when it can. Never repeats a password."""
    shown = printable(without_credentials(url))
    if _UNPRINTABLE.search(url):
        return f"'{shown}' has white space in it: give one link at a time, spaces written as %20."
    if not is_utf8(url):
        return f"'{shown}' is not valid UTF-8."
    try:
        parts = urlsplit(url)
        _ = parts.port  # parsed, and refused, only when it is read
    except ValueError:  # its text may hold a piece of a password with a slash in it
        shown = re.sub("//.*@", "//***@", shown)
        return f"'{shown}' is no well-formed address: its host or port cannot be read."
    if not parts.hostname:
        return f"'{shown}' names no host."
    if "@" in parts.netloc:
        return (
            f"'{shown}' carries a user name or password, which would be sent to Memories.ai and shown on "
            "pages: give a link that works without one."
        )
    return None


def without_credentials(url: str) -> str:
    return re.sub(r"(?<=//)[^/?#]*@", "***@", url, count=1)


def _netloc(parts: SplitResult) -> str:
    host = parts.hostname
    if not host:
        return ""
    user, at, _ = parts.netloc.rpartition("@")
    port = parts.port
    suffix = "" if port is None or port == _DEFAULT_PORTS.get(parts.scheme) else f":{port}"
    return f"{user}{at}{_host(host)}{suffix}"


def _host(host: str) -> str:
    if ":" in host:
        return f"[{host}]"
    # A name in another script and its xn-- form are one host. What IDNA refuses stays as it is.
    with suppress(UnicodeError):
        host = host.encode("idna").decode("ascii")
    return host.lower()


def _escaped(text: str) -> str:
    return _TOKEN.sub(_escape, text)


def _escape(token: re.Match[str]) -> str:
    text = token[0]
    if len(text) == 1:
        return quote(text, safe=_KEPT, errors="surrogatepass")
    letter = chr(int(text[1:], 16))
    return letter if letter in _UNRESERVED else text.upper()


def _without_dots(path: str) -> str:
    """RFC 3986, section 5.2.4, for absolute paths."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments and segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)
