"""Keep what is not counted yet small, so that reading counts stays cheap."""

from ingest import queries, store
from ingest.clock import now_ms
from workers.context import Context

#: Readers add up so many by themselves without anybody noticing.
_FEW = 500
#: What the metrics take from the tallies alone is not older than this, ms.
_OLD = 10_000


def run(context: Context) -> None:
    with context.database.read() as session:
        waiting, since = queries.uncounted(session)
    if waiting > _FEW or (since is not None and since < now_ms() - _OLD):
        store.count_all(context.database)
