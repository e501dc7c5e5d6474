"""The commands, each a few lines: options, one call into the house, and how it is shown."""

import json
import os
import signal
import sys
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn, Optional

import typer
from typer.core import TyperGroup

from ingest import queries
from ingest.captions import SYSTEM_PROMPT
from ingest.choosing import BadRequest, selection
from ingest.cli import show
from ingest.cli.saying import fail, say
from ingest.database import Database, migrate, open_database
from ingest.following import FULL_EVERY, LIMIT
from ingest.listing import STOP_AFTER
from ingest.settings import Settings, load
from ingest.statuses import OPEN


class _Commands(TyperGroup):
    """What a person asked for that cannot be meant is a matter of usage, whichever command found out."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BadRequest as error:
            fail(str(error))


app = typer.Typer(
    name="ingest",
    cls=_Commands,
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


def settings_of() -> Settings:
    """The settings; says where the state is when that is not the usual place."""
    settings = load()
    usual = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "memories-ingest"
    if settings.home != usual.absolute():
        say(f"state: {settings.home}")
    return settings


def database_of(settings: Settings) -> Database:
    return open_database(settings.database)


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
def doctor(as_json: Json = False) -> None:
    """Check everything a first start trips over, one line each; exit 1 if something keeps an import from working."""
    from ingest.doctor.checks import run
    from ingest.doctor.visit import State

    failed = False
    for result in run():
        failed |= result.state is State.FAIL
        if as_json:
            print(json.dumps({"check": result.check, "state": result.state, "detail": result.detail}), flush=True)
        else:
            show.result_line(result)
    raise typer.Exit(int(failed))


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
    images: Annotated[bool, typer.Option("--images", help="Take pictures of folders too.")] = False,
    location: Annotated[bool, typer.Option("--location", help="Tell where pictures were taken (EXIF).")] = False,
    format: Annotated[ManifestFormat, typer.Option(help="What - (stdin) holds.")] = ManifestFormat.TEXT,
    wait: Annotated[
        bool, typer.Option("--wait", help="Stay until every item has ended; exit 1 if one failed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Import files, folders, links, posts and pictures. One command makes one job."""
    from ingest.adding import Wanted
    from ingest.cli.adding import How, take
    from ingest.sources.options import read_options

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
    take(
        settings,
        sources,
        Wanted(unique_id, public, replace(options, images=images, location=location), priority, again),
        How(format.value, skip_invalid, wait, as_json),
    )


@app.command()
def cancel(
    job: Annotated[Optional[int], typer.Argument(help="A job.", min=1, max=_LARGEST)] = None,  # noqa: UP045
    item: Annotated[
        Optional[list[int]],  # noqa: UP045
        typer.Option(help="This item alone; may be given several times.", min=1, max=_LARGEST),
    ] = None,
    as_json: Json = False,
) -> None:
    """Stop what of a job is not sent yet, or single items. What Memories.ai has already goes on."""
    from ingest.cli import operating

    if (job is None) == (not item):
        fail("Say what to cancel: a job (ingest cancel 7) or items (ingest cancel --item 12 --item 13)")
    database = database_of(settings_of())
    if job is None:
        raise typer.Exit(operating.cancel_items(database, item or (), as_json=as_json))
    operating.cancel_job(database, job, as_json=as_json)


ErrorCodes = Annotated[list[str] | None, typer.Option("--error-code", help="Failed with this code; repeatable.")]
Stages = Annotated[list[str] | None, typer.Option("--stage", help="Failed at this stage; repeatable.")]


@app.command()
def retry(
    item: Annotated[
        Optional[list[int]],  # noqa: UP045
        typer.Argument(help="Items, by number.", min=1, max=_LARGEST),
    ] = None,
    job: Annotated[Optional[int], typer.Option(help="Of this job.", min=1, max=_LARGEST)] = None,  # noqa: UP045
    status: Annotated[
        list[str] | None, typer.Option(help="FAIL (where nothing is said) or CANCELLED; repeatable.")
    ] = None,
    error_code: ErrorCodes = None,
    stage: Stages = None,
    resend: Annotated[
        bool,
        typer.Option("--resend", help="Send anew even what Memories.ai has, or may have; it may be there twice then."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Give what failed or was cancelled another chance."""
    from ingest.cli import operating

    settings = settings_of()
    database = database_of(settings)
    chosen = selection(database, job=job, status=status, error_code=error_code, stage=stage)
    code = operating.retry(settings, database, item or (), chosen, resend=resend, dry_run=dry_run, as_json=as_json)
    raise typer.Exit(code)


Scope = Annotated[str, typer.Argument(help="account, a lane (upload, scrape ...), or a job by its number.")]


@app.command()
def pause(
    scope: Scope,
    reason: Annotated[str, typer.Option(help="Why; `ingest status` shows it.")] = "",
    duration: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--for", help="How long: 30m, 8h ... Without it, until resumed."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Stop sending for a while. What is under way goes on."""
    from ingest.cli import operating

    settings = settings_of()
    raise typer.Exit(operating.pause(settings, database_of(settings), scope, reason, duration, as_json=as_json))


@app.command()
def resume(scope: Scope, as_json: Json = False) -> None:
    """Go on with what was paused."""
    from ingest.cli import operating

    settings = settings_of()
    raise typer.Exit(operating.resume(settings, database_of(settings), scope, as_json=as_json))


@app.command()
def limits(as_json: Json = False) -> None:
    """Each lane: its limit, its next slot, what waits for it, and when that will have been sent."""
    from ingest.cli import limits as looking

    settings = settings_of()
    looking.limits(settings, database_of(settings), as_json=as_json)


callbacks = typer.Typer(help="What Memories.ai has called back.", no_args_is_help=True)
app.add_typer(callbacks, name="callbacks")
CallbackStates = Annotated[
    list[str] | None, typer.Option("--state", help="new, parked, applied, unmatched or malformed; repeatable.")
]


@callbacks.command(name="list")
def callbacks_list(
    state: CallbackStates = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=_LARGEST - 1)] = 50,
    as_json: Json = False,
) -> None:
    """The newest first."""
    from ingest.cli.callbacks import list_callbacks

    list_callbacks(database_of(settings_of()), state or (), limit, as_json=as_json)


@callbacks.command(name="replay")
def callbacks_replay(
    ids: Annotated[
        Optional[list[int]],  # noqa: UP045
        typer.Argument(metavar="[ID]...", help="Callbacks, by number.", min=1, max=_LARGEST),
    ] = None,
    state: CallbackStates = None,
    as_json: Json = False,
) -> None:
    """Apply callbacks once more."""
    from ingest.cli.callbacks import replay

    settings = settings_of()
    raise typer.Exit(replay(settings, database_of(settings), ids or (), state or (), as_json=as_json))


@callbacks.command(name="url")
def callbacks_url() -> None:
    """The address to register with the key at Memories.ai."""
    from ingest.cli.callbacks import print_url

    print_url(settings_of())


tokens = typer.Typer(help="Who may use the console and its API.", no_args_is_help=True)
app.add_typer(tokens, name="tokens")
TokenName = Annotated[str, typer.Argument(help="What it is for: grafana, a person ...")]


@tokens.command(name="add")
def tokens_add(
    name: TokenName,
    operate: Annotated[
        bool, typer.Option("--operate", help="It may change things too; without it, it only reads.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a token and show it, this once."""
    from ingest.access import Role
    from ingest.cli.tokens import add

    settings = settings_of()
    add(settings, database_of(settings), name, Role.OPERATE if operate else Role.READ, as_json=as_json)


@tokens.command(name="list")
def tokens_list(as_json: Json = False) -> None:
    """The tokens there are and were, and when they were used last."""
    from ingest.cli.tokens import list_tokens

    list_tokens(database_of(settings_of()), as_json=as_json)


@tokens.command(name="revoke")
def tokens_revoke(name: TokenName, as_json: Json = False) -> None:
    """Have a token open nothing any more."""
    from ingest.cli.tokens import revoke

    revoke(database_of(settings_of()), name, as_json=as_json)


creators = typer.Typer(help="Profiles that are looked at on a schedule.", no_args_is_help=True)
app.add_typer(creators, name="creators")
CreatorId = Annotated[int, typer.Argument(metavar="CREATOR", help="By its number.", min=1, max=_LARGEST)]


@creators.command(name="add")
def creators_add(
    url: Annotated[str, typer.Argument(help="A profile, channel, playlist or hashtag of TikTok, YouTube, Instagram.")],
    every: Annotated[str, typer.Option(help="How often: 6h, 1d ...")] = "",
    cron: Annotated[str, typer.Option(help='Or when, as cron says it: "0 */6 * * *".')] = "",
    tz: Annotated[str, typer.Option("--tz", help="Where the clock of --cron and --quiet hangs: Europe/Berlin.")] = "",
    quiet: Annotated[str, typer.Option(help="No looks in these hours: 22:00-06:00.")] = "",
    jitter: Annotated[str, typer.Option(help="Up to so much later, so that not all come at once: 10% or 5m.")] = "",
    limit: Annotated[int, typer.Option(help="The newest so many posts.")] = LIMIT,
    unique_id: Annotated[str, typer.Option("--unique-id", help="Namespace at Memories.ai.")] = "default",
    public: Annotated[bool, typer.Option("--public", help="Into the public library; that cannot be undone.")] = False,
    by_list: Annotated[
        bool, typer.Option("--list", help="yt-dlp lists the profile here; only new posts are scraped, fifty in a call.")
    ] = False,
    stop_after: Annotated[
        int, typer.Option(help="--list: a look ends after so many known posts in a row.")
    ] = STOP_AFTER,
    full_every: Annotated[int, typer.Option(help="--list: each so many looks goes to the end.")] = FULL_EVERY,
    not_before: Annotated[str, typer.Option(help="--list: posts wait until they are so old: 1h.")] = "",
    refresh: Annotated[str, typer.Option(help="--public: ask for views, likes ... this often: 7d.")] = "",
    as_json: Json = False,
) -> None:
    """Follow a profile; the first look is due at once."""
    from ingest.cli.creators import add as follow
    from ingest.creators import Words

    settings = settings_of()
    words = Words(
        url,
        every,
        cron,
        tz,
        quiet,
        jitter,
        unique_id,
        public,
        limit,
        by_list,
        stop_after,
        full_every,
        not_before,
        refresh,
    )
    follow(settings, database_of(settings), words, as_json=as_json)


@creators.command(name="list")
def creators_list(
    removed: Annotated[bool, typer.Option("--removed", help="Those that are not followed any more as well.")] = False,
    as_json: Json = False,
) -> None:
    """What is followed, and when it is looked at next."""
    from ingest.cli.creators import list_creators

    list_creators(database_of(settings_of()), removed=removed, as_json=as_json)


@creators.command(name="show")
def creators_show(creator: CreatorId, as_json: Json = False) -> None:
    """One creator: its next five looks, its last report, and those before."""
    from ingest.cli.creators import show_creator

    show_creator(database_of(settings_of()), creator, as_json=as_json)


def _act(creator: int, what: str, reason: str = "", *, as_json: bool) -> None:
    from ingest.cli.creators import act

    settings = settings_of()
    act(settings, database_of(settings), creator, what, reason, as_json=as_json)


@creators.command(name="run")
def creators_run(creator: CreatorId, as_json: Json = False) -> None:
    """Look at it now; the schedule stays."""
    _act(creator, "run", as_json=as_json)


@creators.command(name="pause")
def creators_pause(
    creator: CreatorId, reason: Annotated[str, typer.Option(help="Why.")] = "", as_json: Json = False
) -> None:
    """No looks until it is resumed."""
    _act(creator, "pause", reason, as_json=as_json)


@creators.command(name="resume")
def creators_resume(creator: CreatorId, as_json: Json = False) -> None:
    """Go on: one look is owed, not those that were missed."""
    _act(creator, "resume", as_json=as_json)


@creators.command(name="remove")
def creators_remove(creator: CreatorId, as_json: Json = False) -> None:
    """Follow it no more; what it has brought stays."""
    _act(creator, "remove", as_json=as_json)


@creators.command(name="metrics")
def creators_metrics(
    creator: Annotated[int | None, typer.Argument(help="Of this one alone.", min=1, max=_LARGEST)] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with a header.")] = False,
    as_json: Json = False,
) -> None:
    """Views, likes, shares and comments over time, of those followed with --refresh."""
    from ingest.cli.creators import metrics

    metrics(database_of(settings_of()), creator, as_csv=as_csv, as_json=as_json)


@app.command()
def caption(
    sources: Annotated[list[str], typer.Argument(help="Files, folders, links or manifests: videos and pictures.")],
    prompt: Annotated[str, typer.Option("--prompt", help="What you want to know about each.")],
    system_prompt: Annotated[str, typer.Option("--system-prompt", help="Who answers, and how.")] = SYSTEM_PROMPT,
    person: Annotated[
        list[str] | None, typer.Option("--person", help="NAME=PICTURE of somebody to be recognised; up to five.")
    ] = None,
    thinking: Annotated[bool, typer.Option("--thinking", help="Let the model think first; costs more.")] = False,
    sync: Annotated[
        bool, typer.Option("--sync", help="Wait for each result in the answer: no public address needed.")
    ] = False,
    split: Annotated[bool, typer.Option("--split", help="Cut longer videos at key frames, join the texts.")] = False,
    priority: Annotated[int, typer.Option(help="Higher goes first.", min=-1000, max=1000)] = 0,
    again: Annotated[bool, typer.Option("--again", help="Ask, and pay, even for what was asked already.")] = False,
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="Take the good sources, name the bad ones, exit 1.")
    ] = False,
    format: Annotated[ManifestFormat, typer.Option(help="What - (stdin) holds.")] = ManifestFormat.TEXT,
    wait: Annotated[
        bool, typer.Option("--wait", help="Stay until every caption has ended; exit 1 if one failed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Ask something about videos and pictures. The answer is in: ingest show ITEM"""
    from ingest.adding import Wanted
    from ingest.captioning import Question, read_question, to_caption
    from ingest.cli.adding import How, take
    from ingest.sources.found import Options

    settings = settings_of()
    settings.require_key()
    asked = read_question(settings, Question(prompt, system_prompt, person or [], thinking, sync, split))
    take(
        settings,
        sources,
        Wanted(options=Options(images=True), priority=priority, again=again, command="caption"),
        How(format.value, skip_invalid, wait, as_json),
        # All of them at once: a post among them must be refused before anything is written.
        lambda found: iter(list(to_caption(found, asked, settings, split=split))),
    )


@app.command()
def adopt(
    unique_id: Annotated[str, typer.Option("--unique-id", help="Namespace at Memories.ai.")] = "default",
    as_json: Json = False,
) -> None:
    """Make known what the account holds already."""
    from ingest.adopting import adopt as read_account

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
    from ingest.adding import service_runs

    settings = settings_of()
    database = database_of(settings)
    runs = service_runs(settings, database)
    with database.read() as session:
        if any(queries.counts(session, job)[status] for status in OPEN) and not runs:
            say("No service runs, so nothing moves; start it with: ingest up")
        if job is None:
            found = [
                queries.job_status(session, one.id, queries.pause_of_job(session, one.id, settings))
                for one in queries.jobs(session, 20)
                if one.id is not None
            ]
            if as_json:
                for one in found:
                    print(json.dumps(one))
                print(json.dumps({"all": True, "counts": queries.counts(session)}))
            else:
                show.jobs_table(found, queries.counts(session), queries.pauses(session, settings.account))
            return
        one = queries.job_status(session, job, queries.pause_of_job(session, job, settings))
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
    error_code: ErrorCodes = None,
    stage: Stages = None,
    kind: Annotated[
        list[str] | None, typer.Option(help="Of this kind alone: file, link, post ...; repeatable.")
    ] = None,
    platform: Annotated[
        list[str] | None, typer.Option(help="Posts of tiktok, youtube or instagram alone; repeatable.")
    ] = None,
    lane: Annotated[list[str] | None, typer.Option(help="Of this lane alone: upload, scrape ...; repeatable.")] = None,
    namespace: Annotated[list[str] | None, typer.Option(help="Of this namespace alone; repeatable.")] = None,
    limit: Annotated[
        int | None,
        typer.Option(help="At most so many (default: the newest 50 in a table, all in JSON).", min=1, max=_LARGEST),
    ] = None,
    as_json: Json = False,
) -> None:
    """Items with their status, one a line."""
    database = database_of(settings_of())
    chosen = selection(
        database,
        job=job,
        status=status,
        error_code=error_code,
        stage=stage,
        kind=kind,
        platform=platform,
        lane=lane,
        namespace=namespace,
    )
    with database.read() as session:
        if as_json:
            for item in queries.items(session, chosen=chosen, limit=limit):
                print(json.dumps(queries.item_row(item)))
        else:
            found, number = queries.newest_items(session, chosen, limit or 50)
            show.items_table(found)
            if number > len(found):
                say(f"... {number - len(found)} older ones are not shown: --limit N, or --json for all")


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
