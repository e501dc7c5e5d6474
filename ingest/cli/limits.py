"""``ingest limits``: what each lane allows, what waits for it, when that is done. Looks and changes nothing."""

import json
from collections.abc import Mapping
from typing import Any

from ingest import broker
from ingest.cli import show
from ingest.cli.saying import say
from ingest.database import Database
from ingest.lanes import Lane
from ingest.outlook import lane_rows, peek_all
from ingest.quota import Outlook, Quota, QuotaUnavailable, connect
from ingest.settings import Settings

#: Shown in the table even while nothing goes on there: every import uses them.
_USUAL = frozenset({Lane.UPLOAD, Lane.SCRAPE, Lane.LIST, Lane.TASK_STATUS, Lane.DETAIL})


def limits(settings: Settings, database: Database, *, as_json: bool) -> None:
    seen = _peek(settings)
    with database.read() as session:
        rows = lane_rows(session, settings, seen)
    if as_json:
        for row in rows:
            print(json.dumps(row))
    else:
        show.limits_table([row for row in rows if _matters(row)])


def _peek(settings: Settings) -> Mapping[Lane, Outlook]:
    """Empty where Redis does not answer: the rest is known all the same."""
    try:
        with connect(broker.redis_url(settings)) as client:
            return peek_all(settings, Quota(client, settings.limits))
    except QuotaUnavailable as error:
        hint = "" if settings.redis_url else "; the broker runs with: ingest up"
        say(f"Next slots and margins are unknown: {str(error).rstrip('.')}{hint}")
        return {}


def _matters(row: Mapping[str, Any]) -> bool:
    own_pause = row["paused"] and row["paused"]["scope"].startswith("lane:")
    return bool(row["lane"] in _USUAL or row["items"] or row["margin"] or own_pause)
