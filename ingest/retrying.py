"""What ``ingest retry`` does with an item: queue it again, ask about it again, or leave it. Pure and total.

The line it must not cross is a second video of one file: what may be at Memories.ai is asked about, and sent anew only because a
person says so (``--resend``) or because the vendor itself said that it cannot use what it has.
"""

from dataclasses import dataclass
from enum import StrEnum

from ingest.statuses import OPEN, Stage, Status


class Action(StrEnum):
    QUEUED = "queued"  # sent again, in its turn
    ASKED = "asked"  # Memories.ai has it: not sent, asked about with a new deadline
    PASSED_OVER = "passed_over"  # stays as it is


@dataclass(frozen=True, slots=True)
class Standing:
    """An item, as far as it matters here."""

    status: Status
    stage: Stage | None = None
    error_code: str | None = None
    video_no: str | None = None
    twin_id: int | None = None
    #: It came with ``ingest adopt``: a name in a list, nothing here that could be sent.
    adopted: bool = False
    kind: str = "file"
    #: The caption of a longer video, made of its parts'.
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    action: Action
    #: Why it is passed over, as a sentence that follows "passed over: "; or what to know of one that is queued.
    why: str | None = None


#: Expired, and yet it is known that nothing came of it: sweeps proved that no upload arrived; a repeated scrape is free.
NEVER_THERE = frozenset({"never_arrived", "never_appeared"})

_QUEUED, _ASKED = Decision(Action.QUEUED), Decision(Action.ASKED)
_PAID = Decision(Action.QUEUED, "it may have been charged already, and costs again")
_RESEND = "--resend sends it anew all the same, and a second video may come of it"


def decide(one: Standing, *, resend: bool = False) -> Decision:
    if one.status is Status.PARSE:
        return _passed_over("it is ready (PARSE)")
    if one.status in OPEN:
        return _passed_over(f"it is under way ({one.status})")
    if one.status is Status.SKIPPED:
        return _passed_over(_why_skipped(one))
    if one.whole:
        return _passed_over("it is made of its parts; send those again, and it follows")
    if one.kind == "caption":
        return _PAID if one.stage is Stage.EXPIRED else _QUEUED
    if one.video_no and not resend and one.stage is not Stage.UPSTREAM:
        if one.stage is Stage.EXPIRED:
            return _ASKED
        return _passed_over(f"Memories.ai has it as {one.video_no}, from a request whose answer came late; {_RESEND}")
    if one.adopted:
        return _passed_over(
            "it was adopted from the account, so there is nothing here to send; add the file itself with: ingest add"
        )
    known = one.stage not in (Stage.EXPIRED, None) or one.error_code in NEVER_THERE
    if one.status is Status.CANCELLED or known or resend:
        return _QUEUED
    return _passed_over(f"it may be one of several videos at Memories.ai, so it is not sent blindly; {_RESEND}")


def _passed_over(why: str) -> Decision:
    return Decision(Action.PASSED_OVER, why)


def _why_skipped(one: Standing) -> str:
    if one.twin_id is not None:
        return f"it is a copy of item {one.twin_id}: retry that one, or send the copy as well with: ingest add --again"
    return "it was not sent on purpose: it is no video by its name"


def same_content(owner_id: int, status: str) -> Decision:
    """Another item took over its content when it failed."""
    return _passed_over(f"it is the same as item {owner_id}, which is {status}")
