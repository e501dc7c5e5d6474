"""Recognition of platform posts by host and path: TikTok, YouTube, Instagram (contract B.2 U3)."""

import re
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit


class Post(NamedTuple):
    platform: str
    post_id: str


_PLATFORMS = {
    "tiktok.com": "tiktok",
    "youtube.com": "youtube",
    "youtu.be": "youtube",
    "instagram.com": "instagram",
}
_PATHS = {
    "tiktok.com": re.compile(r"/(?:@[^/]+/(?:video|photo)|video|player/v1|embed(?:/v2)?|t)/([\w-]+)"),
    "youtube.com": re.compile(r"/(?:shorts|embed|live|v)/([\w-]+)"),
    "youtu.be": re.compile(r"/([\w-]+)"),
    "instagram.com": re.compile(r"/(?:[^/]+/)?(?:reels?|p|tv)/([\w-]+)"),
}
_TIKTOK_SHORT = re.compile(r"/([\w-]+)")


def site_of(url: str) -> tuple[str, SplitResult] | None:
    """The site of an address of a known platform, and the address in its parts; else None."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return None
    host = (parts.hostname or "").lower()
    site = next((site for site in _PLATFORMS if host == site or host.endswith("." + site)), None)
    return None if site is None or parts.scheme not in ("http", "https") else (site, parts)


def recognise(url: str) -> Post | None:
    """The post behind `url`, or None when it is none of a known platform."""
    found = site_of(url)
    if found is None:
        return None
    site, parts = found
    host = (parts.hostname or "").lower()
    if site == "youtube.com" and parts.path == "/watch":
        post_id = parse_qs(parts.query).get("v", [""])[0]
        return Post("youtube", post_id) if post_id else None
    path = _TIKTOK_SHORT if host in ("vm.tiktok.com", "vt.tiktok.com") else _PATHS[site]
    match = path.match(unquote(parts.path))
    return Post(_PLATFORMS[site], match[1]) if match else None
