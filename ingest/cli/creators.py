"""``ingest creators``: profiles that are looked at on a schedule."""

import csv
import json
import sys
from typing import Any

from ingest import creators, queries
from ingest.adding import service_runs
from ingest.cli import show
from ingest.cli.saying import fail, say
from ingest.creators import Words
from ingest.database import Database
from ingest.settings import Settings


def add(settings: Settings, database: Database, words: Words, *, as_json: bool) -> None:
    row = creators.creator_row(creators.follow(database, words))
    print(json.dumps(row) if as_json else f"creator {row['creator']}: {row['url']} {row['schedule']}, from now on")
    _say_if_nobody_runs(settings, database)


def _say_if_nobody_runs(settings: Settings, database: Database) -> None:
    if not service_runs(settings, database):
        say("No service runs, so nothing is looked at; start it with: ingest up")


def list_creators(database: Database, *, removed: bool, as_json: bool) -> None:
    with database.read() as session:
        rows = [creators.creator_row(one) for one in queries.creators(session, removed=removed)]
    if as_json:
        for row in rows:
            print(json.dumps(row))
    else:
        show.creators_table(rows)


def show_creator(database: Database, creator: int, *, as_json: bool) -> None:
    with database.read() as session:
        story = creators.story(session, creator)
    if as_json:
        print(json.dumps(story))
    else:
        show.creator_lines(story)


def act(settings: Settings, database: Database, creator: int, what: str, reason: str = "", *, as_json: bool) -> None:
    row = creators.act(database, creator, what, reason)
    said = {"run": "is due now", "pause": "is paused", "resume": "goes on", "remove": "is not followed any more"}[what]
    print(json.dumps(row) if as_json else f"creator {creator} {said}")
    if what in ("run", "resume"):
        _say_if_nobody_runs(settings, database)


_NUMBERS = ("at", "creator", "item", "url", "video_no", "views", "likes", "shares", "comments")


def metrics(database: Database, creator: int | None, *, as_csv: bool, as_json: bool) -> None:
    """Numbers over time, the oldest first."""
    if as_csv == as_json:
        fail("Say how: --csv or --json")
    with database.read() as session:
        if creator is not None:
            creators.get(session, creator)
        table: Any = csv.DictWriter(sys.stdout, _NUMBERS, lineterminator="\n")
        if as_csv:
            table.writeheader()
        for row in queries.measurements(session, creator):
            if as_csv:
                table.writerow({name: row[name] for name in _NUMBERS})
            else:
                print(json.dumps(row))
