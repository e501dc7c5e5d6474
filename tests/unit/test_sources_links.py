import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.sources.links import is_direct, normalise, problem_of

_PIECES = st.text("abzAZ09-._~%/?#[]@!$&'()*+,;=: éß\udcff\n2Ee", max_size=30)


@pytest.mark.parametrize(
    ("given_url", "expected"),
    [
        ("HTTP://Example.COM/Clip.MP4", "http://example.com/Clip.MP4"),
        ("https://example.com:443/a", "https://example.com/a"),
        ("http://example.com:80", "http://example.com/"),
        ("http://example.com:443/a", "http://example.com:443/a"),
        ("https://example.com", "https://example.com/"),
        ("https://example.com?b=1", "https://example.com/?b=1"),
        ("https://example.com/a/./b/../c.mp4#t=3", "https://example.com/a/c.mp4"),
        ("https://example.com/../../a", "https://example.com/a"),
        ("https://example.com/a/..", "https://example.com/"),
        ("https://example.com/a/b/..", "https://example.com/a/"),
        ("https://example.com/a//b", "https://example.com/a//b"),
        ("https://example.com/%7eme/%c3%a9", "https://example.com/~me/%C3%A9"),
        ("https://example.com/é", "https://example.com/%C3%A9"),
        ("https://example.com/a%2Fb", "https://example.com/a%2Fb"),
        ("https://example.com/?b=2&a=1&b=1", "https://example.com/?b=2&a=1&b=1"),
        ("https://BÜCHER.example/a", "https://xn--bcher-kva.example/a"),
        ("https://[2001:DB8::1]:8443/a", "https://[2001:db8::1]:8443/a"),
    ],
)
def test_equal_links_have_one_normal_form(given_url, expected):
    assert normalise(given_url) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://example.com/a", "https://example.com/A"),
        ("https://example.com/a", "http://example.com/a"),
        ("https://example.com/a", "https://example.com/a/"),
        ("https://example.com/a?x=1&y=2", "https://example.com/a?y=2&x=1"),
        ("https://example.com/a+b", "https://example.com/a%20b"),
        ("https://example.com/a", "https://www.example.com/a"),
    ],
)
def test_links_that_may_lead_to_two_videos_stay_apart(one, other):
    assert normalise(one) != normalise(other)


@given(st.builds("{}://{}{}".format, st.sampled_from(["http", "HTTPS", "x"]), _PIECES, _PIECES) | st.text())
@example("https://h/%%3441")
@example("https://h/%2e%2E/a")
@example("https://h//..//a")
@example("http://İ.example/")
def test_normalising_twice_changes_nothing_and_nothing_crashes(url):
    assert normalise(normalise(url)) == normalise(url)


@given(_PIECES)
def test_no_odd_address_crashes_the_check(piece):
    sentence = problem_of("https://" + piece)
    assert sentence is None or sentence.encode()


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("https://", "host"),
        ("https:///a.mp4", "host"),
        ("https://?a=1", "host"),
        ("https://example.com/a b.mp4", "white space"),
        ("https://example.com/a\tb", "white space"),
        ("https://example.com:http/a", "well-formed"),
        ("https://[::1/a", "well-formed"),
        ("https://example.com/\udcff", "UTF-8"),
    ],
)
def test_a_broken_address_is_named_with_its_fault(url, word):
    assert word in (problem_of(url) or "")


@pytest.mark.parametrize(
    "url",
    [
        "https://anna:s3cret@example.com/a.mp4",
        "https://s3cret@example.com/",
        "https://a:s3cret@[broken",
        "https://anna:s3c/ret@example.com/",
    ],
)
def test_a_password_in_a_link_is_refused_and_not_repeated(url):
    sentence = problem_of(url)
    assert sentence
    assert "s3c" not in sentence


@pytest.mark.parametrize("url", ["https://example.com/@anna/a.mp4", "http://127.0.0.1:8080/a", "https://ü.example/é"])
def test_a_sound_address_has_no_problem(url):
    assert problem_of(url) is None


@pytest.mark.parametrize(
    ("url", "direct"),
    [
        ("https://example.com/a.mp4", True),
        ("https://example.com/a.MOV?sig=x", True),
        ("https://example.com/a%2Emp4", True),
        ("https://example.com/live.m3u8", True),
        ("https://example.com/?file=a.mp4", False),
        ("https://example.com/a", False),
    ],
)
def test_a_link_is_direct_when_its_path_ends_like_a_video_file(url, direct):
    assert is_direct(url) is direct
