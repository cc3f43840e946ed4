"""The API as an OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.0).

It is exact: a request that it allows is answered, another one is refused, and nothing comes back but what it
says. What JSON Schema cannot say is there in words: which bytes are a picture, how many numbers a shape has.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from importlib.metadata import version
from typing import Any, cast

from headstart.inference.spec import BundleSpec
from headstart.serving.application import Settings
from headstart.serving.problems import KIND, kind_at
from headstart.serving.schemas import COUNT, FILE, NAME, TEXT, Json, components, given, listed, ref, taken

MEANING = {
    400: "The request is not what is asked for.",
    401: "A token is asked for, and this is none or a wrong one.",
    403: "It comes from another site's page, or is not asked for here.",
    404: "There is no such model, or no such answer.",
    408: "The request came too slowly.",
    409: "The correction is noted, but the picture is not that of the answer; or, where an explanation was"
    " asked for, the model's folder holds another one by now.",
    413: "The request, or the number of its pictures, is too large.",
    415: "The content is of another type.",
    421: "The server is not called that.",
    422: "No picture in it is a usable image.",
    429: "One client asks too often; see Retry-After.",
    503: "There is too much to do, the history cannot be reached, or the server ends; see Retry-After.",
    504: "The answer took too long; see Retry-After.",
}
LATER = {"Retry-After": {"required": True, "description": "Seconds to wait.", "schema": COUNT}}
HEADERS = {
    401: {"WWW-Authenticate": {"required": True, "schema": TEXT}},
    429: LATER,
    503: LATER,
    504: LATER,
}
ALWAYS = {400, 408, 413}
"""How any request may be refused."""


def document(settings: Settings, spec: BundleSpec) -> Json:
    """The whole document for a model."""
    schemes = {name: {"type": "http", "scheme": name} for name in ("bearer", "basic")}
    return {
        "openapi": "3.1.0",
        "info": {"title": f"headstart: {settings.name}", "version": version("headstart")},
        "paths": _posts(settings) | _gets(settings) | _protocol(settings),
        "components": {"schemas": components(settings, spec), "securitySchemes": schemes},
        "security": [{name: []} for name in schemes] if settings.protected else [],
    }


def _guarded(settings: Settings, *others: int) -> set[int]:
    """How a request may be refused that not everybody may send at any time."""
    own = {401} if settings.protected else set()
    return {*ALWAYS, *own, 421, *({429} if settings.limits.rate else ()), 503, *others}


def _posts(settings: Settings) -> Json:
    most, pictures = settings.limits.images, _guarded(settings, 403, 415, 422, 504)
    wanted = {"name": "class", "in": "query", "description": "Another class whose heat is wanted.",
              "schema": listed(ref("Class"), 0)}  # fmt: skip
    ids = {"required": True, "schema": TEXT | {"pattern": f"^({NAME}(,{NAME})*)?$"},
           "description": "What the history calls each answer; empty where there is none."}  # fmt: skip
    return {
        "/v1/predict": {
            "post": _does(
                f"What they show. One to {most} pictures, {settings.limits.body / 1e6:g} MB at most.",
                _json(ref("Predictions")) | {"headers": {"X-Answer-Ids": ids}},
                pictures, requestBody=_pictures("Pictures", most),
            )
        },
        "/v1/explain": {
            "post": _does("What the answer for one picture rests on.", _json(ref("Explanation")),
                          {*pictures, 409}, requestBody=_pictures("OnePicture", 1), parameters=[wanted])
        },
        "/v1/feedback": {
            "post": _does("What a picture shows, by the id of its answer (the header X-Answer-Ids).",
                          _json(ref("Corrected")), _guarded(settings, 403, 404, 409, 415, 504),
                          requestBody=_json(ref("Correction"), required=True))
        },
    }  # fmt: skip


def _gets(settings: Settings) -> Json:
    found, guarded = given(status={"const": "alive"}), _guarded(settings)
    ready, described = given(status={"const": "ready"}), taken(openapi=TEXT, paths={"type": "object"})
    numbers = {"content": {"text/plain": {"schema": TEXT}}}
    model = "What answers: network, classes, thresholds, engine."
    return {
        "/v1/model": {"get": _does(model, _json(ref("Model")), guarded)},
        "/health": {"get": _does("The process answers.", _json(found), ALWAYS, security=[])},
        "/ready": {"get": _does("New requests are taken.", _json(ready), {*ALWAYS, 503}, security=[])},
        "/metrics": {"get": _does("Counts and times for Prometheus.", numbers, guarded)},
        "/openapi.json": {"get": _does("This document.", _json(described), guarded)},
    }


def _protocol(settings: Settings) -> Json:
    """KServe's Open Inference Protocol, version 2."""
    does = partial(_does, kind=kind_at("/v2"))
    name = {"name": "name", "in": "path", "required": True, "schema": {"enum": [settings.name]}}
    guarded, named = _guarded(settings), cast(Json, {"parameters": [name]})
    live, ready = _json(given(live={"const": True})), _json(given(ready={"const": True}))
    model_ready = _json(given(name={"const": settings.name}, ready={"const": True}))
    server = _json(given(name=TEXT, version=TEXT, extensions=listed(TEXT, 0)))
    return {
        "/v2": {"get": does("What this server is.", server, guarded)},
        "/v2/health/live": {
            "get": does("As /health; KServe's Open Inference Protocol, version 2.", live, guarded)
        },
        "/v2/health/ready": {"get": does("As /ready.", ready, guarded)},
        "/v2/models/{name}": {
            "get": does("Names, types and shapes.", _json(ref("Metadata")), {*guarded, 404}, **named)
        },
        "/v2/models/{name}/ready": {"get": does("As /ready.", model_ready, {*guarded, 404}, **named)},
        "/v2/models/{name}/infer": {
            "post": does(
                "Probabilities of pictures that are decoded and fitted already, as many as the shape says.",
                _json(ref("Inferred")), _guarded(settings, 403, 404, 504),
                requestBody=_json(ref("Tensors"), required=True), **named,
            )
        },
    }  # fmt: skip


def _pictures(schema: str, most: int) -> Json:
    form, raw = taken(file=listed(FILE, 1, most)), FILE | {"minLength": 1}
    return {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": form},
            "image/*": {"schema": raw},
            "application/octet-stream": {"schema": raw},
            "application/json": {"schema": ref(schema)},
        },
    }


def _json(schema: Json, **more: Any) -> Json:
    return {"content": {"application/json": {"schema": schema}}, **more}


def _does(summary: str, answer: Json, refusals: Iterable[int], kind: str = KIND, **more: Any) -> Json:
    """An operation: what it gives, and how it may be refused, as which type; `more` are its other fields."""
    problems = {str(status): _problem(status, kind) for status in sorted(refusals)}
    return {"summary": summary, **more, "responses": {"200": {"description": "Done."} | answer} | problems}


def _problem(status: int, kind: str) -> Json:
    headers = {"headers": HEADERS[status]} if status in HEADERS else {}
    return {"description": MEANING[status], "content": {kind: {"schema": ref("Problem")}}, **headers}
