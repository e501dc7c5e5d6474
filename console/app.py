"""The operator's door: ``/api/v1``, ``/metrics``, health, and the page that shows the API.

Every read is one of ``ingest.queries``, every write one of ``ingest.store``. Only health answers without a token.
"""

import json
import signal
from importlib.metadata import version
from typing import Any

from flask import Flask, Response, request
from flask_openapi import Info, OpenAPI
from sqlalchemy.exc import SQLAlchemyError

from console.answering import JSON, PROBLEM_JSON, Problem, answer_errors, check_body, invalid_input, unless_known
from console.callbacks import callbacks_api
from console.creators import creators_api
from console.discretion import Discretion
from console.documented import PREFIX, SECURITY_SCHEMES, finish
from console.doors import Doors
from console.health import health_api
from console.items import items_api
from console.jobs import jobs_api
from console.lanes import lanes_api
from console.metrics import Collector, exposition
from console.pages import pages
from console.schemas import Order
from console.schemas import Problem as ProblemModel
from console.state import state_api
from ingest.choosing import BadRequest, NotThere
from ingest.database import Database, open_database
from ingest.settings import Settings, load

#: Bytes of a body: as many sources as one may hold, each as long as it may be.
_LARGEST_BODY = 16 << 20
_SPEC = f"{PREFIX}/openapi.json"
_UNTAGGED = frozenset({f"{PREFIX}/changes"})


def create_app(settings: Settings, database: Database) -> Flask:
    about = Info(
        title="memories-ingest",
        version=version("memories-ingest"),
        description="Where each video stands, and everything to operate. Times are RFC 3339 in UTC; lists are paged by opaque cursors.",
    )
    app = OpenAPI(
        "console",
        info=about,
        security_schemes=SECURITY_SCHEMES,
        validation_error_callback=invalid_input,
        validation_error_model=ProblemModel,
        doc_ui=False,
        static_folder=None,
    )
    app.openapi_version = "3.1.0"
    app.config["MAX_CONTENT_LENGTH"] = _LARGEST_BODY
    doors = Doors(settings, database)
    guard, without_secrets = doors.guard, Discretion(settings)
    answer_errors(app)
    _translate_errors(app)

    @app.before_request
    def check() -> None:
        if request.path.startswith((f"{PREFIX}/", "/metrics")):
            guard.admit()
            # Not before, nor elsewhere: whoever has no token must not keep a thread waiting for a body that never ends.
            if request.method == "POST":
                check_body()

    @app.after_request
    def protect(answer: Response) -> Response:
        if answer.mimetype in (JSON, PROBLEM_JSON):
            answer.set_data(without_secrets(answer.get_data()))
        answer.headers["X-Content-Type-Options"] = "nosniff"
        answer.headers["Referrer-Policy"] = "no-referrer"
        answer.headers.setdefault("Cache-Control", "no-store")
        return answer

    for part in (jobs_api, items_api, callbacks_api, creators_api, lanes_api, state_api):
        app.register_api(part(doors))
    app.register_api(health_api(doors))
    app.register_blueprint(pages(guard))

    collector = Collector(settings, database, doors.quota)

    @app.get("/metrics", doc_ui=False)
    def metrics() -> Response:
        body, content_type = exposition(collector)
        return Response(body, content_type=content_type)

    document = app.config["OPENAPI"] = _spec(app)

    @app.get(_SPEC, doc_ui=False)
    def openapi() -> Response:
        return unless_known((), lambda: document)

    return app


def _spec(app: Any) -> str:
    """The OpenAPI document, as text. Made once: to finish it twice would say everything twice."""
    optional = frozenset(one.__name__ for one in Order.__subclasses__())
    return json.dumps(finish(app.api_doc, _UNTAGGED, optional))


def _translate_errors(app: Flask) -> None:
    """Sentences of the house become answers of the API."""
    from http import HTTPStatus

    @app.errorhandler(NotThere)
    def not_there(error: NotThere) -> Response:
        return Problem(HTTPStatus.NOT_FOUND, "not-found", str(error)).response()

    @app.errorhandler(BadRequest)
    def bad(error: BadRequest) -> Response:
        return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", str(error)).response()

    @app.errorhandler(SQLAlchemyError)
    def database_away(error: SQLAlchemyError) -> Response:
        app.logger.error("The database did not answer: %s", error)
        return Problem(
            HTTPStatus.SERVICE_UNAVAILABLE, "database", "the database does not answer", headers={"Retry-After": "5"}
        ).response()


def from_environment() -> Flask:
    """What the server loads in its worker process."""
    from ingest.processes import die_with_parent

    # SIGKILL: the server takes up SIGTERM late in its start, and one that is answered nothing has nothing to finish.
    die_with_parent(signal.SIGKILL)
    settings = load()
    return create_app(settings, open_database(settings.database))
