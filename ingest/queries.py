"""Every read, for the command line, the workers and the operator's door alike. Functions take a session."""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, false, func, literal, or_, select, text, true, tuple_, union_all
from sqlmodel import Session

from ingest.batching import TOGETHER, calls_needed
from ingest.clock import iso, now_ms
from ingest.lanes import ALSO, SENDING_LANES, Lane, Limit
from ingest.models import (
    PRIVATE,
    Callback,
    Creator,
    CreatorPost,
    Event,
    Feed,
    Item,
    Job,
    Measurement,
    Pause,
    Run,
    Submission,
    Tally,
    Tick,
    Token,
    Worker,
)
from ingest.settings import Account, Settings
from ingest.statuses import FINAL, OPEN, Status

_job = Job.__table__  # type: ignore[attr-defined]
_item = Item.__table__  # type: ignore[attr-defined]
_submission = Submission.__table__  # type: ignore[attr-defined]
_event = Event.__table__  # type: ignore[attr-defined]
_worker = Worker.__table__  # type: ignore[attr-defined]
_pause = Pause.__table__  # type: ignore[attr-defined]
_callback = Callback.__table__  # type: ignore[attr-defined]
_feed = Feed.__table__  # type: ignore[attr-defined]
_tally = Tally.__table__  # type: ignore[attr-defined]
_tick = Tick.__table__  # type: ignore[attr-defined]
_creator = Creator.__table__  # type: ignore[attr-defined]
_run = Run.__table__  # type: ignore[attr-defined]
_measurement = Measurement.__table__  # type: ignore[attr-defined]
_creator_post = CreatorPost.__table__  # type: ignore[attr-defined]
_token = Token.__table__  # type: ignore[attr-defined]

_PAGE = 500


# Where things stand


def counts(session: Session, job_id: int | None = None) -> dict[str, int]:
    """Items by status, every status named, of a job or of all; exact, and as cheap at a million items as at ten."""
    return counts_of_jobs(session, [job_id or 0])[job_id or 0]


def counts_of_jobs(session: Session, job_ids: Sequence[int]) -> dict[int, dict[str, int]]:
    """As :func:`counts`, of several jobs (0: of all)."""
    wanted = [number for number in job_ids if number]
    counted = select(_tally.c.job_id, _tally.c.label, _tally.c.n).where(
        _tally.c.name == "items", _tally.c.job_id.in_(list(job_ids))
    )
    later = not_counted(session)
    tails = []
    if wanted:
        tails.append((_event.c.job_id, _event.c.job_id.in_(wanted)))
    if 0 in job_ids:
        tails.append((literal(0), true()))
    moved = []
    for number, which in tails:
        moved.append(select(number, _event.c.new, literal(1)).where(later, which))
        moved.append(select(number, _event.c.old, literal(-1)).where(later, which, _event.c.old.is_not(None)))
    both = union_all(counted, *moved).subquery()
    number, label, n = both.c
    found: dict[int, dict[str, int]] = {one: {status.value: 0 for status in Status} for one in job_ids}
    for row in session.execute(select(number, label, func.sum(n)).group_by(number, label)):
        found[row[0]][row[1]] = int(row[2])
    return found


def not_counted(session: Session) -> Any:
    """Events that are not in the tallies yet. To be added to what is, both must be of one moment: read in one ``Database.read()``.

    As bound values, not as subqueries: of those PostgreSQL believes that a third of all events lies beyond them.
    """
    tx, event_id = session.execute(select(_feed.c.tx, _feed.c.event_id)).one()
    return between(session, (tx, event_id))


def version(session: Session, job_id: int | None = None) -> int:
    """How many events there were, of a job or in all: it grows whenever anything that an item shows has changed."""
    counted = select(_tally.c.n).where(
        _tally.c.name == "events", _tally.c.job_id == (job_id or 0), _tally.c.label == ""
    )
    later = select(func.count()).select_from(_event).where(not_counted(session))
    if job_id:
        later = later.where(_event.c.job_id == job_id)
    both = select(func.coalesce(counted.scalar_subquery(), 0) + later.scalar_subquery())
    return int(session.execute(both).scalar_one())


def uncounted(session: Session) -> tuple[int, int | None]:
    """How many events and ticks wait to be counted, and since when the oldest of these events does, ms."""
    row = session.execute(select(func.count(), func.min(_event.c.at)).where(not_counted(session))).one()
    return int(row[0]) + int(session.execute(select(func.count()).select_from(_tick)).scalar_one()), row[1]


def tallies(session: Session, *names: str) -> dict[tuple[str, str], int]:
    """(name, label) -> how many, of what is counted over all jobs."""
    counted = select(_tally.c.name, _tally.c.label, _tally.c.n).where(_tally.c.name.in_(names), _tally.c.job_id == 0)
    later = select(_tick.c.name, _tick.c.label, _tick.c.n).where(_tick.c.name.in_(names))
    both = union_all(counted, later).subquery()
    name, label, n = both.c
    return {
        (row[0], row[1]): int(row[2]) for row in session.execute(select(name, label, func.sum(n)).group_by(name, label))
    }


#: Upper bounds of what a histogram tells apart, seconds.
BUCKETS = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600, 7 * 86400)


def say_bucket(ms: int) -> str:
    """The bound of the bucket that a time falls into: ``60``, ``inf``."""
    return next((f"{bound:g}" for bound in BUCKETS if ms <= bound * 1000), "inf")


# What happened, in order


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the order of events. Those of another epoch mean nothing."""

    epoch: str
    tx: int
    id: int


class Forgotten(Exception):
    """What came after this place is not all there any more, or the place is not of this database; a sentence."""


def between(session: Session, after: tuple[int, int], upto: tuple[int, int] | None = None) -> Any:
    """Events after one place (tx, id) and up to another, in a form whose index both databases use."""
    if (
        session.get_bind().dialect.name == "sqlite"
    ):  # one transaction for all; a row value would be compared by it alone
        found = [_event.c.tx == after[0], _event.c.id > after[1]]
        return and_(*found) if upto is None else and_(*found, _event.c.id <= upto[1])
    place = tuple_(_event.c.tx, _event.c.id)
    return place > tuple_(*after) if upto is None else and_(place > tuple_(*after), place <= tuple_(*upto))


def horizon(session: Session) -> int | None:
    """Events of transactions before this one are complete: each has ended. None where ids alone are in order (SQLite, one writer).

    A sequence's numbers are committed out of order on PostgreSQL, so a follower that went by them would miss the late ones.
    """
    if session.get_bind().dialect.name == "sqlite":
        return None
    return int(session.execute(text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")).scalar_one())


def before_horizon(limit: int | None) -> list[Any]:
    return [] if limit is None else [_event.c.tx < limit]


def newest_place(session: Session) -> Place:
    """Where a follower begins that wants to hear of what happens from now on."""
    epoch = session.execute(select(_feed.c.epoch)).scalar_one()
    last = select(_event.c.tx, _event.c.id).where(*before_horizon(horizon(session)))
    row = session.execute(last.order_by(_event.c.tx.desc(), _event.c.id.desc()).limit(1)).one_or_none()
    return Place(epoch, row.tx, row.id) if row else Place(epoch, 0, 0)


def changes(session: Session, after: Place, limit: int) -> tuple[list[dict[str, Any]], Place]:
    """What happened after a place, in order and without a gap, and the place that this reaches to. :class:`Forgotten` is a sentence.

    Each change names what happened and carries the item as it stands *now*. Two transactions that change one item one after the other
    may be listed the other way round on PostgreSQL; who keeps the item of the last change seen has its true state in any order.
    """
    _check_place(session, after)
    # Read before the events: what was complete then is visible now.
    complete = before_horizon(horizon(session))
    found = select(Event, Item).join(Item, _item.c.id == _event.c.item_id)
    found = (
        found.where(between(session, (after.tx, after.id)), *complete).order_by(_event.c.tx, _event.c.id).limit(limit)
    )
    rows = session.execute(found).all()
    listed = [_change_row(happened, item) for happened, item in rows]
    reached = Place(after.epoch, rows[-1][0].tx, rows[-1][0].id) if rows else after
    return listed, reached


def _change_row(happened: Event, item: Item) -> dict[str, Any]:
    return {
        "at": iso(happened.at),
        "from": happened.old,
        "to": happened.new,
        "news": happened.news,
        "detail": happened.detail,
        "item": item_row(item),
    }


def _check_place(session: Session, place: Place) -> None:
    feed = session.execute(select(_feed)).one()
    if place.epoch != feed.epoch:
        raise Forgotten("this cursor is of another database, or of the time before this one was restored; begin again")
    if (place.tx, place.id) < (feed.forgotten_tx, feed.forgotten_id):
        raise Forgotten("events after this cursor have been deleted by retention; read the items anew and begin again")
    newest = newest_place(session)
    if (place.tx, place.id) > (newest.tx, newest.id):
        raise Forgotten("this cursor lies ahead of all events: the database was restored from a backup; begin again")


def job(session: Session, job_id: int) -> Job | None:
    return session.get(Job, job_id)


def jobs(session: Session, limit: int = 50, before: int | None = None) -> list[Job]:
    """The newest first, from ``before`` on."""
    query = select(Job).order_by(_job.c.id.desc()).limit(limit)
    return list(session.execute(query if before is None else query.where(_job.c.id < before)).scalars())


def job_marks(session: Session, limit: int, before: int | None = None) -> list[tuple[Any, ...]]:
    """What of these jobs changes without an event: which there are, which were cancelled. Without their sources, which may be long."""
    query = select(_job.c.id, _job.c.cancelled_at).order_by(_job.c.id.desc()).limit(limit)
    return [tuple(one) for one in session.execute(query if before is None else query.where(_job.c.id < before))]


def job_status(session: Session, job_id: int, paused: Pause | None = None) -> dict[str, Any] | None:
    """``{"job", "state", "counts", "paused"}``; None for an unknown job."""
    found = session.get(Job, job_id)
    if found is None:
        return None
    by_status = counts(session, job_id)
    return {"job": job_id, "state": _state(found, by_status), "counts": by_status, "paused": say_pause(paused)}


#: Of what was named, a row shows so many.
_SOURCES_SHOWN = 20


def job_rows(session: Session, found: Sequence[Job], settings: Settings) -> list[dict[str, Any]]:
    """Jobs as the API shows them."""
    numbers = [one.id for one in found if one.id is not None]
    by_job = counts_of_jobs(session, numbers)
    any_pause = bool(pauses(session))
    rows = []
    for one in found:
        assert one.id is not None
        by_status = by_job[one.id]
        paused = pause_of_job(session, one.id, settings) if any_pause else None
        rows.append(
            {
                "job": one.id,
                "command": one.command,
                "state": _state(one, by_status),
                "counts": by_status,
                **totals(by_status),
                "paused": paused and pause_row(paused),
                "unique_id": one.unique_id,
                "library": one.library,
                "priority": one.priority,
                "sources": (one.sources or [])[:_SOURCES_SHOWN],
                "created_at": iso(one.created_at),
                "cancelled_at": iso(one.cancelled_at),
            }
        )
    return rows


def _state(found: Job, by_status: Mapping[str, int]) -> str:
    if any(by_status[status] for status in OPEN):
        return "running"
    return "cancelled" if found.cancelled_at else "done"


def totals(by_status: Mapping[str, int]) -> dict[str, int]:
    return {"total": sum(by_status.values()), "final": sum(by_status[status] for status in FINAL)}


def pause_row(row: Pause) -> dict[str, Any]:
    return {
        "scope": row.scope,
        "by": row.by,
        "reason": row.reason,
        "code": row.code,
        "since": iso(row.since),
        "until": iso(row.until),
    }


def say_pause(paused: Pause | None) -> dict[str, str] | None:
    return None if paused is None else {"scope": paused.scope, "reason": paused.reason}


def item_row(item: Item) -> dict[str, Any]:
    """An item as tables and JSON show it."""
    names = [
        "id",
        "kind",
        "source",
        "platform",
        "unique_id",
        "library",
        "lane",
        "status",
        "video_no",
        "task_id",
        "attempts",
        "stage",
        "error_code",
        "error",
        "warning",
    ]
    row = {"id": item.id, "job": item.job_id, **{name: getattr(item, name) for name in names[1:]}}
    return row | {
        "twin": item.twin_id,
        "duplicate_upstream": item.duplicate_upstream,
        "updated_at": iso(item.updated_at),
    }


@dataclass(frozen=True, slots=True)
class Selection:
    """Which items: each filter that says something must hold, any one of its values will do."""

    job_id: int | None = None
    statuses: Collection[str] = ()
    error_codes: Collection[str] = ()
    stages: Collection[str] = ()
    kinds: Collection[str] = ()
    platforms: Collection[str] = ()
    lanes: Collection[str] = ()
    namespaces: Collection[str] = ()

    def conditions(self) -> list[Any]:
        filters = {
            "status": self.statuses,
            "error_code": self.error_codes,
            "stage": self.stages,
            "kind": self.kinds,
            "platform": self.platforms,
            "lane": self.lanes,
            "unique_id": self.namespaces,
        }
        found = [_item.c[name].in_(list(values)) for name, values in filters.items() if values]
        return found if self.job_id is None else [_item.c.job_id == self.job_id, *found]


def items(
    session: Session,
    *,
    job_id: int | None = None,
    statuses: Collection[str] = (),
    chosen: Selection | None = None,
    after: int = 0,
    limit: int | None = None,
) -> Iterator[Item]:
    """Items in id order from ``after`` on, read in pages: a million rows never stand in memory."""
    conditions = (chosen or Selection(job_id, statuses)).conditions()
    left = limit
    while left is None or left > 0:
        query = select(Item).where(_item.c.id > after, *conditions)
        page = list(session.execute(query.order_by(_item.c.id).limit(min(_PAGE, left or _PAGE))).scalars())
        yield from page
        if len(page) < min(_PAGE, left or _PAGE):
            return
        after = page[-1].id or 0
        session.expunge_all()
        left = None if left is None else left - len(page)


def newest_items(session: Session, chosen: Selection, limit: int) -> tuple[list[Item], int]:
    """The last ``limit`` items in id order, and how many there are in all."""
    conditions = chosen.conditions()
    found = session.execute(select(Item).where(*conditions).order_by(_item.c.id.desc()).limit(limit)).scalars().all()
    number = len(found)
    if number == limit:
        number = session.execute(select(func.count()).select_from(_item).where(*conditions)).scalar() or 0
    return list(reversed(found)), number


def results(session: Session, job_id: int) -> Iterator[dict[str, Any]]:
    """The captions of a job, those that came and those that did not; of a longer video the whole alone."""
    for one in items(session, job_id=job_id):
        if one.kind == "caption" and one.parent_id is None:
            yield {"id": one.id, "source": one.source, "status": one.status, "result": one.result, "error": one.error}


def item(session: Session, item_id: int) -> Item | None:
    return session.get(Item, item_id)


def item_story(session: Session, item_id: int) -> dict[str, Any] | None:
    """Everything known about an item: its row, what was sent for it, and each change with its cause."""
    found = session.get(Item, item_id)
    if found is None:
        return None
    happened = session.execute(select(Event).where(_event.c.item_id == item_id).order_by(_event.c.id)).scalars().all()
    sent_ids = {one.submission_id for one in happened if one.submission_id} | {found.submission_id}
    sent = session.execute(
        select(Submission).where(_submission.c.id.in_(sent_ids)).order_by(_submission.c.id)
    ).scalars()
    return item_row(found) | {
        "size": found.size,
        "sha256": found.sha256,
        "post_id": found.post_id,
        "created_at": iso(found.created_at),
        "wish": found.wish,
        "span": found.span,
        "part_of": found.parent_id,
        "parts": [part.id for part in parts_of(session, item_id)] if (found.wish or {}).get("parts") else None,
        "result": found.result,
        "next_look_at": None if found.status in FINAL else iso(found.due_at),
        "submissions": [_submission_row(one) for one in sent],
        "events": [
            {"at": iso(one.at), "from": one.old, "to": one.new, "news": one.news, "detail": one.detail}
            for one in happened
        ],
    }


def item_version(session: Session, item_id: int) -> tuple[Any, ...] | None:
    """Stands for everything that an item's story tells; None for an unknown item."""
    names = ("updated_at", "due_at", "attempts", "submission_id")
    row = session.execute(select(*[_item.c[name] for name in names]).where(_item.c.id == item_id)).one_or_none()
    if row is None:
        return None
    happened = session.execute(
        select(_event.c.id, _event.c.submission_id).where(_event.c.item_id == item_id).order_by(_event.c.id)
    ).all()
    # All of them: a late callback may still say something of one that was lost long ago.
    sent_ids = {one.submission_id for one in happened} | {row.submission_id}
    parts = ("id", "state", "sent_at", "ended_at", "task_id", "code", "message", "unmatched")
    sent = select(*[_submission.c[name] for name in parts]).where(_submission.c.id.in_(sent_ids - {None}))
    submissions = [tuple(one) for one in session.execute(sent.order_by(_submission.c.id))]
    return (*row, len(happened), happened[-1].id if happened else 0, *submissions)


def _submission_row(one: Submission) -> dict[str, Any]:
    return {
        "id": one.id,
        "short_id": one.short_id,
        "operation": one.operation,
        "state": one.state,
        "items": len(one.item_ids),
        "written_at": iso(one.created_at),
        "sent_at": iso(one.sent_at),
        "ended_at": iso(one.ended_at),
        "task_id": one.task_id,
        "code": one.code,
        "message": one.message,
        "unmatched": one.unmatched,
    }


def old_events(session: Session, before_ms: int, limit: int, after: tuple[int, int] = (0, 0)) -> list[tuple[int, int]]:
    """(time, id) of older events of items that have ended, from ``after`` on. What is under way keeps its whole story."""
    ended = select(_item.c.id).where(_item.c.id == _event.c.item_id, _item.c.status.in_([*FINAL])).exists()
    place = tuple_(_event.c.at, _event.c.id) > after
    query = select(_event.c.at, _event.c.id).where(_event.c.at < before_ms, _event.c.at >= after[0], place, ended)
    return [(row.at, row.id) for row in session.execute(query.order_by(_event.c.at, _event.c.id).limit(limit))]


# Pauses


def pauses(session: Session, account: Account | None = None) -> list[Pause]:
    """What is paused now. A pause that has ended by time, or that held for another key, does not count."""
    now = now_ms()
    query = select(Pause).where(or_(_pause.c.until.is_(None), _pause.c.until > now))
    # Of several under one scope the last is shown: a person knows their own, the vendor's word may be news to them.
    query = query.order_by(_pause.c.scope, _pause.c.by)
    return [one for one in session.execute(query).scalars() if account is None or not _for_another_key(one, account)]


def _for_another_key(one: Pause, account: Account) -> bool:
    return one.fingerprint is not None and one.scope == account.scope and one.fingerprint != account.fingerprint


def pause_of_lane(session: Session, lane: Lane, account: Account) -> Pause | None:
    """What keeps a lane from sending: its account's pause before its own, and those of lanes that its calls count against too."""
    standing = {one.scope: one for one in pauses(session, account)}
    scopes = [account.scope, *(f"lane:{one}" for one in (lane, *ALSO.get(lane, ())))]
    return next((standing[scope] for scope in scopes if scope in standing), None)


_WIDEST = ("account", "job", "lane")


def pause_of_job(session: Session, job_id: int, settings: Settings) -> Pause | None:
    """What keeps a job from going on, the widest first: each of its lanes under the key that it uses."""
    standing = pauses(session)
    if not standing:
        return None
    # The next thousand of each status: what a job waits for, whatever its size.
    following = [
        select(_item.c.lane).where(_item.c.job_id == job_id, _item.c.status == status).order_by(_item.c.id).limit(1000)
        for status in OPEN
    ]
    used = union_all(*[select(one.subquery().c.lane) for one in following]).subquery()
    lanes = [Lane(lane) for lane in session.execute(select(used.c.lane).distinct()).scalars()] or [Lane.UPLOAD]
    held = [pause_of_lane(session, lane, settings.account_for(lane)) for lane in lanes]
    own = {one.scope: one for one in standing}.get(f"job:{job_id}")
    found = [one for one in (*held, own) if one is not None]
    return min(found, key=lambda one: _WIDEST.index(one.scope.partition(":")[0]), default=None)


def paused_jobs(session: Session) -> list[int]:
    """Jobs whose items stay where they are."""
    return [int(one.scope.removeprefix("job:")) for one in pauses(session) if one.scope.startswith("job:")]


# Operator's commands


def item_ids(session: Session, chosen: Selection, named: Collection[int] = ()) -> list[int]:
    """Ids of the items chosen, of those named alone where some are."""
    query = select(_item.c.id).where(*chosen.conditions()).order_by(_item.c.id)
    if not named:
        return list(session.execute(query).scalars())
    wanted, found = sorted(set(named)), list[int]()
    for start in range(0, len(wanted), _PAGE):
        found += session.execute(query.where(_item.c.id.in_(wanted[start : start + _PAGE]))).scalars()
    return found


def commands_of_jobs(session: Session, job_ids: Collection[int]) -> dict[int, str]:
    """Which command made each of these jobs."""
    query = select(_job.c.id, _job.c.command).where(_job.c.id.in_(set(job_ids)))
    return {number: command for number, command in session.execute(query)}


def owners(session: Session, keys: Sequence[str]) -> dict[str, tuple[int, str]]:
    """The items (id, status) that hold these contents; nothing is locked."""
    found: dict[str, tuple[int, str]] = {}
    for start in range(0, len(keys), _PAGE):
        query = select(_item.c.holds, _item.c.id, _item.c.status).where(_item.c.holds.in_(keys[start : start + _PAGE]))
        found.update({holds: (number, status) for holds, number, status in session.execute(query)})
    return found


def callbacks(
    session: Session, states: Collection[str] = (), limit: int = 50, before: int | None = None
) -> list[Callback]:
    """The newest first, from ``before`` on."""
    query = select(Callback).order_by(_callback.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(_callback.c.id < before)
    if states:
        query = query.where(_callback.c.state.in_(list(states)))
    return list(session.execute(query).scalars())


def callback(session: Session, callback_id: int) -> Callback | None:
    return session.get(Callback, callback_id)


def callbacks_version(session: Session) -> tuple[Any, ...]:
    """Stands for all callbacks there are and what became of them."""
    newest = session.execute(select(func.max(_callback.c.id))).scalar()
    oldest = session.execute(select(func.min(_callback.c.id))).scalar()
    return newest, oldest, sum(tallies(session, "callback").values())


def callback_row(one: Callback) -> dict[str, Any]:
    """A callback as JSON shows it. The body is a stranger's: shown as text, whatever it is."""
    return {
        "id": one.id,
        "received_at": iso(one.received_at),
        "door": one.kind,
        "state": one.state,
        "tries": one.tries,
        "submission": one.short_id,
        "note": one.note,
        "body": one.body.decode("utf-8", "replace"),
    }


def callback_ids(session: Session, *, named: Collection[int] = (), states: Collection[str] = ()) -> list[int]:
    """Those of these that there are; without names, all of these states."""
    query = select(_callback.c.id).order_by(_callback.c.id)
    if not named:
        return list(session.execute(query.where(_callback.c.state.in_(list(states)))).scalars())
    wanted, found = sorted(set(named)), list[int]()
    for start in range(0, len(wanted), _PAGE):
        found += session.execute(query.where(_callback.c.id.in_(wanted[start : start + _PAGE]))).scalars()
    return found


# The service


def schema_revision(session: Session) -> str | None:
    return session.execute(text("SELECT version_num FROM alembic_version")).scalar()


def youngest_heartbeat(session: Session) -> int | None:
    return session.execute(select(func.max(_worker.c.seen_at))).scalar()


def other_hosts(session: Session, host: str, since: int) -> list[str]:
    """Hosts other than this one with a living worker: SQLite must not be shared between hosts."""
    query = select(_worker.c.host).where(_worker.c.host != host, _worker.c.seen_at > since).distinct()
    return list(session.execute(query).scalars())


def tokens(session: Session) -> list[Token]:
    """Of the operator's API, revoked ones too, the oldest first."""
    return list(session.execute(select(Token).order_by(_token.c.id)).scalars())


def token(session: Session, token_id: int) -> Token | None:
    return session.get(Token, token_id)


# Captions


def parts_of(session: Session, item_id: int) -> list[Item]:
    """The parts of a longer video's caption, in the order of time."""
    # Read anew: one of them may have been changed by this very transaction, past the objects that it holds.
    query = select(Item).where(_item.c.parent_id == item_id).order_by(_item.c.id)
    return list(session.execute(query, execution_options={"populate_existing": True}).scalars())


# What lies ahead


def lanes_with_work(session: Session, now: int | None = None) -> list[Lane]:
    """Lanes with an item to send now."""
    now = now or now_ms()
    found = []
    for lane in SENDING_LANES:
        due = queued(select(_item.c.id)).where(_item.c.lane == lane, _item.c.due_at <= now).limit(1)
        if session.execute(due).first():
            found.append(lane)
    return found


def queued(query: Any) -> Any:
    """Restrict a query on items to the backlog, by its partial index.

    The status is written out, as a bound one does not prove to the planner that the index holds; SQLite needs to be told as well.
    """
    return query.where(text("item.status = 'QUEUED'")).with_hint(_item, "INDEXED BY ix_item_claim", "sqlite")


@dataclass(frozen=True, slots=True)
class Ahead:
    """What a lane still has to send: items, calls that carry them, and how long the limit lets that take, seconds."""

    lane: Lane
    items: int
    calls: int
    seconds: float


def ahead(session: Session, limits: Mapping[Lane, Limit | None], job_id: int | None = None) -> list[Ahead]:
    """The honest rest: the limit is known exactly, so the end of sending is arithmetic. A job shares its lanes with all others."""
    together = [_item.c[name] for name in ("lane", *TOGETHER)]
    query = select(*together, func.count().label("n")).where(_item.c.status == Status.QUEUED).group_by(*together)
    if job_id is not None:
        mine = select(_item.c.lane, func.max(_item.c.turn), func.max(_item.c.priority)).where(
            _item.c.job_id == job_id, _item.c.status == Status.QUEUED
        )
        # What goes before the last of ours on the same lane: the more urgent, and of the same urgency what has its turn until then.
        before = [
            and_(
                _item.c.lane == lane,
                or_(_item.c.priority > priority, and_(_item.c.priority == priority, _item.c.turn <= last)),
            )
            for lane, last, priority in session.execute(mine.group_by(_item.c.lane))
        ]
        query = query.where(or_(false(), *before))
    by_lane: dict[Lane, tuple[int, int]] = {}
    for row in session.execute(query):
        lane = Lane(row.lane)
        items_, calls = by_lane.get(lane, (0, 0))
        by_lane[lane] = (items_ + row.n, calls + calls_needed(lane, row.n))
    found = []
    for lane, (items_, calls) in by_lane.items():
        limit = limits[lane]
        found.append(Ahead(lane, items_, calls, calls * limit.interval if limit else 0.0))
    return found


# Content and ownership


@dataclass(frozen=True, slots=True)
class SameSize:
    id: int
    source: str
    size: int
    mtime_ns: int | None
    sha256: str | None


def same_size(
    session: Session, unique_id: str, library: str, sizes: Collection[int], but: int | None = None
) -> list[SameSize]:
    """Files of a namespace that could have the same content: same size, and not given up."""
    live = and_(
        _item.c.kind == "file",
        _item.c.unique_id == unique_id,
        _item.c.library == library,
        or_(
            _item.c.status.in_([*OPEN, Status.PARSE]),
            and_(_item.c.status == Status.FAIL, _item.c.holds.is_not(None)),
        ),
    )
    found: list[SameSize] = []
    wanted = sorted(sizes)
    columns = [_item.c[name] for name in ("id", "source", "size", "mtime_ns", "sha256")]
    for start in range(0, len(wanted), 500):
        query = select(*columns).where(_item.c.size.in_(wanted[start : start + 500]), live)
        found += [SameSize(*row) for row in session.execute(query) if row.id != but]
    return found


def owned(session: Session, video_nos: Sequence[str]) -> set[str]:
    """Those of these videos that a row of ours has, as its own or as a second one."""
    mine: set[str] = set()
    for start in range(0, len(video_nos), 500):
        chunk = video_nos[start : start + 500]
        mine |= set(session.execute(select(_item.c.video_no).where(_item.c.video_no.in_(chunk))).scalars())
    seconds = select(_item.c.duplicate_upstream).where(_item.c.duplicate_upstream.is_not(None))
    asked = set(video_nos)
    for doubles in session.execute(seconds).scalars():
        mine |= asked.intersection(doubles or ())
    return mine


def known_short_ids(session: Session, short_ids: Collection[str]) -> set[str]:
    """Those of these short ids that name a submission of ours."""
    wanted, known = sorted(short_ids), set()
    for start in range(0, len(wanted), 500):
        query = select(_submission.c.short_id).where(_submission.c.short_id.in_(wanted[start : start + 500]))
        known |= set(session.execute(query).scalars())
    return known


def submission_by_short_id(session: Session, short_id: str) -> Submission | None:
    return session.execute(select(Submission).where(_submission.c.short_id == short_id)).scalars().one_or_none()


def submissions(session: Session, ids: Collection[int]) -> dict[int, Submission]:
    query = select(Submission).where(_submission.c.id.in_(list(ids)))
    return {one.id: one for one in session.execute(query).scalars() if one.id is not None}


def items_by_id(session: Session, ids: Collection[int]) -> list[Item]:
    wanted = list(ids)
    found: list[Item] = []
    for start in range(0, len(wanted), 500):
        found += session.execute(select(Item).where(_item.c.id.in_(wanted[start : start + 500]))).scalars()
    return found


def unsettled_submissions(session: Session, unique_id: str) -> list[Submission]:
    """Uploads and links of a namespace whose item is UNSURE."""
    query = (
        select(Submission)
        .join(Item, _item.c.submission_id == _submission.c.id)
        .where(_item.c.status == Status.UNSURE, _item.c.unique_id == unique_id, _item.c.lane == Lane.UPLOAD)
        .order_by(_submission.c.id)
    )
    return list(session.execute(query).scalars())


def open_submissions(session: Session, unique_id: str) -> list[Submission]:
    """Uploads and links of a namespace that are being sent now."""
    query = select(Submission).where(
        _submission.c.state == "open", _submission.c.unique_id == unique_id, _submission.c.lane == Lane.UPLOAD
    )
    return list(session.execute(query).scalars())


def posts_on_their_way(session: Session, unique_id: str) -> bool:
    """Whether a post of this namespace may stand in the list without one of our rows knowing its video."""
    waiting = select(_item.c.id).where(
        _item.c.lane == Lane.SCRAPE,
        _item.c.unique_id == unique_id,
        _item.c.library == PRIVATE,
        _item.c.status.in_([Status.SENDING, Status.UNSURE, Status.UNPARSE]),
        _item.c.video_no.is_(None),
    )
    return session.execute(waiting.limit(1)).first() is not None


def submission_of_task(session: Session, task_id: str) -> Submission | None:
    query = select(Submission).where(_submission.c.task_id == task_id).order_by(_submission.c.id.desc())
    return session.execute(query).scalars().first()


def item_of_video(session: Session, video_no: str) -> Item | None:
    return session.execute(select(Item).where(_item.c.video_no == video_no)).scalars().first()


def sources_in_job(session: Session, job_id: int, sources: Collection[str]) -> set[str]:
    """Those of these sources (a chunk) that the job has items of."""
    # One pass through the items of the job, by ix_item_job_status.
    mine = select(_item.c.source).where(_item.c.job_id == job_id, _item.c.source.in_(list(sources)))
    return set(session.execute(mine.distinct()).scalars())


# What a look at the whole installation needs; each is bounded, whatever the tables hold

_LOOK_AT = 10_000


def living_workers(session: Session, since: int) -> list[Worker]:
    """Workers whose heartbeat is younger than ``since``."""
    return list(session.execute(select(Worker).where(_worker.c.seen_at > since).order_by(_worker.c.name)).scalars())


def sending_now(session: Session, now: int) -> list[tuple[str, str]]:
    """(worker, lane) of each request that is in a living worker's hands."""
    query = select(_submission.c.worker, _submission.c.lane).where(
        text("submission.state = 'open'"), _submission.c.lease_until > now
    )
    return [(worker, lane) for worker, lane in session.execute(query.limit(_LOOK_AT))]


@dataclass(frozen=True, slots=True)
class Due:
    """What of a lane could be sent now: how many items (all of the first thousands), and since when the oldest waits, ms."""

    items: int
    since: int


def due_on_lane(session: Session, lane: Lane, now: int) -> Due | None:
    """The first in the order of the claim; items of paused jobs do not count. None where nothing is due."""
    first = queued(select(_item.c.due_at, _item.c.job_id)).where(_item.c.lane == lane)
    # Bounded first and then looked through: a line of which nothing is due must not be read to its end.
    near = first.order_by(_item.c.priority.desc(), _item.c.turn, _item.c.id).limit(_LOOK_AT).subquery()
    due = select(func.count(), func.min(near.c.due_at)).where(near.c.due_at <= now)
    if paused := paused_jobs(session):
        due = due.where(near.c.job_id.not_in(paused))
    number, since = session.execute(due).one()
    return Due(number, since) if number else None


def last_sent(session: Session, lane: Lane, since: int) -> int | None:
    """When a request of this lane left last, ms; 0 where none did after ``since``, None where too much else was sent to tell."""
    latest = select(_submission.c.lane, _submission.c.created_at, _submission.c.sent_at)
    newest_first = session.execute(latest.order_by(_submission.c.id.desc()).limit(_LOOK_AT // 2)).all()
    sent = [one.sent_at for one in newest_first if one.lane == lane and one.sent_at is not None]
    if sent:
        return max(sent)
    reaches_back = len(newest_first) < _LOOK_AT // 2 or newest_first[-1].created_at < since
    return 0 if reaches_back else None


def pause_ended(session: Session, scopes: Collection[str]) -> int:
    """When the last pause of these ended by time, ms; 0 for never, or long ago."""
    return session.execute(select(func.max(_pause.c.until)).where(_pause.c.scope.in_(list(scopes)))).scalar() or 0


@dataclass(frozen=True, slots=True)
class Inbox:
    """Callbacks that wait (the first thousands), since when the oldest that nobody looked at does, ms, and what came to nothing lately."""

    new: int
    parked: int
    oldest_new: int | None
    looked_at: int
    unmatched: int
    malformed: int


def inbox(session: Session) -> Inbox:
    waiting = waiting_callbacks(session)
    newest = select(_callback.c.state).order_by(_callback.c.id.desc()).limit(1000)
    states = list(session.execute(newest).scalars())
    return Inbox(
        new=waiting.new,
        parked=waiting.parked,
        oldest_new=waiting.oldest_new,
        looked_at=len(states),
        unmatched=states.count("unmatched"),
        malformed=states.count("malformed"),
    )


@dataclass(frozen=True, slots=True)
class WaitingCallbacks:
    """Of the first thousands: how many nobody looked at and how many name nothing we know yet.

    ``oldest_new``: when the oldest of the new ones came, ms; ``due_new``: since when it is to be applied, which for one that is replayed
    is later.
    """

    new: int
    parked: int
    oldest_new: int | None
    due_new: int | None


def waiting_callbacks(session: Session) -> WaitingCallbacks:
    todo = select(_callback.c.state, _callback.c.received_at, _callback.c.due_at)
    todo = todo.where(text("callback.state IN ('new', 'parked')"))
    todo = todo.with_hint(_callback, "INDEXED BY ix_callback_todo", "sqlite").order_by(_callback.c.due_at)
    first = todo.limit(_LOOK_AT).subquery()
    by_state = select(first.c.state, func.count(), func.min(first.c.received_at), func.min(first.c.due_at))
    found = {row[0]: row[1:] for row in session.execute(by_state.group_by(first.c.state))}
    new, oldest_new, due_new = found.get("new", (0, None, None))
    return WaitingCallbacks(new, found.get("parked", (0,))[0], oldest_new, due_new)


def doubled(session: Session) -> int:
    """Items that have a second video upstream (all of the first thousands)."""
    some = select(_item.c.id).where(_item.c.duplicate_upstream.is_not(None)).limit(_LOOK_AT).subquery()
    return int(session.execute(select(func.count()).select_from(some)).scalar_one())


# Pages of items

#: Index entries that one step of a page looks at: some milliseconds.
_STEP = 4000
#: A page that is not full after so long is handed over as it is, seconds: no filter may hold a request up.
_PATIENCE = 0.025

#: The filters that an index leads with, the narrowest first; a page goes along the first that is given, the others are looked at.
_LEADING = ("job_id", "error_code", "status", "platform", "unique_id", "kind", "lane")


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, and the id from which the next page goes on, None at the end. It may hold fewer rows than asked for and go on."""

    items: list[Item]
    after: int | None


def page(
    session: Session,
    filters: Mapping[str, Sequence[Any]],
    *,
    after: int | None = None,
    limit: int,
    newest_first: bool = True,
    step: int = _STEP,
    patience: float = _PATIENCE,
) -> Page:
    """Items under filters (column -> any of these values), in the order of ids, from ``after`` on. As fast at any depth.

    Each value of the leading filter has an index of its own in the order of ids, so a page is a merge of short index scans. Where further
    filters leave little of them, the scan ends after a while and the page says from where it goes on.
    """
    leading = next((name for name in _LEADING if filters.get(name)), None)
    # A job and a status share an index.
    led = {leading, "status"} if leading == "job_id" else {leading}
    rest = [_item.c[name].in_(list(values)) for name, values in filters.items() if values and name not in led]
    branches = _branches(filters, leading)
    found: list[Item] = []
    begun = time.monotonic()
    while True:
        wanted = limit + 1 - len(found)
        near = _near(branches, after, step if rest else wanted, newest_first)
        rows = select(Item).join(near, near.c.id == _item.c.id).where(*rest)
        found += session.execute(rows.order_by(_order(near.c.id, newest_first)).limit(wanted)).scalars()
        if len(found) > limit:
            return Page(found[:limit], found[limit - 1].id)
        end = func.min(near.c.id) if newest_first else func.max(near.c.id)
        looked_at, after_step = (
            session.execute(select(func.count(), end).select_from(near)).one() if rest else (0, None)
        )
        if looked_at < step:
            return Page(found, None)
        after = after_step
        if time.monotonic() - begun > patience:
            return Page(found, after)


def _branches(filters: Mapping[str, Sequence[Any]], leading: str | None) -> list[Any]:
    """A condition per value of the leading filter; per pair of a job and a status."""
    if leading is None:
        return [true()]
    values = [_item.c[leading] == value for value in filters[leading]]
    if leading == "job_id" and filters.get("status"):
        return [and_(job, _item.c.status == status) for job in values for status in filters["status"]]
    return values


def _near(branches: Sequence[Any], after: int | None, limit: int, newest_first: bool) -> Any:
    """The next ids of all branches together."""
    beyond = [] if after is None else [_item.c.id < after if newest_first else _item.c.id > after]
    parts = [
        select(_item.c.id).where(branch, *beyond).order_by(_order(_item.c.id, newest_first)).limit(limit)
        for branch in branches
    ]
    if len(parts) == 1:
        return parts[0].subquery()
    together = union_all(*[select(part.subquery().c.id) for part in parts]).subquery()
    return select(together.c.id).order_by(_order(together.c.id, newest_first)).limit(limit).subquery()


def _order(column: Any, newest_first: bool) -> Any:
    return column.desc() if newest_first else column


# Creators


def creator(session: Session, creator_id: int) -> Creator | None:
    return session.get(Creator, creator_id)


def creators(session: Session, *, limit: int | None = None, after: int = 0, removed: bool = False) -> list[Creator]:
    """In the order they were followed; ``removed``: those that are not followed any more as well."""
    query = select(Creator).where(_creator.c.id > after).order_by(_creator.c.id).limit(limit)
    if not removed:
        query = query.where(_creator.c.next_run_at.is_not(None))
    return list(session.execute(query).scalars())


def runs(session: Session, creator_id: int, limit: int = 20, before: int | None = None) -> list[Run]:
    """Looks at a creator, the newest first."""
    query = select(Run).where(_run.c.creator_id == creator_id).order_by(_run.c.id.desc()).limit(limit)
    return list(session.execute(query if before is None else query.where(_run.c.id < before)).scalars())


def run_of_item(session: Session, item_id: int) -> Run | None:
    return session.execute(select(Run).where(_run.c.item_id == item_id)).scalars().first()


def known_posts(session: Session, creator_id: int, keys: Sequence[str]) -> set[str]:
    """Those of these posts that the creator was seen to have."""
    found: set[str] = set()
    for start in range(0, len(keys), _PAGE):
        mine = and_(_creator_post.c.creator_id == creator_id, _creator_post.c.key.in_(keys[start : start + _PAGE]))
        found |= set(session.execute(select(_creator_post.c.key).where(mine)).scalars())
    return found


def creator_posts(session: Session, creator_id: int) -> list[CreatorPost]:
    query = select(CreatorPost).where(_creator_post.c.creator_id == creator_id)
    return list(session.execute(query.order_by(_creator_post.c.seen_at, _creator_post.c.key)).scalars())


def number_of_posts(session: Session, creator_id: int) -> int:
    mine = select(func.count()).select_from(_creator_post).where(_creator_post.c.creator_id == creator_id)
    return int(session.execute(mine).scalar_one())


def creators_version(session: Session, creator_id: int | None = None) -> tuple[Any, ...]:
    """Stands for everything that rows of creators show, of one or of all."""
    columns = ("id", "next_run_at", "running_id", "runs", "failures", "trouble", "paused_at", "pause_reason", "job_id")
    query = select(*[_creator.c[name] for name in columns]).order_by(_creator.c.id)
    if creator_id is not None:
        query = query.where(_creator.c.id == creator_id)
    return tuple(tuple(row) for row in session.execute(query))


def measurements(
    session: Session, creator_id: int | None = None, after: int = 0, limit: int | None = None
) -> Iterator[dict[str, Any]]:
    """Numbers of posts over time, the oldest first, from ``after`` on."""
    left = limit
    while left is None or left > 0:
        size = min(_PAGE, left or _PAGE)
        query = select(Measurement, _item.c.source, _item.c.video_no).join(Item, _item.c.id == _measurement.c.item_id)
        if creator_id is not None:
            query = query.where(_measurement.c.creator_id == creator_id)
        page = session.execute(query.where(_measurement.c.id > after).order_by(_measurement.c.id).limit(size)).all()
        for one, source, video_no in page:
            yield {
                "id": one.id,
                "at": iso(one.at),
                "creator": one.creator_id,
                "item": one.item_id,
                "url": source,
                "video_no": video_no,
                **{name: getattr(one, name) for name in ("views", "likes", "shares", "comments")},
            }
        if len(page) < size:
            return
        after = page[-1][0].id or 0
        left = None if left is None else left - len(page)


def calls_of_items(session: Session, item_ids: Sequence[int]) -> int:
    """How many calls these items took: those that left, or may have."""
    left = _submission.c.state.in_(["accepted", "refused", "lost"])
    found: set[int] = set()
    for start in range(0, len(item_ids), _PAGE):
        mine = and_(_event.c.item_id.in_(item_ids[start : start + _PAGE]), _event.c.news == "claimed")
        query = select(_event.c.submission_id).join(Submission, _submission.c.id == _event.c.submission_id)
        found |= set(session.execute(query.where(mine, left)).scalars())
    return len(found)


def new_posts_of_run(session: Session, run_id: int) -> int:
    """How many posts a run saw first."""
    mine = select(func.count()).select_from(_creator_post).where(_creator_post.c.run_id == run_id)
    return int(session.execute(mine).scalar_one())


def new_items_of_run(session: Session, run_id: int) -> list[tuple[int, str]]:
    """(id, status) of the items of posts that a run saw first."""
    query = select(_item.c.id, _item.c.status).join(_creator_post, _creator_post.c.item_id == _item.c.id)
    return [(row.id, row.status) for row in session.execute(query.where(_creator_post.c.run_id == run_id))]
