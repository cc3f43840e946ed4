"""OpenVINO on the CPU, in float32, bfloat16 or 8-bit integers."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any

import numpy as np

from headstart.backbones import vgg
from headstart.backbones.specs import Backbone
from headstart.engines import threads


def openvino() -> Any:
    """Imports OpenVINO without its telemetry, which would report to an analytics service."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return openvino


@cache
def core() -> Any:
    """OpenVINO's plugins, loaded once and for as long as the process lives.

    The CPU plugin lends the thread that loads it a stack for signals, and unmaps it when it is unloaded
    (2026.4, `SigAltStackSetup`). If that is in another thread or out of turn, the next signal is the end.
    """
    return openvino().Core()


@contextmanager
def same_signal_stack() -> Iterator[None]:
    """The calling thread has its stack for signals again after the block, whatever loads plugins in it."""
    call = ctypes.CDLL(None).sigaltstack
    before = ctypes.create_string_buffer(64)  # a stack_t, which has 24 bytes on Linux
    call(None, before)
    try:
        yield
    finally:
        call(before, None)


class OpenVinoOperations:
    """VGG's operations as OpenVINO opset nodes, NCHW after the first transposition."""

    def __init__(self, size: int, batch: int, arrays: Mapping[str, np.ndarray]) -> None:
        openvino()
        from openvino import opset13

        self.ops, self.size, self.batch, self.arrays = opset13, size, batch, arrays

    def image(self) -> Any:
        shape = [self.batch, self.size, self.size, 3]
        self.input = self.ops.parameter(shape, np.uint8, name="image")
        return self.input

    def centre(self, x: Any, mean: tuple[float, float, float], scale: float) -> Any:
        x = self.ops.subtract(self.ops.convert(x, np.float32), np.array(mean, np.float32))
        x = self.ops.multiply(x, np.float32(scale)) if scale != 1 else x
        return self.ops.transpose(x, np.array([0, 3, 1, 2], np.int64))

    def conv(self, x: Any, name: str, channels: int) -> Any:
        kernel = np.ascontiguousarray(self.arrays[f"{name}/kernel"].transpose(3, 2, 0, 1))  # HWIO → OIHW
        bias = self.arrays[f"{name}/bias"].reshape(1, channels, 1, 1)
        if f"{name}/int8_input" in self.arrays:
            x, weights, bias = self._in_8_bits(x, kernel, name)
        else:
            weights = self.ops.constant(kernel)  # a bare array would become a list of Python's numbers
        x = self.ops.convolution(x, weights, [1, 1], [1, 1], [1, 1], [1, 1], name=f"{name}_linear")
        return self.ops.relu(self.ops.add(x, bias), name=name)

    def _in_8_bits(self, x: Any, kernel: np.ndarray, name: str) -> tuple[Any, Any, np.ndarray]:
        """Input rounded to 256 levels, kernels of signed bytes times a scale, and a bias to make up for it.

        OpenVINO computes in integers what lies between such roundings.
        """
        low, high = self.arrays[f"{name}/int8_input"]
        scale = self.arrays[f"{name}/int8_kernel"].reshape(-1, 1, 1, 1) / np.float32(127)
        scale = np.where(scale > 0, scale, np.float32(1))  # of a kernel that is zero throughout
        whole = np.rint(kernel / scale).clip(-127, 127).astype(np.int8)
        x = self.ops.fake_quantize(x, low, high, low, high, 256)
        rounded = self.ops.multiply(self.ops.convert(self.ops.constant(whole), np.float32), scale)
        return x, rounded, self.arrays[f"{name}/int8_bias"].reshape(1, -1, 1, 1)

    def pool(self, x: Any, name: str) -> Any:
        no_padding = [0, 0]
        pooled = self.ops.max_pool(x, [2, 2], [1, 1], no_padding, no_padding, [2, 2], name=name)
        return pooled.output(0)  # output 1 holds the positions of the maxima

    def summary(self, x: Any, name: str) -> list[Any]:
        axes = np.array([2, 3], np.int64)
        return [self.ops.reduce_mean(x, axes), self.ops.reduce_max(x, axes)]

    def flatten(self, x: Any, name: str) -> Any:
        rows = self.ops.transpose(x, np.array([0, 2, 3, 1], np.int64))
        return self.ops.reshape(rows, np.array([self.batch, -1], np.int64), False, name=name)

    def join(self, parts: list[Any]) -> Any:
        return self.ops.concat(parts, axis=1, name="features")


class OpenVinoEngine:
    """One synchronous request at batch 1: LATENCY uses all cores for it."""

    batch = 1
    lanes = 1
    side_by_side = nullcontext

    def __init__(self, compiled: Any) -> None:
        self.request = compiled.create_infer_request()

    def run(self, images: np.ndarray) -> np.ndarray:
        self.request.infer({"image": np.ascontiguousarray(images)})
        return np.array(self.request.get_output_tensor(0).data, dtype=np.float32)

    def run_with_map(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        features = self.run(images)
        return features, np.array(self.request.get_output_tensor(1).data, np.float32).transpose(0, 2, 3, 1)


def open_engine(
    backbone: Backbone, head: str, size: int, arrays: Mapping[str, np.ndarray], precision: str, boundary: str
) -> OpenVinoEngine:
    """Writes the graph in opsets and compiles it for the CPU.

    The precision is always set: OpenVINO chooses bfloat16 by itself where the hardware has it.
    """
    ov = openvino()
    operations = OpenVinoOperations(size, OpenVinoEngine.batch, arrays)
    tensors = vgg.graph(backbone, head, operations)
    operations.input.output(0).set_names({"image"})
    nodes = [tensors["features"], *([tensors[boundary]] if boundary else [])]
    outputs = [node if isinstance(node, ov.Output) else node.output(0) for node in nodes]
    model = ov.Model(outputs, [operations.input], backbone.name)
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32" if precision == "int8" else precision,
        "INFERENCE_NUM_THREADS": threads(),
    }
    return OpenVinoEngine(core().compile_model(model, "CPU", options))
