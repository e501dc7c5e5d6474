"""How much of a limit is used, and is it ever broken? Several workers, slow answers, a busy machine, the strict sandbox as judge.

    python -m benchmarks.limits                                   # 1/s, 60 s, 4 workers, one busy core
    python -m benchmarks.limits --limit 20/s --seconds 30
    python -m benchmarks.limits --lane scrape --limit 1/5s        # posts, in batches

Prints calls, the share of the allowed calls that were made, the smallest gap on the sandbox's clock, violations.
"""

import argparse
import itertools
import multiprocessing
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ingest.lanes import Lane, Limit, parse_limits
from ingest.samples import make_video
from tests.service import INGEST, Sandbox, Service, ended, eventually, sandbox


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lane", choices=["upload", "scrape"], default="upload")
    parser.add_argument("--limit", default="1/s")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--workers", type=int, default=4, help="send workers in all, one of them in `up`")
    parser.add_argument("--busy", type=int, default=1, help="busy loops beside it")
    parser.add_argument("--answer", default="0.8-2.3", help="seconds the sandbox takes to answer a call")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        print(say(measure(Path(folder), options), options))


def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    with service_at_work(folder, options) as (vendor, service):
        wanted = calls_wanted(options)
        service.add(*make_sources(folder, options.lane, wanted))
        await_calls(vendor, options, wanted)
        return use_of(vendor.report(), options, wanted)


def limit_of(options: argparse.Namespace) -> Limit:
    limit = parse_limits(f"{options.lane}={options.limit}")[Lane(options.lane)]
    assert limit is not None
    return limit


def calls_wanted(options: argparse.Namespace) -> int:
    return round(options.seconds / limit_of(options).interval)


@contextmanager
def service_at_work(folder: Path, options: argparse.Namespace) -> Iterator[tuple[Sandbox, Service]]:
    """The strict sandbox, `up` and further workers, and beside them a machine as busy as was asked for."""
    limits = f"{options.lane}={options.limit},list=20/s,task_status=20/s,detail=20/s"
    with ExitStack() as stack:
        vendor = stack.enter_context(sandbox("--limits", limits, "--answer", options.answer, "--parse", "0.5-1"))
        service = Service(folder / "var", vendor.url, INGEST_LIMITS=limits, INGEST_TIMINGS="poll=5s")
        stack.enter_context(service.up())
        for _ in range(options.workers - 1):
            command = [*INGEST, "worker", "--queues", "send"]
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            worker = subprocess.Popen(command, env=service.environment, cwd=folder, start_new_session=True, **quiet)  # type: ignore[call-overload]
            stack.enter_context(ended(worker))
        eventually(lambda: len(service.heartbeats()) >= options.workers + 1, 60, "all workers to be up")
        for _ in range(options.busy):
            loop = multiprocessing.Process(target=_spin, args=(os.getpid(),), daemon=True)
            loop.start()
            stack.callback(loop.terminate)
        yield vendor, service


def await_calls(vendor: Sandbox, options: argparse.Namespace, wanted: int) -> None:
    """Until so many calls of the lane were taken."""
    patience = options.seconds * 3 + 60
    eventually(lambda: vendor.report()["calls"][options.lane]["accepted"] >= wanted, patience, "the calls")


def use_of(report: dict[str, Any], options: argparse.Namespace, wanted: int) -> dict[str, Any]:
    """How much of what the limit allows the first ``wanted`` calls used, on the sandbox's clock."""
    times = report["calls"][options.lane]["times"][:wanted]
    interval = limit_of(options).interval
    return {
        "calls": len(times),
        "used": (len(times) - 1) * interval / (times[-1] - times[0]),
        "smallest_gap": min(later - earlier for earlier, later in itertools.pairwise(times)),
        "interval": interval,
        "violations": len(report["violations"]),
        "duplicates": len(report["duplicates"]),
        "batches": report["calls"][options.lane].get("batch_sizes", []),
    }


def make_sources(folder: Path, lane: str, wanted: int) -> list[str]:
    """A few more than will be counted, so that work waits until the end."""
    manifest = folder / "sources.txt"
    if lane == "scrape":
        posts = [f"https://www.tiktok.com/@a/video/73{number:017}" for number in range((wanted + 2) * 50)]
        manifest.write_text("\n".join(posts))
        return [str(manifest)]
    clips = folder / "clips"
    clips.mkdir()
    for number in range(min(wanted, 40)):
        make_video(clips / f"{number}.mp4", seconds=0.3, seed=number)
    manifest.write_text("\n".join(f"https://media.example/{number}/a.mp4" for number in range(max(0, wanted - 40) + 5)))
    return [str(clips), str(manifest)]


def _spin(parent: int) -> None:
    while os.getppid() == parent:
        sum(range(10_000))


def say(found: dict[str, Any], options: argparse.Namespace) -> str:
    lines = [say_conditions(options), *say_use(found)]
    if found["batches"]:
        lines.append(f"  posts a call: {found['batches']}")
    return "\n".join(lines)


def say_conditions(options: argparse.Namespace) -> str:
    workers = f"{options.workers} send workers, answers {options.answer} s, {options.busy} busy loops"
    return f"{options.lane}={options.limit}, {workers}"


def say_use(found: dict[str, Any]) -> list[str]:
    return [
        f"  calls {found['calls']}, used {found['used']:.3f} of the allowed",
        f"  smallest gap {found['smallest_gap'] * 1000:.1f} ms (interval {found['interval'] * 1000:.0f} ms)",
        f"  violations {found['violations']}, sent twice {found['duplicates']}",
    ]


if __name__ == "__main__":
    main()
