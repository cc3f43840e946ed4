"""What Keras and TensorFlow write: ``.keras``, SavedModel and LiteRT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from headstart.backbones import vgg
from headstart.backbones.classifier import KerasOperations
from headstart.backbones.framework import backend, keras, precision
from headstart.backbones.weights import Arrays
from headstart.errors import InputError, sentence
from headstart.exports import graph
from headstart.inference.bundle import BundleSpec
from headstart.rundir import write_bytes


class KerasWhole(KerasOperations):
    """The layers of training, and what stands around them: public layers and `keras.ops` only."""

    def __init__(self, size: int, views: int, classes: int) -> None:
        super().__init__(size)
        self.views, self.classes = views, classes
        self.arrays: Arrays = {}

    def image(self) -> Any:
        self.input = super().image()
        if self.views == 1:
            return self.input
        pixels = self.keras.ops.cast(self.input, "float32")
        turned = [self._turned(pixels, *turn) for turn in graph.turns(self.views)]
        return self.keras.ops.concatenate(turned, axis=0)

    def _turned(self, x: Any, transposed: bool, rows: bool, columns: bool) -> Any:
        x = self.keras.ops.transpose(x, (0, 2, 1, 3)) if transposed else x
        axes = [axis for axis, reverse in ((1, rows), (2, columns)) if reverse]
        return self.keras.ops.flip(x, axes) if axes else x

    def dense(self, x: Any, name: str, kernel: np.ndarray, bias: np.ndarray, last: bool) -> Any:
        self.arrays |= {f"{name}/kernel": kernel, f"{name}/bias": bias}
        return self.keras.layers.Dense(len(bias), None if last else "relu", name=name)(x)

    def probabilities(self, logits: Any) -> Any:
        if self.views > 1:
            logits = self.keras.ops.reshape(logits, (self.views, -1, self.classes))
            logits = self.keras.ops.mean(logits, axis=0)
        return self.keras.layers.Softmax(name=graph.PROBABILITIES)(logits)


def whole(spec: BundleSpec, arrays: Arrays) -> Any:
    """The flat Keras model from uint8 images to probabilities, with its weights."""
    operations = KerasWhole(spec.image_size, spec.views, len(spec.class_names))
    with precision("float32"):
        output = graph.write(spec, arrays, operations)
        model = keras().Model(operations.input, output, name=spec.backbone.replace("-", "_"))
    given = {name: array for name, array in arrays.items() if not name.startswith("head/")}
    given |= operations.arrays
    for name in [*(name for name, _, _ in vgg.conv_names(spec.network)), *_dense(operations)]:
        model.get_layer(name).set_weights([given[f"{name}/kernel"], given[f"{name}/bias"]])
    return model


def _dense(operations: KerasWhole) -> list[str]:
    return [name.removesuffix("/kernel") for name in operations.arrays if name.endswith("/kernel")]


def save_keras(spec: BundleSpec, arrays: Arrays, folder: Path) -> None:
    """Writes ``model.keras``."""
    whole(spec, arrays).save(folder / "model.keras")


def save_saved_model(spec: BundleSpec, arrays: Arrays, folder: Path) -> None:
    """Writes the folder ``saved_model``, whose signature ``serving_default`` takes and gives the names."""
    _export(spec, arrays, folder / "saved_model")


def save_litert(spec: BundleSpec, arrays: Arrays, folder: Path) -> None:
    """Writes ``model.tflite``, of built-in operations only: every interpreter runs it."""
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        tf = _export(spec, arrays, Path(place) / "saved_model")
        converter = tf.lite.TFLiteConverter.from_saved_model(str(Path(place) / "saved_model"))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        write_bytes(folder / "model.tflite", converter.convert())


def _export(spec: BundleSpec, arrays: Arrays, place: Path) -> Any:
    """Writes a SavedModel and returns TensorFlow."""
    if backend() != "tensorflow":
        raise InputError(
            sentence(
                "TensorFlow writes this format, and Keras runs on another backend.",
                allowed="KERAS_BACKEND=tensorflow",
                received=backend(),
                remedy="Unset KERAS_BACKEND, and install headstart[cpu] if TensorFlow is missing.",
            )
        )
    model = whole(spec, arrays)
    import tensorflow as tf

    shape = (None, spec.image_size, spec.image_size, 3)
    archive = keras().export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serving_default",
        lambda image: {graph.PROBABILITIES: model(image, training=False)},
        input_signature=[tf.TensorSpec(shape, tf.uint8, name=graph.IMAGE)],
    )
    archive.write_out(str(place), verbose=False)
    return tf
