"""What an error of yt-dlp says about a profile."""

import io
from typing import Any, get_args

import pytest
from yt_dlp.networking import Response
from yt_dlp.networking.exceptions import HTTPError, IncompleteRead, ProxyError, TransportError
from yt_dlp.utils import ExtractorError, GeoRestrictedError, UnsupportedError, UserNotLive

from ingest.sources import profiles
from ingest.troubles import Kind, Trouble, kind_of, trouble_of

TIKTOK: Any = profiles.recognise("https://www.tiktok.com/@private.geo")
YOUTUBE: Any = profiles.recognise("https://www.youtube.com/@someone")


def _said(text: str) -> ExtractorError:
    return ExtractorError(text, expected=True)


def _failed(cause: Exception) -> ExtractorError:
    return ExtractorError(f"Unable to download API page: {cause}", expected=True, cause=cause)


def _status(status: int) -> ExtractorError:
    return _failed(HTTPError(Response(io.BytesIO(), "https://example.com/", {}, status=status)))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("private", "This user's account is private. Log into an account that has access"),
        ("private", "This user's account is likely either private or all of their videos are private"),
        ("private", "YouTube said: This playlist is private."),
        ("removed", "YouTube said: The playlist does not exist."),
        ("removed", "The channel/playlist does not exist and the URL redirected to youtube.com home page"),
        ("removed", "YouTube said: This account has been terminated because it is linked to a terminated account."),
        ("removed", "YouTube said: This channel is not available."),
        ("geo", "YouTube said: This channel is not available in your country."),
        ("members", "Join this channel to get access to members-only content like this video"),
        ("age", "Sign in to confirm your age. This video may be inappropriate for some users."),
        ("age", "This post may not be comfortable for some audiences. Log in for access"),
        ("login", "TikTok is requiring login for access to this content"),
        ("login", "You need to log in to access this content"),
        ("temporary", "Sign in to confirm you’re not a bot"),
        ("temporary", "Your IP address is blocked from accessing this post"),
        ("temporary", "Requested content is not available, rate-limit reached or login required"),
        ("temporary", "TikTok API keeps sending the same page. Taking measures to avoid an infinite loop"),
        ("temporary", "Incomplete data received"),
        ("temporary", "Failed to resolve url (does the playlist exist?)"),
        ("temporary", "Unable to recognize tab page"),
    ],
)
def test_texts_of_the_extractors_and_of_the_platforms(kind: Kind, said: str) -> None:
    assert kind_of(said) == kind
    assert trouble_of(_said(said), YOUTUBE).kind == kind


def test_errors_that_have_a_class() -> None:
    assert trouble_of(GeoRestrictedError("not here"), YOUTUBE).kind == "geo"
    assert trouble_of(UnsupportedError("https://example.com/"), YOUTUBE).kind == "unsupported"
    assert trouble_of(UserNotLive(video_id="someone"), YOUTUBE).kind == "temporary"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (404, "removed"),
        (410, "removed"),
        (451, "geo"),
        *((each, "temporary") for each in (400, 401, 403, 429, 500, 503)),
    ],
)
def test_statuses(status: int, kind: str) -> None:
    assert trouble_of(_status(status), YOUTUBE).kind == kind


def test_a_404_says_that_a_channel_is_gone_only_if_nothing_of_it_was_seen() -> None:
    assert trouble_of(_status(404), YOUTUBE, began=True).kind == "temporary"
    assert trouble_of(_status(404), TIKTOK).kind == "temporary"


@pytest.mark.parametrize(
    "cause",
    [TransportError("reset"), TransportError(cause=TimeoutError("timed out")), ProxyError("no"), IncompleteRead(3)],
)
def test_a_network_that_fails_is_temporary(cause: Exception) -> None:
    trouble = trouble_of(_failed(cause), TIKTOK)
    assert trouble.kind == "temporary"
    assert "the network failed" in str(trouble)


@pytest.mark.parametrize(
    "error", [KeyError("itemList"), TypeError("private"), ExtractorError("@private.geo: Failed to parse JSON")]
)
def test_a_page_that_is_not_understood_says_nothing_about_the_profile(error: Exception) -> None:
    assert trouble_of(error, TIKTOK).kind == "temporary"


def test_only_what_is_temporary_is_worth_another_try_soon() -> None:
    assert [kind for kind in get_args(Kind) if not Trouble(kind, "").permanent] == ["temporary"]


def test_a_sentence_has_no_hints_for_users_of_yt_dlp() -> None:
    said = "You need to log in. Use --cookies-from-browser or --cookies for the authentication. See  https://github.com"
    assert str(trouble_of(_said(said), TIKTOK)) == (
        "@private.geo on TikTok is shown only to people who are logged in: You need to log in."
    )


def test_a_sentence_stays_on_one_line_and_short() -> None:
    sentence = str(trouble_of(_said("a\n\x1b[31m red " + "x" * 1000), TIKTOK))
    assert sentence.isprintable()
    assert len(sentence) < 400


def test_a_sentence_names_the_call_that_failed_before() -> None:
    before = [
        "no impersonate target is available",
        "Unable to download user webpage: HTTP Error 429",
        "either private or",
    ]
    trouble = trouble_of(_said("Unable to extract secondary user ID. If you are able to get it"), TIKTOK, before=before)
    assert trouble.kind == "temporary"
    assert str(trouble).endswith(
        "Unable to extract secondary user ID (before that: Unable to download user webpage: HTTP Error 429)."
    )
