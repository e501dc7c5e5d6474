"""Captions and pictures after they were sent: nobody can be asked about them, so a callback or a deadline decides.

A caption's result exists in its callback alone (contract B.7 D1); a picture's number in its answer alone (B.2 U9). What was lost is never
sent again by itself, because it may have been paid for.
"""

from collections.abc import Iterable

from sqlalchemy import and_
from sqlmodel import Session

from ingest import captions, queries, store
from ingest.clock import now_ms
from ingest.durations import say_duration
from ingest.lanes import CAPTION_LANES, Lane
from ingest.models import Item, Submission
from ingest.statuses import OPEN, News, Stage, Status
from ingest.upstream.fields import Heard, Word
from workers.context import Context

_LANES = (*sorted(CAPTION_LANES), Lane.IMAGE)
_AT_ONCE, _HOLD = 200, 30.0
#: Parts that ended there were asked, and may have been paid.
_ASKED = (Stage.EXPIRED, Stage.UPSTREAM)
_item = Item.__table__  # type: ignore[attr-defined]
#: A whole looks at its parts so often, seconds.
_LOOK = 2.0


def run(context: Context) -> None:
    """End what nobody has heard of for too long, and join what is complete."""
    with context.database.write() as session:
        due = store.take_due(session, Status.UNSURE, _AT_ONCE, _HOLD, lanes=_LANES)
        due += store.take_due(session, Status.UNPARSE, _AT_ONCE, _HOLD, lanes=_LANES)
        submissions = queries.submissions(session, {item.submission_id for item in due if item.submission_id})
        for item in due:
            if item.submission_id is None:
                _join(session, item)
            else:
                _wait_or_expire(context, session, item, submissions[item.submission_id])


def hear(session: Session, submission: Submission, heard: Heard) -> str | None:
    """The result that a callback carries; what was done in words, None when the submission is no caption."""
    assert submission.id is not None
    item = next(iter(queries.items_by_id(session, submission.item_ids)), None)
    if item is None or item.id is None or submission.operation != store.CAPTION:
        return None
    task = {"task_id": heard.task_id or item.task_id}
    if heard.word is Word.READY and heard.caption is not None:
        store.completed(session, submission.id, {item.id: {**task, "result": captions.result_of(heard.caption)}})
    else:
        store.close_submission(session, submission.id, "accepted", was=("open", "lost"), ended_at=now_ms())
        said = f"Memories.ai could not caption it: {heard.message or 'no cause was given'}"
        values = {**task, "error_code": "caption_failed", "error": said}
        # Of the request that the item travels in, not of one before it: a person may have sent it again since.
        mine = and_(_item.c.submission_id == submission.id, _item.c.status != Status.QUEUED)
        store.tell(session, item.id, News.BROKEN, submission_id=submission.id, values=values, guard=mine)
    parts_ended(session, [item])
    return f"item {item.id} has its {'caption' if heard.word is Word.READY else 'end'}"


def parts_ended(session: Session, items: Iterable[Item]) -> None:
    """Parts got their results: their wholes are looked at now, also those that had been given up."""
    for parent_id in {item.parent_id for item in items if item.parent_id}:
        whole = session.get(Item, parent_id, populate_existing=True, with_for_update=True)
        if whole is not None:
            _join(session, whole)


def _join(session: Session, whole: Item) -> None:
    assert whole.id is not None
    parts = queries.parts_of(session, whole.id)
    failed = [part for part in parts if part.status not in (*OPEN, Status.PARSE)]
    if any(part.status in OPEN for part in parts):
        store.put_off(session, [whole.id], _LOOK)
    elif not failed:
        done = captions.join([(part.span or (0, 0), part.result or {}) for part in parts])
        store.tell(session, whole.id, News.READY, values={"result": done})
    elif whole.status == Status.UNPARSE:
        named = ", ".join(f"item {part.id} ({part.error or part.status})" for part in failed[:5])
        said = f"{len(failed)} of {len(parts)} parts have no caption: {named}; when they have one, this has too"
        store.tell(session, whole.id, News.BROKEN, values={"error_code": "part_failed", "error": said})
        if all(part.status != Status.PARSE and part.stage not in _ASKED for part in parts):
            store.let_go(session, whole.id)


def _wait_or_expire(context: Context, session: Session, item: Item, submission: Submission) -> None:
    assert item.id is not None
    if item.kind != "caption":
        said = "no answer came, and pictures cannot be asked about; it may be there. Sending it again: ingest retry --resend"
        _expire(session, item, "no_answer", said)
    elif submission.operation == store.CAPTION_NOW and item.status == Status.UNSURE:
        _expire(session, item, "no_answer", "no answer came, and it cannot be asked for; it may have been charged")
    else:
        since = item.accepted_at or submission.ended_at or item.updated_at
        left = (since - now_ms()) / 1000 + context.timings.caption
        if left > 0:
            store.put_off(session, [item.id], left + 0.1)
            return
        waited = say_duration(context.timings.caption)
        said = f"no callback brought its result within {waited}, and it cannot be asked for; it may have been charged"
        _expire(session, item, "no_callback", said)


def _expire(session: Session, item: Item, code: str, said: str) -> None:
    assert item.id is not None
    values = {"error_code": code, "error": said}
    store.tell(session, item.id, News.EXPIRED, submission_id=item.submission_id, values=values)
