"""What Memories.ai has called back, over the API."""

from typing import Any

from flask import Response
from flask_openapi import APIBlueprint

from console.answering import as_json, cursor, id_of, not_there, unless_known
from console.documented import answers, blueprint
from console.doors import Doors
from console.once import Once, once
from console.schemas import CallbackPage, CallbackPath, CallbackRow, CallbacksQuery, Replayed, ReplayOrder
from ingest import operating, queries


def callbacks_api(doors: Doors) -> APIBlueprint:
    api = blueprint("callbacks", "POSTs received from Memories.ai, kept raw.")
    database = doors.database

    @api.get("/callbacks", responses=answers(CallbackPage, 404))
    def list_callbacks(query: CallbacksQuery) -> Response:
        """Callbacks, the newest first"""
        kind = f"callbacks {sorted(set(query.state))}"
        before = id_of(kind, query.cursor)
        with database.read() as session:
            about = queries.callbacks_version(session)

        def body() -> dict[str, Any]:
            with database.read() as session:
                found = queries.callbacks(session, query.state, query.limit + 1, before)
                rows = [queries.callback_row(one) for one in found[: query.limit]]
            more = len(found) > query.limit
            return {"callbacks": rows, "next": cursor(kind, rows[-1]["id"]) if more else None}

        return unless_known(about, body)

    @api.get("/callbacks/<int:callback>", responses=answers(CallbackRow, 404))
    def get_callback(path: CallbackPath) -> Response:
        """One callback, as it came"""
        with database.read() as session:
            found = queries.callback(session, path.callback)
        if found is None:
            raise not_there(f"there is no callback {path.callback}; raw ones are kept for a while only")
        row = queries.callback_row(found)
        return unless_known((found.state, found.tries, found.note), lambda: row)

    @api.post("/callbacks/<int:callback>/replay", responses=answers(Replayed, 404))
    def replay_callback(path: CallbackPath) -> Response:
        """Apply a callback once more"""

        def work(_one: Once | None) -> Response:
            return as_json({"replayed": operating.replay_callbacks(database, [path.callback], [])})

        return once(database, work)

    @api.post("/callbacks/replay", responses=answers(Replayed))
    def replay_callbacks(body: ReplayOrder) -> Response:
        """Apply all callbacks of these states once more"""

        def work(_one: Once | None) -> Response:
            return as_json({"replayed": operating.replay_callbacks(database, [], body.state)})

        return once(database, work)

    return api
