"""One visit of the doctor: checks in order, each bounded in time, each a sentence; none changes anything."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import parse_qsl, unquote, urlsplit

from redis import Redis

from ingest.database import Database
from ingest.models import Worker
from ingest.settings import Settings


class State(StrEnum):
    OK = "ok"
    WARN = "warn"
    #: An import cannot work until this is put right.
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    state: State
    detail: str


@dataclass(frozen=True, slots=True)
class Result:
    check: str
    state: State
    detail: str


class NotChecked(Exception):
    """Why this check makes no sense now, as the end of "not checked: "."""


def ok(detail: str) -> Finding:
    return Finding(State.OK, detail)


def warn(detail: str) -> Finding:
    return Finding(State.WARN, detail)


def fail(detail: str) -> Finding:
    return Finding(State.FAIL, detail)


def together(findings: Iterable[Finding]) -> Finding:
    """One of many: the worst state; where something is wrong, only that is told, the worst first."""
    order = [State.FAIL, State.WARN, State.OK]
    found = sorted(findings, key=lambda one: order.index(one.state))
    if not found:
        raise NotChecked("there is nothing to look at")
    worst = found[0].state
    told = [one.detail for one in found if worst is State.OK or one.state is not State.OK]
    return Finding(worst, "; ".join(told))


@dataclass(slots=True)
class Visit:
    """What the checks have learned so far; a later one asks here for what an earlier one found."""

    #: None: the configuration cannot be read at all.
    settings: Settings | None = None
    #: Variables with a wrong value: nobody may look at their defaults instead.
    wrong: frozenset[str] = frozenset()
    #: Open, and of this program's schema.
    database: Database | None = None
    #: There is nothing in it yet.
    fresh: bool = False
    #: It answers.
    redis: Redis | None = None
    #: Workers that live, as far as the database says.
    workers: Sequence[Worker] = ()
    #: A service runs on this state; None: nobody could tell.
    runs: bool | None = None
    #: Seconds that other clocks are ahead of ours, by their owner.
    clocks: dict[str, float] = field(default_factory=dict)

    def configured(self, *variables: str) -> Settings:
        """The settings, for a check that depends on these variables."""
        if self.settings is None:
            raise NotChecked("the configuration cannot be read")
        if mistakes := sorted(self.wrong & set(variables)):
            raise NotChecked(f"{' and '.join(mistakes)} must be put right first")
        return self.settings

    def opened(self) -> Database:
        """The database, for a check that reads rows."""
        if self.database is None:
            raise NotChecked("there is no database to look into")
        return self.database

    def close(self) -> None:
        if self.database is not None:
            self.database.dispose()
        if self.redis is not None:
            self.redis.close()

    def secrets(self) -> list[str]:
        """What no line may show: keys, the secret, passwords in addresses."""
        if self.settings is None:
            return []
        known = self.settings
        found = [one.get_secret_value() for one in (known.api_key, known.caption_api_key, known.secret)]
        for url in (known.redis_url, known.database_url):
            written = url.partition("://")[2].rpartition("@")[0].partition(":")[2]
            found += [written, unquote(written)]
            found += [value for _, value in parse_qsl(url.partition("?")[2])]
        return [secret for secret in found if len(secret) > 3]


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    look: Callable[[Visit], Finding]
    #: It is given up after so long.
    seconds: float = 12.0


def examine(checks: Iterable[Check], visit: Visit) -> Iterator[Result]:
    """Each check's result as soon as it is there."""
    try:
        for check in checks:
            finding = _bounded(check, visit)
            detail = " ".join(finding.detail.split())
            for secret in visit.secrets():
                detail = detail.replace(secret, "[secret]")
            yield Result(check.name, finding.state, detail)
    finally:
        visit.close()


def _bounded(check: Check, visit: Visit) -> Finding:
    # A thread, because not everything that can hang takes a time-out: a name server, a dead network disk.
    found: list[Finding] = []

    def look() -> None:
        try:
            found.append(check.look(visit))
        except NotChecked as reason:
            found.append(warn(f"not checked: {reason}"))
        except Exception as error:  # noqa: BLE001  (one check that breaks must not hide what the others see)
            found.append(fail(f"this could not be found out ({type(error).__name__}: {error})"))

    thread = threading.Thread(target=look, name=f"check {check.name}", daemon=True)
    thread.start()
    thread.join(check.seconds)
    if not found:
        return fail(
            f"no answer within {check.seconds:.0f} s; something hangs here: a name server, a disk, or the network"
        )
    return found[0]


def is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host == "localhost" or host.endswith(".localhost") or host == "::1" or host.startswith("127.")
