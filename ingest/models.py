"""The tables. Times are integer milliseconds since 1970 UTC (``ingest.clock``)."""

from typing import Any, Literal, get_args

from sqlalchemy import JSON, BigInteger, Column, Index, LargeBinary, MetaData, Text, text
from sqlmodel import Field, SQLModel

#: Named constraints from the first revision on: SQLite can only alter a table whose constraints have names.
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(column_0_N_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
metadata: MetaData = SQLModel.metadata

DEFAULT_NAMESPACE = "default"
PRIVATE = "private"
PUBLIC = "public"


def _ms(*, nullable: bool = True) -> Column:
    return Column(BigInteger, nullable=nullable)


def _json() -> Column:
    return Column(JSON, nullable=True)


def _text() -> Column:
    return Column(Text, nullable=True)


class Job(SQLModel, table=True):
    """One request of a user."""

    id: int | None = Field(default=None, primary_key=True)
    #: The command that made it: ``add``.
    command: str
    unique_id: str = DEFAULT_NAMESPACE
    library: str = PRIVATE
    #: What the user named, as typed.
    sources: list[str] | None = Field(default=None, sa_column=_json())
    priority: int = 0
    created_at: int = Field(sa_column=_ms(nullable=False))
    cancelled_at: int | None = Field(default=None, sa_column=_ms())


class Item(SQLModel, table=True):
    """One piece of work, tracked to its end."""

    __table_args__ = (
        # The claim: due work of a lane, the urgent first, then jobs in turns. QUEUED alone: as small as the backlog.
        Index(
            "ix_item_claim",
            "lane",
            text("priority DESC"),
            "turn",
            "id",
            sqlite_where=text("status = 'QUEUED'"),
            postgresql_where=text("status = 'QUEUED'"),
        ),
        # Questions and deadlines: what is under way and due.
        Index("ix_item_due", "status", "due_at"),
        Index(
            "ix_item_doubled",
            "id",
            sqlite_where=text("duplicate_upstream IS NOT NULL"),
            postgresql_where=text("duplicate_upstream IS NOT NULL"),
        ),
        # Late news about what we gave up ourselves.
        Index(
            "ix_item_late",
            "due_at",
            sqlite_where=text("stage = 'expired' AND hinted_at IS NOT NULL"),
            postgresql_where=text("stage = 'expired' AND hinted_at IS NOT NULL"),
        ),
        Index("ix_item_job_status", "job_id", "status", "id"),
        Index("ix_item_status", "status", "id"),
        # Pages under one filter, at any depth.
        Index("ix_item_job", "job_id", "id"),
        Index("ix_item_kind", "kind", "id"),
        Index("ix_item_lane", "lane", "id"),
        Index("ix_item_namespace", "unique_id", "id"),
        Index(
            "ix_item_platform",
            "platform",
            "id",
            sqlite_where=text("platform IS NOT NULL"),
            postgresql_where=text("platform IS NOT NULL"),
        ),
        Index(
            "ix_item_error_code",
            "error_code",
            "id",
            sqlite_where=text("error_code IS NOT NULL"),
            postgresql_where=text("error_code IS NOT NULL"),
        ),
        Index("ix_item_submission", "submission_id"),
        Index("ix_item_video_no", "video_no"),
        Index("ix_item_twin", "twin_id"),
        Index(
            "ix_item_parent",
            "parent_id",
            sqlite_where=text("parent_id IS NOT NULL"),
            postgresql_where=text("parent_id IS NOT NULL"),
        ),
        Index("ix_item_size", "size", "unique_id"),
        Index("ix_item_sha256", "sha256"),
    )

    id: int | None = Field(default=None, primary_key=True)
    job_id: int = Field(foreign_key="job.id")
    kind: str
    #: The absolute path, or the link as given.
    source: str = Field(sa_column=Column(Text, nullable=False))
    unique_id: str = DEFAULT_NAMESPACE
    library: str = PRIVATE
    lane: str
    priority: int = 0
    #: Its place among the waiting of its lane: jobs that wait together count up together, so they are served in turns.
    turn: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    status: str
    #: QUEUED: not before. UNPARSE, UNSURE: the next question.
    due_at: int = Field(sa_column=_ms(nullable=False))

    platform: str | None = None
    post_id: str | None = None
    quality: int | None = None
    size: int | None = Field(default=None, sa_column=_ms())
    mtime_ns: int | None = Field(default=None, sa_column=_ms())
    sha256: str | None = None
    tags: list[str] | None = Field(default=None, sa_column=_json())
    #: When and where it was taken, by which camera, its title: what the user gave, under our own names.
    details: dict[str, Any] | None = Field(default=None, sa_column=_json())
    #: Captions: ``ingest.captions.Wish`` as JSON.
    wish: dict[str, Any] | None = Field(default=None, sa_column=_json())
    #: What Memories.ai made of it and cannot be asked for again: a caption's text and tokens.
    result: dict[str, Any] | None = Field(default=None, sa_column=_json())
    #: The caption of a longer video, of which this is a part; and which, seconds.
    parent_id: int | None = None
    span: list[float] | None = Field(default=None, sa_column=_json())
    #: Pictures: those of one mark share all that is said of them, so they may travel in one call.
    together: str | None = None
    #: Sent in spite of a twin, because the user said so.
    again: bool = False
    #: Unique while this item owns its content in its namespace and library; NULL for copies and for what freed it.
    holds: str | None = Field(default=None, sa_column=Column(Text, nullable=True, unique=True))
    twin_id: int | None = None

    #: The submission it travels in, or travelled in last.
    submission_id: int | None = Field(default=None, foreign_key="submission.id")
    #: Counted when claimed, before the side effect.
    attempts: int = 0
    #: Workers that died with it in their hands; from two on it travels in a process of its own.
    lost_workers: int = 0
    #: It ended that process: poison, once it is sure that nothing of it arrived.
    killed_alone: bool = False
    #: Raised by every claim: a sender that was overtaken finds another number here.
    fence: int = 0
    #: Questions asked since it was accepted or hinted at: the back-off grows with it.
    asked: int = 0
    #: A callback spoke of it: the list may lag, so ask at short intervals.
    hinted_at: int | None = Field(default=None, sa_column=_ms())

    video_no: str | None = None
    task_id: str | None = None
    stage: str | None = None
    error_code: str | None = None
    error: str | None = Field(default=None, sa_column=_text())
    #: Sent all the same, but the user should know.
    warning: str | None = Field(default=None, sa_column=_text())
    #: Videos upstream that are this item a second time; shown, never deleted by us.
    duplicate_upstream: list[str] | None = Field(default=None, sa_column=_json())
    created_at: int = Field(sa_column=_ms(nullable=False))
    updated_at: int = Field(sa_column=_ms(nullable=False))
    #: Accepted by Memories.ai; deadlines count from here.
    accepted_at: int | None = Field(default=None, sa_column=_ms())


class Submission(SQLModel, table=True):
    """One upstream call that changes something, written down before it is sent."""

    __table_args__ = (
        Index("ix_submission_task_id", "task_id"),
        Index(
            "ix_submission_lease",
            "lease_until",
            sqlite_where=text("state = 'open'"),
            postgresql_where=text("state = 'open'"),
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    #: Ten lower-case base32 letters: in the sent file name and in the callback token.
    short_id: str = Field(unique=True)
    operation: str
    lane: str
    unique_id: str
    library: str = PRIVATE
    account: str
    #: ``open`` until its sender recorded an outcome, then ``accepted``, ``refused``, ``released`` or ``lost``.
    state: str = "open"
    item_ids: list[int] = Field(sa_column=Column(JSON, nullable=False))
    #: What a candidate's name may contain: the last path piece of a link, without extension.
    name_hint: str | None = None
    size: int | None = Field(default=None, sa_column=_ms())
    worker: str
    lease_until: int = Field(sa_column=_ms(nullable=False))
    created_at: int = Field(sa_column=_ms(nullable=False))
    #: The request's first byte was on the wire.
    sent_at: int | None = Field(default=None, sa_column=_ms())
    #: An answer, an error, or (its sender died) the end of its lease.
    ended_at: int | None = Field(default=None, sa_column=_ms())
    task_id: str | None = None
    #: Named by a callback with this submission's token; believed once the vendor confirms it.
    hinted_video_no: str | None = None
    #: The task's callback came (``SUCCEEDED`` or ``FAILED``): look at the task now.
    hinted_task_state: str | None = None
    #: Sweeps that proved absence so far, and when the last of them began.
    absences: int = 0
    absent_at: int | None = Field(default=None, sa_column=_ms())
    code: str | None = None
    message: str | None = Field(default=None, sa_column=_text())
    #: Videos of a task that match none of its items.
    unmatched: list[str] | None = Field(default=None, sa_column=_json())


#: ``parked`` names nothing we know yet, ``unmatched`` never will.
CallbackState = Literal["new", "parked", "applied", "unmatched", "malformed"]
CALLBACK_STATES: tuple[CallbackState, ...] = get_args(CallbackState)


class Callback(SQLModel, table=True):
    """One POST received from Memories.ai, kept raw."""

    __table_args__ = (
        Index(
            "ix_callback_todo",
            "due_at",
            sqlite_where=text("state IN ('new', 'parked')"),
            postgresql_where=text("state IN ('new', 'parked')"),
        ),
        Index(
            "ix_callback_parked",
            "subject",
            sqlite_where=text("state = 'parked'"),
            postgresql_where=text("state = 'parked'"),
        ),
        Index("ix_callback_submission", "short_id"),
        Index("ix_callback_state", "state", "id"),
        # Retention looks for the oldest.
        Index("ix_callback_received", "received_at"),
    )

    id: int | None = Field(default=None, primary_key=True)
    #: The door it came through: ``upload``, ``scraper``, ``caption``, ``account``.
    kind: str
    #: Names its submission; NULL through the account's door.
    short_id: str | None = None
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    received_at: int = Field(sa_column=_ms(nullable=False))
    #: One of ``CALLBACK_STATES``.
    state: str = "new"
    due_at: int = Field(sa_column=_ms(nullable=False))
    tries: int = 0
    #: The video or task that a parked one names: it is tried again when that becomes known.
    subject: str | None = None
    #: What it said and did, in words.
    note: str | None = Field(default=None, sa_column=_text())


class Event(SQLModel, table=True):
    """One change of one item, with its cause: of its status, or (``old`` equals ``new``) of something else that its row shows.

    The order of all events is ``(tx, id)``: numbers of a sequence are committed out of order, but what belongs to transactions older
    than every running one is complete (``ingest.queries.changes``).
    """

    __table_args__ = (
        Index("ix_event_item", "item_id", "id"),
        Index("ix_event_at", "at"),
        Index("ix_event_feed", "tx", "id"),
    )

    id: int | None = Field(default=None, primary_key=True)
    item_id: int
    job_id: int
    at: int = Field(sa_column=_ms(nullable=False))
    old: str | None = None
    new: str
    #: The news that caused it (``ingest.statuses.News``), or ``added``, ``adopted``, ``noted``.
    news: str
    detail: str | None = Field(default=None, sa_column=_text())
    submission_id: int | None = None
    #: How long the item had been in ``old``, ms.
    lasted: int | None = Field(default=None, sa_column=_ms())
    #: PostgreSQL: the transaction that wrote it (the column's default). SQLite has one writer, so its ids alone are in order: 0.
    tx: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default=text("0")))


class Feed(SQLModel, table=True):
    """One row: how far events are counted into tallies, and which were forgotten."""

    id: int = Field(default=1, primary_key=True)
    tx: int = Field(default=0, sa_column=_ms(nullable=False))
    event_id: int = 0
    #: The last event that retention has deleted: who has not read that far has missed something.
    forgotten_tx: int = Field(default=0, sa_column=_ms(nullable=False))
    forgotten_id: int = 0
    #: Places in the order of events hold within one epoch; a database that came from elsewhere begins another.
    epoch: str


class Tally(SQLModel, table=True):
    """What was counted so far. What happened since stands in ``event`` and ``tick``, and is added when somebody reads."""

    name: str = Field(primary_key=True)
    #: 0 for all.
    job_id: int = Field(default=0, primary_key=True)
    label: str = Field(default="", primary_key=True)
    n: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))


class Tick(SQLModel, table=True):
    """One more of something that leaves no event; appended, so that writers never wait for each other's counters."""

    id: int | None = Field(default=None, primary_key=True)
    name: str
    label: str
    n: int = 1


class Token(SQLModel, table=True):
    """Who may use the operator's API. The secret itself is shown once and kept nowhere."""

    id: int | None = Field(default=None, primary_key=True)
    name: str
    #: ``read`` or ``operate``.
    role: str
    #: SHA-256 of the secret, hex.
    digest: str
    created_at: int = Field(sa_column=_ms(nullable=False))
    revoked_at: int | None = Field(default=None, sa_column=_ms())
    #: To the minute or so.
    used_at: int | None = Field(default=None, sa_column=_ms())


class Request(SQLModel, table=True):
    """A request that came with an ``Idempotency-Key``, and what was answered."""

    #: SHA-256 of the token's id and the key, hex.
    key: str = Field(primary_key=True)
    #: SHA-256 of method, path and body, hex.
    digest: str
    #: Who works on it: one try of one process. Empty: nobody, it failed half-way.
    owner: str
    started_at: int = Field(sa_column=_ms(nullable=False))
    #: The job that it has made so far.
    job_id: int | None = None
    #: NULL until it is done.
    status: int | None = None
    location: str | None = None
    body: str | None = Field(default=None, sa_column=_text())


class Creator(SQLModel, table=True):
    """A followed profile, channel, playlist or hashtag, and its schedule (``ingest.schedules``)."""

    __table_args__ = (
        Index("ix_creator_due", "next_run_at"),
        Index("ix_creator_refresh", "refresh_at"),
        Index("uq_creator_followed", "key", "unique_id", "library", unique=True),
    )

    id: int | None = Field(default=None, primary_key=True)
    #: The job that its items belong to.
    job_id: int = Field(foreign_key="job.id")
    #: ``ingest.sources.profiles.Profile``.
    url: str = Field(sa_column=Column(Text, nullable=False))
    platform: str
    kind: str
    handle: str
    key: str
    unique_id: str = DEFAULT_NAMESPACE
    library: str = PRIVATE
    #: How it is looked at: ``vendor`` (Memories.ai scrapes the profile) or ``list`` (yt-dlp lists it, new posts are scraped in batches).
    mode: str = "vendor"
    #: The newest so many posts.
    scrape_limit: int
    #: ``list``: a look ends after so many known posts in a row; each so many runs it goes to the end.
    stop_after: int
    full_every: int
    #: Fresh posts wait until they are so old, seconds.
    not_before: int = 0
    #: The numbers of known public videos are asked for this often, seconds; 0 for never.
    refresh_seconds: int = 0

    every_seconds: int | None = None
    cron: str | None = None
    zone: str = "UTC"
    quiet: str | None = None
    jitter: str | None = None
    #: NULL while it is not followed any more.
    next_run_at: int | None = Field(default=None, sa_column=_ms())
    refresh_at: int | None = Field(default=None, sa_column=_ms())
    created_at: int = Field(sa_column=_ms(nullable=False))
    #: The run under way; the next begins when it has ended.
    running_id: int | None = None
    runs: int = 0
    #: In a row.
    failures: int = 0
    #: Why it cannot be looked at, where that will last (``private``, ``removed`` ...); it is looked at again, seldom.
    trouble: str | None = None
    paused_at: int | None = Field(default=None, sa_column=_ms())
    pause_reason: str | None = Field(default=None, sa_column=_text())


class Run(SQLModel, table=True):
    """One look at a creator, and its report."""

    __tablename__ = "creator_run"
    __table_args__ = (
        Index("uq_creator_run_due", "creator_id", "due_at", unique=True),
        Index(
            "ix_creator_run_open",
            "lease_until",
            sqlite_where=text("state = 'running'"),
            postgresql_where=text("state = 'running'"),
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    creator_id: int = Field(foreign_key="creator.id")
    #: When it was due; no time is run twice.
    due_at: int = Field(sa_column=_ms(nullable=False))
    started_at: int = Field(sa_column=_ms(nullable=False))
    ended_at: int | None = Field(default=None, sa_column=_ms())
    #: ``running``, ``done``, ``failed``.
    state: str = "running"
    #: ``vendor``, ``list``, ``full``.
    how: str = "vendor"
    #: ``vendor``: the item that carries the task.
    item_id: int | None = None
    #: ``list``: who lists it has so long.
    lease_until: int = Field(default=0, sa_column=_ms(nullable=False))
    tries: int = 0
    seen: int = 0
    new: int = 0
    known: int = 0
    gone: int = 0
    #: Another title, or back after it was gone.
    changed: int = 0
    #: Calls to Memories.ai, as far as they are known when the look ends.
    calls: int = 0
    #: Whether all posts were seen, so that a missing one is gone.
    complete: bool = False
    error: str | None = Field(default=None, sa_column=_text())


class CreatorPost(SQLModel, table=True):
    """A post that a creator was seen to have."""

    __tablename__ = "creator_post"
    __table_args__ = (
        Index("ix_creator_post_item", "item_id"),
        Index("ix_creator_post_run", "run_id"),
        Index(
            "ix_creator_post_measure",
            "measure_at",
            sqlite_where=text("measure_at IS NOT NULL"),
            postgresql_where=text("measure_at IS NOT NULL"),
        ),
    )

    creator_id: int = Field(primary_key=True, foreign_key="creator.id")
    #: ``ingest.sources.posts.Post.key``
    key: str = Field(primary_key=True)
    url: str = Field(sa_column=Column(Text, nullable=False))
    title: str | None = Field(default=None, sa_column=_text())
    #: The item that is this post: this creator's, or one that was there before.
    item_id: int | None = None
    #: The run that saw it first.
    run_id: int
    published_at: int | None = Field(default=None, sa_column=_ms())
    seen_at: int = Field(sa_column=_ms(nullable=False))
    #: Looks in a row that should have shown it and did not.
    misses: int = 0
    gone_at: int | None = Field(default=None, sa_column=_ms())
    #: Its numbers are asked for then; NULL until the next time that all of its creator's are.
    measure_at: int | None = Field(default=None, sa_column=_ms())


class Measurement(SQLModel, table=True):
    """The numbers of a public post at one time."""

    __table_args__ = (
        Index("ix_measurement_item", "item_id", "at"),
        Index("ix_measurement_creator", "creator_id", "at"),
    )

    id: int | None = Field(default=None, primary_key=True)
    creator_id: int = Field(foreign_key="creator.id")
    item_id: int
    at: int = Field(sa_column=_ms(nullable=False))
    views: int | None = Field(default=None, sa_column=_ms())
    likes: int | None = Field(default=None, sa_column=_ms())
    shares: int | None = Field(default=None, sa_column=_ms())
    comments: int | None = Field(default=None, sa_column=_ms())


class Pause(SQLModel, table=True):
    """Who stopped what, why, and until when: the account, a lane or a job."""

    #: ``account``, ``account:caption``, ``lane:<name>``, ``job:<id>``
    scope: str = Field(primary_key=True)
    #: ``vendor`` (Memories.ai said so), ``upstream`` (it cannot be reached) or ``operator``; each ends its own alone.
    by: str = Field(primary_key=True)
    code: str | None = None
    reason: str = Field(sa_column=Column(Text, nullable=False))
    #: The key it holds for: a pause for a refused key ends when another key is configured.
    fingerprint: str | None = None
    since: int = Field(sa_column=_ms(nullable=False))
    #: NULL: until somebody resumes it.
    until: int | None = Field(default=None, sa_column=_ms())
    #: How often in a row; the back-off grows with it.
    count: int = 1


class Worker(SQLModel, table=True):
    """Heartbeats: a service runs where one of these is young."""

    name: str = Field(primary_key=True)
    host: str
    pid: int
    started_at: int = Field(sa_column=_ms(nullable=False))
    #: Its own clock says that it lives.
    seen_at: int = Field(sa_column=_ms(nullable=False))
    queues: str = ""
    #: It took a message from the broker: one that is alive and takes none is deaf.
    took_at: int | None = Field(default=None, sa_column=_ms())
    #: It was told to stop: what it leaves behind is not held against its items.
    stopping_at: int | None = Field(default=None, sa_column=_ms())
