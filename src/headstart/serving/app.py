"""The factory of the web application: it takes model and settings, so a test builds it with a small one."""

from __future__ import annotations

import time
from http import HTTPStatus

import flask
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from headstart.errors import HeadstartError
from headstart.serving import api, page, past
from headstart.serving.application import App, Metrics, Settings
from headstart.serving.history import History
from headstart.serving.problems import KIND, Problem, kind_at, problem
from headstart.serving.service import Service


def create_app(service: Service, settings: Settings, history: History | None = None) -> App:
    """Builds the application.

    Args:
        service: the model.
        settings: see there.
        history: where answers are noted; None: nowhere, and no one can correct them.
    """
    app = App("headstart.serving")
    app.service, app.settings, app.history = service, settings, history
    app.metrics = Metrics(settings.limits.deadline)
    app.json.sort_keys = False  # type: ignore[attr-defined]  # classes keep their order
    app.debug = False  # whatever FLASK_DEBUG says
    app.config |= {
        "MAX_CONTENT_LENGTH": settings.limits.body,
        "MAX_FORM_MEMORY_SIZE": settings.limits.body,
    }
    app.before_request(_begin)
    app.after_request(_end)
    app.register_error_handler(HeadstartError, lambda error: _answer(problem(error)))
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(RecursionError, _too_deep)
    app.register_error_handler(SQLAlchemyError, _unnoted)
    app.register_blueprint(api.blueprint)
    app.register_blueprint(page.blueprint)
    if history:
        app.register_blueprint(past.blueprint)
    return app


def _begin() -> flask.Response | None:
    flask.g.begun = time.perf_counter()
    if flask.request.method == "POST" and _foreign():
        return _answer(Problem(HTTPStatus.FORBIDDEN, "Another page may not ask in its visitor's name."))
    return None


def _foreign() -> bool:
    """Whether a browser says that another site's page sends this; programs say nothing of the kind."""
    origin, site = (flask.request.headers.get(name) for name in ("Origin", "Sec-Fetch-Site"))
    same = origin in (None, f"{flask.request.scheme}://{flask.request.host}", f"https://{flask.request.host}")
    return not same or site not in (None, "same-origin", "none")


def _end(response: flask.Response) -> flask.Response:
    metrics = flask.current_app.metrics  # type: ignore[attr-defined]
    endpoint = flask.request.endpoint or "none"
    metrics.requests.labels(endpoint, response.status_code).inc()
    metrics.seconds.labels(endpoint).observe(time.perf_counter() - flask.g.begun)
    return response


def _http(error: HTTPException) -> flask.Response:
    status = HTTPStatus(error.code or 500)
    response = _answer(Problem(status, str(error.description)))
    if error.get_response().headers.get("Allow"):
        response.headers["Allow"] = error.get_response().headers["Allow"]
    return response


def _too_deep(_: RecursionError) -> flask.Response:
    return _answer(Problem(HTTPStatus.BAD_REQUEST, "This JSON is nested too deeply."))


def _unnoted(error: SQLAlchemyError) -> flask.Response:
    """An answer that cannot be noted is not given."""
    flask.current_app.logger.error("history: %s", str(error).splitlines()[0])
    text = "The history cannot be reached, so nothing was answered; try again in a moment."
    return _answer(Problem(HTTPStatus.SERVICE_UNAVAILABLE, text, 5))


def _answer(found: Problem) -> flask.Response:
    """A page for people, problem details for programs."""
    part, wanted = flask.request.blueprint, flask.request.accept_mimetypes.values()
    text, kind = found.text(), kind_at(flask.request.path)
    if part in ("page", "past") or (part is None and kind == KIND and "text/html" in wanted):
        text, kind = page.problem(found), "text/html; charset=utf-8"
    return flask.Response(text, int(found.status), found.headers, content_type=kind)
