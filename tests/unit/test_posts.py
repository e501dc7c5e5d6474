import re
import subprocess
import sys
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from ingest.sources.posts import (
    Creator,
    NeedsNetwork,
    NoPost,
    OtherPlatform,
    Post,
    platform_of_host,
    recognise,
)

_ID = "BaW_jenozKc"
_NUMBER = "7303390000000000000"


def _key(url: str) -> str | None:
    found = recognise(url)
    return found.key if isinstance(found, Post) else None


@pytest.mark.parametrize(
    "url",
    [
        f"https://www.youtube.com/watch?v={_ID}",
        f"http://youtube.com/watch?v={_ID}",
        f"HTTPS://WWW.YouTube.COM:443/watch?v={_ID}",
        f"https://m.youtube.com/watch?v={_ID}&feature=share",
        f"https://music.youtube.com/watch?v={_ID}&list=RDAMVM{_ID}",
        f"https://www.youtube.com/watch?v={_ID}&list=PLBB231211A4F62143&index=3",
        f"https://www.youtube.com/watch?list=PLBB231211A4F62143&v={_ID}",
        f"https://www.youtube.com/watch?app=desktop&v={_ID}&t=42s#comments",
        f"https://www.youtube.com//watch?v={_ID}",
        f"https://youtu.be/{_ID}",
        f"https://youtu.be/{_ID}?si=abc&t=3",
        f"https://www.youtu.be/{_ID}",
        f"https://youtu.be/{_ID}?list=PLBB231211A4F62143",
        f"https://www.youtube.com/shorts/{_ID}?feature=share",
        f"https://www.youtube.com/live/{_ID}?si=x",
        f"https://www.youtube.com/embed/{_ID}?rel=0",
        f"https://www.youtube.com/v/{_ID}",
        f"https://www.youtube-nocookie.com/embed/{_ID}",
        f"https://www.youtubekids.com/watch?v={_ID}",
        f"https://youtube.googleapis.com/v/{_ID}",
    ],
)
def test_the_same_youtube_video_under_any_spelling_has_one_key(url):
    assert recognise(url) == Post("youtube", _ID)
    assert _key(url) == f"post:youtube:{_ID}"


@pytest.mark.parametrize(
    "url",
    [
        f"https://www.tiktok.com/@some.one/video/{_NUMBER}",
        f"https://tiktok.com/@some.one/video/{_NUMBER}",
        f"https://www.tiktok.com/@some.one/video/{_NUMBER}?is_from_webapp=1&sender_device=pc",
        f"https://www.tiktok.com/%40some.one/video/{_NUMBER}",
        f"https://www.tiktok.com/@/video/{_NUMBER}",
        f"https://m.tiktok.com/@some.one/video/{_NUMBER}",
        f"https://www.tiktok.com/@some.one/photo/{_NUMBER}",
        f"https://m.tiktok.com/v/{_NUMBER}.html?u_code=x",
        f"https://www.tiktok.com/embed/{_NUMBER}",
        f"https://www.tiktok.com/embed/v2/{_NUMBER}?lang=en",
        f"https://www.tiktok.com/player/v1/{_NUMBER}",
        f"https://www.tiktok.com/share/video/{_NUMBER}/",
        f"https://www.tiktokv.com/share/video/{_NUMBER}/",
        f"https://WWW.TIKTOK.com/@some.one/video/{_NUMBER}#x",
    ],
)
def test_the_same_tiktok_post_under_any_spelling_has_one_key(url):
    assert _key(url) == f"post:tiktok:{_NUMBER}"


@pytest.mark.parametrize(
    "url",
    [
        "https://www.instagram.com/p/aBc_-1/",
        "https://instagram.com/p/aBc_-1",
        "https://m.instagram.com/reel/aBc_-1/?igsh=xyz",
        "https://www.instagram.com/reels/aBc_-1/",
        "https://www.instagram.com/tv/aBc_-1/#x",
        "https://www.instagram.com/some.one/reel/aBc_-1/",
        "https://www.instagram.com/some.one/p/aBc_-1/",
        "https://instagr.am/p/aBc_-1/",
    ],
)
def test_the_same_instagram_post_under_any_spelling_has_one_key(url):
    assert _key(url) == "post:instagram:aBc_-1"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://youtu.be/BaW_jenozKc", "https://youtu.be/BaW_jenozKC"),
        ("https://www.instagram.com/p/aBc/", "https://www.instagram.com/p/abc/"),
    ],
)
def test_ids_that_differ_in_case_alone_are_two_posts(one, other):
    assert _key(one) != _key(other)


@pytest.mark.parametrize(
    ("url", "creator"),
    [
        ("https://www.tiktok.com/@some.one", Creator("tiktok", "some.one")),
        ("https://tiktok.com/@some.one?lang=de", Creator("tiktok", "some.one")),
        ("https://www.tiktok.com/tag/cats", Creator("tiktok", "cats", "hashtag")),
        ("https://www.youtube.com/@handle", Creator("youtube", "@handle")),
        ("https://www.youtube.com/@handle/shorts", Creator("youtube", "@handle")),
        (
            "https://www.youtube.com/channel/UCK8sQmJBp8GCxrOtXWBpyEA/videos",
            Creator("youtube", "UCK8sQmJBp8GCxrOtXWBpyEA"),
        ),
        ("https://www.youtube.com/c/Name", Creator("youtube", "Name")),
        ("https://www.youtube.com/user/Name", Creator("youtube", "Name")),
        ("https://www.youtube.com/hashtag/cats", Creator("youtube", "cats", "hashtag")),
        ("https://www.instagram.com/nasa/", Creator("instagram", "nasa")),
        ("https://www.instagram.com/nasa?hl=en", Creator("instagram", "nasa")),
        ("https://www.instagram.com/nasa/reels/", Creator("instagram", "nasa")),
        ("https://www.instagram.com/explore/tags/cats/", Creator("instagram", "cats", "hashtag")),
    ],
)
def test_a_profile_or_hashtag_is_a_creator_not_a_post(url, creator):
    assert recognise(url) == creator


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("https://www.youtube.com/playlist?list=PLBB231211A4F62143", "a playlist"),
        ("https://www.youtube.com/embed/videoseries?list=PLBB231211A4F62143", "a playlist"),
        ("https://www.youtube.com/results?search_query=cats", "a search"),
        ("https://www.youtube.com/watch?v=tooshort", "a cut-off address"),
        ("https://www.youtube.com/", "a page"),
        ("https://studio.youtube.com/video/BaW_jenozKc/edit", "a page"),
        ("https://www.tiktok.com/@u/playlist/name-7303390000000000000", "a playlist"),
        ("https://www.tiktok.com/music/some-sound-7303390000000000000", "a sound"),
        ("https://www.tiktok.com/@u/live", "a live stream"),
        ("https://m.tiktok.com/share/live/7303390000000000000/?language=en", "a live stream"),
        ("https://www.tiktok.com/foryou", "a page"),
        ("https://www.instagram.com/stories/u/123/", "a story"),
        ("https://www.instagram.com/explore/", "a page"),
        ("https://www.instagram.com/accounts/login/", "a page"),
        ("https://www.instagram.com/reels/", "a page"),
        ("https://www.instagram.com/privacy", "a page"),
    ],
)
def test_other_pages_of_a_platform_are_no_posts(url, what):
    found = recognise(url)
    assert isinstance(found, NoPost)
    assert found.what == what


@pytest.mark.parametrize(
    ("url", "platform"),
    [
        ("https://vm.tiktok.com/ZMabc123/", "tiktok"),
        ("https://vt.tiktok.com/ZSabc123", "tiktok"),
        ("https://www.tiktok.com/t/ZTabc123/", "tiktok"),
        ("https://tiktok.com/t/ZTabc123/", "tiktok"),
        ("https://www.youtube.com/clip/UgytZKpehg-hEMBSn3F4AaABCQ", "youtube"),
        ("https://www.youtube.com/attribution_link?a=x&u=%2Fwatch%3Fv%3DBaW_jenozKc", "youtube"),
        ("https://www.instagram.com/share/reel/BAabc", "instagram"),
    ],
)
def test_a_short_address_needs_the_network(url, platform):
    assert recognise(url) == NeedsNetwork(platform)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://vimeo.com/76979871", "Vimeo"),
        ("https://www.facebook.com/watch?v=10153231379946729", "Facebook"),
        ("https://www.douyin.com/video/6961737553342991651", "Douyin"),
        ("https://invidious.xyz/watch?v=BaW_jenozKc", "invidious.xyz, a mirror of YouTube"),
    ],
)
def test_a_post_of_another_platform_is_named_as_such(url, name):
    assert recognise(url) == OtherPlatform(name)


@pytest.mark.parametrize(
    "url",
    [
        "https://cdn.example.com/beach.mp4",
        "https://vimeo.com/downloads/beach.MP4?token=1",
        "https://example.com/video?id=7",
        "https://v16-webapp.tiktok.com/video/tos/useast2a/clip/?mime_type=video_mp4",
        "https://notyoutube.com/watch?v=BaW_jenozKc",
        "https://youtube.com.example.org/watch?v=BaW_jenozKc",
        "http://[broken",
        "ftp://www.youtube.com/watch?v=BaW_jenozKc",
        "",
    ],
)
def test_anything_else_is_a_plain_link(url):
    assert recognise(url) is None


def _tests_of_yt_dlp(*names: str) -> Iterator[str]:
    """The addresses yt-dlp tests its own extractors of the three platforms with."""
    import yt_dlp.extractor.instagram
    import yt_dlp.extractor.tiktok
    import yt_dlp.extractor.youtube

    for module in (yt_dlp.extractor.tiktok, yt_dlp.extractor.youtube, yt_dlp.extractor.instagram):
        for name in dir(module):
            if name.endswith("IE") and (not names or name in names):
                yield from (test["url"] for test in getattr(module, name).get_testcases(include_onlymatching=True))


def _as_yt_dlp_says(url: str) -> tuple[str, str]:
    """Independent of ours: every extractor asked, in yt-dlp's order."""
    from yt_dlp.extractor import gen_extractor_classes

    taker = next(extractor for extractor in gen_extractor_classes() if extractor.suitable(url))
    return taker.ie_key(), taker.get_temp_id(url)


def _on_a_platform(url: str) -> bool:
    return url.startswith("http") and platform_of_host(urlsplit(url).hostname or "") is not None


def _single_posts() -> list[str]:
    return sorted({url for url in _tests_of_yt_dlp("TikTokIE", "YoutubeIE", "InstagramIE") if _on_a_platform(url)})


def test_every_post_in_the_tests_of_yt_dlp_has_the_id_that_yt_dlp_reads():
    posts = _single_posts()
    assert len(posts) > 60  # else yt-dlp moved its tests, and this one proves nothing
    wrong = []
    for url in posts:
        taker, expected = _as_yt_dlp_says(url)
        found = recognise(url)
        if found != Post(taker.lower(), expected):
            wrong.append((url, taker, expected, found))
    assert wrong == []


#: yt-dlp takes an address with a video and a list for the list; for us it is the video it opens with.
_VIDEO_IN_A_LIST = re.compile(r"(?:\bv=|youtu\.be/|/embed/(?!videoseries)).*list=|list=.*\bv=")


def test_no_other_page_in_the_tests_of_yt_dlp_passes_as_a_post():
    wrong = []
    for url in sorted({url for url in _tests_of_yt_dlp() if _on_a_platform(url)}):
        taker, _ = _as_yt_dlp_says(url)
        is_post = taker in ("TikTok", "Youtube", "Instagram") or _VIDEO_IN_A_LIST.search(url) is not None
        if isinstance(recognise(url), Post) != is_post:
            wrong.append((url, taker, recognise(url)))
    assert wrong == []


def test_mirrors_in_the_tests_of_yt_dlp_are_no_posts():
    elsewhere = {url for url in _tests_of_yt_dlp() if url.startswith("http") and not _on_a_platform(url)}
    assert elsewhere
    assert [url for url in elsewhere if not isinstance(recognise(url), OtherPlatform)] == []


def test_importing_ours_does_not_import_yt_dlp():
    code = (
        "import sys; from ingest.sources import posts, resolve;"
        "posts.recognise('https://example.com/a.mp4'); sys.exit('yt_dlp' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_ten_thousand_addresses_are_recognised_in_a_few_seconds():
    recognise("https://example.com/warm/up")
    recognise("https://youtu.be/BaW_jenozKc")
    urls = [
        address
        for number in range(2500)
        for address in (
            f"https://www.youtube.com/watch?v=BaW_jen{number:04}&list=PLBB231211A4F62143",
            f"https://www.tiktok.com/@some.one/video/{number}",
            f"https://www.instagram.com/reel/{number}/",
            f"https://cdn.example.com/{number}.mp4",
        )
    ]
    began = time.process_time()
    for url in urls:
        recognise(url)
    assert time.process_time() - began < 3  # 0.2 s on two slow cores; asking every extractor takes 30 s
