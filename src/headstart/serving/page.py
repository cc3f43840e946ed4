"""The page for people: pictures in, answers out, with or without scripts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import flask
import numpy as np
from werkzeug.exceptions import RequestEntityTooLarge

from headstart.errors import ImageError, printable
from headstart.evaluation.explain import Explanation
from headstart.inference.predictor import Prediction
from headstart.report.heat import coloured
from headstart.report.thumbnails import data_uri, resized, small
from headstart.serving import openapi
from headstart.serving.api import answered, app, correct, explained
from headstart.serving.problems import Problem
from headstart.serving.turns import LateError, decoding

blueprint = flask.Blueprint("page", __name__, static_folder="static", static_url_path="/static")

BARS = 5  # classes whose probabilities are shown
SIDE = 224  # pixels of a picture on the page
PLAIN = 10_000  # bytes of a form without files, of which nothing else bounds what parsing takes
REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; img-src data:;"
    " style-src 'unsafe-inline'; script-src 'unsafe-inline';"
    " frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
"""The report has script and style inside; its own policy, which counts too, names the script by its hash."""


@dataclass(frozen=True)
class Answer:
    """What the page shows of one picture."""

    said: Prediction
    picture: str
    bars: tuple[tuple[str, float], ...]
    name: str


@blueprint.get("/")
def start() -> str:
    """The page, empty."""
    return _page()


@blueprint.post("/")
def ask() -> str:
    """Answers for the pictures of a form: alone for the script, on a page of their own without it."""
    looked, ids = answered()
    shown = [_shown(*one, name) for one, name in zip(looked, ids or [""] * len(looked), strict=True)]
    if "X-Part" in flask.request.headers:
        return flask.render_template("answers.html.j2", answers=shown, **about())
    return _page(shown)


@blueprint.post("/feedback")
def feedback() -> str:
    """Notes which class a person has chosen instead."""
    if flask.request.mimetype != "multipart/form-data" and len(flask.request.get_data()) > PLAIN:
        raise RequestEntityTooLarge(f"A form without files may have {PLAIN:,} bytes.")
    file = flask.request.files.get("file")
    label = flask.request.form.get("label")
    correct(flask.request.form.get("id"), label, file.read() if file else b"")
    part = "X-Part" in flask.request.headers
    return flask.render_template("corrected.html.j2", label=label, part=part, **about())


@blueprint.post("/explanation")
def explanation() -> str:
    """What the answer for one picture rests on."""
    found = explained()
    square = resized(found.square, SIDE)
    heat = data_uri(coloured(found.heats[found.prediction.label]), "PNG")
    return flask.render_template(
        "explanation.html.j2", found=found, picture=data_uri(square), heat=heat, neighbours=_neighbours(found)
    )


@blueprint.get("/report")
def report() -> flask.Response:
    """The run's report, kept apart from this page."""
    if not app().settings.report:
        flask.abort(404, "There is no report beside this model.")
    response = flask.Response(app().settings.report, content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = REPORT_POLICY
    return response


@blueprint.get("/api")
def api() -> str:
    """The API, to be read."""
    document = openapi.document(app().settings, app().service.predictor.spec)
    return flask.render_template("api.html.j2", api=document, protected=app().settings.protected, **about())


def problem(found: Problem) -> str:
    """What went wrong, as a page, or as an answer for the script."""
    part = "X-Part" in flask.request.headers
    return flask.render_template("problem.html.j2", problem=found, part=part, **about())


def _page(answers: list[Answer] | None = None) -> str:
    return flask.render_template("page.html.j2", answers=answers or [], **about())


def about() -> dict[str, object]:
    """What every page is given."""
    settings, spec = app().settings, app().service.predictor.spec
    return {
        "name": settings.name,
        "class_names": spec.class_names,
        "limits": settings.limits,
        "settled": app().service.predictor.rule.confidence > 0,
        "report": bool(settings.report),
        "history": app().history is not None,
        "feedback": settings.feedback and app().history is not None,
        "keep_images": settings.keep_images and app().history is not None,
    }


def _shown(said: Prediction, square: np.ndarray | None, name: str) -> Answer:
    if square is None:
        return Answer(said, "", (), name)
    bars = sorted(said.probabilities.items(), key=lambda pair: -pair[1])[:BARS]
    return Answer(said, data_uri(resized(square, SIDE)), tuple(bars), name)


def _small(path: Path) -> np.ndarray | ImageError:
    """A training image, which may be large: one a core is decoded."""
    try:
        with decoding(app().settings.limits.deadline):
            return small(path)
    except LateError as error:
        return ImageError(str(error))


def _neighbours(found: Explanation) -> list[tuple[str, str, float]]:
    """Picture (empty where it isn't there any more), class and likeness of each."""
    root = app().settings.images
    rows = []
    for one in found.neighbours:
        pixels = _small(root / one.path) if root else ImageError("")
        rows.append(
            ("" if isinstance(pixels, ImageError) else data_uri(pixels), printable(one.label), one.similarity)
        )
    return rows
