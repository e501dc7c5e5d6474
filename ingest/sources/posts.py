"""Which post of which platform an address names, found without the network.

yt-dlp knows the spellings of the platforms' addresses and keeps up with them; what it leaves out is filled in
here. It is imported only when an address asks for it: that takes a second.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

from ingest.sources.links import is_direct

TIKTOK, YOUTUBE, INSTAGRAM = PLATFORMS = "tiktok", "youtube", "instagram"
#: As they write themselves, for sentences.
NAMES = {TIKTOK: "TikTok", YOUTUBE: "YouTube", INSTAGRAM: "Instagram"}


@dataclass(frozen=True, slots=True)
class Post:
    platform: str
    post_id: str

    @property
    def key(self) -> str:
        return f"post:{self.platform}:{self.post_id}"


#: Instagram counts milliseconds from here; TikTok seconds since 1970.
_INSTAGRAM_EPOCH = 1_314_220_021_721
_SHORTCODE = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def published_ms(post: Post) -> int | None:
    """When it was published, read from the id itself; None where the platform's ids hold no time."""
    if post.platform == TIKTOK and post.post_id.isdigit():
        return (int(post.post_id) >> 32) * 1000
    if post.platform == INSTAGRAM and len(post.post_id) == 11 and set(post.post_id) <= set(_SHORTCODE):
        number = 0
        for letter in post.post_id:
            number = number * 64 + _SHORTCODE.index(letter)
        return (number >> 23) + _INSTAGRAM_EPOCH
    return None


def address(post: Post) -> str:
    """An address that opens it."""
    return {
        TIKTOK: f"https://www.tiktok.com/@_/video/{post.post_id}",
        YOUTUBE: f"https://www.youtube.com/watch?v={post.post_id}",
        INSTAGRAM: f"https://www.instagram.com/p/{post.post_id}/",
    }[post.platform]


@dataclass(frozen=True, slots=True)
class Creator:
    """A page whose posts change and that can be followed."""

    platform: str
    #: As the platform spells it: ``@name`` or ``UC...`` on YouTube, the bare name elsewhere.
    handle: str
    #: ``profile`` or ``hashtag``
    what: str = "profile"


@dataclass(frozen=True, slots=True)
class NeedsNetwork:
    """A short or forwarding address of the platform: only the platform knows which post it leads to."""

    platform: str


@dataclass(frozen=True, slots=True)
class NoPost:
    """Another page of the platform: a playlist, a search, a feed."""

    platform: str
    #: ``a playlist``, ``a sound``, ...
    what: str = "a page"


@dataclass(frozen=True, slots=True)
class OtherPlatform:
    """A page of a site that Memories.ai does not fetch posts from."""

    name: str


Recognised = Post | Creator | NeedsNetwork | NoPost | OtherPlatform

#: The class of yt-dlp that takes an address says what it is.
_POSTS = frozenset({"TikTok", "Youtube", "Instagram"})
_PROFILES = frozenset({"TikTokUser", "InstagramUser"})
_HASHTAGS = frozenset({"TikTokTag", "InstagramTag"})
_FORWARDING = frozenset({"TikTokVM", "YoutubeClip", "YoutubeConsentRedirect", "YoutubeLivestreamEmbed"})
_PAGES = {
    "TikTokSound": "a sound",
    "TikTokEffect": "an effect",
    "TikTokCollection": "a collection",
    "TikTokLive": "a live stream",
    "YoutubePlaylist": "a playlist",
    "YoutubeSearchURL": "a search",
    "YoutubeMusicSearchURL": "a search",
    "YoutubeShortsAudioPivot": "a sound",
    "YoutubeTruncatedID": "a cut-off address",
    "YoutubeTruncatedURL": "a cut-off address",
    "InstagramStory": "a story",
}

#: Hosts of TikTok that show pages; the others (v16-webapp.tiktok.com, ...) serve the files themselves.
_TIKTOK_HOSTS = re.compile(r"(?:(?:www|m|us|lite|www\.us)\.)?tiktokv?\.com|v[mt]\.tiktok\.com")
_YOUTUBE_HOSTS = re.compile(
    r"(?:[\w-]+\.)*youtube(?:-nocookie|kids)?\.com|youtube\.googleapis\.com|(?:www\.)?youtu\.be"
)
_INSTAGRAM_HOSTS = re.compile(r"(?:(?:www|m)\.)?instagram\.com|(?:www\.)?instagr\.am")

# What yt-dlp leaves out: embeds, old mobile pages and photo posts; share links; tabs of a profile.
_TIKTOK_POST = re.compile(r"/(?:@[^/]*/photo|(?:embed|player)/v\d+|v|video)/(\d+)(?:\.html)?/?")
_TIKTOK_PLAYLIST = re.compile(r"/@[^/]+/playlist/.+")
_TIKTOK_LIVE = re.compile(r"/share/live/\d+/?")
_INSTAGRAM_TAB = re.compile(r"/([\w.]+)/(?:reels|tagged|channel|igtv)/?")
_FORWARDED = {TIKTOK: ("/t/",), YOUTUBE: ("/attribution_link", "/redirect"), INSTAGRAM: ("/share/",)}
#: First words of Instagram's own pages, which yt-dlp takes for names of users.
INSTAGRAM_OWN = re.compile(
    r"about|accounts|api|ar|challenge|developer|direct|directory|download|emails|explore|graphql|legal|"
    r"nametag|oauth|p|privacy|reel|reels|s|share|stories|terms|tv|web",
    re.IGNORECASE,
)


def recognise(url: str, *, elsewhere: bool = True) -> Recognised | None:
    """What an http(s) address is, offline; None for a plain link (a direct link to a file included).

    Without ``elsewhere`` no ``OtherPlatform`` is looked for, which takes fifty times as long as all the rest.
    """
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host:
        return None
    platform = platform_of_host(host)
    if platform:
        return _on_platform(platform, _respelled(parts, host, platform))
    return None if not elsewhere or is_direct(url) else _elsewhere(url, host)


def platform_of_host(host: str) -> str | None:
    if _TIKTOK_HOSTS.fullmatch(host):
        return TIKTOK
    if _YOUTUBE_HOSTS.fullmatch(host):
        return YOUTUBE
    return INSTAGRAM if _INSTAGRAM_HOSTS.fullmatch(host) else None


def _respelled(parts: SplitResult, host: str, platform: str) -> SplitResult:
    """The same page under the host that yt-dlp expects; the case of everything behind the host is kept."""
    if platform == TIKTOK:
        host = host if host.startswith(("vm.", "vt.")) else re.sub(r"^.*\b(?=tiktokv?\.com$)", "www.", host)
    elif platform == INSTAGRAM:
        host = "www.instagram.com"
    elif host == "www.youtu.be":
        host = "youtu.be"
    path = re.sub(r"/{2,}", "/", parts.path).replace("%40", "@")
    return SplitResult(parts.scheme, host, path, parts.query, parts.fragment)


def _on_platform(platform: str, parts: SplitResult) -> Recognised:
    if platform == YOUTUBE:
        # yt-dlp would take the playlist of watch?v=X&list=Y; who pastes that address means the video.
        single = parts._replace(query=_without_list(parts.query))
        alone = _first_suitable(_classes_of(YOUTUBE), urlunsplit(single))
        if alone is not None and alone[0] == "Youtube":
            return Post(YOUTUBE, alone[1])
    if parts.path.startswith(_FORWARDED[platform]):
        return NeedsNetwork(platform)
    taken = _first_suitable(_classes_of(platform), urlunsplit(parts))
    return _gap(platform, parts) if taken is None else _verdict(platform, parts, *taken)


def _without_list(query: str) -> str:
    return "&".join(part for part in query.split("&") if not part.startswith("list="))


def _verdict(platform: str, parts: SplitResult, taker: str, found_id: str) -> Recognised:
    if taker in _POSTS:
        return Post(platform, found_id)
    if taker in _HASHTAGS:
        return Creator(platform, found_id, "hashtag")
    if taker in _FORWARDING:
        return NeedsNetwork(platform)
    if taker == "YoutubeTab":
        return _youtube_tab(parts, found_id)
    handle = re.split(r"[?#]", found_id)[0]  # yt-dlp's pattern for Instagram swallows the query
    if taker in _PROFILES and not (platform == INSTAGRAM and INSTAGRAM_OWN.fullmatch(handle)):
        return Creator(platform, handle)
    return NoPost(platform, _PAGES.get(taker, "a page"))


def _youtube_tab(parts: SplitResult, found_id: str) -> Recognised:
    first, *rest = parts.path.strip("/").split("/")
    if first in ("playlist", "watch"):
        return NoPost(YOUTUBE, "a playlist")
    if first == "hashtag":
        return Creator(YOUTUBE, found_id, "hashtag")
    if first.startswith("@") or first in ("channel", "c", "user"):
        return Creator(YOUTUBE, found_id)
    if first in ("feed", "post", "browse") or len(rest) > 1:
        return NoPost(YOUTUBE)
    return Creator(YOUTUBE, found_id)  # youtube.com/name, the oldest spelling


def _gap(platform: str, parts: SplitResult) -> Recognised:
    if platform == TIKTOK and (post := _TIKTOK_POST.fullmatch(parts.path)):
        return Post(TIKTOK, post[1])
    if platform == TIKTOK and _TIKTOK_PLAYLIST.fullmatch(parts.path):
        return NoPost(TIKTOK, "a playlist")
    if platform == TIKTOK and _TIKTOK_LIVE.fullmatch(parts.path):
        return NoPost(TIKTOK, "a live stream")
    tab = _INSTAGRAM_TAB.fullmatch(parts.path) if platform == INSTAGRAM else None
    if tab and not INSTAGRAM_OWN.fullmatch(tab[1]):
        return Creator(INSTAGRAM, tab[1])
    return NoPost(platform)


def _elsewhere(url: str, host: str) -> OtherPlatform | None:
    for matches, extractor in _patterns():
        if matches(url) and extractor.suitable(url):
            return OtherPlatform(_name_of(extractor.ie_key(), host))
    return None


def _name_of(taker: str, host: str) -> str:
    if taker.startswith("Youtube"):
        return f"{host}, a mirror of YouTube"
    # Two collective classes of yt-dlp name no site: KnownDRM and KnownPiracy.
    return host if taker.startswith("Known") else taker


def _first_suitable(extractors: Iterable[Any], url: str) -> tuple[str, str] | None:
    """The class that yt-dlp would hand the address to, and the id it reads from it."""
    for extractor in extractors:
        if extractor.suitable(url):
            return extractor.ie_key(), extractor.get_temp_id(url) or ""
    return None


@cache
def _classes() -> tuple[Any, ...]:
    """All extractors of yt-dlp in its own order (the first that fits is right), without its last resort."""
    from yt_dlp.extractor import gen_extractor_classes

    return tuple(extractor for extractor in gen_extractor_classes() if extractor.ie_key() != "Generic")


@cache
def _classes_of(platform: str) -> tuple[Any, ...]:
    return tuple(extractor for extractor in _classes() if extractor.ie_key().lower().startswith(platform))


@cache
def _patterns() -> tuple[tuple[Callable[[str], Any], Any], ...]:
    """Each extractor behind its own pattern: asking ``suitable`` alone takes ten times as long."""
    made = []
    for extractor in _classes():
        patterns = extractor._VALID_URL or ()
        for pattern in (patterns,) if isinstance(patterns, str) else patterns:
            made.append((re.compile(pattern).match, extractor))
    return tuple(made)
