"""Items over the API: pages under filters, one with its whole story, another chance, the end."""

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Response
from flask_openapi import APIBlueprint

from console.answering import Problem, as_json, cursor, id_of, not_there, unless_known
from console.documented import answers, blueprint
from console.doors import Doors
from console.jobs import retried
from console.once import Once, once
from console.schemas import CancelledItem, ItemPage, ItemPath, ItemsQuery, ItemStory, Retried, RetryOne
from ingest import operating, queries
from ingest.queries import Selection

#: Filter of the API -> column.
_COLUMNS = {
    "status": "status",
    "job": "job_id",
    "kind": "kind",
    "platform": "platform",
    "lane": "lane",
    "error_code": "error_code",
    "namespace": "unique_id",
}


def items_api(doors: Doors) -> APIBlueprint:
    api = blueprint("items", "Pieces of work: a file, a link, a post, a picture, a caption.")
    database = doors.database

    @api.get("/items", responses=answers(ItemPage, 404))
    def list_items(query: ItemsQuery) -> Response:
        """Items under any filters, from any place at the same cost"""
        filters = {column: list(dict.fromkeys(getattr(query, name))) for name, column in _COLUMNS.items()}
        kind = list_kind(query.order, {name: list(map(str, getattr(query, name))) for name in _COLUMNS})
        after = id_of(kind, query.cursor)

        def body() -> dict[str, Any]:
            with database.read() as session:
                page = queries.page(
                    session, filters, after=after, limit=query.limit, newest_first=query.order == "newest"
                )
                rows = [queries.item_row(one) for one in page.items]
            return {"items": rows, "next": None if page.after is None else cursor(kind, page.after)}

        jobs = filters["job_id"]
        return unless_known(doors.state(jobs[0] if len(jobs) == 1 else None)[:1], body)

    @api.get("/items/<int:item>", responses=answers(ItemStory, 404))
    def get_item(path: ItemPath) -> Response:
        """The whole story of an item"""
        with database.read() as session:
            about = queries.item_version(session, path.item)
        if about is None:
            raise _no_item(path.item)

        def body() -> dict[str, Any]:
            with database.read() as session:
                return queries.item_story(session, path.item) or {}

        return unless_known(about, body)

    @api.post("/items/<int:item>/retry", responses=answers(Retried, 404))
    def retry_item(path: ItemPath, body: RetryOne) -> Response:
        """Give an item another chance"""

        def work(_one: Once | None) -> Response:
            return as_json(retried(doors, [path.item], Selection(), body.resend, body.dry_run))

        return once(database, work)

    @api.post("/items/<int:item>/cancel", responses=answers(CancelledItem, 404))
    def cancel_item(path: ItemPath) -> Response:
        """Stop an item that is not sent yet"""

        def work(_one: Once | None) -> Response:
            (row,) = operating.cancel_items(database, [path.item])
            return as_json({name: row[name] for name in ("cancelled", "status", "why")})

        return once(database, work)

    return api


def list_kind(order: str, filters: Mapping[str, Sequence[str]]) -> str:
    """Names a list under its filters, for cursors."""
    return f"items {order} {sorted((name, sorted(set(values))) for name, values in filters.items() if values)}"


def _no_item(item: int) -> Problem:
    return not_there(f"there is no item {item}")
