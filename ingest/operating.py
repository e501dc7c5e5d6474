"""What a person does with jobs, items and lanes, whichever door they come through: try again, cancel, pause, resume, replay.

What cannot be meant raises ``BadRequest`` before anything is changed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ingest import pauses, queries, store
from ingest.choosing import BadRequest, NotThere, check_callback_states, check_job, known_items
from ingest.database import Database
from ingest.durations import parse_duration
from ingest.models import Item, Pause
from ingest.queries import Selection
from ingest.retrying import Action
from ingest.settings import Settings
from ingest.sources.files import printable, visible
from ingest.statuses import OPEN, Status
from ingest.store import Retried

# Retry

#: What a person may have tried again by a filter; anything else only has a reason not to be.
_TRIED_AGAIN = (Status.FAIL, Status.CANCELLED)
_NO_CHOICE = (
    "Say what to try again: items by number, or a filter: --job N, --status FAIL or CANCELLED, --error-code CODE, --stage STAGE. "
    "`ingest items --status FAIL` lists what failed"
)


def retry(
    database: Database, named: Sequence[int], filters: Selection, *, resend: bool = False, dry_run: bool = False
) -> Iterator[Retried]:
    """What is done with each item that is named or meant, told after its commit; named ones that the filters leave out are told about too.

    Items that a filter means have failed, unless it says otherwise; without a filter, named ones are taken as they are.
    """
    if not named and filters == Selection():
        raise BadRequest(_NO_CHOICE)
    for status in filters.statuses:
        if status not in _TRIED_AGAIN:
            raise BadRequest(f"What is {status} cannot be tried again; --status takes FAIL and CANCELLED")
    wanted = known_items(database, named)
    if filters != Selection() and not filters.statuses:
        filters = replace(filters, statuses=(Status.FAIL,))
    with database.read() as session:
        chosen = queries.item_ids(session, filters, wanted)
    return _with_left_out(database, wanted, chosen, store.retry(database, chosen, resend=resend, dry_run=dry_run))


def _with_left_out(
    database: Database, wanted: Sequence[int], chosen: Sequence[int], retried: Iterator[Retried]
) -> Iterator[Retried]:
    left_out = sorted(set(wanted) - set(chosen))
    with database.read() as session:
        items = queries.items_by_id(session, left_out)
    for item in items:
        yield Retried(item, Action.PASSED_OVER, f"the filter does not mean it: {where(item)}")
    yield from retried


def retried_row(one: Retried) -> dict[str, Any]:
    item = one.item
    return {
        "id": item.id,
        "source": item.source,
        "was": item.status,
        "stage": item.stage,
        "error_code": item.error_code,
        "error": item.error,
        "action": one.action.value,
        "why": one.why,
    }


def where(item: Item) -> str:
    """``FAIL preflight empty: The file is empty.``"""
    place = " ".join(filter(None, [item.status, item.stage, item.error_code]))
    return f"{place}: {item.error}" if item.error and item.status == Status.FAIL else place


# Cancel

_TOO_LATE = {
    Status.SENDING: "it is being sent",
    Status.UNSURE: "it may have arrived, which is being found out",
    Status.UNPARSE: "Memories.ai has it already",
}


def cancel_job(database: Database, job: int) -> dict[str, Any]:
    """Stop what of a job is not sent yet, and count what goes on."""
    check_job(database, job)
    stopped = store.cancel_job(database, job)
    with database.read() as session:
        left = sum(queries.counts(session, job)[status] for status in OPEN)
    return {"job": job, "cancelled": stopped, "going_on": left}


def cancel_items(database: Database, named: Sequence[int]) -> Iterator[dict[str, Any]]:
    """A row for each; those that do not wait stay as they are, and ``why`` says so."""
    return map(_cancelled_row, store.cancel_items(database, known_items(database, named)))


def _cancelled_row(outcome: tuple[int, Status, bool]) -> dict[str, Any]:
    number, status, stopped = outcome
    why = None if stopped else _TOO_LATE.get(status, "it has ended already") + f" ({status})"
    return {"id": number, "status": status, "cancelled": stopped, "why": why}


# Pause and resume

#: A longer pause is one without an end, seconds.
_LONGEST_PAUSE = 10 * 365 * 86400.0


@dataclass(frozen=True, slots=True)
class Paused:
    pause: Pause
    #: It was paused by a person before, and is now as this one says.
    again: bool


def pause(database: Database, scope: str, reason: str = "", seconds: float | None = None) -> Paused:
    """``scope`` as ``scope_of`` gives it, ``seconds`` as ``pause_length``; without, until somebody resumes it."""
    with database.write() as session:
        again = pauses.by_operator(session, scope, _one_line(reason), seconds)
        return Paused(session.get_one(Pause, (scope, store.OPERATOR)), again)


def resume(settings: Settings, database: Database, scope: str) -> pauses.Resumed:
    """After it ``adding.wake`` sets things going, where something ended."""
    with database.write() as session:
        return pauses.resume(session, settings, scope)


def goes_on(scope: str, resumed: pauses.Resumed) -> bool:
    """A job that is resumed is done with, even where something wider holds it back; a lane that stays shut is not."""
    return resumed.ended and (resumed.still is None or pauses.job_of(scope) is not None)


def scope_of(settings: Settings, database: Database, text: str) -> str:
    """The scope that a person's word names; a job must exist."""
    try:
        scope = pauses.scope_named(settings, text)
    except ValueError as error:
        raise BadRequest(str(error)) from None
    job = pauses.job_of(scope)
    if job is not None:
        check_job(database, job)
    return scope


def pause_length(text: str) -> float:
    """Seconds of ``30m`` or ``8h``."""
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise BadRequest(str(error)) from None
    if not 0 < seconds <= _LONGEST_PAUSE:
        raise BadRequest(
            f"'{text}' is no length of a pause; write for example 30m or 8h, or leave --for out to pause until resumed"
        )
    return seconds


def _one_line(text: str) -> str:
    return visible(" ".join(printable(text).split()))


# Callbacks


def replay_callbacks(database: Database, named: Sequence[int], states: Sequence[str]) -> int:
    """Have those that are named, or else all of these states, applied once more; how many. A hint twice does no harm."""
    check_callback_states(states)
    with database.read() as session:
        ids = queries.callback_ids(session, named=named, states=states)
    unknown = sorted(set(named) - set(ids))
    if unknown:
        raise NotThere(f"There is no callback {', '.join(map(str, unknown[:10]))}; `ingest callbacks list` lists them")
    return store.replay_callbacks(database, ids)
