"""Creators: every write about what is followed, when it is looked at, and what a look has shown.

A due creator is taken by compare-and-set on ``next_run_at``, so any number of beats is safe: the time that was due becomes one run, and
with it, in the same transaction, what that run has to do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import and_, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from ingest import schedules, store
from ingest.clock import now_ms
from ingest.lanes import Lane
from ingest.listing import STOP_AFTER
from ingest.models import DEFAULT_NAMESPACE, PRIVATE, PUBLIC, Creator, CreatorPost, Item, Job, Measurement, Run
from ingest.queries import calls_of_items
from ingest.schedules import Schedule
from ingest.sources.found import Found, Kind
from ingest.sources.profiles import Profile
from ingest.statuses import FINAL, Status
from ingest.upstream.fields import Counters

_creator = Creator.__table__  # type: ignore[attr-defined]
_run = Run.__table__  # type: ignore[attr-defined]
_post = CreatorPost.__table__  # type: ignore[attr-defined]
_item = Item.__table__  # type: ignore[attr-defined]

VENDOR, LIST, FULL = "vendor", "list", "full"
#: Where a person says nothing: the newest so many posts; each so many lists are read to their end.
LIMIT, FULL_EVERY = 30, 10
#: Failures in a row after which a creator is paused: somebody should look.
MOST_FAILURES = 5
#: A creator that cannot be looked at for a lasting reason is looked at again after so long, ms.
_LOOK_AGAIN = 24 * 3600 * 1000
#: Looks of the vendor that should have shown a post and did not, until it counts as gone: a task may bring a part only.
_MISSES = 2


@dataclass(frozen=True, slots=True)
class Asked:
    """What a look of the vendor asks for, as ``item.wish`` keeps it. ``tag``: a hashtag instead of a profile."""

    count: int
    tag: str | None = None

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> "Asked":
        return cls(int(row["count"]), row.get("tag"))


@dataclass(frozen=True, slots=True)
class Plan:
    """How a profile is followed."""

    schedule: Schedule
    unique_id: str = DEFAULT_NAMESPACE
    public: bool = False
    mode: str = VENDOR
    limit: int = LIMIT
    stop_after: int = STOP_AFTER
    full_every: int = FULL_EVERY
    #: Seconds.
    not_before: int = 0
    refresh: int = 0


def schedule_of(creator: Creator) -> Schedule:
    return schedules.parse_schedule(
        every=f"{creator.every_seconds}s" if creator.every_seconds else "",
        cron=creator.cron or "",
        zone=creator.zone,
        quiet=creator.quiet or "",
        jitter=creator.jitter or "",
    )


class Followed(Exception):
    """It is followed already; ``creator`` is its number."""

    def __init__(self, creator: int) -> None:
        super().__init__(f"it is followed already, as creator {creator}")
        self.creator = creator


def follow(session: Session, profile: Profile, plan: Plan) -> Creator:
    """Follow a profile from now on: the first look is due at once. :class:`Followed` where it is in this namespace and library."""
    library = PUBLIC if plan.public else PRIVATE
    unique_id = DEFAULT_NAMESPACE if plan.public else plan.unique_id
    mine = and_(_creator.c.key == profile.key, _creator.c.unique_id == unique_id, _creator.c.library == library)
    before = session.execute(select(Creator).where(mine).with_for_update()).scalars().one_or_none()
    if before is not None and before.next_run_at is not None:
        raise Followed(before.id or 0)
    now = now_ms()
    values = {
        "url": profile.url,
        "platform": profile.platform,
        "kind": profile.kind,
        "handle": profile.handle,
        "key": profile.key,
        "unique_id": unique_id,
        "library": library,
        "mode": plan.mode,
        "scrape_limit": plan.limit,
        "stop_after": plan.stop_after,
        "full_every": plan.full_every,
        "not_before": plan.not_before,
        "refresh_seconds": plan.refresh,
        "refresh_at": now + plan.refresh * 1000 if plan.refresh else None,
        "every_seconds": plan.schedule.every,
        "cron": plan.schedule.cron,
        "zone": plan.schedule.zone,
        "quiet": str(plan.schedule.quiet) if plan.schedule.quiet else None,
        "jitter": str(plan.schedule.jitter) if plan.schedule.jitter.ms or plan.schedule.jitter.percent else None,
        "next_run_at": now,
        "created_at": now,
        **_CLEAN,
    }
    if before is not None:  # followed once more: what was seen then is known
        session.execute(update(_creator).where(_creator.c.id == before.id).values(**values))
        session.refresh(before)
        return before
    job_id = store.add_job(session, "follow", [profile.url], unique_id, library)
    creator = Creator(job_id=job_id, **values)
    try:
        with session.begin_nested():
            session.add(creator)
    except IntegrityError:  # PostgreSQL: somebody else followed it just now
        raise Followed(session.execute(select(_creator.c.id).where(mine)).scalar_one()) from None
    return creator


_CLEAN: dict[str, Any] = {"failures": 0, "trouble": None, "paused_at": None, "pause_reason": None}


def unfollow(session: Session, creator_id: int) -> bool:
    """No look any more; what it has brought stays. False where it was not followed."""
    mine = and_(_creator.c.id == creator_id, _creator.c.next_run_at.is_not(None))
    if not session.execute(update(_creator).where(mine).values(next_run_at=None, refresh_at=None)).rowcount:  # type: ignore[attr-defined]
        return False
    asked_about = and_(_post.c.creator_id == creator_id, _post.c.measure_at.is_not(None))
    session.execute(update(_post).where(asked_about).values(measure_at=None))
    return True


def pause(session: Session, creator_id: int, reason: str) -> bool:
    mine = and_(_creator.c.id == creator_id, _creator.c.paused_at.is_(None), _creator.c.next_run_at.is_not(None))
    values = {"paused_at": now_ms(), "pause_reason": reason}
    return bool(session.execute(update(_creator).where(mine).values(**values)).rowcount)  # type: ignore[attr-defined]


def resume(session: Session, creator_id: int) -> bool:
    """It goes on with its schedule; one look is owed, not those that were missed."""
    # One that is not followed any more is not resumed, but followed anew.
    mine = and_(_creator.c.id == creator_id, _creator.c.paused_at.is_not(None), _creator.c.next_run_at.is_not(None))
    return bool(session.execute(update(_creator).where(mine).values(**_CLEAN)).rowcount)  # type: ignore[attr-defined]


def run_now(session: Session, creator_id: int) -> bool:
    """Due at once. False for one that is not followed, or paused."""
    mine = and_(_creator.c.id == creator_id, _creator.c.next_run_at.is_not(None), _creator.c.paused_at.is_(None))
    earlier = (
        func.min(_creator.c.next_run_at, now_ms())
        if _is_sqlite(session)
        else func.least(_creator.c.next_run_at, now_ms())
    )
    return bool(session.execute(update(_creator).where(mine).values(next_run_at=earlier)).rowcount)  # type: ignore[attr-defined]


def _is_sqlite(session: Session) -> bool:
    return session.get_bind().dialect.name == "sqlite"


def alone(session: Session, creator_id: int) -> None:
    """Nobody else begins, ends or takes in a look at this creator until the end of the transaction.

    The order that keeps writers on PostgreSQL from waiting for each other in a circle: the creator, then items, then its posts.
    """
    mine = select(_creator.c.id).where(_creator.c.id == creator_id)
    session.execute(mine.with_for_update(key_share=True))


# Runs


def take_due(session: Session, limit: int = 50) -> list[Run]:
    """Begin the runs that are due: each due time becomes one run, whoever looks and however often."""
    now = now_ms()
    due = and_(_creator.c.next_run_at <= now, _creator.c.paused_at.is_(None), _creator.c.running_id.is_(None))
    query = select(Creator).where(due).order_by(_creator.c.next_run_at).limit(limit)
    # key_share: rows that point to a creator may be written meanwhile. Their writers may hold what this one waits for.
    rows = session.execute(query.with_for_update(skip_locked=True, key_share=True)).scalars().all()
    return [run for run in (_begin(session, creator, now) for creator in rows) if run is not None]


def _begin(session: Session, creator: Creator, now: int) -> Run | None:
    assert creator.id is not None and creator.next_run_at is not None
    due = creator.next_run_at
    try:
        schedule = schedule_of(creator)
    except ValueError as error:  # its zone went with an update, for example: the others go on
        pause(session, creator.id, f"its schedule cannot be read: {error}")
        return None
    awake = schedules.out_of_quiet(schedule, now)
    if awake != now:  # owed since a time that was missed: it waits for the end of the quiet hours
        _advance(session, creator, due, awake)
        return None
    following = schedules.after_run(schedule, due, now, creator.created_at, seed=creator.id)
    if not _advance(session, creator, due, following) or _was_run(session, creator.id, due):
        return None
    how = _how(creator)
    run = Run(creator_id=creator.id, due_at=due, started_at=now, how=how)
    session.add(run)
    session.flush()
    if how == VENDOR:
        run.item_id = _look(session, creator, run)
        session.flush()
    session.execute(
        update(_creator).where(_creator.c.id == creator.id).values(running_id=run.id, runs=_creator.c.runs + 1)
    )
    return run


def _advance(session: Session, creator: Creator, due: int, following: int) -> bool:
    """Compare-and-set: zero rows mean that another beat has taken this time."""
    mine = and_(_creator.c.id == creator.id, _creator.c.next_run_at == due, _creator.c.running_id.is_(None))
    return bool(session.execute(update(_creator).where(mine).values(next_run_at=following)).rowcount)  # type: ignore[attr-defined]


def _was_run(session: Session, creator_id: int, due: int) -> bool:
    """A person's "now" may be an old time where the clock was set back: it is passed over, or nothing would begin any more."""
    before = select(_run.c.id).where(_run.c.creator_id == creator_id, _run.c.due_at == due)
    return session.execute(before).first() is not None


def _how(creator: Creator) -> str:
    if creator.mode == VENDOR:
        return VENDOR
    return FULL if creator.runs % max(1, creator.full_every) == 0 else LIST


def _look(session: Session, creator: Creator, run: Run) -> int:
    """The item that carries the vendor's task of a run. It travels alone."""
    asked = Asked(creator.scrape_limit, creator.handle if creator.kind == "tag" else None)
    found = Found(
        Kind.CREATOR,
        creator.url,
        platform=creator.platform,
        wish=asdict(asked),
        lane=Lane.SCRAPE,
        together=f"creator:{run.id}",
    )
    job = session.get_one(Job, creator.job_id)
    store.add_items(session, job, [found], {})
    mine = and_(_item.c.job_id == job.id, _item.c.kind == Kind.CREATOR)
    return int(session.execute(select(func.max(_item.c.id)).where(mine)).scalar_one())


@dataclass(frozen=True, slots=True)
class SeenPost:
    """A post that a look has shown."""

    key: str
    url: str
    item_id: int | None = None
    title: str | None = None
    published_at: int | None = None


def saw(session: Session, run: Run, seen: Sequence[SeenPost]) -> int:
    """Note what a run has seen so far; how many of them are changed (another title, or back again)."""
    now, changed = now_ms(), 0
    there = _posts_of(session, run.creator_id, [one.key for one in seen])
    for one in seen:
        before = there.get(one.key)
        if before is None:
            row = asdict(one) | {"creator_id": run.creator_id, "run_id": run.id, "seen_at": now, "misses": 0}
            session.execute(insert(_post).values(**row))
            continue
        other = bool(one.title and before.title and one.title != before.title)
        changed += other or before.gone_at is not None
        values: dict[str, Any] = {"seen_at": now, "misses": 0, "gone_at": None}
        values |= {"title": one.title} if one.title else {}
        values |= {"item_id": one.item_id} if one.item_id is not None and before.item_id is None else {}
        mine = and_(_post.c.creator_id == run.creator_id, _post.c.key == one.key)
        session.execute(update(_post).where(mine).values(**values))
    return changed


def _posts_of(session: Session, creator_id: int, keys: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for start in range(0, len(keys), 500):
        mine = and_(_post.c.creator_id == creator_id, _post.c.key.in_(keys[start : start + 500]))
        found |= {row.key: row for row in session.execute(select(_post).where(mine))}
    return found


def missed(session: Session, run: Run, *, since: int | None, misses: int) -> int:
    """Posts that this run should have shown and did not; how many are gone with it.

    ``since``: only posts published after it should have been there; None for all. ``misses``: so many in a row make one gone.
    """
    should = [
        _post.c.creator_id == run.creator_id,
        _post.c.gone_at.is_(None),
        _post.c.seen_at < run.started_at,
        _post.c.run_id != run.id,
    ]
    if since is not None:
        should.append(_post.c.published_at > since)
    session.execute(update(_post).where(*should).values(misses=_post.c.misses + 1))
    gone = and_(*should, _post.c.misses >= misses)
    return int(session.execute(update(_post).where(gone).values(gone_at=now_ms())).rowcount)  # type: ignore[attr-defined]


def end_vendor_runs(session: Session, limit: int = 50) -> int:
    """Runs whose item has ended; how many."""
    query = select(Run, Item).join(Item, _item.c.id == _run.c.item_id)
    ended = query.where(_run.c.state == "running", _item.c.status.in_([*FINAL])).limit(limit)
    rows = session.execute(ended.with_for_update(of=_run, skip_locked=True)).all()
    for run, item in rows:
        _end_vendor(session, run, item)
    return len(rows)


def _end_vendor(session: Session, run: Run, item: Item) -> None:
    alone(session, run.creator_id)
    told = item.result or {}
    seen = _posts_of(session, run.creator_id, told.get("posts", []))
    asked = Asked.read(item.wish or {}).count
    report: dict[str, Any] = {
        "seen": len(seen),
        "new": sum(one.run_id == run.id for one in seen.values()),
        "known": sum(one.run_id != run.id for one in seen.values()),
        "changed": told.get("changed", 0),
        "calls": _calls(session, run),
    }
    times = [one.published_at for one in seen.values()]
    # All that was asked for came: what is newer than the oldest of it should have been among it.
    if len(seen) >= asked and times and None not in times:
        report["gone"] = missed(session, run, since=min(times), misses=_MISSES)
    if item.status == Status.PARSE:
        end(session, run, **report)
    else:
        why = item.error or f"the item that carried it ended {item.status}"
        fail(session, run, why, permanent=None, counts=item.status == Status.FAIL, **report)


def _calls(session: Session, run: Run) -> int:
    return calls_of_items(session, [run.item_id] if run.item_id else [])


def end(session: Session, run: Run, **report: Any) -> bool:
    """A run that came to its end; False where somebody ended it before."""
    return _close(session, run, "done", report, _CLEAN_RUN)


_CLEAN_RUN: dict[str, Any] = {"failures": 0, "trouble": None}


def fail(
    session: Session,
    run: Run,
    why: str,
    *,
    permanent: str | None,
    counts: bool = True,
    again: float | None = None,
    **report: Any,
) -> bool:
    """A run that came to nothing. ``permanent``: a reason that will last; it is remembered, and looked at again seldom.

    So many failures in a row pause the creator. ``counts``: whether this is one. ``again``: tried again after so many seconds, if it
    is not due earlier.
    """
    changed: dict[str, Any] = {"trouble": permanent}
    if counts:
        changed["failures"] = _creator.c.failures + 1
    if not _close(session, run, "failed", report | {"error": why}, changed):
        return False
    mine = _creator.c.id == run.creator_id
    if permanent:
        later = now_ms() + _LOOK_AGAIN
        session.execute(update(_creator).where(mine, _creator.c.next_run_at < later).values(next_run_at=later))
    if again is not None:
        soon = now_ms() + round(again * 1000)
        session.execute(update(_creator).where(mine, _creator.c.next_run_at > soon).values(next_run_at=soon))
    often = and_(mine, _creator.c.failures >= MOST_FAILURES, _creator.c.paused_at.is_(None))
    reason = f"{MOST_FAILURES} looks in a row have failed; the last: {why}"
    session.execute(update(_creator).where(often).values(paused_at=now_ms(), pause_reason=reason))
    return True


def _close(session: Session, run: Run, state: str, report: Mapping[str, Any], changed: Mapping[str, Any]) -> bool:
    alone(session, run.creator_id)
    mine = and_(_run.c.id == run.id, _run.c.state == "running")
    done = session.execute(update(_run).where(mine).values(state=state, ended_at=now_ms(), **report))
    if not done.rowcount:  # type: ignore[attr-defined]
        return False
    creator = and_(_creator.c.id == run.creator_id, _creator.c.running_id == run.id)
    session.execute(update(_creator).where(creator).values(running_id=None, **changed))
    return True


# Lists


def take_listing(session: Session, lease_seconds: float) -> tuple[Run, Creator] | None:
    """A run whose profile is to be listed here; one whose lister died is taken over after its lease."""
    now = now_ms()
    open_ = and_(_run.c.state == "running", _run.c.how.in_([LIST, FULL]), _run.c.lease_until <= now)
    query = select(Run).where(open_).order_by(_run.c.id).limit(1).with_for_update(skip_locked=True)
    run = session.execute(query).scalars().one_or_none()
    if run is None:
        return None
    until = now + round(lease_seconds * 1000)
    session.execute(update(_run).where(_run.c.id == run.id).values(lease_until=until, tries=_run.c.tries + 1))
    run.lease_until, run.tries = until, run.tries + 1
    return run, session.get_one(Creator, run.creator_id)


def keep_listing(session: Session, run_id: int, lease_seconds: float) -> None:
    until = now_ms() + round(lease_seconds * 1000)
    session.execute(update(_run).where(_run.c.id == run_id, _run.c.state == "running").values(lease_until=until))


# Numbers over time


@dataclass(frozen=True, slots=True)
class ToMeasure:
    """A public video whose numbers are due."""

    creator_id: int
    key: str
    item_id: int
    video_no: str
    #: Since when they are due.
    due_at: int
    #: Whoever took it has until then, others may take it over afterwards.
    held_until: int


def take_refreshes(session: Session, limit: int = 50) -> int:
    """Have all ready posts of the creators whose numbers are due asked about; how many creators. By compare-and-set: once each."""
    now = now_ms()
    due = select(_creator.c.id, _creator.c.refresh_at, _creator.c.refresh_seconds).where(
        _creator.c.refresh_at <= now, _creator.c.next_run_at.is_not(None), _creator.c.paused_at.is_(None)
    )
    query = due.order_by(_creator.c.refresh_at).limit(limit).with_for_update(skip_locked=True, key_share=True)
    taken = 0
    for row in session.execute(query).all():
        # From now on, not from when it was due: after downtime once, not once for each time that was missed.
        mine = and_(_creator.c.id == row.id, _creator.c.refresh_at == row.refresh_at)
        following = now + row.refresh_seconds * 1000
        if session.execute(update(_creator).where(mine).values(refresh_at=following)).rowcount:  # type: ignore[attr-defined]
            _have_measured(session, row.id, now)
            taken += 1
    return taken


def _have_measured(session: Session, creator_id: int, now: int) -> None:
    """Posts that are still due keep their place: where a round takes longer than its interval, the last ones get their turn too."""
    ready = select(_item.c.id).where(_item.c.id == _post.c.item_id, *_MEASURABLE)
    idle = and_(_post.c.creator_id == creator_id, _post.c.gone_at.is_(None), _post.c.measure_at.is_(None))
    session.execute(update(_post).where(idle, ready.exists()).values(measure_at=now))


#: The vendor tells the numbers of these.
_MEASURABLE = (_item.c.library == PUBLIC, _item.c.status == Status.PARSE, _item.c.video_no.is_not(None))


def take_to_measure(session: Session, limit: int, hold_seconds: float) -> list[ToMeasure]:
    """Posts whose numbers are due, held so that nobody else asks meanwhile. Those of a paused creator wait for its end."""
    now = now_ms()
    until = now + round(hold_seconds * 1000)
    query = (
        select(_post.c.creator_id, _post.c.key, _post.c.measure_at, _item.c.id, _item.c.video_no)
        .join(_item, _item.c.id == _post.c.item_id)
        .join(_creator, _creator.c.id == _post.c.creator_id)
        .where(_post.c.measure_at <= now, _creator.c.refresh_at.is_not(None), _creator.c.paused_at.is_(None))
        .where(*_MEASURABLE)
    )
    rows = session.execute(query.order_by(_post.c.measure_at).limit(limit).with_for_update(of=_post, skip_locked=True))
    found = [ToMeasure(row.creator_id, row.key, row.id, row.video_no, row.measure_at, until) for row in rows.all()]
    for one in found:
        session.execute(update(_post).where(_post_of(one)).values(measure_at=until))
    return found


def _post_of(one: ToMeasure) -> Any:
    return and_(_post.c.creator_id == one.creator_id, _post.c.key == one.key)


def measured(session: Session, one: ToMeasure, told: Counters) -> bool:
    """What was told, if anything; its next time is its creator's. False where another has taken it over, or nobody wants it any more."""
    mine = and_(_post_of(one), _post.c.measure_at == one.held_until)
    if not session.execute(update(_post).where(mine).values(measure_at=None)).rowcount:  # type: ignore[attr-defined]
        return False
    if told:
        session.add(Measurement(creator_id=one.creator_id, item_id=one.item_id, at=now_ms(), **asdict(told)))
    return True


def not_measured(session: Session, rest: Sequence[ToMeasure], failed: ToMeasure | None, seconds: float) -> None:
    """No answer, or no time: the rest is due as it was; what failed in ``seconds``, so that it does not stand before the others."""
    again = {one: one.due_at for one in rest}
    if failed is not None:
        again[failed] = now_ms() + round(seconds * 1000)
    for one, at in again.items():
        mine = and_(_post_of(one), _post.c.measure_at == one.held_until)
        session.execute(update(_post).where(mine).values(measure_at=at))
