"""Is it alive, can it work, does work go through? The only answers without a token, so they tell no more than that."""

from collections.abc import Mapping

import redis
from flask import Response
from flask_openapi import APIBlueprint, Tag
from sqlalchemy.exc import SQLAlchemyError

from console.answering import as_json
from console.doors import Doors
from console.schemas import Health
from ingest import queries
from ingest.clock import now_ms
from ingest.database import head_revision
from ingest.lanes import SENDING_LANES

#: A canary goes through each queue every ten seconds; one that is older than this was taken by nobody, ms.
_DEAF = 60_000
#: Work that is due, not paused, and older than this is not being done, ms. A lane of one call a minute takes its time.
_STUCK = 15 * 60_000
_OK = "ok"


_ALIVE = {"description": "It lives.", "content": {"text/plain": {"schema": {"type": "string"}}}}


def health_api(doors: Doors) -> APIBlueprint:
    api = APIBlueprint("health", "health", abp_tags=[Tag(name="health", description="Without a token.")])

    @api.get("/healthz", responses={200: _ALIVE})
    def alive() -> Response:
        """The console's process lives"""
        return Response("ok\n", mimetype="text/plain")  # as the receiver says it

    @api.get("/readyz", responses={200: Health, 503: Health})
    def ready() -> Response:
        """Database and Redis answer, and the schema is the program's"""
        return _say({"database": _database(doors), "redis": _redis(doors)})

    @api.get("/healthz/pipeline", responses={200: Health, 503: Health})
    def pipeline() -> Response:
        """Workers live and take messages, and nothing that is due lies about"""
        try:
            return _say(_pipeline(doors))
        except SQLAlchemyError:
            return _say({"database": "it does not answer"})

    return api


def _say(checks: Mapping[str, str]) -> Response:
    fine = all(one == _OK for one in checks.values())
    return as_json({"ok": fine, "checks": dict(checks)}, 200 if fine else 503)


def _database(doors: Doors) -> str:
    try:
        with doors.database.read() as session:
            there = queries.schema_revision(session)
    except SQLAlchemyError:
        return "it does not answer"
    return _OK if there == head_revision() else f"its schema is {there}; this program needs {head_revision()}"


def _redis(doors: Doors) -> str:
    try:
        policy = doors.redis.config_get("maxmemory-policy").get("maxmemory-policy", "noeviction")
        doors.redis.ping()
    except redis.RedisError:
        return "it does not answer"
    if policy != "noeviction":
        return f"it may drop keys (maxmemory-policy {policy}); set noeviction"
    return _OK


def _pipeline(doors: Doors) -> dict[str, str]:
    now = now_ms()
    lease = round(doors.settings.timings.lease * 1000)
    with doors.database.read() as session:
        workers = [one for one in queries.living_workers(session, now - lease) if one.stopping_at is None]
        due = {lane: queries.due_on_lane(session, lane, now) for lane in SENDING_LANES}
        held = {
            lane for lane in due if queries.pause_of_lane(session, lane, doors.settings.account_for(lane)) is not None
        }
        inbox = queries.inbox(session)
    checks = {}
    for queue in ("send", "settle"):
        mine = [one for one in workers if queue in one.queues.split(",")]
        took = max((one.took_at or one.started_at for one in mine), default=None)
        if took is None:
            checks[f"{queue} workers"] = "none lives"
        else:
            checks[f"{queue} workers"] = _OK if now - took < _DEAF else "they take no messages"
    for lane, found in due.items():
        if found is not None and lane not in held:
            limit = doors.settings.limits[lane]
            patience = _STUCK + (round(limit.interval * 1000) * found.items if limit else 0)
            checks[f"lane {lane}"] = _OK if now - found.since < patience else "due items are not being sent"
    if inbox.oldest_new is not None:
        checks["inbox"] = _OK if now - inbox.oldest_new < _DEAF else "callbacks are not being applied"
    return checks
