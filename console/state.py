"""What is polled most: the totals, and what has changed since."""

from http import HTTPStatus

from flask import Response
from flask_openapi import APIBlueprint

from console.answering import Problem, as_json, cursor, dumps, no_place, place_of, unless_known
from console.documented import answers, blueprint
from console.doors import Doors
from console.feed import Brief
from console.schemas import ChangePage, ChangesQuery, Stats
from ingest import queries
from ingest.queries import Forgotten, Place

#: Followers at the same place share a page for so long, seconds.
_PAGE_GOOD = 0.2
#: Totals are shared for so long, seconds, by those who ask about the same state: it is no older for that.
_TOTALS_GOOD = 5.0


def state_api(doors: Doors) -> APIBlueprint:
    api = blueprint("state", "The totals, and what has changed since.")
    database = doors.database
    pages: Brief[tuple[str, Place]] = Brief(_PAGE_GOOD)
    totals: Brief[str] = Brief(_TOTALS_GOOD)

    @api.get("/stats", responses=answers(Stats))
    def get_stats() -> Response:
        """Items by status, and what is paused"""
        state = doors.state()

        def body() -> str:
            with database.read() as session:
                counts = queries.counts(session)
                standing = queries.pauses(session, doors.settings.account)
            paused = [queries.pause_row(one) for one in standing]
            return dumps({"counts": counts, **queries.totals(counts), "paused": paused})

        return unless_known(state, lambda: totals.get(str(state), body))

    @api.get("/changes", responses=answers(ChangePage, 404, 410))
    def get_changes(query: ChangesQuery) -> Response:
        """What has happened to items since, in order and without a gap; each with the item as it stands now

        Begin without `after`, read the items, then follow: each answer's `next` is the next question's `after`. Keep of each
        item the last you were given. 410 says that you have missed something: begin again.
        """
        if query.after is None:
            with database.read() as session:
                return as_json({"changes": [], "next": _say(queries.newest_place(session)), "more": False})
        place = _read(query.after)
        if query.wait and doors.watcher.ends_at(place):
            text, reached = "", place
        else:
            text, reached = page(place, query.limit)
        if reached == place and query.wait:
            doors.watcher.wait_beyond(place, query.wait)
            doors.guard.admit()  # whose token was revoked meanwhile hears no more
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
        return dumps(body), reached

    return api


def _say(place: Place) -> str:
    return cursor("changes", place.epoch, place.tx, place.id)


def _read(given: str) -> Place:
    epoch, tx, number = place_of("changes", given, 3)
    if not (isinstance(epoch, str) and isinstance(tx, int) and isinstance(number, int)):
        raise no_place()
    if not (0 <= tx < 2**63 and 0 <= number < 2**63):
        raise no_place()
    return Place(epoch, tx, number)
