"""Pages of TikTok and YouTube as their own extractors in yt-dlp read them, made of a list of posts that a test changes."""

import io
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

from yt_dlp import YoutubeDL
from yt_dlp.networking import Response
from yt_dlp.networking.exceptions import HTTPError, TransportError


class Platforms:
    """``posts``: ids, newest first; ``fail``: what the n-th request meets instead (an HTTP status, or ``"network"``)."""

    def __init__(self, posts: Sequence[str] = (), page: int = 5) -> None:
        self.posts = list(posts)
        self.page = page
        self.titles: dict[str, str] = {}
        self.private = self.gone = False
        self.fail: dict[int, int | str] = {}
        self.pages = 0
        self._requests = 0

    def make(self, options: dict[str, Any]) -> YoutubeDL:
        """For ``listing.look(make=...)``: the real extractors, and no network."""
        platforms = self

        class Offline(YoutubeDL):
            def urlopen(self, req: Any) -> Response:
                return platforms.answer(req if isinstance(req, str) else req.url, getattr(req, "data", None))

        return Offline(options)

    def answer(self, url: str, data: Any) -> Response:
        self._requests += 1
        met = self.fail.get(self._requests)
        if met == "network":
            raise TransportError("connection reset")
        if met is not None:
            raise HTTPError(Response(io.BytesIO(b""), url, {}, status=int(met)))
        parts = urlsplit(url)
        if parts.hostname and parts.hostname.endswith("tiktok.com"):
            return self._tiktok(url, parts.path, parse_qs(parts.query))
        return self._youtube(url, parts.path, data)

    # TikTok: a page of the profile, then pages of a list that go back in time

    def _tiktok(self, url: str, path: str, query: dict[str, list[str]]) -> Response:
        if path.startswith("/api/creator/item_list"):
            self.pages += 1
            before = int(query["cursor"][0])
            older = [one for one in self.posts if _tiktok_seconds(one) * 1000 < before]
            body = {
                "itemList": [self._tiktok_item(one) for one in older[: self.page]],
                "hasMorePrevious": len(older) > self.page,
            }
            return _response(url, json.dumps(body), "application/json")
        if path.startswith("/embed/"):
            return _response(url, "<html></html>")
        detail: dict[str, Any] = {"statusCode": 10222} if self.private else {}
        if not self.private and not self.gone:
            user = {"secUid": "MS4wLjABAAAA" + "x" * 64, "uniqueId": "demo"}
            detail = {"userInfo": {"user": user, "stats": {"videoCount": len(self.posts)}, "itemList": [{}]}}
        scope = json.dumps({"__DEFAULT_SCOPE__": {"webapp.user-detail": detail}})
        script = f'<script id="__UNIVERSAL_DATA_FOR_REHYDRATION__" type="application/json">{scope}</script>'
        return _response(url, f"<html>{script}</html>")

    def _tiktok_item(self, number: str) -> dict[str, Any]:
        return {
            "id": number,
            "desc": self.titles.get(number, f"post {number}"),
            "createTime": _tiktok_seconds(number),
            "author": {"uniqueId": "demo", "id": "1"},
            "video": {"duration": 10},
            "stats": {"playCount": 5},
        }

    # YouTube: a tab with its first entries in the page, and continuations

    def _youtube(self, url: str, path: str, data: Any) -> Response:
        if path.startswith("/youtubei/"):
            self.pages += 1
            start = int(json.loads(data or b"{}").get("continuation", "0"))
            items = self._youtube_items(start)
            action = {"appendContinuationItemsAction": {"continuationItems": items}}
            return _response(url, json.dumps({"onResponseReceivedActions": [action]}), "application/json")
        if self.gone:
            raise HTTPError(Response(io.BytesIO(b""), url, {}, status=404))
        tab = path.rpartition("/")[2]
        self.pages += tab == "videos"
        items = self._youtube_items(0) if tab == "videos" else []
        shown = _youtube_tab(tab, items)
        config = json.dumps({"INNERTUBE_API_KEY": "k", "INNERTUBE_CONTEXT": {"client": {"clientName": "WEB"}}})
        html = f"<script>ytcfg.set({config});</script><script>var ytInitialData = {json.dumps(shown)};</script>"
        return _response(url, f"<html>{html}</html>")

    def _youtube_items(self, start: int) -> list[dict[str, Any]]:
        chosen = self.posts[start : start + self.page]
        items: list[dict[str, Any]] = [
            {"richItemRenderer": {"content": {"videoRenderer": self._video(one)}}} for one in chosen
        ]
        if start + self.page < len(self.posts):
            command = {"continuationCommand": {"token": str(start + self.page), "request": "X"}}
            items.append({"continuationItemRenderer": {"continuationEndpoint": command}})
        return items

    def _video(self, number: str) -> dict[str, Any]:
        return {"videoId": number, "title": {"runs": [{"text": self.titles.get(number, f"video {number}")}]}}


def _youtube_tab(tab: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    endpoint = {"commandMetadata": {"webCommandMetadata": {"url": f"/@demo/{tab}"}}}
    renderer = {
        "title": tab.title(),
        "selected": True,
        "endpoint": endpoint,
        "content": {"richGridRenderer": {"contents": items}},
    }
    others = [
        {
            "tabRenderer": {
                "title": other.title(),
                "endpoint": {"commandMetadata": {"webCommandMetadata": {"url": f"/@demo/{other}"}}},
            }
        }
        for other in ("videos", "shorts")
        if other != tab
    ]
    return {
        "contents": {"twoColumnBrowseResultsRenderer": {"tabs": [{"tabRenderer": renderer}, *others]}},
        "metadata": {"channelMetadataRenderer": {"title": "demo", "externalId": "UC" + "a" * 22}},
    }


def _tiktok_seconds(number: str) -> int:
    return int(number) >> 32


def tiktok_ids(count: int, newest: int = 1_760_000_000, apart: int = 3600) -> list[str]:
    """Newest first."""
    return [str((newest - n * apart) << 32 | 7) for n in range(count)]


def youtube_ids(count: int) -> list[str]:
    return [f"vid{number:08}" for number in range(count, 0, -1)]


def _response(url: str, text: str, kind: str = "text/html") -> Response:
    return Response(io.BytesIO(text.encode()), url, {"Content-Type": kind}, status=200)
