"""Somebody who follows the console's feed of changes, as a dashboard would, and keeps of each item the last that was told."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from ingest import queries
from ingest.database import Database
from tests.service import Service, eventually

CHANGES = "/api/v1/changes"


class Follower:
    """What a follower knows and would ask next. Who carries its questions is another's matter: it began before the first add."""

    def __init__(self, limit: int = 200) -> None:
        self.items: dict[int, dict[str, Any]] = {}
        self.told = 0
        self._limit = limit
        self._next: str | None = None

    def question(self, wait: float) -> dict[str, Any]:
        return {} if self._next is None else {"after": self._next, "wait": wait, "limit": self._limit}

    def take(self, page: dict[str, Any]) -> list[dict[str, Any]]:
        """Keep what a page tells; its changes."""
        for change in page["changes"]:
            self.items[change["item"]["id"]] = change["item"]
        self.told += len(page["changes"])
        self._next = page["next"]
        return page["changes"]


class Following:
    """A follower that asks all by itself, over HTTP, until it is told to stop. No answer, or a 503: it asks again from where it is."""

    #: Short, so that it can be stopped; a wait that is not the longest shows nothing else.
    _WAIT = 3.0

    def __init__(self, service: Service, token: str) -> None:
        self.follower = Follower()
        self.complaints: list[str] = []
        self.asked_again = 0
        self._service = service
        self._client = httpx.Client(
            base_url=f"http://127.0.0.1:{service.console_port}",
            headers={"Authorization": f"Bearer {token}"},
            timeout=20,
            trust_env=False,
        )
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def begin(self) -> None:
        """Returns when it has its place in the feed: what is added from now on is told to it."""
        self._ask()
        self._thread.start()

    def end(self) -> None:
        self._end.set()
        self._thread.join(60)
        self._client.close()

    def knows_all(self, seconds: float = 20) -> None:
        """Assert that it soon holds exactly what the rows of the database show, and met nothing but absence on the way."""
        try:
            eventually(self._agrees, seconds)
        except AssertionError:
            raise AssertionError(self._differences()) from None
        assert self.complaints == []

    def _agrees(self) -> bool:
        return self.follower.items == rows_of(self._service.database())

    def _differences(self) -> list[Any]:
        known, rows = dict(self.follower.items), rows_of(self._service.database())
        wrong = [number for number in known.keys() | rows.keys() if known.get(number) != rows.get(number)]
        return [*self.complaints, *((known.get(number), rows.get(number)) for number in sorted(wrong)[:5])]

    def _run(self) -> None:
        while not self._end.is_set():
            try:
                self._ask()
            except _Absent:
                self.asked_again += 1
                self._end.wait(0.3)
            except _Refused as error:
                self.complaints.append(str(error))
                return

    def _ask(self) -> None:
        try:
            answer = self._client.get(CHANGES, params=self.follower.question(self._WAIT))
        except httpx.TransportError as error:
            raise _Absent from error
        if answer.status_code == 503:
            raise _Absent
        if answer.status_code != 200:
            raise _Refused(f"{answer.status_code}: {answer.text}")
        self.follower.take(answer.json())


class _Absent(Exception):
    """The console was not there, or its database not."""


class _Refused(Exception):
    """An answer that no follower should get."""


@contextmanager
def following(service: Service) -> Iterator[Following]:
    one = Following(service, service.token("follower"))
    one.begin()
    try:
        yield one
    finally:
        one.end()


def rows_of(database: Database) -> dict[int, dict[str, Any]]:
    """All items, as the console shows them."""
    with database.read() as session:
        return {row["id"]: row for row in map(queries.item_row, queries.items(session))}
