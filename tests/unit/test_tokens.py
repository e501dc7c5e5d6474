import re
from itertools import pairwise
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import TimestampSigner

from ingest.tokens import DOORS, MAX_AGE_SECONDS, account_url, callback_url, new_short_id, sign, verify
from ingest.upstream.client import CALLBACK_LIMIT

SECRET = "a secret of this installation"
SHORT_ID = "k3f9x2m7qa"
_DAY = 24 * 3600


def at(seconds: float):
    """As if the clock stood there."""
    return mock.patch.object(TimestampSigner, "get_timestamp", lambda _self: int(seconds))


@pytest.mark.parametrize("door", DOORS)
def test_a_token_names_its_submission(door):
    assert verify(SECRET, door, sign(SECRET, door, SHORT_ID)) == SHORT_ID


@pytest.mark.parametrize("door", DOORS)
def test_a_token_opens_its_own_door_alone(door):
    token = sign(SECRET, door, SHORT_ID)
    assert [other for other in DOORS if verify(SECRET, other, token)] == [door]


def test_a_token_of_another_installation_is_not_ours():
    assert verify(SECRET, "upload", sign("another secret", "upload", SHORT_ID)) is None


def test_a_token_cannot_be_bent_to_another_submission():
    _, time, signature = sign(SECRET, "upload", SHORT_ID).split(".")
    assert verify(SECRET, "upload", f"aaaaaaaaaa.{time}.{signature}") is None


def test_a_token_cannot_be_made_younger():
    with at(0):
        short_id, _, signature = sign(SECRET, "upload", SHORT_ID).split(".")
    with at(90 * _DAY):
        _, now, _ = sign(SECRET, "upload", SHORT_ID).split(".")
        assert verify(SECRET, "upload", f"{short_id}.{now}.{signature}") is None


@given(st.integers(0, 60), st.characters(exclude_categories=["Cs"]))
def test_one_changed_character_makes_it_worthless(position, character):
    token = sign(SECRET, "upload", SHORT_ID)
    bent = token[:position] + character + token[position + 1 :]
    # The last letter of a base64 text carries bits that mean nothing; everything before it counts.
    if bent[:-1] != token[:-1]:
        assert verify(SECRET, "upload", bent) is None


@given(st.text(max_size=80))
def test_a_text_of_anybody_is_no_token(text):
    assert verify(SECRET, "upload", text) is None


def test_a_token_is_good_for_sixty_days():
    assert MAX_AGE_SECONDS == 60 * _DAY
    with at(1_760_000_000):
        token = sign(SECRET, "upload", SHORT_ID)
    with at(1_760_000_000 + 60 * _DAY):
        assert verify(SECRET, "upload", token) == SHORT_ID
    with at(1_760_000_000 + 60 * _DAY + 1):
        assert verify(SECRET, "upload", token) is None


def test_the_address_registered_once_with_the_key_does_not_age():
    with at(1_760_000_000):
        url = account_url("https://me.example.com", SECRET)
    start, _, token = url.rpartition("/")
    assert start == "https://me.example.com/webhooks/account"
    with at(1_760_000_000 + 4000 * _DAY):
        assert verify(SECRET, "account", token) == "account"
        assert verify("another secret", "account", token) is None
        assert [door for door in DOORS if verify(SECRET, door, token)] == []


@pytest.mark.parametrize("door", DOORS)
def test_the_token_of_a_submission_does_not_open_the_door_of_the_account(door):
    assert verify(SECRET, "account", sign(SECRET, door, SHORT_ID)) is None


def test_a_short_id_is_ten_letters_of_lower_case_base32():
    assert all(re.fullmatch("[a-z2-7]{10}", new_short_id()) for _ in range(200))


def test_no_two_short_ids_are_alike():
    made = sorted(new_short_id() for _ in range(2000))
    assert all(one != other for one, other in pairwise(made))


def test_a_callback_address_ends_in_the_token_of_its_door():
    url = callback_url("https://me.example.com/in", SECRET, "scraper", SHORT_ID)
    assert url is not None
    start, _, token = url.rpartition("/")
    assert start == "https://me.example.com/in/webhooks/scraper"
    assert verify(SECRET, "scraper", token) == SHORT_ID


def test_a_callback_address_fits_and_needs_no_escaping():
    url = callback_url("https://" + "a" * 150 + ".example.com", SECRET, "scraper", SHORT_ID)
    assert url is not None
    assert len(url) <= CALLBACK_LIMIT
    assert re.fullmatch(r"https://[\w./-]+", url)


def test_without_a_public_address_nobody_can_call_back():
    assert callback_url("", SECRET, "upload", SHORT_ID) is None
