"""What Prometheus reads: right at any moment, on both databases, whatever else is down."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from sqlalchemy import event, func, insert, select, text, update
from sqlalchemy.exc import DatabaseError, OperationalError

from console.metrics import CALLBACK_OUTCOMES, SUBMISSION_OUTCOMES, Collector, exposition
from ingest import queries, store
from ingest.clock import now_ms
from ingest.database import Database
from ingest.lanes import SENDING_LANES, Lane
from ingest.models import Callback, Event, Item, Job, Pause, Worker
from ingest.quota import Quota, connect
from ingest.settings import Settings
from ingest.sources.found import Found, Kind
from ingest.statuses import OPEN, News, Status
from tests.service import running_valkey

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("MEMORIES_API_KEY", "sk-test")
    monkeypatch.setenv("INGEST_LIMITS", "upload=20/s,list=off,scrape=1/2min")
    return Settings(_env_file=None)


@pytest.fixture
def quota(valkey: str, settings: Settings) -> Quota:
    client = connect(valkey)
    client.flushall()
    return Quota(client, settings.limits)


class Scrapes:
    """What a scrape shows, asked by name and labels."""

    def __init__(self, collector: Collector) -> None:
        self.collector = collector

    def samples(self) -> list[Sample]:
        body, _ = exposition(self.collector)
        return [one for family in text_string_to_metric_families(body.decode()) for one in family.samples]

    def value(self, name: str, **labels: str) -> float | None:
        found = [one.value for one in self.samples() if one.name == f"ingest_{name}" and one.labels == labels]
        assert len(found) < 2
        return found[0] if found else None

    def by(self, name: str, label: str) -> dict[str, float]:
        return {one.labels[label]: one.value for one in self.samples() if one.name == f"ingest_{name}"}


@pytest.fixture
def scrapes(settings: Settings, database: Database, quota: Quota) -> Scrapes:
    return Scrapes(Collector(settings, database, quota))


def _add(database: Database, count: int, kind: Kind = Kind.LINK, start: int = 0) -> int:
    links = [f"https://media.example/{number}.mp4" for number in range(start, start + count)]
    with database.write() as session:
        job = store.add_job(session, "add", ["x"], "default", "private")
        found = [Found(kind, url, key=f"link:{url}") for url in links]
        store.add_items(session, session.get_one(Job, job), found, {})
    return job


def _tell(database: Database, item_id: int, news: News, after_ms: int = 0) -> None:
    with database.write() as session:
        store.tell(session, item_id, news, now=now_ms() + after_ms)


def _callback(database: Database, state: str = "new", door: str = "upload", age_ms: int = 0) -> int:
    at = now_ms() - age_ms
    row = {"kind": door, "body": b"{}", "received_at": at, "due_at": at, "state": state, "tries": 0}
    with database.write() as session:
        return session.execute(insert(Callback).values(**row).returning(Callback.id)).scalar_one()


# Items and what they went through


def test_items_are_what_a_group_by_says_before_and_after_each_fold(database: Database, scrapes: Scrapes) -> None:
    _add(database, 9)
    for item_id, news in ((1, News.CANCEL), (2, News.CLAIMED), (3, News.CLAIMED), (3, News.ACCEPTED), (4, News.UNFIT)):
        _tell(database, item_id, news)
    for _ in range(2):
        with database.read() as session:
            counted = dict(session.execute(select(Item.status, func.count()).group_by(Item.status)).all())
            events = session.execute(select(func.count()).select_from(Event)).scalar()
        assert scrapes.by("items", "status") == {status.value: counted.get(status, 0) for status in Status}
        assert scrapes.value("events_total") == events
        store.count_all(database)


def test_the_histogram_is_cumulative_and_its_sum_is_that_of_all_stays(database: Database, scrapes: Scrapes) -> None:
    _add(database, 4)
    stays = (50, 700, 700, 8 * 86_400_000)  # the last one is beyond every bound
    with database.read() as session:
        since = dict(session.execute(select(Item.id, Item.updated_at)).all())
    with database.write() as session:
        for item_id, stayed in enumerate(stays, 1):
            store.tell(session, item_id, News.CLAIMED, now=since[item_id] + stayed)
    store.count_all(database)
    queued = [
        one for one in scrapes.samples() if (one.labels.get("lane"), one.labels.get("status")) == ("upload", "QUEUED")
    ]
    buckets = {float(one.labels["le"]): one.value for one in queued if one.name.endswith("_bucket")}
    assert list(buckets) == [*queries.BUCKETS, float("inf")]
    assert list(buckets.values()) == sorted(buckets.values())
    assert [buckets[bound] for bound in (0.1, 0.5, 1, 7 * 86_400, float("inf"))] == [1, 1, 3, 3, 4]
    labels = {"lane": "upload", "status": "QUEUED"}
    assert scrapes.value("status_duration_seconds_count", **labels) == 4
    assert scrapes.value("status_duration_seconds_sum", **labels) == pytest.approx(sum(stays) / 1000)
    assert scrapes.value("status_duration_seconds_count", lane="scrape", status="QUEUED") == 0


def test_what_was_counted_under_a_bound_of_another_version_is_not_lost(database: Database, scrapes: Scrapes) -> None:
    with database.write() as session:
        session.execute(text("INSERT INTO tally (name, job_id, label, n) VALUES ('stayed', 0, 'upload UNPARSE 45', 7)"))
    labels = {"lane": "upload", "status": "UNPARSE"}
    assert scrapes.value("status_duration_seconds_bucket", le="30.0", **labels) == 0
    assert scrapes.value("status_duration_seconds_bucket", le="60.0", **labels) == 7


def test_what_was_settled_by_asking_alone_is_counted(database: Database, scrapes: Scrapes) -> None:
    _add(database, 2)
    for item_id in (1, 2):
        _tell(database, item_id, News.CLAIMED)
        _tell(database, item_id, News.ACCEPTED)
    with database.write() as session:
        store.make_due(session, [2])  # a callback spoke of it
    for item_id in (1, 2):
        _tell(database, item_id, News.READY)
    store.count_all(database)
    assert scrapes.by("settled_without_callback_total", "lane") == {"upload": 1, "scrape": 0}


def test_what_could_be_sent_is_told_by_lane_and_a_paused_job_waits_for_nobody(
    database: Database, scrapes: Scrapes
) -> None:
    assert scrapes.by("oldest_due_age_seconds", "lane") == {lane.value: 0 for lane in SENDING_LANES}
    _add(database, 3)
    held = _add(database, 4, start=10)
    with database.write() as session:
        session.execute(update(Item).where(Item.id == 1).values(due_at=now_ms() - 90_000))
        session.execute(update(Item).where(Item.id == 2).values(due_at=now_ms() + 90_000))
        session.execute(update(Item).where(Item.job_id == held).values(due_at=now_ms() - 500_000))
        store.pause(session, f"job:{held}", by=store.OPERATOR, reason="wait")
    assert scrapes.value("due_items", lane="upload") == 2
    assert scrapes.value("oldest_due_age_seconds", lane="upload") == pytest.approx(90, abs=5)
    assert scrapes.value("due_items", lane="scrape") == 0


def test_a_second_video_upstream_is_told(database: Database, scrapes: Scrapes) -> None:
    _add(database, 3)
    assert scrapes.value("duplicates_upstream") == 0
    with database.write() as session:
        store.note_second_video(session, 1, "VI1")
        assert scrapes.value("duplicates_upstream") == 0
        store.note_second_video(session, 1, "VI2")
    assert scrapes.value("duplicates_upstream") == 1


# Calls and callbacks


def test_submissions_are_counted_by_what_became_of_them(database: Database, scrapes: Scrapes) -> None:
    _add(database, 2)
    with database.write() as session:
        claims = [store.claim(session, Lane.UPLOAD, "account", 60.0) for _ in range(2)]
    with database.write() as session:
        assert claims[0] is not None and claims[1] is not None
        store.accepted(session, claims[0], video_no="VI1", task_id=None, sent_at=None, due_at=0)
        store.refused(session, claims[1], "0001", "no", None)
    for _ in range(2):
        found = {
            one.labels["outcome"]: one.value
            for one in scrapes.samples()
            if one.name == "ingest_submissions_total" and one.labels["lane"] == "upload"
        }
        assert found == {"accepted": 1, "refused": 1, "released": 0, "lost": 0}
        store.count_all(database)


def test_counters_do_not_go_down_when_retention_deletes(database: Database, scrapes: Scrapes) -> None:
    _add(database, 3)
    for state in ("applied", "unmatched", "malformed"):
        number = _callback(database, age_ms=90_000)
        with database.write() as session:
            store.callback_done(session, number, state, "done")
    _tell(database, 1, News.CANCEL)
    before = _counters(scrapes)
    assert before[("ingest_callbacks_total", ("door", "upload"), ("outcome", "unmatched"))] == 1
    store.count_all(database)
    with database.write() as session:
        assert store.forget_callbacks(session, now_ms(), 100) == 3
        store.forget_events(session, list(session.execute(select(Event.id)).scalars()))
    after = _counters(scrapes)
    assert after.keys() == before.keys()
    assert [name for name, value in after.items() if value < before[name]] == []
    assert after[("ingest_callbacks_total", ("door", "upload"), ("outcome", "unmatched"))] == 1


def _counters(scrapes: Scrapes) -> Mapping[tuple, float]:
    ends = ("_total", "_bucket", "_count", "_sum")
    return {(one.name, *sorted(one.labels.items())): one.value for one in scrapes.samples() if one.name.endswith(ends)}


def test_callbacks_that_a_person_replays_are_counted_as_such_and_do_not_wait_since_they_came(
    database: Database, scrapes: Scrapes
) -> None:
    number = _callback(database, "malformed", age_ms=900_000)
    store.replay_callbacks(database, [number])
    assert scrapes.value("callbacks_total", door="any", outcome="replayed") == 1
    assert scrapes.value("inbox_callbacks", state="new") == 1
    assert (scrapes.value("inbox_lag_seconds") or 0) < 60


def test_the_inbox_lags_as_long_as_its_oldest_new_callback_waits(database: Database, scrapes: Scrapes) -> None:
    assert scrapes.value("inbox_lag_seconds") == 0
    _callback(database, "parked", age_ms=500_000)
    _callback(database, "new", age_ms=40_000)
    _callback(database, "new")
    assert scrapes.value("inbox_lag_seconds") == pytest.approx(40, abs=5)
    assert scrapes.by("inbox_callbacks", "state") == {"new": 2, "parked": 1}


# Lanes


def test_a_call_of_a_lane_is_counted_when_it_is_stamped(scrapes: Scrapes, settings: Settings, quota: Quota) -> None:
    assert scrapes.value("lane_calls_total", lane="upload") == 0
    account = settings.account_for(Lane.UPLOAD)
    for number in range(3):
        with quota.line(account, Lane.UPLOAD) as place:
            slot = place.take()
            slot.check()
            assert scrapes.value("lane_calls_total", lane="upload") == number
            slot.stamp()
        assert scrapes.value("lane_calls_total", lane="upload") == number + 1
    assert scrapes.value("lane_next_slot_seconds", lane="upload") is not None


def test_a_lane_without_a_limit_has_no_limit_and_no_count(scrapes: Scrapes) -> None:
    assert scrapes.value("lane_allowed_calls_per_second", lane="upload") == 20
    assert scrapes.value("lane_allowed_calls_per_second", lane="scrape") == pytest.approx(1 / 120)
    assert scrapes.value("lane_allowed_calls_per_second", lane="list") is None
    assert scrapes.value("lane_calls_total", lane="list") is None
    assert scrapes.value("lane_in_line", lane="list") == 0


def test_what_a_refusal_taught_is_told(scrapes: Scrapes, settings: Settings, quota: Quota) -> None:
    quota.close(settings.account_for(Lane.UPLOAD), Lane.UPLOAD)
    assert scrapes.value("lane_margin_seconds", lane="upload") == pytest.approx(0.0025)
    assert (scrapes.value("lane_next_slot_seconds", lane="upload") or 0) > 1


def _paused(scrapes: Scrapes) -> set[tuple[str, str, str]]:
    return {
        (one.labels["lane"], one.labels["scope"], one.labels["by"])
        for one in scrapes.samples()
        if one.name == "ingest_lane_paused" and one.value == 1
    }


def test_a_pause_is_told_for_each_lane_that_it_holds_and_by_whom(database: Database, scrapes: Scrapes) -> None:
    assert _paused(scrapes) == set()
    with database.write() as session:
        store.pause(session, "lane:caption_video", by="upstream", reason="away", seconds=60)
        store.pause(session, "lane:upload", by="vendor", reason="too fast", seconds=60)
        store.pause(session, "lane:upload", by=store.OPERATOR, reason="a person")
        store.pause(session, "lane:scrape", by=store.OPERATOR, reason="over", seconds=-1)
    assert _paused(scrapes) == {
        ("caption_video", "lane", "upstream"),
        ("human_reid", "lane", "upstream"),  # its calls count against that lane too
        ("upload", "lane", "vendor"),
        ("upload", "lane", "operator"),
    }
    assert scrapes.value("account_paused", account="account", by="vendor") == 0


def test_a_paused_account_holds_all_its_lanes_until_another_key_is_configured(
    database: Database, scrapes: Scrapes, settings: Settings
) -> None:
    with database.write() as session:
        store.pause(session, "account", by="vendor", reason="no", fingerprint=settings.account.fingerprint)
    assert _paused(scrapes) == {(lane.value, "account", "vendor") for lane in Lane}
    assert scrapes.value("account_paused", account="account", by="vendor") == 1
    with database.write() as session:
        session.execute(update(Pause).values(fingerprint="another"))
    assert _paused(scrapes) == set()
    assert scrapes.value("account_paused", account="account", by="vendor") == 0


def test_captions_with_a_key_of_their_own_are_an_account_of_their_own(
    database: Database, quota: Quota, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMORIES_API_KEY", "sk-test")
    monkeypatch.setenv("MEMORIES_CAPTION_API_KEY", "sk-captions")
    scrapes = Scrapes(Collector(Settings(_env_file=None), database, quota))
    with database.write() as session:
        store.pause(session, "account:caption", by="vendor", reason="no")
    assert {lane for lane, _, _ in _paused(scrapes)} == {"caption_video", "caption_image", "human_reid"}
    assert scrapes.value("account_paused", account="account:caption", by="vendor") == 1


# Workers


def _worker(
    database: Database, name: str, queues: str, seen_ago: float, took_ago: float | None, stops: bool = False
) -> None:
    now = now_ms()
    row = {
        "name": name,
        "host": "host",
        "pid": 1,
        "started_at": now - 300_000,
        "seen_at": now - round(seen_ago * 1000),
        "queues": queues,
        "took_at": None if took_ago is None else now - round(took_ago * 1000),
        "stopping_at": now if stops else None,
    }
    with database.write() as session:
        session.execute(insert(Worker).values(**row))


def test_workers_are_those_that_live_and_the_youngest_message_of_a_queue_counts(
    database: Database, scrapes: Scrapes
) -> None:
    assert scrapes.by("workers", "queue") == {"send": 0, "settle": 0}
    assert scrapes.by("canary_age_seconds", "queue") == {}
    assert scrapes.value("heartbeat_age_seconds") is None
    _worker(database, "dead", "send,settle", seen_ago=500, took_ago=1)
    assert scrapes.by("workers", "queue") == {"send": 0, "settle": 0}
    assert scrapes.value("heartbeat_age_seconds") == pytest.approx(500, abs=5)
    _worker(database, "deaf", "send", seen_ago=10, took_ago=200)
    _worker(database, "new", "settle", seen_ago=10, took_ago=None)
    assert scrapes.by("canary_age_seconds", "queue") == pytest.approx({"send": 200, "settle": 300}, abs=5)
    _worker(database, "well", "send", seen_ago=10, took_ago=20)
    _worker(database, "leaving", "send", seen_ago=10, took_ago=1, stops=True)
    _worker(database, "says nothing", "", seen_ago=10, took_ago=30)
    assert scrapes.by("workers", "queue") == {"send": 3, "settle": 2}
    assert scrapes.by("canary_age_seconds", "queue") == pytest.approx({"send": 20, "settle": 30}, abs=5)
    assert scrapes.value("heartbeat_age_seconds") == pytest.approx(10, abs=5)


# Around


def test_without_redis_everything_else_is_told(database: Database, settings: Settings) -> None:
    _add(database, 2)
    with running_valkey() as url:
        scrapes = Scrapes(Collector(settings, database, Quota(connect(url), settings.limits)))
        there = {one.name for one in scrapes.samples()}
        assert scrapes.value("up_redis") == 1
    assert scrapes.value("up_redis") == 0
    assert scrapes.by("items", "status")["QUEUED"] == 2
    gone = {f"ingest_lane_{name}" for name in ("calls_total", "margin_seconds", "next_slot_seconds", "in_line")}
    assert there - {one.name for one in scrapes.samples()} == gone


def test_redis_may_be_connected_later(database: Database, settings: Settings, quota: Quota) -> None:
    connected: list[Quota] = []
    scrapes = Scrapes(Collector(settings, database, lambda: next(iter(connected), None)))
    assert scrapes.value("up_redis") == 0
    connected.append(quota)
    assert scrapes.value("up_redis") == 1
    assert Scrapes(Collector(settings, database, None)).value("up_redis") == 0


def test_a_database_that_is_not_there_is_raised(settings: Settings, database_url: str) -> None:
    empty = Database(database_url)  # no schema
    with pytest.raises(DatabaseError):
        exposition(Collector(settings, empty, None))
    empty.dispose()
    nowhere = Database("postgresql+psycopg://ingest@127.0.0.1:1/ingest?connect_timeout=2")
    with pytest.raises(OperationalError):
        exposition(Collector(settings, nowhere, None))
    nowhere.dispose()


@pytest.mark.parametrize("public_url", ["", "https://ingest.example"])
def test_callbacks_are_expected_where_there_is_a_public_address(
    database: Database, settings: Settings, public_url: str
) -> None:
    told = settings.model_copy(update={"public_url": public_url})
    assert Scrapes(Collector(told, database, None)).value("callbacks_expected") == float(bool(public_url))


CLOSED = {
    "status": {*Status},
    "lane": {*Lane},
    "outcome": {*SUBMISSION_OUTCOMES, *CALLBACK_OUTCOMES, "replayed"},
    "door": {"upload", "scraper", "caption", "account", "any"},
    "scope": {"account", "lane"},
    "by": {"vendor", "upstream", "operator"},
    "account": {"account", "account:caption"},
    "state": {"new", "parked"},
    "queue": {"send", "settle"},
}


@pytest.fixture
def busy(database: Database) -> Iterator[None]:
    """Something of everything, strange names included."""
    _add(database, 5)
    _add(database, 2, Kind.POST, start=50)
    for news in (News.CLAIMED, News.LOST, News.READY):
        _tell(database, 1, news, after_ms=10_000)
    _callback(database, "parked")
    with database.write() as session:
        for name, label in (("submission", "upload strange"), ("callback", "side applied"), ("no_callback", "attic")):
            store._count(session, name, label)
        store.pause(session, "job:7", by=store.OPERATOR, reason="wait")
        store.pause(session, "lane:attic", by="vendor", reason="wait")
        store.pause(session, "account", by="nobody", reason="wait")
    _worker(database, "host.example:7", "send,other", seen_ago=1, took_ago=1)
    store.count_all(database)
    yield


@pytest.mark.usefixtures("busy")
def test_label_sets_are_closed_and_the_series_are_the_same_ones_from_the_start(
    database: Database, scrapes: Scrapes
) -> None:
    found = scrapes.samples()
    for one in found:
        assert one.name.startswith("ingest_")
        for label, value in one.labels.items():
            if label != "le":
                assert value in CLOSED[label], one
    numbers = [float(one.value) for one in found]
    assert min(numbers) >= 0
    series = {(one.name, *sorted(one.labels.items())) for one in found}
    assert len(series) == len(found)
    waits = {(one.labels["lane"], one.labels["status"]) for one in found if one.name.endswith("duration_seconds_count")}
    assert waits == {(lane.value, status.value) for lane in SENDING_LANES for status in OPEN}
    with database.write() as session:
        for table in ("event", "callback", "tick", "tally", "pause", "item"):
            session.execute(text(f"DELETE FROM {table}"))
    empty = {(one.name, *sorted(one.labels.items())) for one in scrapes.samples()}
    assert series == empty


def _statements(database: Database, scrapes: Scrapes) -> list[tuple[str, Any]]:
    said: list[tuple[str, Any]] = []

    def hear(_connection, _cursor, statement, parameters, *_) -> None:
        said.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", hear)
    scrapes.samples()
    event.remove(database.engine, "before_cursor_execute", hear)
    return [one for one in said if one[0] != "BEGIN"]


@pytest.mark.usefixtures("busy")
def test_a_scrape_changes_nothing_and_needs_few_statements(database: Database, scrapes: Scrapes) -> None:
    said = _statements(database, scrapes)
    assert [statement for statement, _ in said if not statement.startswith("SELECT")] == []
    assert len(said) <= 25


@pytest.mark.usefixtures("busy")
def test_no_scrape_reads_a_table_that_grows_from_end_to_end(database: Database, scrapes: Scrapes) -> None:
    if not database.is_sqlite:
        pytest.skip("with so few rows PostgreSQL reads them all, and is right")
    bounded = ("ix_item_doubled", "ix_callback_todo")  # partial, and read up to a limit
    with database.read() as session:
        for statement, parameters in _statements(database, scrapes):
            plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            for row in plan:
                read_all = row.detail.startswith(("SCAN item", "SCAN event", "SCAN callback", "SCAN submission"))
                assert not read_all or any(name in row.detail for name in bounded), (row.detail, statement)


def test_what_is_not_reachable_is_said_and_not_raised(database: Database, settings: Settings) -> None:
    away = Quota(redis.Redis.from_url("redis://127.0.0.1:1", socket_connect_timeout=1), settings.limits)
    assert Scrapes(Collector(settings, database, away)).value("up_redis") == 0
