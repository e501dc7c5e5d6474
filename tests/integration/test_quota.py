"""Slots on a real Valkey: never too early, first come first served, nothing lost when something fails."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from uuid import uuid4

import pytest
import redis

from ingest.lanes import Lane, limits_in_force, parse_limits
from ingest.quota import USE_BY, NotSoon, Place, Quota, QuotaUnavailable, SlotLost, Stopped, connect
from ingest.settings import Account

pytestmark = pytest.mark.integration


@pytest.fixture
def client(valkey: str) -> redis.Redis:
    found = connect(valkey)
    found.flushall()
    return found


@pytest.fixture
def account() -> Account:
    return Account("account", uuid4().hex)


def _quota(client: redis.Redis, limits: str) -> Quota:
    return Quota(client, limits_in_force(parse_limits(limits)))


def _now(client: redis.Redis) -> float:
    """The server's clock: the one that counts."""
    seconds, micros = client.time()
    return float(seconds) + micros / 1e6


def _send(client: redis.Redis, place: Place) -> float:
    """Take a slot, use it, stamp it; when it was used."""
    slot = place.take()
    slot.check()
    used = _now(client)
    slot.stamp()
    return used


def test_a_crowd_is_served_one_by_one_an_interval_apart(client: redis.Redis, account: Account) -> None:
    quota = _quota(client, "upload=20/s")
    used: list[float] = []

    def caller(_: int) -> None:
        for _ in range(4):
            with quota.line(account, Lane.UPLOAD) as place:
                used.append(_send(client, place))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(caller, range(16)))
    gaps = [later - earlier for earlier, later in pairwise(sorted(used))]
    assert len(used) == 64
    assert min(gaps) >= 0.05


def test_an_empty_redis_starts_closed(client: redis.Redis, account: Account) -> None:
    quota = _quota(client, "upload=2/s")
    began = _now(client)
    with quota.line(account, Lane.UPLOAD) as place:
        assert _send(client, place) - began >= 0.5 + USE_BY
    client.flushall()
    began = _now(client)
    with quota.line(account, Lane.UPLOAD) as place:
        assert _send(client, place) - began >= 0.5 + USE_BY


def test_a_state_written_by_another_server_is_not_believed(client: redis.Redis, account: Account) -> None:
    quota = _quota(client, "upload=2/s")
    with quota.line(account, Lane.UPLOAD) as place:
        _send(client, place)
    bucket = _bucket(client)
    client.hset(bucket, mapping={"run": "another", "next": "1"})
    began = _now(client)
    with quota.line(account, Lane.UPLOAD) as place:
        assert _send(client, place) - began >= 0.5 + USE_BY


def test_an_unused_slot_is_given_back_at_once(client: redis.Redis, account: Account) -> None:
    quota = _quota(client, "upload=1/2s")
    with quota.line(account, Lane.UPLOAD) as place:
        place.take()  # and not used
    began = _now(client)
    with quota.line(account, Lane.UPLOAD) as place:
        assert _send(client, place) - began < 1.0


def test_a_slot_whose_holder_vanished_counts_as_sent_at_its_use_by(client: redis.Redis, account: Account) -> None:
    quota = _quota(client, "upload=2/s")
    place = quota.line(account, Lane.UPLOAD)
    place.take()
    began = _now(client)  # the holder is killed here: neither stamped nor given back
    with quota.line(account, Lane.UPLOAD) as other:
        assert _send(client, other) - began >= USE_BY + 0.5 - 0.05


def test_a_slot_whose_request_may_have_left_is_never_given_back(client: redis.Redis, account: Account) -> None:
    quota = _quota(client, "upload=2/s")
    with quota.line(account, Lane.UPLOAD) as place:
        place.take().check()
        began = _now(client)  # the write happens here, and its stamp never reaches Redis
    with quota.line(account, Lane.UPLOAD) as other:
        assert _send(client, other) - began >= 0.5


def test_a_slot_used_too_late_is_refused_to_its_holder(client: redis.Redis, account: Account) -> None:
    quota = _quota(client, "upload=20/s")
    with quota.line(account, Lane.UPLOAD) as place:
        slot = place.take()
        slot.use_by = time.monotonic() - 0.001
        with pytest.raises(SlotLost):
            slot.check()


def test_a_late_stamp_does_not_move_the_next_holders_slot(client: redis.Redis, account: Account) -> None:
    quota = _quota(client, "upload=20/s")
    old = quota.line(account, Lane.UPLOAD)
    old.take()
    with quota.line(account, Lane.UPLOAD) as place:
        place.take()
        before = _opens(client)
        old.stamp()
        assert _opens(client) == before


def _bucket(client: redis.Redis) -> bytes:
    (found,) = client.keys("*bucket*")
    return found


def _opens(client: redis.Redis) -> bytes | None:
    return client.hget(_bucket(client), "next")


def test_who_came_first_is_served_first(client: redis.Redis, account: Account) -> None:
    quota = _quota(client, "upload=10/s")
    served: list[int] = []
    started = threading.Barrier(1)

    def caller(number: int) -> None:
        with quota.line(account, Lane.UPLOAD) as place:
            _send(client, place)
            served.append(number)

    threads = []
    for number in range(6):
        thread = threading.Thread(target=caller, args=(number,))
        thread.start()
        threads.append(thread)
        while quota.waiting(account, Lane.UPLOAD) < number + 1 - len(served):
            time.sleep(0.001)
    started.wait()
    for thread in threads:
        thread.join()
    assert served == sorted(served)


def test_one_that_prepares_does_not_hold_up_one_that_is_ready(client: redis.Redis, account: Account) -> None:
    quota = _quota(client, "upload=10/s")
    with quota.line(account, Lane.UPLOAD) as slow, quota.line(account, Lane.UPLOAD) as ready:
        slow.near(5.0)  # first in line, busy with something else
        began = time.monotonic()
        _send(client, ready)
        assert time.monotonic() - began < 1.0


def test_a_call_takes_all_its_buckets_or_none(client: redis.Redis, account: Account) -> None:
    quota = _quota(client, "caption_video=20/s,human_reid=1/2s")
    with quota.line(account, Lane.CAPTION_VIDEO, Lane.HUMAN_REID) as place:
        _send(client, place)
    # the slow bucket is empty now, the fast one is not: a call that needs both waits, one that needs the fast one does not
    with quota.line(account, Lane.CAPTION_VIDEO, Lane.HUMAN_REID) as both, pytest.raises(NotSoon):
        both.near(0.2, at_most=0.5)
    began = time.monotonic()
    with quota.line(account, Lane.CAPTION_VIDEO) as one:
        _send(client, one)
    assert time.monotonic() - began < 0.5


def test_too_fast_closes_the_lane_for_everyone_and_widens_it(client: redis.Redis, account: Account) -> None:
    quota = _quota(client, "upload=20/s")
    with quota.line(account, Lane.UPLOAD) as place:
        _send(client, place)
    first = quota.close(account, Lane.UPLOAD)
    assert first == 2.0
    assert quota.close(account, Lane.UPLOAD) <= first  # several refusals of one moment count once
    with quota.line(account, Lane.UPLOAD) as place, pytest.raises(NotSoon):
        place.near(0.1, at_most=1.0)
    bucket = _bucket(client)
    margin = int(client.hget(bucket, "margin") or 0)
    assert margin > 0
    client.hset(bucket, "closed", "0")
    with quota.line(account, Lane.UPLOAD) as place:
        _send(client, place)
    assert int(client.hget(bucket, "margin") or 0) < margin  # and is unlearned with every call that leaves


def test_a_lane_switched_off_has_no_limit(client: redis.Redis, account: Account) -> None:
    quota = _quota(client, "upload=off")
    began = time.monotonic()
    for _ in range(100):
        with quota.line(account, Lane.UPLOAD) as place:
            place.near(0.0)
            place.take().stamp()
    assert time.monotonic() - began < 1.0
    assert client.keys() == []


def test_whoever_stops_leaves_the_line(client: redis.Redis, account: Account) -> None:
    quota = _quota(client, "upload=1/min")
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    with pytest.raises(Stopped), quota.line(account, Lane.UPLOAD, stop=stop) as place:
        place.take()
    assert quota.waiting(account, Lane.UPLOAD) == 0


def test_without_redis_no_slot(account: Account) -> None:
    quota = _quota(connect("unix:///nowhere.sock"), "upload=1/s")
    with pytest.raises(QuotaUnavailable), quota.line(account, Lane.UPLOAD) as place:
        place.take()


def test_accounts_do_not_share_a_line(client: redis.Redis, account: Account) -> None:
    quota = _quota(client, "upload=1/min")
    with quota.line(account, Lane.UPLOAD) as place, pytest.raises(NotSoon):
        place.near(0, at_most=1)
    assert quota.waiting(Account("account", "other"), Lane.UPLOAD) == 0


def test_to_peek_says_what_a_caller_would_meet_and_changes_nothing(client: redis.Redis, account: Account) -> None:
    quota = _quota(client, "upload=1/2s,list=off")
    fresh = quota.peek(account, Lane.UPLOAD)
    assert fresh.next_slot == pytest.approx(2 + USE_BY, abs=0.1)
    assert client.keys() == []
    with quota.line(account, Lane.UPLOAD) as place:
        _send(client, place)
        sent = quota.peek(account, Lane.UPLOAD)
    assert 1.5 < sent.next_slot <= 2.1
    assert (sent.margin, sent.in_line) == (0.0, 0)
    with quota.line(account, Lane.UPLOAD) as place, pytest.raises(NotSoon):
        place.near(0.1, at_most=0.2)
        raise AssertionError("the slot came too soon")
    assert quota.close(account, Lane.UPLOAD) == pytest.approx(2.0)
    before = client.hgetall(f"ingest:{{{account.fingerprint}}}:bucket:upload")
    closed = quota.peek(account, Lane.UPLOAD)
    assert closed.margin == pytest.approx(0.1, abs=0.01)
    assert closed.next_slot > 1.5
    assert client.hgetall(f"ingest:{{{account.fingerprint}}}:bucket:upload") == before
    assert quota.peek(account, Lane.LIST).next_slot == 0


def test_to_peek_sees_who_stands_in_line(client: redis.Redis, account: Account) -> None:
    quota = _quota(client, "upload=1/min")
    with quota.line(account, Lane.UPLOAD) as place:
        with pytest.raises(NotSoon):
            place.near(0.1, at_most=0.2)
        assert quota.peek(account, Lane.UPLOAD).in_line == 1
    assert quota.peek(account, Lane.UPLOAD).in_line == 0


def test_to_peek_without_redis_is_said(account: Account) -> None:
    quota = _quota(connect("unix:///nowhere/at/all.sock"), "")
    with pytest.raises(QuotaUnavailable):
        quota.peek(account, Lane.UPLOAD)


def test_a_bucket_of_another_server_is_peeked_at_as_closed(client: redis.Redis, account: Account) -> None:
    quota = _quota(client, "upload=1/2s")
    client.hset(f"ingest:{{{account.fingerprint}}}:bucket:upload", mapping={"next": "5", "run": "another"})
    assert quota.peek(account, Lane.UPLOAD).next_slot == pytest.approx(2 + USE_BY, abs=0.1)


def test_requests_that_left_are_counted_in_each_bucket_they_count_against(
    client: redis.Redis, account: Account
) -> None:
    quota = _quota(client, "caption_video=20/s,human_reid=20/s,upload=off")
    lanes = dict.fromkeys((Lane.CAPTION_VIDEO, Lane.HUMAN_REID, Lane.UPLOAD, Lane.LIST), account)
    for _ in range(2):
        with quota.line(account, Lane.HUMAN_REID, Lane.CAPTION_VIDEO) as place:
            _send(client, place)
    with quota.line(account, Lane.CAPTION_VIDEO) as place:
        _send(client, place)
    with quota.line(account, Lane.CAPTION_VIDEO) as place:
        place.take()  # and given back: nothing left
    with quota.line(account, Lane.UPLOAD) as place:
        place.take().stamp()
    assert [one.sent for one in quota.peek_all(lanes).values()] == [3, 2, None, 0]


def test_a_request_whose_slot_was_given_on_left_all_the_same(client: redis.Redis, account: Account) -> None:
    quota = _quota(client, "upload=20/s")
    late = quota.line(account, Lane.UPLOAD)
    late.take()
    with quota.line(account, Lane.UPLOAD) as place:
        _send(client, place)
    late.stamp()
    assert quota.peek(account, Lane.UPLOAD).sent == 2
    client.flushall()
    late.stamp()
    assert client.keys() == []  # a counter alone would stay for good


def test_who_peeks_at_many_lanes_sees_what_one_look_each_would_tell(client: redis.Redis, account: Account) -> None:
    quota = _quota(client, "upload=1/2s,list=off")
    with quota.line(account, Lane.UPLOAD) as place:
        _send(client, place)
    accounts = {lane: account if lane is not Lane.CHAT else Account("account:caption", "other") for lane in Lane}
    together = quota.peek_all(accounts)
    assert set(together) == set(Lane)
    for lane, one in together.items():
        alone = quota.peek(accounts[lane], lane)
        assert (one.margin, one.in_line, one.sent) == (alone.margin, alone.in_line, alone.sent)
        assert one.next_slot == pytest.approx(alone.next_slot, abs=0.1)
