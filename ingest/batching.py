"""Which items travel together in one upstream call. Pure.

A scraper call takes at most 50 posts, all of one platform, into one namespace of one library (contract B.2
U3, U4).
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

#: Posts a call, both of its lists counted together.
BATCH_LIMIT = 50


@dataclass(frozen=True, slots=True)
class Sendable:
    """What batching needs to know of an item."""

    id: int
    platform: str | None
    unique_id: str
    library: str
    #: Upper bound of the resolution; None leaves it to the vendor.
    quality: int | None
    job_id: int


def travels_with(item: Sendable) -> tuple[Hashable, ...]:
    """What all items of one batch share. The job is not in it: a batch filled by two jobs saves a call."""
    return item.platform, item.unique_id, item.library, item.quality


def batches(items: Iterable[Sendable], limit: int = BATCH_LIMIT) -> list[list[Sendable]]:
    """Every item in one batch. Batches stand in the order of their first item and are filled one by one."""
    _check(limit)
    made: list[list[Sendable]] = []
    filling: dict[tuple[Hashable, ...], list[Sendable]] = {}
    for item in items:
        key = travels_with(item)
        if key not in filling or len(filling[key]) == limit:
            filling[key] = []
            made.append(filling[key])
        filling[key].append(item)
    return made


def next_batch(items: Iterable[Sendable], limit: int = BATCH_LIMIT) -> list[Sendable]:
    """The batch that the first (the most urgent) of ``items`` travels in; empty when there are none."""
    _check(limit)
    batch: list[Sendable] = []
    for item in items:
        if not batch or travels_with(item) == travels_with(batch[0]):
            batch.append(item)
        if len(batch) == limit:
            break
    return batch


def _check(limit: int) -> None:
    if limit < 1:
        raise ValueError(f"A batch holds at least one item; the limit given is {limit}.")
