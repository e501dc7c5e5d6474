"""A service that runs: who lives, who works, who ticks, what waits too long."""

import time
from collections.abc import Mapping, Sequence
from functools import partial

from ingest import nudge, queries
from ingest.clock import iso, now_ms
from ingest.doctor.visit import Finding, NotChecked, Visit, fail, ok, together, warn
from ingest.durations import say_duration
from ingest.lanes import CAPTION_LANES, SENDING_LANES, Lane
from ingest.models import Pause, Worker
from ingest.nudge import SEND, SETTLE
from ingest.processes import claim_of
from ingest.settings import Settings

#: Whatever lives does something within a minute.
_SILENT_MS = 60_000
#: A start takes its time on a busy machine, seconds.
_STARTING = 120.0
_VARIABLES = ("INGEST_HOME", "INGEST_DATABASE_URL", "INGEST_TIMINGS", "INGEST_LIMITS", "MEMORIES_API_KEY")


def service(visit: Visit) -> Finding:
    settings = visit.configured("INGEST_HOME", "INGEST_TIMINGS")
    claim = claim_of(settings.home) if settings.home.is_dir() else None
    up = claim is not None and claim.is_held()
    if visit.database is not None:
        with visit.database.read() as session:
            visit.workers = queries.living_workers(session, now_ms() - round(settings.timings.lease * 1000))
    # A database that nobody can open may be at work on other hosts.
    unknown = visit.database is None and not settings.is_sqlite
    visit.runs = True if up or visit.workers else None if unknown else False
    alive = f"{len(visit.workers)} worker process{'' if len(visit.workers) == 1 else 'es'} alive"
    if claim is not None and up:
        if visit.database is not None and not visit.workers:
            if time.time() - (settings.home / "up.lock").stat().st_mtime < _STARTING:
                return warn("ingest up is starting; no worker is alive yet")
            return fail(f"ingest up runs, but no worker is alive; see {settings.home / 'logs'}")
        return ok(f"ingest up runs (process {claim.holder()}), {alive}")
    if visit.workers:
        return ok(f"{alive}, no ingest up on this state")
    return warn("no service runs on this state; start it with: ingest up")


# Workers and the clock that wakes them


def workers(visit: Visit) -> Finding:
    settings = visit.configured(*_VARIABLES)
    if visit.runs is False:
        return ok("none, as no service runs")
    if not visit.workers:
        raise NotChecked("no worker is alive")
    waiting = _waiting(visit, settings)
    return together([*unserved(visit.workers), *deaf(visit.workers, waiting), canary(visit.workers, now_ms())])


def _waiting(visit: Visit, settings: Settings) -> dict[str, int | None]:
    """Messages in the broker by queue; None: it does not say."""
    if visit.redis is None:
        return {SEND: None, SETTLE: None}
    app = nudge.make_celery(settings)
    try:
        return {queue: nudge.waiting(app, queue) for queue in (SEND, SETTLE)}
    finally:
        app.close()


def _queues(worker: Worker) -> list[str]:
    return [queue.strip() for queue in worker.queues.split(",") if queue.strip()]


def _silent(worker: Worker) -> int:
    """How long it had taken nothing at its last heartbeat, ms; one that never did counts from its start."""
    return worker.seen_at - max(worker.took_at or 0, worker.started_at)


def _patience(worker: Worker, alive: Sequence[Worker]) -> int:
    """How long it may be silent, ms. Ticks come several a second, for all; the canary of ``send`` comes now and then, for one of them."""
    if SETTLE in _queues(worker):
        return _SILENT_MS
    return _SILENT_MS * sum(SEND in _queues(one) for one in alive)


def unserved(alive: Sequence[Worker]) -> list[Finding]:
    """Queues that nobody listens to; a worker that does not say what it listens to may serve any."""
    if any(not _queues(one) for one in alive):
        return []
    served = {queue for one in alive for queue in _queues(one)}
    does = {SEND: "so nothing is sent", SETTLE: "so nothing sent is followed up"}
    return [
        fail(f"no worker serves the queue {queue}, {what}; start one: ingest worker --queues {queue}")
        for queue, what in does.items()
        if queue not in served
    ]


def deaf(alive: Sequence[Worker], waiting: Mapping[str, int | None]) -> list[Finding]:
    """Workers that live and take nothing, though there is something to take. (One with all hands full says that it takes.)"""
    findings = []
    for one in alive:
        silent = _silent(one)
        if not _queues(one) or one.stopping_at or silent <= _patience(one, alive):
            continue
        if all(nobody_ticks(alive, queue, waiting.get(queue)) for queue in _queues(one)):
            continue
        findings.append(
            fail(
                f"worker {one.name} is deaf: alive, but took nothing from the broker for {say_duration(silent / 1000)}; restart it"
            )
        )
    return findings


def nobody_ticks(alive: Sequence[Worker], queue: str, waiting: int | None) -> bool:
    """The queue is empty and none of its workers took anything: they hear well, but nobody speaks."""
    if any(not _queues(one) for one in alive):
        return False  # that one may have taken what came
    serving = [one for one in alive if queue in _queues(one)]
    return bool(serving) and waiting == 0 and all(_silent(one) > _SILENT_MS for one in serving)


def canary(alive: Sequence[Worker], now: int) -> Finding:
    """When each queue was last seen to work."""
    took = [(queue, one.took_at) for one in alive for queue in _queues(one) if one.took_at]
    youngest = {queue: max(at for name, at in took if name == queue) for queue in sorted({name for name, _ in took})}
    if not youngest:
        return ok(f"{len(alive)} alive")
    said = [f"{queue} took a message {say_duration(max(0, now - at) / 1000)} ago" for queue, at in youngest.items()]
    return ok(f"{len(alive)} alive; {', '.join(said)}")


def beat(visit: Visit) -> Finding:
    settings = visit.configured(*_VARIABLES)
    if visit.runs is False:
        return ok("none, as no service runs")
    if not visit.workers:
        raise NotChecked("no worker is alive")
    settling = [one for one in visit.workers if SETTLE in _queues(one)]
    if not settling:
        raise NotChecked("no worker says that it takes ticks")
    silent = min(map(_silent, settling))
    if silent <= _SILENT_MS:
        return ok("ticks arrive")
    waiting = _waiting(visit, settings)[SETTLE]
    if waiting is None:
        raise NotChecked("no tick was taken for a minute, and the broker does not say whether any came")
    if not nobody_ticks(visit.workers, SETTLE, waiting):
        ticks = "1 tick lies" if waiting == 1 else f"{waiting} ticks lie"
        return warn(f"{ticks} in the broker, and none is taken; see the line about workers")
    return fail(
        f"nothing ticks: no beat runs, none was heard for {say_duration(silent / 1000)}; start one with: ingest beat"
    )


# What waits


def backlog(visit: Visit) -> Finding:
    settings = visit.configured(*_VARIABLES)
    if visit.fresh:
        return ok("nothing yet")
    return together(_lane(visit, settings, lane) for lane in SENDING_LANES)


def _lane(visit: Visit, settings: Settings, lane: Lane) -> Finding:
    now = now_ms()
    account = settings.account_for(lane)
    limit = settings.limits[lane]
    patience = round(max(60.0, 3 * (limit.interval if limit else 0.0)) * 1000)
    with visit.opened().read() as session:
        due = queries.due_on_lane(session, lane, now)
        if due is None:
            return ok(f"nothing waits on lane {lane}")
        items = f"{due.items}{'' if due.items < 10_000 else ' or more'} item{'' if due.items == 1 else 's'} due"
        if queries.pause_of_lane(session, lane, account) is not None:
            return ok(f"lane {lane} is paused with {items}")
        if not visit.workers:
            return ok(f"lane {lane} has {items}, which wait for a service")
        last = queries.last_sent(session, lane, now - patience)
        ended = queries.pause_ended(session, [account.scope, f"lane:{lane}"])
        sending = any(name == lane for _worker, name in queries.sending_now(session, now))
    started = min(one.started_at for one in visit.workers)
    if last is None or sending:
        return ok(f"lane {lane} is at work with {items}")
    idle = now - max(last, due.since, started, ended)
    if idle > patience:
        return fail(
            f"lane {lane} has {items} and sent nothing for {say_duration(idle / 1000)}; "
            "see the lines above, and the logs of the workers"
        )
    return ok(f"lane {lane} is at work with {items}")


def pauses(visit: Visit) -> Finding:
    settings = visit.configured(*_VARIABLES, "MEMORIES_CAPTION_API_KEY")
    if visit.fresh:
        return ok("nothing is paused")
    with visit.opened().read() as session:
        standing = queries.pauses(session, settings.account)
    captions = settings.account_for(next(iter(CAPTION_LANES)))
    # What holds for a key that is not configured any more has ended.
    standing = [
        one for one in standing if one.scope != captions.scope or one.fingerprint in (None, captions.fingerprint)
    ]
    if not standing:
        return ok("nothing is paused")
    return together(map(partial(say_pause, settings.account.scope), standing))


def say_pause(account_scope: str, one: Pause) -> Finding:
    until = f" until {iso(one.until)}" if one.until else ""
    if one.scope == account_scope:
        return fail(f"the account is paused{until}: {one.reason}")
    what = one.scope.replace(":", " ") if one.scope != "account:caption" else "the account of captions"
    return warn(f"{what} is paused{until}: {one.reason}")


def callbacks(visit: Visit) -> Finding:
    if visit.fresh:
        return ok("none yet")
    with visit.opened().read() as session:
        inbox = queries.inbox(session)
    now = now_ms()
    started = min((one.started_at for one in visit.workers), default=None)
    return inbox_says(inbox, now, None if started is None else now - started)


def inbox_says(inbox: queries.Inbox, now: int, up_for: int | None) -> Finding:
    """``up_for``: since when a worker lives, ms; None where none does."""
    said = [f"{inbox.new} new, {inbox.parked} parked"]
    if inbox.looked_at:
        said.append(f"of the last {inbox.looked_at}: {inbox.unmatched} unmatched, {inbox.malformed} malformed")
    counts = "; ".join(said)
    age = now - inbox.oldest_new if inbox.oldest_new is not None else 0
    if up_for is not None and min(age, up_for) > _SILENT_MS:
        return fail(
            f"the inbox is not applied: a callback waits for {say_duration(age / 1000)} ({counts}); restart the workers of the queue settle"
        )
    if inbox.looked_at and inbox.unmatched + inbox.malformed > inbox.looked_at // 2 and inbox.looked_at >= 20:
        return warn(
            f"most callbacks name nothing of ours: {counts}; is INGEST_PUBLIC_URL shared with another installation?"
        )
    return ok(counts)
