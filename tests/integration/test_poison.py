"""Who is under suspicion, who travels with whom, and what counts as a death, on both databases."""

import pytest
from sqlalchemy import text

from ingest import queries, store
from ingest.clock import now_ms
from ingest.database import Database
from ingest.lanes import Lane
from ingest.models import Item, Job
from ingest.sources.found import Found, Kind

pytestmark = pytest.mark.integration


def _add(database: Database, *kinds: Kind) -> None:
    found = [
        Found(kind, f"https://media.example/{kind}/{n}", key=f"{kind}:{n}", platform="tiktok", post_id=str(n))
        for n, kind in enumerate(kinds)
    ]
    with database.write() as session:
        job = store.add_job(session, "add", ["x"], "default", "private")
        store.add_items(session, session.get_one(Job, job), found, {})


def _items(database: Database) -> list[Item]:
    with database.read() as session:
        return list(queries.items(session))


def _claim(database: Database, lane: Lane = Lane.UPLOAD, lease: float = 60.0) -> store.Claimed:
    with database.write() as session:
        claimed = store.claim(session, lane, "account", lease)
    assert claimed is not None
    return claimed


def _sql(database: Database, statement: str) -> None:
    with database.write() as session:
        session.execute(text(statement))


def _die_holding(database: Database, lane: Lane = Lane.UPLOAD) -> None:
    """A worker claims and is never heard of again; its items are proved not to have arrived."""
    _claim(database, lane, lease=-1)
    with database.write() as session:
        assert store.expire_leases(session, 60.0) == 1
    _sql(database, "UPDATE item SET status = 'QUEUED', due_at = 0 WHERE status = 'UNSURE'")


def test_the_second_lost_worker_makes_a_suspect(database: Database) -> None:
    _add(database, Kind.LINK)
    for before, suspect in ((0, False), (1, False), (2, True)):
        claimed = _claim(database)
        assert (claimed.items[0].lost_workers, claimed.suspect) == (before, suspect)
        with database.write() as session:
            store.released(session, claimed, "not sent")
        _die_holding(database)


def test_a_worker_that_was_told_to_stop_accuses_nobody(database: Database) -> None:
    _add(database, Kind.LINK)
    with database.write() as session:
        store.heartbeat(session, now_ms() - 600_000, "send", None, stopping_at=now_ms())
    _die_holding(database)
    assert _items(database)[0].lost_workers == 0
    _sql(database, f"UPDATE worker SET stopping_at = NULL, seen_at = {now_ms() - 300_000}")
    _die_holding(database)
    assert _items(database)[0].lost_workers == 1


def test_a_worker_that_lives_accuses_nobody(database: Database) -> None:
    """Its outcome was lost on the way to the database: that is no death."""
    _add(database, Kind.LINK)
    with database.write() as session:
        store.heartbeat(session, now_ms() - 600_000, "send", None)
    _die_holding(database)
    assert _items(database)[0].lost_workers == 0


def test_suspects_wait_while_one_runs_alone(database: Database) -> None:
    _add(database, Kind.LINK, Kind.LINK)
    _sql(database, "UPDATE item SET lost_workers = 2 WHERE id = 1")
    with database.write() as session:
        claimed = store.claim(session, Lane.UPLOAD, "account", 60.0, suspects=False)
    assert claimed is not None and claimed.items[0].id == 2


def test_suspects_travel_with_suspects_and_then_each_alone(database: Database) -> None:
    _add(database, *[Kind.POST] * 6)
    _sql(database, "UPDATE item SET lost_workers = 2 WHERE id <= 3")
    suspects = _claim(database, Lane.SCRAPE)
    assert ([item.id for item in suspects.items], suspects.suspect) == ([1, 2, 3], True)
    others = _claim(database, Lane.SCRAPE)
    assert ([item.id for item in others.items], others.suspect) == ([4, 5, 6], False)
    with database.write() as session:
        store.killed(session, suspects, "signal 11", sent_at=None)
    assert [(item.status, item.lost_workers) for item in _items(database)[:3]] == [("QUEUED", 3)] * 3
    assert [len(_claim(database, Lane.SCRAPE).items) for _ in range(3)] == [1, 1, 1]


def test_death_before_the_first_byte_is_poison_and_frees_the_content(database: Database) -> None:
    _add(database, Kind.LINK)
    with database.write() as session:  # the same link once more: a copy
        job = store.add_job(session, "add", ["x"], "default", "private")
        copy = Found(Kind.LINK, "https://media.example/link/0", key="link:0")
        store.add_items(session, session.get_one(Job, job), [copy], {})
    claimed = _claim(database)
    with database.write() as session:
        store.killed(session, claimed, "signal 11", sent_at=None)
    culprit, copy_ = _items(database)
    assert (culprit.status, culprit.stage, culprit.error_code) == ("FAIL", "poison", "poison")
    assert f"ingest retry {culprit.id}" in (culprit.error or "")
    assert copy_.status == "QUEUED"


def test_death_after_the_first_byte_is_asked_about_first(database: Database) -> None:
    _add(database, Kind.LINK)
    claimed = _claim(database)
    with database.write() as session:
        store.killed(session, claimed, "signal 9", sent_at=now_ms())
    item = _items(database)[0]
    assert (item.status, item.killed_alone) == ("UNSURE", True)
    with database.write() as session:  # it had arrived: nothing to hold against it
        store.tell(session, item.id or 0, store.News.IDENTIFIED, values={"video_no": "VI1"})
    assert _items(database)[0].status == "UNPARSE"


def test_a_death_whose_sender_had_written_its_outcome_changes_nothing(database: Database) -> None:
    _add(database, Kind.LINK)
    claimed = _claim(database)
    with database.write() as session:
        store.accepted(session, claimed, video_no="VI1", task_id=None, sent_at=now_ms(), due_at=now_ms())
        store.killed(session, claimed, "signal 9", sent_at=None)
    assert (_items(database)[0].status, _items(database)[0].lost_workers) == ("UNPARSE", 0)
