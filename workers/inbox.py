"""Apply what the receiver kept. A callback is a hint: it makes items due, a question decides (contract C.1)."""

from sqlmodel import Session

from ingest import queries, store
from ingest.durations import jittered
from ingest.models import Callback, Submission
from ingest.upstream.fields import Heard, Malformed, read_callback
from workers import captions
from workers.context import Context

_AT_ONCE = 500
#: A callback that names nothing we know is tried again after 2, 4, 8 ... seconds, and so often.
_MOST_TRIES = 12
_LONGEST = 3600.0


def run(context: Context) -> None:
    """Everything that waits, in batches: one transaction each."""
    while not context.stop.is_set():
        with context.database.write() as session:
            waiting = store.take_callbacks(session, _AT_ONCE)
            for one in waiting:
                _apply(session, one)
        if len(waiting) < _AT_ONCE:
            return


def _apply(session: Session, callback: Callback) -> None:
    assert callback.id is not None
    try:
        heard = read_callback(callback.body)
    except Malformed as error:
        store.callback_done(session, callback.id, "malformed", str(error))
        return
    note = _hint(session, callback, heard)
    if note is not None:
        store.callback_done(session, callback.id, "applied", note)
    elif callback.tries >= _MOST_TRIES:
        store.callback_done(session, callback.id, "unmatched", f"{_say(heard)}; it names nothing of ours")
    else:
        delay = jittered(min(_LONGEST, 2.0**callback.tries))
        subject = next(iter(heard.video_nos), heard.task_id)
        said = f"{_say(heard)}; it names nothing we know yet"
        store.callback_done(session, callback.id, "parked", said, delay, subject)


def _hint(session: Session, callback: Callback, heard: Heard) -> str | None:
    """Make the items due that the callback speaks of; what was done in words, or None when it names nothing we know."""
    submission = _submission_of(session, callback, heard)
    if submission is not None and heard.variant == "K4":
        done = captions.hear(session, submission, heard)
        return f"{_say(heard)}; {done or 'what it names is no caption'}"
    if submission is not None:
        return _hint_submission(session, submission, heard)
    for number in heard.video_nos:
        item = queries.item_of_video(session, number)
        if item is not None and item.id is not None:
            store.make_due(session, [item.id])
            return f"{_say(heard)}; item {item.id} is asked about"
    return None


def _submission_of(session: Session, callback: Callback, heard: Heard) -> Submission | None:
    if callback.short_id is not None:
        return queries.submission_by_short_id(session, callback.short_id)
    return queries.submission_of_task(session, heard.task_id) if heard.task_id else None


def _hint_submission(session: Session, submission: Submission, heard: Heard) -> str:
    assert submission.id is not None
    hints: dict[str, object] = {}
    if heard.task_id and submission.task_id is None:
        hints["task_id"] = heard.task_id
    if heard.variant == "K2":
        hints["hinted_task_state"] = heard.word
    if heard.variant == "K1" and len(heard.video_nos) == 1:
        hints["hinted_video_no"] = heard.video_nos[0]
    if hints:
        store.hint_submission(session, submission.id, **hints)
    mine = set(submission.item_ids)
    if heard.variant == "K3":
        # One video of a task: its item alone if we know it, else the task tells.
        known = [queries.item_of_video(session, number) for number in heard.video_nos]
        # Posts of a creator are not in its list: they travelled under nobody's name.
        named = {one.id for one in known if one is not None and (one.id in mine or one.submission_id == submission.id)}
        mine = {number for number in named if number is not None} or mine
    store.make_due(session, sorted(mine))
    return f"{_say(heard)}; {'item' if len(mine) == 1 else 'items'} {_say_ids(sorted(mine))} asked about"


def _say(heard: Heard) -> str:
    what = " ".join(filter(None, [heard.variant, heard.raw_status, heard.task_id, *heard.video_nos[:3]]))
    return f"it says {what}"


def _say_ids(ids: list[int]) -> str:
    shown = ", ".join(str(one) for one in ids[:5])
    return shown + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
