"""The API for programs: predictions, explanations, the model, health, and KServe's inference protocol."""

from __future__ import annotations

import hashlib
import logging
import math
import re
import time
from importlib.metadata import version
from itertools import chain
from typing import Any, cast

import flask
import numpy as np
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.exc import SQLAlchemyError

from headstart.errors import ImageError, InputError, sentence
from headstart.evaluation.explain import Explanation
from headstart.inference.forms import as_json
from headstart.report.heat import coloured
from headstart.report.thumbnails import data_uri
from headstart.serving import openapi
from headstart.serving.application import App
from headstart.serving.database import reason
from headstart.serving.history import History
from headstart.serving.schemas import NAME
from headstart.serving.service import BusyError, Looked
from headstart.serving.turns import LateError
from headstart.serving.uploads import MOST_PARTS, decoded, shallow, uploads

blueprint = flask.Blueprint("api", __name__)
DEEPEST = 4  # lists in lists
log = logging.getLogger("headstart.serving")


def app() -> App:
    """The application that serves this request."""
    return cast(App, flask.current_app)


@blueprint.post("/v1/predict")
def predict() -> flask.Response:
    """The very text that `headstart predict --format json` writes; an error if no image could be read."""
    looked, ids = answered()
    answers = [one.said for one in looked]
    if all(one.error for one in answers):
        raise ImageError(answers[0].error)
    text = "".join(as_json([answers]))
    return flask.Response(text, headers={"X-Answer-Ids": ",".join(ids)}, content_type="application/json")


def answered() -> tuple[list[Looked], list[str]]:
    """Answers for the pictures of this request, counted and noted, and what the history calls each."""
    sent = uploads(flask.request, app().settings.limits.images)
    looked, history = app().service.look(sent), app().history
    answers, ids = [one.said for one in looked], []
    if history:
        ids = history.add(app().service.digest, sent, answers)
        if app().settings.keep_images:
            _keep(history, [content for _, content in sent])
    app().metrics.count(answers)
    return looked, ids


def _keep(history: History, contents: list[bytes]) -> None:
    """Keeps pictures for as long as an answer may take; what finds no turn in that time is left out."""
    until = time.monotonic() + app().settings.limits.deadline
    for number, content in enumerate(contents):
        try:
            history.keep(content, until - time.monotonic())
        except LateError:
            log.warning("%d pictures were not kept: there was no turn in time", len(contents) - number)
            return
        except SQLAlchemyError as error:  # the answers are noted, and given
            log.warning("%d pictures were not kept: %s", len(contents) - number, reason(error))
            return


@blueprint.post("/v1/feedback")
def feedback() -> flask.Response:
    """Notes what a picture shows, by the name of its answer, and keeps the picture if it comes along."""
    body = shallow(flask.request).get_json()
    try:
        name, label = body["id"], body["label"]
        content = decoded(body.get("image", ""))
    except (AttributeError, KeyError, TypeError, ValueError):
        allowed = '{"id": "…", "label": "…", "image": "in base64, or left out"}'
        raise InputError(sentence("This JSON is no correction.", allowed=allowed)) from None
    correct(name, label, content)
    return flask.jsonify(id=name, label=label)


def correct(name: object, label: object, content: bytes) -> None:
    """Notes what the picture of an answer shows, and keeps the picture if there is room and time for it.

    Raises:
        InputError: a class that there isn't.
        HTTPException: no such answer (404), another picture than that of the answer (409), or corrections
            are not asked for (403).
    """
    history, names = app().history, app().service.predictor.spec.class_names
    if history is None or not app().settings.feedback:
        flask.abort(403, "This server takes no corrections.")
    if label not in names:
        raise InputError(sentence("There is no such class.", allowed=", ".join(names), received=str(label)))
    called = name if isinstance(name, str) and re.fullmatch(NAME, name) else ""
    if not (sha256 := history.correct(called, str(label))):
        flask.abort(404, "There is no such answer; it may have been forgotten.")
    if content and hashlib.sha256(content).hexdigest() != sha256:
        flask.abort(
            409, "The correction is noted, but this is not the picture of that answer, so it isn't kept."
        )
    if content:
        try:
            history.keep(content, app().settings.limits.deadline)
        except (LateError, SQLAlchemyError) as error:  # the correction is noted, and stays so
            log.warning("The picture of a correction was not kept: %s", reason(error))


@blueprint.post("/v1/explain")
def explain() -> flask.Response:
    """Of one image: the answer, the heat of its class and of those in `class`, and the nearest neighbours."""
    found = explained()
    answer = flask.json.loads("".join(as_json([[found.prediction]])))[0]
    heats = {name: data_uri(coloured(heat), "PNG").partition(",")[2] for name, heat in found.heats.items()}
    border = None if math.isnan(found.border) else round(found.border, 6)  # there may be no heat at all
    near = [one._asdict() | {"similarity": round(one.similarity, 6)} for one in found.neighbours]
    return flask.jsonify(answer | {"border_share": border, "heats": heats, "neighbours": near})


def explained() -> Explanation:
    """What the request asks to be explained.

    Raises:
        InputError: a class that there isn't, or not one image.
    """
    sent, classes = uploads(flask.request, 1), flask.request.args.getlist("class")
    names = app().service.predictor.spec.class_names
    if unknown := [name for name in classes if name not in names]:
        raise InputError(sentence("There is no such class.", allowed=", ".join(names), received=unknown[0]))
    return app().service.explain(sent[0], classes)


@blueprint.get("/v1/model")
def model() -> flask.Response:
    """What answers: network, classes, thresholds, engine."""
    predictor = app().service.predictor
    spec = predictor.spec
    return flask.jsonify(
        name=app().settings.name, sha256=app().service.digest, backbone=spec.backbone, head=spec.head,
        image_size=spec.image_size, fit=spec.fit, views=spec.views, class_names=spec.class_names,
        engine=predictor.engine_name, temperature=spec.temperature,
        thresholds={"confidence": predictor.rule.confidence, "distance": predictor.rule.distance},
    )  # fmt: skip


@blueprint.get("/health")
def health() -> flask.Response:
    """The process answers."""
    return flask.jsonify(status="alive")


@blueprint.get("/ready")
def ready() -> flask.Response:
    """New requests are taken."""
    _require_ready()
    return flask.jsonify(status="ready")


@blueprint.get("/metrics")
def metrics() -> flask.Response:
    """Counts and times for Prometheus."""
    return flask.Response(generate_latest(app().metrics.registry), content_type=CONTENT_TYPE_LATEST)


@blueprint.get("/openapi.json")
def described() -> flask.Response:
    """This API as OpenAPI 3.1."""
    return flask.jsonify(openapi.document(app().settings, app().service.predictor.spec))


# --- KServe's Open Inference Protocol, version 2 --------------------------------------------------------


@blueprint.get("/v2")
def server() -> flask.Response:
    """What this server is."""
    return flask.jsonify(name="headstart", version=version("headstart"), extensions=[])


@blueprint.get("/v2/health/live")
def live() -> flask.Response:
    """As `/health`."""
    return flask.jsonify(live=True)


@blueprint.get("/v2/health/ready")
def server_ready() -> flask.Response:
    """As `/ready`."""
    _require_ready()
    return flask.jsonify(ready=True)


@blueprint.get("/v2/models/<name>/ready")
def model_ready(name: str) -> flask.Response:
    """As `/ready`."""
    _require_model(name)
    _require_ready()
    return flask.jsonify(name=name, ready=True)


@blueprint.get("/v2/models/<name>")
def metadata(name: str) -> flask.Response:
    """Names, types and shapes of input and output."""
    _require_model(name)
    spec = app().service.predictor.spec
    image = {"name": "image", "datatype": "UINT8", "shape": [-1, spec.image_size, spec.image_size, 3]}
    output = {"name": "probabilities", "datatype": "FP32", "shape": [-1, len(spec.class_names)]}
    return flask.jsonify(name=name, platform="headstart", inputs=[image], outputs=[output])


@blueprint.post("/v2/models/<name>/infer")
def infer(name: str) -> flask.Response:
    """Probabilities of images that are decoded and fitted already."""
    _require_model(name)
    size, images = app().service.predictor.spec.image_size, app().settings.limits.images
    request = shallow(flask.request, images * size * (size + 1) + MOST_PARTS)
    squares, called = _tensor(request.get_json(force=True))  # clients of Triton name no type
    answers = app().service.predict_squares(squares)
    app().metrics.count(answers)
    data = [p for one in answers for p in one.probabilities.values()]
    shape = [len(answers), len(app().service.predictor.spec.class_names)]
    output = {"name": "probabilities", "datatype": "FP32", "shape": shape, "data": data}
    return flask.jsonify({"model_name": name, "outputs": [output]} | called)


def _tensor(body: Any) -> tuple[np.ndarray, dict[str, str]]:
    """The (N, size, size, 3) uint8 tensor `image` of a request, and the `id` that it may have."""
    size, most = app().service.predictor.spec.image_size, app().settings.limits.images
    try:
        (tensor,) = body["inputs"]
        called = {"id": body["id"]} if "id" in body else {}
        named = (tensor["name"], tensor["datatype"]) == ("image", "UINT8")
        squares = _squares(tensor["data"], tensor["shape"]) if named else np.empty(0)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        called, squares = {}, np.empty(0)
    fits = squares.shape[1:] == (size, size, 3) and 0 < len(squares) <= most
    if not fits or not all(isinstance(one, str) for one in called.values()):
        allowed = f"one input `image`, UINT8, of the shape [1 to {most}, {size}, {size}, 3]"
        raise InputError(sentence("This is no such tensor.", allowed=allowed))
    return squares, called


def _squares(data: Any, shape: list[int]) -> np.ndarray:
    """Numbers from 0 to 255 in a list, or in lists of lists as the shape says.

    Raises:
        TypeError, ValueError, OverflowError: they are none, or as many as the shape says.
    """
    nested, numbers = _flat(data)
    if {*map(type, numbers), *map(type, shape)} != {int}:  # True is a number to Python
        raise ValueError
    squares = np.array(numbers, np.uint8).reshape(shape)
    if squares.shape != tuple(shape) or nested not in ((len(numbers),), squares.shape):
        raise ValueError
    return squares


def _flat(data: Any) -> tuple[tuple[int, ...], list[Any]]:
    """The shape of lists in lists, and what is in them; numpy would make room for a long text everywhere.

    Raises:
        TypeError, ValueError: they are none, or of several lengths.
    """
    if type(data) is not list:
        raise TypeError
    shape = [len(data)]
    while data and type(data[0]) is list:
        if len(shape) == DEEPEST or {(type(one), len(one)) for one in data} != {(list, len(data[0]))}:
            raise ValueError
        shape.append(len(data[0]))
        data = list(chain.from_iterable(data))
    return tuple(shape), data


def _require_ready() -> None:
    if not app().service.alive:
        raise BusyError("The server ends." if app().service.ending else "The model's thread has ended.")


def _require_model(name: str) -> None:
    if name != app().settings.name:
        flask.abort(404, f"There is one model here, and it is called {app().settings.name}.")
