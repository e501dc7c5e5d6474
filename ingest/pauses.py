"""Trouble that is not an item's: what pauses the account or a lane, for how long, and in which words."""

import logging

from sqlmodel import Session

from ingest import store
from ingest.durations import jittered, say_duration
from ingest.lanes import Lane
from ingest.models import Pause
from ingest.settings import Account, Settings
from ingest.upstream.errors import AccountTrouble, TooFast, Unavailable, Unsure

log = logging.getLogger(__name__)

#: An upstream that cannot be reached is tried again after 1, 2, 4 ... and at most so many seconds.
_LONGEST_BACKOFF = 30.0

_WORDS = {
    "0401": "Memories.ai does not accept the key (0401); check MEMORIES_API_KEY",
    "0402": "the Memories.ai account is out of credit (0402); top it up, sending goes on by itself",
    "0403": "Memories.ai has disabled the account (0403); ask its support",
    "9009": "the key has no permission for this (9009); ask Memories.ai for access",
}

#: With these a person must do something first: waiting does not help.
HOPELESS = frozenset({"0401", "0403", "9009"})


def account_trouble(session: Session, account: Account, error: AccountTrouble, probe: float) -> None:
    """Stop everything of this account, with the reason, until another key is configured or a call passes ``probe`` seconds later.

    Credit may be topped up and a key be re-enabled at any time, and nobody should have to tell us.
    """
    reason = _WORDS.get(error.code, "Memories.ai refuses the account") + f": {error.message}"
    log.warning("paused: %s. It is tried again in %s; another key is tried at once", reason, say_duration(probe))
    store.pause(
        session,
        account.scope,
        by="vendor",
        code=error.code,
        reason=reason,
        fingerprint=account.fingerprint,
        seconds=jittered(probe),
    )


def unreachable(session: Session, lane: Lane, error: Unavailable | Unsure) -> None:
    """Hold a lane back for a moment, longer each time in a row: what meets one call will meet the next."""
    scope = f"lane:{lane}"
    before = session.get(Pause, (scope, "upstream"))
    seconds = jittered(min(_LONGEST_BACKOFF, 2.0 ** min(before.count if before else 0, 10)))
    if before is None:
        log.warning("waiting on lane %s: %s", lane, error.message)
    store.pause(session, scope, by="upstream", code=error.code, reason=error.message, seconds=seconds)


def too_fast(session: Session, lane: Lane, error: TooFast, seconds: float) -> None:
    """The lane is closed for everyone (``Quota.close``); this row is what people see of it."""
    reason = (
        f"Memories.ai says too fast on lane {lane} ({error.code}); it is closed for a while and goes on a little slower. "
        "If that happens often, set INGEST_LIMITS to what your plan allows"
    )
    store.pause(session, f"lane:{lane}", by="vendor", code=error.code, reason=reason, seconds=seconds)


def passed(session: Session, lane: Lane) -> None:
    """A call got a verdict: the upstream can be reached, and the lane is open."""
    store.resume(session, f"lane:{lane}", by=("upstream", "vendor"))


def first_question(settings: Settings) -> float:
    """Seconds until the first question about what was accepted; where callbacks come, they are given time to."""
    return settings.timings.poll * (4 if settings.public_url else 1)
