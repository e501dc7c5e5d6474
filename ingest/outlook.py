"""Each lane at a glance: its limit, its next slot, what waits for it, and when that will have been sent."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlmodel import Session

from ingest import queries
from ingest.clock import now_ms
from ingest.lanes import Lane
from ingest.models import Pause
from ingest.queries import Ahead
from ingest.quota import Outlook, Quota
from ingest.settings import Settings


def peek_all(settings: Settings, quota: Quota, lanes: Iterable[Lane] = tuple(Lane)) -> dict[Lane, Outlook]:
    """QuotaUnavailable as soon as Redis does not answer: nobody waits for one time-out per lane."""
    return quota.peek_all({lane: settings.account_for(lane) for lane in lanes})


def lane_rows(session: Session, settings: Settings, seen: Mapping[Lane, Outlook]) -> list[dict[str, Any]]:
    """A row per lane; what Redis would have said is None where it did not answer (``seen`` is empty then)."""
    limits = settings.limits
    ahead = {one.lane: one for one in queries.ahead(session, limits)}
    rows = []
    for lane in Lane:
        limit, outlook = limits[lane], seen.get(lane)
        left = ahead.get(lane) or Ahead(lane, 0, 0, 0.0)
        seconds = left.seconds + (left.calls * outlook.margin if outlook and limit else 0.0)
        paused = queries.pause_of_lane(session, lane, settings.account_for(lane))
        rows.append(
            {
                "lane": lane.value,
                "limit": str(limit) if limit else None,
                "margin": round(outlook.margin, 6) if outlook else None,
                "next_slot": round(outlook.next_slot, 3) if outlook else None,
                "in_line": outlook.in_line if outlook else None,
                "items": left.items,
                "calls": left.calls,
                "seconds": round(seconds, 3),
                "end": _end(left, seconds, paused),
                "paused": paused and queries.pause_row(paused),
            }
        )
    return rows


def _end(left: Ahead, seconds: float, paused: Pause | None) -> str | None:
    """When the last call will have left at the earliest; None with nothing to send, or for as long as nobody resumes it."""
    if not left.calls or (paused is not None and paused.until is None):
        return None
    begins = max(now_ms(), paused.until or 0) if paused else now_ms()
    try:
        at = datetime.fromtimestamp(begins / 1000, UTC) + timedelta(seconds=seconds)
    except OverflowError:
        return None
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
