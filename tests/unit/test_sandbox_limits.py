"""The stand-in's limits: grammar and the strict sliding window."""

import itertools
import random

import pytest

from sandbox.limits import DEFAULTS, Gate, Limit, parse_limits


def gate(calls: int, window: float) -> Gate:
    return Gate({"upload": Limit(calls, window)})


@pytest.mark.parametrize(
    ("text", "lane", "limit"),
    [
        ("upload=20/s", "upload", Limit(20, 1)),
        ("scrape=1/2s", "scrape", Limit(1, 2)),
        ("scrape=1/2min, list=off", "scrape", Limit(1, 120)),
        ("scrape=1/2min, list=off", "list", None),
        ("delete=3/h", "delete", Limit(3, 3600)),
        ("detail=5/d", "detail", Limit(5, 86400)),
        ("", "scrape", Limit(1, 60)),
    ],
)
def test_an_override_is_read_and_the_rest_keeps_the_seeds_values(text, lane, limit):
    table = parse_limits(text)
    assert table[lane] == limit
    assert table.keys() == DEFAULTS.keys()


@pytest.mark.parametrize("text", ["uplod=1/s", "upload", "upload=", "upload=0/s", "upload=1/0s", "upload=1/week"])
def test_a_limit_that_cannot_be_read_is_refused_in_a_sentence(text):
    with pytest.raises(ValueError, match=r"^'.*\.$"):
        parse_limits(text)


def test_a_call_exactly_one_window_after_the_last_is_accepted():
    strict = gate(1, 1.0)
    assert strict.judge("upload", "k", 10.0) is None
    assert strict.judge("upload", "k", 10.75) == 0.75
    assert strict.judge("upload", "k", 11.0) is None


def test_a_refused_call_does_not_occupy_the_window():
    strict = gate(1, 1.0)
    assert strict.judge("upload", "k", 10.0) is None
    assert strict.judge("upload", "k", 10.9) is not None
    assert strict.judge("upload", "k", 11.0) is None


def test_the_window_slides_instead_of_starting_anew_each_second():
    strict = gate(3, 1.0)
    assert [strict.judge("upload", "k", at) for at in (0.7, 0.8, 0.9)] == [None] * 3
    assert strict.judge("upload", "k", 1.1) == pytest.approx(0.4)
    assert strict.judge("upload", "k", 1.7) is None
    assert strict.judge("upload", "k", 1.75) == pytest.approx(0.95)


def test_a_call_is_judged_by_its_arrival_even_when_later_arrivals_were_judged_before_it():
    strict = gate(1, 1.0)
    assert strict.judge("upload", "k", 10.5) is None
    assert strict.judge("upload", "k", 10.0) == 0.5
    assert strict.judge("upload", "k", 9.5) is None


def test_keys_do_not_share_a_window():
    strict = gate(1, 1.0)
    assert strict.judge("upload", "one", 10.0) is None
    assert strict.judge("upload", "two", 10.0) is None


def test_no_window_ever_holds_more_accepted_calls_than_the_limit():
    rng = random.Random(7)
    strict = gate(3, 1.0)
    arrivals = sorted(rng.uniform(0, 60) for _ in range(2000))
    # judged slightly out of order, as threads do
    judged = sorted(arrivals, key=lambda at: at + rng.uniform(0, 0.05))
    accepted = sorted(at for at in judged if strict.judge("upload", "k", at) is None)
    assert len(accepted) > 100
    assert all(last - first >= 1.0 for first, last in zip(accepted, itertools.islice(accepted, 3, None), strict=False))
