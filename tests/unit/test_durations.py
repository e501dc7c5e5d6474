import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.durations import parse_duration, say_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("90s", 90),
        ("15m", 900),
        ("15min", 900),
        ("2h", 7200),
        ("60d", 5_184_000),
        ("1.5h", 5400),
        (" 3 S ", 3),
        ("45", 45),
        ("0", 0),
    ],
)
def test_people_write_a_number_and_a_unit(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "soon", "-1s", "1w", "1h30m", "1,5h", "h", "1e3s", "inf", "nan"])
def test_anything_else_is_named_with_examples(text):
    with pytest.raises(ValueError, match="is not a duration; write for example 90s, 15m, 2h or 1d"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0.0 s"),
        (0.25, "0.2 s"),
        (1, "1 s"),
        (12, "12 s"),
        (59.7, "1 min"),
        (65, "1 min 5 s"),
        (3600, "1 h"),
        (3905, "1 h 5 min"),
        (90_061, "1 d 1 h"),
    ],
)
def test_a_duration_is_said_in_its_two_largest_units(seconds, said):
    assert say_duration(seconds) == said


@given(st.integers(1, 10**9))
def test_what_is_said_is_less_than_its_smallest_unit_off(seconds):
    said = say_duration(seconds).split()
    words = ["".join(pair) for pair in zip(said[::2], said[1::2], strict=True)]
    read = sum(parse_duration(word) for word in words)
    assert len(words) <= 2
    assert 0 <= seconds - read < parse_duration("1" + said[-1])


@given(st.text(max_size=12))
def test_a_bad_text_is_a_sentence_and_nothing_else(text):
    try:
        assert parse_duration(text) >= 0
    except ValueError as error:
        assert "is not a duration" in str(error)
