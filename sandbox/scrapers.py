"""The scraper calls (contract B.2 U3 to U8): one lane, one kind of task, four things to ask for in two libraries.

Where the contract is silent:

- `username` is an address of a profile and nothing else; a bare handle is refused, and so is a post.
- A hashtag with its `#` is refused: the list is documented without (contract B.2 U7).
- `scraper_cnt` has no cap; a call brings what there is, the newest first.
"""

from collections.abc import Mapping
from typing import Any

from flask import request

from sandbox import forms, library
from sandbox.answers import Refusal
from sandbox.calls import Calls
from sandbox.library import Task
from sandbox.pages import PROFILE, Page, hashtag, recognise_page
from sandbox.posts import recognise
from sandbox.vendor import Asked, Vendor

LARGEST_BATCH = 50
QUALITIES = ("260", "360", "480", "720", "1080", "1440", "2160")
#: Posts of a creator and of each hashtag when `scraper_cnt` is absent (contract B.2 U5, U7).
CREATOR_POSTS, HASHTAG_POSTS = 4, 2


def add_scrapers(calls: Calls, vendor: Vendor) -> None:
    def scraper_url(fields: Mapping[str, Any], asked: Asked) -> Task:
        """contract B.2 U3, U4"""
        urls = forms.words(fields, "video_urls") + forms.words(fields, "tiktok_post_urls")
        _check_posts(urls)
        if str(fields.get("quality") or "720") not in QUALITIES:
            raise Refusal(f"quality is none of {', '.join(QUALITIES)}")
        return vendor.take_posts(urls, asked)

    def scraper(fields: Mapping[str, Any], asked: Asked) -> Task:
        """contract B.2 U5, U6"""
        page = _profile(forms.text(fields, "username"))
        return vendor.take_pages([page], forms.number(fields, "scraper_cnt", CREATOR_POSTS), asked)

    def scraper_tag(fields: Mapping[str, Any], asked: Asked) -> Task:
        """contract B.2 U7, U8"""
        pages = _hashtags(forms.words(fields, "hash_tags"))
        return vendor.take_pages(pages, forms.number(fields, "scraper_cnt", HASHTAG_POSTS), asked)

    for take in (scraper_url, scraper, scraper_tag):
        _add(calls, take.__name__, take)


def _add(calls: Calls, name: str, take: Any) -> None:
    """The call for the private library and the one for the public library."""

    def act(where: str) -> dict[str, Any]:
        fields = forms.read_fields(request)
        unique_id = forms.namespace(fields) if where == library.PRIVATE else library.DEFAULT_NAMESPACE
        task = take(fields, Asked(where, unique_id, forms.callback(fields, request.args)))
        return {"taskId": task.task_id}

    calls.add("scrape", "POST", name, lambda: act(library.PRIVATE), slow=True)
    calls.add("scrape", "POST", f"{name}_public", lambda: act(library.PUBLIC), slow=True)


def _check_posts(urls: list[str]) -> None:
    if not urls:
        raise Refusal("video_urls is missing or empty")
    if len(urls) > LARGEST_BATCH:
        raise Refusal(f"more than {LARGEST_BATCH} urls in one call")
    posts = [recognise(url) for url in urls]
    for url, post in zip(urls, posts, strict=True):
        if post is None:
            raise Refusal(f"no post of a supported platform: {url}")
    if len({post.platform for post in posts if post}) > 1:
        raise Refusal("video_urls must all be of one platform")


def _profile(url: str) -> Page:
    page = recognise_page(url)
    if page is None or page.what != PROFILE:
        raise Refusal(f"no profile of a supported platform: {url}")
    return page


def _hashtags(words: list[str]) -> list[Page]:
    """Each tag once, in the order of the request."""
    if not words:
        raise Refusal("hash_tags is missing or empty")
    for word in words:
        if not word or "#" in word or "/" in word or word.split() != [word]:
            raise Refusal(f"no hashtag without its #: '{word}'")
    return list(dict.fromkeys(map(hashtag, words)))
