import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.batching import BATCH_LIMIT, Sendable, batches, next_batch, travels_with


def _item(number: int, platform: str | None = "tiktok", **other: object) -> Sendable:
    values: dict = {"unique_id": "default", "library": "private", "quality": None, "job_id": 1, **other}
    return Sendable(id=number, platform=platform, **values)


@st.composite
def _queues(draw: st.DrawFn) -> list[Sendable]:
    kinds = st.builds(
        Sendable,
        id=st.just(0),
        platform=st.sampled_from(["tiktok", "youtube", "instagram", None]),
        unique_id=st.sampled_from(["default", "anna"]),
        library=st.sampled_from(["private", "public"]),
        quality=st.sampled_from([None, 720]),
        job_id=st.integers(1, 3),
    )
    # Runs of equal items, so that full batches really occur.
    runs = draw(st.lists(st.tuples(kinds, st.integers(1, 70)), max_size=12))
    items = [kind for kind, length in runs for _ in range(length)]
    return [
        Sendable(number, item.platform, item.unique_id, item.library, item.quality, item.job_id)
        for number, item in enumerate(items)
    ]


def test_a_call_takes_fifty_posts():
    assert BATCH_LIMIT == 50


@given(_queues(), st.integers(1, 60))
def test_no_item_is_lost_and_none_travels_twice(queue, limit):
    assert sorted(item.id for batch in batches(queue, limit) for item in batch) == [i.id for i in queue]


@given(_queues(), st.integers(1, 60))
def test_no_batch_is_empty_or_over_the_limit(queue, limit):
    assert all(1 <= len(batch) <= limit for batch in batches(queue, limit))


@given(_queues())
def test_platforms_namespaces_libraries_and_qualities_are_never_mixed(queue):
    for batch in batches(queue):
        assert len({(i.platform, i.unique_id, i.library, i.quality) for i in batch}) == 1


@given(_queues(), st.integers(1, 60))
def test_there_are_as_few_batches_as_the_limit_permits(queue, limit):
    sizes: dict = {}
    for item in queue:
        sizes[travels_with(item)] = sizes.get(travels_with(item), 0) + 1
    assert len(batches(queue, limit)) == sum(-(-size // limit) for size in sizes.values())


@given(_queues(), st.integers(1, 60))
def test_the_order_of_first_appearance_is_kept(queue, limit):
    made = [[item.id for item in batch] for batch in batches(queue, limit)]
    assert all(batch == sorted(batch) for batch in made)
    assert [batch[0] for batch in made] == sorted(batch[0] for batch in made)


@given(_queues(), st.integers(1, 60))
def test_the_next_batch_is_the_one_the_most_urgent_item_travels_in(queue, limit):
    assert next_batch(queue, limit) == (batches(queue, limit)[0] if queue else [])


def test_two_jobs_share_a_batch():
    assert len(batches([_item(1, job_id=1), _item(2, job_id=2)])) == 1


def test_a_mixed_list_becomes_one_batch_per_kind_filled_in_turn():
    queue = [_item(n, "tiktok" if n % 2 else "youtube") for n in range(120)]
    assert [(batch[0].platform, len(batch)) for batch in batches(queue)] == [
        ("youtube", 50),
        ("tiktok", 50),
        ("youtube", 10),
        ("tiktok", 10),
    ]


def test_a_rare_platform_at_the_head_does_not_wait_for_company():
    queue = [_item(0, "instagram"), *(_item(n, "tiktok") for n in range(1, 90))]
    assert [item.id for item in next_batch(queue, 50)] == [0]


def test_the_next_batch_reads_no_further_than_it_must():
    def endless():
        number = 0
        while True:
            yield _item(number)
            number += 1

    assert len(next_batch(endless(), 50)) == 50


@pytest.mark.parametrize("limit", [0, -1])
def test_a_batch_without_room_is_refused(limit):
    with pytest.raises(ValueError, match="at least one item"):
        batches([_item(1)], limit)
    with pytest.raises(ValueError, match="at least one item"):
        next_batch([], limit)
