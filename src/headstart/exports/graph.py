"""The whole network as one graph, from uint8 images to probabilities, for the formats that leave headstart.

It is `vgg.graph` with what a bundle does around it: views before, the head, their mean and softmax behind.
Each format brings the operations, as each engine does.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

import numpy as np

from headstart.backbones import heads, vgg
from headstart.backbones.weights import Arrays
from headstart.inference.bundle import BundleSpec

T = TypeVar("T")

IMAGE, PROBABILITIES = "image", "probabilities"
"""Names of the input, (B, size, size, 3) uint8 RGB, and of the output, (B, C) float32."""


class WholeOperations(vgg.Operations[T], Protocol[T]):
    """What else a graph needs.

    `image` gives what the network sees: with 8 views all of them, as a batch of 8 B, view by view (`turns`).
    """

    def dense(self, x: T, name: str, kernel: np.ndarray, bias: np.ndarray, last: bool) -> T:
        """x @ kernel + bias, with ReLU behind it unless it is the last."""

    def probabilities(self, logits: T) -> T:
        """Mean over the views, then softmax: (B, C)."""


def write(spec: BundleSpec, arrays: Arrays, ops: WholeOperations[T]) -> T:
    """Writes the graph of a bundle and returns its output. The temperature is part of the last layer."""
    tensors = vgg.graph(spec.network, spec.head, ops)
    x = tensors["flatten" if spec.head == "vgg" else "features"]
    for name, _ in heads.hidden(spec.network, spec.head):
        x = ops.dense(x, name, arrays[f"{name}/kernel"], arrays[f"{name}/bias"], False)
    kernel, bias = ((arrays[f"head/{kind}"] / spec.temperature).astype("f4") for kind in ("kernel", "bias"))
    return ops.probabilities(ops.dense(x, "logits", kernel, bias, True))


def turns(views: int) -> list[tuple[bool, bool, bool]]:
    """How each view comes of an image: transposed first?, then rows reversed?, columns reversed?

    As `dihedral` has them: view % 4 quarter turns counter-clockwise, mirrored left to right from 4 on.

    >>> turns(1)
    [(False, False, False)]
    """
    quarters = [(False, False, False), (True, True, False), (False, True, True), (True, False, True)]
    mirrored = [(transposed, rows, not columns) for transposed, rows, columns in quarters]
    return (quarters + mirrored)[:views]
