"""The API as an OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.0)."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from headstart.serving.limits import Limits

Json = dict[str, Any]

NUMBER, TEXT = {"type": "number"}, {"type": "string"}
PROBABILITY = {"type": "number", "minimum": 0, "maximum": 1}


def _object(required: bool = True, **properties: Json) -> Json:
    found: Json = {"type": "object", "properties": properties}
    return found | ({"required": list(properties)} if required else {})


PREDICTION = _object(
    path=TEXT | {"description": "The name that came with the picture."},
    label=TEXT | {"description": "The answer; empty where there is an error."},
    confidence=PROBABILITY | {"description": "Its calibrated probability."},
    probabilities={"type": "object", "additionalProperties": PROBABILITY},
    decision={"enum": ["accept", "abstain", "unfamiliar", ""], "description": "Whether to act on it."},
    distance={"type": ["number", "null"], "description": "To the training images; about 1 for one of them."},
    error=TEXT | {"description": "Why there is no answer, or empty."},
)
NEIGHBOUR = _object(path=TEXT, label=TEXT, similarity=NUMBER)
EXPLANATION = {
    "allOf": [
        {"$ref": "#/components/schemas/Prediction"},
        _object(
            border_share=PROBABILITY
            | {"type": ["number", "null"], "description": "Share of the answer's heat at the border."},
            heats={
                "type": "object",
                "additionalProperties": TEXT | {"contentEncoding": "base64", "contentMediaType": "image/png"},
            },
            neighbours={"type": "array", "items": {"$ref": "#/components/schemas/Neighbour"}},
        ),
    ]
}
CORRECTION = _object(id=TEXT, label=TEXT)
CORRECTION["properties"] |= {"image": TEXT | {"contentEncoding": "base64"}}
PROBLEM = _object(type=TEXT, title=TEXT, status={"type": "integer"}, detail=TEXT)
TENSOR = _object(
    name=TEXT, datatype=TEXT, shape={"type": "array", "items": {"type": "integer"}}, data={"type": "array"}
)
ERRORS = {
    400: "The request is not what is asked for.",
    401: "A token is asked for, and this is none or a wrong one.",
    403: "It comes from another site's page, or is not asked for here.",
    408: "The request came too slowly.",
    413: "The request, or the number of its pictures, is too large.",
    415: "The content is of another type.",
    422: "No picture in it is a usable image.",
    503: "There is too much to do, or the server is about to end; see Retry-After.",
    504: "The answer took too long; see Retry-After.",
}


def document(name: str, limits: Limits) -> Json:
    """The whole document for a model called `name`."""
    return {
        "openapi": "3.1.0",
        "info": {"title": f"headstart: {name}", "version": version("headstart")},
        "paths": _paths(limits),
        "components": {
            "schemas": {
                "Prediction": PREDICTION, "Explanation": EXPLANATION, "Neighbour": NEIGHBOUR,
                "Problem": PROBLEM, "Tensor": TENSOR,
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic"},
            },
        },
        "security": [{}, {"bearer": []}, {"basic": []}],
    }  # fmt: skip


def _paths(limits: Limits) -> Json:
    answers: Json = {"type": "array", "items": {"$ref": "#/components/schemas/Prediction"}}
    wanted = {"name": "class", "in": "query", "description": "Another class whose heat is wanted.",
              "schema": {"type": "array", "items": TEXT}}  # fmt: skip
    model = {"name": "name", "in": "path", "required": True, "schema": TEXT}
    tensors = {"type": "array", "items": {"$ref": "#/components/schemas/Tensor"}}
    inference = _content(_object(inputs=tensors | {"minItems": 1, "maxItems": 1}))
    most = f"One to {limits.images} pictures, {limits.body / 1e6:g} MB at most"
    return {
        "/v1/predict": {"post": _post(f"What they show. {most}.", _pictures(limits.images), answers)},
        "/v1/explain": {
            "post": _post("What the answer for one picture rests on.", _pictures(1),
                          {"$ref": "#/components/schemas/Explanation"}, [wanted])
        },
        "/v1/feedback": {
            "post": _post("What a picture shows, by the id of its answer (the header X-Answer-Ids).",
                          _content(CORRECTION), _object(id=TEXT, label=TEXT), None, (404,))
        },
        "/v1/model": {"get": _get("What answers: network, classes, thresholds, engine.")},
        "/health": {"get": _get("The process answers.", ())},
        "/ready": {"get": _get("New requests are taken.", (503,))},
        "/metrics": {"get": _get("Counts and times for Prometheus.", kind="text/plain")},
        "/openapi.json": {"get": _get("This document.")},
        "/v2/health/live": {"get": _get("As /health; KServe's Open Inference Protocol, version 2.")},
        "/v2/health/ready": {"get": _get("As /ready.", (401, 503))},
        "/v2/models/{name}": {"get": _get("Names, types and shapes.", (401, 404), [model])},
        "/v2/models/{name}/ready": {"get": _get("As /ready.", (401, 404, 503), [model])},
        "/v2/models/{name}/infer": {
            "post": _post("Probabilities of pictures that are decoded and fitted already.", inference,
                          _object(outputs=tensors), [model], (404,))
        },
    }  # fmt: skip


def _pictures(most: int) -> Json:
    binary = TEXT | {"contentMediaType": "application/octet-stream"}
    one = _object(data=TEXT | {"contentEncoding": "base64"}) | {"additionalProperties": True}
    one["properties"] = {"name": TEXT} | one["properties"]
    listed = {"type": "array", "items": one, "minItems": 1, "maxItems": most}
    form = _object(file={"type": "array", "items": binary, "minItems": 1, "maxItems": most})
    return {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": form},
            "image/*": {"schema": {}},
            "application/octet-stream": {"schema": {}},
            "application/json": {"schema": _object(images=listed)},
        },
    }


def _content(schema: Json, kind: str = "application/json") -> Json:
    return {"required": True, "content": {kind: {"schema": schema}}}


def _post(
    summary: str, body: Json, answer: Json, parameters: list[Json] | None = None, errors: tuple[int, ...] = ()
) -> Json:
    return {
        "summary": summary,
        "parameters": parameters or [],
        "requestBody": body,
        "responses": {"200": {"description": "Done.", "content": _content(answer)["content"]}}
        | _problems((*ERRORS, *errors)),
    }


def _get(
    summary: str, errors: tuple[int, ...] = (401,), parameters: list[Json] | None = None,
    kind: str = "application/json",
) -> Json:  # fmt: skip
    answer = {"description": "Done.", "content": {kind: {"schema": {}}}}
    return {
        "summary": summary,
        "parameters": parameters or [],
        "responses": {"200": answer} | _problems(errors),
    }


def _problems(statuses: tuple[int, ...]) -> Json:
    known = ERRORS | {404: "There is no such model, or no such answer."}
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {str(status): {"description": known[status], "content": content} for status in sorted(statuses)}
