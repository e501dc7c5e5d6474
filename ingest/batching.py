"""What travels together in one upstream call. Pure.

A scraper call takes at most 50 posts, all of one platform, into one namespace of one library, with one quality (contract B.2 U3,
U4); a call with pictures takes several of which the same is said (contract B.2 U9; the vendor's cap is not told); every other call takes
one item. The job is not part of it: a batch filled by two jobs saves a call.
"""

from math import ceil

from ingest.lanes import Lane

#: Posts a call, both of its lists counted together.
BATCH_LIMIT = 50

#: What all items of one batch share: columns of ``item``.
TOGETHER = ("platform", "unique_id", "library", "quality", "together")

_LIMITS = {Lane.SCRAPE: BATCH_LIMIT, Lane.IMAGE: 20}


def batch_limit(lane: Lane) -> int:
    """How many items one call of a lane may carry."""
    return _LIMITS.get(lane, 1)


def calls_needed(lane: Lane, alike: int) -> int:
    """Calls for so many items that may travel together."""
    return ceil(alike / batch_limit(lane))
