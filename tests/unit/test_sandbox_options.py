"""The stand-in's command line."""

import pytest

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


def test_a_seed_makes_the_times_repeatable():
    one, two, other = (Vendor(Options(seed=seed)) for seed in (5, 5, 6))

    def drawn(vendor: Vendor) -> list[float]:
        return [vendor.draw(Span(0.05, 0.2)) for _ in range(5)]

    times = drawn(one)
    assert times == drawn(two) != drawn(other)
    assert all(0.05 <= seconds <= 0.2 for seconds in times)
