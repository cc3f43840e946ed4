"""What the API takes and gives, as JSON Schema (https://json-schema.org/draft/2020-12), for one model."""

from __future__ import annotations

from typing import Any

from headstart.inference.spec import BundleSpec
from headstart.serving.application import Settings

Json = dict[str, Any]

TEXT, COUNT = {"type": "string"}, {"type": "integer", "minimum": 1}
SAID = TEXT | {"minLength": 1}
PROBABILITY = {"type": "number", "minimum": 0, "maximum": 1}
DISTANCE = {"type": ["number", "null"], "minimum": 0}
PIXEL = {"type": "integer", "minimum": 0, "maximum": 255}
# The name of an encoding asserts nothing by itself.
BASE64 = TEXT | {
    "contentEncoding": "base64",
    "pattern": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
}
FILE = TEXT | {"format": "binary"}
SHA256 = TEXT | {"pattern": "^[0-9a-f]{64}$"}
NAME = "[0-9a-f]{32}"
"""What the history calls an answer, as a regular expression."""


def given(**properties: Json) -> Json:
    """An object of an answer: these, and nothing else."""
    return {
        "type": "object",
        "properties": properties,
        "required": [*properties],
        "additionalProperties": False,
    }


def taken(optional: tuple[str, ...] = (), /, **properties: Json) -> Json:
    """An object of a request; what else is in it is passed over."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def listed(items: Json, least: int = 1, most: int | None = None) -> Json:
    """A list; by itself it may be as long as one likes."""
    return {"type": "array", "items": items, "minItems": least} | ({"maxItems": most} if most else {})


def ref(name: str) -> Json:
    """One of `components`."""
    return {"$ref": f"#/components/schemas/{name}"}


CLASS = ref("Class")
ID = TEXT | {"pattern": f"^{NAME}$"}
ANSWER: Json = {
    "path": TEXT | {"description": "The name that came with the picture."},
    "label": CLASS | {"description": "The answer."},
    "confidence": PROBABILITY | {"description": "Its calibrated probability."},
    "probabilities": ref("Probabilities"),
    "decision": {"enum": ["accept", "abstain", "unfamiliar"], "description": "Whether to act on it."},
    "distance": DISTANCE | {"description": "To the training images; about 1 for one of them."},
    "error": {"const": ""},
}
NO_ANSWER: Json = {
    "label": {"const": ""},
    "confidence": {"const": 0},
    "probabilities": {"type": "object", "maxProperties": 0},
    "decision": {"const": ""},
    "distance": {"type": "null"},
    "error": SAID | {"description": "Why there is no answer."},
}
HEAT = BASE64 | {"contentMediaType": "image/png", "description": "Grad-CAM of a class."}
NEIGHBOUR = given(
    path=TEXT,
    label={"anyOf": [CLASS, {"const": ""}]},
    similarity={"type": "number", "minimum": -1, "maximum": 1},
)
REASONS: Json = {
    "border_share": PROBABILITY
    | {"type": ["number", "null"], "description": "Of the answer's heat, at the border."},
    "heats": {"type": "object", "propertyNames": CLASS, "additionalProperties": HEAT, "minProperties": 1},
    "neighbours": listed(NEIGHBOUR, 0),
}
PROBLEM = given(
    type={"const": "about:blank"},
    title=TEXT,
    status=COUNT | {"minimum": 400, "maximum": 599},
    detail=SAID,
    error=SAID,
)


def components(settings: Settings, spec: BundleSpec) -> dict[str, Json]:
    """All that have a name."""
    most, count = settings.limits.images, len(spec.class_names)
    each: Json = {"type": "object", "propertyNames": CLASS, "additionalProperties": PROBABILITY}
    return {
        "Class": {"enum": [*spec.class_names]},
        "Probabilities": each | {"minProperties": count, "maxProperties": count},
        "Answer": given(**ANSWER),
        "NoAnswer": given(**ANSWER | NO_ANSWER),
        "Predictions": listed({"oneOf": [ref("Answer"), ref("NoAnswer")]}, 1, most),
        "Explanation": given(**ANSWER, **REASONS),
        "Pictures": taken(images=listed(ref("Picture"), 1, most)),
        "OnePicture": taken(images=listed(ref("Picture"), 1, 1)),
        "Picture": taken(("name",), name=TEXT, data=BASE64),
        "Correction": taken(("image",), id=ID, label=CLASS, image=BASE64),
        "Corrected": given(id=ID, label=CLASS),
        "Model": _model(settings, spec),
        "Problem": PROBLEM,
    } | _tensors(settings, spec)  # fmt: skip


def _model(settings: Settings, spec: BundleSpec) -> Json:
    fixed = ("backbone", "head", "image_size", "fit", "views", "temperature")
    known = {name: getattr(spec, name) for name in fixed}
    known |= {"name": settings.name, "class_names": [*spec.class_names]}
    constant = {name: {"const": value} for name, value in known.items()}
    thresholds = given(confidence=PROBABILITY, distance=DISTANCE)
    return given(**constant, sha256=SHA256, engine=TEXT, thresholds=thresholds)


def _tensors(settings: Settings, spec: BundleSpec) -> dict[str, Json]:
    """Of KServe's Open Inference Protocol."""
    size, most, classes = spec.image_size, settings.limits.images, len(spec.class_names)
    sides = [COUNT | {"maximum": most}, {"const": size}, {"const": size}, {"const": 3}]
    shape = {"type": "array", "prefixItems": sides, "minItems": 4, "maxItems": 4}
    flat = listed(PIXEL, 3 * size**2, 3 * size**2 * most)
    nested = listed(listed(listed(listed(PIXEL, 3, 3))), 1, most)  # how many in each, the shape says
    image = {"name": {"const": "image"}, "datatype": {"const": "UINT8"}}
    output = {"name": {"const": "probabilities"}, "datatype": {"const": "FP32"}}
    said = given(**output, shape=listed(COUNT, 2, 2), data=listed(PROBABILITY, classes, classes * most))
    named = {"model_name": {"const": settings.name}, "outputs": listed(said, 1, 1)}
    tensor = taken(**image, shape=shape, data={"anyOf": [flat, nested]})
    return {
        "Tensors": taken(("id",), id=TEXT, inputs=listed(tensor, 1, 1)),
        "Inferred": given(**named, id=TEXT) | {"required": [*named]},
        "Metadata": given(
            name={"const": settings.name},
            platform={"const": "headstart"},
            inputs={"const": [{"name": "image", "datatype": "UINT8", "shape": [-1, size, size, 3]}]},
            outputs={"const": [{"name": "probabilities", "datatype": "FP32", "shape": [-1, classes]}]},
        ),
    }
