"""A page of items under any filters, from any place, is what a look at all rows would give."""

import random
from typing import Any

import pytest
from sqlalchemy import insert
from sqlmodel import Session

from ingest import queries, store
from ingest.database import Database
from ingest.models import Item

pytestmark = pytest.mark.integration

_VALUES: dict[str, list[Any]] = {
    "status": ["PARSE", "FAIL", "QUEUED", "UNSURE"],
    "kind": ["file", "link", "post"],
    "lane": ["upload", "scrape"],
    "platform": ["tiktok", "youtube", None],
    "error_code": ["0001", "expired", None],
    "unique_id": ["default", "other"],
    "job_id": [1, 2, 3],
}


@pytest.fixture
def rows(database: Database) -> list[dict[str, Any]]:
    """Three hundred items in which some values are rare."""
    draw = random.Random(7)
    rows = []
    for number in range(1, 301):
        row = {name: values[min(int(draw.expovariate(1.2)), len(values) - 1)] for name, values in _VALUES.items()}
        rows.append(row | {"id": number, "source": f"/v/{number}", "due_at": 1, "created_at": 1, "updated_at": 1})
    with database.write() as session:
        for job in range(3):
            store.add_job(session, "add", [str(job)], "default", "private")
        filled = {"library": "private", "priority": 0, "turn": 0, "again": False, "attempts": 0, "lost_workers": 0}
        filled |= {"killed_alone": False, "fence": 0, "asked": 0}
        session.execute(insert(Item), [row | filled for row in rows])
    return rows


def _all_pages(session: Session, filters: dict[str, list[Any]], **how: Any) -> list[int]:
    found, after, pages = [], None, 0
    while True:
        page = queries.page(session, filters, after=after, **how)
        found += [item.id or 0 for item in page.items]
        assert len(page.items) <= how["limit"]
        after, pages = page.after, pages + 1
        if after is None:
            return found
        assert pages < 400, "it never ends"


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("step", [5, 4000])
def test_pages_show_each_item_of_a_filter_once_and_in_order(
    database: Database, rows: list[dict[str, Any]], newest_first: bool, step: int
) -> None:
    draw = random.Random(step)
    with database.read() as session:
        for _ in range(40):
            names = draw.sample(list(_VALUES), draw.randint(0, 4))
            filters = {
                name: draw.sample([one for one in _VALUES[name] if one is not None], draw.randint(1, 2))
                for name in names
            }
            wanted = [row["id"] for row in rows if all(row[name] in values for name, values in filters.items())]
            found = _all_pages(
                session, filters, limit=draw.choice([1, 7, 500]), newest_first=newest_first, step=step, patience=0.0
            )
            assert found == (wanted[::-1] if newest_first else wanted), filters


def test_a_filter_that_leaves_little_hands_over_a_short_page_and_goes_on(
    database: Database, rows: list[dict[str, Any]]
) -> None:
    filters = {"status": ["PARSE"], "lane": ["scrape"], "platform": ["youtube"]}
    with database.read() as session:
        page = queries.page(session, filters, limit=50, step=3, patience=0.0)
    assert len(page.items) < 3 and page.after is not None
