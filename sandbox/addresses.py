"""Ids and addresses of made-up posts, in the forms of their platforms."""

import string
from random import Random

from sandbox.fates import BAD, GONE
from sandbox.pages import Page
from sandbox.posts import Post

#: Instagram's ids count milliseconds from 24 August 2011.
_INSTAGRAM_EPOCH_MS = 1_314_220_021_721
_DIGITS = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"


def new_post(page: Page, author: str, published_ms: int, dice: Random) -> tuple[Post, str]:
    """A post of `page` and its address. Of TikTok and Instagram the ids tell the time, hence their order."""
    while True:
        post_id, path = _FORMS[page.platform](author, published_ms, dice)
        url = f"https://www.{page.platform}.com/{path}"
        if not BAD.search(post_id) and not GONE.search(post_id):  # such an id would decide the fate of its post
            return Post(page.platform, post_id), url


def player(post: Post) -> str:
    """The address under which the public library shows a TikTok post (the seed's sample of L6)."""
    return f"https://www.tiktok.com/player/v1/{post.post_id}"


def _tiktok(author: str, at_ms: int, dice: Random) -> tuple[str, str]:
    """19 digits: seconds in the upper half, then milliseconds and chance."""
    number = at_ms // 1000 << 32 | at_ms % 1000 << 22 | dice.getrandbits(22)
    return str(number), f"@{author}/video/{number}"


def _youtube(_: str, __: int, dice: Random) -> tuple[str, str]:
    """64 bits of chance in 11 characters; a short or a video."""
    post_id = _encode(dice.getrandbits(64) << 2)
    return post_id, f"shorts/{post_id}" if dice.random() < 0.5 else f"watch?v={post_id}"


def _instagram(_: str, at_ms: int, dice: Random) -> tuple[str, str]:
    """A shortcode of 11 characters, the id in base 64; a post or a reel."""
    post_id = _encode(at_ms - _INSTAGRAM_EPOCH_MS << 23 | dice.getrandbits(23))
    return post_id, f"{'reel' if dice.random() < 0.5 else 'p'}/{post_id}/"


_FORMS = {"tiktok": _tiktok, "youtube": _youtube, "instagram": _instagram}


def _encode(number: int) -> str:
    return "".join(_DIGITS[number >> shift & 63] for shift in range(60, -1, -6))
