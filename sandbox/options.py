"""The command line of the stand-in. A wrong one ends with exit code 2 and one sentence."""

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn

from sandbox.faults import explain, parse_faults
from sandbox.limits import Limit, parse_limits

#: Codecs the vendor takes (contract A.8); h265 is FFmpeg's hevc.
CODECS = ("h264", "hevc", "vp9")
NAME_SHAPES = ("stem", "mangled", "hex")
MIXED = "mixed"  # each name has one of the shapes


class Span(NamedTuple):
    """Seconds, from and to."""

    low: float
    high: float


ANSWER, PARSE, SCRAPE, CAPTION = Span(0.05, 0.2), Span(1.0, 3.0), Span(1.0, 3.0), Span(1.0, 3.0)
LIST_LAG, SPELL, CALLBACK_DELAY = Span(0.0, 0.0), Span(1.0, 3.0), Span(1.0, 5.0)
#: Longer than a client waits for an answer.
SLOW = 150.0
#: Length and size of a video that is captioned (seed; contract E.2 35).
CAPTION_SECONDS, CAPTION_MEGABYTES = Span(20.0, 300.0), 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    port: int = 8100
    host: str = "127.0.0.1"
    limits: dict[str, Limit | None] = field(default_factory=lambda: parse_limits(""))
    keys: frozenset[str] = frozenset()  # empty: any key will do
    caption_keys: frozenset[str] = frozenset()  # of the understand calls; empty: those of the library
    answer: Span = ANSWER
    parse: Span = PARSE
    scrape: Span = SCRAPE
    caption: Span = CAPTION
    caption_seconds: Span = CAPTION_SECONDS
    caption_megabytes: int = CAPTION_MEGABYTES
    list_lag: Span = LIST_LAG
    late_size: bool = True
    name_shape: str = "stem"
    honour_video_nos: bool = True
    early_k1: bool = False
    k1_parse_at_start: bool = False
    k3: bool = True
    k2_message: bool = False
    k4_response: bool = False
    live_counters: bool = False
    codecs: tuple[str, ...] = CODECS
    faults: dict[str, float] = field(default_factory=dict)
    slow: float = SLOW
    spell: Span = SPELL
    callback_delay: Span = CALLBACK_DELAY
    credit: int | None = None  # calls that may take something in; None: any number
    seed: int | None = None


def parse_options(arguments: Sequence[str]) -> Options:
    given = _parser().parse_args(arguments)
    return Options(
        port=given.port,
        host=given.host,
        limits=given.limits,
        keys=frozenset(given.key),
        caption_keys=frozenset(given.caption_key),
        answer=given.answer,
        parse=given.parse,
        scrape=given.scrape,
        caption=given.caption,
        caption_seconds=given.caption_seconds,
        caption_megabytes=given.caption_megabytes,
        list_lag=given.list_lag,
        late_size=given.late_size,
        name_shape=given.name_shape,
        honour_video_nos=given.video_nos == "honour",
        early_k1=given.early_k1,
        k1_parse_at_start=given.k1_parse_at_start,
        k3=not given.no_k3,
        k2_message=given.k2_message,
        k4_response=given.k4_response,
        live_counters=given.live_counters,
        codecs=given.codecs,
        faults=given.faults,
        slow=given.slow,
        spell=given.spell,
        callback_delay=given.callback_delay,
        credit=given.credit,
        seed=given.seed,
    )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        print(f"sandbox: {message.rstrip('.')}.", file=sys.stderr)
        raise SystemExit(2)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="sandbox",
        description="A strict local stand-in of Memories.ai: its limits, its silences, its callbacks.",
        epilog="Times are seconds: 2 or 0.5-2 (drawn anew each time). "
        "Controls without a key: GET /_sandbox/report, POST /_sandbox/reset, GET /_sandbox/health, "
        "GET /_sandbox/faults, POST /_sandbox/faults {NAME: PROBABILITY, ...} (replaces the set), "
        'POST /_sandbox/credit {"calls": N or null}, POST /_sandbox/key {"refused": true or false}, '
        'GET /_sandbox/profiles, POST /_sandbox/profiles {"url": ..., "posts": N, "grow_every": SECONDS, "kind": ...}, '
        'POST /_sandbox/posts/add {"profile": ...}, /remove and /restore {"post": ...}.',
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--port", type=_port, default=8100, help="port to listen on; 0 takes a free one (default 8100)")
    add("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    add(
        "--limits",
        type=_limits,
        default=parse_limits(""),
        metavar="LANE=N/[K]UNIT,...",
        help="overrides of the vendor's rate table, e.g. upload=20/s,scrape=1/2min or list=off",
    )
    add("--key", action="append", default=[], help="a key that is accepted; repeatable; any key when none")
    add(
        "--caption-key",
        metavar="KEY",
        action="append",
        default=[],
        help="a key of the understand calls, which then take no other; the rest does not take it; repeatable",
    )
    add("--answer", type=_span, default=ANSWER, metavar="A-B", help="until an upload is answered")
    add("--parse", type=_span, default=PARSE, metavar="A-B", help="until a video is parsed (default 1-3)")
    add("--scrape", type=_span, default=SCRAPE, metavar="A-B", help="until posts are there (default 1-3)")
    add("--caption", type=_span, default=CAPTION, metavar="A-B", help="until a caption is there (default 1-3)")
    add("--list-lag", type=_span, default=LIST_LAG, metavar="A-B", help="until a new video is listed (default 0)")
    add(
        "--late-size",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="sizes and durations only show when parsing is over (default)",
    )
    shapes = (*NAME_SHAPES, MIXED)
    add("--name-shape", choices=shapes, default="stem", help="how video names come back (default stem)")
    add(
        "--video-nos",
        choices=("honour", "ignore"),
        default="honour",
        help="whether list_videos heeds its filter video_nos (default honour)",
    )
    add("--early-k1", action="store_true", help="an upload's callback also comes on acceptance, as UNPARSE")
    add("--k1-parse-at-start", action="store_true", help="PARSE is called back when parsing starts")
    add("--no-k3", action="store_true", help="no callback for each scraped video that is indexed")
    add("--k2-message", action="store_true", help="a task's callback carries a message")
    add("--k4-response", action="store_true", help="a caption's callback carries data.response, not data.text")
    add("--live-counters", action="store_true", help="counters move by themselves, not with each scrape")
    add(
        "--caption-seconds",
        type=_span,
        default=CAPTION_SECONDS,
        metavar="A-B",
        help="how long a captioned video may be (default 20-300)",
    )
    add("--caption-megabytes", type=_count, default=CAPTION_MEGABYTES, metavar="N", help="and how large (default 20)")
    add("--codecs", type=_codecs, default=CODECS, metavar="LIST", help=f"default {','.join(CODECS)}")
    add("--credit", type=_calls, metavar="N", help="calls that take something in until it is spent (default: no end)")
    add("--seed", type=int, metavar="N", help="makes the random times and faults repeatable")
    _add_faults(parser)
    return parser


def _add_faults(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--faults",
        type=_faults,
        default={},
        metavar="NAME=PROBABILITY,...",
        help="what goes wrong, and how often, e.g. drop_answer=0.1,callback_drop=0.5; 'help' tells the names",
    )
    add("--slow", type=_seconds, default=SLOW, metavar="SECONDS", help="until a slow answer (default 150)")
    add("--spell", type=_span, default=SPELL, metavar="A-B", help="how long a spell of 0429 lasts (default 1-3)")
    add(
        "--callback-delay",
        type=_span,
        default=CALLBACK_DELAY,
        metavar="A-B",
        help="how late a delayed callback is (default 1-5)",
    )


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"'{text}' is no port; write a number from 0 to 65535")
    return int(text)


def _calls(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is no number of calls; write for example 100")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is no number from 1")
    return int(text)


def _seconds(text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?|\.\d+", text):
        raise argparse.ArgumentTypeError(f"'{text}' is no number of seconds; write for example 2 or 0.5")
    return float(text)


def _span(text: str) -> Span:
    low, dash, high = text.partition("-")
    try:
        span = Span(_seconds(low), _seconds(high if dash else low))
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"'{text}' is no time; write for example 2 or 0.5-2") from None
    if span.low > span.high:
        raise argparse.ArgumentTypeError(f"'{text}' runs backwards; write the smaller number first")
    return span


def _limits(text: str) -> dict[str, Limit | None]:
    try:
        return parse_limits(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _faults(text: str) -> dict[str, float]:
    if text == "help":
        print(explain())
        raise SystemExit(0)
    try:
        return parse_faults(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _codecs(text: str) -> tuple[str, ...]:
    codecs = tuple(filter(None, (name.strip().lower() for name in text.split(","))))
    if not codecs:
        raise argparse.ArgumentTypeError("the list of codecs is empty; write for example h264,hevc")
    return tuple("hevc" if name == "h265" else name for name in codecs)
