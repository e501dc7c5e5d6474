"""What every part of the console shares."""

from dataclasses import dataclass, field
from typing import Any

from sqlmodel import Session

from console.feed import Brief, Watcher
from console.guard import Guard
from ingest import broker, queries
from ingest.clock import iso, now_ms
from ingest.database import Database
from ingest.outlook import lane_rows, peek_all
from ingest.quota import Quota, QuotaUnavailable, connect
from ingest.settings import Settings

#: What a look at all lanes gave is good for so long, seconds: it counts the whole backlog.
_LANES_GOOD = 5.0


@dataclass
class Doors:
    settings: Settings
    database: Database
    guard: Guard = field(init=False)
    watcher: Watcher = field(init=False)
    lanes: Brief[tuple[str | None, list[dict[str, Any]]]] = field(init=False)

    def __post_init__(self) -> None:
        self.guard = Guard(self.database)
        self.watcher = Watcher(self.database)
        self.lanes = Brief(_LANES_GOOD)
        self.redis = connect(broker.redis_url(self.settings))
        self.quota = Quota(self.redis, self.settings.limits)

    def state(self, job: int | None = None) -> tuple[Any, ...]:
        """Stands for everything that an answer about items shows: their version, and what is paused."""
        with self.database.read() as session:
            return (queries.version(session, job), _standing(session))

    def lanes_now(self) -> tuple[tuple[Any, ...], str | None, list[dict[str, Any]]]:
        """What stands for them, when it was looked, and the lanes. What a person has paused or resumed shows at once."""
        with self.database.read() as session:
            standing = _standing(session)
        as_of, rows = self.lanes.get(str(standing), self.lane_rows)
        return (as_of, standing), as_of, rows

    def lane_rows(self) -> tuple[str | None, list[dict[str, Any]]]:
        """When it was looked, and each lane at a glance; what Redis would say is null where it does not answer."""
        try:
            seen = peek_all(self.settings, self.quota)
        except QuotaUnavailable:
            seen = {}
        with self.database.read() as session:
            return iso(now_ms()), lane_rows(session, self.settings, seen)


def _standing(session: Session) -> list[tuple[Any, ...]]:
    return [(*queries.pause_row(one).values(), one.fingerprint) for one in queries.pauses(session)]
