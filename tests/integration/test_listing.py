"""The real extractors of yt-dlp list profiles of made-up platforms."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from yt_dlp.networking.exceptions import TransportError

from ingest import listing
from ingest.listing import Look, look, problem_with
from ingest.sources import posts, profiles
from ingest.sources.profiles import Profile
from tests.platforms import Shown, TikTok, YouTube, http_error, tiktok_id, youtube_id

pytestmark = pytest.mark.integration

NOON = 1_760_000_000
DAY = 86_400


def _profile(url: str) -> Profile:
    found = profiles.recognise(url)
    assert found is not None
    return found


ON_TIKTOK = _profile("https://www.tiktok.com/@someone")
ON_YOUTUBE = _profile("https://www.youtube.com/@someone")
PLAYLIST = _profile("https://www.youtube.com/playlist?list=PLsomeones-list")


def _tiktok(count: int, **options: Any) -> TikTok:
    return TikTok("someone", [Shown(tiktok_id(number), NOON + number * DAY) for number in range(count)], **options)


def _youtube(count: int, shorts: int = 0, streams: int = 0, **options: Any) -> YouTube:
    page = YouTube([], **options)
    for tab, first, number in (("videos", 0, count), ("shorts", 1000, shorts), ("streams", 2000, streams)):
        page.posts += [Shown(youtube_id(first + each), NOON + each, tab=tab) for each in range(number)]
    return page


def _keys(*ids: str) -> set[str]:
    return {f"post:{'youtube' if post_id.startswith('v') else 'tiktok'}:{post_id}" for post_id in ids}


def _ids(found: Look) -> list[str]:
    return [listed.post.post_id for listed in found.posts]


def _newest(page: TikTok | YouTube) -> list[str]:
    return [post.id for post in page.newest_first(page.posts)]


def _nothing(key: str) -> bool:
    return False


def _failing_at(number: int, error: Exception) -> Callable[[int], None]:
    def before(request: int) -> None:
        if request >= number:
            raise error

    return before


# A whole pass


def test_a_first_look_reads_all_pages_of_tiktok_newest_first() -> None:
    page = _tiktok(8)
    found = look(ON_TIKTOK, known=_nothing, make=page.serve)
    assert _ids(found) == _newest(page)
    assert (found.complete, found.trouble, page.pages) == (True, None, 3)
    assert found.calls == len(page.requests)


def test_what_tiktok_tells_of_a_post_is_kept() -> None:
    page = TikTok("someone", [Shown(tiktok_id(1), NOON, "a cat", seconds=31, views=77)])
    [listed] = look(ON_TIKTOK, known=_nothing, make=page.serve).posts
    assert listed.url == f"https://www.tiktok.com/@someone/video/{tiktok_id(1)}"
    assert (listed.title, listed.published_ms, listed.seconds, listed.views) == ("a cat", NOON * 1000, 31.0, 77)
    assert posts.recognise(listed.url) == listed.post


def test_weeks_without_a_post_are_no_end_of_tiktok() -> None:
    page = TikTok("someone", [Shown(tiktok_id(2), NOON), Shown(tiktok_id(1), NOON - 300 * DAY)], per_page=1)
    assert _ids(look(ON_TIKTOK, known=_nothing, make=page.serve)) == [tiktok_id(2), tiktok_id(1)]


def test_all_tabs_of_a_channel_are_read_one_post_of_each_in_turn() -> None:
    page = _youtube(7, shorts=4, streams=1)
    found = look(ON_YOUTUBE, known=_nothing, make=page.serve)
    assert (found.complete, found.trouble) == (True, None)
    assert _ids(found)[:5] == [youtube_id(6), youtube_id(1003), youtube_id(2000), youtube_id(5), youtube_id(1002)]
    assert sorted(_ids(found)) == sorted(_newest(page))
    assert page.continuations == 2 + 1


def test_what_youtube_tells_of_a_post_is_kept_and_its_date_is_not_guessed() -> None:
    page = YouTube([Shown(youtube_id(1), NOON, "a cat", 125, 77), Shown(youtube_id(2), NOON, "a dog", tab="shorts")])
    video, short = look(ON_YOUTUBE, known=_nothing, make=page.serve).posts
    assert (video.title, video.published_ms, video.seconds, video.views) == ("a cat", None, 125.0, 77)
    assert video.url == "https://www.youtube.com/watch?v=v0000000001"
    assert short.url == "https://www.youtube.com/shorts/v0000000002"
    assert [posts.recognise(each.url) for each in (video, short)] == [video.post, short.post]


def test_a_channel_of_shorts_alone_is_complete() -> None:
    page = _youtube(0, shorts=4)
    found = look(ON_YOUTUBE, known=_nothing, make=page.serve)
    assert (len(found.posts), found.complete, found.trouble) == (4, True, None)


def test_what_is_not_to_be_had_yet_or_not_by_everybody_is_not_listed() -> None:
    page = _youtube(2)
    page.posts += [Shown(youtube_id(9), NOON + 9, reserved=why) for why in ("upcoming", "live", "members")]
    found = look(ON_YOUTUBE, known=_nothing, make=page.serve)
    assert (_ids(found), found.complete) == ([youtube_id(1), youtube_id(0)], True)


def test_a_post_that_stands_in_two_tabs_is_listed_once() -> None:
    page = _youtube(2, streams=1)
    page.posts.append(Shown(youtube_id(2000), NOON + 9))
    found = look(ON_YOUTUBE, known=_nothing, make=page.serve)
    assert _ids(found) == [youtube_id(2000), youtube_id(1), youtube_id(0)]


def test_a_playlist_is_read_in_its_own_order() -> None:
    page = YouTube([Shown(youtube_id(number)) for number in (3, 1, 2, 5, 4)], playlist="PLsomeones-list")
    found = look(PLAYLIST, known=_nothing, make=page.serve)
    assert (_ids(found), found.complete) == ([youtube_id(number) for number in (3, 1, 2, 5, 4)], True)
    assert page.continuations == 1


def test_a_channel_without_tabs_is_read_by_the_playlist_that_youtube_keeps_of_it() -> None:
    page = YouTube([Shown(youtube_id(number), tab="none") for number in (2, 1)])
    page.playlist = "UU" + "c" * 22
    found = look(_profile(f"https://www.youtube.com/channel/{page.channel}"), known=_nothing, make=page.serve)
    assert (_ids(found), found.complete) == ([youtube_id(2), youtube_id(1)], True)


# An incremental look


def test_a_look_at_tiktok_ends_after_so_many_known_posts_and_asks_for_no_more_pages() -> None:
    page = _tiktok(30)
    known = _keys(*_newest(page)[2:])
    found = look(ON_TIKTOK, known=known.__contains__, stop_after=4, make=page.serve)
    assert _ids(found) == _newest(page)[:6]
    assert (found.complete, found.trouble, page.pages) == (False, None, 2)


def test_each_tab_of_a_channel_ends_by_its_own_known_posts() -> None:
    page = _youtube(30, shorts=30)
    known = _keys(*(post.id for post in page.posts)) - _keys(
        youtube_id(29), *(youtube_id(1000 + n) for n in range(22, 30))
    )
    found = look(ON_YOUTUBE, known=known.__contains__, stop_after=2, make=page.serve)
    listed = set(_ids(found))
    assert listed == {youtube_id(n) for n in range(27, 30)} | {youtube_id(1000 + n) for n in range(20, 30)}
    assert (page.continuations, found.complete) == (0 + 3, False)


def test_a_new_post_between_known_ones_starts_the_row_anew() -> None:
    page = _tiktok(12)
    known = _keys(*_newest(page)) - _keys(_newest(page)[3])
    found = look(ON_TIKTOK, known=known.__contains__, stop_after=4, make=page.serve)
    assert _ids(found) == _newest(page)[:8]


def test_pinned_known_posts_on_top_do_not_hide_the_new_ones() -> None:
    page = _tiktok(20)
    known = _keys(*_newest(page)[2:])
    for post in page.posts[:3]:
        post.pinned = True
    found = look(ON_TIKTOK, known=known.__contains__, stop_after=4, make=page.serve)
    pinned = [post.id for post in page.newest_first(page.posts[:3])]
    assert _ids(found)[:5] == pinned + _newest(page)[:2]
    assert len(found.posts) == 3 + 2 + 4
    assert listing.STOP_AFTER > 3


def test_a_profile_that_ends_before_enough_known_posts_is_complete() -> None:
    page = _tiktok(5)
    assert look(ON_TIKTOK, known=lambda key: True, stop_after=6, make=page.serve).complete


def test_a_limit_ends_a_look() -> None:
    page = _tiktok(30)
    found = look(ON_TIKTOK, known=_nothing, limit=4, make=page.serve)
    assert (_ids(found), found.complete, page.pages) == (_newest(page)[:4], False, 2)


def test_posts_that_go_and_return_are_told_by_whole_passes() -> None:
    page = _tiktok(12)
    first = look(ON_TIKTOK, known=_nothing, make=page.serve)
    seen = _keys(*_ids(first))
    gone = page.posts.pop(3)
    without = look(ON_TIKTOK, known=seen.__contains__, full=True, make=page.serve)
    assert without.complete
    assert seen - _keys(*_ids(without)) == _keys(gone.id)
    # It returns where it was, among the known: an incremental look does not get there.
    page.posts.append(gone)
    short = look(ON_TIKTOK, known=seen.__contains__, stop_after=4, make=page.serve)
    assert (gone.id in _ids(short), short.complete) == (False, False)
    whole = look(ON_TIKTOK, known=seen.__contains__, stop_after=4, full=True, make=page.serve)
    assert (gone.id in _ids(whole), whole.complete) == (True, True)


def test_posts_that_go_and_return_on_a_channel() -> None:
    page = _youtube(9, shorts=5)
    everything = {post.id for post in page.posts}
    gone = page.posts.pop(2)
    assert everything - set(_ids(look(ON_YOUTUBE, known=_nothing, full=True, make=page.serve))) == {gone.id}
    page.posts.append(gone)
    assert set(_ids(look(ON_YOUTUBE, known=_nothing, full=True, make=page.serve))) == everything


def test_the_last_post_that_goes_leaves_an_empty_complete_look() -> None:
    for profile, page in ((ON_TIKTOK, _tiktok(0)), (ON_YOUTUBE, _youtube(0)), (PLAYLIST, YouTube([]))):
        found = look(profile, known=_nothing, full=True, make=page.serve)
        assert (found.posts, found.complete, found.trouble) == ([], True, None), profile


# Profiles that show nothing


def _kind(found: Look) -> str | None:
    assert not found.complete
    return found.trouble.kind if found.trouble else None


def test_a_private_account_of_tiktok() -> None:
    found = look(ON_TIKTOK, known=_nothing, make=_tiktok(3, status=10222).serve)
    assert _kind(found) == "private"
    assert found.posts == []
    assert str(found.trouble) == "@someone on TikTok is private: This user's account is private."


def test_an_account_of_tiktok_that_nobody_has() -> None:
    assert _kind(look(ON_TIKTOK, known=_nothing, make=_tiktok(3, status=10221).serve)) == "removed"


def test_a_wall_instead_of_a_profile_of_tiktok_is_no_word_about_the_profile() -> None:
    page = _tiktok(3)
    page.name = "somebody-else"
    found = look(ON_TIKTOK, known=_nothing, make=page.serve)
    assert _kind(found) == "temporary"
    assert "HTTP Error 404" in str(found.trouble)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("This channel does not exist.", "removed"),
        ("This account has been terminated because we received multiple third-party claims.", "removed"),
        ("This channel was removed because it violated our Community Guidelines.", "removed"),
        ("This channel is not available in your country.", "geo"),
        ("This playlist is private.", "private"),
        ("Sign in to confirm you’re not a bot", "temporary"),
        ("An unknown error occurred.", "temporary"),
    ],
)
def test_what_youtube_shows_instead_of_a_channel(said: str, kind: str) -> None:
    page = _youtube(3)
    page.says = said
    found = look(ON_YOUTUBE, known=_nothing, make=page.serve)
    assert _kind(found) == kind
    assert said.rstrip(".")[:40] in str(found.trouble)


def test_a_channel_that_was_never_there() -> None:
    page = _youtube(3)
    page.missing = True
    assert _kind(look(ON_YOUTUBE, known=_nothing, make=page.serve)) == "removed"


@pytest.mark.parametrize("url", ["https://www.instagram.com/someone/", "https://www.tiktok.com/tag/cats"])
def test_what_yt_dlp_cannot_list_is_told_without_a_call(url: str) -> None:
    profile = _profile(url)
    found = look(profile, known=_nothing, make=_tiktok(3).serve)
    assert (_kind(found), found.calls) == ("unsupported", 0)
    assert str(found.trouble) == problem_with(profile)
    assert "yt-dlp cannot list" in str(found.trouble)


def test_what_yt_dlp_can_list_has_no_problem() -> None:
    assert [problem_with(profile) for profile in (ON_TIKTOK, ON_YOUTUBE, PLAYLIST)] == [None] * 3


# Trouble on the way


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (http_error(429), "fewer calls"),
        (http_error(503), "503"),
        (http_error(404), "404"),
        (TransportError("connection reset by peer"), "connection reset"),
        (TransportError(cause=TimeoutError("timed out")), "timed out"),
    ],
)
def test_a_failure_in_the_middle_keeps_what_was_listed(error: Exception, word: str) -> None:
    for profile, page in ((ON_TIKTOK, _tiktok(9)), (ON_YOUTUBE, _youtube(9))):
        page.before = _failing_at(3 if profile is ON_TIKTOK else 4, error)
        found = look(profile, known=_nothing, full=True, make=page.serve)
        assert _kind(found) == "temporary"
        assert _ids(found) == _newest(page)[:3]
        assert word in str(found.trouble)


@pytest.mark.parametrize("status", [403, 429, 500])
def test_a_failure_of_the_first_call_is_no_word_about_the_profile(status: int) -> None:
    for profile, page in ((ON_TIKTOK, _tiktok(9)), (ON_YOUTUBE, _youtube(9)), (PLAYLIST, YouTube([]))):
        page.before = _failing_at(1, http_error(status))
        assert _kind(look(profile, known=_nothing, make=page.serve)) == "temporary"


def test_a_page_that_fails_once_is_asked_for_again() -> None:
    page = _youtube(9)

    def before(number: int) -> None:
        if number == 4:
            raise TransportError("connection reset by peer")

    page.before = before
    assert look(ON_YOUTUBE, known=_nothing, make=page.serve).complete


def test_an_empty_answer_in_the_middle_is_not_the_end() -> None:
    page = _youtube(9)
    page.broken_pages = True
    found = look(ON_YOUTUBE, known=_nothing, full=True, make=page.serve)
    assert (_kind(found), _ids(found)) == ("temporary", _newest(page)[:3])


@pytest.mark.parametrize("answer", [{}, {"statusCode": 10101, "itemList": []}, [], {"statusMsg": "private"}])
def test_an_answer_of_tiktok_that_is_no_page_is_not_the_end(answer: Any) -> None:
    page = _tiktok(9)

    def before(number: int) -> None:
        if number == 3:
            page.garbage = answer

    page.before = before
    found = look(ON_TIKTOK, known=_nothing, full=True, make=page.serve)
    assert (_kind(found), _ids(found)) == ("temporary", _newest(page)[:3])


def test_a_page_in_a_form_that_yt_dlp_does_not_know_is_not_an_empty_profile() -> None:
    page = _tiktok(3)
    page.garbage = {"statusCode": 0, "itemList": [], "hasMorePrevious": False}
    assert _kind(look(ON_TIKTOK, known=_nothing, full=True, make=page.serve)) == "temporary"
    channel = _youtube(3)
    channel.posts = [Shown("", tab="videos")]
    assert _kind(look(ON_YOUTUBE, known=_nothing, full=True, make=channel.serve)) == "temporary"


def test_the_same_page_again_and_again_ends_as_trouble() -> None:
    page = _tiktok(9)
    page.garbage = {"itemList": [{"id": tiktok_id(1), "createTime": NOON}], "hasMorePrevious": True}
    found = look(ON_TIKTOK, known=_nothing, full=True, make=page.serve)
    assert (_kind(found), _ids(found)) == ("temporary", [tiktok_id(1)])
    assert page.pages < 20


def test_calls_without_an_end_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MOST_CALLS", 5)
    assert _kind(look(ON_TIKTOK, known=_nothing, make=_tiktok(90).serve)) == "temporary"


def test_a_question_that_fails_is_the_callers_own() -> None:
    def known(key: str) -> bool:
        raise LookupError("no database")

    with pytest.raises(LookupError, match="no database"):
        look(ON_TIKTOK, known=known, make=_tiktok(3).serve)


def test_a_stop_is_heeded_before_the_next_call() -> None:
    page, stop = _tiktok(30), threading.Event()

    def before(number: int) -> None:
        if number == 3:
            stop.set()

    page.before = before
    found = look(ON_TIKTOK, known=_nothing, stop=stop, make=page.serve)
    assert (found.complete, found.trouble, len(page.requests)) == (False, None, 3)
    assert len(found.posts) in (3, 4)


def test_a_stop_is_heeded_while_there_are_no_entries() -> None:
    page, stop = TikTok("someone", [Shown(tiktok_id(1), NOON - 2000 * DAY)]), threading.Event()
    page.garbage = {"itemList": [], "hasMorePrevious": True}
    page.before = lambda number: stop.set() if number == 3 else None
    found = look(ON_TIKTOK, known=_nothing, stop=stop, make=page.serve)
    assert (found.posts, found.trouble, len(page.requests)) == ([], None, 3)


# Manners


def test_nothing_is_read_from_or_left_on_the_machine(tmp_path: Path) -> None:
    """Neither a configuration nor a plugin of the user; no cache."""
    plugin = tmp_path / "yt-dlp" / "plugins" / "mine" / "yt_dlp_plugins" / "extractor"
    plugin.mkdir(parents=True)
    (plugin / "mine.py").write_text("raise SystemExit('a plugin was loaded')")
    (tmp_path / "yt-dlp" / "config").write_text("--no-such-option")
    code = f"""
from ingest import listing
from ingest.sources import profiles
profile = profiles.recognise({ON_TIKTOK.url!r})
listing._youtube_dl(listing._parameters(profile, listing._Voice())).cache.store("section", "key", 1)
"""
    environment = {"XDG_CONFIG_HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=".")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (tmp_path / "cache").exists()


def test_proxies_of_the_environment_are_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with listing._youtube_dl(listing._parameters(ON_TIKTOK, listing._Voice())) as ydl:
        assert ydl.proxies["https"] == "http://127.0.0.1:9"


def test_yt_dlp_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, ingest.listing, ingest.troubles; sys.exit('yt_dlp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_yt_dlp_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    page = _youtube(9)
    page.before = _failing_at(3, http_error(500))
    look(ON_YOUTUBE, known=_nothing, make=page.serve)
    assert capfd.readouterr() == ("", "")
