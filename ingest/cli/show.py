"""How results look to a person: plain tables on a terminal and in a pipe alike."""

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ingest.durations import say_duration
from ingest.models import Item, Pause
from ingest.pauses import say_scope
from ingest.queries import Ahead
from ingest.sources.files import visible
from ingest.statuses import Status

if TYPE_CHECKING:
    from ingest.adding import AddedJob
    from ingest.doctor.visit import Result

COLOURS = {
    Status.QUEUED: "white",
    Status.SENDING: "cyan",
    Status.UNSURE: "yellow",
    Status.UNPARSE: "blue",
    Status.PARSE: "green",
    Status.FAIL: "red",
    Status.SKIPPED: "bright_black",
    Status.CANCELLED: "bright_black",
}


def _console() -> Console:
    console = Console(highlight=False)
    # In a pipe a line is a row: never folded, never cut.
    return console if console.is_terminal else Console(highlight=False, width=100_000)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def coloured(status: str) -> Text:
    return Text(status, style=COLOURS.get(Status(status), "white"))


def added_line(added: "AddedJob") -> str:
    skipped = (
        f", {added.skipped} skipped (see: ingest items --job {added.job} --status SKIPPED)" if added.skipped else ""
    )
    return f"job {added.job}: {added.items} {'item' if added.items == 1 else 'items'}, {added.queued} queued{skipped}"


def jobs_table(
    found: Sequence[Mapping[str, Any] | None], totals: Mapping[str, int], standing: Sequence[Pause] = ()
) -> None:
    console = _console()
    if not found:
        console.print("no jobs yet; start one with: ingest add FOLDER")
        for pause in standing:
            console.print(_paused_line({"scope": pause.scope, "reason": pause.reason}))
        return
    used = [status for status in Status if totals[status]]
    table = _table("job", "state", "items", *[status.value for status in used])
    for one in found:
        if one is not None:
            counts = one["counts"]
            table.add_row(str(one["job"]), _state(one), str(sum(counts.values())), *[str(counts[s]) for s in used])
    table.add_row("all", "", str(sum(totals.values())), *[str(totals[s]) for s in used], style="bold")
    console.print(table)
    for pause in standing:
        console.print(_paused_line({"scope": pause.scope, "reason": pause.reason}))


def _paused_line(paused: Mapping[str, str]) -> Text:
    """``paused (lane upload): by an operator: night``"""
    line = plain(f"paused ({say_scope(paused['scope'])}): {paused['reason'].removeprefix('paused ')}")
    line.stylize("yellow")
    return line


def _state(one: Mapping[str, Any]) -> str:
    return f"{one['state']} (paused)" if one["paused"] and one["state"] == "running" else str(one["state"])


def job_lines(one: Mapping[str, Any], ahead: Sequence[Ahead]) -> None:
    console = _console()
    console.print(f"job {one['job']}: {_state(one)}")
    for status, number in one["counts"].items():
        if number:
            console.print(Text(f"  {status:<10}{number:>8}", style=COLOURS[Status(status)]))
    if one["paused"]:
        console.print(_paused_line(one["paused"]))
    for lane in ahead:
        console.print(f"  {say_ahead(lane)}")


def say_ahead(lane: Ahead) -> str:
    calls = f"{lane.calls} {'call' if lane.calls == 1 else 'calls'}"
    items = f"{lane.items} {'item' if lane.items == 1 else 'items'}"
    return f"{lane.lane}: {items} in {calls}, at least {say_duration(lane.seconds)} at the limit"


def plain(text: str) -> Text:
    """A text from outside: see ``visible``."""
    return Text(visible(text))


def items_table(found: Sequence[Item]) -> None:
    console = _console()
    if not found:
        console.print("no items")
        return
    table = _table("id", "job", "status", "kind", "source", "video", "why")
    for item in found:
        why = item.error or item.warning or ""
        shown: list[str | Text] = [
            str(item.id),
            str(item.job_id),
            coloured(item.status),
            item.kind,
            plain(item.source),
            item.video_no or "",
            plain(why),
        ]
        table.add_row(*shown)
    console.print(table)


def callbacks_table(found: Sequence[Mapping[str, Any]]) -> None:
    console = _console()
    if not found:
        console.print("no callbacks")
        return
    table = _table("id", "received", "door", "state", "tries", "submission", "note")
    for one in found:
        cells = [one[name] for name in ("id", "received_at", "door", "state", "tries", "submission")]
        table.add_row(*[str(cell) if cell is not None else "" for cell in cells], plain(one["note"] or ""))
    console.print(table)


def tokens_table(rows: Sequence[Mapping[str, Any]]) -> None:
    console = _console()
    if not rows:
        console.print("no tokens")
        return
    table = _table("name", "may", "made", "last used", "revoked")
    for row in rows:
        table.add_row(row["name"], row["role"], row["created_at"], row["used_at"] or "never", row["revoked_at"] or "")
    console.print(table)


def creators_table(rows: Sequence[Mapping[str, Any]]) -> None:
    console = _console()
    if not rows:
        console.print("nobody is followed; ingest creators add URL --every 6h")
        return
    table = _table("creator", "profile", "schedule", "state", "next look", "looks", "trouble")
    for row in rows:
        following = say_time(datetime.fromisoformat(row["next_run_at"])) if row["next_run_at"] else ""
        trouble = row["pause_reason"] or row["trouble"] or ""
        cells = (str(row["creator"]), row["url"], row["schedule"], row["state"], following, str(row["runs"]), trouble)
        table.add_row(*[plain(cell) for cell in cells])
    console.print(table)


def creator_lines(story: Mapping[str, Any]) -> None:
    console = _console()
    console.print(plain(f"creator {story['creator']}: {story['url']} ({story['state']})"))
    where = "the public library" if story["library"] == "public" else f"namespace {story['unique_id']}"
    how = "Memories.ai scrapes it" if story["mode"] == "vendor" else "yt-dlp lists it, new posts are scraped"
    console.print(plain(f"  {story['schedule']}, the newest {story['limit']}, into {where}; {how}"))
    console.print(plain(f"  {story['posts']} posts seen, job {story['job']}"))
    for name in ("trouble", "pause_reason"):
        if story[name]:
            console.print(plain(f"  {name.replace('_', ' ')}: {story[name]}"))
    if story["next_runs"]:
        times = ", ".join(say_time(datetime.fromisoformat(at)) for at in story["next_runs"])
        console.print(plain(f"  next looks: {times}"))
    if not story["history"]:
        console.print("  no look yet")
        return
    table = _table(
        "look", "started", "state", "how", "seen", "new", "known", "gone", "changed", "failed", "calls", "error"
    )
    for run in story["history"]:
        names = ("run", "started_at", "state", "how", "seen", "new", "known", "gone", "changed", "failed", "calls")
        table.add_row(*[str(run[name]) for name in names], plain(run["error"] or ""))
    console.print(table)


def limits_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """``-`` where nobody knows."""
    console = _console()
    table = _table("lane", "limit", "margin", "next slot", "in line", "waiting", "calls", "end", "paused")
    for row in rows:
        paused = row["paused"]
        until = f", until {say_time(datetime.fromisoformat(paused['until']))}" if paused and paused["until"] else ""
        table.add_row(
            row["lane"],
            row["limit"] or "off",
            _seconds(row["margin"]),
            _seconds(row["next_slot"]),
            "-" if row["in_line"] is None else str(row["in_line"]),
            str(row["items"]),
            str(row["calls"]),
            say_time(datetime.fromisoformat(row["end"])) if row["end"] else "-",
            plain(f"{say_scope(paused['scope'])}: {paused['reason'].removeprefix('paused ')}{until}" if paused else ""),
        )
    console.print(table)


def _seconds(value: float | None) -> str:
    return "-" if value is None else "0" if not value else f"{value:.3f} s" if value < 1 else f"{value:.1f} s"


def say_time(at: datetime) -> str:
    """Local time, with the day where that is not today."""
    local = at.astimezone()
    return f"{local:%H:%M}" if local.date() == datetime.now().astimezone().date() else f"{local:%Y-%m-%d %H:%M}"


def story_lines(story: Mapping[str, Any]) -> None:
    console = _console()
    for name, value in story.items():
        if name not in ("submissions", "events") and value is not None:
            console.print(plain(f"{name:<20}{value}"))
    if story["submissions"]:
        console.print()
        table = _table("sent as", "call", "state", "items", "written", "sent", "ended", "answer")
        for one in story["submissions"]:
            answer = " ".join(filter(None, [one["code"], one["task_id"], one["message"]]))
            cells = [
                one["short_id"],
                one["operation"],
                one["state"],
                one["items"],
                one["written_at"],
                one["sent_at"],
                one["ended_at"],
            ]
            table.add_row(*[str(cell) if cell is not None else "" for cell in cells], plain(answer))
        console.print(table)
    console.print()
    table = _table("at", "from", "to", "because", "detail")
    for one in story["events"]:
        table.add_row(one["at"], one["from"] or "", coloured(one["to"]), one["news"], plain(one["detail"] or ""))
    console.print(table)


_STATES = {"ok": ("ok  ", "green"), "warn": ("warn", "yellow"), "fail": ("FAIL", "bold red")}


def result_line(one: "Result") -> None:
    """A check of the doctor: folded by nobody but the terminal."""
    word, style = _STATES[one.state]
    _console().print(Text(word, style=style), f"{one.check:<15}", plain(one.detail), soft_wrap=True)
    sys.stdout.flush()
