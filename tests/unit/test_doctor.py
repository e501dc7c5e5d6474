"""The doctor's judgement: from what is seen to a state and a sentence."""

import threading
from datetime import date

import pytest

from ingest.doctor import around, machine, running, stores
from ingest.doctor.visit import Check, Finding, NotChecked, State, Visit, examine, fail, ok, together, warn
from ingest.models import Pause, Worker
from ingest.queries import Inbox
from ingest.settings import Settings
from ingest.upstream.errors import AccountTrouble, Refused, TooFast, Unavailable, Unsure, UpstreamError

NOW = 1_800_000_000_000
MINUTE = 60_000


def worker(name: str = "host:1", queues: str = "settle", took_ago: int | None = 1000, **values: int) -> Worker:
    return Worker(
        name=name,
        host="host",
        pid=1,
        started_at=values.pop("started_at", NOW - 60 * MINUTE),
        seen_at=NOW,
        queues=queues,
        took_at=None if took_ago is None else NOW - took_ago,
        **values,
    )


# A visit


def test_of_many_findings_the_worst_counts_and_only_what_is_wrong_is_told():
    assert together([ok("a"), ok("b")]) == Finding(State.OK, "a; b")
    assert together([ok("a"), warn("b"), fail("c"), warn("d")]) == Finding(State.FAIL, "c; b; d")


def test_a_check_that_breaks_or_hangs_fails_alone():
    hanging = threading.Event()

    def breaks(_: Visit) -> Finding:
        raise ZeroDivisionError("of nothing")

    def hangs(_: Visit) -> Finding:
        hanging.wait(20)
        return ok("at last")

    def cannot(_: Visit) -> Finding:
        raise NotChecked("there is no key")

    checks = [
        Check("a", breaks),
        Check("b", hangs, seconds=0.1),
        Check("c", cannot),
        Check("d", lambda _: ok("well\nso")),
    ]
    found = {one.check: (one.state, one.detail) for one in examine(checks, Visit())}
    hanging.set()
    assert found["a"][0] is State.FAIL and "of nothing" in found["a"][1]
    assert found["b"][0] is State.FAIL and "no answer within" in found["b"][1]
    assert found["c"] == (State.WARN, "not checked: there is no key")
    assert found["d"] == (State.OK, "well so")


def test_no_line_shows_a_key_or_a_password():
    settings = Settings(
        MEMORIES_API_KEY="sk-geheim-1",
        INGEST_SECRET="signs-all",
        INGEST_REDIS_URL="redis://:open%20sesame@host/0",
        INGEST_DATABASE_URL="postgresql://me:hunter22@host/db",
        INGEST_HOME="/nowhere",
    )
    said = "sk-geheim-1 signs-all open%20sesame open sesame hunter22"
    [result] = examine([Check("a", lambda _: warn(said))], Visit(settings=settings))
    assert result.detail == "[secret] [secret] [secret] [secret] [secret]"


def test_a_check_does_not_look_at_the_default_of_a_mistaken_variable():
    visit = Visit(settings=Settings(INGEST_HOME="/nowhere"), wrong=frozenset({"INGEST_PORT"}))
    with pytest.raises(NotChecked, match="INGEST_PORT must be put right first"):
        machine.ports(visit)
    with pytest.raises(NotChecked, match="cannot be read"):
        machine.ports(Visit())


# This machine


def test_names_that_look_like_ours_are_told_with_the_nearest():
    said = machine.unknown_variables(
        ["INGEST_PROT", "memories_api_ky", "INGEST_PORT", "INGEST_READY_FILE", "HOME", "PORT"]
    )
    assert len(said) == 2
    assert "INGEST_PROT" in said[0] and "did you mean INGEST_PORT?" in said[0]
    assert "MEMORIES_API_KY" in said[1] and "did you mean MEMORIES_API_KEY?" in said[1]


def test_an_alien_name_gets_no_wild_guess():
    assert "did you mean" not in machine.unknown_variables(["INGEST_ZZZZZZZZZZ"])[0]


@pytest.mark.parametrize(
    ("value", "words"), [('"sk-abc"', "quotation marks"), ("'sk-abc'", "quotation marks"), ("sk-...", "example")]
)
def test_what_people_paste_instead_of_a_key_is_recognised(value, words):
    found = machine.key_looks_wrong("MEMORIES_API_KEY", value)
    assert found is not None and found.state is State.FAIL
    assert words in found.detail and "MEMORIES_API_KEY" in found.detail and "abc" not in found.detail


def test_a_key_like_any_other_is_left_alone():
    assert machine.key_looks_wrong("MEMORIES_API_KEY", "sk-abc") is None
    assert machine.key_looks_wrong("MEMORIES_API_KEY", "") is None


@pytest.mark.parametrize(
    ("free", "state"), [(10 << 20, State.FAIL), (60 << 20, State.WARN), (1 << 29, State.WARN), (2 << 30, State.OK)]
)
def test_a_disk_that_fills_up_is_said_in_time(tmp_path, free, state):
    assert machine.space(free, tmp_path).state is state


@pytest.mark.parametrize(
    ("version", "state"),
    [("2026.10.14", State.OK), ("2026.06.01", State.WARN), ("2027.01.01", State.OK), ("git", State.WARN)],
)
def test_an_old_yt_dlp_is_a_warning(version, state):
    assert machine.yt_dlp_age(version, date(2026, 11, 25)).state is state


# Database and Redis


def test_a_schema_is_empty_right_behind_or_ahead():
    assert stores.schema(None, "0002").state is State.OK
    assert stores.schema("0002", "0002").state is State.OK
    behind, ahead = stores.schema("0001", "0002"), stores.schema("0003", "0002")
    assert behind.state is State.WARN and "ingest migrate" in behind.detail
    assert ahead.state is State.FAIL and "newer" in ahead.detail


def test_a_folder_that_takes_a_log_keeps_nothing_of_the_trial(tmp_path):
    assert stores.no_wal(tmp_path) is None
    assert list(tmp_path.iterdir()) == []
    assert "SQLite cannot" in (stores.no_wal(tmp_path / "nowhere") or "")


GOOD = {
    "redis_version": "7.2.4",
    "redis_mode": "standalone",
    "role": "master",
    "maxmemory": 0,
    "maxmemory_policy": "noeviction",
}


@pytest.mark.parametrize(
    ("change", "state", "words"),
    [
        ({}, State.OK, "Redis 7.2.4"),
        ({"valkey_version": "9.1.0"}, State.OK, "Valkey 9.1.0"),
        ({"redis_mode": "cluster"}, State.FAIL, "Cluster"),
        ({"role": "slave"}, State.FAIL, "primary"),
        ({"redis_version": "4.0.9"}, State.FAIL, "too old"),
        ({"redis_version": "10.1"}, State.OK, "10.1"),
        ({"maxmemory_policy": "allkeys-lru"}, State.WARN, "set it to noeviction"),
        ({"maxmemory_policy": "volatile-ttl", "maxmemory": 1 << 30}, State.FAIL, "volatile-ttl"),
        ({"maxmemory": 100 << 20, "used_memory": 95 << 20}, State.WARN, "nearly full"),
        ({"maxmemory": 100 << 20, "used_memory": 101 << 20}, State.FAIL, "full"),
        ({"rdb_last_bgsave_status": "err"}, State.WARN, "snapshot"),
    ],
)
def test_what_a_redis_says_of_itself_is_judged(change, state, words):
    found = stores.redis_speaks(GOOD | change)
    assert found.state is state, found
    assert words in found.detail


# Outside


@pytest.mark.parametrize(
    ("error", "state", "words"),
    [
        (AccountTrouble("0401", "The key is invalid"), State.FAIL, "MEMORIES_API_KEY"),
        (AccountTrouble("0402", "no credit"), State.FAIL, "out of credit"),
        (AccountTrouble("0403", "disabled"), State.FAIL, "disabled"),
        (AccountTrouble("9009", "no"), State.FAIL, "permission"),
        (TooFast("0429", "slow down"), State.WARN, "too fast"),
        (Refused("0001", "Parameter abnormal"), State.WARN, "refuses to list"),
        (Refused("http_418", "list_videos answered HTTP 418"), State.FAIL, "is MEMORIES_API_URL right?"),
        (Unavailable("unreachable", "http://x cannot be reached: refused"), State.FAIL, "cannot be reached"),
        (Unavailable("http_404", "HTTP 404; is MEMORIES_API_URL right?"), State.FAIL, "is MEMORIES_API_URL right?"),
        (Unavailable("0001", "No static resource x."), State.FAIL, "is MEMORIES_API_URL right?"),
        (Unavailable("0001", "Network abnormal, try again"), State.WARN, "try again"),
        (Unsure("http_200", "a body that is no verdict: <html>"), State.FAIL, "is MEMORIES_API_URL right?"),
        (Unsure("no_answer", "no answer came in time"), State.FAIL, "no answer"),
    ],
)
def test_what_the_vendor_answers_is_judged(error: UpstreamError, state, words):
    found = around.upstream_says(error, "http://x")
    assert found.state is state, found
    assert words in found.detail
    assert found.detail.count("is MEMORIES_API_URL right?") <= 1


def test_clocks_that_are_apart_are_told_with_distance_and_direction():
    assert around.clocks_say({"Redis": 4.9, "Memories.ai": -4.9}).state is State.OK
    found = around.clocks_say({"Redis": 0.1, "Memories.ai": 61.0, "PostgreSQL": -3600.0})
    assert found.state is State.WARN
    assert "1 min 1 s behind Memories.ai" in found.detail and "1 h ahead of PostgreSQL" in found.detail
    assert "Redis" not in found.detail


VENDOR = "https://api.memories.ai"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://ingest.example.com", None),
        ("http://ingest.example.com", "https"),
        ("http://127.0.0.1:8000", "cannot reach"),
        ("https://localhost", "cannot reach"),
        ("https://192.168.1.5", "cannot reach"),
        ("https://ingest.example.com/" + "x" * 250, "too long"),
    ],
)
def test_a_public_address_that_cannot_work_is_told(url, words):
    found = around.address_looks_wrong(url, VENDOR)
    assert [one.state for one in found] == ([State.WARN] if words else [])
    assert not words or words in found[0].detail


def test_a_stand_in_on_this_machine_may_call_this_machine():
    assert around.address_looks_wrong("http://127.0.0.1:8000", "http://127.0.0.1:8100") == []


# A service that runs


def deaf(*alive: Worker, settle: int | None = 3, send: int | None = 3) -> list[str]:
    return [one.detail for one in running.deaf(alive, {"settle": settle, "send": send})]


def test_a_worker_that_lives_and_takes_nothing_is_deaf():
    assert deaf(worker()) == []
    [said] = deaf(worker(), worker("host:2", took_ago=5 * MINUTE))
    assert "worker host:2 is deaf" in said and "for 5 min" in said and "restart" in said
    assert deaf(worker(took_ago=None))[0].count("1 h") == 1


@pytest.mark.parametrize(
    "fine",
    [
        worker(took_ago=None, started_at=NOW - MINUTE // 2),  # just started
        worker(took_ago=5 * MINUTE, queues=""),  # it does not say what it serves
        worker(took_ago=5 * MINUTE, stopping_at=NOW - 1000),
    ],
)
def test_a_worker_with_a_reason_to_be_silent_is_not_deaf(fine):
    assert deaf(fine) == []


def test_the_canary_of_the_send_queue_reaches_one_of_many_so_each_is_given_longer():
    alone = worker(queues="send", took_ago=2 * MINUTE)
    assert len(deaf(alone)) == 1
    assert deaf(alone, *[worker(f"host:{n}", "send") for n in (2, 3)]) == []
    assert len(deaf(worker(queues="send,settle", took_ago=2 * MINUTE), worker("host:2", "send"))) == 1


def test_where_nobody_ticks_it_is_not_the_workers_who_are_deaf():
    silent = [worker(took_ago=5 * MINUTE), worker("host:2", "send", took_ago=5 * MINUTE)]
    assert deaf(*silent, settle=0, send=0) == []
    assert len(deaf(*silent, settle=9, send=0)) == 1
    # the broker does not say: rather one alarm too many
    assert len(deaf(*silent, settle=None, send=None)) == 2
    # others on the same queue do hear
    assert len(deaf(*silent, worker("host:3"), settle=0, send=0)) == 1


def test_a_queue_that_nobody_serves_is_named():
    [one] = running.unserved([worker(queues="send")])
    assert one.state is State.FAIL and "--queues settle" in one.detail
    assert running.unserved([worker(queues="send"), worker(queues="settle")]) == []
    assert running.unserved([worker(queues="send,settle")]) == []
    assert running.unserved([worker(queues="send"), worker(queues="")]) == []


def test_the_youngest_message_of_each_queue_is_told():
    found = running.canary([worker(took_ago=9000), worker("host:2", "send,settle", took_ago=3000)], NOW)
    assert "2 alive; send took a message 3 s ago, settle took a message 3 s ago" in found.detail


def test_a_paused_account_stops_imports_and_a_paused_lane_a_lane():
    account = Pause(scope="account", by="vendor", reason="the key is refused", since=NOW)
    lane = Pause(scope="lane:upload", by="operator", reason="by hand", since=NOW, until=NOW)
    assert running.say_pause("account", account) == fail("the account is paused: the key is refused")
    found = running.say_pause("account", lane)
    assert found.state is State.WARN and "lane upload is paused until 2027-" in found.detail


def inbox(**values: int | None) -> Inbox:
    return Inbox(**{"new": 0, "parked": 0, "oldest_new": None, "looked_at": 0, "unmatched": 0, "malformed": 0} | values)  # type: ignore[arg-type]


def test_an_inbox_that_is_not_applied_is_a_failure_while_workers_live():
    waiting = inbox(new=3, oldest_new=NOW - 5 * MINUTE)
    assert running.inbox_says(waiting, NOW, 10 * MINUTE).state is State.FAIL
    assert running.inbox_says(waiting, NOW, MINUTE // 2).state is State.OK  # the workers have just begun
    assert running.inbox_says(waiting, NOW, None).state is State.OK
    assert running.inbox_says(inbox(new=3, oldest_new=NOW - 1000), NOW, 10 * MINUTE).state is State.OK


def test_callbacks_of_somebody_else_are_a_warning():
    assert running.inbox_says(inbox(looked_at=100, unmatched=80), NOW, None).state is State.WARN
    assert running.inbox_says(inbox(looked_at=100, unmatched=8), NOW, None).state is State.OK
