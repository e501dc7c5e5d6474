"""The stand-in's made-up pages: recognition, and a life that depends on the seed and the time alone."""

import re
from itertools import pairwise

import pytest

from sandbox.counters import counters
from sandbox.pages import HASHTAG, PROFILE, Page, recognise_page
from sandbox.posts import recognise
from sandbox.profiles import Profile
from sandbox.scripts import Script, made_up, parse_script

SINCE = 1_750_000_000_000
PAGES = {
    "tiktok": Page("tiktok", PROFILE, "@dock.nine"),
    "youtube": Page("youtube", PROFILE, "@dock-nine"),
    "instagram": Page("instagram", PROFILE, "dock.nine"),
    "hashtag": Page("tiktok", HASHTAG, "gates"),
}


def profile(page: Page = PAGES["tiktok"], seed: int = 7, **script: object) -> Profile:
    return Profile(page, Script(**script), seed, SINCE)  # type: ignore[arg-type]


def story(profile: Profile) -> list[object]:
    return [(published.url, published.published_ms, published.shown) for published in profile.posts]


@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("https://www.tiktok.com/@Dock.Nine", PAGES["tiktok"]),
        ("https://m.tiktok.com/@dock.nine/?lang=en", PAGES["tiktok"]),
        ("https://www.tiktok.com/tag/Gates", PAGES["hashtag"]),
        ("https://www.youtube.com/@dock-nine/shorts", PAGES["youtube"]),
        ("https://youtube.com/channel/UCabcDEF123", Page("youtube", PROFILE, "channel/UCabcDEF123")),
        ("https://www.youtube.com/c/Dock", Page("youtube", PROFILE, "c/dock")),
        ("https://www.instagram.com/dock.nine/reels/", PAGES["instagram"]),
    ],
)
def test_a_page_is_recognised_in_its_spellings(url, page):
    assert recognise_page(url) == page
    assert recognise_page(page.url) == page


@pytest.mark.parametrize(
    "url",
    [
        "dock.nine",
        "https://www.tiktok.com/",
        "https://www.tiktok.com/@dock/video/7000000000000000001",
        "https://www.youtube.com/watch?v=abcdefghijk",
        "https://www.youtube.com/feed",
        "https://youtu.be/abcdefghijk",
        "https://www.instagram.com/explore/",
        "https://www.instagram.com/p/DabcdefghiJ/",
        "https://vimeo.com/dock",
        "http://[",
    ],
)
def test_other_addresses_are_no_pages(url):
    assert recognise_page(url) is None


@pytest.mark.parametrize(
    ("name", "post_id"),
    [("tiktok", r"\d{19}"), ("youtube", r"[\w-]{11}"), ("instagram", r"[\w-]{11}"), ("hashtag", r"\d{19}")],
)
def test_posts_have_the_ids_and_addresses_of_their_platform(name, post_id):
    made = profile(PAGES[name], posts=60).posts
    assert len({published.post for published in made}) == 60
    for published in made:
        assert re.fullmatch(post_id, published.post.post_id)
        assert recognise(published.url) == published.post


def test_a_tiktok_id_tells_when_its_post_was_published():
    made = profile(posts=20, grow_every=0.01)
    made.advance(SINCE + 500)
    assert all(int(post.post.post_id) >> 32 == post.published_ms // 1000 for post in made.posts)
    assert all(int(old.post.post_id) < int(new.post.post_id) for old, new in pairwise(made.posts))


def test_a_life_does_not_depend_on_how_often_somebody_looks():
    script = {"posts": 5, "grow_every": 3, "lose_every": 7, "regain_after": 5}
    seldom, often, other = profile(**script), profile(**script), profile(seed=8, **script)
    for seconds in range(0, 100, 2):
        often.advance(SINCE + seconds * 1000)
    for late in (often, seldom, other):
        late.advance(SINCE + 100_000)
    assert story(seldom) == story(often) != story(other)
    assert len(seldom.posts) == 5 + 33


def test_a_lost_post_is_back_after_its_time():
    made = profile(posts=1, lose_every=10, regain_after=4)
    made.advance(SINCE + 25_000)
    [(first, lost), (back, again), (last, still)] = made.posts[0].shown
    assert (lost - SINCE, back - lost, again - back, last - again, still) == (10_000, 4_000, 6_000, 4_000, None)
    assert first < SINCE


def test_a_post_removed_by_hand_does_not_return_by_itself():
    made = profile(posts=1, lose_every=10, regain_after=4)
    made.advance(SINCE + 11_000)
    made.posts[0].hide(SINCE + 11_000)
    made.advance(SINCE + 19_000)
    assert not made.posts[0].visible


def test_another_script_holds_from_now_on_and_keeps_the_posts():
    made = profile(posts=2, grow_every=1, lose_every=10, regain_after=5)
    made.advance(SINCE + 10_000)
    made.change(parse_script({"grow_every": None, "lose_every": None, "kind": "private"}, made.script), SINCE + 10_000)
    made.advance(SINCE + 60_000)
    assert len(made.posts) == 12
    assert all(published.visible for published in made.posts)
    assert made.kinds == [(SINCE, "normal"), (SINCE + 10_000, "private")]


def test_a_page_that_becomes_private_grows_on_at_its_beat():
    made, untouched = profile(posts=0, grow_every=10), profile(posts=0, grow_every=10)
    made.advance(SINCE + 15_000)
    made.change(parse_script({"kind": "private"}, made.script), SINCE + 15_000)
    for each in (made, untouched):
        each.advance(SINCE + 40_000)
    assert story(made) == story(untouched)


def test_counters_never_fall_and_move_fastest_at_first():
    [published] = profile(posts=1, pace=0.5).posts
    times = [published.published_ms + seconds * 1000 for seconds in (0, 60, 3600, 86_400, 864_000, 8_640_000)]
    seen = [counters(published, at_ms) for at_ms in times]
    for name in seen[0]:
        counts = [at[name] for at in seen]
        assert counts == sorted(counts) and counts[0] == 0 < counts[-1]
    assert seen[3]["view_count"] > (seen[4]["view_count"] - seen[3]["view_count"]) / 9
    assert all(at["view_count"] >= at["like_count"] >= at["share_count"] for at in seen)


def test_a_page_nobody_told_of_has_the_kind_that_its_name_says():
    names = {"@dock.nine": "normal", "@private.dock": "private", "@dock_gone": "gone", "@privateer": "normal"}
    for name, kind in names.items():
        assert made_up(Page("tiktok", PROFILE, name), 1).kind == kind
    assert made_up(PAGES["tiktok"], 1) == made_up(PAGES["tiktok"], 1) != made_up(PAGES["tiktok"], 2)


@pytest.mark.parametrize(
    "said",
    [
        {"post": 3},
        {"posts": -1},
        {"posts": True},
        {"grow_every": 0},
        {"grow_every": "1"},
        {"lose_every": float("nan")},
        {"kind": "lost"},
        {"kind": []},
        {"pace": -1},
        {"tags": "gates"},
        {"tags": ["#gates"]},
    ],
)
def test_a_wrong_script_is_refused_in_a_sentence(said):
    with pytest.raises(ValueError, match=r"^'.*\.$"):
        parse_script(said, None)


def test_the_posts_of_a_known_page_are_not_counted_anew():
    with pytest.raises(ValueError, match="add, remove or restore"):
        parse_script({"posts": 3}, Script())
