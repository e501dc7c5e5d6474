"""``add --wait``: a bar per status, the rate, and the honest end computed from the limits; plain lines in a pipe."""

import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ingest import pauses, queries
from ingest.adding import service_runs
from ingest.cli.show import COLOURS, say_ahead
from ingest.database import Database
from ingest.durations import say_duration
from ingest.models import Pause
from ingest.queries import Ahead
from ingest.settings import Settings
from ingest.sources.files import printable
from ingest.statuses import FINAL, Status

_LOOK_SECONDS = 0.5
_LINE_SECONDS = 5.0
_AHEAD_EVERY = 6
_RATE_WINDOW_SECONDS = 30.0

Say = Callable[[str], None]


class Rate:
    """Items that ended per second, over the last half minute."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, done: int) -> float:
        now = time.monotonic()
        self._seen.append((now, done))
        while now - self._seen[0][0] > _RATE_WINDOW_SECONDS:
            self._seen.popleft()
        since, before = self._seen[0]
        return (done - before) / (now - since) if now > since else 0.0


def wait_for(settings: Settings, database: Database, job_id: int, *, as_json: bool, say: Say) -> int:
    """Until the job is done: 0, or 1 if an item failed, or 2 if waiting is in vain because the key is refused."""
    console = Console(stderr=True)
    if console.is_terminal and not as_json:
        with Live(console=console, refresh_per_second=4, transient=False) as live:
            last = _follow(settings, database, job_id, lambda *seen: live.update(_picture(*seen)), say)
    else:
        last = _follow(settings, database, job_id, _Lines(say), say)
    if last["state"] != "running":
        _print_results(database, job_id, as_json)
    if as_json:
        print(json.dumps(last), flush=True)
    elif last["state"] != "running":
        print(_summary(last), flush=True)
    if last["state"] == "running":
        return 2
    return 1 if last["counts"][Status.FAIL] else 0


def _print_results(database: Database, job_id: int, as_json: bool) -> None:
    """What captions say: it is what the command was for."""
    with database.read() as session:
        for one in queries.results(session, job_id):
            if as_json:
                print(json.dumps(one), flush=True)
            elif one["result"]:
                print(f"item {one['id']} {printable(one['source'])}:\n{one['result'].get('text') or ''}\n", flush=True)


View = Callable[[Mapping[str, int], list[Ahead], float, Pause | None], None]


def _follow(settings: Settings, database: Database, job_id: int, view: View, say: Say) -> dict[str, Any]:
    rate, said, missed, looks = Rate(), "", 0, 0
    ahead: list[Ahead] = []
    while True:
        with database.read() as session:
            pause = queries.pause_of_job(session, job_id, settings)
            now = queries.job_status(session, job_id, pause)
            if looks % _AHEAD_EVERY == 0:  # it counts the whole backlog
                ahead = queries.ahead(session, settings.limits, job_id)
        looks += 1
        assert now is not None
        done = sum(now["counts"][status] for status in FINAL)
        view(now["counts"], ahead, rate.note(done), pause)
        if now["state"] != "running":
            return now
        if pause is not None and pause.code in pauses.HOPELESS:
            say(f"paused: {pause.reason}. The items stay queued.")
            return now
        if pause is not None and pause.scope + pause.reason != said:
            said = pause.scope + pause.reason
            say(f"waiting: {pause.reason}")
        missed = 0 if service_runs(settings, database) else missed + 1
        if missed == 10:
            say("waiting: the service has stopped; start it again with: ingest up")
        time.sleep(_LOOK_SECONDS)


class _Lines:
    """Plain lines: when something changed, and not more often than every few seconds."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._last: Mapping[str, int] = {}
        self._at = 0.0

    def __call__(self, counts: Mapping[str, int], ahead: list[Ahead], rate: float, pause: Pause | None) -> None:
        now = time.monotonic()
        ended = not any(number for status, number in counts.items() if Status(status) not in FINAL)
        if counts != self._last and (ended or now - self._at >= _LINE_SECONDS):
            self._last, self._at = counts, now
            parts = [f"{status} {number}" for status, number in counts.items() if number]
            self._say(", ".join(parts) + (f"; {_end(ahead)}" if ahead else ""))


def _picture(counts: Mapping[str, int], ahead: list[Ahead], rate: float, pause: Pause | None) -> Group:
    total = sum(counts.values())
    table = Table(box=None, show_header=False, pad_edge=False)
    for status, number in counts.items():
        if number:
            colour = COLOURS[Status(status)]
            bar = ProgressBar(total=total, completed=number, width=40, complete_style=colour, finished_style=colour)
            table.add_row(Text(status, style=colour), bar, str(number))
    done = sum(counts[status] for status in FINAL)
    lines: list[Table | Text] = [
        table,
        Text(f"{done} of {total} ended, {rate * 60:.0f}/min" + (f"; {_end(ahead)}" if ahead else "")),
    ]
    if pause is not None:
        lines.append(Text(f"paused: {pause.reason}", style="yellow"))
    return Group(*lines)


def _end(ahead: list[Ahead]) -> str:
    """The lane that takes longest names the end: its limit is known, so this is arithmetic, not a guess."""
    slowest = max(ahead, key=lambda lane: lane.seconds)
    if slowest.seconds < 60:
        return f"all sent in {say_duration(slowest.seconds)} at the earliest"
    at = datetime.now().astimezone() + timedelta(seconds=slowest.seconds)
    return f"all sent at {at:%H:%M} at the earliest ({say_ahead(slowest)})"


def _summary(last: Mapping[str, Any]) -> str:
    parts = ", ".join(f"{number} {status}" for status, number in last["counts"].items() if number)
    hint = f"; why: ingest items --job {last['job']} --status FAIL" if last["counts"][Status.FAIL] else ""
    return f"job {last['job']} {last['state']}: {parts}{hint}"
