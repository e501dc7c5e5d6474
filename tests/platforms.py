"""Small TikToks and YouTubes that serve their pages to yt-dlp: its own extractors read them, without a network.

>>> page = TikTok("someone", posts=[Shown(tiktok_id(3), 1_700_000_000)])
>>> listing.look(profile, known=..., make=page.serve)

A test changes ``posts`` between two looks. ``requests`` are the addresses that were asked for.
"""

import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from yt_dlp import YoutubeDL
from yt_dlp.networking import Request, Response
from yt_dlp.networking.exceptions import HTTPError


@dataclass(slots=True)
class Shown:
    """A post as its platform shows it; times in seconds since 1970."""

    id: str
    at: int = 0
    title: str = "a post"
    seconds: int = 12
    views: int = 1000
    tab: str = "videos"
    #: On top of the page whatever its age, as TikTok pins posts.
    pinned: bool = False
    #: ``upcoming``, ``live`` or ``members``: shown, but not to be had.
    reserved: str = ""


def tiktok_id(number: int) -> str:
    return str(7_300_000_000_000_000_000 + number)


def youtube_id(number: int) -> str:
    return f"v{number:010d}"


class _Platform:
    def __init__(self, posts: Iterable[Shown]) -> None:
        self.posts = list(posts)
        self.requests: list[str] = []
        #: Called before each answer with the number of the request, counted from 1; what it raises comes instead of it.
        self.before: Callable[[int], None] = lambda number: None

    def serve(self, parameters: dict[str, Any]) -> YoutubeDL:
        self.parameters = parameters
        return _Offline(self, parameters)

    def answer(self, request: Request) -> bytes:
        raise NotImplementedError

    def newest_first(self, posts: Iterable[Shown]) -> list[Shown]:
        return sorted(posts, key=lambda post: -post.at)


class _Offline(YoutubeDL):
    def __init__(self, platform: _Platform, parameters: dict[str, Any]) -> None:
        super().__init__({**parameters, "sleep_interval_requests": 0})
        self._platform = platform

    def urlopen(self, request: Any) -> Response:
        self._platform.requests.append(request.url)
        self._platform.before(len(self._platform.requests))
        body = self._platform.answer(request)
        # yt-dlp tells a page of errors from JSON by its first bytes, not by a type.
        return Response(io.BytesIO(body), request.url, {"Content-Type": "text/html; charset=utf-8"})


def http_error(status: int, url: str = "https://example.com/", body: bytes = b"{}") -> HTTPError:
    return HTTPError(Response(io.BytesIO(body), url, {}, status=status))


class TikTok(_Platform):
    """One profile: ``status`` 10222 is private, 10221 nobody's."""

    def __init__(self, name: str, posts: Iterable[Shown], *, per_page: int = 3, status: int = 0) -> None:
        super().__init__(posts)
        self.name, self.per_page, self.status = name, per_page, status
        self.secret = "MS4wLjABAAAA" + "x" * 64
        #: Instead of pages of posts.
        self.garbage: Any = None

    @property
    def pages(self) -> int:
        """How many pages of posts were asked for."""
        return sum("/api/creator/item_list/" in url for url in self.requests)

    def answer(self, request: Request) -> bytes:
        parts = urlsplit(request.url)
        if parts.path == f"/@{self.name}":
            return self._profile()
        if parts.path == "/api/creator/item_list/":
            return json.dumps(self.garbage if self.garbage is not None else self._page(parts.query)).encode()
        if parts.path == f"/embed/@{self.name}":
            return b"<html></html>"
        raise http_error(404, request.url)

    def _profile(self) -> bytes:
        posts = [] if self.status == 10222 else self.newest_first(self.posts)
        user = {
            "user": {"secUid": self.secret, "uniqueId": self.name},
            "stats": {"videoCount": len(posts)},
            "itemList": [self._item(post) for post in posts[: self.per_page]],
        }
        detail = {"statusCode": self.status, "userInfo": {} if self.status == 10221 else user}
        data = json.dumps({"__DEFAULT_SCOPE__": {"webapp.user-detail": detail}})
        return f'<script id="__UNIVERSAL_DATA_FOR_REHYDRATION__" type="application/json">{data}</script>'.encode()

    def _page(self, query: str) -> dict[str, Any]:
        cursor = int(parse_qs(query)["cursor"][0])
        older = [post for post in self.newest_first(self.posts) if post.at * 1000 < cursor]
        # The first question asks from now on, so it is the one that is answered with what is pinned.
        first = len(older) == len(self.posts)
        pinned = [post for post in older if post.pinned] if first else []
        shown = older[: self.per_page]
        page = pinned + [post for post in shown if post not in pinned]
        return {
            "statusCode": 0,
            "itemList": [self._item(post) for post in page],
            "hasMorePrevious": len(older) > len(shown),
        }

    def _item(self, post: Shown) -> dict[str, Any]:
        return {
            "id": post.id,
            "desc": post.title,
            "createTime": post.at,
            "author": {"uniqueId": self.name, "secUid": self.secret},
            "video": {"duration": post.seconds},
            "stats": {"playCount": post.views},
        }


_TABS = {"featured": "Home", "videos": "Videos", "shorts": "Shorts", "streams": "Live"}


class YouTube(_Platform):
    """One channel with its tabs, or one playlist in the order of ``posts``; ``says`` is the error that it shows instead."""

    def __init__(
        self, posts: Iterable[Shown], *, handle: str = "@someone", playlist: str = "", per_page: int = 3
    ) -> None:
        super().__init__(posts)
        self.handle, self.playlist, self.per_page = handle, playlist, per_page
        self.channel = "UC" + "c" * 22
        self.says = ""
        #: There is no such channel: a page of errors and an API that knows nothing.
        self.missing = False
        #: A continuation without anything in it.
        self.broken_pages = False

    @property
    def continuations(self) -> int:
        return sum("/youtubei/v1/browse" in url for url in self.requests)

    def answer(self, request: Request) -> bytes:
        parts = urlsplit(request.url)
        if self.missing:
            raise http_error(
                404, request.url, json.dumps({"error": {"message": "Requested entity was not found."}}).encode()
            )
        if parts.path == "/youtubei/v1/browse":
            return json.dumps(self._continuation(json.loads(request.data)["continuation"])).encode()
        if parts.path.startswith("/youtubei/"):
            raise http_error(400, request.url)
        if parts.path == "/playlist":
            return self._html(self._playlist_page(parse_qs(parts.query)["list"][0]))
        return self._html(self._channel_page(parts.path.rpartition("/")[2]))

    def _html(self, data: dict[str, Any]) -> bytes:
        if self.says:
            text = {"simpleText": self.says}
            data = {"alerts": [{"alertRenderer": {"type": "ERROR", "text": text}}], "contents": data["contents"]}
        return f"<script>ytcfg.set({{}});</script><script>var ytInitialData = {json.dumps(data)};</script>".encode()

    def _channel_page(self, asked: str) -> dict[str, Any]:
        there = [tab for tab in _TABS if any(post.tab == tab for post in self.posts)]
        shown = asked if asked in there else "featured"
        tabs = [self._tab(tab, selected=tab == shown) for tab in ("featured", *there)]
        return {
            "metadata": {"channelMetadataRenderer": {"title": "Someone", "externalId": self.channel}},
            "contents": {"twoColumnBrowseResultsRenderer": {"tabs": tabs}},
        }

    def _tab(self, tab: str, *, selected: bool) -> dict[str, Any]:
        url = {"commandMetadata": {"webCommandMetadata": {"url": f"/{self.handle}/{tab}"}}}
        renderer: dict[str, Any] = {"title": _TABS[tab], "endpoint": url, "selected": selected}
        if selected and tab != "featured":
            renderer["content"] = {"richGridRenderer": {"contents": self._page(tab, 0)}}
        return {"tabRenderer": renderer}

    def _playlist_page(self, name: str) -> dict[str, Any]:
        posts = self.posts if name == self.playlist else []
        items = (
            {"playlistVideoListRenderer": {"contents": self._page("playlist", 0)}} if posts else {"messageRenderer": {}}
        )
        section = {"sectionListRenderer": {"contents": [{"itemSectionRenderer": {"contents": [items]}}]}}
        tab = {"tabRenderer": {"selected": True, "content": section}}
        count = f"{len(posts)} videos" if posts else "No videos"
        return {
            "metadata": {"playlistMetadataRenderer": {"title": "A playlist"}},
            "header": {"playlistHeaderRenderer": {"stats": [{"simpleText": count}]}},
            "contents": {"twoColumnBrowseResultsRenderer": {"tabs": [tab]}},
        }

    def _continuation(self, token: str) -> dict[str, Any]:
        if self.broken_pages:
            return {"responseContext": {}}
        tab, _, start = token.partition(":")
        items = self._page(tab, int(start))
        return {"onResponseReceivedActions": [{"appendContinuationItemsAction": {"continuationItems": items}}]}

    def _page(self, tab: str, start: int) -> list[dict[str, Any]]:
        if tab == "playlist":
            posts = self.posts
        else:
            posts = self.newest_first(post for post in self.posts if post.tab == tab)
        show = {"playlist": self._in_playlist, "shorts": self._short}.get(tab, self._video)
        items = [show(post) for post in posts[start : start + self.per_page]]
        if start + self.per_page < len(posts):
            command = {"continuationCommand": {"token": f"{tab}:{start + self.per_page}"}}
            items.append({"continuationItemRenderer": {"continuationEndpoint": command}})
        return items

    def _in_playlist(self, post: Shown) -> dict[str, Any]:
        title, length = {"runs": [{"text": post.title}]}, str(post.seconds)
        return {"playlistVideoRenderer": {"videoId": post.id, "title": title, "lengthSeconds": length}}

    def _short(self, post: Shown) -> dict[str, Any]:
        watch = {"innertubeCommand": {"reelWatchEndpoint": {"videoId": post.id}}}
        said = {"primaryText": {"content": post.title}, "secondaryText": {"content": f"{post.views} views"}}
        model = {"entityId": f"shorts-shelf-item-{post.id}", "onTap": watch, "overlayMetadata": said}
        return {"richItemRenderer": {"content": {"shortsLockupViewModel": model}}}

    def _video(self, post: Shown) -> dict[str, Any]:
        length = f"{post.seconds // 60}:{post.seconds % 60:02}"
        badge = {
            "upcoming": {"text": "Upcoming"},
            "live": {"text": "LIVE", "badgeStyle": "THUMBNAIL_OVERLAY_BADGE_STYLE_LIVE"},
        }
        shown = {"thumbnailBadgeViewModel": badge.get(post.reserved, {"text": length})}
        age = {"text": {"content": "2 years ago"}, "accessibilityLabel": "2 years ago"}
        parts = [{"text": {"content": f"{post.views} views"}}, age]
        rows: list[dict[str, Any]] = [{"metadataParts": parts}]
        if post.reserved == "members":
            rows.append({"badges": [{"badgeViewModel": {"badgeStyle": "BADGE_MEMBERS_ONLY"}}]})
        metadata = {"title": {"content": post.title}, "metadata": {"contentMetadataViewModel": {"metadataRows": rows}}}
        overlay = {"thumbnailBottomOverlayViewModel": {"badges": [shown]}}
        model = {
            "contentId": post.id,
            "contentType": "LOCKUP_CONTENT_TYPE_VIDEO",
            "contentImage": {"thumbnailViewModel": {"overlays": [overlay]}},
            "metadata": {"lockupMetadataViewModel": metadata},
        }
        return {"richItemRenderer": {"content": {"lockupViewModel": model}}}
