"""Where an item stands, what may be learned about it, and what follows: ``decide(status, news)``, pure and total.

Only ``ingest.store`` applies a verdict, with a compare-and-set on the status it was decided from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Status(StrEnum):
    QUEUED = "QUEUED"  # waiting for its lane; a turn moves it on
    SENDING = "SENDING"  # claimed until lease_until, submission written; its sender moves it on, or the sweep when the lease ends
    UNSURE = "UNSURE"  # may have arrived, no answer did; a callback or the list settles it, never a blind second send
    UNPARSE = "UNPARSE"  # Memories.ai has it, not ready yet; questions move it on, the deadline at the latest
    PARSE = "PARSE"  # ready
    FAIL = "FAIL"  # will not become ready; stage, error_code and error say why
    SKIPPED = "SKIPPED"  # not sent on purpose: a duplicate (its twin is named), or not a video by its name
    CANCELLED = "CANCELLED"  # stopped by a person before it was sent


FINAL = frozenset({Status.PARSE, Status.FAIL, Status.SKIPPED, Status.CANCELLED})
OPEN = tuple(status for status in Status if status not in FINAL)


class Stage(StrEnum):
    """Where a FAIL came from."""

    PREFLIGHT = "preflight"  # we looked at the file and did not send it
    REFUSED = "refused"  # Memories.ai refused the request
    UPSTREAM = "upstream"  # Memories.ai took it and could not process it
    EXPIRED = "expired"  # our own verdict: a deadline passed without an answer
    POISON = "poison"  # it took its workers down


class News(StrEnum):
    CLAIMED = "claimed"  # a turn took it, the submission is written
    RELEASED = "released"  # the turn surely did not send it: back to the queue
    ACCEPTED = "accepted"  # the answer came: it has a video_no or task_id
    REFUSED = "refused"  # the answer came: never
    LOST = "lost"  # bytes may have left and no readable answer came
    IDENTIFIED = "identified"  # a callback and the vendor's confirmation, or the list, name its video
    ABSENT = "absent"  # complete sweeps prove that nothing arrived
    READY = "ready"  # the vendor confirms: indexed
    BROKEN = "broken"  # the vendor confirms: will not be indexed
    EXPIRED = "expired"  # a deadline passed
    UNFIT = "unfit"  # preflight: cannot be sent as it is
    DUPLICATE = "duplicate"  # its twin went before it
    TWIN_GONE = "twin_gone"  # the twin it was skipped for freed the content
    POISONED = "poisoned"  # it took its workers down too often
    CANCEL = "cancel"  # a person stopped it
    RETRY = "retry"  # a person sends it again


@dataclass(frozen=True, slots=True)
class Verdict:
    to: Status
    stage: Stage | None = None
    #: Holds only while the FAIL is our own verdict (stage expired): a vendor's word may replace it.
    only_if_expired: bool = False


STAY = None

_Q, _SEND, _UNSURE, _UNPARSE = Status.QUEUED, Status.SENDING, Status.UNSURE, Status.UNPARSE
_PARSE, _FAIL, _SKIPPED, _CANCELLED = Status.PARSE, Status.FAIL, Status.SKIPPED, Status.CANCELLED


def _to(status: Status, stage: Stage | None = None) -> Verdict:
    return Verdict(status, stage)


def _own(status: Status, stage: Stage | None = None) -> Verdict:
    return Verdict(status, stage, only_if_expired=True)


_UPSTREAM = _to(_FAIL, Stage.UPSTREAM)
_EXPIRED = _to(_FAIL, Stage.EXPIRED)
_UNFIT = _to(_FAIL, Stage.PREFLIGHT)
_REFUSED = _to(_FAIL, Stage.REFUSED)
_POISON = _to(_FAIL, Stage.POISON)

# fmt: off
#: A row per status, a column per news; "stay" is written out so that a new word cannot be forgotten.
_COLUMNS = (
    News.CLAIMED, News.RELEASED, News.ACCEPTED, News.REFUSED, News.LOST, News.IDENTIFIED, News.ABSENT, News.READY,
    News.BROKEN, News.EXPIRED, News.UNFIT, News.DUPLICATE, News.TWIN_GONE, News.POISONED, News.CANCEL, News.RETRY,
)
_ROWS: dict[Status, tuple[Verdict | None, ...]] = {
    # A late answer may find its item queued again (the lease ran out in between): then the answer wins, or it is sent twice.
    _Q:         (_to(_SEND), STAY, _to(_UNPARSE), STAY, STAY, _to(_UNPARSE), STAY, _to(_PARSE),
                 _UPSTREAM, STAY, _UNFIT, _to(_SKIPPED), STAY, _POISON, _to(_CANCELLED), STAY),
    _SEND:      (STAY, _to(_Q), _to(_UNPARSE), _REFUSED, _to(_UNSURE), _to(_UNPARSE), STAY, _to(_PARSE),
                 _UPSTREAM, STAY, _UNFIT, _to(_SKIPPED), STAY, _POISON, STAY, STAY),
    # A REFUSED that arrives late is a verdict all the same: the request came to nothing.
    _UNSURE:    (STAY, STAY, _to(_UNPARSE), _REFUSED, STAY, _to(_UNPARSE), _to(_Q), _to(_PARSE),
                 _UPSTREAM, _EXPIRED, STAY, STAY, STAY, _POISON, STAY, STAY),
    _UNPARSE:   (STAY, STAY, STAY, STAY, STAY, STAY, STAY, _to(_PARSE),
                 _UPSTREAM, _EXPIRED, STAY, STAY, STAY, STAY, STAY, STAY),
    _PARSE:     (STAY, STAY, STAY, STAY, STAY, STAY, STAY, STAY,
                 STAY, STAY, STAY, STAY, STAY, STAY, STAY, STAY),
    # Final is not deaf: our own verdict (expired) yields to the vendor's word, a vendor FAIL only to a confirmed PARSE.
    _FAIL:      (STAY, STAY, _own(_UNPARSE), STAY, STAY, _own(_UNPARSE), STAY, _to(_PARSE),
                 _own(_FAIL, Stage.UPSTREAM), STAY, STAY, STAY, STAY, STAY, STAY, _to(_Q)),
    _SKIPPED:   (STAY, STAY, STAY, STAY, STAY, STAY, STAY, STAY,
                 STAY, STAY, STAY, STAY, _to(_Q), STAY, STAY, STAY),
    _CANCELLED: (STAY, STAY, STAY, STAY, STAY, STAY, STAY, STAY,
                 STAY, STAY, STAY, STAY, STAY, STAY, STAY, _to(_Q)),
}
# fmt: on

TABLE: Mapping[tuple[Status, News], Verdict | None] = MappingProxyType(
    {(status, news): cell for status, row in _ROWS.items() for news, cell in zip(_COLUMNS, row, strict=True)}
)


def decide(status: Status, news: News, stage: Stage | str | None = None) -> Verdict | None:
    """What ``news`` makes of an item at ``status`` (``stage``, as the row has it, matters for FAIL alone); None: it stays."""
    verdict = TABLE[status, news]
    if verdict is None or (verdict.only_if_expired and stage != Stage.EXPIRED):
        return STAY
    return verdict


def frees_content(status: Status, stage: Stage | None) -> bool:
    """True where nothing of the item is at Memories.ai, so that a copy skipped for its sake must be sent after all."""
    return status is Status.CANCELLED or (
        status is Status.FAIL and stage in (Stage.PREFLIGHT, Stage.REFUSED, Stage.POISON)
    )
