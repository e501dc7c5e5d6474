"""Look at the rows, so that no lost message matters: dead senders' leases, and lanes that have work and nobody in line."""

import logging

from ingest import queries, store
from ingest.quota import QuotaUnavailable
from workers.context import Context
from workers.turns import wanted_turns

log = logging.getLogger(__name__)


#: Trouble this long after the last one is not "again", seconds.
_NEW_STORY = 120.0


def run(context: Context) -> None:
    with context.database.write() as session:
        dead = store.expire_leases(session, context.timings.lease)
        store.forget_ended_pauses(session, _NEW_STORY)
    if dead:
        log.warning("%d submissions were in the hands of a worker that died; they are settled by asking", dead)
    _wake_lanes(context)


def _wake_lanes(context: Context) -> None:
    with context.database.read() as session:
        lanes = queries.lanes_with_work(session)
    for lane in lanes:
        if context.pause_of(lane) is not None:
            continue
        limit = context.settings.limits[lane]
        wanted = wanted_turns(limit.interval if limit else 0.0)
        try:
            standing = context.quota.waiting(context.settings.account_for(lane), lane)
            # What already waits in the broker will be in line soon: the broker holds a handful of messages, never the backlog.
            missing = wanted - standing - context.waiting_turns()
        except QuotaUnavailable as error:
            log.warning("Lanes cannot be woken: %s", error)
            return
        if missing > 0:
            context.nudger.turn(lane, missing)
