"""Followed profiles over the API: their schedules, reports and numbers."""

from collections.abc import Callable
from http import HTTPStatus
from itertools import islice
from typing import Any, TypeVar

from flask import Response
from flask_openapi import APIBlueprint

from console.answering import Problem, as_json, cursor, id_of, unless_known
from console.documented import PREFIX, answers, blueprint
from console.doors import Doors
from console.once import Once, once
from console.schemas import (
    CreatorList,
    CreatorPath,
    CreatorRow,
    CreatorsQuery,
    CreatorStory,
    FollowOrder,
    Measurements,
    NumbersQuery,
    ReasonOrder,
    RunPage,
    RunsQuery,
)
from ingest import creators, queries
from ingest.choosing import BadRequest, NotThere
from ingest.creators import Words


def creators_api(doors: Doors) -> APIBlueprint:
    api = blueprint("creators", "Profiles, channels, playlists and hashtags that are looked at on a schedule.")
    database = doors.database

    @api.get("/creators", responses=answers(CreatorList))
    def list_creators(query: CreatorsQuery) -> Response:
        """What is followed, and when it is looked at next"""
        with database.read() as session:
            about = queries.creators_version(session)

        def body() -> dict[str, Any]:
            with database.read() as session:
                found = queries.creators(session, removed=query.removed)
                return {"creators": [creators.creator_row(one) for one in found]}

        return unless_known(about, body)

    @api.post("/creators", responses=answers(CreatorRow, status=201))
    def follow(body: FollowOrder) -> Response:
        """Follow a profile; its first look is due at once"""

        def work(_one: Once | None) -> Response:
            made = _or_conflict(lambda: creators.follow(database, _words(body)))
            answer = as_json(creators.creator_row(made), HTTPStatus.CREATED)
            answer.headers["Location"] = f"{PREFIX}/creators/{made.id}"
            return answer

        return once(database, work)

    @api.get("/creators/<int:creator>", responses=answers(CreatorStory, 404))
    def show(path: CreatorPath) -> Response:
        """One creator: its next five looks, its last report"""
        with database.read() as session:
            creators.get(session, path.creator)
            about = (queries.creators_version(session, path.creator), doors.state()[0])

        def body() -> dict[str, Any]:
            with database.read() as session:
                told = creators.story(session, path.creator, history=1)
            return {name: value for name, value in told.items() if name != "history"}

        return unless_known(about, body)

    @api.get("/creators/<int:creator>/runs", responses=answers(RunPage, 404))
    def runs(path: CreatorPath, query: RunsQuery) -> Response:
        """Reports of its looks, the newest first"""
        before = id_of(f"runs {path.creator}", query.cursor)
        with database.read() as session:
            creators.get(session, path.creator)
            about = (queries.creators_version(session, path.creator), doors.state()[0])

        def body() -> dict[str, Any]:
            with database.read() as session:
                found = queries.runs(session, path.creator, query.limit + 1, before)
                rows = [creators.run_row(session, one) for one in found[: query.limit]]
            more = len(found) > query.limit
            return {"runs": rows, "next": cursor(f"runs {path.creator}", rows[-1]["run"]) if more else None}

        return unless_known(about, body)

    @api.get("/creators/<int:creator>/metrics", responses=answers(Measurements, 404))
    def metrics(path: CreatorPath, query: NumbersQuery) -> Response:
        """Views, likes, shares and comments of its posts over time, the oldest first"""
        after = id_of(f"numbers {path.creator}", query.cursor) or 0
        with database.read() as session:
            creators.get(session, path.creator)
            rows = list(islice(queries.measurements(session, path.creator, after, query.limit + 1), query.limit + 1))
        shown = rows[: query.limit]
        more = len(rows) > query.limit
        following = cursor(f"numbers {path.creator}", shown[-1]["id"]) if more else None
        about = (len(rows), rows[-1]["id"] if rows else 0)
        return unless_known(about, lambda: {"measurements": shown, "next": following})

    def act(creator: int, what: str, reason: str = "") -> Response:
        return once(database, lambda _one: as_json(_or_conflict(lambda: creators.act(database, creator, what, reason))))

    @api.post("/creators/<int:creator>/run", responses=answers(CreatorRow, 404))
    def run_now(path: CreatorPath) -> Response:
        """Look at it now; the schedule stays"""
        return act(path.creator, "run")

    @api.post("/creators/<int:creator>/pause", responses=answers(CreatorRow, 404))
    def pause(path: CreatorPath, body: ReasonOrder) -> Response:
        """No looks until it is resumed"""
        return act(path.creator, "pause", body.reason)

    @api.post("/creators/<int:creator>/resume", responses=answers(CreatorRow, 404))
    def resume(path: CreatorPath) -> Response:
        """Go on: one look is owed, not those that were missed"""
        return act(path.creator, "resume")

    @api.post("/creators/<int:creator>/remove", responses=answers(CreatorRow, 404))
    def remove(path: CreatorPath) -> Response:
        """Follow it no more; what it has brought stays"""
        return act(path.creator, "remove")

    return api


T = TypeVar("T")


def _or_conflict(act: Callable[[], T]) -> T:
    """What the words mean together, or what a creator's state allows, no schema can say."""
    try:
        return act()
    except NotThere:
        raise
    except BadRequest as error:
        raise Problem(HTTPStatus.CONFLICT, "cannot-be-done", str(error)) from None


def _words(order: FollowOrder) -> Words:
    told = order.model_dump()
    told["by_list"] = told.pop("mode") == "list"
    return Words(**told)
