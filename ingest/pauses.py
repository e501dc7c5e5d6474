"""What pauses the account, a lane or a job, for how long, and in which words: trouble that is not an item's, or a person."""

import logging
from dataclasses import dataclass

from sqlmodel import Session

from ingest import queries, store
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


def say_trouble(error: AccountTrouble) -> str:
    return _WORDS.get(error.code, "Memories.ai refuses the account") + f": {error.message}"


def account_trouble(session: Session, account: Account, error: AccountTrouble, probe: float) -> None:
    """Stop everything of this account, with the reason, until another key is configured or a call passes ``probe`` seconds later.

    Credit may be topped up and a key be re-enabled at any time, and nobody should have to tell us.
    """
    reason = say_trouble(error)
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


# A person's


def scope_named(settings: Settings, text: str) -> str:
    """``account``, ``account:caption``, ``lane:<name>`` or ``job:<id>`` for what a person typed. ValueError is a sentence."""
    name = text.strip().lower()
    accounts = dict.fromkeys([settings.account.scope, settings.account_for(Lane.CAPTION_VIDEO).scope])
    if name in accounts:
        return name
    lane, number = name.removeprefix("lane:"), name.removeprefix("job:")
    if lane in [*Lane]:
        return f"lane:{lane}"
    if number.isascii() and number.isdigit() and len(number) < 19 and int(number) > 0:
        return f"job:{int(number)}"
    raise ValueError(
        f"'{text}' is nothing that can be paused; there is {', '.join(accounts)}, a job by its number, "
        f"and the lanes {', '.join(Lane)}"
    )


def job_of(scope: str) -> int | None:
    return int(scope.removeprefix("job:")) if scope.startswith("job:") else None


def say_scope(scope: str) -> str:
    """``lane upload``, ``job 7``, ``the account``."""
    kind, _, name = scope.partition(":")
    if kind == "account":
        return "the caption account" if name else "the account"
    return f"{kind} {name}"


def by_operator(session: Session, scope: str, why: str = "", seconds: float | None = None) -> bool:
    """A person pauses something; True when they had paused it already."""
    reason = "paused by an operator" + (f": {why}" if why else "")
    return store.pause_by_operator(session, scope, reason, seconds)


#: Whose pauses a person may end. A lane that was closed for calls that came too fast (by the vendor) opens by itself.
_ENDED_BY_HAND = {
    "account": (store.OPERATOR, "vendor"),
    "lane": (store.OPERATOR, "upstream"),
    "job": (store.OPERATOR,),
}


@dataclass(frozen=True, slots=True)
class Resumed:
    #: There was a pause of exactly this, and it is over.
    ended: bool
    #: What keeps it from going on all the same.
    still: Pause | None = None


def resume(session: Session, settings: Settings, scope: str) -> Resumed:
    """Only what was paused is resumed: a lane does not go on while its account is paused, and then nothing is changed."""
    kind, _, name = scope.partition(":")
    lane = Lane(name) if kind == "lane" else Lane.CAPTION_VIDEO if scope == "account:caption" else Lane.UPLOAD
    account = settings.account_for(lane)
    standing = queries.pauses(session, account)
    wider = next((one for one in standing if one.scope == account.scope), None)
    if kind == "lane" and wider is not None:
        return Resumed(False, wider)
    by = _ENDED_BY_HAND[kind]
    ended = any(one.scope == scope and one.by in by for one in standing)
    store.resume(session, scope, by=by)
    if kind == "job":
        return Resumed(ended, queries.pause_of_job(session, int(name), settings))
    return Resumed(ended, next((one for one in queries.pauses(session, account) if one.scope == scope), None))


def first_question(settings: Settings) -> float:
    """Seconds until the first question about what was accepted; where callbacks come, they are given time to."""
    return settings.timings.poll * (4 if settings.public_url else 1)
