"""What ``ingest retry``, ``cancel --item``, ``pause`` and ``resume`` do. Each returns its exit code."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from ingest import pauses, queries, store
from ingest.adding import wake
from ingest.cli.choosing import known_items
from ingest.cli.saying import fail, say
from ingest.cli.show import plain, say_time
from ingest.clock import iso
from ingest.database import Database
from ingest.durations import parse_duration
from ingest.models import Pause
from ingest.queries import Selection
from ingest.retrying import Action
from ingest.settings import Settings
from ingest.sources.files import printable
from ingest.statuses import Status
from ingest.store import Retried

# Retry

_RETRIED = {
    Action.QUEUED: ("queued again", "would be queued again"),
    Action.ASKED: ("asked about again", "would be asked about again"),
    Action.PASSED_OVER: ("passed over", "would be passed over"),
}
_NO_CHOICE = (
    "Say what to try again: items by number, or a filter: --job N, --status FAIL or CANCELLED, --error-code CODE, --stage STAGE. "
    "`ingest items --status FAIL` lists what failed"
)
#: What a person may have tried again by a filter; anything else only has a reason not to be.
_TRIED_AGAIN = (Status.FAIL, Status.CANCELLED)


def retry(
    settings: Settings,
    database: Database,
    named: Sequence[int],
    filters: Selection,
    *,
    resend: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    if not named and filters == Selection():
        fail(_NO_CHOICE)
    for status in filters.statuses:
        if status not in _TRIED_AGAIN:
            fail(f"What is {status} cannot be tried again; --status takes FAIL and CANCELLED")
    wanted = known_items(database, named)
    chosen = _choose(database, wanted, filters)
    outcomes = _with_left_out(database, wanted, chosen, store.retry(database, chosen, resend=resend, dry_run=dry_run))
    counts, deaf = Counter[Action](), None
    # A reader that goes away (`| head`), or a full disk under stdout, must not leave the rest untried.
    for one in outcomes:
        counts[one.action] += 1
        try:
            if deaf is None:
                print(json.dumps(_retried_row(one)) if as_json else _retried_line(one, dry_run))
        except OSError as error:
            deaf = error
    _sum_up(settings, database, counts, dry_run)
    if deaf is not None:
        raise deaf
    moved = counts[Action.QUEUED] + counts[Action.ASKED]
    return 1 if not moved or (wanted and counts[Action.PASSED_OVER]) else 0


def _choose(database: Database, wanted: Sequence[int], filters: Selection) -> list[int]:
    """Items that a filter means have failed, unless it says otherwise; named ones are taken as they are."""
    if filters != Selection() and not filters.statuses:
        filters = Selection(filters.job_id, (Status.FAIL,), filters.error_codes, filters.stages, filters.kinds)
    with database.read() as session:
        return queries.item_ids(session, filters, wanted)


def _with_left_out(
    database: Database, wanted: Sequence[int], chosen: Sequence[int], retried: Iterator[Retried]
) -> Iterator[Retried]:
    """Named items that the filters do not mean are told about as well."""
    left_out = sorted(set(wanted) - set(chosen))
    with database.read() as session:
        items = queries.items_by_id(session, left_out)
    for item in items:
        yield Retried(item, Action.PASSED_OVER, f"the filter does not mean it: {_where(item)}")
    yield from retried


def _retried_row(one: Retried) -> dict[str, Any]:
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


def _retried_line(one: Retried, dry_run: bool) -> str:
    """``item 3 queued again: /videos/a.mp4 (was FAIL upstream not_indexed: ...)``"""
    item = one.item
    said = f"item {item.id} {_RETRIED[one.action][dry_run]}: "
    if one.action is Action.PASSED_OVER:
        return str(plain(f"{said}{one.why}: {item.source}"))
    more = f"; {one.why}" if one.why else ""
    return str(plain(f"{said}{item.source} (was {_where(item)}){more}"))


def _where(item: Any) -> str:
    place = " ".join(filter(None, [item.status, item.stage, item.error_code]))
    return f"{place}: {item.error}" if item.error and item.status == Status.FAIL else place


def _sum_up(settings: Settings, database: Database, counts: Counter[Action], dry_run: bool) -> None:
    if not counts:
        say(
            "No item is like that, so nothing was tried again (a filter means what is FAIL, unless --status says otherwise)"
        )
        return
    parts = [f"{counts[action]} {_RETRIED[action][dry_run]}" for action in Action if counts[action]]
    say(", ".join(parts) + ("; nothing was changed" if dry_run else ""))
    if not dry_run and counts[Action.QUEUED] + counts[Action.ASKED]:
        _set_going(settings, database)


def _set_going(settings: Settings, database: Database) -> None:
    """Without a service nothing moves, and a person should know."""
    if not wake(settings, database):
        say("No service runs, so nothing moves; start it with: ingest up")


# Cancel

_TOO_LATE = {
    Status.SENDING: "it is being sent",
    Status.UNSURE: "it may have arrived, which is being found out",
    Status.UNPARSE: "Memories.ai has it already",
}


def cancel_items(database: Database, named: Sequence[int], *, as_json: bool) -> int:
    """Items alone; those that do not wait stay as they are and are named."""
    wanted = known_items(database, named)
    refused = 0
    for number, status, stopped in store.cancel_items(database, wanted):
        why = None if stopped else _TOO_LATE.get(status, "it has ended already") + f" ({status})"
        refused += not stopped
        if as_json:
            print(json.dumps({"id": number, "status": status, "cancelled": stopped, "why": why}))
        elif stopped:
            print(f"item {number} cancelled")
        else:
            say(f"item {number} was not cancelled: {why}")
    return 1 if refused else 0


# Pause and resume

#: A longer pause is one without an end, seconds.
_LONGEST_PAUSE = 10 * 365 * 86400.0


def pause(
    settings: Settings, database: Database, scope_text: str, reason: str, for_text: str | None, *, as_json: bool
) -> int:
    scope = _scope(settings, database, scope_text)
    seconds = None if for_text is None else _pause_length(for_text)
    with database.write() as session:
        again = pauses.by_operator(session, scope, _one_line(reason), seconds)
        row = session.get_one(Pause, (scope, store.OPERATOR))
    if as_json:
        print(json.dumps(_pause_row(row) | {"was_paused": again}))
    else:
        end = f"until {_clock(row.until)}" if row.until else "until it is resumed"
        before = "was paused already; now it is" if again else "is"
        print(f"{pauses.say_scope(scope)} {before} {row.reason}; {end} (ingest resume {_as_typed(scope)})")
    return 0


def resume(settings: Settings, database: Database, scope_text: str, *, as_json: bool) -> int:
    scope = _scope(settings, database, scope_text)
    with database.write() as session:
        resumed = pauses.resume(session, settings, scope)
    if as_json:
        still = resumed.still and _pause_row(resumed.still)
        print(json.dumps({"scope": scope, "resumed": resumed.ended, "paused": still}))
    elif resumed.ended:
        print(f"{pauses.say_scope(scope)} is resumed")
    if not resumed.ended and resumed.still is None:
        say(f"Nothing was paused: {pauses.say_scope(scope)} is open")
        return 1
    if resumed.still is not None:
        say(_still(scope, resumed.still))
    if resumed.ended:
        _set_going(settings, database)
    # A job that is resumed is done with, even where something wider holds it back; a lane that stays shut is not.
    return 0 if resumed.ended and (resumed.still is None or pauses.job_of(scope) is not None) else 1


def _still(scope: str, pause: Pause) -> str:
    end = f" until {_clock(pause.until)}" if pause.until else ""
    said = f"{pauses.say_scope(scope)} does not go on"
    if pause.scope != scope:
        return f"{said}: {pauses.say_scope(pause.scope)} is paused{end} ({pause.reason}); first: ingest resume {_as_typed(pause.scope)}"
    return f"{said}{end}, and then by itself: {pause.reason}"


def _scope(settings: Settings, database: Database, text: str) -> str:
    try:
        scope = pauses.scope_named(settings, text)
    except ValueError as error:
        fail(str(error))
    job = pauses.job_of(scope)
    if job is not None:
        with database.read() as session:
            if queries.job(session, job) is None:
                fail(f"There is no job {job}; `ingest status` lists the jobs")
    return scope


def _pause_length(text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        fail(str(error))
    if not 0 < seconds <= _LONGEST_PAUSE:
        fail(
            f"'{text}' is no length of a pause; write for example 30m or 8h, or leave --for out to pause until resumed"
        )
    return seconds


def _one_line(text: str) -> str:
    return str(plain(" ".join(printable(text).split())))


def _pause_row(row: Pause) -> dict[str, Any]:
    return {
        "scope": row.scope,
        "by": row.by,
        "reason": row.reason,
        "since": iso(row.since),
        "until": iso(row.until),
    }


def _as_typed(scope: str) -> str:
    """What ``resume`` takes: a bare lane or job."""
    return scope if scope.startswith("account") else scope.partition(":")[2]


def _clock(ms: int | None) -> str:
    return say_time(datetime.fromtimestamp((ms or 0) / 1000, UTC))
