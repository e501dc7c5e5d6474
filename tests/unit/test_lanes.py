import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.lanes import (
    ALSO,
    CAPTION_LANES,
    DEFAULT_LIMITS,
    SENDING_LANES,
    Lane,
    Limit,
    limits_in_force,
    parse_limits,
)


def test_every_lane_has_a_limit():
    assert set(DEFAULT_LIMITS) == set(Lane)


@pytest.mark.parametrize(
    ("lane", "rate"),
    [
        (Lane.UPLOAD, "1/s"),
        (Lane.SCRAPE, "1/min"),
        (Lane.LIST, "5/s"),
        (Lane.DELETE, "5/s"),
        (Lane.DOWNLOAD, "12/min"),
        (Lane.TRANSCRIPTION, "5/s"),
        (Lane.SEARCH, "10/s"),
        (Lane.CHAT, "1/s"),
        (Lane.CAPTION_VIDEO, "1/s"),
        (Lane.CAPTION_IMAGE, "5/s"),
        (Lane.HUMAN_REID, "1/s"),
    ],
)
def test_the_defaults_are_the_vendors_table(lane, rate):
    assert str(DEFAULT_LIMITS[lane]) == rate


@pytest.mark.parametrize("lane", [Lane.IMAGE, Lane.TASK_STATUS, Lane.DETAIL])
def test_a_call_without_a_documented_limit_gets_one_a_second(lane):
    assert DEFAULT_LIMITS[lane] == Limit(1, 1)


def test_what_changes_something_is_sent_on_its_own_lanes():
    assert set(SENDING_LANES) == {Lane.UPLOAD, Lane.SCRAPE, Lane.IMAGE} | CAPTION_LANES


def test_a_call_with_persons_counts_against_the_lane_of_captions_too():
    assert dict(ALSO) == {Lane.HUMAN_REID: (Lane.CAPTION_VIDEO,)}


@pytest.mark.parametrize(
    ("rate", "interval"),
    [("1/s", 1), ("20/s", 0.05), ("1/2min", 120), ("12/min", 5), ("6/h", 600), ("1/d", 86400), (" 3 / 6 s ", 2)],
)
def test_a_rate_is_calls_per_window(rate, interval):
    limit = parse_limits(f"upload={rate}")[Lane.UPLOAD]
    assert limit is not None
    assert limit.interval == pytest.approx(interval)


def test_several_lanes_are_separated_by_commas():
    assert parse_limits("upload=2/s, scrape = 1/30s,,") == {Lane.UPLOAD: Limit(2, 1), Lane.SCRAPE: Limit(1, 30)}


def test_nothing_given_overrides_nothing():
    assert parse_limits("") == {}
    assert limits_in_force({}) == dict(DEFAULT_LIMITS)


def test_an_override_leaves_the_other_lanes_alone():
    in_force = limits_in_force(parse_limits("upload=3/s"))
    assert in_force[Lane.UPLOAD] == Limit(3, 1)
    assert {**in_force, Lane.UPLOAD: DEFAULT_LIMITS[Lane.UPLOAD]} == dict(DEFAULT_LIMITS)


def test_off_means_no_limit():
    assert limits_in_force(parse_limits("upload=off"))[Lane.UPLOAD] is None


def test_an_unknown_lane_is_named_with_the_lanes_there_are():
    with pytest.raises(ValueError, match="'uplaod' is no lane; the lanes are upload, scrape, ") as error:
        parse_limits("scrape=1/s,uplaod=1/s")
    assert all(lane in str(error.value) for lane in Lane)


@pytest.mark.parametrize(
    "part",
    ["upload", "upload=", "upload=1", "upload=0/s", "upload=1/0s", "upload=-1/s", "upload=1.5/s", "upload=1/week"],
)
def test_what_is_no_rate_is_named_with_an_example(part):
    with pytest.raises(ValueError, match="is no limit; write LANE=N/") as error:
        parse_limits(part)
    assert f"'{part}'" in str(error.value)


_LIMITS = st.builds(Limit, st.integers(1, 10_000), st.integers(1, 10_000_000))


@given(st.sampled_from(Lane), _LIMITS)
def test_a_limit_reads_as_it_is_written(lane, limit):
    assert parse_limits(f"{lane}={limit}") == {lane: limit}


@given(st.text(max_size=40))
def test_a_bad_text_is_a_sentence_and_nothing_else(text):
    try:
        overrides = parse_limits(text)
    except ValueError as error:
        assert " is no " in str(error)
    else:
        assert all(name in Lane for name in overrides)
