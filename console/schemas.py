"""What travels over the operator's API, as Pydantic models: the OpenAPI document is made from these.

Inputs refuse what they do not know. Outputs are described here and sent as ``ingest.queries`` gives them.
"""

import re
from functools import cache
from typing import Annotated, Any, Literal, Union

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, RootModel, model_validator
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

from ingest.creators import MOST_POSTS
from ingest.following import FULL_EVERY, LIMIT
from ingest.lanes import Lane
from ingest.listing import FEWEST_TO_STOP, STOP_AFTER
from ingest.models import CallbackState
from ingest.sources.found import Kind
from ingest.sources.links import problem_of
from ingest.sources.options import MOST_TAGS
from ingest.statuses import Stage, Status
from ingest.upstream.client import MOST_PERSONS

#: Ids as the database can hold them.
LARGEST_ID = 2**31 - 1
MOST_VALUES = 10


def _number(value: Any) -> Any:
    """Neither ``true``, with which Python counts, nor a text."""
    if isinstance(value, (bool, str)):
        raise ValueError("it must be a number")
    return value


def _flag(value: Any) -> Any:
    if not isinstance(value, bool):
        raise ValueError("it must be true or false")
    return value


def _split(values: Any) -> Any:
    """``?status=FAIL,PARSE`` says the same as ``?status=FAIL&status=PARSE``."""
    if not isinstance(values, list):
        return values
    return [piece for one in values for piece in (one.split(",") if isinstance(one, str) else [one])]


def _written(pattern: str, sentence: str) -> tuple[AfterValidator, Any]:
    """A text of this pattern; the document shows the pattern, whoever breaks it is told the sentence."""
    right = re.compile(pattern)

    def check(text: str) -> str:
        if not right.search(text):
            raise ValueError(sentence)
        return text

    return AfterValidator(check), Field(json_schema_extra={"pattern": pattern})


def _source(text: str) -> str:
    if text.startswith("/"):
        return text
    if not re.match("https?://", text, re.IGNORECASE):
        raise ValueError("it is no whole path and no link; begin it with /, https:// or http://")
    if problem := problem_of(text):
        raise ValueError(problem)
    return text


# The constraints stand before the validators: behind one they would not show in the document.

Id = Annotated[int, Field(ge=1, le=LARGEST_ID)]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-11-25T12:45:48Z"])]
Whole = Annotated[int, BeforeValidator(_number)]
Flag = Annotated[bool, BeforeValidator(_flag)]

#: PostgreSQL holds no zero bytes, and UTF-8 no lone surrogates (which pydantic refuses).
_NO_ZERO = _written(r"^[^\x00]*$", "it holds a zero byte")
Text = Annotated[str, Field(max_length=10_000), *_NO_ZERO]
#: Something to look for.
Word = Annotated[str, Field(min_length=1, max_length=200), *_NO_ZERO]
#: Something to be kept and shown on one line.
Line = Annotated[
    str,
    Field(min_length=1, max_length=200),
    *_written(
        r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f\x85][^\x00-\x1f\x7f]*$", "it is blank, or holds control characters"
    ),
]
Said = Annotated[
    str,
    Field(min_length=1, max_length=20_000),
    *_written(r"^[^\x00]*[^\s\x00-\x1f\x85][^\x00]*$", "it is blank, or holds a zero byte"),
]
#: A name before the ``=`` of ``--person NAME=PICTURE``.
PersonName = Annotated[
    str,
    Field(min_length=1, max_length=200),
    *_written(
        r"^[^=\x00-\x1f\x7f]*[^=\s\x00-\x1f\x7f\x85][^=\x00-\x1f\x7f]*$",
        "it is blank, or holds = or control characters",
    ),
]
#: What the check takes but for hosts in brackets; some letters stand for a ``/`` or ``:``, so they cannot stand in a host.
_LINK = (
    r"[hH][tT][tT][pP][sS]?://[^\s\x00-\x20\x7f\x85/?#@:\[\]\u2048\u2049\u2047\u2100\u2101\u2105\u2106\u2a74\ufe13\ufe16"
    r"\ufe55\ufe56\ufe5f\ufe6b\uff03\uff0f\uff1a\uff1f\uff20]+"
    r"(:([0-5]?[0-9]{1,4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])?)?([/?#][^\s\x00-\x20\x7f\x85]*)?"
)
Source = Annotated[
    str,
    Field(min_length=1, max_length=4096, json_schema_extra={"pattern": rf"^(/[^\x00]*|{_LINK})$"}),
    AfterValidator(_source),
    _NO_ZERO[0],
]


class Input(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Order(Input):
    """A body that may be left out. One that is ``null`` never gets here: bodies are objects."""

    @model_validator(mode="before")
    @classmethod
    def _left_out(cls, given: Any) -> Any:
        return {} if given is None else given


class Query(Input):
    """Its schema is looked at for each request, and never changes."""

    @classmethod
    @cache
    def model_json_schema(  # type: ignore[override]
        cls,
        by_alias: bool = True,
        ref_template: str = "#/$defs/{model}",
        schema_generator: type[GenerateJsonSchema] = GenerateJsonSchema,
        mode: JsonSchemaMode = "validation",
    ) -> dict[str, Any]:
        return super().model_json_schema(by_alias, ref_template, schema_generator, mode)


# Where things stand


class PauseRow(BaseModel):
    scope: str = Field(description="`account`, `account:caption`, `lane:NAME` or `job:ID`.")
    by: Literal["vendor", "upstream", "operator"] = Field(description="Who set it; each ends its own alone.")
    reason: str
    code: str | None = Field(description="The vendor's code, where it was the vendor.")
    since: Time
    until: Time | None = Field(description="null: until somebody resumes it.")


class Counts(BaseModel):
    """Items by status, every status named."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})
    QUEUED: int
    SENDING: int
    UNSURE: int
    UNPARSE: int
    PARSE: int
    FAIL: int
    SKIPPED: int
    CANCELLED: int


class JobRow(BaseModel):
    job: int
    command: str = Field(description="What made it: `add`, `caption`, `adopt`.")
    state: Literal["running", "done", "cancelled"]
    counts: Counts
    total: int
    final: int = Field(description="How many have ended; `total` when it is done.")
    paused: PauseRow | None = Field(description="What keeps it from going on, the widest first.")
    unique_id: str
    library: str
    priority: int
    sources: list[str] = Field(description="What was named, the first twenty.")
    created_at: Time
    cancelled_at: Time | None


class JobPage(BaseModel):
    jobs: list[JobRow]
    next: str | None = Field(description="Give it as `cursor` to go on; null at the end.")


class ItemRow(BaseModel):
    id: int
    job: int
    kind: Kind
    source: str
    platform: str | None
    unique_id: str
    library: str
    lane: Lane
    status: Status
    video_no: str | None
    task_id: str | None
    attempts: int
    stage: Stage | None = Field(description="Where a FAIL came from.")
    error_code: str | None = Field(description="The vendor's code, or ours.")
    error: str | None
    warning: str | None
    twin: int | None
    duplicate_upstream: list[str] | None
    updated_at: Time


class ItemPage(BaseModel):
    items: list[ItemRow]
    next: str | None = Field(
        description="Give it as `cursor` to go on; null at the end. Under narrow filters a page may hold fewer items than "
        "`limit`, none even, and go on all the same."
    )


class SubmissionRow(BaseModel):
    id: int
    short_id: str
    operation: str
    state: Literal["open", "accepted", "refused", "released", "lost"]
    items: int
    written_at: Time
    sent_at: Time | None
    ended_at: Time | None
    task_id: str | None
    code: str | None
    message: str | None
    unmatched: list[str] | None


class EventRow(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    at: Time
    from_: Status | None = Field(alias="from")
    to: Status
    news: str
    detail: str | None


class ItemStory(ItemRow):
    """Everything known about an item: its row, what was sent for it, each change with its cause."""

    size: int | None
    sha256: str | None
    post_id: str | None
    created_at: Time
    wish: dict[str, Any] | None = Field(description="Captions: what was asked.")
    span: list[float] | None
    part_of: int | None
    parts: list[int] | None
    result: dict[str, Any] | None = Field(description="Captions: what came.")
    next_look_at: Time | None
    submissions: list[SubmissionRow]
    events: list[EventRow]


class Change(EventRow):
    """What happened, and the item as it stands now."""

    item: ItemRow


class ChangePage(BaseModel):
    changes: list[Change]
    next: str = Field(description="Give it as `after`; it stays good until events after it are deleted (`retention`).")
    more: bool = Field(description="There are more already: do not wait.")


class CallbackRow(BaseModel):
    id: int
    received_at: Time
    door: str = Field(description="`upload`, `scraper`, `caption` or `account`.")
    state: CallbackState
    tries: int
    submission: str | None
    note: str | None
    body: str = Field(description="As it came, a stranger's text.")


class CallbackPage(BaseModel):
    callbacks: list[CallbackRow]
    next: str | None


class CreatorRow(BaseModel):
    creator: int
    url: str
    platform: str
    kind: Literal["profile", "channel", "playlist", "tag"]
    handle: str
    job: int = Field(description="The job of all its items.")
    unique_id: str
    library: str
    mode: Literal["vendor", "list"]
    limit: int
    schedule: str = Field(description="In words.")
    state: Literal["waiting", "running", "paused", "removed"]
    next_run_at: Time | None
    runs: int
    failures: int = Field(description="In a row; five pause it.")
    trouble: str | None = Field(description="Why it cannot be looked at, where that lasts.")
    pause_reason: str | None
    refresh_seconds: int
    created_at: Time


class RunRow(BaseModel):
    """The report of one look."""

    run: int
    creator: int
    due_at: Time
    started_at: Time
    ended_at: Time | None
    state: Literal["running", "done", "failed"]
    how: Literal["vendor", "list", "full"]
    item: int | None
    seen: int
    new: int
    known: int
    gone: int
    changed: int = Field(description="Another title, or back after it was gone.")
    failed: int = Field(description="Of the new ones, as things stand.")
    calls: int
    complete: bool
    error: str | None


class CreatorList(BaseModel):
    creators: list[CreatorRow]


class CreatorStory(CreatorRow):
    next_runs: list[Time]
    posts: int
    last: RunRow | None


class RunPage(BaseModel):
    runs: list[RunRow]
    next: str | None


class MeasurementRow(BaseModel):
    id: int
    at: Time
    creator: int
    item: int
    url: str
    video_no: str | None
    views: int | None
    likes: int | None
    shares: int | None
    comments: int | None


class Measurements(BaseModel):
    measurements: list[MeasurementRow]
    next: str | None


class LaneRow(BaseModel):
    lane: Lane
    limit: str | None = Field(description="Calls per time, as `INGEST_LIMITS` writes them; null: no limit.")
    margin: float | None = Field(description="Seconds that refusals have added between two calls.")
    next_slot: float | None = Field(description="Seconds until the next call may leave; null: Redis does not answer.")
    in_line: int | None
    items: int = Field(description="Items that wait for it.")
    calls: int = Field(description="Calls that carry them.")
    seconds: float = Field(description="How long the limit lets that take.")
    end: Time | None = Field(description="When the last of them will have left at the earliest.")
    paused: PauseRow | None


class Lanes(BaseModel):
    lanes: list[LaneRow]
    as_of: Time


class Stats(BaseModel):
    counts: Counts
    total: int
    final: int
    paused: list[PauseRow]


class Problem(BaseModel):
    """RFC 9457."""

    type: str = Field(description="Stable: a program may go by it.")
    title: str
    status: int
    detail: str
    code: str | None = Field(default=None, description="The vendor's code, where the trouble is the vendor's.")
    errors: list[dict[str, str]] | None = Field(default=None, description="What is wrong with which field.")


class Health(BaseModel):
    ok: bool
    checks: dict[str, str] = Field(description="`ok`, or what is wrong.")


# What may be asked


class ItemPath(Input):
    item: Id


class JobPath(Input):
    job: Id


class CallbackPath(Input):
    callback: Id


class CreatorPath(Input):
    creator: Id


class LanePath(Input):
    lane: Lane


class AccountPath(Input):
    account: Literal["account", "account:caption"]


Cursor = Annotated[str, Field(max_length=500, description="The `next` of the page before, under the same filters.")]


class JobsQuery(Query):
    limit: int = Field(50, ge=1, le=200)
    cursor: Cursor | None = None


_Most: Any = Field(default=[], max_length=MOST_VALUES)


def _several(kind: Any) -> Any:
    """Words that hold no comma themselves."""
    return Annotated[list[kind], BeforeValidator(_split), _Most]


class ItemsQuery(Query):
    """Each filter that is given must hold, any one of its values will do: repeated, or, of a fixed set, with commas between."""

    status: _several(Status)  # type: ignore[valid-type]
    job: _several(Id)  # type: ignore[valid-type]
    kind: _several(Kind)  # type: ignore[valid-type]
    platform: Annotated[list[Word], _Most]
    lane: _several(Lane)  # type: ignore[valid-type]
    error_code: Annotated[list[Word], _Most]
    namespace: Annotated[list[Word], _Most]
    order: Literal["newest", "oldest"] = "newest"
    limit: int = Field(100, ge=1, le=1000)
    cursor: Cursor | None = None


class CreatorsQuery(Query):
    removed: bool = Field(False, description="Those that are not followed any more as well.")


class RunsQuery(Query):
    limit: int = Field(20, ge=1, le=200)
    cursor: Cursor | None = None


class NumbersQuery(Query):
    limit: int = Field(500, ge=1, le=2000)
    cursor: Cursor | None = None


class ChangesQuery(Query):
    after: Cursor | None = Field(None, description="The `next` of the answer before. Without it: from now on.")
    wait: float = Field(0, ge=0, le=30, description="Seconds to wait for a change where there is none yet.")
    limit: int = Field(200, ge=1, le=1000)


class CallbacksQuery(Query):
    state: _several(CallbackState)  # type: ignore[valid-type]
    limit: int = Field(50, ge=1, le=500)
    cursor: Cursor | None = None


# What may be done


class _Sources(Input):
    sources: list[Source] = Field(
        min_length=1,
        max_length=2000,
        description="Links, posts, and paths below `INGEST_LIBRARY_ROOTS`: files, folders, manifests.",
    )
    priority: Whole = Field(0, ge=-1000, le=1000, description="Higher goes first.")
    again: Flag = Field(False, description="Send even what is known already.")
    skip_invalid: Flag = Field(False, description="Take the good sources and name the bad ones in the answer.")


class Place(Input):
    latitude: Annotated[float, Field(ge=-90, le=90), BeforeValidator(_number)]
    longitude: Annotated[float, Field(ge=-180, le=180), BeforeValidator(_number)]


class AddJob(_Sources):
    """Import files, folders, links, posts and pictures."""

    command: Literal["add"]
    unique_id: Line = "default"
    public: Flag = Field(False, description="Posts into the public library; that cannot be undone.")
    quality: Literal[360, 480, 720, 1080, 1440, 2160] | None = Field(None, description="Most lines of a YouTube video.")
    tags: list[Line] = Field([], max_length=MOST_TAGS)
    datetime_taken: Annotated[str, Field(max_length=100, json_schema_extra={"format": "date-time"})] | None = None
    camera_model: Line | None = None
    place: Place | None = Field(None, description="Where all of them were taken.")
    images: Flag = Field(False, description="Take pictures of folders too.")
    location: Flag = Field(False, description="Tell where pictures were taken (EXIF).")


class Person(Input):
    name: PersonName
    picture: Source


class CaptionJob(_Sources):
    """Ask something about videos and pictures."""

    command: Literal["caption"]
    prompt: Said
    system_prompt: Said | None = None
    persons: list[Person] = Field([], max_length=MOST_PERSONS, description="Who is to be recognised.")
    thinking: Flag = False
    sync: Flag = Field(False, description="Wait for each result in the answer: no public address needed.")
    split: Flag = Field(False, description="Cut longer videos at key frames, join the texts.")


class AdoptJob(Input):
    """Make known what the account holds already."""

    command: Literal["adopt"]
    unique_id: Line = "default"


class NewJob(RootModel[Annotated[Union[AddJob, CaptionJob, AdoptJob], Field(discriminator="command")]]):  # noqa: UP007
    """One of three kinds, told apart by `command`."""


class MadeJob(BaseModel):
    job: int
    items: int
    queued: int
    skipped: int
    problems: list[str] = Field(description="With `skip_invalid`: the sources that were not taken, and why.")


class RetryMany(Order):
    status: list[Literal["FAIL", "CANCELLED"]] = Field([], max_length=2, description="FAIL where nothing is said.")
    error_code: list[Word] = Field([], max_length=MOST_VALUES)
    stage: list[Stage] = Field([], max_length=MOST_VALUES)
    resend: Flag = Field(
        False, description="Send anew even what Memories.ai has, or may have; it may be there twice then."
    )
    dry_run: Flag = Field(False, description="Say what would be done, and change nothing.")


class RetryOne(Order):
    resend: Flag = False
    dry_run: Flag = False


class Retried(BaseModel):
    queued: int
    asked: int
    passed_over: int
    why: list[dict[str, Any]] = Field(description="Of the first hundred that were passed over: item and reason.")


class Cancelled(BaseModel):
    cancelled: int
    going_on: int = Field(description="What Memories.ai has already, or is being sent, goes on.")


class CancelledItem(BaseModel):
    cancelled: bool
    status: Status
    why: str | None = Field(description="Why it was not cancelled.")


class PauseOrder(Order):
    reason: Annotated[str, Field(max_length=500), *_NO_ZERO] = ""
    seconds: Annotated[float, Field(gt=0, le=10 * 365 * 86400), BeforeValidator(_number)] | None = Field(
        None, description="Without it: until resumed."
    )


class Resumed(BaseModel):
    resumed: bool = Field(description="False: nothing of it was paused.")
    paused: PauseRow | None = Field(description="What keeps it from going on all the same.")


class ReplayOrder(Input):
    state: list[CallbackState] = Field(min_length=1, max_length=5)


class Replayed(BaseModel):
    replayed: int


_SHORT = Field(max_length=100)


class FollowOrder(Input):
    """Exactly one of `every` and `cron`."""

    url: Line
    every: Annotated[str, _SHORT] = Field("", description="`6h`, `1d` ...")
    cron: Annotated[str, _SHORT] = Field("", description="Five fields.")
    zone: Annotated[str, _SHORT] = Field("", description="IANA name; UTC where nothing is said.")
    quiet: Annotated[str, _SHORT] = Field("", description="No looks in these hours: `22:00-06:00`.")
    jitter: Annotated[str, _SHORT] = Field("", description="`10%` or `5m`.")
    unique_id: Line = "default"
    public: Flag = False
    limit: Whole = Field(LIMIT, ge=1, le=MOST_POSTS, description="The newest so many posts.")
    mode: Literal["vendor", "list"] = "vendor"
    stop_after: Whole = Field(STOP_AFTER, ge=FEWEST_TO_STOP, le=MOST_POSTS)
    full_every: Whole = Field(FULL_EVERY, ge=1, le=1000)
    not_before: Annotated[str, _SHORT] = ""
    refresh: Annotated[str, _SHORT] = ""


class ReasonOrder(Order):
    reason: Annotated[str, Field(max_length=500), *_NO_ZERO] = ""
