"""Which items a person means: the filters that commands and the operator's API share."""

from collections.abc import Iterable, Sequence

from ingest import queries
from ingest.database import Database
from ingest.lanes import Lane
from ingest.models import CALLBACK_STATES
from ingest.queries import Selection
from ingest.sources import posts
from ingest.sources.files import printable
from ingest.sources.found import Kind
from ingest.statuses import Stage, Status


class BadRequest(Exception):
    """What a person asked for cannot be meant: one sentence that says why. Nothing was changed."""


class NotThere(BadRequest):
    """It names a job, an item or a callback that does not exist."""


def selection(
    database: Database,
    *,
    job: int | None = None,
    status: Sequence[str] | None = None,
    error_code: Sequence[str] | None = None,
    stage: Sequence[str] | None = None,
    kind: Sequence[str] | None = None,
    platform: Sequence[str] | None = None,
    lane: Sequence[str] | None = None,
    namespace: Sequence[str] | None = None,
) -> Selection:
    """The filters in a person's words; BadRequest where one names something that does not exist."""
    chosen = Selection(
        job,
        _known(Status, "status", [name.upper() for name in status or ()]),
        tuple(printable(code) for code in error_code or ()),
        _known(Stage, "stage", [name.lower() for name in stage or ()]),
        _known(Kind, "kind", [name.lower() for name in kind or ()]),
        _known(posts.PLATFORMS, "platform", [name.lower() for name in platform or ()]),
        _known(Lane, "lane", [name.lower() for name in lane or ()]),
        tuple(printable(name) for name in namespace or ()),
    )
    if job is not None:
        check_job(database, job)
    return chosen


_PLURALS = {"status": "statuses"}


def _known(words: Iterable[str], what: str, given: Iterable[str]) -> tuple[str, ...]:
    names, right = tuple(given), [*words]
    for name in names:
        if name not in right:
            raise BadRequest(f"'{name}' is no {what}; the {_PLURALS.get(what, what + 's')} are {', '.join(right)}")
    return names


def check_job(database: Database, job: int) -> None:
    with database.read() as session:
        if queries.job(session, job) is None:
            raise NotThere(f"There is no job {job}; `ingest status` lists the jobs")


def check_callback_states(states: Iterable[str]) -> None:
    for state in states:
        if state not in CALLBACK_STATES:
            raise BadRequest(f"'{state}' is no state of a callback; the states are {', '.join(CALLBACK_STATES)}")


def known_items(database: Database, named: Sequence[int]) -> list[int]:
    """The named items in order, each once."""
    wanted = sorted(set(named))
    with database.read() as session:
        unknown = sorted(set(wanted) - set(queries.item_ids(session, Selection(), wanted))) if wanted else []
    if unknown:
        raise NotThere(f"There is no item {', '.join(map(str, unknown[:10]))}; `ingest items` lists the items")
    return wanted
