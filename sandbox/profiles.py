"""The life of one made-up page: posts that come, go and return, each at its time, however seldom somebody looks."""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from sandbox.addresses import new_post
from sandbox.pages import HASHTAG, Page
from sandbox.posts import Post
from sandbox.scripts import DAY, NORMAL, Script

_AUTHORS = ("dock.nine", "mira.cooks", "slow_trains", "the.roof.garden", "okapi_daily", "left.hand.luthier")


@dataclass(slots=True, eq=False)
class Published:
    """A post of a page. `shown` are the times in ms from and until which it could be seen; until None: still."""

    post: Post
    url: str
    author: str
    published_ms: int
    pace: float  # views a second
    tags: tuple[str, ...]
    shown: list[tuple[int, int | None]] = field(default_factory=list)
    returns_ms: int | None = None  # when it is back by itself

    @property
    def visible(self) -> bool:
        return bool(self.shown) and self.shown[-1][1] is None

    def show(self, at_ms: int) -> None:
        self.returns_ms = None
        if not self.visible:
            self.shown.append((at_ms, None))

    def hide(self, at_ms: int) -> None:
        self.returns_ms = None
        if self.visible:
            self.shown[-1] = (self.shown[-1][0], at_ms)


class _Event(NamedTuple):
    at_ms: int
    order: int
    act: Callable[[int], None]
    of_script: bool  # ends with the script that planned it


class Profile:
    """A page and its posts, oldest first. `advance` brings about what was due until then."""

    def __init__(self, page: Page, script: Script, seed: int, since_ms: int) -> None:
        self.page = page
        self.script = script
        self.since_ms = since_ms
        self.kinds = [(since_ms, script.kind)]
        self.posts: list[Published] = []
        self._seed = seed
        self._fate = Random(f"{seed}:{page.url}:fate")  # which posts are lost
        self._order = itertools.count()
        self._events: list[_Event] = []
        for left in range(script.posts, 0, -1):
            self.publish(since_ms - _ms((left - Random(f"{seed}:{page.url}:{left}").uniform(0, 0.9)) * DAY))
        self._begin(since_ms)

    @property
    def normal(self) -> bool:
        return self.script.kind == NORMAL

    def advance(self, now_ms: int) -> None:
        while self._events and self._events[0].at_ms <= now_ms:
            event = heapq.heappop(self._events)
            event.act(event.at_ms)

    def change(self, script: Script, now_ms: int) -> None:
        """From now on; what was lost before returns as it would have, and what did not change keeps its beat."""
        before, self.script = self.script, script
        if script.kind != before.kind:
            self.kinds.append((now_ms, script.kind))
        if (script.grow_every, script.lose_every) == (before.grow_every, before.lose_every):
            return
        self._events = [event for event in self._events if not event.of_script]
        heapq.heapify(self._events)
        self._begin(now_ms)

    def publish(self, at_ms: int) -> Published:
        dice = Random(f"{self._seed}:{self.page.url}:{at_ms}:{len(self.posts)}")
        author = dice.choice(_AUTHORS) if self.page.what == HASHTAG else self.page.author
        own = (self.page.name,) if self.page.what == HASHTAG else ()
        post, url = new_post(self.page, author, at_ms, dice)
        pace = self.script.pace * dice.uniform(0.2, 1.8)
        made = Published(post, url, author, at_ms, pace, (*own, *self.script.tags))
        made.show(at_ms)
        self.posts.append(made)
        return made

    def _begin(self, at_ms: int) -> None:
        self._plan(self.script.grow_every, at_ms, self._grow)
        self._plan(self.script.lose_every, at_ms, self._lose)

    def _plan(self, seconds: float | None, at_ms: int, act: Callable[[int], None]) -> None:
        if seconds is not None:
            self._push(_Event(at_ms + _ms(seconds), next(self._order), act, of_script=True))

    def _push(self, event: _Event) -> None:
        heapq.heappush(self._events, event)

    def _grow(self, at_ms: int) -> None:
        self.publish(at_ms)
        self._plan(self.script.grow_every, at_ms, self._grow)

    def _lose(self, at_ms: int) -> None:
        if there := [published for published in self.posts if published.visible]:
            self._lose_one(self._fate.choice(there), at_ms)
        self._plan(self.script.lose_every, at_ms, self._lose)

    def _lose_one(self, lost: Published, at_ms: int) -> None:
        lost.hide(at_ms)
        if self.script.regain_after is not None:
            lost.returns_ms = back_ms = at_ms + _ms(self.script.regain_after)
            self._push(_Event(back_ms, next(self._order), lambda at: self._regain(lost, at), of_script=False))

    def _regain(self, lost: Published, at_ms: int) -> None:
        if lost.returns_ms == at_ms:  # else somebody has removed or restored it since
            lost.show(at_ms)


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
