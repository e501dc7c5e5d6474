"""Ask Memories.ai something, under the limit of its lane; trouble of any kind means: not now."""

import logging
from collections.abc import Callable
from typing import TypeVar

from ingest import pauses
from ingest.lanes import Lane
from ingest.quota import NotSoon, QuotaUnavailable, SlotGate, SlotLost, Stopped
from ingest.upstream.client import Gate, Upstream
from ingest.upstream.errors import AccountTrouble, Missing, Refused, TooFast, Unavailable, Unsure
from workers.context import Context

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Connecting begins so long before the slot opens, seconds.
_LEAD = 0.2
_LONGEST_WAIT = 30.0


class NotNow(Exception):
    """No answer this time; the rows stay due and are asked about again."""


class NoAnswer(NotNow):
    """This question is not answered here, now or later: refused, or a call that this deployment does not have."""


def ask(context: Context, lane: Lane, question: Callable[[Upstream, Gate], T]) -> T:
    """One question at the lane's next slot. Raises NotNow, whatever the reason."""
    account = context.settings.account_for(lane)
    if context.pause_of(lane) is not None:
        raise NotNow("the lane is paused")
    try:
        with context.quota.line(account, lane, stop=context.stop) as place:
            place.near(_LEAD, at_most=_LONGEST_WAIT)
            return question(context.upstream(lane), SlotGate(place))
    except TooFast as error:
        context.close_lane(lane, error)
        raise NotNow(str(error)) from error
    except AccountTrouble as error:
        with context.database.write() as session:
            pauses.account_trouble(session, account, error, context.timings.probe)
        raise NotNow(str(error)) from error
    except Refused as error:
        log.warning("Memories.ai refused a question on lane %s: %s", lane, error)
        raise NoAnswer(str(error)) from error
    except Unavailable as error:
        log.info("No answer on lane %s: %s", lane, error)
        raise (NoAnswer if isinstance(error, Missing) else NotNow)(str(error)) from error
    except (Unsure, Stopped, NotSoon, SlotLost, QuotaUnavailable) as error:
        log.info("No answer on lane %s: %s", lane, error)
        raise NotNow(str(error)) from error
