"""The classifier `features | head` as one flat Keras graph of public layers.

Flat, because nested models break Grad-CAM and exports (tensorflow#44462); public layers only, so that a
saved ``.keras`` file loads without headstart. Augmentation is never part of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from headstart.backbones import heads, vgg
from headstart.backbones.framework import keras
from headstart.backbones.heads import Scaling
from headstart.backbones.specs import Backbone
from headstart.backbones.weights import Arrays
from headstart.errors import InputError, sentence


class KerasOperations:
    """VGG's operations as Keras layers, named as in ``keras.applications``."""

    def __init__(self, size: int) -> None:
        self.keras = keras()
        self.size = size

    def image(self) -> Any:
        return self.keras.Input((self.size, self.size, 3), dtype="uint8", name="image")

    def centre(self, x: Any, mean: tuple[float, float, float], scale: float) -> Any:
        offset = [-value * scale for value in mean]
        return self.keras.layers.Rescaling(scale, offset=offset, name="centre")(x)

    def conv(self, x: Any, name: str, channels: int) -> Any:
        return self.keras.layers.Conv2D(channels, 3, padding="same", activation="relu", name=name)(x)

    def pool(self, x: Any, name: str) -> Any:
        return self.keras.layers.MaxPooling2D(2, name=name)(x)

    def summary(self, x: Any, name: str) -> list[Any]:
        layers = self.keras.layers
        return [
            layers.GlobalAveragePooling2D(name=f"{name}_mean", dtype="float32")(x),
            layers.GlobalMaxPooling2D(name=f"{name}_max", dtype="float32")(x),
        ]

    def flatten(self, x: Any, name: str) -> Any:
        return self.keras.layers.Flatten(name=name)(x)

    def join(self, parts: list[Any]) -> Any:
        return self.keras.layers.Concatenate(name="features", dtype="float32")(parts)


def build_features(spec: Backbone, head: str, size: int, arrays: Mapping[str, np.ndarray]) -> Any:
    """Returns the Keras model (B, size, size, 3) uint8 → (B, D) float32 with `arrays` loaded."""
    operations = KerasOperations(size)
    tensors = vgg.graph(spec, head, operations)
    model = keras().Model(tensors["image"], tensors["features"], name=spec.name.replace("-", "_"))
    for name, _, _ in vgg.conv_names(spec):
        model.get_layer(name).set_weights([arrays[f"{name}/kernel"], arrays[f"{name}/bias"]])
    return model


def build_classifier(
    spec: Backbone, head: str, size: int, arrays: Arrays, dropout: float = 0.0, scaling: Scaling | None = None
) -> Any:
    """Returns the flat Keras model from uint8 images to (B, C) logits.

    Args:
        spec: the backbone.
        head: `taps`, `gap` or `vgg`.
        size: side of the images in pixels.
        arrays: ``<conv>/kernel`` (3, 3, in, out), ``<conv>/bias`` (out,), and those of the head.
        dropout: share of its inputs that each dense layer loses in training; no layer where it is 0.
        scaling: what is done to the features first; the arrays of the layer behind it are for such ones.
    """
    base = build_features(spec, head, size, arrays)
    x = base.get_layer("flatten").output if head == "vgg" else base.output
    return keras().Model(base.input, _dense(x, spec, head, arrays, dropout, scaling), name=base.name)


def build_head(
    spec: Backbone, head: str, arrays: Arrays, dropout: float = 0.0, scaling: Scaling | None = None
) -> Any:
    """Returns the Keras model from the features that `head` reads to (B, C) logits; as `build_classifier`."""
    x = keras().Input((len(arrays[f"{heads.first(spec, head)}/kernel"]),), name="features")
    return keras().Model(x, _dense(x, spec, head, arrays, dropout, scaling))


def _dense(x: Any, spec: Backbone, head: str, arrays: Arrays, dropout: float, scaling: Scaling | None) -> Any:
    """Logits of features, by dense layers that hold the arrays of `head`."""
    layers = keras().layers
    if scaling:
        mean, variance = scaling.mean.astype(np.float32), np.square(scaling.scale).astype(np.float32)
        normalise = layers.Normalization(mean=mean, variance=variance, name="scaled", dtype="float32")
        x = normalise(x)
    for name, width in (*heads.hidden(spec, head), ("head", arrays["head/bias"].shape[0])):
        last = name == "head"
        if dropout:
            x = layers.Dropout(dropout, name=f"{name}_dropout")(x)
        layer = layers.Dense(
            width,
            None if last else "relu",
            name="logits" if last else name,
            dtype="float32" if last else None,
        )
        x = layer(x)
        layer.set_weights([arrays[f"{name}/kernel"], arrays[f"{name}/bias"]])
    return x


def trained_arrays(model: Any) -> Arrays:
    """The arrays of a classifier that `build_classifier` made, or of the part above a cut, by name."""
    found: Arrays = {}
    for layer in model.layers:
        if weights := layer.get_weights():
            name = "head" if layer.name == "logits" else layer.name
            found |= {f"{name}/kernel": weights[0], f"{name}/bias": weights[1]}
    return found


def freeze(model: Any, spec: Backbone, boundary: str) -> None:
    """Keeps what lies below a tensor of a classifier from being trained."""
    for name, _, _ in vgg.conv_names(spec):
        model.get_layer(name).trainable = name in spec.above(boundary)


def cut(model: Any, boundary: str, taps: tuple[str, ...] = ()) -> tuple[Any, Any]:
    """Cuts a classifier at one tensor: `above(below(x))` equals `model(x)`, layers are shared.

    What lies `below` can be computed once per image; `above` is what a phase trains. Where the head reads
    `taps` at the boundary or below it, their means and maxima are further outputs and inputs, in the order
    of the features.

    Raises:
        InputError: there is no such tensor, or some path from the image to the logits goes around it.
    """
    k = keras()
    if boundary == "image":
        return k.Model(model.input, model.input), model
    names = [boundary, *(f"{tap}_{kind}" for tap in taps for kind in ("mean", "max"))]
    tensors = [model.get_layer(_known(model, name)).output for name in names]
    try:
        above = k.Model(tensors, model.output)
    except (ValueError, KeyError) as error:
        raise InputError(
            sentence(
                f"The head reads tensors below {boundary}, so the graph cannot be cut there.",
                remedy="Name them, choose the head `gap`, or a boundary below the head's first tap.",
            )
        ) from error
    return k.Model(model.input, tensors), above


def _known(model: Any, name: str) -> str:
    names = [layer.name for layer in model.layers]
    if name not in names:
        raise InputError(sentence("There is no such layer.", allowed=", ".join(names), received=name))
    return name
