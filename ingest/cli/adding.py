"""What ``ingest add`` does: check every source, then write the rows, then nudge."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import NoReturn

import typer

from ingest import content, pictures, queries, store
from ingest.cli.saying import fail, say
from ingest.clock import now_ms
from ingest.database import Database, open_database
from ingest.lanes import SENDING_LANES, Lane
from ingest.models import DEFAULT_NAMESPACE, PRIVATE, PUBLIC, Job
from ingest.processes import claim_of
from ingest.settings import Settings
from ingest.sources.found import NO_OPTIONS, Found, Kind, Options, SourceError
from ingest.sources.manifests import Format

#: Rows of one commit: long enough to be fast, short enough that the receiver never waits for it.
_CHUNK = 2000


@dataclass(frozen=True, slots=True)
class AddedJob:
    job: int
    queued: int
    skipped: int

    @property
    def items(self) -> int:
        return self.queued + self.skipped


def service_runs(settings: Settings, database: Database) -> bool:
    """An ``up`` on this home, starting or started, or a worker that was alive within a lease."""
    if claim_of(settings.home).is_held():
        return True
    with database.read() as session:
        seen = queries.youngest_heartbeat(session)
    return seen is not None and seen > now_ms() - settings.timings.lease * 1000


def wake(settings: Settings, database: Database) -> bool:
    """Nudge the lanes, after the commit; False where no service runs that could hear it."""
    if not service_runs(settings, database):
        return False
    from ingest.nudge import Nudger, make_celery  # half a second of imports

    nudger = Nudger(make_celery(settings))
    for lane in SENDING_LANES:
        nudger.turn(lane)
    return True


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line says about all of its sources."""

    unique_id: str = DEFAULT_NAMESPACE
    public: bool = False
    options: Options = NO_OPTIONS
    priority: int = 0
    #: Send in spite of twins.
    again: bool = False
    command: str = "add"


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


def add_items(
    settings: Settings, database: Database, sources: Sequence[str], found: Iterable[Found], wanted: Wanted
) -> AddedJob:
    """One job with an item per source that was found."""
    library = PUBLIC if wanted.public else PRIVATE
    with database.write() as session:
        job_id = store.add_job(session, wanted.command, sources, wanted.unique_id, library, wanted.priority)
    total, turns = store.Added(), dict[Lane, int]()
    for chunk in _chunks(map(_with_exif, found)):
        hashes = {} if wanted.again else _hash_where_it_matters(database, wanted.unique_id, chunk)
        with database.write() as session:
            total += store.add_items(
                session, session.get_one(Job, job_id), chunk, hashes, again=wanted.again, turns=turns
            )
    if total.queued:
        wake(settings, database)
    return AddedJob(job_id, total.queued, total.skipped)


def _with_exif(one: Found) -> Found:
    """A picture with what is known of it: the command line's word before that of the camera, the place only when asked for.

    What is said holds for all pictures of a call (contract B.2 U9), so those travel together of which the same is said.
    """
    if one.kind is not Kind.IMAGE or one.skip:
        return one
    options = one.options
    try:
        facts = pictures.check_picture(Path(one.source), with_location=options.location)
        place = options if options.latitude is not None else facts
        options = replace(
            options,
            datetime_taken=options.datetime_taken or facts.datetime_taken,
            camera_model=options.camera_model or facts.camera_model,
            latitude=place.latitude,
            longitude=place.longitude,
        )
    except (content.Unfit, OSError):
        pass  # its turn says what is wrong with it
    said = [options.datetime_taken, options.camera_model, options.latitude, options.longitude, sorted(options.tags)]
    mark = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]
    return replace(one, options=options, together=mark)


def _chunks(found: Iterable[Found]) -> Iterator[list[Found]]:
    stream = iter(found)
    while chunk := list(islice(stream, _CHUNK)):
        yield chunk


def _hash_where_it_matters(database: Database, unique_id: str, chunk: Sequence[Found]) -> dict[str, str]:
    """sha256 of the files whose size another file of their namespace has: only those can be copies."""
    namespaces: dict[str, list[Found]] = defaultdict(list)
    for one in chunk:
        if one.kind is Kind.FILE and not one.skip and one.size:
            namespaces[one.options.unique_id or unique_id].append(one)
    hashes: dict[str, str] = {}
    for namespace, files in namespaces.items():
        hashes.update(_hash_doubled_sizes(database, namespace, files))
    return hashes


def _hash_doubled_sizes(database: Database, unique_id: str, files: Sequence[Found]) -> dict[str, str]:
    sizes = Counter(one.size for one in files if one.size)
    with database.read() as session:
        known = queries.same_size(session, unique_id, PRIVATE, sizes)
    for other in known:
        content.learn_of(database, other)
    taken = {other.size for other in known}
    hashes: dict[str, str] = {}
    for one in files:
        if one.size in taken or sizes[one.size or 0] > 1:
            try:
                hashes[one.source] = content.hash_file(Path(one.source))
            except OSError:
                continue  # preflight says what is wrong with it
    return hashes
