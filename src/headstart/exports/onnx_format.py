"""ONNX: one file, written operation by operation from the specification (https://onnx.ai/onnx/operators/)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.backbones.weights import Arrays
from headstart.exports import graph
from headstart.exports.settings import settings
from headstart.inference.bundle import BundleSpec
from headstart.rundir import write_bytes

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

OPSET, IR = 18, 9
"""Of 2022 and 2023: what most runtimes in use understand."""

LOWEST = np.iinfo(np.int64).min  # the end of a slice that runs backwards to the first element


class OnnxOperations:
    """The operations as ONNX nodes, NCHW after the first transposition. A tensor is its name."""

    def __init__(self, size: int, views: int, arrays: Arrays) -> None:
        self.size, self.views, self.arrays = size, views, arrays
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def image(self) -> str:
        pixels = self._node("Cast", [graph.IMAGE], "pixels", to=1)  # float32
        if self.views == 1:
            return pixels
        turned = [self._turned(pixels, view, *turn) for view, turn in enumerate(graph.turns(self.views))]
        return self._node("Concat", turned, "views", axis=0)

    def _turned(self, x: str, view: int, transposed: bool, rows: bool, columns: bool) -> str:
        if transposed:
            x = self._node("Transpose", [x], f"view{view}_transposed", perm=[0, 2, 1, 3])
        axes = [axis for axis, reverse in ((1, rows), (2, columns)) if reverse]
        if not axes:
            return x
        name, each = f"view{view}", np.ones(len(axes), np.int64)
        bounds = {"starts": -each, "ends": LOWEST * each, "axes": np.array(axes), "steps": -each}
        constants = [self._constant(f"{name}_{key}", value) for key, value in bounds.items()]
        return self._node("Slice", [x, *constants], name)

    def centre(self, x: str, mean: tuple[float, float, float], scale: float) -> str:
        x = self._node("Sub", [x, self._constant("mean", np.array(mean, np.float32))], "centred")
        if scale != 1:
            x = self._node("Mul", [x, self._constant("scale", np.array(scale, np.float32))], "scaled")
        return self._node("Transpose", [x], "centre", perm=[0, 3, 1, 2])

    def conv(self, x: str, name: str, channels: int) -> str:
        kernel = self._constant(f"{name}/kernel", self.arrays[f"{name}/kernel"].transpose(3, 2, 0, 1))
        bias = self._constant(f"{name}/bias", self.arrays[f"{name}/bias"])
        x = self._node("Conv", [x, kernel, bias], f"{name}_linear", kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        return self._node("Relu", [x], name)

    def pool(self, x: str, name: str) -> str:
        return self._node("MaxPool", [x], name, kernel_shape=[2, 2], strides=[2, 2])

    def summary(self, x: str, name: str) -> list[str]:
        return [
            self._node("Flatten", [self._node(kind, [x], f"{name}_{kind}")], f"{name}_{kind}_flat")
            for kind in ("GlobalAveragePool", "GlobalMaxPool")
        ]

    def flatten(self, x: str, name: str) -> str:
        rows = self._node("Transpose", [x], f"{name}_rows", perm=[0, 2, 3, 1])
        return self._node("Flatten", [rows], name)

    def join(self, parts: list[str]) -> str:
        return self._node("Concat", parts, "features", axis=1)

    def dense(self, x: str, name: str, kernel: np.ndarray, bias: np.ndarray, last: bool) -> str:
        constants = [self._constant(f"{name}/kernel", kernel), self._constant(f"{name}/bias", bias)]
        self.width = len(bias)
        x = self._node("Gemm", [x, *constants], name)
        return x if last else self._node("Relu", [x], f"{name}_relu")

    def probabilities(self, logits: str) -> str:
        if self.views > 1:
            apart = self._constant("apart", np.array([self.views, -1, self.width]))
            logits = self._node("Reshape", [logits, apart], "logits_of_views")
            over = self._constant("over_views", np.array([0]))
            logits = self._node("ReduceMean", [logits, over], "mean_logits", keepdims=0)
        return self._node("Softmax", [logits], graph.PROBABILITIES, axis=1)

    def _constant(self, name: str, value: np.ndarray) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def _node(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name


def save(spec: BundleSpec, arrays: Arrays, folder: Path) -> None:
    """Writes ``model.onnx``, for any number of images a call; its metadata say what `settings` does."""
    from onnx import TensorProto, checker, helper

    operations = OnnxOperations(spec.image_size, spec.views, arrays)
    graph.write(spec, arrays, operations)
    shape: list[str | int | None] = ["N", spec.image_size, spec.image_size, 3]
    inputs = [helper.make_tensor_value_info(graph.IMAGE, TensorProto.UINT8, shape)]
    classes: list[str | int | None] = ["N", len(spec.class_names)]
    outputs = [helper.make_tensor_value_info(graph.PROBABILITIES, TensorProto.FLOAT, classes)]
    whole = helper.make_graph(operations.nodes, spec.backbone, inputs, outputs, operations.constants)
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(whole, opset_imports=opsets, ir_version=IR, producer_name="headstart")
    helper.set_model_props(model, {name: json.dumps(value) for name, value in settings(spec).items()})
    checker.check_model(model, full_check=True)
    write_bytes(folder / "model.onnx", model.SerializeToString(deterministic=True))
