"""The classifier `features | head` as one flat Keras graph of public layers.

Flat, because nested models break Grad-CAM and exports (tensorflow#44462); public layers only, so that a
saved ``.keras`` file loads without headstart. Augmentation is never part of it.
"""

from __future__ import annotations

from typing import Any

from headstart.backbones import vgg
from headstart.backbones.framework import keras
from headstart.backbones.specs import Backbone
from headstart.backbones.weights import Arrays
from headstart.errors import InputError, sentence


class KerasOperations:
    """VGG's operations as Keras layers, named as in ``keras.applications``."""

    def __init__(self, size: int) -> None:
        self.keras = keras()
        self.size = size

    def image(self) -> Any:
        self.input = self.keras.Input((self.size, self.size, 3), dtype="uint8", name="image")
        return self.input

    def centre(self, x: Any, mean: tuple[float, float, float]) -> Any:
        offset = [-value for value in mean]
        return self.keras.layers.Rescaling(1.0, offset=offset, name="centre")(x)

    def conv(self, x: Any, name: str, channels: int) -> Any:
        return self.keras.layers.Conv2D(channels, 3, padding="same", activation="relu", name=name)(x)

    def pool(self, x: Any, name: str) -> Any:
        return self.keras.layers.MaxPooling2D(2, name=name)(x)

    def summary(self, x: Any, name: str) -> list[Any]:
        layers = self.keras.layers
        return [
            layers.GlobalAveragePooling2D(name=f"{name}_mean")(x),
            layers.GlobalMaxPooling2D(name=f"{name}_max")(x),
        ]

    def join(self, parts: list[Any]) -> Any:
        return self.keras.layers.Concatenate(name="features")(parts)


def build_features(spec: Backbone, head: str, size: int, arrays: Arrays) -> Any:
    """Returns the Keras model (B, size, size, 3) uint8 → (B, D) float32 with `arrays` loaded."""
    operations = KerasOperations(size)
    features = vgg.features(spec, spec.taps(head), operations)
    model = keras().Model(operations.input, features, name=spec.name.replace("-", "_"))
    for name, _, _ in vgg.conv_names(spec):
        model.get_layer(name).set_weights([arrays[f"{name}/kernel"], arrays[f"{name}/bias"]])
    return model


def build_classifier(spec: Backbone, head: str, size: int, arrays: Arrays) -> Any:
    """Returns the flat Keras model from uint8 images to (B, C) logits.

    `arrays` holds ``<conv>/kernel`` (3, 3, in, out), ``<conv>/bias`` (out,), ``head/kernel`` (D, C) and
    ``head/bias`` (C,).
    """
    base = build_features(spec, head, size, arrays)
    classes = arrays["head/bias"].shape[0]
    dense = keras().layers.Dense(classes, name="logits")
    model = keras().Model(base.input, dense(base.output), name=base.name)
    dense.set_weights([arrays["head/kernel"], arrays["head/bias"]])
    return model


def freeze(model: Any, boundary: str) -> None:
    """Makes everything up to and including the layer `boundary` untrainable, the rest trainable."""
    below = keras().Model(model.input, model.get_layer(_known(model, boundary)).output)
    frozen = {layer.name for layer in below.layers}
    for layer in model.layers:
        layer.trainable = layer.name not in frozen


def cut(model: Any, boundary: str) -> tuple[Any, Any]:
    """Cuts a classifier at one tensor: `above(below(x))` equals `model(x)`, layers are shared.

    What lies `below` can be computed once per image; `above` is what a phase trains.

    Raises:
        InputError: some path from the image to the logits goes around `boundary`, as with the head
            ``taps`` and a boundary above its first tap.
    """
    tensor = model.get_layer(_known(model, boundary)).output
    try:
        above = keras().Model(tensor, model.output)
    except (ValueError, KeyError) as error:
        raise InputError(
            sentence(
                f"The head reads tensors below {boundary}, so the graph cannot be cut there.",
                remedy="Choose the head `gap`, or a boundary below the head's first tap.",
            )
        ) from error
    return keras().Model(model.input, tensor), above


def _known(model: Any, name: str) -> str:
    names = [layer.name for layer in model.layers]
    if name not in names:
        raise InputError(sentence("There is no such layer.", allowed=", ".join(names), received=name))
    return name
