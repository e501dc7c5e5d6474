"""Which items a command is about: the filters that ``items`` and ``retry`` share."""

from collections.abc import Iterable, Sequence
from enum import StrEnum

from ingest import queries
from ingest.cli.saying import fail
from ingest.database import Database
from ingest.queries import Selection
from ingest.sources.files import printable
from ingest.sources.found import Kind
from ingest.statuses import Stage, Status


def selection(
    database: Database,
    *,
    job: int | None = None,
    status: Sequence[str] | None = None,
    error_code: Sequence[str] | None = None,
    stage: Sequence[str] | None = None,
    kind: Sequence[str] | None = None,
) -> Selection:
    """The filters as given on the command line; exit 2 where one names something that does not exist."""
    chosen = Selection(
        job,
        _known(Status, "status", [name.upper() for name in status or ()]),
        tuple(printable(code) for code in error_code or ()),
        _known(Stage, "stage", [name.lower() for name in stage or ()]),
        _known(Kind, "kind", [name.lower() for name in kind or ()]),
    )
    if job is not None:
        with database.read() as session:
            if queries.job(session, job) is None:
                fail(f"There is no job {job}; `ingest status` lists the jobs")
    return chosen


_PLURALS = {"status": "statuses"}


def _known(words: type[StrEnum], what: str, given: Iterable[str]) -> tuple[str, ...]:
    names = tuple(given)
    for name in names:
        if name not in [*words]:
            fail(f"'{name}' is no {what}; the {_PLURALS.get(what, what + 's')} are {', '.join(words)}")
    return names


def known_items(database: Database, named: Sequence[int]) -> list[int]:
    """The named items in order, each once; exit 2 when one does not exist."""
    wanted = sorted(set(named))
    with database.read() as session:
        unknown = sorted(set(wanted) - set(queries.item_ids(session, Selection(), wanted))) if wanted else []
    if unknown:
        fail(f"There is no item {', '.join(map(str, unknown[:10]))}; `ingest items` lists the items")
    return wanted
