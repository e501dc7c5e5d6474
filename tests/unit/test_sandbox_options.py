"""The stand-in's command line."""

import pytest

from sandbox.accidents import AFTER, BEFORE
from sandbox.faults import CALL, FAULTS, TAKING_CALL, Faults, those_of
from sandbox.limits import Limit
from sandbox.options import Options, Span, parse_options
from sandbox.vendor import Vendor


def test_without_options_the_defaults_hold():
    assert parse_options([]) == Options()


def test_options_are_read():
    keys = ["--key", "a", "--key", "b"]
    times = ["--answer", "0", "--parse", "1-2.5"]
    options = parse_options(["--port", "0", "--limits", "upload=20/s", *keys, *times, "--codecs", "h264,H265"])
    assert (options.port, options.limits["upload"], options.keys) == (0, Limit(20, 1), {"a", "b"})
    assert (options.answer, options.parse) == (Span(0, 0), Span(1, 2.5))
    assert options.codecs == ("h264", "hevc")


def test_options_of_captions_are_read():
    keys = ["--key", "a", "--caption-key", "b", "--caption-key", "a"]
    conditions = ["--caption", "0.5-2", "--caption-seconds", "1-60", "--caption-megabytes", "8000", "--k4-response"]
    options = parse_options([*keys, *conditions])
    assert (options.keys, options.caption_keys) == ({"a"}, {"a", "b"})
    assert (options.caption, options.caption_seconds) == (Span(0.5, 2), Span(1, 60))
    assert (options.caption_megabytes, options.k4_response) == (8000, True)


def test_counters_move_with_each_scrape_unless_the_other_reading_is_asked_for():
    assert [parse_options(given).live_counters for given in ([], ["--live-counters"])] == [False, True]


def test_faults_and_what_belongs_to_them_are_read():
    times = ["--slow", "2", "--spell", "0.5-1", "--callback-delay", "3", "--list-lag", "0-2"]
    options = parse_options(["--faults", "drop_answer=0.25, stuck=1", "--credit", "7", "--name-shape", "mixed", *times])
    assert options.faults == {"drop_answer": 0.25, "stuck": 1}
    assert (options.slow, options.spell, options.callback_delay) == (2, Span(0.5, 1), Span(3, 3))
    assert (options.list_lag, options.credit, options.name_shape) == (Span(0, 2), 7, "mixed")


@pytest.mark.parametrize(
    "wrong",
    [
        "--limits uplod=1/s",
        "--limits upload=1/x",
        "--port x",
        "--port 65536",
        "--answer 3-1",
        "--parse -1",
        "--list-lag soon",
        "--name-shape round",
        "--codecs ,",
        "--no-such-option",
        "--faults drop_anser=1",
        "--faults drop_answer=1.5",
        "--faults drop_answer=-1",
        "--faults drop_answer=nan",
        "--faults drop_answer=often",
        "--faults drop_answer",
        "--slow long",
        "--spell 3-1",
        "--callback-delay x",
        "--credit -1",
        "--credit 1.5",
        "--caption soon",
        "--caption-seconds 300-20",
        "--caption-megabytes 0",
        "--caption-megabytes 1.5",
    ],
)
def test_a_wrong_option_ends_with_code_2_and_one_sentence(wrong, capsys):
    with pytest.raises(SystemExit) as ended:
        parse_options(wrong.split())
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("sandbox: ")
    assert said.err.count("\n") == 1 and said.err.endswith(".\n")


def test_a_wrong_fault_is_told_which_names_there_are(capsys):
    with pytest.raises(SystemExit):
        parse_options(["--faults", "drop_anser=1"])
    said = capsys.readouterr().err
    assert "'drop_anser=1' is no fault" in said
    assert all(name in said for name in FAULTS)


def test_the_faults_can_be_asked_for(capsys):
    with pytest.raises(SystemExit) as ended:
        parse_options(["--faults", "help"])
    assert ended.value.code == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(FAULTS)


def test_every_fault_of_a_call_is_seen_by_its_caller():
    assert {*BEFORE, *AFTER, "slow", "spell"} == set(those_of(CALL, TAKING_CALL))


def test_a_fault_decides_alike_whatever_the_others_do():
    def decided(seed: int | None, **others: float) -> list[bool]:
        faults = Faults({"network": 0.5, **others}, seed)
        return [faults.draw(("http_500", "network", "slow")) == "network" for _ in range(50)]

    alone = decided(3)
    assert alone == decided(3) == decided(3, slow=0.5)
    assert alone != decided(4)
    assert decided(None) != decided(None)
    http_500_comes_first = decided(3, http_500=0.5)
    assert all(before or not after for before, after in zip(alone, http_500_comes_first, strict=True))


def test_a_seed_makes_the_times_repeatable():
    one, two, other = (Vendor(Options(seed=seed)) for seed in (5, 5, 6))

    def drawn(vendor: Vendor) -> list[float]:
        return [vendor.draw(Span(0.05, 0.2)) for _ in range(5)]

    times = drawn(one)
    assert times == drawn(two) != drawn(other)
    assert all(0.05 <= seconds <= 0.2 for seconds in times)
