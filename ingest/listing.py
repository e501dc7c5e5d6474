"""The posts of a profile, listed by yt-dlp: flat, newest first, and no further than needed. Nothing is downloaded.

yt-dlp is imported when it is used: that takes a second.
"""

import logging
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ingest.sources import posts
from ingest.sources.posts import INSTAGRAM, TIKTOK, YOUTUBE, Post
from ingest.sources.profiles import Profile

log = logging.getLogger(__name__)

#: Reasons that last: a person or the platform must change something first.
LASTING = frozenset({"private", "removed", "geo", "members", "age", "login", "unsupported"})
#: What the extractors say, in the order in which it is looked for. A page that asks for a login is a private one, or takes us for a robot.
_SAYINGS = (
    (
        "private",
        re.compile(r"account is (?:likely )?(?:either )?private|playlist is private|is private", re.IGNORECASE),
    ),
    ("members", re.compile(r"members[- ]only|join this channel", re.IGNORECASE)),
    ("age", re.compile(r"age[- ]restricted|confirm your age|inappropriate for some users", re.IGNORECASE)),
    (
        "geo",
        re.compile(
            r"not (?:made )?(?:this video )?available (?:in|from) your (?:country|location|region)", re.IGNORECASE
        ),
    ),
    (
        "removed",
        re.compile(
            r"does not exist|has been terminated|HTTP Error (?:404|410)|isn't available|no longer available|"
            r"Unable to extract secondary user ID|Failed to resolve url",
            re.IGNORECASE,
        ),
    ),
    ("login", re.compile(r"login required|log in|--cookies", re.IGNORECASE)),
)
#: A profile without posts, or a channel without such a tab: nothing is wrong with it.
_EMPTY = re.compile(r"does not have any videos posted|does not have a \w+ tab", re.IGNORECASE)
_TABS = ("videos", "shorts")
#: Extractors that yt-dlp itself marks as broken.
_BROKEN = {
    (INSTAGRAM, "profile"): "profiles of Instagram",
    (TIKTOK, "tag"): "hashtags of TikTok",
}
_TIMEOUT = 20.0


class Trouble(Exception):
    """Why a profile cannot be listed, as a sentence; ``kind`` is one of ``LASTING``, or ``temporary``."""

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(sentence)
        self.kind = kind

    @property
    def permanent(self) -> bool:
        return self.kind in LASTING


@dataclass(frozen=True, slots=True)
class Listed:
    post: Post
    url: str
    title: str | None = None
    published_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """``complete``: the end was reached, so what is not among them is not there any more. ``trouble`` ended it before."""

    posts: list[Listed] = field(default_factory=list)
    complete: bool = False
    trouble: Trouble | None = None


def problem_with(profile: Profile) -> str | None:
    """A sentence for what yt-dlp cannot list at all."""
    named = _BROKEN.get((profile.platform, profile.kind))
    return f"yt-dlp cannot list {named} at present; follow it without --list" if named else None


def look(
    profile: Profile,
    *,
    known: Callable[[str], bool],
    stop_after: int,
    full: bool = False,
    limit: int | None = None,
    stop: threading.Event | None = None,
    make: Callable[[dict[str, Any]], Any] | None = None,
) -> Look:
    """The newest posts first, until ``stop_after`` known ones (by ``Post.key``) in a row, or ``limit``, or to the end with ``full``.

    In a row, because pinned posts stand before newer ones and are known. :class:`Trouble` where nothing could be listed.
    ``make``: how a ``YoutubeDL`` is made of its options.
    """
    if problem := problem_with(profile):
        raise Trouble("unsupported", problem)
    found: dict[str, Listed] = {}
    complete, trouble = True, None
    heard = _Quiet()
    with _downloader(make, heard) as ydl:
        for url in _pages(profile):
            walk = _Walk(profile.platform, known, stop_after, full, limit, stop or threading.Event())
            try:
                complete &= walk.through(_entries(ydl, url), found)
            except Exception as error:  # noqa: BLE001  (extractors raise whatever a changed page makes of them; each kind is told apart here)
                trouble = _trouble_of(error, heard.warned)
                if trouble is None:
                    continue
                complete = False
                break
    if trouble is not None and not found:
        raise trouble
    return Look(list(found.values()), complete, trouble)


def _pages(profile: Profile) -> list[str]:
    """A channel's front page mixes everything: its tabs are in order, each of its own."""
    return [f"{profile.url}/{tab}" for tab in _TABS] if profile.kind == "channel" else [profile.url]


@dataclass(slots=True)
class _Walk:
    platform: str
    known: Callable[[str], bool]
    stop_after: int
    full: bool
    limit: int | None
    stop: threading.Event

    def through(self, entries: Iterator[dict[str, Any]], found: dict[str, Listed]) -> bool:
        """Read entries into ``found``; whether their end was reached."""
        in_a_row = number = 0
        for entry in entries:
            if self.stop.is_set():
                return False
            one = _read(self.platform, entry)
            if one is None:
                continue
            found.setdefault(one.post.key, one)
            number += 1
            in_a_row = in_a_row + 1 if self.known(one.post.key) else 0
            if not self.full and (in_a_row >= self.stop_after or number == self.limit):
                return False
        return True


def _read(platform: str, entry: dict[str, Any]) -> Listed | None:
    """An entry as yt-dlp gives it; None for what is no post (a channel on a channel's page, a live that is to come)."""
    number = entry.get("id")
    if not isinstance(number, str) or not number:
        return None
    given = entry.get("url")
    recognised = posts.recognise(given) if isinstance(given, str) and "://" in given else None
    post = recognised if isinstance(recognised, Post) else Post(platform, number)
    if platform == YOUTUBE and not re.fullmatch(r"[\w-]{11}", post.post_id):
        return None
    told = entry.get("timestamp")
    published = round(told * 1000) if isinstance(told, (int, float)) and told > 0 else posts.published_ms(post)
    url = given if isinstance(recognised, Post) and isinstance(given, str) else posts.address(post)
    title = entry.get("title")
    return Listed(post, url, title if isinstance(title, str) and title else None, published)


def _entries(ydl: Any, url: str) -> Iterator[dict[str, Any]]:
    """Lazily: a page of the platform is fetched when an entry of it is wanted."""
    for _ in range(4):
        result = ydl.extract_info(url, download=False, process=False)
        if (result or {}).get("_type") not in ("url", "url_transparent"):
            break
        url = result["url"]
    for entry in (result or {}).get("entries") or ():
        if isinstance(entry, dict) and entry.get("_type") == "playlist":
            yield from entry.get("entries") or ()
        elif isinstance(entry, dict):
            yield entry


#: A page did not come, which says nothing of the profile.
_NO_ANSWER = re.compile(r"HTTP Error (?:429|5\d\d)|timed? ?out|reset|refused|resolve host|network", re.IGNORECASE)


def _trouble_of(error: Exception, warned: Sequence[str]) -> Trouble | None:
    """What an exception of an extractor means; None where nothing is wrong."""
    from yt_dlp.utils import GeoRestrictedError

    causes: list[BaseException] = [error]
    while (cause := _cause(causes[-1])) is not None and cause not in causes:
        causes.append(cause)
    said = " ".join(str(one) for one in causes)
    if _EMPTY.search(said):
        return None
    first = _words(str(error))
    if any(isinstance(one, GeoRestrictedError) for one in causes):
        return Trouble("geo", f"it cannot be seen from here: {first}")
    if _NO_ANSWER.search(" ".join([said, *warned])):
        return Trouble("temporary", first)
    for kind, saying in _SAYINGS:
        if saying.search(said):
            return Trouble(kind, first)
    log.info("A profile could not be listed: %s", said)
    return Trouble("temporary", first)


def _cause(error: BaseException) -> BaseException | None:
    told = getattr(error, "exc_info", None)
    inner = told[1] if isinstance(told, tuple) and len(told) > 1 else getattr(error, "cause", None)
    found = inner or error.__cause__
    return found if isinstance(found, BaseException) else None


def _words(text: str) -> str:
    """Without colours, and without the advice to users of yt-dlp's own command line."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    plain = re.split(r"; please report|\. Use --|  See  |\(caused by", plain)[0]
    return re.sub(r"^ERROR: (?:\[[^]]*\] )?", "", plain).strip() or "yt-dlp does not say why"


class _Quiet:
    """yt-dlp's words go into our log; its warnings are kept, since an extractor goes on where a page did not come."""

    def __init__(self) -> None:
        self.warned: list[str] = []

    def debug(self, message: str) -> None:
        log.debug("%s", message)

    info = debug

    def warning(self, message: str) -> None:
        self.warned.append(message)
        log.debug("%s", message)

    def error(self, message: str) -> None:
        log.info("%s", message)


def _downloader(make: Callable[[dict[str, Any]], Any] | None, logger: _Quiet) -> Any:
    options = {
        "extract_flat": True,
        "lazy_playlist": True,
        "ignoreconfig": True,
        "cachedir": False,
        "quiet": True,
        "logger": logger,
        "socket_timeout": _TIMEOUT,
        "extractor_retries": 1,
        "skip_download": True,
    }
    if make is not None:
        return make(options)
    from yt_dlp import YoutubeDL

    return YoutubeDL(options)
