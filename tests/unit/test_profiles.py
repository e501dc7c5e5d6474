import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.sources import posts
from ingest.sources.profiles import Profile, problem_of, recognise

_CHANNEL = "UCK8sQmJBp8GCxrOtXWBpyEA"
_LIST = "PLBB231211A4F62143"
_ID = "BaW_jenozKc"
_NUMBER = "7303390000000000000"
_LASTING = "@MS4wLjABAAAAepiJKgwWhulvCpSuUVsp7sgVVsFJbbNaLeQ6OQ0oAJER"


def _key(url: str) -> str | None:
    found = recognise(url)
    return found.key if found else None


@pytest.mark.parametrize(
    "url",
    [
        "https://www.tiktok.com/@some.one",
        "https://tiktok.com/@some.one/",
        "http://m.tiktok.com/@some.one?lang=de&_r=1",
        "https://www.tiktok.com/@Some.One#x",
        "https://www.tiktok.com/%40some.one",
        "https://www.tiktok.com//@some.one",
        "https://www.tiktok.com/@some.one/liked",
        "https://www.tiktok.com/@some.one/reposts?lang=en",
        "https://www.tiktok.com/embed/@some.one",
        "HTTPS://WWW.TIKTOK.COM:443/@some.one",
    ],
)
def test_a_tiktok_profile_is_one_under_any_spelling(url):
    assert recognise(url) == Profile("tiktok", "profile", "@some.one", "https://www.tiktok.com/@some.one")
    assert _key(url) == "profile:tiktok:@some.one"


@pytest.mark.parametrize(
    "url",
    [
        "https://www.instagram.com/some.one/",
        "https://instagram.com/some.one",
        "https://m.instagram.com/Some.One?igsh=x",
        "https://instagr.am/some.one/",
        "https://www.instagram.com/some.one/reels/",
        "https://www.instagram.com/some.one/tagged/#x",
        "https://www.instagram.com/_u/some.one",
    ],
)
def test_an_instagram_profile_is_one_under_any_spelling(url):
    assert recognise(url) == Profile("instagram", "profile", "some.one", "https://www.instagram.com/some.one/")
    assert _key(url) == "profile:instagram:some.one"


@pytest.mark.parametrize(
    "tab", ["", "/", "/videos", "/shorts", "/streams", "/live", "/playlists?view=1", "?si=x", "#x"]
)
@pytest.mark.parametrize("host", ["www.youtube.com", "youtube.com", "m.youtube.com", "music.youtube.com"])
@pytest.mark.parametrize(
    ("path", "handle"),
    [
        ("@Some.One", "@Some.One"),
        ("%40Some.One", "@Some.One"),
        (f"channel/{_CHANNEL}", _CHANNEL),
        ("c/SomeOne", "c/SomeOne"),
        ("user/SomeOne", "user/SomeOne"),
    ],
)
def test_a_youtube_channel_is_one_on_any_host_and_tab(host, path, handle, tab):
    found = recognise(f"https://{host}/{path}{tab}")
    assert found == Profile("youtube", "channel", handle, f"https://www.youtube.com/{path.replace('%40', '@')}")


@pytest.mark.parametrize(
    "url",
    [
        f"https://www.youtube.com/playlist?list={_LIST}",
        f"https://m.youtube.com/playlist?app=desktop&list={_LIST}&si=x",
        f"https://music.youtube.com/playlist?list={_LIST}",
        f"https://music.youtube.com/browse/VL{_LIST}",
        f"https://www.youtube.com/watch?list={_LIST}",
        f"https://www.youtube.com/embed/videoseries?list={_LIST}",
        f"https://www.youtube-nocookie.com/embed/videoseries?list={_LIST}",
    ],
)
def test_a_playlist_is_one_under_any_spelling(url):
    assert recognise(url) == Profile("youtube", "playlist", _LIST, f"https://www.youtube.com/playlist?list={_LIST}")
    assert _key(url) == f"playlist:youtube:{_LIST}"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://www.tiktok.com/tag/cats", "cats"),
        ("https://m.tiktok.com/tag/cats/?lang=en", "cats"),
        ("https://tiktok.com/tag/Cats", "cats"),
        ("https://www.tiktok.com/tag/猫", "猫"),
        ("https://www.tiktok.com/tag/%E7%8C%AB", "猫"),
        ("https://www.tiktok.com/tag/हिन्दी", "हिन्दी"),
    ],
)
def test_a_hashtag_of_tiktok_is_one_under_any_spelling(url, name):
    assert _key(url) == f"tag:tiktok:{name}"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://www.youtube.com/@Handle", "https://www.youtube.com/@handle"),
        ("https://www.youtube.com/c/Name", "https://www.youtube.com/c/NAME"),
        ("https://www.youtube.com/@ИгорьКлейнер", "https://www.youtube.com/@%D0%B8горькЛЕЙНЕР"),
        ("https://www.youtube.com/@caf%C3%A9s", "https://www.youtube.com/@cafe\u0301s"),  # e and its accent apart
        ("https://www.tiktok.com/@Name", "https://www.tiktok.com/@name"),
        ("https://www.instagram.com/NAME", "https://www.instagram.com/name"),
    ],
)
def test_the_case_of_a_name_makes_no_other_profile(one, other):
    assert _key(one) == _key(other) is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (f"https://www.youtube.com/channel/{_CHANNEL}", f"https://www.youtube.com/channel/UC{_CHANNEL[2:].lower()}"),
        (f"https://www.youtube.com/playlist?list={_LIST}", f"https://www.youtube.com/playlist?list={_LIST.lower()}"),
        (f"https://www.tiktok.com/{_LASTING}", f"https://www.tiktok.com/{_LASTING[:-4]}oajer"),
        ("https://www.youtube.com/@name", "https://www.youtube.com/c/name"),
        ("https://www.youtube.com/c/name", "https://www.youtube.com/user/name"),
        ("https://www.youtube.com/user/name", "https://www.youtube.com/name"),
    ],
)
def test_the_case_of_an_id_and_the_kind_of_a_name_do(one, other):
    assert None is not _key(one) != _key(other) is not None


def test_an_address_to_ask_for_is_plain_ascii():
    assert recognise("https://youtube.com/@ИгорьКлейнер/shorts").url.endswith(
        "/@%D0%98%D0%B3%D0%BE%D1%80%D1%8C%D0%9A%D0%BB%D0%B5%D0%B9%D0%BD%D0%B5%D1%80"
    )


@pytest.mark.parametrize("url", ["https://www.youtube.com/NASAgovVideo", "http://youtube.com/NASAgovVideo/videos"])
def test_the_oldest_spelling_of_a_channel_is_taken(url):
    assert recognise(url) == Profile("youtube", "channel", "NASAgovVideo", "https://www.youtube.com/NASAgovVideo")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "premium",
        "Gaming",
        "news",
        "feed/trending",
        "robots.txt",
        "index.html",
        "some/page",
        "name/a/b",
        _CHANNEL,
        "t/terms",
    ],
)
def test_a_first_word_that_may_be_youtubes_own_is_no_channel(path):
    assert recognise(f"https://www.youtube.com/{path}") is None


def test_a_bare_word_on_another_host_of_youtube_is_no_channel():
    assert recognise("https://studio.youtube.com/name") is None
    assert recognise("https://music.youtube.com/library") is None
    assert recognise("https://youtu.be/NASAgovVideo") is None


@pytest.mark.parametrize(
    ("url", "followed"),
    [
        (f"https://www.tiktok.com/@u/video/{_NUMBER}", "https://www.tiktok.com/@u"),
        (f"https://www.tiktok.com/@u/photo/{_NUMBER}", "https://www.tiktok.com/@u"),
        (f"https://youtu.be/{_ID}", None),
        (f"https://www.youtube.com/watch?v={_ID}&list={_LIST}", f"https://www.youtube.com/playlist?list={_LIST}"),
        (f"https://www.youtube.com/watch?v={_ID}&list=RD{_ID}", None),
        ("https://www.instagram.com/reel/aBc_-1/", None),
        ("https://www.instagram.com/u/reel/aBc_-1/", "https://www.instagram.com/u/"),
    ],
)
def test_a_single_post_is_no_profile_and_what_it_belongs_to_is_named(url, followed):
    assert recognise(url) is None
    problem = problem_of(url)
    assert "single post" in problem and "ingest add" in problem
    assert (f"{followed} can be followed" in problem) if followed else ("can be followed" not in problem)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://www.youtube.com/hashtag/cats", "hashtags of TikTok only"),
        ("https://www.instagram.com/explore/tags/cats/", "hashtags of TikTok only"),
        ("https://www.youtube.com/playlist?list=WL", "cannot be followed"),
        ("https://www.youtube.com/playlist?list=RDMM", "each visitor sees otherwise"),
        ("https://www.youtube.com/watch?list=RDAMVM12345678901", "each visitor sees otherwise"),
        ("https://www.youtube.com/playlist", "is a page of YouTube"),
        ("https://www.youtube.com/channel/UCtooshort", "is a page of YouTube"),
        ("https://www.youtube.com/results?search_query=cats", "is a search of YouTube"),
        ("https://www.youtube.com/premium", "is a page of YouTube"),
        ("https://www.tiktok.com/login", "is a page of TikTok"),
        ("https://www.tiktok.com/explore", "is a page of TikTok"),
        ("https://www.tiktok.com/@u/live", "is a live stream of TikTok"),
        ("https://www.tiktok.com/@u/playlist/name-7303390000000000000", "is a playlist of TikTok"),
        ("https://www.tiktok.com/music/sound-7303390000000000000", "is a sound of TikTok"),
        ("https://www.tiktok.com/%FF", "is a page of TikTok"),
        ("https://www.youtube.com/@caf%E9", "is a page of YouTube"),
        ("https://www.youtube.com/@a%2Fb", "is a page of YouTube"),
        ("https://www.youtube.com/@a%00b", "is a page of YouTube"),
        ("https://www.instagram.com/accounts/login/?next=/nasa/", "is a page of Instagram"),
        ("https://www.instagram.com/explore/", "is a page of Instagram"),
        ("https://www.instagram.com/stories/u/123/", "is a story of Instagram"),
        ("https://vm.tiktok.com/ZMabc123/", "short or forwarding"),
        ("https://www.youtube.com/clip/UgytZKpehg-hEMBSn3F4AaABCQ", "short or forwarding"),
        ("https://vimeo.com/76979871", "is a page of Vimeo"),
        ("https://example.com/@name", "is no page of TikTok, YouTube or Instagram"),
        ("https://tiktok.com.example.org/@name", "is no page of TikTok, YouTube or Instagram"),
        ("@name", "give it in full"),
        ("tiktok.com/@name", "give it in full"),
        ("ftp://www.tiktok.com/@name", "give it in full"),
        ("", "give it in full"),
        ("https://www.tiktok.com/@some one", "white space"),
        ("https://me:pass@www.tiktok.com/@name", "user name or password"),
        ("http://[broken", "no well-formed address"),
    ],
)
def test_what_cannot_be_followed_is_told_why(url, told):
    assert recognise(url) is None
    assert told in problem_of(url)


@pytest.mark.parametrize("text", ["//me:secret@www.tiktok.com/@name", "https://me:secret@www.tiktok.com/@name"])
def test_a_password_is_never_repeated(text):
    assert "secret" not in problem_of(text)


def test_what_can_be_followed_has_no_problem():
    assert problem_of("https://www.tiktok.com/@some.one") is None


_WORDS = "@name NAME tag c user channel browse playlist watch embed videoseries video videos reels reel p _u é %40x %ff"
_SEGMENT = st.sampled_from([*_WORDS.split(), _CHANNEL, f"VL{_LIST}", _ID, _NUMBER, ""]) | st.text(max_size=6)
_HOST = st.sampled_from(["www.tiktok.com", "m.youtube.com", "youtu.be", "www.youtube-nocookie.com", "instagram.com"])


@given(_HOST, st.lists(_SEGMENT, max_size=4), st.sampled_from(["", f"?list={_LIST}", f"?v={_ID}&list={_LIST}", "?x#y"]))
def test_the_address_of_a_profile_names_that_profile_and_never_a_post(host, path, query):
    url = f"https://{host}/{'/'.join(path)}{query}"
    found = recognise(url)
    if found is None:
        assert problem_of(url)
    else:
        assert recognise(found.url) == found
        assert urlsplit(found.url).hostname == f"www.{found.platform}.com"
        assert not isinstance(posts.recognise(url), posts.Post)


def test_naming_a_profile_takes_no_yt_dlp_and_little_time():
    code = (
        "import sys; from ingest.sources import profiles;"
        "profiles.problem_of('https://www.tiktok.com/@name'); sys.exit('yt_dlp' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    began = time.process_time()
    for number in range(10_000):
        assert recognise(f"https://www.youtube.com/@name{number}/videos")
    assert time.process_time() - began < 3
