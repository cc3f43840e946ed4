"""OpenVINO's IR: ``model.xml`` and ``model.bin``, in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from headstart.backbones.weights import Arrays
from headstart.data.images import PADDING
from headstart.engines.openvino_engine import OpenVinoOperations, openvino
from headstart.exports import graph
from headstart.inference.bundle import BundleSpec

RESIZE = {"letterbox": "fit_to_window_letterbox", "stretch": "standard", "crop": "crop"}
"""How Intel's Model API calls the ways to fit a picture."""


class OpenVinoWhole(OpenVinoOperations):
    """The engine's operations for a batch of any size, and what stands around them."""

    def __init__(self, size: int, views: int, arrays: Arrays) -> None:
        super().__init__(size, -1, arrays)
        self.views = views

    def image(self) -> Any:
        pixels = super().image()
        if self.views == 1:
            return pixels
        pixels = self.ops.convert(pixels, np.float32)
        return self.ops.concat([self._turned(pixels, *turn) for turn in graph.turns(self.views)], axis=0)

    def _turned(self, x: Any, transposed: bool, rows: bool, columns: bool) -> Any:
        if transposed:
            x = self.ops.transpose(x, np.array([0, 2, 1, 3], np.int64))
        axes = [axis for axis, reverse in ((1, rows), (2, columns)) if reverse]
        return x if not axes else self._reversed(x, axes)

    def _reversed(self, x: Any, axes: list[int]) -> Any:
        each = np.ones(len(axes), np.int64)
        lowest = np.iinfo(np.int64).min * each
        return self.ops.slice(x, -each, lowest, -each, np.array(axes, np.int64))

    def flatten(self, x: Any, name: str) -> Any:
        rows = self.ops.transpose(x, np.array([0, 2, 3, 1], np.int64))
        return self.ops.reshape(rows, np.array([0, -1], np.int64), True, name=name)  # 0: the batch

    def dense(self, x: Any, name: str, kernel: np.ndarray, bias: np.ndarray, last: bool) -> Any:
        product = self.ops.matmul(x, self.ops.constant(np.ascontiguousarray(kernel)), False, False)
        x = self.ops.add(product, bias[None], name=name)
        return x if last else self.ops.relu(x)

    def probabilities(self, logits: Any) -> Any:
        if self.views > 1:
            apart = np.array([self.views, -1, logits.output(0).partial_shape[1].get_length()], np.int64)
            logits = self.ops.reshape(logits, apart, False)
            logits = self.ops.reduce_mean(logits, np.array([0], np.int64))
        return self.ops.softmax(logits, 1, name=graph.PROBABILITIES)


def save(spec: BundleSpec, arrays: Arrays, folder: Path) -> None:
    """Writes both files; the labels and the fit stand in the IR as Intel's Model API reads them."""
    ov = openvino()
    operations = OpenVinoWhole(spec.image_size, spec.views, arrays)
    output = graph.write(spec, arrays, operations).output(0)
    operations.input.output(0).set_names({graph.IMAGE})
    output.set_names({graph.PROBABILITIES})
    model = ov.Model([output], [operations.input], spec.backbone)
    for name, value in _model_info(spec).items():
        model.set_rt_info(value, ["model_info", name])
    ov.save_model(model, str(folder / "model.xml"), compress_to_fp16=False)


def _model_info(spec: BundleSpec) -> dict[str, str]:
    return {
        "model_type": "Classification",
        "labels": " ".join("_".join(name.split()) or "_" for name in spec.class_names),
        "resize_type": RESIZE[spec.fit],
        "pad_value": str(PADDING[0]),
        "confidence_threshold": str(spec.thresholds.confidence),
        "output_raw_scores": "True",
    }
