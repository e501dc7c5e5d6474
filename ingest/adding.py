"""From sources that were found to a job: hash what could be a copy, write the rows, nudge the lanes."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from sqlmodel import Session

from ingest import content, pictures, queries, store
from ingest.clock import now_ms
from ingest.database import Database
from ingest.lanes import SENDING_LANES, Lane
from ingest.models import DEFAULT_NAMESPACE, PRIVATE, PUBLIC, Job
from ingest.processes import claim_of
from ingest.settings import Settings
from ingest.sources.found import NO_OPTIONS, Found, Kind, Options

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
    """What is said about all sources of a job."""

    unique_id: str = DEFAULT_NAMESPACE
    public: bool = False
    options: Options = NO_OPTIONS
    priority: int = 0
    #: Send in spite of twins.
    again: bool = False
    command: str = "add"


def add_items(
    settings: Settings,
    database: Database,
    sources: Sequence[str],
    found: Iterable[Found],
    wanted: Wanted,
    *,
    first: Callable[[Session, int], None] | None = None,
    into: int | None = None,
) -> AddedJob:
    """One job with an item per source that was found.

    ``first`` is called with the new job in the transaction that makes it. ``into`` goes on with a job that was written in part:
    sources that it has are passed over, and not counted.
    """
    job_id = _new_job(database, sources, wanted, first) if into is None else into
    total, turns = store.Added(), dict[Lane, int]()
    for chunk in _chunks(found):
        if into is not None:  # before anything of them is hashed once more
            with database.read() as session:
                known = queries.sources_in_job(session, into, [one.source for one in chunk])
            chunk = [one for one in chunk if one.source not in known]
        total += _add_chunk(
            database, job_id, [_with_exif(one) for one in chunk], wanted, turns, goes_on=into is not None
        )
    if total.queued:
        wake(settings, database)
    # A bulk that nobody has counted yet would be added up by each reader; a worker may not be there to do it.
    store.count_all(database)
    return AddedJob(job_id, total.queued, total.skipped)


def _new_job(
    database: Database, sources: Sequence[str], wanted: Wanted, first: Callable[[Session, int], None] | None
) -> int:
    library = PUBLIC if wanted.public else PRIVATE
    with database.write() as session:
        job_id = store.add_job(session, wanted.command, sources, wanted.unique_id, library, wanted.priority)
        if first is not None:
            first(session, job_id)
    return job_id


def _add_chunk(
    database: Database, job_id: int, chunk: list[Found], wanted: Wanted, turns: dict[Lane, int], *, goes_on: bool
) -> store.Added:
    hashes = {} if wanted.again else _hash_where_it_matters(database, wanted.unique_id, chunk)
    with database.write() as session:
        if goes_on:
            chunk = store.not_yet_in(session, job_id, chunk)
        if not chunk:
            return store.Added()
        return store.add_items(session, session.get_one(Job, job_id), chunk, hashes, again=wanted.again, turns=turns)


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
