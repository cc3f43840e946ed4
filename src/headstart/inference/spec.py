"""``model.json``: all that is needed to build a model around its weights, and nothing else.

To change the format: add the field to `BundleSpec` and to `_check_values`, raise `FORMAT`, bring earlier
formats forward (`_brought_forward`), and say so in the CHANGELOG. A reader refuses what it does not know.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from typing import Any, get_args

from headstart.backbones import heads, vgg, weights
from headstart.backbones.specs import BACKBONES, Backbone
from headstart.config import Fit, Pixels, TrainedHead
from headstart.engines import ENGINES
from headstart.errors import BundleError, sentence
from headstart.inference.decision import Cost, Rule

FORMAT = 4
SPEC_LIMIT = 64 * 1024
"""Bytes of ``model.json``."""
NAME_LIMIT = 255
"""Letters of a class's name."""

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Thresholds:
    """Least probability of an accepted answer, and greatest distance of a familiar image; None: not known."""

    confidence: float = 0.0
    distance: float | None = None


@dataclass(frozen=True)
class Int8:
    """The gate's proof that the model may be run in 8-bit integers.

    Attributes:
        calibration: training images that the ranges were taken from.
        images: validation images that were asked.
        accuracy, accuracy_int8: on those, before and after, in [0, 1].
        max_drop: how much less was allowed, in [0, 1].
        mean_difference: how much probability has moved from some classes to others, of 1, over those images.
        agreement: share of them with the same most probable class.
        left_out: convolutions that stay in float32.
        library: what found the ranges, with its version.
    """

    calibration: int
    images: int
    accuracy: float
    accuracy_int8: float
    max_drop: float
    mean_difference: float
    agreement: float
    left_out: tuple[str, ...]
    library: str


@dataclass(frozen=True)
class BundleSpec:
    """What a bundle says of itself.

    Attributes:
        backbone, head, taps: which features; `taps` repeats what the head's table says.
        pixels: `imagenet`: the mean of ImageNet is taken from them. `unit`: they are scaled to 0–1.
        boundary: the tensor below which nothing was trained; ``image`` where all of it was.
        image_size, fit, views: how a picture becomes the network's input; 1 or 8 dihedral views averaged.
        class_names: in the order of the logits.
        temperature: logits are divided by it before softmax.
        engine, precision: what computed the features that the head was trained on.
        thresholds, costs: when an answer is accepted, and which is given, see `Rule`.
        blocks: how many of the backbone's blocks there are; 0 is all of them.
        int8: proof for the engine ``openvino-int8``; None where the bundle has no ranges for it.
    """

    backbone: str
    head: str
    taps: tuple[str, ...]
    pixels: Pixels
    boundary: str
    image_size: int
    fit: Fit
    views: int
    class_names: tuple[str, ...]
    temperature: float
    engine: str
    precision: str
    thresholds: Thresholds = Thresholds()
    costs: tuple[Cost, ...] = ()
    blocks: int = 0
    int8: Int8 | None = None
    format: int = FORMAT

    @property
    def rule(self) -> Rule:
        """By which an answer is given."""
        return Rule(self.thresholds.confidence, self.thresholds.distance, self.costs)

    @property
    def network(self) -> Backbone:
        """The row of the table of backbones, with the preprocessing that it was trained with."""
        row = BACKBONES[self.backbone].first(self.blocks)
        return row.blank if self.pixels == "unit" else row

    def shapes(self) -> Shapes:
        """Names and shapes of all tensors in ``weights.safetensors``; all are float32."""
        head = heads.shapes(self.network, self.head, self.image_size, len(self.class_names))
        return weights.shapes(self.network) | head

    def int8_shapes(self) -> Shapes:
        """Names and shapes of all tensors in ``int8.safetensors``; all are float32."""
        shapes: Shapes = {}
        left_out = self.int8.left_out if self.int8 else ()
        for name, _, channels in vgg.conv_names(self.network):
            if name not in left_out:
                shapes |= {f"{name}/int8_input": (2,), f"{name}/int8_kernel": (channels,)}
                shapes |= {f"{name}/int8_bias": (channels,)}
        return shapes


def parse(content: bytes) -> BundleSpec:
    """Reads ``model.json`` and accepts nothing unknown.

    Raises:
        BundleError: it is no spec of this format or an earlier one.
    """
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise damaged("model.json is not JSON") from error
    if isinstance(values, dict):
        values = _brought_forward(values)
    if not isinstance(values, dict) or set(values) != {item.name for item in fields(BundleSpec)}:
        raise damaged("model.json has missing or unknown fields")
    if type(values["format"]) is not int or values["format"] != FORMAT:
        raise BundleError(
            sentence(
                "This bundle has a format that this version does not read.",
                allowed=FORMAT,
                received=values["format"],
                remedy="Install the version that wrote it, or train again.",
            )
        )
    _check_values(values)
    values |= {"taps": tuple(values["taps"]), "class_names": tuple(values["class_names"])}
    values["thresholds"] = Thresholds(**values["thresholds"])
    values["costs"] = tuple((i, j, cost) for i, j, cost in values["costs"])
    if proof := values["int8"]:
        values["int8"] = Int8(**proof | {"left_out": tuple(proof["left_out"])})
    return BundleSpec(**values)


def damaged(what: str) -> BundleError:
    """The error of a bundle that is not as it was written."""
    return BundleError(
        sentence(
            f"The bundle is damaged or was changed: {what}.", remedy="Restore it from a copy, or train again."
        )
    )


def _brought_forward(values: dict[str, Any]) -> dict[str, Any]:
    """What earlier formats say, as this one does.

    Format 1 had no `pixels`, since all backbones came from ImageNet; format 2 accepted every answer; format 3
    knew whole backbones in floating point only.
    """
    if values.get("format") == 1 and "pixels" not in values:
        values = values | {"format": 2, "pixels": "imagenet"}
    if values.get("format") == 2 and not {"thresholds", "costs"} & set(values):
        values = values | {"format": 3, "thresholds": asdict(Thresholds()), "costs": []}
    if values.get("format") == 3 and not {"blocks", "int8"} & set(values):
        values = values | {"format": 4, "blocks": 0, "int8": None}
    return values


def _check_values(values: dict[str, Any]) -> None:
    names, size, temperature = values["class_names"], values["image_size"], values["temperature"]
    checks = {
        "backbone": isinstance(values["backbone"], str) and values["backbone"] in BACKBONES,
        "head": _one_of(values["head"], get_args(TrainedHead)),
        "pixels": _one_of(values["pixels"], get_args(Pixels)),
        "fit": _one_of(values["fit"], get_args(Fit)),
        "views": type(values["views"]) is int and values["views"] in (1, 8),
        "image_size": type(size) is int and 32 <= size <= 1024,
        "class_names": isinstance(names, list)
        and 2 <= len(names) == len({n for n in names if isinstance(n, str)})
        and all(0 < len(name) <= NAME_LIMIT for name in names),
        "temperature": type(temperature) is float and 1e-3 <= temperature <= 1e3,
        "engine": isinstance(values["engine"], str) and values["engine"] in ENGINES,
        "thresholds": _are_thresholds(values["thresholds"]),
        "blocks": type(values["blocks"]) is int and values["blocks"] >= 0,
    }
    if not all(checks.values()):
        raise damaged(f"model.json: {next(name for name, good in checks.items() if not good)}")
    whole = BACKBONES[values["backbone"]]
    if values["blocks"] > len(whole.depths):
        raise damaged("model.json: blocks")
    backbone = whole.first(values["blocks"])
    boundaries = ("image", *backbone.layers)
    if values["taps"] != list(backbone.taps(values["head"])) or not _one_of(values["boundary"], boundaries):
        raise damaged("model.json: taps or boundary")
    if values["precision"] != ENGINES[values["engine"]].precision:
        raise damaged("model.json: precision")
    if not isinstance(values["costs"], list) or not all(_is_cost(c, len(names)) for c in values["costs"]):
        raise damaged("model.json: costs")
    if values["int8"] is not None and not _is_proof(values["int8"], backbone):
        raise damaged("model.json: int8")


def _one_of(value: Any, allowed: tuple[str, ...]) -> bool:
    return isinstance(value, str) and value in allowed


def _are_thresholds(values: Any) -> bool:
    if not isinstance(values, dict) or set(values) != {"confidence", "distance"}:
        return False
    confidence, distance = values["confidence"], values["distance"]
    far = distance is None or (type(distance) is float and 0 <= distance < math.inf)
    return far and type(confidence) is float and 0 <= confidence <= 1


def _is_cost(value: Any, classes: int) -> bool:
    if not isinstance(value, list) or [type(item) for item in value] != [int, int, float]:
        return False
    true, answer, cost = value
    known = 0 <= min(true, answer) <= max(true, answer) < classes
    return bool(known and true != answer and 0 <= cost < math.inf)


def _is_proof(values: Any, backbone: Backbone) -> bool:
    if not isinstance(values, dict) or set(values) != {item.name for item in fields(Int8)}:
        return False
    shares = ("accuracy", "accuracy_int8", "max_drop", "mean_difference", "agreement")
    left_out = values["left_out"]
    return (
        all(type(values[name]) is int and values[name] > 0 for name in ("calibration", "images"))
        and all(type(values[name]) is float and 0 <= values[name] <= 1 for name in shares)
        and isinstance(left_out, list)
        and all(_one_of(name, backbone.layers) for name in left_out)
        and isinstance(values["library"], str)
        and len(values["library"]) <= 64
    )
