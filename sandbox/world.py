"""The platforms as the vendor's scraper finds them: made-up pages, the same for the same seed.

A page that nobody has told of exists since `BIRTH_MS` and lives on by itself, so that each run finds the same posts;
one that a control has told of begins when it was told of.
"""

import dataclasses
import threading
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from sandbox.counters import counters
from sandbox.pages import HASHTAG, PROFILE, Page
from sandbox.posts import Post
from sandbox.profiles import Profile, Published
from sandbox.scripts import made_up, parse_script

#: 2025-01-01 UTC.
BIRTH_MS = 1_735_689_600_000
_DAY_MS = 86_400_000


class Look(NamedTuple):
    """What a task saw of a page when it was asked for, newest first."""

    page: Page
    at_ms: int
    kind: str
    wanted: int  # how many were asked for
    posts: tuple[Published, ...]


class World:
    def __init__(self, seed: int | None) -> None:
        self._seed = seed or 0
        self._lock = threading.RLock()
        self._profiles: dict[Page, Profile] = {}  # that somebody looked at or told of
        self._posts: dict[Post, tuple[Profile, Published]] = {}

    def forget(self) -> None:
        with self._lock:
            self._profiles.clear()
            self._posts.clear()

    def look(self, page: Page, count: int) -> Look:
        """The `count` newest posts that can be seen now; none of a page that is not normal."""
        with self._lock:
            now = now_ms()
            profile = self._known(page, now)
            there = self._shown(profile, now) if profile.normal else []
            return Look(page, now, profile.script.kind, count, tuple(there[:count]))

    def tell(self, page: Page, said: dict[str, Any]) -> Profile:
        """A new page, or from now on another life of a known one. ValueError carries a sentence."""
        with self._lock:
            now, known = now_ms(), self._profiles.get(page)
            script = parse_script(said, known.script if known else None)
            if known is None:
                return self._begin(Profile(page, script, self._seed, now), now)
            self._advance(known, now)
            known.change(script, now)
            return known

    def publish(self, page: Page, count: int) -> list[Published]:
        with self._lock:
            now = now_ms()
            profile = self._known(page, now)
            made = [profile.publish(now) for _ in range(count)]
            self._register(profile, made)
            return made

    def switch(self, post: Post, visible: bool) -> bool:
        """Removes or restores a post at once; False when no known page has it."""
        with self._lock:
            if post not in self._posts:
                return False
            now = now_ms()
            profile, published = self._posts[post]
            self._advance(profile, now)
            published.show(now) if visible else published.hide(now)
            return True

    def hidden(self, post: Post) -> bool:
        """Whether its page keeps `post` from being seen now. Posts of no known page can always be seen."""
        with self._lock:
            if post not in self._posts:
                return False
            profile, published = self._posts[post]
            self._advance(profile, now_ms())
            return not (profile.normal and published.visible)

    def published(self, post: Post) -> Published | None:
        with self._lock:
            return self._posts[post][1] if post in self._posts else None

    def report(self, pages: Iterable[Page] | None, at_ms: int | None) -> list[dict[str, Any]]:
        """The truth about `pages`, or about all known ones, with the counters of a moment (default now)."""
        with self._lock:
            now = now_ms()
            for page in list(self._profiles) if pages is None else pages:
                self._known(page, now)
            wanted = self._profiles if pages is None else pages
            return [_report_profile(self._profiles[page], now if at_ms is None else at_ms) for page in wanted]

    def _known(self, page: Page, now: int) -> Profile:
        profile = self._profiles.get(page)
        if profile is None:
            return self._begin(Profile(page, made_up(page, self._seed), self._seed, BIRTH_MS), now)
        self._advance(profile, now)
        return profile

    def _begin(self, profile: Profile, now: int) -> Profile:
        self._profiles[profile.page] = profile
        self._register(profile, profile.posts)
        self._advance(profile, now)
        return profile

    def _advance(self, profile: Profile, now: int) -> None:
        before = len(profile.posts)
        profile.advance(now)
        self._register(profile, profile.posts[before:])

    def _register(self, profile: Profile, made: Iterable[Published]) -> None:
        for published in made:
            self._posts[published.post] = (profile, published)

    def _shown(self, profile: Profile, now: int) -> list[Published]:
        """Newest first. A hashtag shows its own posts and those of profiles that carry it."""
        there = [published for published in profile.posts if published.visible]
        if profile.page.what == HASHTAG:
            for other in self._profiles.values():
                if other.normal and other.page.what == PROFILE and other.page.platform == profile.page.platform:
                    self._advance(other, now)
                    there += [one for one in other.posts if one.visible and profile.page.name in one.tags]
            there.sort(key=lambda published: published.published_ms)
        return there[::-1]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def stray(post: Post, url: str, created_ms: int) -> Published:
    """A post of no known page: as if it had been published the day before its video was made."""
    return Published(post, url, "example_shop", created_ms - _DAY_MS, 0.05, ("example", "tour"))


def _report_profile(profile: Profile, at_ms: int) -> dict[str, Any]:
    return {
        "url": profile.page.url,
        "platform": profile.page.platform,
        "what": profile.page.what,
        "since_ms": profile.since_ms,
        "script": dataclasses.asdict(profile.script),
        "kinds": [{"from_ms": from_ms, "kind": kind} for from_ms, kind in profile.kinds],
        "posts": [report_post(published, at_ms, profile.normal) for published in reversed(profile.posts)],
    }


def report_post(published: Published, at_ms: int, normal: bool = True) -> dict[str, Any]:
    return {
        "post_id": published.post.post_id,
        "url": published.url,
        "author": published.author,
        "published_ms": published.published_ms,
        "tags": list(published.tags),
        "visible": normal and published.visible,
        "shown": [{"from_ms": from_ms, "until_ms": until_ms} for from_ms, until_ms in published.shown],
        "counters": counters(published, at_ms),
    }
