import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.clock import iso, minted_ms, now_ms

_EPOCH_MS = 1_609_459_200_000  # contract A.6


def test_now_is_in_milliseconds():
    before = time.time()
    now = now_ms()
    assert before - 0.002 <= now / 1000 <= time.time() + 0.002


def test_a_time_is_shown_in_utc():
    assert iso(1_760_000_001_234) == "2025-10-09T08:53:21Z"
    assert iso(None) is None


@pytest.mark.parametrize(
    ("video_no", "create_time"),
    [
        # Pairs of the payloads: an id and the time its video says it was made.
        ("VI631413884779040768", 1_760_000_001_234),
        ("VI631414136437280769", 1_760_000_061_234),
        ("VI631414406735007746", 1_760_000_125_678),
        ("PI-631415139807039488", 1_760_000_300_456),
    ],
)
def test_an_id_tells_when_it_was_minted(video_no, create_time):
    assert minted_ms(video_no) == pytest.approx(create_time, abs=60)


@pytest.mark.parametrize(
    "video_no", ["", "VI", "mavi_video_631413884779040768", "VEI631413884779040768", "VI63141388477904"]
)
def test_an_id_of_another_shape_tells_nothing(video_no):
    assert minted_ms(video_no) is None


@given(st.sampled_from(["VI", "PI-"]), st.integers(10**17, 10**18 - 1))
def test_an_id_tells_the_millisecond(prefix, number):
    assert minted_ms(f"{prefix}{number}") == _EPOCH_MS + number // 2**22


@given(
    st.sampled_from(["", "VI", "PI-", "VI-"]),
    st.text(min_size=18, max_size=18) | st.text(alphabet="0²٣a", min_size=18, max_size=18),
)
def test_no_id_is_too_strange(prefix, rest):
    minted = minted_ms(prefix + rest)
    assert minted is None or minted >= _EPOCH_MS
