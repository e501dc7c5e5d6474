"""From the body of ``POST /jobs`` to a job: the same checks and the same writing as the command line's."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from console.answering import Problem, invalid
from console.doors import Doors
from console.once import Once
from console.schemas import AddJob, AdoptJob, CaptionJob
from ingest import queries
from ingest.adding import AddedJob, Wanted, add_items
from ingest.adopting import adopt
from ingest.captioning import Question, read_question, to_caption
from ingest.captions import SYSTEM_PROMPT
from ingest.lanes import Lane
from ingest.settings import ConfigurationError, Settings
from ingest.sources.files import quoted
from ingest.sources.found import Found, Options, SourceError
from ingest.sources.options import BadOptions, read_options
from ingest.sources.resolve import MOST_PROBLEMS, examine
from ingest.sources.roots import Roots
from ingest.upstream.errors import UpstreamError

Make = Callable[[Iterator[Found]], Iterator[Found]]


def make(doors: Doors, order: AddJob | CaptionJob | AdoptJob, once: Once | None) -> dict[str, Any]:
    """The job as ``MadeJob`` shows it. :class:`Problem` when it cannot be meant; then nothing was changed."""
    if isinstance(order, AdoptJob):
        return _adopt(doors, order)
    roots = Roots(doors.settings.library_roots)
    _check_roots(order, roots)
    try:
        if isinstance(order, AddJob):
            return _write(doors, order, _wanted(order), roots, once, iter)
        return _caption(doors, order, roots, once)
    except SourceError as error:
        raise invalid(error.problems[0], _listed(error.problems)) from None
    except (BadOptions, ConfigurationError) as error:
        raise invalid(str(error)) from None


def _check_roots(order: AddJob | CaptionJob, roots: Roots) -> None:
    """403 for paths that nobody may import from here; what else is wrong with them is nobody's business."""
    outside = [one for one in order.sources if _is_outside(one, roots)]
    if order.skip_invalid and len(outside) < len(order.sources):
        outside = []  # they are left out, and named
    if isinstance(order, CaptionJob):
        outside += [one.picture for one in order.persons if _is_outside(one.picture, roots)]
    if outside:
        listed = _listed([roots.refusal(quoted(one)) for one in outside[:MOST_PROBLEMS]])
        raise Problem(HTTPStatus.FORBIDDEN, "outside-roots", listed[0]["message"], errors=listed)


def _is_outside(source: str, roots: Roots) -> bool:
    return source.startswith("/") and not roots.hold(source)


def _listed(problems: list[str]) -> list[dict[str, str]]:
    return [{"field": "sources", "message": problem} for problem in problems]


def _wanted(order: AddJob) -> Wanted:
    said = {
        "unique_id": order.unique_id,
        "library": "public" if order.public else "private",
        "quality": order.quality,
        "tags": order.tags or None,
        "datetime_taken": order.datetime_taken,
        "camera_model": order.camera_model,
        **(order.place.model_dump() if order.place else {}),
    }
    options = read_options({name: value for name, value in said.items() if value is not None})
    options = replace(options, images=order.images, location=order.location)
    return Wanted(order.unique_id, order.public, options, order.priority, order.again)


def _caption(doors: Doors, order: CaptionJob, roots: Roots, once: Once | None) -> dict[str, Any]:
    question = Question(
        order.prompt,
        order.system_prompt or SYSTEM_PROMPT,
        [f"{one.name}={one.picture}" for one in order.persons],
        order.thinking,
        order.sync,
        order.split,
    )
    if not doors.settings.public_url and not order.sync:
        raise Problem(
            HTTPStatus.CONFLICT,
            "no-public-address",
            "sync: the result of a caption exists only in its callback, and INGEST_PUBLIC_URL is not set; set it to the address under "
            "which Memories.ai reaches the receiver, or ask with sync",
        )
    asked = read_question(doors.settings, question, roots)
    wanted = Wanted(options=Options(images=True), priority=order.priority, again=order.again, command="caption")
    # All of them at once: a post among them must be refused before anything is written.
    return _write(
        doors,
        order,
        wanted,
        roots,
        once,
        lambda found: iter(list(to_caption(found, asked, doors.settings, split=order.split))),
    )


def _write(
    doors: Doors, order: AddJob | CaptionJob, wanted: Wanted, roots: Roots, once: Once | None, make: Make
) -> dict[str, Any]:
    plan = examine(order.sources, options=wanted.options, roots=roots)
    if plan.invalid and (not order.skip_invalid or not plan):
        if wanted.public:  # which source is a post only a look at all of them tells
            raise Problem(HTTPStatus.CONFLICT, "sources", plan.problems[0], errors=_listed(plan.problems))
        raise SourceError(plan.problems)
    into = once.job if once else None
    added = add_items(
        doors.settings,
        doors.database,
        order.sources,
        make(plan.found()),
        wanted,
        first=once.made if once else None,
        into=into,
    )
    return _made(doors, added, plan.problems, whole=into is None)


def _made(doors: Doors, added: AddedJob, problems: list[str], *, whole: bool) -> dict[str, Any]:
    if whole:
        items, skipped = added.items, added.skipped
    else:  # an earlier try had written a part
        with doors.database.read() as session:
            counts = queries.counts(session, added.job)
        items, skipped = sum(counts.values()), counts["SKIPPED"]
    return {
        "job": added.job,
        "items": items,
        "queued": items - skipped,
        "skipped": skipped,
        "problems": problems,
    }


def _adopt(doors: Doors, order: AdoptJob) -> dict[str, Any]:
    try:
        doors.settings.require_key()
        job, found = adopt(doors.settings, doors.database, order.unique_id)
    except ConfigurationError as error:
        cause = error.__cause__
        code = cause.code if isinstance(cause, UpstreamError) else None
        raise Problem(HTTPStatus.BAD_GATEWAY, "vendor", str(error), code=code) from None
    return {
        "job": job,
        "items": found.queued + found.skipped,
        "queued": found.queued,
        "skipped": found.skipped,
        "problems": [],
    }


def worth_a_look(settings: Settings) -> int:
    """Seconds after which a look at a new job may show something."""
    limit = settings.limits[Lane.UPLOAD]
    return max(1, min(60, round(limit.interval if limit else 1)))
