from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.sources.found import NO_OPTIONS, Found, Kind, Options
from ingest.sources.options import BadOptions, read_options

_TEXTS = st.text(min_size=1, max_size=5)
_OPTIONS = st.builds(
    lambda place, **rest: Options(latitude=place[0], longitude=place[1], **rest),
    st.just((None, None)) | st.tuples(st.floats(-90, 90), st.floats(-180, 180)),
    unique_id=st.none() | _TEXTS,
    library=st.none() | st.sampled_from(["private", "public"]),
    quality=st.none() | st.sampled_from([360, 1080]),
    tags=st.lists(_TEXTS, max_size=3).map(tuple),
    datetime_taken=st.none() | st.just("2026-07-01 14:30:00"),
    camera_model=st.none() | _TEXTS,
    title=st.none() | _TEXTS,
)


def _problem(**values: object) -> str:
    with pytest.raises(BadOptions) as caught:
        read_options(values)
    [problem] = caught.value.problems
    assert problem.endswith(".")
    return problem


def test_an_item_has_no_options_until_somebody_gives_some():
    assert Found(Kind.FILE, "/a.mp4").options == Options() == NO_OPTIONS


@given(_OPTIONS, _OPTIONS)
def test_what_the_row_says_wins_and_the_command_line_fills_the_rest(line, row):
    merged = line.merged(row)
    for name in Options.__dataclass_fields__:
        said = getattr(row, name)
        assert getattr(merged, name) == (getattr(line, name) if said in (None, ()) else said)


@given(_OPTIONS)
def test_merging_with_nothing_changes_nothing(options):
    assert options.merged(NO_OPTIONS) == NO_OPTIONS.merged(options) == options.merged(options) == options


def test_every_option_is_read_from_text():
    assert read_options(
        {
            "unique_id": " anna ",
            "library": "Public",
            "quality": "1080",
            "tags": "sea; summer holiday ;;sea",
            "datetime_taken": "2026-07-01 14:30:00",
            "camera_model": "Canon EOS R5",
            "latitude": "-48.5",
            "longitude": "+1e2",
            "title": "The\r\n  beach",
        }
    ) == Options(
        unique_id="anna",
        library="public",
        quality=1080,
        tags=("sea", "summer holiday"),
        datetime_taken="2026-07-01 14:30:00",
        camera_model="Canon EOS R5",
        latitude=-48.5,
        longitude=100.0,
        title="The beach",
    )


def test_numbers_and_lists_are_taken_as_json_has_them():
    read = read_options({"quality": 720, "tags": ["a;b", "c"], "latitude": 1, "longitude": 2.5, "title": None})
    assert read == Options(quality=720, tags=("a;b", "c"), latitude=1.0, longitude=2.5)


def test_an_empty_value_is_no_value():
    names = ("library", "quality", "tags", "datetime_taken", "camera_model", "latitude", "longitude", "title")
    assert read_options(dict.fromkeys(names, " ")) == read_options({"tags": []}) == NO_OPTIONS


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("2026-07-01", "2026-07-01 00:00:00"),
        ("20260701", "2026-07-01 00:00:00"),
        ("2026-07-01T14:30", "2026-07-01 14:30:00"),
        ("2026-07-01T14:30:59.999", "2026-07-01 14:30:59"),
        ("2026-07-01T14:30:00Z", "2026-07-01 14:30:00"),
        ("2026-07-01T14:30:00+02:00", "2026-07-01 12:30:00"),
        ("2026-07-01 23:30:00-0100", "2026-07-02 00:30:00"),
        ("20260701T143000+02", "2026-07-01 12:30:00"),
        ("0900-01-01", "0900-01-01 00:00:00"),
    ],
)
def test_a_time_is_written_as_the_vendor_wants_it_and_in_utc_when_it_names_a_zone(given, taken):
    assert read_options({"datetime_taken": given}).datetime_taken == taken


@given(st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1), timezones=st.timezones()))
def test_any_time_in_any_zone_is_the_same_moment_in_utc(taken):
    read = read_options({"datetime_taken": taken.isoformat()}).datetime_taken
    assert read is not None
    again = datetime.fromisoformat(read).replace(tzinfo=UTC)
    # The offset of a zone before 1900 may hold seconds: isoformat writes them.
    assert again == taken.astimezone(UTC).replace(microsecond=0)


@pytest.mark.parametrize(
    "time",
    [
        *("yesterday", "2026-02-30", "2026-07-01x14:30", "01.07.2026", "2026:07:01 14:30:00", "1782916200"),
        *("2026-07-01 25:00", "2026-07-01T", "0001-01-01T00:00+14:00", "９９９９-01-01", "2026-07-01 14:30 CEST"),
    ],
)
def test_what_is_no_time_is_told_with_an_example(time):
    problem = _problem(datetime_taken=time)
    assert problem.startswith(f"datetime_taken is '{time}'") and "2026-07-01T14:30:00+02:00" in problem


@pytest.mark.parametrize("quality", ["700", "720p", "-720", "", 0, 720.5, True, "7" * 9000, [720], "７２０", "240"])
def test_a_quality_is_one_of_the_vendors_ladder(quality):
    if quality == "":
        assert read_options({"quality": quality}).quality is None
    else:
        assert "360, 480, 720, 1080, 1440, 2160" in _problem(quality=quality)


def test_a_table_with_gaps_writes_whole_numbers_with_a_point():
    assert read_options({"quality": "720.0"}).quality == read_options({"quality": 720.0}).quality == 720


def test_twenty_tags_are_taken_and_one_more_is_not():
    assert len(read_options({"tags": [str(i) for i in range(20)]}).tags) == 20
    assert "tags holds 21" in _problem(tags=";".join(str(i) for i in range(21)))


@pytest.mark.parametrize(("name", "other"), [("latitude", "longitude"), ("longitude", "latitude")])
def test_half_a_place_is_no_place(name, other):
    assert _problem(**{name: "12"}) == f"{name} is given without {other}; give both or neither."


@pytest.mark.parametrize(
    "value",
    [
        "nan",
        float("nan"),
        "inf",
        float("-inf"),
        "91",
        -90.0001,
        10**400,
        "1e400",
        "48,5",
        "1_0",
        "N48",
        "٤٨",
        True,
        [1],
    ],
)
def test_a_place_out_of_range_or_no_number_is_told(value):
    assert _problem(latitude=value, longitude="1").startswith("latitude is ")


@given(st.floats(-90, 90), st.floats(-180, 180))
def test_every_place_on_earth_is_taken_exactly(latitude, longitude):
    read = read_options({"latitude": repr(latitude), "longitude": longitude})
    assert (read.latitude, read.longitude) == (latitude, longitude)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"unique_id": ""}, "unique_id is empty"),
        ({"unique_id": " \t"}, "unique_id is empty"),
        ({"unique_id": 7}, "unique_id is 7, but must be a text"),
        ({"unique_id": "a\nb"}, "control characters"),
        ({"unique_id": "\ud800"}, "not valid UTF-8"),
        ({"library": "shared"}, "private or public"),
        ({"camera_model": "x" * 201}, "has 201 characters"),
        ({"camera_model": "\0"}, "control characters"),
        ({"title": {"en": "Beach"}}, "title is {'en': 'Beach'}"),
        ({"tags": 5}, "tags is 5"),
        ({"tags": ["a", 5]}, "tags is 5"),
        ({"colour": "red"}, "unknown column 'colour'; the right ones are source, unique_id, library, quality"),
    ],
)
def test_a_bad_option_gets_one_sentence_that_names_it(values, words):
    assert words in _problem(**values)


def test_a_camera_of_200_characters_is_taken():
    assert read_options({"camera_model": "é" * 200}).camera_model == "é" * 200


def test_all_problems_are_told_at_once():
    with pytest.raises(BadOptions) as caught:
        read_options({"quality": "1", "tags": 5, "latitude": "x", "foo": 1, "bar": 2, "title": "fine"})
    starts = [problem.split(" ")[0] for problem in caught.value.problems]
    # A longitude is missing as well.
    assert starts == ["unknown", "quality", "tags", "latitude", "latitude"]
    assert str(caught.value) == " ".join(caught.value.problems)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(list(Options.__dataclass_fields__)) | st.text(), _JSON))
def test_whatever_is_given_is_read_or_told_in_sentences_that_can_be_printed(values):
    try:
        options = read_options(values)
    except BadOptions as bad:
        assert bad.problems
        for problem in bad.problems:
            problem.encode()
            assert "\n" not in problem and len(problem) < 2_000
    else:
        assert (options.latitude is None) == (options.longitude is None)
        assert options.unique_id is None or options.unique_id
