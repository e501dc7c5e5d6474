"""Every write. Functions take a session inside ``Database.write()``; the caller's ``with`` is the transaction.

Only :func:`tell` changes an item's status: ``decide``, then ``UPDATE ... WHERE id = ? AND status = ?`` and the event row in the
same transaction. Zero rows updated means somebody was faster: read again, decide again.
"""

import os
import secrets
import socket
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from sqlalchemy import and_, delete, func, insert, literal, not_, null, or_, select, text, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from ingest import access
from ingest.access import Role
from ingest.batching import TOGETHER, batch_limit
from ingest.candidates import known_as
from ingest.clock import now_ms
from ingest.database import Database
from ingest.lanes import Lane
from ingest.models import (
    DEFAULT_NAMESPACE,
    PRIVATE,
    PUBLIC,
    Callback,
    Event,
    Feed,
    Item,
    Job,
    Pause,
    Request,
    Submission,
    Tally,
    Tick,
    Token,
    Worker,
)
from ingest.queries import (
    before_horizon,
    between,
    commands_of_jobs,
    horizon,
    not_counted,
    owned,
    owners,
    queued,
    say_bucket,
    sources_in_job,
)
from ingest.retrying import Action, Standing, same_content
from ingest.retrying import decide as decide_retry
from ingest.sources.found import Found, Kind
from ingest.sources.links import normalise
from ingest.sources.posts import Post
from ingest.statuses import News, Stage, Status, decide, frees_content
from ingest.tokens import new_short_id
from ingest.upstream.fields import Video, Word

_job = Job.__table__  # type: ignore[attr-defined]
_item = Item.__table__  # type: ignore[attr-defined]
_submission = Submission.__table__  # type: ignore[attr-defined]
_callback = Callback.__table__  # type: ignore[attr-defined]
_event = Event.__table__  # type: ignore[attr-defined]
_pause = Pause.__table__  # type: ignore[attr-defined]
_worker = Worker.__table__  # type: ignore[attr-defined]
_feed = Feed.__table__  # type: ignore[attr-defined]
_tally = Tally.__table__  # type: ignore[attr-defined]
_tick = Tick.__table__  # type: ignore[attr-defined]
_token = Token.__table__  # type: ignore[attr-defined]
_request = Request.__table__  # type: ignore[attr-defined]

#: An item whose request got lost so often, each time provably without arriving, is given up.
MOST_ATTEMPTS = 5

_LANE_OF = {
    Kind.FILE: Lane.UPLOAD,
    Kind.LINK: Lane.UPLOAD,
    Kind.POST: Lane.SCRAPE,
    Kind.CREATOR: Lane.SCRAPE,
    Kind.IMAGE: Lane.IMAGE,
    Kind.CAPTION: Lane.CAPTION_VIDEO,
}


def _upsert(session: Session):
    return sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert


# Jobs and items


def add_job(
    session: Session, command: str, sources: Sequence[str], unique_id: str, library: str, priority: int = 0
) -> int:
    job = Job(
        command=command,
        sources=list(sources),
        unique_id=unique_id,
        library=library,
        priority=priority,
        created_at=now_ms(),
    )
    session.add(job)
    session.flush()
    assert job.id is not None
    return job.id


@dataclass(frozen=True, slots=True)
class Added:
    queued: int = 0
    skipped: int = 0

    def __add__(self, other: "Added") -> "Added":
        return Added(self.queued + other.queued, self.skipped + other.skipped)


def add_items(
    session: Session,
    job: Job,
    found: Sequence[Found],
    hashes: Mapping[str, str],
    *,
    again: bool = False,
    turns: dict[Lane, int] | None = None,
) -> Added:
    """Write the items of a chunk; copies of what is there already, or of each other, become SKIPPED and name their twin.

    ``hashes``: sha256 by source, for the files whose size says that their content could matter. ``again``: send in spite of twins.
    ``turns``: the last turn of this job on each lane, kept between its chunks.
    """
    turns = {} if turns is None else turns
    wholes = found
    found = [one for whole in wholes for one in (whole, *whole.parts)]
    ids = _reserve_ids(session, len(found))
    rows = [
        _row(job, one, hashes.get(one.source), again) | {"id": number} for number, one in zip(ids, found, strict=True)
    ]
    _tie_parts(wholes, rows)
    keys = [None if again or one.skip else _holds(row, one) for one, row in zip(found, rows, strict=True)]
    names = [None if again or one.skip else _known_as(row, one) for one, row in zip(found, rows, strict=True)]
    owners = _owners(session, [key for key in keys if key])
    adopted = _owners(session, [name for name in names if name])
    for one, row, key, name in zip(found, rows, keys, names, strict=True):
        if one.skip:
            code = "picture" if one.kind is Kind.IMAGE else "not_a_video"
            row.update(status=Status.SKIPPED, error_code=code, error=one.skip)
        elif name and name in adopted:
            row.update(copy_of(*adopted[name]))
        elif key and key in owners:
            row.update(copy_of(*owners[key]))
        elif key:
            row["holds"] = key
            owners[key] = (row["id"], one.source)
    _skip_parts_of_copies(rows)
    for row in rows:
        if row["status"] == Status.QUEUED:
            row["turn"] = turns[row["lane"]] = _turn_after(session, row["lane"], turns)
    session.execute(insert(_item), rows)
    session.execute(insert(_event), [_added_event(row) for row in rows])
    queued = sum(row["status"] in (Status.QUEUED, Status.UNPARSE) for row in rows)
    return Added(queued, len(rows) - queued)


def not_yet_in(session: Session, job_id: int, found: Sequence[Found]) -> list[Found]:
    """Those of a chunk that the job has no items of; two that continue one job at once see each other's."""
    _before_other_adds(session)
    known = sources_in_job(session, job_id, [one.source for one in found])
    return [one for one in found if one.source not in known]


@dataclass(frozen=True, slots=True)
class Reported:
    """A post that Memories.ai reports to have scraped without having been asked for it by name."""

    found: Found
    video_no: str


def add_reported(
    session: Session, job: Job, submission: Submission, parent_id: int, reported: Sequence[Reported]
) -> dict[str, tuple[int, bool]]:
    """Items for what a look at a creator has brought, already at Memories.ai: (id, whether it is new) by the key of the post."""
    _before_other_adds(session)
    by_key = {one.found.key: one for one in reported if one.found.key}
    library, now = submission.library, now_ms()
    holds = {key: holds_key(submission.unique_id, library, key) for key in by_key}
    owners = _owners(session, list(holds.values()))
    outcome = {key: (owners[hold][0], False) for key, hold in holds.items() if hold in owners}
    for key, (item_id, _) in outcome.items():
        note_second_video(session, item_id, by_key[key].video_no)
    fresh = [key for key in by_key if key not in outcome]
    rows = []
    for number, key in zip(_reserve_ids(session, len(fresh)), fresh, strict=True):
        row = _row(job, by_key[key].found, None, False) | {"id": number, "holds": holds[key], "parent_id": parent_id}
        row |= {"status": Status.UNPARSE, "video_no": by_key[key].video_no, "task_id": submission.task_id}
        rows.append(row | {"submission_id": submission.id, "accepted_at": now})
        outcome[key] = (number, True)
    if rows:
        session.execute(insert(_item), rows)
        session.execute(insert(_event), [_added_event(row) | {"submission_id": submission.id} for row in rows])
        unpark(session, *[row["video_no"] for row in rows])
    return outcome


def _tie_parts(wholes: Sequence[Found], rows: Sequence[dict[str, Any]]) -> None:
    """A whole is never sent: it waits for its parts."""
    place = 0
    for whole in wholes:
        parent, parts = rows[place], rows[place + 1 : place + 1 + len(whole.parts)]
        place += 1 + len(parts)
        if parts:
            parent.update(status=Status.UNPARSE, accepted_at=parent["created_at"])
        for part in parts:
            part["parent_id"] = parent["id"]


def _skip_parts_of_copies(rows: Sequence[dict[str, Any]]) -> None:
    copies = {row["id"]: row for row in rows if row["status"] == Status.SKIPPED}
    for row in rows:
        if row["parent_id"] in copies:
            whole = copies[row["parent_id"]]
            # Without a twin: a part alone is nobody's heir.
            row.update({name: whole[name] for name in ("status", "error_code", "error")}, holds=None)


def _turn_after(session: Session, lane: Lane, turns: Mapping[Lane, int]) -> int:
    """The next turn of a job: it begins where the lane stands now, not behind the whole backlog."""
    if lane in turns:
        return turns[lane] + 1
    waiting = queued(select(_item.c.turn)).where(_item.c.lane == lane)
    return session.execute(waiting.order_by(_item.c.priority.desc(), _item.c.turn, _item.c.id).limit(1)).scalar() or 0


def _reserve_ids(session: Session, count: int) -> list[int]:
    """Ids before the insert, so that twins of one chunk can name each other."""
    if session.get_bind().dialect.name == "sqlite":  # BEGIN IMMEDIATE: nobody else inserts meanwhile
        last = session.execute(select(func.max(_item.c.id))).scalar() or 0
        return list(range(last + 1, last + 1 + count))
    _before_other_adds(session)
    statement = text("SELECT nextval(pg_get_serial_sequence('item', 'id')) FROM generate_series(1, :n)")
    return [int(value) for (value,) in session.execute(statement, {"n": count})]


def _before_other_adds(session: Session) -> None:
    """Two adds at once must see each other's items. SQLite has one writer anyhow."""
    if session.get_bind().dialect.name != "sqlite":
        session.execute(text("SELECT pg_advisory_xact_lock(721004)"))


def _added_event(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "item_id": row["id"],
        "job_id": row["job_id"],
        "at": row["created_at"],
        "new": row["status"],
        "news": "added",
        "detail": row["error"],
    }


def _row(job: Job, one: Found, sha256: str | None, again: bool) -> dict[str, Any]:
    now = now_ms()
    options = one.options
    library = options.library or job.library
    details = {name: getattr(options, name) for name in DETAILS}
    return {
        "job_id": job.id,
        "kind": one.kind,
        "source": one.source,
        # The public library knows no namespaces (contract A.7): with one name for all, batches are full.
        "unique_id": DEFAULT_NAMESPACE if library == PUBLIC else options.unique_id or job.unique_id,
        "library": library,
        "lane": one.lane or _LANE_OF[one.kind],
        "priority": job.priority,
        "turn": 0,
        "status": Status.QUEUED,
        "due_at": now,
        "platform": one.platform,
        "post_id": one.post_id,
        # The vendor heeds it for YouTube alone (contract B.2 U3); elsewhere it would only split batches.
        "quality": options.quality if one.platform == "youtube" else None,
        "size": one.size,
        "mtime_ns": one.mtime_ns,
        "sha256": sha256,
        "tags": list(options.tags) or None,
        "details": {name: value for name, value in details.items() if value is not None} or None,
        "again": again,
        "wish": one.wish,
        "span": list(one.span) if one.span else None,
        "parent_id": None,
        "together": one.together,
        "holds": None,
        "twin_id": None,
        "accepted_at": None,
        "attempts": 0,
        "fence": 0,
        "asked": 0,
        "error_code": None,
        "error": None,
        "created_at": now,
        "updated_at": now,
    }


#: What ``item.details`` may hold; names as in manifests.
DETAILS = ("datetime_taken", "camera_model", "latitude", "longitude", "title")


def _holds(row: Mapping[str, Any], one: Found) -> str | None:
    key = f"file:{row['sha256']}" if one.kind is Kind.FILE and row["sha256"] else one.key
    return holds_key(row["unique_id"], row["library"], key) if key else None


def _known_as(row: Mapping[str, Any], one: Found) -> str | None:
    """What an adopted video that is this file would be known as."""
    if one.kind is not Kind.FILE or not one.size:
        return None
    return holds_key(row["unique_id"], row["library"], known_as(PurePath(one.source).name, one.size))


def adopt(session: Session, job: Job, videos: Sequence[Video]) -> Added:
    """Rows for what the account held before us, so that old videos are nobody's candidates and files already there are known."""
    known = owned(session, [video.video_no for video in videos])
    fresh = [video for video in videos if video.video_no not in known]
    now = now_ms()
    rows = []
    for number, video in zip(_reserve_ids(session, len(fresh)), fresh, strict=True):
        found = Found(Kind.FILE, video.name or video.video_no, size=video.size)
        row = _row(job, found, None, False) | {"id": number, "video_no": video.video_no, "stage": None}
        row["accepted_at"] = video.created_ms or now
        row["holds"] = _known_as(row, found)
        row["status"] = _ADOPTED[video.word]
        if video.word is Word.BROKEN:
            cause = video.cause or "no cause was given"
            row.update(stage=Stage.UPSTREAM, error_code="not_indexed", error=f"Memories.ai could not index it: {cause}")
        rows.append(row)
    taken = set(_owners(session, [row["holds"] for row in rows if row["holds"]]))
    for row in rows:  # two videos of one name and size: the first is the one that files are compared with
        if row["holds"] in taken:
            row["holds"] = None
        elif row["holds"]:
            taken.add(row["holds"])
    if rows:
        session.execute(insert(_item), rows)
        session.execute(insert(_event), [_added_event(row) | {"news": "adopted"} for row in rows])
    return Added(len(rows), len(videos) - len(rows))


_ADOPTED = {Word.READY: Status.PARSE, Word.BROKEN: Status.FAIL, Word.PENDING: Status.UNPARSE}


def holds_key(unique_id: str, library: str, key: str) -> str:
    """What may exist once per namespace and library. The public library knows no namespaces (contract A.7)."""
    return f"{library}|{unique_id if library == PRIVATE else ''}|{key}"


def _owners(session: Session, keys: Sequence[str]) -> dict[str, tuple[int, str]]:
    found: dict[str, tuple[int, str]] = {}
    for start in range(0, len(keys), 500):
        query = select(_item.c.holds, _item.c.id, _item.c.source).where(_item.c.holds.in_(keys[start : start + 500]))
        # Locked (Postgres): an owner that is about to free its content must see the copies that name it.
        query = query.order_by(_item.c.id).with_for_update()
        found.update({row.holds: (row.id, row.source) for row in session.execute(query)})
    return found


def copy_of(twin_id: int, source: str = "") -> dict[str, Any]:
    """What a row says when its twin went before it."""
    named = f" ({source})" if source else ""
    return {
        "status": Status.SKIPPED,
        "error_code": "duplicate",
        "error": f"the same as item {twin_id}{named}; not sent again",
        "twin_id": twin_id,
    }


def learn_content(
    session: Session, item_id: int, sha256: str, size: int, mtime_ns: int | None
) -> tuple[int, str] | None:
    """Note a file's hash and let the item own that content; the twin (id, source) when another item owns it already."""
    item = session.execute(select(_item.c.unique_id, _item.c.library, _item.c.holds).where(_item.c.id == item_id)).one()
    key = holds_key(item.unique_id, item.library, f"file:{sha256}")
    owner = _owners(session, [key]).get(key)
    values: dict[str, Any] = {"sha256": sha256, "size": size}
    if mtime_ns is not None:
        values["mtime_ns"] = mtime_ns
    mine = update(_item).where(_item.c.id == item_id)
    if owner is None:
        try:
            with session.begin_nested():
                session.execute(mine.values(**values, holds=key))
            return None
        except IntegrityError:  # Postgres: another turn has learned the same of another file a moment ago
            owner = _owners(session, [key]).get(key)
    session.execute(mine.values(**values))
    return owner if owner and owner[0] != item_id else None


def warn(session: Session, item_id: int, warning: str) -> None:
    session.execute(update(_item).where(_item.c.id == item_id).values(warning=warning))
    _note(session, [item_id], warning)


def tell(
    session: Session,
    item_id: int,
    news: News,
    *,
    detail: str | None = None,
    submission_id: int | None = None,
    values: Mapping[str, Any] | None = None,
    guard: Any = None,
    now: int | None = None,
) -> Status | None:
    """Apply ``news`` to an item; its new status, or None where it stays. ``values`` are written with the change only.

    ``guard``: a further condition on the row, for example the fence of the sender that speaks.
    """
    now = now or now_ms()
    while True:
        condition = _item.c.id == item_id if guard is None else and_(_item.c.id == item_id, guard)
        columns = (_item.c.status, _item.c.stage, _item.c.job_id, _item.c.updated_at)
        row = session.execute(select(*columns).where(condition)).one_or_none()
        if row is None:
            return None
        verdict = decide(Status(row.status), news, row.stage)
        if verdict is None:
            return None
        changed = {
            "status": verdict.to,
            "stage": verdict.stage,
            "updated_at": now,
            **({} if verdict.to is Status.FAIL else {"error": None, "error_code": None}),
            **(values or {}),
        }
        result = session.execute(update(_item).where(condition, _item.c.status == row.status).values(**changed))
        if result.rowcount == 0:  # type: ignore[attr-defined]
            continue
        session.execute(
            insert(_event).values(
                item_id=item_id,
                job_id=row.job_id,
                at=now,
                old=row.status,
                new=verdict.to,
                news=news,
                detail=detail or changed.get("error"),
                submission_id=submission_id,
                lasted=max(0, now - row.updated_at),
            )
        )
        if frees_content(verdict.to, verdict.stage):
            _free(session, item_id, now)
        return verdict.to


def _note(session: Session, item_ids: Sequence[int], detail: str) -> None:
    """Something that their rows show has changed, and not their status: history and followers of the feed hear of it all the same."""
    columns = ["item_id", "job_id", "at", "old", "new", "news", "detail"]
    same = (_item.c.status, _item.c.status, literal("noted"), literal(detail))
    rows = select(_item.c.id, _item.c.job_id, literal(now_ms()), *same)
    for start in range(0, len(item_ids), 500):
        chosen = rows.where(_item.c.id.in_(item_ids[start : start + 500]))
        session.execute(insert(_event).from_select(columns, chosen, include_defaults=False))


def _free(session: Session, item_id: int, now: int) -> None:
    """Nothing of this item is upstream: the first copy that was skipped for its sake is sent after all, and owns the content."""
    holds = session.execute(select(_item.c.holds).where(_item.c.id == item_id)).scalar()
    session.execute(update(_item).where(_item.c.id == item_id).values(holds=None))
    copies = select(_item.c.id, _item.c.wish).where(_item.c.twin_id == item_id, _item.c.status == Status.SKIPPED)
    # A video in parts is not sent as it is; it is added again by whoever wants it.
    heirs = [row.id for row in session.execute(copies.order_by(_item.c.id)) if not (row.wish or {}).get("parts")]
    if not heirs:
        return
    heir, *others = heirs
    values = {"twin_id": None, "holds": holds, "due_at": now}
    if tell(session, heir, News.TWIN_GONE, detail=f"item {item_id} will not be sent", values=values, now=now):
        for start in range(0, len(others), 500):
            copy = copy_of(heir)
            rows = _item.c.id.in_(others[start : start + 500])
            session.execute(update(_item).where(rows).values(twin_id=heir, error=copy["error"]))
        _note(session, others, f"item {item_id} will not be sent; the twin is item {heir} now")


def cancel_job(database: Database, job_id: int) -> int:
    """Cancel what of a job waits; how many items. In small transactions: a turn or the receiver never waits for it."""
    with database.write() as session:
        session.execute(
            update(_job).where(_job.c.id == job_id, _job.c.cancelled_at.is_(None)).values(cancelled_at=now_ms())
        )
    stopped = 0
    while True:
        with database.write() as session:
            waiting = select(_item.c.id).where(_item.c.job_id == job_id, _item.c.status == Status.QUEUED)
            ids = list(session.execute(waiting.order_by(_item.c.id).limit(500)).scalars())
            stopped += sum(tell(session, number, News.CANCEL) is not None for number in ids)
        if not ids:
            return stopped


# A lane's turn


#: Items that so many workers died with are suspects: they travel apart, in a process of their own. One more, and each is alone.
SUSPECT, ALONE = 2, 3


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a turn has in its hands: one submission, written down, and its items."""

    submission: Submission
    items: list[Item]
    fences: dict[int, int]

    @property
    def suspect(self) -> bool:
        return self.items[0].lost_workers >= SUSPECT


def claim(
    session: Session,
    lane: Lane,
    account: str,
    lease_seconds: float,
    held_jobs: Sequence[int] = (),
    *,
    suspects: bool = True,
) -> Claimed | None:
    """Take the next batch of a lane and write its submission down; None when nothing is due. Without ``suspects`` those wait."""
    now = now_ms()
    items = _next_batch(session, lane, now, held_jobs, suspects)
    if not items:
        return None
    submission = _write_submission(session, items, account, now + round(lease_seconds * 1000), now)
    fences = {}
    for item in items:
        assert item.id is not None
        values = {"submission_id": submission.id, "attempts": item.attempts + 1, "fence": item.fence + 1}
        if tell(session, item.id, News.CLAIMED, submission_id=submission.id, values=values, now=now):
            fences[item.id] = item.fence + 1
    return Claimed(submission, items, fences)


def claimed_as(session: Session, submission_id: int) -> Claimed | None:
    """What another process claimed for this one; None when it is not open any more."""
    submission = session.get(Submission, submission_id)
    if submission is None or submission.state != "open":
        return None
    mine = and_(_item.c.submission_id == submission_id, _item.c.status == Status.SENDING)
    items = list(session.execute(select(Item).where(mine).order_by(_item.c.id)).scalars())
    return Claimed(submission, items, {item.id: item.fence for item in items if item.id}) if items else None


def _next_batch(session: Session, lane: Lane, now: int, held_jobs: Sequence[int], suspects: bool) -> list[Item]:
    """The most urgent due item and, on the scrape lane, those that may travel with it. Postgres: rows locked by others are passed over."""
    due = [_item.c.lane == lane, _item.c.due_at <= now]
    if held_jobs:
        due.append(_item.c.job_id.not_in(held_jobs))
    if not suspects:
        due.append(_item.c.lost_workers < SUSPECT)
    query = queued(select(Item)).where(*due).order_by(_item.c.priority.desc(), _item.c.turn, _item.c.id)
    first = session.execute(query.limit(1).with_for_update(skip_locked=True)).scalars().one_or_none()
    if first is None or batch_limit(lane) == 1 or first.lost_workers >= ALONE:
        return [first] if first else []
    alike = [_item.c[name].is_not_distinct_from(getattr(first, name)) for name in TOGETHER]
    # One that may take its company down travels with its like only.
    alike.append(_item.c.lost_workers == SUSPECT if first.lost_workers == SUSPECT else _item.c.lost_workers < SUSPECT)
    batch = query.where(*alike).limit(batch_limit(lane)).with_for_update(skip_locked=True)
    return list(session.execute(batch).scalars())


_OPERATION = {
    Kind.FILE: "upload",
    Kind.LINK: "upload_url",
    Kind.POST: "scraper_url",
    Kind.CREATOR: "scraper",
    Kind.IMAGE: "upload_img",
}
#: How a caption is asked for: its result comes by callback, or in the answer.
CAPTION, CAPTION_NOW = "caption", "caption_now"


def _write_submission(session: Session, items: Sequence[Item], account: str, lease_until: int, now: int) -> Submission:
    first = items[0]
    if first.kind == Kind.CAPTION:
        operation = CAPTION_NOW if (first.wish or {}).get("now") else CAPTION
    else:
        operation = _OPERATION[Kind(first.kind)]
    submission = Submission(
        short_id=new_short_id(),
        operation=operation + ("_public" if first.library == "public" and first.lane == Lane.SCRAPE else ""),
        lane=first.lane,
        unique_id=first.unique_id,
        library=first.library,
        account=account,
        item_ids=[item.id for item in items if item.id is not None],
        name_hint=_link_stem(first.source) if first.kind == Kind.LINK else None,
        size=first.size if first.kind == Kind.FILE else None,
        worker=worker_name(),
        lease_until=lease_until,
        created_at=now,
    )
    session.add(submission)
    session.flush()
    return submission


def _link_stem(url: str) -> str | None:
    """The last path piece of a link, without extension: what the vendor names the video after (contract B.2 U2)."""
    from urllib.parse import unquote, urlsplit

    piece = unquote(urlsplit(url).path.rstrip("/").rpartition("/")[2])
    stem = piece.rpartition(".")[0] or piece
    return stem or None


def holds_lease(session: Session, submission_id: int, for_seconds: float = 0.0) -> bool:
    """The fence: true while the submission is still its sender's, and for so long. Read right before the request is written."""
    until = now_ms() + round(for_seconds * 1000)
    mine = and_(_submission.c.id == submission_id, _submission.c.state == "open", _submission.c.lease_until > until)
    # An item that an earlier, late answer has settled meanwhile is not sent again.
    waiting = select(_item.c.id).where(_item.c.submission_id == submission_id, _item.c.status == Status.SENDING)
    return session.execute(select(_submission.c.id).where(mine, waiting.exists())).one_or_none() is not None


def renew(session: Session, submission_ids: Iterable[int], lease_seconds: float) -> None:
    """Keep the leases of what this process is sending."""
    mine = and_(_submission.c.id.in_(list(submission_ids)), _submission.c.state == "open")
    session.execute(update(_submission).where(mine).values(lease_until=now_ms() + round(lease_seconds * 1000)))


def close_submission(
    session: Session, submission_id: int, state: str, *, was: Sequence[str] = ("open",), **values: Any
) -> bool:
    """Note what became of a submission; False when it was closed already."""
    mine = and_(_submission.c.id == submission_id, _submission.c.state.in_(was))
    closed = update(_submission).where(mine).values(state=state, **values).returning(_submission.c.lane)
    lane = session.execute(closed).scalar_one_or_none()
    if lane is not None:
        _count(session, "submission", f"{lane} {state}")
    return lane is not None


def _count(session: Session, name: str, label: str, n: int = 1) -> None:
    session.execute(insert(_tick).values(name=name, label=label, n=n))


def accepted(
    session: Session,
    claimed: Claimed,
    *,
    video_no: str | None,
    task_id: str | None,
    sent_at: int | None,
    due_at: int,
) -> None:
    """The answer came. It counts even when its lease had run out meanwhile."""
    now = now_ms()
    submission_id = claimed.submission.id
    assert submission_id is not None
    values: dict[str, Any] = {"ended_at": now, "sent_at": sent_at, "code": "0000"}
    if task_id:
        values["task_id"] = task_id
    close_submission(session, submission_id, "accepted", was=("open", "lost"), **values)
    unpark(session, video_no, task_id)
    hints = select(_submission.c.hinted_video_no, _submission.c.hinted_task_state).where(
        _submission.c.id == submission_id
    )
    # A callback may be faster than the answer of its own request: then there is something to ask about at once.
    early = now if any(session.execute(hints).one()) else None
    for item_id in claimed.fences:
        taken = {
            "submission_id": submission_id,
            "video_no": video_no,
            "task_id": task_id,
            "accepted_at": now,
            "due_at": early or due_at,
            "hinted_at": early,
            "asked": 0,
        }
        if not tell(session, item_id, News.ACCEPTED, submission_id=submission_id, values=taken, now=now) and video_no:
            note_second_video(session, item_id, video_no)


def completed(
    session: Session, submission_id: int, results: Mapping[int, Mapping[str, Any]], *, sent_at: int | None = None
) -> None:
    """The answer, or the callback that carries it, has all there is to know: ready at once. ``results``: values by item.

    It counts whatever happened meanwhile, and changes nothing the second time.
    """
    now = now_ms()
    ended = {"ended_at": now, "code": "0000"} | ({"sent_at": sent_at} if sent_at else {})
    close_submission(session, submission_id, "accepted", was=("open", "lost"), **ended)
    for item_id, values in results.items():
        tell(session, item_id, News.READY, submission_id=submission_id, values=values, now=now)


def let_go(session: Session, item_id: int) -> None:
    """Nothing of it was ever asked: the same may be asked again."""
    session.execute(update(_item).where(_item.c.id == item_id).values(holds=None))


def end_one(session: Session, claimed: Claimed, item: Item, news: News, **values: Any) -> "Claimed | None":
    """One item of a batch is not sent; what remains of the claim, None when nothing does."""
    assert item.id is not None and claimed.submission.id is not None
    number = claimed.submission.id
    left = [one for one in claimed.items if one is not item]
    fences = {item_id: fence for item_id, fence in claimed.fences.items() if item_id != item.id}
    tell(session, item.id, news, submission_id=number, values=values)
    if not left:
        close_submission(session, number, "released", ended_at=now_ms(), message=str(values["error"]))
        return None
    session.execute(update(_submission).where(_submission.c.id == number).values(item_ids=list(fences)))
    claimed.submission.item_ids = list(fences)
    return Claimed(claimed.submission, left, fences)


def separate(session: Session, claimed: Claimed, detail: str, code: str) -> None:
    """One bad picture refuses the whole call (contract B.2 U9): next time each travels alone."""
    assert claimed.submission.id is not None
    if not close_submission(session, claimed.submission.id, "refused", ended_at=now_ms(), code=code, message=detail):
        return
    for item_id, fence in claimed.fences.items():
        values = {"due_at": now_ms(), "attempts": _item.c.attempts - 1, "together": f"alone:{item_id}"}
        tell(
            session,
            item_id,
            News.RELEASED,
            detail=detail,
            submission_id=claimed.submission.id,
            values=values,
            guard=_item.c.fence == fence,
        )


def note_result(session: Session, item_id: int, result: Mapping[str, Any], detail: str) -> None:
    """What has come of an item so far."""
    session.execute(update(_item).where(_item.c.id == item_id).values(result=dict(result)))
    _note(session, [item_id], detail)


def note_second_video(session: Session, item_id: int, video_no: str) -> None:
    """A second video turned up for one item: recorded and shown; deleting it is a person's choice."""
    row = session.execute(select(_item.c.video_no, _item.c.duplicate_upstream).where(_item.c.id == item_id)).one()
    known = row.duplicate_upstream or []
    if video_no in (row.video_no, *known):
        return
    if row.video_no is None:
        session.execute(update(_item).where(_item.c.id == item_id).values(video_no=video_no))
        _note(session, [item_id], f"it is video {video_no}")
    else:
        session.execute(update(_item).where(_item.c.id == item_id).values(duplicate_upstream=[*known, video_no]))
        _note(session, [item_id], f"a second video turned up for it: {video_no}")


def refused(session: Session, claimed: Claimed, code: str, message: str, sent_at: int | None) -> None:
    submission_id = claimed.submission.id
    assert submission_id is not None
    closed = close_submission(
        session,
        submission_id,
        "refused",
        was=("open", "lost"),
        ended_at=now_ms(),
        sent_at=sent_at,
        code=code,
        message=message,
    )
    if closed:
        for item_id in claimed.fences:
            tell(
                session,
                item_id,
                News.REFUSED,
                guard=_item.c.submission_id == submission_id,
                submission_id=submission_id,
                values={"error_code": code, "error": f"Memories.ai refused it: {message}"},
            )


def released(
    session: Session,
    claimed: Claimed,
    detail: str,
    *,
    delay_seconds: float = 0.0,
    code: str | None = None,
) -> None:
    """Surely not sent, or refused for reasons that are not the items': back to the queue, no attempt burnt."""
    now = now_ms()
    submission_id = claimed.submission.id
    assert submission_id is not None
    if not close_submission(session, submission_id, "released", ended_at=now, code=code, message=detail):
        return
    for item_id, fence in claimed.fences.items():
        values = {"due_at": now + round(delay_seconds * 1000), "attempts": _item.c.attempts - 1}
        guard = _item.c.fence == fence
        tell(
            session,
            item_id,
            News.RELEASED,
            detail=detail,
            submission_id=submission_id,
            values=values,
            guard=guard,
            now=now,
        )


def lost(
    session: Session,
    submission_id: int,
    item_ids: Iterable[int],
    detail: str,
    *,
    ended_at: int,
    sent_at: int | None,
    code: str | None = None,
    marks: Mapping[str, Any] | None = None,
) -> None:
    """Bytes may have left and no verdict came: UNSURE, to be settled by a callback or by asking."""
    if not close_submission(
        session, submission_id, "lost", ended_at=ended_at, sent_at=sent_at, code=code, message=detail
    ):
        return
    for item_id in item_ids:
        guard = _item.c.submission_id == submission_id
        tell(
            session,
            item_id,
            News.LOST,
            detail=detail,
            submission_id=submission_id,
            values={"due_at": now_ms(), "asked": 0, **(marks or {})},
            guard=guard,
        )


def expire_leases(session: Session, lease_seconds: float) -> int:
    """Senders that died: their submissions are lost, at the end of their lease. Returns how many."""
    now = now_ms()
    dead = (
        select(
            _submission.c.id,
            _submission.c.item_ids,
            _submission.c.lease_until,
            _submission.c.worker,
            _submission.c.created_at,
            _worker.c.stopping_at,
            _worker.c.started_at,
            _worker.c.seen_at,
        )
        .select_from(_submission.outerjoin(_worker, _worker.c.name == _submission.c.worker))
        .where(text("submission.state = 'open'"), _submission.c.lease_until <= now)
    )
    rows = session.execute(dead.limit(200)).all()
    for row in rows:
        end = _end_of_sender(row, lease_seconds)
        lost(
            session,
            row.id,
            row.item_ids,
            f"its sender ({row.worker}) {end}",
            ended_at=row.lease_until,
            sent_at=None,
            marks={"lost_workers": _item.c.lost_workers + 1} if end == _DIED else {},
        )
    return len(rows)


_DIED = "died"


def _end_of_sender(row: Any, lease_seconds: float) -> str:
    """Only a death is held against the items: not a stop that took too long, nor an outcome that the database did not take."""
    if row.stopping_at is not None:
        return "was stopped"
    same = row.seen_at is not None and row.started_at <= row.created_at
    # Leases and heartbeats are renewed together, so the last heartbeat of a dead one lies a whole lease before the end of its lease.
    if same and row.seen_at > row.lease_until - lease_seconds * 500:
        return "lost sight of it"
    return _DIED


def killed(session: Session, claimed: Claimed, words: str, *, sent_at: int | None) -> None:
    """The process that ran these items alone died of them. ``sent_at``: from when on bytes may have left, None where surely none did."""
    submission_id = claimed.submission.id
    assert submission_id is not None
    marks = {"lost_workers": _item.c.lost_workers + 1, "killed_alone": len(claimed.items) == 1}
    if sent_at is not None:  # whether it arrived is asked first: poison means that nothing of it is upstream
        lost(session, submission_id, claimed.fences, words, ended_at=now_ms(), sent_at=sent_at, marks=marks)
        return
    if not close_submission(session, submission_id, "released", ended_at=now_ms(), message=words):
        return
    for item_id, fence in claimed.fences.items():
        guard = _item.c.fence == fence
        if marks["killed_alone"]:
            values = {**marks, **poison(claimed.items[0], claimed.items[0].lost_workers)}
            tell(session, item_id, News.POISONED, submission_id=submission_id, values=values, guard=guard)
        else:  # each of them runs alone next time
            values = {**marks, "due_at": now_ms()}
            tell(session, item_id, News.RELEASED, detail=words, submission_id=submission_id, values=values, guard=guard)


def poison(item: Item, workers: int) -> dict[str, Any]:
    """What the row of an item says that ends whoever works on it; ``workers``: how many before the process that had it alone."""
    return {
        "error_code": "poison",
        "error": f"{workers} workers died with it in their hands, and then the process that had nothing else to do; "
        f"once the cause is found: ingest retry {item.id}",
    }


# Questions and what they find


def take_due(
    session: Session,
    status: Status,
    limit: int,
    hold_seconds: float,
    *,
    lanes: Collection[Lane] = (),
    has_video: bool | None = None,
) -> list[Item]:
    """Items to ask about now, put off by ``hold_seconds`` so that nobody else asks meanwhile and a crash costs no more than that."""
    due = [_item.c.status == status, _item.c.due_at <= now_ms()]
    if lanes:
        due.append(_item.c.lane.in_(lanes))
    if has_video is not None:
        due.append(_item.c.video_no.is_not(None) if has_video else _item.c.video_no.is_(None))
    return _take(session, due, limit, hold_seconds)


def take_late(session: Session, limit: int, hold_seconds: float) -> list[Item]:
    """Items that we gave up ourselves and a callback spoke of since."""
    due = [_item.c.stage == "expired", _item.c.hinted_at.is_not(None), _item.c.due_at <= now_ms()]
    due.append(_item.c.lane.in_([Lane.UPLOAD, Lane.SCRAPE]))
    return _take(session, due, limit, hold_seconds)


def _take(session: Session, due: Sequence[Any], limit: int, hold_seconds: float) -> list[Item]:
    chosen = select(_item.c.id).where(*due).order_by(_item.c.due_at).limit(limit).with_for_update(skip_locked=True)
    ids = list(session.execute(chosen).scalars())
    if not ids:
        return []
    until = now_ms() + round(hold_seconds * 1000)
    session.execute(update(_item).where(_item.c.id.in_(ids)).values(due_at=until))
    return list(session.execute(select(Item).where(_item.c.id.in_(ids)).order_by(_item.c.id)).scalars())


def no_late_news(session: Session, item_ids: Sequence[int]) -> None:
    """The hint about an item we gave up led nowhere."""
    session.execute(update(_item).where(_item.c.id.in_(item_ids)).values(hinted_at=None))


def found_video(session: Session, item_id: int, video_no: str) -> None:
    """A task names the video of a post that is not ready yet."""
    found = update(_item).where(_item.c.id == item_id, _item.c.video_no.is_(None)).values(video_no=video_no)
    if session.execute(found).rowcount:  # type: ignore[attr-defined]
        _note(session, [item_id], f"it is video {video_no}")
    unpark(session, video_no)
    # A post that a person had sent again: its repeated scrape may yield the video that was set aside then.
    row = session.execute(select(_item.c.video_no, _item.c.duplicate_upstream).where(_item.c.id == item_id)).one()
    if row.video_no in (row.duplicate_upstream or ()):
        others = [number for number in row.duplicate_upstream if number != row.video_no]
        session.execute(update(_item).where(_item.c.id == item_id).values(duplicate_upstream=others or null()))
        _note(session, [item_id], f"the video set aside, {row.video_no}, is its own again")


def ask_again(session: Session, item: Item, delay_seconds: float) -> None:
    """No news of this item: ask again later, and count the question. A hint that came while it was asked keeps it due."""
    unhinted = _item.c.hinted_at.is_(None) if item.hinted_at is None else _item.c.hinted_at == item.hinted_at
    session.execute(
        update(_item)
        .where(_item.c.id == item.id, unhinted)
        .values(due_at=now_ms() + round(delay_seconds * 1000), asked=_item.c.asked + 1)
    )


def put_off(session: Session, item_ids: Sequence[int], seconds: float) -> None:
    """The question could not be asked: due again after so many seconds."""
    until = now_ms() + round(seconds * 1000)
    for start in range(0, len(item_ids), 500):
        session.execute(update(_item).where(_item.c.id.in_(item_ids[start : start + 500])).values(due_at=until))


def make_due(session: Session, item_ids: Sequence[int]) -> None:
    """A hint came: ask about these now, and soon again if the list lags behind."""
    for start in range(0, len(item_ids), 500):
        rows = and_(
            _item.c.id.in_(item_ids[start : start + 500]),
            or_(_item.c.status.in_([Status.UNPARSE, Status.UNSURE]), _item.c.stage == "expired"),
        )
        session.execute(update(_item).where(rows).values(due_at=now_ms(), asked=0, hinted_at=now_ms()))


def count_absence(session: Session, submission_id: int, started_at: int) -> None:
    """A complete sweep, begun at ``started_at``, showed no candidate for this submission."""
    session.execute(
        update(_submission)
        .where(_submission.c.id == submission_id)
        .values(absences=_submission.c.absences + 1, absent_at=started_at)
    )


def note_unmatched(session: Session, submission_id: int, video_nos: Sequence[str]) -> None:
    session.execute(update(_submission).where(_submission.c.id == submission_id).values(unmatched=list(video_nos)))


# Callbacks


def take_callbacks(session: Session, limit: int, hold_seconds: float = 30.0) -> list[Callback]:
    """Callbacks to apply, put off so that nobody else applies them meanwhile."""
    now = now_ms()
    # Written out, so that the planner can prove that the partial index holds.
    due = select(_callback.c.id).where(text("callback.state IN ('new', 'parked')"), _callback.c.due_at <= now)
    chosen = due.order_by(_callback.c.due_at, _callback.c.id).limit(limit).with_for_update(skip_locked=True)
    ids = list(session.execute(chosen).scalars())
    if not ids:
        return []
    session.execute(
        update(_callback)
        .where(_callback.c.id.in_(ids))
        .values(due_at=now + round(hold_seconds * 1000), tries=_callback.c.tries + 1)
    )
    return list(session.execute(select(Callback).where(_callback.c.id.in_(ids)).order_by(_callback.c.id)).scalars())


def callback_done(
    session: Session, callback_id: int, state: str, note: str, delay_seconds: float = 0.0, subject: str | None = None
) -> None:
    """What became of a callback; ``subject``: the video or task that a parked one waits for."""
    values = {"state": state, "note": note, "due_at": now_ms() + round(delay_seconds * 1000), "subject": subject}
    done = update(_callback).where(_callback.c.id == callback_id).values(**values).returning(_callback.c.kind)
    kind = session.execute(done).scalar_one_or_none()
    if kind is not None:
        _count(session, "callback", f"{kind} {state}")


def unpark(session: Session, *subjects: str | None) -> None:
    """A video or task is known now: the callbacks that named it too early are applied next."""
    known = [subject for subject in subjects if subject]
    if known:
        parked = select(_callback.c.id).where(text("callback.state = 'parked'"), _callback.c.subject.in_(known))
        # One that the inbox has in hand is passed over: it is tried again by itself, and to wait for it may be a deadlock.
        ids = list(session.execute(parked.with_for_update(skip_locked=True)).scalars())
        if ids:
            session.execute(update(_callback).where(_callback.c.id.in_(ids)).values(due_at=now_ms()))


def hint_submission(session: Session, submission_id: int, **hints: Any) -> None:
    """What a callback with this submission's token named: believed once the vendor confirms it."""
    session.execute(update(_submission).where(_submission.c.id == submission_id).values(**hints))


# Retention


def forget_callbacks(session: Session, before_ms: int, limit: int) -> int:
    """Raw callbacks that were dealt with and are older; how many. What they brought about stays."""
    old = select(_callback.c.id).where(
        _callback.c.received_at < before_ms, _callback.c.state.in_(["applied", "unmatched", "malformed"])
    )
    ids = list(session.execute(old.order_by(_callback.c.received_at).limit(limit)).scalars())
    session.execute(delete(_callback).where(_callback.c.id.in_(ids)))
    if ids:  # who watches the list notices by the number
        _count(session, "callback", "any forgotten", len(ids))
    return len(ids)


def forget_events(session: Session, ids: Sequence[int]) -> None:
    """Those of these events that are counted; who follows the feed and has not read them yet is told so."""
    counted = and_(
        _event.c.id.in_(ids), not_(not_counted(session)), _event.c.id != select(_feed.c.event_id).scalar_subquery()
    )
    gone = session.execute(delete(_event).where(counted).returning(_event.c.tx, _event.c.id)).all()
    if not gone:
        return
    last = max((row.tx, row.id) for row in gone)
    behind = tuple_(_feed.c.forgotten_tx, _feed.c.forgotten_id) < tuple_(*last)
    session.execute(update(_feed).where(behind).values(forgotten_tx=last[0], forgotten_id=last[1]))


# Counting

#: Events counted in one transaction.
_COUNTED_AT_ONCE = 5000


def fold(session: Session, limit: int = _COUNTED_AT_ONCE) -> int:
    """Count events and ticks into the tallies; how many there were. One process at a time does it, the others go away.

    Nothing is counted twice or missed: events up to the place in ``feed`` are in the tallies, later ones are added by whoever reads.
    """
    place = session.execute(select(_feed).with_for_update(skip_locked=True)).one_or_none()
    if place is None:
        return 0
    upto, number = _end_of_chunk(session, (place.tx, place.event_id), limit)
    grown: Counter[tuple[str, int, str]] = Counter()
    if upto is not None:
        chunk = between(session, (place.tx, place.event_id), upto)
        _count_events(session, chunk, grown)
        session.execute(update(_feed).values(tx=upto[0], event_id=upto[1]))
    ticked = _take_ticks(session, limit)
    for name, label, n in ticked:
        grown[name, 0, label] += n
    _grow(session, grown)
    return number + len(ticked)


def _end_of_chunk(session: Session, place: tuple[int, int], limit: int) -> tuple[tuple[int, int] | None, int]:
    near = select(_event.c.tx, _event.c.id).where(between(session, place), *before_horizon(horizon(session)))
    rows = session.execute(near.order_by(_event.c.tx, _event.c.id).limit(limit)).all()
    return (tuple(rows[-1]), len(rows)) if rows else (None, 0)


def _count_events(session: Session, chunk: Any, grown: Counter[tuple[str, int, str]]) -> None:
    moved = select(_event.c.job_id, _event.c.old, _event.c.new, func.count().label("n")).where(chunk)
    for row in session.execute(moved.group_by(_event.c.job_id, _event.c.old, _event.c.new)):
        for job_id in (0, row.job_id):
            grown["events", job_id, ""] += row.n
            grown["items", job_id, row.new] += row.n
            if row.old is not None:
                grown["items", job_id, row.old] -= row.n
    stayed = select(_event.c.old, _event.c.new, _event.c.lasted, _item.c.lane, _item.c.hinted_at, _item.c.kind)
    stayed = stayed.select_from(_event.join(_item, _item.c.id == _event.c.item_id)).where(
        chunk, _event.c.lasted.is_not(None)
    )
    for row in session.execute(stayed):
        grown["stayed", 0, f"{row.lane} {row.old} {say_bucket(row.lasted)}"] += 1
        grown["stayed_ms", 0, f"{row.lane} {row.old}"] += row.lasted
        if _without_callback(row):
            grown["no_callback", 0, row.lane] += 1


def _without_callback(row: Any) -> bool:
    """A video that was settled by asking alone, though callbacks were there to be sent."""
    settled = row.old in (Status.UNPARSE, Status.UNSURE) and row.new in (Status.PARSE, Status.FAIL)
    return settled and row.hinted_at is None and row.kind in (Kind.FILE, Kind.LINK, Kind.POST)


def _take_ticks(session: Session, limit: int) -> list[tuple[str, str, int]]:
    oldest = select(_tick.c.id).order_by(_tick.c.id).limit(limit)
    taken = delete(_tick).where(_tick.c.id.in_(oldest)).returning(_tick.c.name, _tick.c.label, _tick.c.n)
    return [(row.name, row.label, row.n) for row in session.execute(taken)]


def _grow(session: Session, grown: Mapping[tuple[str, int, str], int]) -> None:
    rows = [{"name": name, "job_id": job, "label": label, "n": n} for (name, job, label), n in grown.items() if n]
    if rows:
        statement = _upsert(session)(_tally)
        added = {"n": _tally.c.n + statement.excluded.n}
        session.execute(statement.on_conflict_do_update(index_elements=["name", "job_id", "label"], set_=added), rows)


def count_all(database: Database) -> None:
    """Until nothing much is left to count, in small transactions."""
    while True:
        with database.write() as session:
            if fold(session) < _COUNTED_AT_ONCE:
                return


def rebase_events(session: Session) -> bool:
    """A dump that was loaded into another PostgreSQL cluster has events of transactions to come: nothing would ever be older than all
    running ones. They become the oldest, what was counted is counted anew, and followers of the feed begin again. False where all is well.
    """
    if session.get_bind().dialect.name == "sqlite":
        return False
    newest = session.execute(select(func.max(_event.c.tx))).scalar() or 0
    following = session.execute(text("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")).scalar_one()
    if newest < following:
        return False
    session.execute(text("LOCK TABLE item, event, feed IN SHARE ROW EXCLUSIVE MODE"))
    session.execute(update(_event).values(tx=0))
    last = session.execute(select(func.max(_event.c.id))).scalar() or 0
    values = {"tx": 0, "event_id": last, "forgotten_tx": 0, "forgotten_id": 0, "epoch": secrets.token_hex(4)}
    session.execute(update(_feed).values(**values))
    session.execute(delete(_tally).where(_tally.c.name == "items"))
    columns = ["name", "job_id", "label", "n"]
    for job_id in (_item.c.job_id, literal(0)):
        again = select(literal("items"), job_id, _item.c.status, func.count()).group_by(job_id, _item.c.status)
        session.execute(insert(_tally).from_select(columns, again))
    return True


# Pauses


def pause(
    session: Session,
    scope: str,
    *,
    by: str,
    reason: str,
    code: str | None = None,
    fingerprint: str | None = None,
    seconds: float | None = None,
) -> None:
    now = now_ms()
    until = None if seconds is None else now + round(seconds * 1000)
    row = {
        "scope": scope,
        "by": by,
        "code": code,
        "reason": reason,
        "fingerprint": fingerprint,
        "since": now,
        "until": until,
    }
    statement = _upsert(session)(_pause).values(**row, count=1)
    # `since` stays that of the first one: it says how long the trouble lasts.
    later = {name: value for name, value in row.items() if name not in ("scope", "by", "since")}
    session.execute(
        statement.on_conflict_do_update(index_elements=["scope", "by"], set_={**later, "count": _pause.c.count + 1})
    )


def resume(session: Session, scope: str, *, by: Sequence[str] = ()) -> bool:
    """End a pause, if it is by one of ``by`` (by anyone when empty); False when there was none."""
    condition = and_(_pause.c.scope == scope, _pause.c.by.in_(by)) if by else _pause.c.scope == scope
    return bool(session.execute(delete(_pause).where(condition)).rowcount)  # type: ignore[attr-defined]


def forget_ended_pauses(session: Session, after_seconds: float) -> None:
    """Pauses that ended by time a while ago: the next trouble is a new story, its back-off starts small."""
    session.execute(delete(_pause).where(_pause.c.until < now_ms() - round(after_seconds * 1000)))


# Operator's commands

#: Who set a pause: a person. Nobody else ends it.
OPERATOR = "operator"
#: Rows of one transaction: a turn or the receiver never waits long for it.
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Retried:
    """What ``retry`` did with an item, and where that had stood."""

    item: Item
    action: Action
    why: str | None = None


def retry(
    database: Database, item_ids: Sequence[int], *, resend: bool = False, dry_run: bool = False
) -> Iterator[Retried]:
    """Give items another chance, as ``ingest.retrying`` decides; in id order, each told about after its commit."""
    turns: dict[int, dict[Lane, int]] = defaultdict(dict)
    taken: dict[str, tuple[int, str]] = {}
    for start in range(0, len(item_ids), _AT_ONCE):
        with database.read() if dry_run else database.write() as session:
            if not dry_run:
                _before_other_adds(session)
            items = _items_of(session, item_ids[start : start + _AT_ONCE])
            decided = _decide_retries(session, items, taken, resend)
            done = decided if dry_run else [_retry(session, one, turns[one.item.job_id]) for one in decided]
            if not dry_run:
                _run_again(session, {one.item.job_id for one in done if one.action is not Action.PASSED_OVER})
        yield from done


def _items_of(session: Session, ids: Sequence[int]) -> list[Item]:
    found = list(session.execute(select(Item).where(_item.c.id.in_(ids)).order_by(_item.c.id)).scalars())
    session.expunge_all()  # as they were read: what is undone later must not expire them
    return found


def _decide_retries(
    session: Session, items: Sequence[Item], taken: dict[str, tuple[int, str]], resend: bool
) -> list[Retried]:
    """``taken``: contents that items of this retry own again, kept between its pages."""
    commands = commands_of_jobs(session, {item.job_id for item in items})
    contents = {item.id: _content_to_own(item) for item in items}
    held = owners(session, [key for keys in contents.values() for key in keys]) | taken
    found = []
    for item in items:
        decision = decide_retry(_standing(item, adopted=commands.get(item.job_id) == "adopt"), resend=resend)
        if decision.action is Action.QUEUED:
            owner = next((held[key] for key in contents[item.id] if key in held), None)
            if owner is not None:
                decision = same_content(*owner)
            elif key := _key_to_hold(item):
                held[key] = taken[key] = (item.id or 0, Status.QUEUED.value)
        found.append(Retried(item, decision.action, decision.why))
    return found


def _standing(item: Item, *, adopted: bool) -> Standing:
    stage = Stage(item.stage) if item.stage else None
    whole = bool((item.wish or {}).get("parts"))
    return Standing(Status(item.status), stage, item.error_code, item.video_no, item.twin_id, adopted, item.kind, whole)


def _key_to_hold(item: Item) -> str | None:
    """What an item that freed its content must own again, as ``add_items`` gives it. A file's may only be learned at its turn."""
    if item.again or item.holds is not None:
        return None
    key = None
    if item.kind == Kind.LINK:
        key = f"link:{normalise(item.source)}"
    elif item.kind == Kind.POST and item.platform and item.post_id:
        key = Post(item.platform, item.post_id).key
    elif item.kind == Kind.CAPTION:
        key = (item.wish or {}).get("key")
    elif item.kind in (Kind.FILE, Kind.IMAGE) and item.sha256:
        key = f"file:{item.sha256}"
    return holds_key(item.unique_id, item.library, key) if key else None


def _content_to_own(item: Item) -> list[str]:
    """Under which keys another item may have its content by now: its own, and the name that an adopted video is known by."""
    if item.again or item.holds is not None:
        return []
    key, name = _key_to_hold(item), None
    if item.kind == Kind.FILE and item.size:
        name = holds_key(item.unique_id, item.library, known_as(PurePath(item.source).name, item.size))
    return [one for one in (key, name) if one]


def _retry(session: Session, one: Retried, turns: dict[Lane, int]) -> Retried:
    """Carry out what was decided, unless the item has moved since it was read."""
    item = one.item
    assert item.id is not None
    if one.action is Action.PASSED_OVER:
        return one
    as_read = ("status", "stage", "error_code", "video_no", "submission_id", "holds")
    guard = and_(*[_item.c[name].is_not_distinct_from(getattr(item, name)) for name in as_read])
    now = now_ms()
    if one.action is Action.ASKED:
        values: dict[str, Any] = {"accepted_at": now, "due_at": now, "asked": 0, "hinted_at": None}
        news, detail = News.IDENTIFIED, "a person has it asked about again"
    else:
        turn = _turn_after(session, Lane(item.lane), turns)
        values = _as_new(item, now) | {"turn": turn}
        news, detail = News.RETRY, "a person sends it again"
    try:
        with session.begin_nested() if "holds" in values else nullcontext():
            told = tell(session, item.id, news, detail=detail, values=values, guard=guard, now=now)
    except IntegrityError:  # Postgres: a worker learned just now that its file has this content
        return Retried(item, Action.PASSED_OVER, "another item has taken over its content just now")
    if told is None:
        return Retried(item, Action.PASSED_OVER, "it has moved on just now")
    if one.action is Action.QUEUED:
        turns[Lane(item.lane)] = values["turn"]
    return one


def _as_new(item: Item, now: int) -> dict[str, Any]:
    """An item that is sent again begins anew. A video it had stays known as its second one: owned, shown, nobody's candidate."""
    values: dict[str, Any] = {
        **dict.fromkeys(("twin_id", "hinted_at", "accepted_at", "video_no", "task_id", "warning")),
        **dict.fromkeys(("attempts", "lost_workers", "asked"), 0),
        "killed_alone": False,
        "due_at": now,
    }
    if key := _key_to_hold(item):
        values["holds"] = key
    if item.video_no:
        known = item.duplicate_upstream or []
        values["duplicate_upstream"] = [*known, *({item.video_no} - set(known))]
    return values


def _run_again(session: Session, job_ids: Collection[int]) -> None:
    if job_ids:
        session.execute(update(_job).where(_job.c.id.in_(job_ids)).values(cancelled_at=None))


def cancel_items(database: Database, item_ids: Sequence[int]) -> Iterator[tuple[int, Status, bool]]:
    """Cancel those that wait: (id, its status now, whether that was done here)."""
    for start in range(0, len(item_ids), _AT_ONCE):
        done = []
        with database.write() as session:
            for number in item_ids[start : start + _AT_ONCE]:
                parts = select(_item.c.id).where(_item.c.parent_id == number)
                several = [number, *session.execute(parts).scalars()]
                stopped = any([tell(session, one, News.CANCEL) is not None for one in several])
                status = session.execute(select(_item.c.status).where(_item.c.id == number)).scalar_one()
                done.append((number, Status(status), stopped))
        yield from done


def pause_by_operator(session: Session, scope: str, reason: str, seconds: float | None = None) -> bool:
    """Set an operator's pause, or replace its reason and end; True when one stood already."""
    mine = and_(_pause.c.scope == scope, _pause.c.by == OPERATOR)
    session.execute(delete(_pause).where(mine, _pause.c.until <= now_ms()))
    stood = session.execute(select(_pause.c.scope).where(mine)).first() is not None
    pause(session, scope, by=OPERATOR, reason=reason, seconds=seconds)
    return stood


def replay_callbacks(database: Database, callback_ids: Sequence[int]) -> int:
    """Have callbacks applied once more; how many."""
    replayed = 0
    for start in range(0, len(callback_ids), _AT_ONCE):
        chosen = _callback.c.id.in_(callback_ids[start : start + _AT_ONCE])
        with database.write() as session:
            result = session.execute(
                update(_callback).where(chosen).values(state="new", due_at=now_ms(), tries=0, subject=None)
            )
            replayed += result.rowcount  # type: ignore[attr-defined]
            _count(session, "callback", "any replayed", result.rowcount)  # type: ignore[attr-defined]
    return replayed


# Tokens of the operator's API


def add_token(session: Session, name: str, role: Role) -> str | None:
    """A new token, to be shown once; None where one of this name is in use."""
    _one_at_a_time(session)
    if session.execute(select(_token.c.id).where(_token.c.name == name, _token.c.revoked_at.is_(None))).first():
        return None
    secret = access.new_secret()
    row = Token(name=name, role=role, digest=access.digest(secret), created_at=now_ms())
    session.add(row)
    session.flush()
    assert row.id is not None
    return access.format_token(row.id, secret)


def first_token(session: Session) -> str | None:
    """The token that a first start makes; None where there has ever been one."""
    _one_at_a_time(session)
    if session.execute(select(_token.c.id).limit(1)).first():
        return None
    return add_token(session, access.FIRST, Role.OPERATE)


def _one_at_a_time(session: Session) -> None:
    if session.get_bind().dialect.name != "sqlite":
        session.execute(text("SELECT pg_advisory_xact_lock(721005)"))


def revoke_token(session: Session, name: str) -> bool:
    """False where no token of this name is in use."""
    mine = and_(_token.c.name == name, _token.c.revoked_at.is_(None))
    return bool(session.execute(update(_token).where(mine).values(revoked_at=now_ms())).rowcount)  # type: ignore[attr-defined]


def token_used(session: Session, token_id: int) -> None:
    session.execute(update(_token).where(_token.c.id == token_id).values(used_at=now_ms()))


# Requests that must not be carried out twice

#: What was answered is remembered so long, seconds.
_REMEMBERED = 24 * 3600


def begin_request(session: Session, key: str, digest: str, owner: str) -> Request | None:
    """Take a request on; the row of an earlier one with this key, as it stands, where there is one."""
    now = now_ms()
    session.execute(delete(_request).where(_request.c.started_at < now - _REMEMBERED * 1000))
    row = {"key": key, "digest": digest, "owner": owner, "started_at": now}
    begin = _upsert(session)(_request).values(**row).on_conflict_do_nothing().returning(_request.c.key)
    while not session.execute(begin).first():
        if (earlier := session.get(Request, key)) is not None:
            return earlier
        # It came to nothing at this very moment, and its key is free.
    return None


def take_over_request(session: Session, earlier: Request, owner: str) -> bool:
    """Go on with a request whose owner is gone; False where somebody was faster."""
    as_read = and_(_request.c.key == earlier.key, _request.c.owner == earlier.owner, _request.c.status.is_(None))
    taken = update(_request).where(as_read).values(owner=owner, started_at=now_ms())
    return bool(session.execute(taken).rowcount)  # type: ignore[attr-defined]


def request_made_job(session: Session, key: str, owner: str, job_id: int) -> bool:
    """False where it was taken over: who was thought dead must not make a second job."""
    return bool(session.execute(_of(key, owner).values(job_id=job_id)).rowcount)  # type: ignore[attr-defined]


def end_request(session: Session, key: str, owner: str, status: int, location: str | None, body: str) -> None:
    session.execute(_of(key, owner).values(status=status, location=location, body=body))


def renew_request(session: Session, key: str, owner: str) -> None:
    session.execute(_of(key, owner).values(started_at=now_ms()))


def leave_request(session: Session, key: str, owner: str) -> None:
    """It failed half-way: whoever sends it again goes on with its job."""
    session.execute(_of(key, owner).values(owner=""))


def drop_request(session: Session, key: str, owner: str) -> None:
    """It came to nothing and changed nothing: the same key may be tried again."""
    session.execute(delete(_request).where(_request.c.key == key, _request.c.owner == owner))


def _of(key: str, owner: str) -> Any:
    return update(_request).where(_request.c.key == key, _request.c.owner == owner)


# Heartbeats


def worker_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def heartbeat(
    session: Session, started_at: int, queues: str = "", took_at: int | None = None, stopping_at: int | None = None
) -> None:
    """This worker process lives; ``took_at``: when it last took a message from the broker."""
    now = now_ms()
    row = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started_at": started_at,
        "seen_at": now,
        "queues": queues,
        "took_at": took_at,
        "stopping_at": stopping_at,
    }
    # The whole row: in a container another process may have had this name before.
    statement = _upsert(session)(_worker).values(name=worker_name(), **row)
    session.execute(statement.on_conflict_do_update(index_elements=["name"], set_=row))
    session.execute(delete(_worker).where(_worker.c.seen_at < now - 24 * 3600 * 1000))


def heart_stops(session: Session) -> None:
    session.execute(delete(_worker).where(_worker.c.name == worker_name()))
