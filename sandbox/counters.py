"""How often a post was seen, liked, shared, commented and kept: a pure function of its age that never falls."""

import math
from random import Random

from sandbox.profiles import Published
from sandbox.scripts import DAY

#: A new post is seen as much more as an old one in this many seconds of its steady pace.
_RUSH = 5 * DAY


def counters(published: Published, at_ms: int) -> dict[str, int]:
    """In the vendor's names (contract B.3 L6)."""
    age = max(0.0, (at_ms - published.published_ms) / 1000)
    views = int(published.pace * (age + _RUSH * -math.expm1(-age / DAY)))
    dice = Random(published.post.post_id)
    likes = int(views * dice.uniform(0.02, 0.12))
    return {
        "like_count": likes,
        "share_count": int(likes * dice.uniform(0.02, 0.2)),
        "comment_count": int(likes * dice.uniform(0.01, 0.08)),
        "view_count": views,
        "collect_count": int(likes * dice.uniform(0.03, 0.15)),
    }
