"""The numbers of followed public videos over time: views, likes, shares, comments, asked for one by one under the lane's limit."""

import logging
from collections.abc import Sequence
from functools import partial

from ingest import following
from ingest.clock import now_ms
from ingest.following import ToMeasure
from ingest.lanes import Lane
from ingest.quota import QuotaUnavailable
from ingest.upstream.client import Gate, Upstream
from ingest.upstream.fields import Counters
from workers.asking import NoAnswer, NotNow, ask
from workers.context import Context

log = logging.getLogger(__name__)

#: Questions of one tick: those about videos that are not ready wait for the same slots.
_AT_ONCE = 20
#: Whoever took a post to ask about has so long, then others may, seconds. A slot comes each second; what is left is given back.
_HOLD = 60.0
#: A post that got no answer is asked about again after so long, behind the others, seconds.
_AFTER_TROUBLE = 60.0


def run(context: Context) -> None:
    """Creators whose numbers are due have all their posts asked about; a tick asks about some of them."""
    with context.database.write() as session:
        following.take_refreshes(session)
        due = following.take_to_measure(session, _AT_ONCE, _HOLD)
    for place, one in enumerate(due):
        # One each tick at least: a lane that is never idle must not keep numbers from being known.
        if context.stop.is_set() or now_ms() >= one.held_until or (place and _others_wait(context)):
            _give_back(context, due[place:])
            return
        try:
            told = ask(context, Lane.DETAIL, partial(_ask, one.video_no))
        except NoAnswer as error:
            log.info("The numbers of %s are not told: %s", one.video_no, error)
            told = Counters()
        except NotNow:
            _give_back(context, due[place + 1 :], one)
            return
        with context.database.write() as session:
            following.measured(session, one, told)


def _give_back(context: Context, rest: Sequence[ToMeasure], failed: ToMeasure | None = None) -> None:
    with context.database.write() as session:
        following.not_measured(session, rest, failed, _AFTER_TROUBLE)


def _others_wait(context: Context) -> bool:
    """Whether somebody else is in line for the slots: numbers can wait, whether a video is ready should be known soon."""
    try:
        return context.quota.waiting(context.settings.account_for(Lane.DETAIL), Lane.DETAIL) > 0
    except QuotaUnavailable:
        return True


def _ask(number: str, upstream: Upstream, gate: Gate) -> Counters:
    return upstream.public_counters(number, gate)
