"""The posts of a profile, newest first, as yt-dlp lists them: pages of lists only, no page of a post, no download.

yt-dlp is imported when a profile is looked at: that takes a second.
"""

import logging
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from ingest.sources.posts import INSTAGRAM, NAMES, TIKTOK, YOUTUBE, Post
from ingest.sources.profiles import Profile
from ingest.troubles import Trouble, trouble, trouble_of

log = logging.getLogger(__name__)

#: So many known posts in a row end an incremental look. TikTok shows up to three pinned posts before the newest, and
#: those are known as a rule: a number of three or less would take them for the end of the news.
STOP_AFTER, FEWEST_TO_STOP = 10, 4
#: Seconds without a byte, after which a call has failed.
TIMEOUT = 20
#: Seconds between two calls to a platform, for courtesy; the first does not wait.
PAUSE = 1.0
#: More calls than the largest profiles take; who needs more goes in circles.
MOST_CALLS = 10_000

#: Which extractor of yt-dlp lists what, by platform and kind of profile.
_LISTERS = {
    (TIKTOK, "profile"): "TikTokUser",
    (TIKTOK, "tag"): "TikTokTag",
    (INSTAGRAM, "profile"): "InstagramUser",
    (YOUTUBE, "channel"): "YoutubeTab",
    (YOUTUBE, "playlist"): "YoutubeTab",
}
#: The extractor that an entry is meant for and the form of its id; other entries are shelves, playlists, channels.
_ENTRIES = {TIKTOK: ("TikTok", re.compile(r"\d+")), YOUTUBE: ("Youtube", re.compile(r"[\w-]{11}"))}
#: The bare page of a channel shows a choice of its posts, each tab all of a sort. Past streams are videos too.
_TABS = ("videos", "shorts", "streams")
_NO_TAB = re.compile(r"This channel does not have a \w+ tab")
_NO_POSTS = "This account does not have any videos posted"
#: Not to be had yet, or not by everybody: such a post is not listed until that changes.
_UNFINISHED = frozenset({"is_live", "is_upcoming"})
_RESERVED = frozenset({"private", "needs_auth", "subscriber_only", "premium_only"})
#: TikTok's word for a name that nobody has, today and in former times. yt-dlp has none for it.
_NOBODY = frozenset({10221, 10202})
#: What code that reads pages throws when a page is not what it was.
_MISREAD = (LookupError, TypeError, ValueError, AttributeError, AssertionError, RuntimeError)


@dataclass(frozen=True, slots=True)
class Listed:
    post: Post
    url: str
    title: str | None
    #: None on YouTube, whose lists say "2 years ago" alone.
    published_ms: int | None
    seconds: float | None
    views: int | None


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen, known posts too. Newest first; of a channel's tabs one post each in turn, each tab newest first."""

    posts: list[Listed]
    #: The end of all lists was reached and nothing went wrong: a post that is missing here is not shown any more. Empty and
    #: complete means that the platform itself says that there is nothing.
    complete: bool
    #: Why it ended early; ``posts`` holds what was listed until then. None also when enough was seen, or at a stop.
    trouble: Trouble | None = None
    #: To the platform, repeated ones too.
    calls: int = 0


def problem_with(profile: Profile) -> str | None:
    """Why yt-dlp cannot list such profiles at all, as a sentence; None when it can."""
    lister = _LISTERS.get((profile.platform, profile.kind))
    if lister is not None and _extractor(lister).working():
        return None
    what = "hashtags" if profile.kind == "tag" else f"{profile.kind}s"
    return (
        f"yt-dlp cannot list {what} of {NAMES[profile.platform]} (its authors mark that as not working): "
        f"let Memories.ai look for new posts of {profile.url} itself."
    )


def look(
    profile: Profile,
    *,
    known: Callable[[str], bool],
    stop_after: int = STOP_AFTER,
    full: bool = False,
    limit: int | None = None,
    stop: threading.Event | None = None,
    make: Callable[[dict[str, Any]], AbstractContextManager[Any]] | None = None,
) -> Look:
    """Lists a profile until it ends, until ``stop_after`` posts in a row are known (unless ``full``), or to ``limit``.

    ``known`` is asked once for each post, by ``Post.key``. A new post ends the row, so known posts that stand out of
    order, as pinned ones do, end nothing while they are fewer than ``stop_after``. Each tab of a channel has its own row.
    What goes wrong on the way does not raise: it stands in the answer. ``make`` gets the parameters of a ``YoutubeDL``.
    """
    if problem := problem_with(profile):
        return Look([], complete=False, trouble=Trouble("unsupported", problem))
    voice = _Voice()
    with (make or _youtube_dl)(_parameters(profile, voice)) as ydl:
        calls = _Calls(ydl.urlopen, stop)
        ydl.urlopen = calls.open
        enough = None if full else stop_after
        return _Looking(profile, _lister(profile, ydl), voice, calls, known, enough, limit).look()


@dataclass(slots=True)
class _Looking:
    """One look at one profile."""

    profile: Profile
    extractor: Any
    voice: "_Voice"
    calls: "_Calls"
    known: Callable[[str], bool]
    #: None: at no number of known posts.
    stop_after: int | None
    limit: int | None
    _posts: list[Listed] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)

    def look(self) -> Look:
        from yt_dlp.utils import DownloadCancelled

        problem = None
        try:
            complete = self._all()
        except DownloadCancelled:
            complete = False
        except Trouble as error:
            log.info("%s", error)
            complete, problem = False, Trouble(error.kind, str(error))  # without the frames that its traceback keeps
        return Look(self._posts, complete, problem, self.calls.count)

    def _all(self) -> bool:
        """Whether all lists were read to their end."""
        url = self.profile.url
        if self.profile.kind != "channel":
            return self._in_turns([self._list(url)])
        tabs = [self._list(f"{url}/{tab}") for tab in _TABS]
        complete = self._in_turns(tabs)
        if not all(tab.missing for tab in tabs):
            return complete
        # Channels that YouTube makes of music have no tabs; yt-dlp knows where their videos are. Others have no posts.
        return self._in_turns([self._list(url, said_empty=True)])

    def _list(self, url: str, *, said_empty: bool = False) -> "_List":
        return _List(self.profile, self.extractor, self.voice, url, said_empty=said_empty)

    def _in_turns(self, lists: "Sequence[_List]") -> bool:
        waiting, complete = deque(lists), True
        while waiting:
            if self._enough():
                return False
            current = waiting.popleft()
            entry = current.following(began=bool(self._posts))
            if entry is None:
                continue
            self._take(entry, current)
            if self.stop_after is not None and current.row >= self.stop_after:
                complete = False
            else:
                waiting.append(current)
        return complete

    def _enough(self) -> bool:
        return self.calls.stopped or (self.limit is not None and len(self._posts) >= self.limit)

    def _take(self, entry: dict[str, Any], current: "_List") -> None:
        listed = _listed(self.profile.platform, entry)
        if listed is None or listed.post.key in self._seen:
            return
        self._seen.add(listed.post.key)
        self._posts.append(listed)
        current.row = current.row + 1 if self.known(listed.post.key) else 0


@dataclass(slots=True)
class _List:
    """One page of the platform with its continuations, read as far as it is asked for."""

    profile: Profile
    extractor: Any
    voice: "_Voice"
    url: str
    #: Known posts since the last new one.
    row: int = 0
    #: The channel has no such tab.
    missing: bool = False
    #: The platform says itself that there is nothing.
    said_empty: bool = False
    _count: int = 0
    _entries: Iterator[dict[str, Any]] | None = None

    def following(self, *, began: bool) -> dict[str, Any] | None:
        """The next entry; None at the end. Raises what is to be told to a person."""
        from yt_dlp.utils import DownloadCancelled, YoutubeDLError

        if self._entries is None:
            self._entries = self._read()
        try:
            entry = next(self._entries, None)
        except DownloadCancelled:
            raise
        except (YoutubeDLError, OSError, *_MISREAD) as error:
            raise trouble_of(error, self.profile, began=began, before=self.voice.warnings) from error
        if entry is None and not (self._count or self.said_empty or self.missing):
            # A page that yt-dlp does not understand any more looks like one without posts.
            raise trouble("temporary", self.profile, "the page shows no posts, and does not say that there are none")
        self._count += 1
        return entry

    def _read(self) -> Iterator[dict[str, Any]]:
        from yt_dlp.utils import ExtractorError

        try:
            found = self._open()
        except ExtractorError as error:
            self.missing = _NO_TAB.search(error.orig_msg) is not None
            self.said_empty = _NO_POSTS in error.orig_msg
            if self.missing or self.said_empty:
                return
            raise
        self.said_empty = self.said_empty or found.get("playlist_count") == 0  # of a playlist
        yield from found["entries"]

    def _open(self) -> dict[str, Any]:
        """The page, or the one that it leads to: YouTube has other channels for some countries."""
        from yt_dlp.utils import UnsupportedError

        url = self.url
        for _ in range(3):
            found = self.extractor.extract(url)
            if "entries" in found:
                return found
            url = found["url"]
            if not self.extractor.suitable(url):
                break
        raise UnsupportedError(url)


def _listed(platform: str, entry: dict[str, Any]) -> Listed | None:
    lister, form = _ENTRIES[platform]
    post_id = str(entry.get("id"))
    if entry.get("ie_key") != lister or not form.fullmatch(post_id):
        return None
    if entry.get("live_status") in _UNFINISHED or entry.get("availability") in _RESERVED:
        return None
    at, seconds, views = (entry.get(name) for name in ("timestamp", "duration", "view_count"))
    return Listed(
        Post(platform, post_id),
        entry["url"],
        entry.get("title") or None,
        int(at * 1000) if at else None,
        float(seconds) if seconds else None,
        int(views) if views is not None else None,
    )


def _parameters(profile: Profile, voice: "_Voice") -> dict[str, Any]:
    return {
        "logger": voice,
        "quiet": True,
        "noprogress": True,
        "color": "no_color",
        "ignoreconfig": True,
        "cachedir": False,
        "skip_download": True,
        "extract_flat": True,
        "lazy_playlist": True,
        "socket_timeout": TIMEOUT,
        "sleep_interval_requests": PAUSE,
        # TikTok sends the same page again and again to a visitor it does not like; yt-dlp comes as another each time.
        "extractor_retries": 5 if profile.platform == TIKTOK else 2,
        # Videos that are private or deleted do not come back into a playlist.
        "compat_opts": {"no-youtube-unavailable-videos"},
        # Without it a page that came in half is taken for the last one.
        "extractor_args": {"youtube": {"raise_incomplete_data": ["true"]}},
    }


def _youtube_dl(parameters: dict[str, Any]) -> Any:
    from yt_dlp import YoutubeDL
    from yt_dlp.globals import plugin_dirs

    # Plugins in the folders of whoever runs this would change which pages are read, and how.
    plugin_dirs.value = []
    return YoutubeDL(parameters)


class _Voice:
    """Where yt-dlp speaks: into our log, never to the terminal."""

    def __init__(self) -> None:
        self.warnings: deque[str] = deque(maxlen=5)

    def debug(self, message: str) -> None:
        log.debug("%s", message)

    info = error = debug

    def warning(self, message: str) -> None:
        self.warnings.append(message)
        log.debug("%s", message)


class _Calls:
    """All calls of one look: a stop is heeded before each, for dozens may come before the next entry."""

    def __init__(self, urlopen: Callable[[Any], Any], stop: threading.Event | None) -> None:
        self._urlopen, self._stop = urlopen, stop
        self.count = 0

    @property
    def stopped(self) -> bool:
        return self._stop is not None and self._stop.is_set()

    def open(self, request: Any) -> Any:
        from yt_dlp.utils import DownloadCancelled  # another exception would be taken for an answer of the platform

        if self.stopped:
            raise DownloadCancelled
        if self.count >= MOST_CALLS:
            raise RuntimeError(f"no end after {self.count} calls")
        self.count += 1
        return self._urlopen(request)


def _extractor(name: str) -> Any:
    from yt_dlp.extractor import get_info_extractor

    return get_info_extractor(name)


def _lister(profile: Profile, ydl: Any) -> Any:
    if profile.platform == TIKTOK:
        return _tiktok_user()(ydl)
    return _extractor(_LISTERS[profile.platform, profile.kind])(ydl)


@cache
def _tiktok_user() -> Any:
    """yt-dlp's extractor, which takes any answer without posts for the end, and has no word for a name that nobody has."""
    from yt_dlp.extractor import tiktok  # the registry has a stand-in of the class, that cannot be inherited from
    from yt_dlp.utils import ExtractorError

    class TikTokUserIE(tiktok.TikTokUserIE):  # of the same name, for yt-dlp reads its settings under it
        def _get_universal_data(self, webpage: str, display_id: str) -> Any:
            data = super()._get_universal_data(webpage, display_id)
            if (data.get("webapp.user-detail") or {}).get("statusCode") in _NOBODY:
                raise ExtractorError("TikTok says that this account does not exist", expected=True)
            return data

        def _download_json(self, url_or_request: Any, *args: Any, **kwargs: Any) -> Any:
            answer = super()._download_json(url_or_request, *args, **kwargs)
            if url_or_request == self._API_BASE_URL and not _is_page(answer):
                code = answer.get("statusCode") if isinstance(answer, dict) else None
                raise ExtractorError(f"TikTok's answer is no page of posts (status code {code})", expected=True)
            return answer

    return TikTokUserIE


def _is_page(answer: Any) -> bool:
    if not isinstance(answer, dict) or answer.get("statusCode") not in (0, None):
        return False
    return "itemList" in answer or "hasMorePrevious" in answer
