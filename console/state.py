"""What is polled most: the totals, and what has changed since."""

import json
from http import HTTPStatus
from typing import Any

from flask import Response
from flask_openapi import APIBlueprint

from console.answering import Problem, as_json, cursor, invalid, place_of, unless_known
from console.documented import answers, blueprint
from console.doors import Doors
from console.feed import Brief
from console.schemas import ChangePage, ChangesQuery, Stats
from ingest import queries
from ingest.queries import Forgotten, Place

#: Followers at the same place share a page for so long, seconds.
_PAGE_GOOD = 0.2


def state_api(doors: Doors) -> APIBlueprint:
    api = blueprint("state", "The totals, and what has changed since.")
    database = doors.database
    pages: Brief[tuple[str, Place]] = Brief(_PAGE_GOOD)

    @api.get("/stats", responses=answers(Stats))
    def get_stats() -> Response:
        """Items by status, and what is paused"""

        def body() -> dict[str, Any]:
            with database.read() as session:
                counts = queries.counts(session)
                standing = queries.pauses(session, doors.settings.account)
            paused = [queries.pause_row(one) for one in standing]
            return {"counts": counts, **queries.totals(counts), "paused": paused}

        return unless_known(doors.state(), body)

    @api.get("/changes", responses=answers(ChangePage, 410))
    def get_changes(query: ChangesQuery) -> Response:
        """What has happened to items since, in order and without a gap; each with the item as it stands now

        Begin without `after`, read the items, then follow: each answer's `next` is the next question's `after`. Keep of each
        item the last you were given. 410 says that you have missed something: begin again.
        """
        if query.after is None:
            with database.read() as session:
                return as_json({"changes": [], "next": _say(queries.newest_place(session)), "more": False})
        place = _read(query.after)
        text, reached = page(place, query.limit)
        if reached == place and query.wait:
            doors.watcher.wait_beyond(place, query.wait)
            text, _ = page(place, query.limit)
        return as_json(text)

    def page(place: Place, limit: int) -> tuple[str, Place]:
        # Nothing yet is not kept: what comes next must not be hidden behind it.
        return pages.get((place, limit), lambda: look(place, limit), keep=lambda found: found[1] != place)

    def look(place: Place, limit: int) -> tuple[str, Place]:
        try:
            with database.read() as session:
                listed, reached = queries.changes(session, place, limit)
        except Forgotten as error:
            raise Problem(HTTPStatus.GONE, "cursor-too-old", str(error)) from None
        body = {"changes": listed, "next": _say(reached), "more": len(listed) == limit}
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")), reached

    return api


def _say(place: Place) -> str:
    return cursor("changes", place.epoch, place.tx, place.id)


def _read(given: str) -> Place:
    epoch, tx, number = place_of("changes", given, 3)
    if not (isinstance(epoch, str) and isinstance(tx, int) and isinstance(number, int)):
        raise invalid("after: it is no cursor of changes; begin without one")
    if not (0 <= tx < 2**63 and 0 <= number < 2**63):
        raise invalid("after: it is no cursor of changes; begin without one")
    return Place(epoch, tx, number)
