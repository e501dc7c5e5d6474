"""Which profile, channel, playlist or hashtag an address names, found without the network.

The rules are our own and need no yt-dlp: what can be followed is for Memories.ai to say (contract B.2 U5, U7), and a
page whose name is not certain is refused rather than followed. ``python -m benchmarks.classification`` shows where
yt-dlp sees it differently, and why.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit, urlunsplit

from ingest.sources import links, posts
from ingest.sources.files import printable
from ingest.sources.posts import INSTAGRAM, TIKTOK, YOUTUBE

Kind = Literal["profile", "channel", "playlist", "tag"]


@dataclass(frozen=True, slots=True)
class Profile:
    """Something whose posts change and that can be followed.

    >>> recognise("https://m.tiktok.com/@Some.One?lang=de").key
    'profile:tiktok:@some.one'

    Two of one key are the same. The reverse does not hold: only YouTube knows that ``@handle``, ``UC...`` and
    ``user/Name`` are one channel.
    """

    platform: str
    #: ``channel`` and ``playlist`` on YouTube, ``tag`` on TikTok, ``profile`` on TikTok and Instagram
    kind: Kind
    #: TikTok ``@name``; Instagram ``name``; YouTube ``@handle``, ``UC...``, ``c/Name``, ``user/Name`` or the oldest, a bare
    #: ``Name``; the id of a playlist; a tag without its ``#``.
    handle: str
    #: The address to ask for it. Channels and tags keep the case they were given in, for the owner chose it; compare by key.
    url: str

    @property
    def key(self) -> str:
        handle = unicodedata.normalize("NFC", self.handle)
        exact = self.kind == "playlist" or _CASE_MATTERS.fullmatch(handle)
        return f"{self.kind}:{self.platform}:{handle if exact else handle.lower()}"


_CHANNEL_ID = r"UC[A-Za-z0-9_-]{22}"
#: TikTok opens a profile by its lasting id too, where a name would stand.
_LASTING_ID = r"@MS4wLjAB[A-Za-z0-9_-]+"
_CASE_MATTERS = re.compile(rf"{_CHANNEL_ID}|{_LASTING_ID}")

#: Names of every script; ``\\w`` would leave out the vowel signs of some.
_WORD = re.compile(r"[^\s\x00-\x1f\x7f/?#&@%<>\"\\]+")
_TIKTOK_NAME = re.compile(r"@[\w.-]+")
#: Pages below a profile of TikTok that are something else.
_TIKTOK_DEEPER = re.compile(r"video|photo|live|playlist|collection")
_INSTAGRAM_NAME = re.compile(r"[A-Za-z0-9._]{1,30}")
_INSTAGRAM_TABS = re.compile(r"reels|tagged|channel|igtv|guides|reposts")

#: Hosts of YouTube where channels live; youtu.be and the hosts of embeds know videos alone.
_CHANNEL_HOSTS = re.compile(r"(?:[\w-]+\.)*youtube(?:kids)?\.com")
#: Hosts where a bare first word may be the oldest spelling of a channel.
_OLDEST_HOSTS = re.compile(r"(?:(?:www|m)\.)?youtube\.com")
_OLDEST_NAME = re.compile(rf"(?!{_CHANNEL_ID}$)[^\W_][\w-]*")
_YOUTUBE_TABS = re.compile(
    r"about|channels|community|courses|featured|home|live|membership|playlists|podcasts|posts|releases|"
    r"search|shorts|store|streams|videos"
)
#: First words of YouTube's own pages: what they lead to is nobody's channel, or not for certain.
_YOUTUBE_OWN = re.compile(
    r"about|account|ads|answer|api|app|attribution_link|browse|c|channel|channels|clip|copyright|"
    r"create_channel|creators|dashboard|e|embed|error|explore|fashion|feed|feeds|gaming|get_video_info|"
    r"hashtag|howyoutubeworks|iframe_api|img|index|intl|jobs|kids|learning|live|live_chat|login|logout|me|"
    r"movies|music|my_videos|new|news|oembed|oops|paid_memberships|playables|playlist|playlists|podcasts|"
    r"post|premium|press|profile|purchases|red|redirect|results|s|search|shared|shop|shorts|show|shows|"
    r"signin|signup|source|sports|static|storefront|student|t|trending|trends|tv|upload|user|v|verify|vi|"
    r"view_play_list|w|watch|watch_popup|watch_videos|youtubei|yt",
    re.IGNORECASE,
)
_PLAYLIST_ID = re.compile(r"[A-Za-z0-9_-]{10,}")
#: Lists that each visitor sees otherwise: watch later, liked, and the mixes that YouTube makes up on the way.
_PERSONAL_LIST = re.compile(r"WL|LL|LM|RD[A-Za-z0-9_-]*|UL[A-Za-z0-9_-]*")


def recognise(url: str) -> Profile | None:
    """What can be followed under an http(s) address; None for anything else (``problem_of`` says why)."""
    if links.problem_of(url) is not None:
        return None
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    platform = posts.platform_of_host(host) if parts.scheme in ("http", "https") else None
    try:
        path = [unquote(segment, errors="strict") for segment in parts.path.split("/") if segment]
    except UnicodeDecodeError:
        return None
    if platform == TIKTOK:
        return _on_tiktok(path)
    if platform == YOUTUBE and _CHANNEL_HOSTS.fullmatch(host):
        return _on_youtube(host, path, parts.query)
    if platform == YOUTUBE:
        return _list_of(parts.query) if path == ["embed", "videoseries"] else None
    return _on_instagram(path) if platform == INSTAGRAM else None


def _on_tiktok(path: Sequence[str]) -> Profile | None:
    match path:
        case ["tag", name, *_] if _WORD.fullmatch(name):
            return Profile(TIKTOK, "tag", name, f"https://www.tiktok.com/tag/{quote(name)}")
        case ["embed", name] | [name] if _TIKTOK_NAME.fullmatch(name):
            return _tiktok_profile(name)
        case [name, tab, *_] if _TIKTOK_NAME.fullmatch(name) and not _TIKTOK_DEEPER.fullmatch(tab):
            return _tiktok_profile(name)
    return None


def _tiktok_profile(name: str) -> Profile:
    handle = name if _CASE_MATTERS.fullmatch(name) else name.lower()
    return Profile(TIKTOK, "profile", handle, f"https://www.tiktok.com/{quote(handle, safe='@')}")


def _on_instagram(path: Sequence[str]) -> Profile | None:
    match path:
        # /_u/ is how other apps open a profile
        case ["_u", name] | [name] if _is_instagram_name(name):
            return _instagram_profile(name)
        case [name, tab] if _is_instagram_name(name) and _INSTAGRAM_TABS.fullmatch(tab):
            return _instagram_profile(name)
    return None


def _is_instagram_name(name: str) -> bool:
    return _INSTAGRAM_NAME.fullmatch(name) is not None and not posts.INSTAGRAM_OWN.fullmatch(name)


def _instagram_profile(name: str) -> Profile:
    return Profile(INSTAGRAM, "profile", name.lower(), f"https://www.instagram.com/{name.lower()}/")


def _on_youtube(host: str, path: Sequence[str], query: str) -> Profile | None:
    match path:
        case ["playlist" | "watch"] | ["embed", "videoseries"]:
            return _list_of(query)
        case ["channel" | "browse", name, *_]:
            return _by_id(name)
        case ["c" | "user" as space, name, *_] if _WORD.fullmatch(name):
            return _channel(f"{space}/{name}")
        case [name, *_] if name.startswith("@") and _WORD.fullmatch(name[1:]):
            return _channel(name)
        case [name] if _OLDEST_HOSTS.fullmatch(host) and _is_oldest_name(name):
            return _channel(name)
        case [name, tab] if _OLDEST_HOSTS.fullmatch(host) and _is_oldest_name(name) and _YOUTUBE_TABS.fullmatch(tab):
            return _channel(name)
    return None


def _is_oldest_name(name: str) -> bool:
    return _OLDEST_NAME.fullmatch(name) is not None and not _YOUTUBE_OWN.fullmatch(name)


def _by_id(name: str) -> Profile | None:
    if re.fullmatch(_CHANNEL_ID, name):
        return _channel(f"channel/{name}", handle=name)
    # YouTube Music shows a playlist under /browse/VL<id>
    return _playlist(name[2:]) if name.startswith("VL") else None


def _channel(path: str, *, handle: str | None = None) -> Profile:
    return Profile(YOUTUBE, "channel", handle or path, f"https://www.youtube.com/{quote(path, safe='@/')}")


def _list_of(query: str) -> Profile | None:
    """The list alone; an address with a video in it means the video, as in ``posts.recognise``."""
    named = parse_qs(query)
    return None if "v" in named or "list" not in named else _playlist(named["list"][0])


def _playlist(name: str) -> Profile | None:
    if _PERSONAL_LIST.fullmatch(name) or not _PLAYLIST_ID.fullmatch(name):
        return None
    return Profile(YOUTUBE, "playlist", name, f"https://www.youtube.com/playlist?list={name}")


def problem_of(url: str) -> str | None:
    """Why an address cannot be followed, as a sentence; None when it can. May import yt-dlp, which takes a second."""
    if recognise(url) is not None:
        return None
    if (problem := links.problem_of(url)) is not None:
        return problem if "://" in url else _no_address(url)
    if urlsplit(url).scheme not in ("http", "https"):
        return _no_address(url)
    match posts.recognise(url):
        case posts.Post(platform, _):
            return f"'{url}' is a single post of {posts.NAMES[platform]}, not a profile: `ingest add` takes it{_nearby(url)}."
        case posts.Creator(platform, _, "hashtag") if platform != TIKTOK:
            return f"'{url}' is a hashtag of {posts.NAMES[platform]}: Memories.ai follows hashtags of TikTok only."
        case posts.NeedsNetwork(platform):
            return (
                f"'{url}' is a short or forwarding address of {posts.NAMES[platform]}, which cannot be resolved "
                "offline: open it and give the full address of the profile it leads to."
            )
        case posts.Creator(platform, _, _) | posts.NoPost(platform, _) as page:
            return _no_profile(url, platform, page)
        case posts.OtherPlatform(name):
            return f"'{url}' is a page of {name}: profiles of TikTok, YouTube and Instagram can be followed, no others."
    return f"'{url}' is no page of TikTok, YouTube or Instagram: give the address of a profile there."


def _no_address(text: str) -> str:
    shown = printable(links.without_credentials(text))
    return (
        f"'{shown}' is no address of a profile: give it in full, such as https://www.tiktok.com/@name, "
        "https://www.youtube.com/@handle or https://www.instagram.com/name/."
    )


def _no_profile(url: str, platform: str, page: posts.Creator | posts.NoPost) -> str:
    named = parse_qs(urlsplit(url).query).get("list", [""])[0]
    if platform == YOUTUBE and _PERSONAL_LIST.fullmatch(named):
        return f"'{url}' is a list that each visitor sees otherwise, or no visitor but one: it cannot be followed."
    what = page.what if isinstance(page, posts.NoPost) else "a page"
    kinds = "a channel or playlist" if platform == YOUTUBE else "a profile"
    return f"'{url}' is {what} of {posts.NAMES[platform]} that cannot be followed: give the address of {kinds}{_nearby(url)}."


def _nearby(url: str) -> str:
    """What the person may have meant: whose post it is, or the playlist it was watched in."""
    parts = urlsplit(url)
    first = "/".join(parts.path.split("/")[:2])
    listed = parse_qs(parts.query).get("list", [])
    found = _playlist(listed[0]) if listed else recognise(_bare(parts, first))
    return f"; {found.url} can be followed" if found else ""


def _bare(parts: SplitResult, path: str) -> str:
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))
