"""The numbers of followed public videos over time: views, likes, shares, comments, asked for one by one under the lane's limit."""

import logging
from functools import partial

from ingest import following
from ingest.lanes import Lane
from ingest.upstream.client import Gate, Upstream
from ingest.upstream.fields import Counters
from workers.asking import NoAnswer, NotNow, ask
from workers.context import Context

log = logging.getLogger(__name__)

#: Questions of one tick: those about videos that are not ready wait for the same slots.
_AT_ONCE = 20
#: Whoever took a post to ask about has so long, then others may, seconds.
_HOLD = 120.0


def run(context: Context) -> None:
    """Creators whose numbers are due have all their posts asked about; a tick asks about some of them."""
    with context.database.write() as session:
        following.take_refreshes(session)
        due = following.take_to_measure(session, _AT_ONCE, _HOLD)
    for one in due:
        if context.stop.is_set():
            return
        try:
            told = ask(context, Lane.DETAIL, partial(_ask, one.video_no))
        except NoAnswer as error:
            log.info("The numbers of %s are not told: %s", one.video_no, error)
            told = Counters()
        except NotNow:
            return  # the rest is due again when its hold ends
        with context.database.write() as session:
            following.measured(session, one, told)


def _ask(number: str, upstream: Upstream, gate: Gate) -> Counters:
    return upstream.public_counters(number, gate)
