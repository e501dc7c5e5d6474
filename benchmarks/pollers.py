"""Does it matter to an import that two hundred dashboards watch it? The same import without them and with them, the sandbox as judge.

    python -m benchmarks.pollers                     # 1/s, 90 s, half of 200 follow the changes, half ask for the totals each second
    python -m benchmarks.pollers --seconds 20
    python -m benchmarks.pollers --pollers 0         # only without

Prints how much of the limit was used in each, and of the pollers: requests, errors, how long an answer and how long the news of a change
took, whether each follower ended with exactly what the rows show, and what the console cost.
"""

import argparse
import multiprocessing
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import select

from benchmarks.limits import await_calls, calls_wanted, make_sources, say_conditions, say_use, service_at_work, use_of
from benchmarks.polling import Polled, poll
from ingest.models import Event
from tests.follower import rows_of
from tests.service import Service


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pollers", type=int, default=200, help="0: only the run without")
    parser.add_argument("--limit", default="1/s")
    parser.add_argument("--seconds", type=float, default=90)
    parser.add_argument("--workers", type=int, default=1, help="send workers in all, one of them in `up`")
    parser.add_argument("--busy", type=int, default=0, help="busy loops beside it")
    parser.add_argument("--answer", default="0.8-2.3", help="seconds the sandbox takes to answer a call")
    parser.set_defaults(lane="upload")
    options = parser.parse_args()
    print(say_conditions(options), flush=True)
    used = []
    for pollers in dict.fromkeys([0, options.pollers]):
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            found = measure(Path(folder), options, pollers)
        used.append(found["used"])
        print("\n".join([f"{pollers} pollers" if pollers else "nobody polls", *_say(found)]), flush=True)
    if len(used) > 1:
        print(f"with pollers {used[1] / used[0]:.3f} of what was used without")


def measure(folder: Path, options: argparse.Namespace, pollers: int) -> dict[str, Any]:
    wanted = calls_wanted(options)
    with service_at_work(folder, options) as (vendor, service), _polling(service, pollers) as pipe:
        cost = Cost(service)
        job = service.add(*make_sources(folder, options.lane, wanted))["job"]
        await_calls(vendor, options, wanted)
        found = use_of(vendor.report(), options, wanted) | cost.shares()
        service.wait(job, 120)
        if pipe is not None:
            pipe.send(rows_of(service.database()))
            found["polled"] = polled = pipe.recv()
            found["news_took"], found["gaps"] = _news_took(service, polled)
    return found


@contextmanager
def _polling(service: Service, pollers: int) -> Iterator[Connection | None]:
    """A process of ``pollers`` pollers, half of each kind, and the pipe to it."""
    if not pollers:
        yield None
        return
    ours, theirs = multiprocessing.Pipe()
    url, token = f"http://127.0.0.1:{service.console_port}", service.token("bench")
    several = (url, token, pollers - pollers // 2, pollers // 2, theirs)
    process = multiprocessing.get_context("spawn").Process(target=poll, args=several, daemon=True)
    process.start()
    theirs.close()  # so that its end is seen here
    try:
        assert ours.recv() == "ready"
        yield ours
    finally:
        process.join(10)
        process.terminate()


class Cost:
    """Shares of a core that the console takes, and how busy the whole machine is, from now on."""

    def __init__(self, service: Service) -> None:
        self._console = [part for part in service.parts() if "ingest console" in " ".join(part.cmdline())]
        self._began, self._used, self._machine = time.monotonic(), self._used_now(), psutil.cpu_times()

    def _used_now(self) -> float:
        return sum(sum(part.cpu_times()[:2]) for part in self._console)

    def shares(self) -> dict[str, float]:
        took, machine = time.monotonic() - self._began, psutil.cpu_times()
        busy = sum(now - then for now, then in zip(machine, self._machine, strict=True)) - (
            machine.idle + machine.iowait - self._machine.idle - self._machine.iowait
        )
        return {
            "console": (self._used_now() - self._used) / took,
            "machine": busy / took / (psutil.cpu_count() or 1),
        }


def _news_took(service: Service, polled: Polled) -> tuple[list[float], int]:
    """Seconds from each event to each follower, and how many events a follower was told of not exactly once."""
    happened: dict[int, list[int]] = defaultdict(list)
    with service.database().read() as session:
        for event in session.execute(select(Event).order_by(Event.id)).scalars():  # type: ignore[arg-type]
            happened[event.item_id].append(event.at)
    took, gaps = [], 0
    for heard in polled.heard:
        by_item: dict[int, list[float]] = defaultdict(list)
        for item, at in heard:
            by_item[item].append(at)
        for item, times in happened.items():
            gaps += abs(len(times) - len(by_item[item]))
            took += [(at - then) / 1000 for then, at in zip(times, by_item[item], strict=False)]
    return took, gaps


def _say(found: dict[str, Any]) -> list[str]:
    lines = [*say_use(found), f"  console {found['console']:.0%} of a core, the machine {found['machine']:.0%} busy"]
    if "polled" not in found:
        return lines
    polled: Polled = found["polled"]
    asked = polled.changes_asked + polled.stats_asked
    errors = ", ".join(f"{number} {what}" for what, number in polled.errors.items())
    lines += [
        f"  requests {asked} ({polled.changes_asked} changes, {polled.stats_asked} stats, {polled.known} of them 304)",
        f"  errors {polled.errors.total()}{errors and f' ({errors})'}",
        f"  stats {_say_times(polled.stats_took)}; news of a change {_say_times(found['news_took'])}",
        f"  followers that hold what the rows show: {polled.agree} of {len(polled.heard)}; changes missed or told twice: {found['gaps']}",
        f"  the pollers themselves {polled.cpu:.0%} of a core",
    ]
    return lines


def _say_times(times: Sequence[float]) -> str:
    several = sorted(times)
    at = {share: several[min(len(several) - 1, int(share / 100 * len(several)))] * 1000 for share in (50, 95, 99)}
    return ", ".join(f"p{share} {ms:.0f} ms" for share, ms in at.items())


if __name__ == "__main__":
    main()
