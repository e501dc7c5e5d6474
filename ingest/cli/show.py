"""How results look to a person: plain tables on a terminal and in a pipe alike."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ingest.durations import say_duration
from ingest.models import Item
from ingest.queries import Ahead
from ingest.statuses import Status

if TYPE_CHECKING:
    from ingest.cli.adding import AddedJob

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


def jobs_table(found: Sequence[Mapping[str, Any] | None], totals: Mapping[str, int]) -> None:
    console = _console()
    if not found:
        console.print("no jobs yet; start one with: ingest add FOLDER")
        return
    used = [status for status in Status if totals[status]]
    table = _table("job", "state", "items", *[status.value for status in used])
    for one in found:
        if one is not None:
            counts = one["counts"]
            table.add_row(str(one["job"]), _state(one), str(sum(counts.values())), *[str(counts[s]) for s in used])
    table.add_row("all", "", str(sum(totals.values())), *[str(totals[s]) for s in used], style="bold")
    console.print(table)
    for reason in dict.fromkeys(one["paused"]["reason"] for one in found if one and one["paused"]):
        console.print(Text(f"paused: {reason}", style="yellow"))


def _state(one: Mapping[str, Any]) -> str:
    return f"{one['state']} (paused)" if one["paused"] and one["state"] == "running" else str(one["state"])


def job_lines(one: Mapping[str, Any], ahead: Sequence[Ahead]) -> None:
    console = _console()
    console.print(f"job {one['job']}: {_state(one)}")
    for status, number in one["counts"].items():
        if number:
            console.print(Text(f"  {status:<10}{number:>8}", style=COLOURS[Status(status)]))
    if one["paused"]:
        console.print(Text(f"paused: {one['paused']['reason']}", style="yellow"))
    for lane in ahead:
        console.print(f"  {say_ahead(lane)}")


def say_ahead(lane: Ahead) -> str:
    calls = f"{lane.calls} {'call' if lane.calls == 1 else 'calls'}"
    items = f"{lane.items} {'item' if lane.items == 1 else 'items'}"
    return f"{lane.lane}: {items} in {calls}, at least {say_duration(lane.seconds)} at the limit"


def plain(text: str) -> Text:
    """A text from outside, on one line: what would move the cursor or change colours is shown, not done."""
    return Text("".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text))


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
