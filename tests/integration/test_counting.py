"""Counts and the feed of changes: exact at any moment, on both databases, whoever writes meanwhile."""

import random
import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import func, select, text

from ingest import queries, store
from ingest.database import Database, migrate
from ingest.lanes import Lane
from ingest.models import Event, Feed, Item, Job, Tick
from ingest.queries import Forgotten, Place
from ingest.sources.found import Found, Kind
from ingest.statuses import News, Status

pytestmark = pytest.mark.integration


def _add(database: Database, count: int, start: int = 0) -> int:
    links = [f"https://media.example/{number}.mp4" for number in range(start, start + count)]
    with database.write() as session:
        job = store.add_job(session, "add", ["x"], "default", "private")
        found = [Found(Kind.LINK, url, key=f"link:{url}") for url in links]
        store.add_items(session, session.get_one(Job, job), found, {})
    return job


def _tell(database: Database, item_id: int, news: News) -> None:
    with database.write() as session:
        store.tell(session, item_id, news)


def _counted_anew(database: Database, job: int | None = None) -> dict[str, int]:
    """What a GROUP BY over all rows says."""
    query = select(Item.status, func.count()).group_by(Item.status)
    if job is not None:
        query = query.where(Item.job_id == job)
    with database.read() as session:
        found = dict(session.execute(query).all())
    return {status.value: found.get(status, 0) for status in Status}


def _counts(database: Database, job: int | None = None) -> dict[str, int]:
    with database.read() as session:
        return queries.counts(session, job)


def _version(database: Database, job: int | None = None) -> int:
    with database.read() as session:
        return queries.version(session, job)


def _changes(database: Database, after: Place, limit: int = 1000) -> tuple[list[dict], Place]:
    with database.read() as session:
        return queries.changes(session, after, limit)


def _newest(database: Database) -> Place:
    with database.read() as session:
        return queries.newest_place(session)


# Counts


@pytest.mark.parametrize("seed", [1, 2])
def test_counts_are_those_of_all_rows_before_and_after_each_fold(database: Database, seed: int) -> None:
    draw = random.Random(seed)
    jobs = [_add(database, 20, start * 15) for start in range(3)]  # some are copies of the job before
    for _ in range(120):
        _tell(database, draw.randint(1, 60), draw.choice(list(News)))
        if draw.random() < 0.1:
            with database.write() as session:
                store.fold(session, draw.choice([1, 7, 1000]))
        for job in (None, draw.choice(jobs)):
            assert _counts(database, job) == _counted_anew(database, job)


def test_counts_of_several_jobs_and_of_all_come_from_one_look(database: Database) -> None:
    first, second = _add(database, 3), _add(database, 2, start=100)
    with database.read() as session:
        found = queries.counts_of_jobs(session, [first, second, 0])
    assert [found[one]["QUEUED"] for one in (first, second, 0)] == [3, 2, 5]


def test_several_processes_that_count_at_once_count_nothing_twice(database: Database) -> None:
    job = _add(database, 40)
    done = threading.Event()

    def count() -> None:
        while not done.is_set():
            store.count_all(database)

    counters = [threading.Thread(target=count) for _ in range(3)]
    for one in counters:
        one.start()
    try:
        for item_id in range(1, 41):
            _tell(database, item_id, News.CLAIMED)
            assert sum(_counts(database, job).values()) == 40
    finally:
        done.set()
        for one in counters:
            one.join()
    assert _counts(database) == _counted_anew(database)


def test_outcomes_of_submissions_and_callbacks_are_counted_once(database: Database) -> None:
    _add(database, 3)
    with database.write() as session:
        claims = [store.claim(session, Lane.UPLOAD, "account", 60.0) for _ in range(3)]
    with database.write() as session:
        for one in claims[:2]:
            assert one is not None
            store.accepted(session, one, video_no="VI1", task_id=None, sent_at=None, due_at=0)
        assert claims[2] is not None
        store.refused(session, claims[2], "0001", "no", None)
        store.refused(session, claims[2], "0001", "no", None)
    for _ in range(2):
        with database.read() as session:
            found = queries.tallies(session, "submission")
        assert found == {("submission", "upload accepted"): 2, ("submission", "upload refused"): 1}
        store.count_all(database)
    with database.read() as session:
        assert session.execute(select(func.count()).select_from(Tick)).scalar() == 0


def test_a_version_grows_with_each_change_and_with_nothing_else(database: Database) -> None:
    first, second = _add(database, 3), _add(database, 2, start=100)
    before = _version(database), _version(database, first), _version(database, second)
    store.count_all(database)
    assert (_version(database), _version(database, first), _version(database, second)) == before
    _tell(database, 1, News.CANCEL)
    assert (_version(database), _version(database, first)) == (before[0] + 1, before[1] + 1)
    assert _version(database, second) == before[2]


def test_what_a_row_shows_beside_its_status_is_a_change_too(database: Database) -> None:
    _add(database, 1)
    place = _newest(database)
    with database.write() as session:
        store.warn(session, 1, "another codec")
        store.note_second_video(session, 1, "VI1")
        store.note_second_video(session, 1, "VI2")
    listed, _ = _changes(database, place)
    assert [(one["from"], one["to"], one["news"]) for one in listed] == [("QUEUED", "QUEUED", "noted")] * 3
    item = listed[-1]["item"]
    assert (item["warning"], item["video_no"], item["duplicate_upstream"]) == ("another codec", "VI1", ["VI2"])


# The feed


@pytest.fixture
def cluster(postgres_database: str) -> Iterator[Database]:
    migrate(postgres_database)
    opened = Database(postgres_database)
    yield opened
    opened.dispose()


def test_changes_come_in_order_page_by_page_and_once(database: Database) -> None:
    start = _newest(database)
    _add(database, 5)
    for item_id in (3, 1, 2):
        _tell(database, item_id, News.CANCEL)
    place, seen = start, list[tuple[int, str]]()
    while True:
        page, place = _changes(database, place, 3)
        if not page:
            break
        seen += [(one["item"]["id"], one["to"]) for one in page]
    cancelled = [(number, "CANCELLED") for number in (3, 1, 2)]
    assert seen == [(number, "QUEUED") for number in range(1, 6)] + cancelled


def test_a_change_that_is_committed_late_is_not_missed(cluster: Database) -> None:
    """Its number is the smaller one, and it becomes visible after the larger one."""
    _add(cluster, 2)
    place = _newest(cluster)
    with cluster.engine.connect() as slow, slow.begin():
        slow.execute(text("UPDATE item SET status = 'CANCELLED' WHERE id = 1"))
        slow.execute(text(_EVENT), {"item": 1})
        _tell(cluster, 2, News.CANCEL)
        early, place = _changes(cluster, place)
        assert early == []  # the second is there, and waits for the first
    listed, _ = _changes(cluster, place)
    assert [one["item"]["id"] for one in listed] == [1, 2]
    assert [one["item"]["status"] for one in listed] == ["CANCELLED", "CANCELLED"]


_EVENT = "INSERT INTO event (item_id, job_id, at, old, new, news) VALUES (:item, 1, 1, 'QUEUED', 'CANCELLED', 'cancel')"


def test_counts_are_right_while_an_older_change_is_not_committed_yet(cluster: Database) -> None:
    _add(cluster, 3)
    with cluster.engine.connect() as slow, slow.begin():
        slow.execute(text("UPDATE item SET status = 'CANCELLED' WHERE id = 1"))
        slow.execute(text(_EVENT), {"item": 1})
        _tell(cluster, 2, News.CANCEL)
        store.count_all(cluster)
        assert _counts(cluster) == _counted_anew(cluster)
    assert _counts(cluster) == _counted_anew(cluster)
    store.count_all(cluster)
    assert _counts(cluster) == _counted_anew(cluster)


def test_a_follower_among_many_writers_ends_with_the_state_of_the_rows(database: Database) -> None:
    place = _newest(database)
    _add(database, 60)
    stop = threading.Event()

    def write(seed: int) -> None:
        draw = random.Random(seed)
        for _ in range(80):
            _tell(database, draw.randint(1, 60), draw.choice(list(News)))

    state: dict[int, dict] = {}

    def follow(place: Place) -> Place:
        listed, place = _changes(database, place, 17)
        for one in listed:
            state[one["item"]["id"]] = one["item"]
        return place

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
    for one in writers:
        one.start()
    while any(one.is_alive() for one in writers):
        place = follow(place)
    stop.set()
    while (reached := follow(place)) != place:
        place = reached
    with database.read() as session:
        rows = {one.id: queries.item_row(one) for one in queries.items(session)}
    assert state == rows


def test_who_has_missed_forgotten_events_is_told_so(database: Database) -> None:
    _add(database, 2)
    begun = _newest(database)
    _tell(database, 1, News.CANCEL)
    _tell(database, 2, News.CANCEL)
    store.count_all(database)
    with database.write() as session:
        ids = list(session.execute(select(Event.id)).scalars())
        store.forget_events(session, ids)
    with database.read() as session:
        left = list(session.execute(select(Event.item_id)).scalars())
    assert left == [2]  # the last stays, so that no number is given out twice
    with pytest.raises(Forgotten, match="retention"):
        _changes(database, begun)
    assert _changes(database, _newest(database))[0] == []


def test_what_is_not_counted_yet_is_not_forgotten(database: Database) -> None:
    _add(database, 2)
    with database.write() as session:
        store.forget_events(session, list(session.execute(select(Event.id)).scalars()))
    assert _counts(database)["QUEUED"] == 2
    with database.read() as session:
        assert session.execute(select(func.count()).select_from(Event)).scalar() == 2


def test_a_cursor_ahead_of_all_events_is_of_a_time_that_was_undone(database: Database) -> None:
    newest = _newest(database)
    with pytest.raises(Forgotten, match="restored"):
        _changes(database, Place(newest.epoch, newest.tx, newest.id + 7))
    with pytest.raises(Forgotten, match="another database"):
        _changes(database, Place("other", 0, 0))


def test_a_dump_of_another_cluster_begins_anew_and_counts_right(cluster: Database) -> None:
    """Its events are of transactions that this cluster has not reached yet."""
    _add(cluster, 3)
    before = _newest(cluster)
    with cluster.write() as session:
        session.execute(text("UPDATE event SET tx = tx + 1000000"))
    with cluster.write() as session:
        assert store.rebase_events(session)
    with cluster.write() as session:
        assert not store.rebase_events(session)
    with pytest.raises(Forgotten):
        _changes(cluster, before)
    place = _newest(cluster)
    _tell(cluster, 1, News.CANCEL)
    assert [one["item"]["id"] for one in _changes(cluster, place)[0]] == [1]
    assert _counts(cluster) == _counted_anew(cluster)
    with cluster.read() as session:
        assert session.execute(select(Feed.epoch)).scalar() != before.epoch
