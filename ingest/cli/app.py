"""The commands, each a few lines: options, one call into the house, and how it is shown."""

import json
import os
import signal
import sys
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn, Optional

import typer

from ingest import queries
from ingest.cli import show
from ingest.database import Database, migrate, open_database
from ingest.settings import Settings, load
from ingest.sources.found import SourceError
from ingest.statuses import OPEN, Status

app = typer.Typer(
    name="ingest",
    help="Everything into Memories.ai, exactly once, as fast as the limits permit. See it without a key: ingest demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class Queues(StrEnum):
    SEND = "send"
    SETTLE = "settle"
    BOTH = "send,settle"


class ManifestFormat(StrEnum):
    TEXT = "text"
    CSV = "csv"
    JSONL = "jsonl"


Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]

#: Ids and numbers as the database can hold them.
_LARGEST = 2**63 - 1


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def settings_of() -> Settings:
    """The settings; says where the state is when that is not the usual place."""
    settings = load()
    usual = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "memories-ingest"
    if settings.home != usual.absolute():
        say(f"state: {settings.home}")
    return settings


def database_of(settings: Settings) -> Database:
    return open_database(settings.database)


def fail(text: str) -> NoReturn:
    say(text)
    raise typer.Exit(2)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"memories-ingest {version('memories-ingest')}")
        raise typer.Exit


@app.callback()
def everywhere(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Everything into Memories.ai, exactly once, as fast as the limits permit. See it without a key: ingest demo"""


@app.command()
def up(
    port: Annotated[Optional[int], typer.Option(help="Port of the receiver (INGEST_PORT).")] = None,  # noqa: UP045
    console_port: Annotated[int | None, typer.Option(help="Port of the console (INGEST_CONSOLE_PORT).")] = None,
) -> None:
    """The whole service on one machine; Ctrl-C stops it."""
    from ingest.supervisor import Supervisor

    for value, variable in ((port, "INGEST_PORT"), (console_port, "INGEST_CONSOLE_PORT")):
        if value is not None:
            os.environ[variable] = str(value)
    settings = settings_of()
    settings.require_key()
    supervisor = Supervisor(settings, say)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        supervisor.order_stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    raise typer.Exit(supervisor.serve())


def _become(*arguments: str) -> NoReturn:
    """The command line starts other packages as processes of their own, never by import."""
    # -P: a folder of the user named like one of our packages must not stand in for it.
    os.execv(sys.executable, [sys.executable, "-P", "-m", *arguments])


@app.command()
def web() -> None:
    """The receiver of callbacks alone."""
    _become("webhooks")


@app.command()
def console() -> None:
    """The operator's console alone."""
    _become("console")


@app.command()
def worker(
    queues: Annotated[Queues, typer.Option(help="What it does.")] = Queues.BOTH,
    threads: Annotated[int, typer.Option(help="Threads; 0 leaves it to the queues.", min=0)] = 0,
) -> None:
    """A worker alone; any number, on any number of hosts."""
    settings_of().require_key()
    _become("workers", "worker", "--queues", queues.value, "--threads", str(threads))


@app.command()
def beat() -> None:
    """The clock alone; any number may run."""
    settings_of().require_key()
    _become("workers", "beat")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def sandbox(context: typer.Context) -> None:
    """The local stand-in of Memories.ai alone."""
    _become("sandbox", *context.args)


@app.command(name="migrate")
def migrate_command() -> None:
    """Bring the database schema up."""
    settings = settings_of()
    before, after = migrate(settings.database)
    print(f"schema {after}" + (", nothing to do" if before == after else f" (was {before or 'empty'})"))


@app.command()
def demo(
    keep: Annotated[bool, typer.Option(help="Leave the service running until Ctrl-C.")] = False,
) -> None:
    """Sandbox, whole service and a sample library, to the end. No key needed, nothing leaves this machine."""
    from ingest.demo import run

    raise typer.Exit(run(say, keep=keep))


@app.command()
def add(
    sources: Annotated[
        list[str], typer.Argument(help="Files, folders, links, posts, manifests (.txt, .csv, .jsonl), or - for stdin.")
    ],
    unique_id: Annotated[str, typer.Option("--unique-id", help="Namespace at Memories.ai.")] = "default",
    public: Annotated[
        bool, typer.Option("--public", help="Posts into the public library; that cannot be undone.")
    ] = False,
    quality: Annotated[Optional[int], typer.Option(help="Most lines of a YouTube video: 720, 1080 ...")] = None,  # noqa: UP045
    tag: Annotated[
        list[str] | None, typer.Option(help="A tag for files and links; may be given several times.")
    ] = None,
    datetime_taken: Annotated[Optional[str], typer.Option(help="When it was taken: 2026-07-01T12:00.")] = None,  # noqa: UP045
    camera_model: Annotated[Optional[str], typer.Option(help="The camera it was taken with.")] = None,  # noqa: UP045
    latitude: Annotated[Optional[float], typer.Option(help="Where it was taken; with --longitude.")] = None,  # noqa: UP045
    longitude: Annotated[Optional[float], typer.Option(help="Where it was taken; with --latitude.")] = None,  # noqa: UP045
    priority: Annotated[int, typer.Option(help="Higher goes first.", min=-1000, max=1000)] = 0,
    again: Annotated[bool, typer.Option("--again", help="Send even what is known already.")] = False,
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="Take the good sources, name the bad ones, exit 1.")
    ] = False,
    format: Annotated[ManifestFormat, typer.Option(help="What - (stdin) holds.")] = ManifestFormat.TEXT,
    wait: Annotated[
        bool, typer.Option("--wait", help="Stay until every item has ended; exit 1 if one failed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Import files, folders, links and posts. One command makes one job."""
    from ingest.cli.adding import Wanted, add_items, service_runs
    from ingest.cli.waiting import wait_for
    from ingest.sources.options import read_options
    from ingest.sources.resolve import examine

    settings = settings_of()
    settings.require_key()
    said = {
        "unique_id": unique_id,
        "library": "public" if public else "private",
        "quality": quality,
        "tags": tag,
        "datetime_taken": datetime_taken,
        "camera_model": camera_model,
        "latitude": latitude,
        "longitude": longitude,
    }
    options = read_options({name: value for name, value in said.items() if value is not None})
    database = database_of(settings)
    runs = service_runs(settings, database)
    if wait and not runs:
        fail("No service runs on this state, so there is nothing to wait for; start it with: ingest up")
    plan = examine(sources, format=format.value, options=options)
    if plan.invalid and (not skip_invalid or not plan):
        raise SourceError(plan.problems)
    for problem in plan.problems:
        say(problem)
    added = add_items(settings, database, sources, plan.found(), Wanted(unique_id, public, options, priority, again))
    if as_json:
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
        code = wait_for(settings, database, added.job, as_json=as_json, say=say) if wait else 0
    except KeyboardInterrupt:
        say(f"job {added.job} goes on without you; see: ingest status {added.job}")
        raise
    raise typer.Exit(code or int(bool(plan.invalid)))


@app.command()
def cancel(
    job: Annotated[int, typer.Argument(help="A job.", min=1, max=_LARGEST)],
    as_json: Json = False,
) -> None:
    """Stop what of a job is not sent yet. What Memories.ai has already goes on."""
    from ingest import store

    database = database_of(settings_of())
    with database.read() as session:
        if queries.job(session, job) is None:
            fail(f"There is no job {job}; `ingest status` lists the jobs")
    stopped = store.cancel_job(database, job)
    with database.read() as session:
        left = sum(queries.counts(session, job)[status] for status in OPEN)
    if as_json:
        print(json.dumps({"job": job, "cancelled": stopped, "going_on": left}))
    else:
        print(f"job {job}: {stopped} items cancelled, {left} already sent go on")


@app.command()
def adopt(
    unique_id: Annotated[str, typer.Option("--unique-id", help="Namespace at Memories.ai.")] = "default",
    as_json: Json = False,
) -> None:
    """Make known what the account holds already."""
    from ingest.cli.adopting import adopt as read_account

    settings = settings_of()
    settings.require_key()
    job, found = read_account(settings, database_of(settings), unique_id)
    if as_json:
        print(json.dumps({"job": job, "adopted": found.queued, "known": found.skipped}))
    else:
        print(f"job {job}: {found.queued} videos adopted, {found.skipped} known already")


@app.command()
def status(
    job: Annotated[int | None, typer.Argument(help="A job; without one, the latest jobs.", min=1, max=_LARGEST)] = None,
    as_json: Json = False,
) -> None:
    """Where a job stands, or the latest jobs and all there is."""
    from ingest.cli.adding import service_runs

    settings = settings_of()
    database = database_of(settings)
    runs = service_runs(settings, database)
    with database.read() as session:
        if any(queries.counts(session, job)[status] for status in OPEN) and not runs:
            say("No service runs, so nothing moves; start it with: ingest up")
        if job is None:
            found = [
                queries.job_status(session, one.id, queries.pause_of_job(session, one.id, settings.account))
                for one in queries.jobs(session, 20)
                if one.id is not None
            ]
            if as_json:
                for one in found:
                    print(json.dumps(one))
            else:
                show.jobs_table(found, queries.counts(session))
            return
        one = queries.job_status(session, job, queries.pause_of_job(session, job, settings.account))
        if one is None:
            fail(f"There is no job {job}; `ingest status` lists the jobs")
        if as_json:
            print(json.dumps(one))
        else:
            show.job_lines(one, queries.ahead(session, settings.limits, job))


@app.command()
def items(
    job: Annotated[Optional[int], typer.Option(help="Of this job alone.", min=1, max=_LARGEST)] = None,  # noqa: UP045
    status: Annotated[list[str] | None, typer.Option(help="Of this status alone; may be given several times.")] = None,
    limit: Annotated[
        int | None, typer.Option(help="At most so many (default: 50 in a table, all in JSON).", min=1, max=_LARGEST)
    ] = None,
    as_json: Json = False,
) -> None:
    """Items with their status, one a line."""
    wanted = [name.upper() for name in status or ()]
    unknown = [name for name in wanted if name not in [*Status]]
    if unknown:
        fail(f"'{unknown[0]}' is no status; the statuses are {', '.join(Status)}")
    settings = settings_of()
    with database_of(settings).read() as session:
        if job is not None and queries.job(session, job) is None:
            fail(f"There is no job {job}; `ingest status` lists the jobs")
        if as_json:
            for item in queries.items(session, job_id=job, statuses=wanted, limit=limit):
                print(json.dumps(queries.item_row(item)))
        else:
            shown = limit or 50
            found = list(queries.items(session, job_id=job, statuses=wanted, limit=shown + 1))
            show.items_table(found[:shown])
            if len(found) > shown:
                say("... there are more: --limit N, or --json for all")


@app.command(name="show")
def show_command(
    item: Annotated[int, typer.Argument(help="An item.", min=1, max=_LARGEST)], as_json: Json = False
) -> None:
    """The whole story of one item."""
    settings = settings_of()
    with database_of(settings).read() as session:
        story = queries.item_story(session, item)
    if story is None:
        fail(f"There is no item {item}; `ingest items` lists the items")
    if as_json:
        print(json.dumps(story))
    else:
        show.story_lines(story)
