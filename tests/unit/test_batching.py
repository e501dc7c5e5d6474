"""How many calls a backlog takes. That batches are full and never mixed is shown on real rows (integration/test_store.py)."""

import pytest

from ingest.batching import BATCH_LIMIT, TOGETHER, batch_limit, calls_needed
from ingest.lanes import Lane
from ingest.models import Item


def test_only_posts_and_pictures_travel_together():
    assert batch_limit(Lane.SCRAPE) == BATCH_LIMIT == 50
    assert batch_limit(Lane.IMAGE) == 20
    assert {batch_limit(lane) for lane in Lane if lane not in (Lane.SCRAPE, Lane.IMAGE)} == {1}


@pytest.mark.parametrize(("alike", "calls"), [(0, 0), (1, 1), (50, 1), (51, 2), (120, 3)])
def test_a_started_batch_is_a_call(alike, calls):
    assert calls_needed(Lane.SCRAPE, alike) == calls
    assert calls_needed(Lane.UPLOAD, alike) == alike


def test_what_a_batch_shares_are_columns_of_an_item():
    assert set(TOGETHER) <= set(Item.__table__.c.keys())
