"""Jobs over the API: made, listed, tried again, stopped, held back."""

from collections import Counter
from http import HTTPStatus
from typing import Any

from flask import Response
from flask_openapi import APIBlueprint

from console import making
from console.answering import as_json, cursor, id_of, not_there, unless_known
from console.documented import PREFIX, answers, blueprint
from console.doors import Doors
from console.once import Once, once
from console.schemas import (
    Cancelled,
    JobPage,
    JobPath,
    JobRow,
    JobsQuery,
    MadeJob,
    NewJob,
    PauseOrder,
    PauseRow,
    Resumed,
    Retried,
    RetryMany,
)
from ingest import operating, queries
from ingest.adding import wake
from ingest.models import Pause
from ingest.queries import Selection
from ingest.retrying import Action
from ingest.store import Retried as RetriedItem

#: Reasons that an answer tells; the items say the rest.
_MOST_REASONS = 100


def jobs_api(doors: Doors) -> APIBlueprint:
    api = blueprint("jobs", "Requests of users: import this folder, these links; caption these.")
    settings, database = doors.settings, doors.database

    @api.get("/jobs", responses=answers(JobPage, 404))
    def list_jobs(query: JobsQuery) -> Response:
        """Jobs, the newest first"""
        before = id_of("jobs", query.cursor)
        with database.read() as session:
            marks = queries.job_marks(session, query.limit + 1, before)

        def body() -> dict[str, Any]:
            with database.read() as session:
                found = queries.jobs(session, query.limit + 1, before)
                rows = queries.job_rows(session, found[: query.limit], settings)
            more = len(found) > query.limit
            return {"jobs": rows, "next": cursor("jobs", rows[-1]["job"]) if more else None}

        return unless_known((*doors.state(), marks), body)

    @api.post("/jobs", responses=answers(MadeJob, 502, status=202))
    def make_job(body: NewJob) -> Response:
        """Make a job; its items are sent as fast as the limits permit"""

        def work(one: Once | None) -> Response:
            made = making.make(doors, body.root, one)
            answer = as_json(made, HTTPStatus.ACCEPTED)
            answer.headers["Location"] = f"{PREFIX}/jobs/{made['job']}"
            return answer

        answer = once(database, work)
        answer.headers["Retry-After"] = str(making.worth_a_look(settings))
        return answer

    @api.get("/jobs/<int:job>", responses=answers(JobRow, 404))
    def get_job(path: JobPath) -> Response:
        """Where a job stands"""

        def body() -> dict[str, Any]:
            with database.read() as session:
                found = queries.job(session, path.job)
                if found is None:
                    raise _no_job(path.job)
                return queries.job_rows(session, [found], settings)[0]

        with database.read() as session:
            marks = queries.job_marks(session, 1, path.job + 1)
        if not marks or marks[0][0] != path.job:
            raise _no_job(path.job)
        return unless_known((*doors.state(path.job), marks), body)

    @api.post("/jobs/<int:job>/retry", responses=answers(Retried, 404))
    def retry_job(path: JobPath, body: RetryMany) -> Response:
        """Give what of a job failed or was cancelled another chance"""
        chosen = Selection(job_id=path.job, statuses=body.status, error_codes=body.error_code, stages=body.stage)

        def work(_one: Once | None) -> Response:
            _check(path.job)
            return as_json(retried(doors, [], chosen, body.resend, body.dry_run))

        return once(database, work)

    @api.post("/jobs/<int:job>/cancel", responses=answers(Cancelled, 404))
    def cancel_job(path: JobPath) -> Response:
        """Stop what of a job is not sent yet"""

        def work(_one: Once | None) -> Response:
            done = operating.cancel_job(database, path.job)
            return as_json({"cancelled": done["cancelled"], "going_on": done["going_on"]})

        return once(database, work)

    @api.post("/jobs/<int:job>/pause", responses=answers(PauseRow, 404))
    def pause_job(path: JobPath, body: PauseOrder) -> Response:
        """Hold a job back"""
        return once(database, lambda _one: pause(doors, f"job:{path.job}", body))

    @api.post("/jobs/<int:job>/resume", responses=answers(Resumed, 404))
    def resume_job(path: JobPath) -> Response:
        """Let a job go on"""
        return once(database, lambda _one: resume(doors, f"job:{path.job}"))

    def _check(job: int) -> None:
        with database.read() as session:
            if queries.job(session, job) is None:
                raise _no_job(job)

    return api


def _no_job(job: int) -> Exception:
    return not_there(f"there is no job {job}")


def retried(doors: Doors, named: list[int], chosen: Selection, resend: bool, dry_run: bool) -> dict[str, Any]:
    """Carry a retry out to its end and sum it up."""
    counts, why = Counter[Action](), list[dict[str, Any]]()
    for one in operating.retry(doors.database, named, chosen, resend=resend, dry_run=dry_run):
        counts[one.action] += 1
        if one.action is Action.PASSED_OVER and len(why) < _MOST_REASONS:
            why.append(_reason(one))
    if not dry_run and counts[Action.QUEUED] + counts[Action.ASKED]:
        wake(doors.settings, doors.database)
    return {
        "queued": counts[Action.QUEUED],
        "asked": counts[Action.ASKED],
        "passed_over": counts[Action.PASSED_OVER],
        "why": why,
    }


def _reason(one: RetriedItem) -> dict[str, Any]:
    return {"item": one.item.id, "reason": one.why}


def pause(doors: Doors, scope: str, order: PauseOrder) -> Response:
    """Of a job, a lane, an account alike."""
    scope = operating.scope_of(doors.settings, doors.database, scope)
    paused: Pause = operating.pause(doors.database, scope, order.reason, order.seconds).pause
    return as_json(queries.pause_row(paused))


def resume(doors: Doors, scope: str) -> Response:
    scope = operating.scope_of(doors.settings, doors.database, scope)
    done = operating.resume(doors.settings, doors.database, scope)
    if done.ended:
        wake(doors.settings, doors.database)
    return as_json({"resumed": done.ended, "paused": done.still and queries.pause_row(done.still)})
