"""Two hundred dashboards in one process: some follow the console's changes, some ask for its totals each second. For ``pollers``."""

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import httpx

from tests.follower import CHANGES, Follower

STATS = "/api/v1/stats"
#: Seconds that a follower waits for a change, and between two questions for the totals.
_WAIT, _EVERY = 25.0, 1.0
#: After the import the followers may take so long to know of its last change, seconds.
_PATIENCE = 15.0


@dataclass
class Polled:
    """What the pollers met."""

    changes_asked: int = 0
    stats_asked: int = 0
    #: Of the answers for totals, how many said that nothing has changed.
    known: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    #: Seconds from question to answer.
    stats_took: list[float] = field(default_factory=list)
    #: Of each follower: (item, when it heard of a change of it, ms), in order.
    heard: list[list[tuple[int, float]]] = field(default_factory=list)
    #: How many followers ended with what the rows show.
    agree: int = 0
    #: This process's own share of a core.
    cpu: float = 0.0


def poll(url: str, token: str, followers: int, askers: int, pipe: Connection) -> None:
    """Poll until the rows of the database come through the pipe; then send what was met.

    Sends a word first, when every follower has its place in the feed.
    """
    asyncio.run(_poll(url, token, followers, askers, pipe))


async def _poll(url: str, token: str, followers: int, askers: int, pipe: Connection) -> None:
    polled = Polled()
    async with AsyncExitStack() as stack:
        # A client each: one pool looks through all its connections for each request, which would measure the pollers.
        clients = [await stack.enter_async_context(_client(url, token)) for _ in range(followers + askers)]
        following = [Follower() for _ in range(followers)]
        polled.heard = [[] for _ in following]
        for client, one in zip(clients, following, strict=False):
            one.take((await client.get(CHANGES)).json())
        began, used = time.monotonic(), time.process_time()
        tasks = [
            asyncio.create_task(_follow(client, one, heard, polled))
            for client, one, heard in zip(clients, following, polled.heard, strict=False)
        ]
        tasks += [
            asyncio.create_task(_ask(client, number * _EVERY / askers, polled))
            for number, client in enumerate(clients[followers:])
        ]
        pipe.send("ready")
        rows = await asyncio.to_thread(pipe.recv)
        until = time.monotonic() + _PATIENCE
        while any(one.items != rows for one in following) and time.monotonic() < until:
            await asyncio.sleep(0.1)
        polled.agree = sum(one.items == rows for one in following)
        polled.cpu = (time.process_time() - used) / (time.monotonic() - began)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    pipe.send(polled)


def _client(url: str, token: str) -> httpx.AsyncClient:
    said = {"Authorization": f"Bearer {token}"}
    return httpx.AsyncClient(base_url=url, headers=said, timeout=_WAIT + 20, trust_env=False, verify=False)


async def _follow(client: httpx.AsyncClient, one: Follower, heard: list[tuple[int, float]], polled: Polled) -> None:
    while True:
        polled.changes_asked += 1
        page = await _answer(client, polled, CHANGES, params=one.question(_WAIT))
        if page is None:
            await asyncio.sleep(1)
            continue
        now = time.time() * 1000
        heard += [(change["item"]["id"], now) for change in one.take(page.json())]


async def _ask(client: httpx.AsyncClient, begin: float, polled: Polled) -> None:
    tag, due = "", time.monotonic() + begin
    while True:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        polled.stats_asked += 1
        asked = time.monotonic()
        answer = await _answer(client, polled, STATS, headers={"If-None-Match": tag} if tag else {})
        polled.stats_took.append(time.monotonic() - asked)
        if answer is not None:
            tag = answer.headers["ETag"]
            polled.known += answer.status_code == 304
        due += _EVERY


async def _answer(client: httpx.AsyncClient, polled: Polled, path: str, **said: Any) -> httpx.Response | None:
    try:
        answer = await client.get(path, **said)
    except httpx.HTTPError as error:
        polled.errors[f"{path}: {type(error).__name__}"] += 1
        return None
    if answer.status_code not in (200, 304):
        polled.errors[f"{path}: {answer.status_code}"] += 1
        return None
    return answer
