"""Recognition of pages whose posts change: profiles of all platforms, hashtags of TikTok (contract B.2 U5, U7)."""

import re
from typing import NamedTuple
from urllib.parse import quote, unquote

from sandbox.posts import site_of

PROFILE, HASHTAG = "profile", "hashtag"


class Page(NamedTuple):
    platform: str
    what: str
    name: str  # as in the path; in small letters where the platform does not tell large ones apart

    @property
    def author(self) -> str:
        """The bare handle."""
        return self.name.rpartition("/")[2].lstrip("@")

    @property
    def url(self) -> str:
        path = f"tag/{self.name}" if self.what == HASHTAG else self.name
        return f"https://www.{self.platform}.com/{quote(path, safe='@/')}"


_PROFILES = {
    "tiktok.com": re.compile(r"/(@[\w.]+)/?"),
    "youtube.com": re.compile(
        r"/((?:@|channel/|c/|user/)?[\w.·-]+)(?:/(?:videos|shorts|streams|live|featured|about|playlists))?/?"
    ),
    "instagram.com": re.compile(r"/([\w.]+)(?:/(?:reels|tagged|channel|igtv))?/?"),
}
_HASHTAG = re.compile(r"/tag/([^/]+)/?")
#: First pieces of paths that are the platform's own.
_OWN = {
    "tiktok.com": (),
    "youtube.com": ("watch", "shorts", "playlist", "feed", "results", "embed", "live", "v", "post", "hashtag"),
    "instagram.com": ("p", "tv", "reel", "reels", "explore", "stories", "accounts", "direct", "about", "legal"),
}
_CHANNEL = "channel/"  # the one name in which large letters count


def recognise_page(url: str) -> Page | None:
    """The profile or hashtag behind `url`, or None when it is none of a known platform."""
    known = site_of(url)
    if known is None or known[0] not in _PROFILES:
        return None
    site, path = known[0], unquote(known[1].path)
    if site == "tiktok.com" and (tag := _HASHTAG.fullmatch(path)):
        return hashtag(tag[1])
    found = _PROFILES[site].fullmatch(path)
    if found is None or found[1] in _OWN[site]:
        return None
    name = found[1] if found[1].startswith(_CHANNEL) else found[1].lower()
    return Page(site.removesuffix(".com"), PROFILE, name)


def hashtag(word: str) -> Page:
    return Page("tiktok", HASHTAG, word.lower())
