"""yt-dlp's own extractors of TikTok and YouTube read pages that a test makes up: how far they look, and what they make of trouble."""

import pytest

from ingest import listing
from ingest.listing import Look, Trouble
from ingest.sources import profiles
from ingest.sources.profiles import Profile
from tests.platforms import Platforms, tiktok_ids, youtube_ids

pytestmark = pytest.mark.integration

URLS = {"tiktok": "https://www.tiktok.com/@demo", "youtube": "https://www.youtube.com/@demo"}


@pytest.fixture(params=["tiktok", "youtube"])
def profile(request: pytest.FixtureRequest) -> Profile:
    found = profiles.recognise(URLS[request.param])
    assert found is not None
    return found


@pytest.fixture
def pages(profile: Profile) -> Platforms:
    return Platforms(tiktok_ids(17) if profile.platform == "tiktok" else youtube_ids(17), page=5)


def _look(profile: Profile, pages: Platforms, known: set[str] = frozenset(), **how: object) -> Look:  # type: ignore[assignment]
    pages.pages = 0
    return listing.look(profile, known=known.__contains__, stop_after=3, make=pages.make, **how)  # type: ignore[arg-type]


def _keys(look: Look) -> list[str]:
    return [one.post.key for one in look.posts]


def test_a_first_look_goes_to_the_end_newest_first(profile: Profile, pages: Platforms) -> None:
    look = _look(profile, pages)
    assert _keys(look) == [f"post:{profile.platform}:{number}" for number in pages.posts]
    assert (look.complete, look.trouble, pages.pages) == (True, None, 4)
    assert look.posts[0].title and look.posts[0].url.startswith("https://")


def test_a_first_look_may_be_limited_to_the_newest(profile: Profile, pages: Platforms) -> None:
    look = _look(profile, pages, limit=4)
    assert (len(look.posts), look.complete, pages.pages) == (4, False, 1)


def test_a_later_look_ends_after_some_known_posts_and_fetches_no_page_more(profile: Profile, pages: Platforms) -> None:
    known = set(_keys(_look(profile, pages))[2:])
    look = _look(profile, pages, known)
    assert _keys(look) == [f"post:{profile.platform}:{number}" for number in pages.posts[:5]]  # two new, three known
    assert (look.complete, pages.pages) == (False, 1)


def test_known_posts_that_are_pinned_to_the_top_hide_no_new_one(profile: Profile, pages: Platforms) -> None:
    if profile.platform == "tiktok":
        pytest.skip("the pages of TikTok's list are by time, whatever is pinned")
    known = set(_keys(_look(profile, pages)))
    pages.posts = [*pages.posts[10:12], "newest00001", *pages.posts]
    look = _look(profile, pages, known)
    assert "post:youtube:newest00001" in _keys(look)


def test_a_full_pass_misses_what_was_removed_and_sees_what_came_back(profile: Profile, pages: Platforms) -> None:
    before = set(_keys(_look(profile, pages)))
    removed = pages.posts.pop(9)
    look = _look(profile, pages, before, full=True)
    assert look.complete and before - set(_keys(look)) == {f"post:{profile.platform}:{removed}"}
    pages.posts.insert(9, removed)
    assert set(_keys(_look(profile, pages, before, full=True))) == before


def test_a_page_that_fails_in_the_middle_ends_the_look_and_keeps_what_was_listed(
    profile: Profile, pages: Platforms
) -> None:
    whole = _keys(_look(profile, pages))
    requests = pages._requests
    pages._requests, pages.fail = 0, dict.fromkeys(range(requests - 1, requests + 20), 503)
    look = _look(profile, pages, full=True)
    assert 0 < len(look.posts) < len(whole) and not look.complete
    assert look.trouble is not None and not look.trouble.permanent


@pytest.mark.parametrize("met", [429, 503, "network"])
def test_a_platform_that_does_not_answer_is_asked_again_later(
    profile: Profile, pages: Platforms, met: int | str
) -> None:
    pages.fail = dict.fromkeys(range(1, 40), met)
    with pytest.raises(Trouble) as told:
        _look(profile, pages)
    assert told.value.kind == "temporary"


def test_a_profile_that_is_gone_is_told_from_one_that_does_not_answer(profile: Profile, pages: Platforms) -> None:
    pages.gone = True
    with pytest.raises(Trouble) as told:
        _look(profile, pages)
    assert (told.value.kind, told.value.permanent) == ("removed", True)


def test_a_private_profile_says_so() -> None:
    profile = profiles.recognise(URLS["tiktok"])
    pages = Platforms(tiktok_ids(3))
    pages.private = True
    assert profile is not None
    with pytest.raises(Trouble, match="private") as told:
        _look(profile, pages)
    assert told.value.kind == "private" and "--cookies" not in str(told.value)


@pytest.mark.parametrize("url", ["https://www.instagram.com/name/", "https://www.tiktok.com/tag/cats"])
def test_what_yt_dlp_cannot_list_is_said_before_anything_is_asked(url: str) -> None:
    profile = profiles.recognise(url)
    assert profile is not None and listing.problem_with(profile)
    with pytest.raises(Trouble) as told:
        _look(profile, Platforms())
    assert told.value.kind == "unsupported"


def test_what_is_said_to_be_broken_is_what_yt_dlp_says_of_itself() -> None:
    from yt_dlp.extractor import get_info_extractor

    working = {
        name: get_info_extractor(name).working() for name in ("InstagramUser", "TikTokTag", "TikTokUser", "YoutubeTab")
    }
    assert working == {"InstagramUser": False, "TikTokTag": False, "TikTokUser": True, "YoutubeTab": True}
