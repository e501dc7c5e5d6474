"""Names and texts of the operator's tokens."""

import pytest

from ingest import access


@pytest.mark.parametrize("name", ["a", "grafana", "7", "me@host", "a.b_c-d", "a" * 64])
def test_a_name_is_kept_as_it_is(name: str) -> None:
    assert access.check_name(name) == name


@pytest.mark.parametrize("name", ["", " ", "no blanks", "-x", ".x", "ü", "a" * 65, "a\n", "a\x00", "../a", "<b>"])
def test_what_would_be_no_name_is_said_in_a_sentence(name: str) -> None:
    with pytest.raises(ValueError, match="no name of a token"):
        access.check_name(name)


def test_what_a_token_says_is_read_back() -> None:
    secret = access.new_secret()
    assert access.parse(access.format_token(7, secret)) == (7, secret)
    assert access.is_right(secret, access.digest(secret)) and not access.is_right(secret, access.digest(secret + "x"))


@pytest.mark.parametrize(
    "text", ["", "ingest", "ingest-0-abcd", "ingest-01-abcd", "ingest-1-", "ingest-1-a b", "ingest-1-abc\n"]
)
def test_what_is_no_token_is_not_looked_up(text: str) -> None:
    assert access.parse(text) is None


def test_numbers_beyond_what_a_database_holds_are_no_tokens() -> None:
    assert access.parse(f"ingest-{10**9}-abcd") is None
