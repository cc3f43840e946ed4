"""Ranges for 8-bit convolutions, from training images, by NNCF (https://github.com/openvinotoolkit/nncf).

NNCF works on a throw-away copy of the graph. Of what it finds only numbers are kept: for each convolution
the range of its input, the largest weight of each kernel, and its corrected bias. Graphs are written from
them by our own loop, so a bundle carries no foreign graph.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import numpy as np

from headstart.backbones import vgg
from headstart.backbones.weights import Arrays
from headstart.engines.openvino_engine import OpenVinoOperations, openvino, same_signal_stack
from headstart.errors import InputError, sentence
from headstart.inference.bundle import BundleSpec
from headstart.progress import track

LARGEST = 127
"""Of a signed byte; the smallest that is used is −127."""


def require() -> None:
    """Raises InputError where NNCF is not installed."""
    if importlib.util.find_spec("nncf") is None:
        raise InputError(
            sentence(
                "Making 8-bit integers of a model needs another library, which is not installed.",
                received="no module nncf",
                remedy="Run `pip install 'headstart[export]'`.",
            )
        )


def ranges(spec: BundleSpec, arrays: Arrays, squares: Sequence[np.ndarray]) -> Arrays:
    """``<conv>/int8_input`` (2,), ``<conv>/int8_kernel`` (C,), ``<conv>/int8_bias`` (C,) by convolution.

    Weights keep to half of their range (7 bits), since processors without VNNI would overflow with more.

    Args:
        spec: of the model.
        arrays: its weights.
        squares: (size, size, 3) uint8 training images, a few dozen.
    """
    ov = openvino()
    import nncf

    nncf.set_log_level(logging.ERROR)
    operations = OpenVinoOperations(spec.image_size, 1, arrays)
    features = vgg.graph(spec.network, spec.head, operations)["features"]
    operations.input.output(0).set_names({"image"})
    model = ov.Model([features.output(0)], [operations.input], spec.backbone)
    images = nncf.Dataset(track(squares, "Measuring ranges", len(squares)), lambda one: {"image": one[None]})
    with same_signal_stack(), redirect_stdout(StringIO()):  # NNCF loads plugins, and has bars of its own
        quantised = nncf.quantize(
            model,
            images,
            subset_size=len(squares),
            advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.ENABLE),
        )
    nodes = {node.get_friendly_name(): node for node in quantised.get_ops()}
    names = [name for name, _, _ in vgg.conv_names(spec.network)]
    return {key: array for name in names for key, array in _of(nodes[f"{name}_linear"], name).items()}


def _of(convolution: Any, name: str) -> Arrays:
    """What NNCF has put around a convolution: rounded inputs, whole numbers times a scale, a bias."""
    low, high = (_constant(_source(_rounding(convolution).input(port))) for port in (3, 4))
    scale = _constant(_source(_source(convolution.input(1)).input(1)))
    (add,) = (port.get_node() for port in convolution.output(0).get_target_inputs())
    bias = next(source for source in map(_source, add.inputs()) if source.get_type_name() != "Convolution")
    found = {
        "int8_input": np.array([low.item(), high.item()]),
        "int8_kernel": LARGEST * scale.reshape(-1),
        "int8_bias": _constant(bias).reshape(-1),
    }
    return {f"{name}/{kind}": array.astype(np.float32) for kind, array in found.items()}


def _rounding(convolution: Any) -> Any:
    """What rounds the input; poolings and turns between the two change nothing about the range."""
    node = _source(convolution.input(0))
    while node.get_type_name() in ("MaxPool", "Transpose"):
        node = _source(node.input(0))
    assert node.get_type_name() == "FakeQuantize", node
    return node


def _source(port: Any) -> Any:
    return port.get_source_output().get_node()


def _constant(node: Any) -> np.ndarray:
    """The value of a constant, whatever type it is kept in."""
    while node.get_type_name() == "Convert":
        node = _source(node.input(0))
    return np.array(node.get_data())
