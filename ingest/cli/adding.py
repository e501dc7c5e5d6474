"""What ``ingest add`` and ``ingest caption`` do: check every source, have the job written, tell what it holds."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

import typer

from ingest import queries
from ingest.adding import Wanted, add_items, service_runs
from ingest.cli.saying import fail, say
from ingest.database import open_database
from ingest.settings import Settings
from ingest.sources.found import Found, SourceError
from ingest.sources.manifests import Format


@dataclass(frozen=True, slots=True)
class How:
    """How a command that makes a job reads and tells."""

    format: Format = "text"
    skip_invalid: bool = False
    wait: bool = False
    as_json: bool = False


Make = Callable[[Iterator[Found]], Iterator[Found]]


def take(settings: Settings, sources: Sequence[str], wanted: Wanted, how: How, make: Make = iter) -> NoReturn:
    """Examine the sources, write one job, say what it holds, and wait for its end if that is wished. ``make``: what becomes of each."""
    from ingest.cli import show
    from ingest.cli.waiting import wait_for
    from ingest.sources.resolve import examine

    database = open_database(settings.database)
    runs = service_runs(settings, database)
    if how.wait and not runs:
        fail("No service runs on this state, so there is nothing to wait for; start it with: ingest up")
    plan = examine(sources, format=how.format, options=wanted.options)
    if plan.invalid and (not how.skip_invalid or not plan):
        raise SourceError(plan.problems)
    for problem in plan.problems:
        say(problem)
    added = add_items(settings, database, sources, make(plan.found()), wanted)
    if how.as_json:
        numbers = {"job": added.job, "items": added.items, "queued": added.queued, "skipped": added.skipped}
        print(json.dumps(numbers), flush=True)
    else:
        print(show.added_line(added), flush=True)
        if added.items == added.skipped == 1:
            with database.read() as session:
                say(next(queries.items(session, job_id=added.job)).error or "")
    if not runs:
        say("No service runs yet; the items wait in the queue. Start it with: ingest up")
    try:
        code = wait_for(settings, database, added.job, as_json=how.as_json, say=say) if how.wait else 0
    except KeyboardInterrupt:
        say(f"job {added.job} goes on without you; see: ingest status {added.job}")
        raise
    raise typer.Exit(code or int(bool(plan.invalid)))
