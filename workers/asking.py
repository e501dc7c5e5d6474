"""Ask Memories.ai something, under the limit of its lane; trouble of any kind means: not now."""

import logging
import math
from collections.abc import Callable
from typing import TypeVar

from sqlmodel import Session

from ingest import pauses, store
from ingest.clock import now_ms
from ingest.durations import jittered
from ingest.lanes import Lane
from ingest.models import Item
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


# When to ask again

_GROWTH, _LONGEST = 1.5, 600.0
#: After a hint the news is near: the list lags by seconds.
_HINTED_FIRST = 2.0
#: After no answer, seconds.
AFTER_TROUBLE = 2.0


def delay(context: Context, item: Item) -> float:
    """Seconds until the next question about an item that there is no news of."""
    times = min(item.asked, 30)  # beyond that a power is only a danger
    scheduled = min(_LONGEST, context.timings.poll * _GROWTH**times)
    return jittered(min(scheduled, _HINTED_FIRST * 2.0**times) if item.hinted_at else scheduled)


def ask_until(context: Context, session: Session, item: Item, deadline: float, at_most: float = math.inf) -> None:
    """Ask again, and at the deadline at the latest: how long it may take is a promise."""
    left = ((item.accepted_at or item.updated_at) - now_ms()) / 1000 + deadline
    store.ask_again(session, item, min(delay(context, item), max(AFTER_TROUBLE, left + 0.1), max(0.1, at_most)))
