"""How ``ingest retry``, ``cancel``, ``pause`` and ``resume`` tell what was done. Each returns its exit code."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from ingest import operating, pauses, queries
from ingest.adding import wake
from ingest.cli.saying import say
from ingest.cli.show import plain, say_time
from ingest.database import Database
from ingest.models import Pause
from ingest.queries import Selection
from ingest.retrying import Action
from ingest.settings import Settings
from ingest.store import Retried

_RETRIED = {
    Action.QUEUED: ("queued again", "would be queued again"),
    Action.ASKED: ("asked about again", "would be asked about again"),
    Action.PASSED_OVER: ("passed over", "would be passed over"),
}


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
    counts, deaf = Counter[Action](), None
    # A reader that goes away (`| head`), or a full disk under stdout, must not leave the rest untried.
    for one in operating.retry(database, named, filters, resend=resend, dry_run=dry_run):
        counts[one.action] += 1
        try:
            if deaf is None:
                print(json.dumps(operating.retried_row(one)) if as_json else _retried_line(one, dry_run))
        except OSError as error:
            deaf = error
    _sum_up(settings, database, counts, dry_run)
    if deaf is not None:
        raise deaf
    moved = counts[Action.QUEUED] + counts[Action.ASKED]
    return 1 if not moved or (named and counts[Action.PASSED_OVER]) else 0


def _retried_line(one: Retried, dry_run: bool) -> str:
    """``item 3 queued again: /videos/a.mp4 (was FAIL upstream not_indexed: ...)``"""
    item = one.item
    said = f"item {item.id} {_RETRIED[one.action][dry_run]}: "
    if one.action is Action.PASSED_OVER:
        return str(plain(f"{said}{one.why}: {item.source}"))
    more = f"; {one.why}" if one.why else ""
    return str(plain(f"{said}{item.source} (was {operating.where(item)}){more}"))


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


def cancel_job(database: Database, job: int, *, as_json: bool) -> None:
    row = operating.cancel_job(database, job)
    if as_json:
        print(json.dumps(row))
    else:
        print(f"job {job}: {row['cancelled']} items cancelled, {row['going_on']} already sent go on")


def cancel_items(database: Database, named: Sequence[int], *, as_json: bool) -> int:
    """Items alone; those that do not wait stay as they are and are named."""
    refused = 0
    for row in operating.cancel_items(database, named):
        refused += not row["cancelled"]
        if as_json:
            print(json.dumps(row))
        elif row["cancelled"]:
            print(f"item {row['id']} cancelled")
        else:
            say(f"item {row['id']} was not cancelled: {row['why']}")
    return 1 if refused else 0


def pause(
    settings: Settings, database: Database, scope_text: str, reason: str, for_text: str | None, *, as_json: bool
) -> int:
    scope = operating.scope_of(settings, database, scope_text)
    paused = operating.pause(database, scope, reason, None if for_text is None else operating.pause_length(for_text))
    row = paused.pause
    if as_json:
        print(json.dumps(queries.pause_row(row) | {"was_paused": paused.again}))
    else:
        end = f"until {_clock(row.until)}" if row.until else "until it is resumed"
        before = "was paused already; now it is" if paused.again else "is"
        print(f"{pauses.say_scope(scope)} {before} {row.reason}; {end} (ingest resume {_as_typed(scope)})")
    return 0


def resume(settings: Settings, database: Database, scope_text: str, *, as_json: bool) -> int:
    scope = operating.scope_of(settings, database, scope_text)
    resumed = operating.resume(settings, database, scope)
    if as_json:
        still = resumed.still and queries.pause_row(resumed.still)
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
    return 0 if operating.goes_on(scope, resumed) else 1


def _still(scope: str, pause: Pause) -> str:
    end = f" until {_clock(pause.until)}" if pause.until else ""
    said = f"{pauses.say_scope(scope)} does not go on"
    if pause.scope != scope:
        return f"{said}: {pauses.say_scope(pause.scope)} is paused{end} ({pause.reason}); first: ingest resume {_as_typed(pause.scope)}"
    return f"{said}{end}, and then by itself: {pause.reason}"


def _as_typed(scope: str) -> str:
    """What ``resume`` takes: a bare lane or job."""
    return scope if scope.startswith("account") else scope.partition(":")[2]


def _clock(ms: int | None) -> str:
    return say_time(datetime.fromtimestamp((ms or 0) / 1000, UTC))
