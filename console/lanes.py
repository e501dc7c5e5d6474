"""Lanes and accounts over the API: what each allows, what waits for it; held back and let go on."""

from flask import Response
from flask_openapi import APIBlueprint

from console.answering import not_there, unless_known
from console.documented import answers, blueprint
from console.doors import Doors
from console.jobs import pause, resume
from console.once import once
from console.schemas import AccountPath, LanePath, Lanes, PauseOrder, PauseRow, Resumed
from ingest.lanes import Lane


def lanes_api(doors: Doors) -> APIBlueprint:
    api = blueprint(
        "lanes", "Rows of the vendor's rate table: the calls that share a limit. And the accounts they count for."
    )
    database = doors.database

    @api.get("/lanes", responses=answers(Lanes))
    def list_lanes() -> Response:
        """Each lane: its limit, its next slot, what waits for it, and when that will have been sent"""
        about, as_of, rows = doors.lanes_now()
        return unless_known(about, lambda: {"lanes": rows, "as_of": as_of})

    @api.post("/lanes/<lane>/pause", responses=answers(PauseRow))
    def pause_lane(path: LanePath, body: PauseOrder) -> Response:
        """Hold a lane back; what is under way goes on"""
        return once(database, lambda _one: pause(doors, f"lane:{path.lane}", body))

    @api.post("/lanes/<lane>/resume", responses=answers(Resumed))
    def resume_lane(path: LanePath) -> Response:
        """Let a lane go on; not while its account is paused"""
        return once(database, lambda _one: resume(doors, f"lane:{path.lane}"))

    @api.post("/accounts/<account>/pause", responses=answers(PauseRow, 404))
    def pause_account(path: AccountPath, body: PauseOrder) -> Response:
        """Hold back everything of an account"""
        return once(database, lambda _one: pause(doors, _known(doors, path.account), body))

    @api.post("/accounts/<account>/resume", responses=answers(Resumed, 404))
    def resume_account(path: AccountPath) -> Response:
        """Let an account go on"""
        return once(database, lambda _one: resume(doors, _known(doors, path.account)))

    return api


def _known(doors: Doors, account: str) -> str:
    """A key for captions alone is an account of its own; without one there is no such account."""
    if account not in (doors.settings.account.scope, doors.settings.account_for(Lane.CAPTION_VIDEO).scope):
        raise not_there(f"there is no {account} here: captions use the one key")
    return account
