"""Forget raw callbacks and events after a while; statuses, ids and causes stand in the items and stay."""

import time
from contextlib import suppress

from ingest import queries, store
from ingest.clock import now_ms
from workers.context import Context

#: Rows of one transaction: the receiver shares the one writer of SQLite and must not wait long.
_AT_ONCE = 500
#: No call takes so long, seconds.
_ABANDONED = 24 * 3600.0


def run(context: Context) -> None:
    before = now_ms() - round(context.timings.retention * 1000)
    store.count_all(context.database)  # what is not counted yet is not forgotten
    _callbacks(context, before)
    _events(context, before)
    _spool(context)


def _spool(context: Context) -> None:
    """Parts whose sender was killed."""
    for path in (context.settings.home / "spool").glob("*"):
        with suppress(FileNotFoundError):  # its sender has removed it just now
            if time.time() - path.stat().st_mtime > _ABANDONED:
                path.unlink()


def _callbacks(context: Context, before: int) -> None:
    gone = _AT_ONCE
    while gone == _AT_ONCE and not context.stop.is_set():
        with context.database.write() as session:
            gone = store.forget_callbacks(session, before, _AT_ONCE)


def _events(context: Context, before: int) -> None:
    """Looked for while nobody waits, and from where the last look ended: events that stay must not be passed again and again."""
    after = (0, 0)
    while not context.stop.is_set():
        with context.database.read() as session:
            old = queries.old_events(session, before, _AT_ONCE, after)
        if not old:
            return
        after = old[-1]
        with context.database.write() as session:
            store.forget_events(session, [number for _, number in old])
