"""For a browser: the first link, which becomes a cookie, and the page that shows the API. Nothing is fetched from elsewhere."""

from http import HTTPStatus
from importlib.resources import files

from flask import Blueprint, Response, redirect, render_template, request
from werkzeug.wrappers import Response as Answer

from console.answering import Problem
from console.guard import COOKIE, Guard

_MONTH = 30 * 24 * 3600
#: The component styles itself inside the page; no script but ours runs, and nothing is asked of any other host.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def pages(guard: Guard) -> Blueprint:
    shown = Blueprint("pages", __name__, template_folder="templates", static_folder="static", static_url_path="/static")

    @shown.get("/")
    def front() -> Answer:
        token = request.args.get("token")
        if token is None:
            guard.admit()
            return redirect("/docs")
        guard.caller(token)  # a wrong one is told so, and slowed
        answer = redirect("/docs", HTTPStatus.SEE_OTHER)
        answer.set_cookie(COOKIE, token, max_age=_MONTH, httponly=True, samesite="Strict", path="/")
        return answer

    @shown.get("/docs")
    def docs() -> Answer:
        guard.admit()
        return Response(render_template("docs.html"))

    @shown.get("/static/rapidoc-min.js")
    def component() -> Answer:
        guard.admit()
        script = files("flask_openapi_rapidoc") / "templates" / "rapidoc" / "js" / "rapidoc-min.js"
        answer = Response(script.read_bytes(), mimetype="text/javascript")
        answer.headers["Cache-Control"] = "private, max-age=86400"
        return answer

    @shown.errorhandler(Problem)
    def not_in(error: Problem) -> Answer:
        """A person reads this one."""
        answer = Response(render_template("problem.html", problem=error), int(error.status))
        answer.headers.update(error.headers)
        return answer

    @shown.after_request
    def protect(answer: Answer) -> Answer:
        answer.headers["Content-Security-Policy"] = _POLICY
        return answer

    return shown
