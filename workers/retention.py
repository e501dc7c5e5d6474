"""Forget raw callbacks and events after a while; statuses, ids and causes stand in the items and stay."""

from ingest import store
from ingest.clock import now_ms
from workers.context import Context

#: Rows of one transaction: the receiver shares the one writer of SQLite and must not wait long.
_AT_ONCE = 500


def run(context: Context) -> None:
    before = now_ms() - round(context.timings.retention * 1000)
    for forget in (store.forget_callbacks, store.forget_events):
        while not context.stop.is_set():
            with context.database.write() as session:
                gone = forget(session, before, _AT_ONCE)
            if gone < _AT_ONCE:
                break
