"""Heads: from a backbone's features to logits. Their arrays, and how they are computed in NumPy.

`taps` and `gap` are one dense layer, ``head``. `vgg` is the paper's: two hidden ones, ``fc1`` and ``fc2``,
with ReLU before it. Engines stop at the features, so that a head is computed in one place for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from headstart.backbones.specs import Backbone
from headstart.backbones.weights import Arrays


class Head(Protocol):
    """What turns features into answers."""

    def logits(self, features: np.ndarray) -> np.ndarray:
        """(N, views, D) → (N, C), the mean over the views."""


BLOCK = 1024  # images whose features are in float64 at a time


@dataclass(frozen=True)
class LinearHead:
    """kernel (D, C) and bias (C,), float32, on raw features."""

    kernel: np.ndarray
    bias: np.ndarray

    def logits(self, features: np.ndarray) -> np.ndarray:
        """In float64, so that an answer does not depend on how many are computed at once."""
        kernel = self.kernel.astype(np.float64)
        blocks = (features[start : start + BLOCK] for start in range(0, len(features), BLOCK))
        found = [block.mean(axis=1, dtype=np.float64) @ kernel + self.bias for block in blocks]
        return np.concatenate(found) if found else np.zeros((0, len(self.bias)))

    def arrays(self) -> Arrays:
        """As a bundle stores them."""
        return {"head/kernel": self.kernel, "head/bias": self.bias}


@dataclass(frozen=True)
class DenseHead:
    """Dense layers by name, (fan in, fan out) kernels and biases, with ReLU between them.

    It reads as many of the features as its first kernel has rows.
    """

    layers: tuple[tuple[np.ndarray, np.ndarray], ...]

    def logits(self, features: np.ndarray) -> np.ndarray:
        """One row after the other, so that an answer does not depend on how many are computed at once."""
        return np.stack([np.mean([self._row(row) for row in views], axis=0) for views in features])

    def _row(self, x: np.ndarray) -> np.ndarray:
        x = x[: len(self.layers[0][0])]
        for kernel, bias in self.layers[:-1]:
            x = np.maximum(x @ kernel + bias, 0)
        kernel, bias = self.layers[-1]
        return np.asarray(x.astype(np.float64) @ kernel.astype(np.float64) + bias)


@dataclass(frozen=True)
class Scaling:
    """What is taken from each feature, and what it is then divided by: (D,) each.

    A layer learns in such terms, since the features of a network differ a hundredfold in size, and is then
    folded, so that a saved head reads features as they are.
    """

    mean: np.ndarray
    scale: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(M, D) centred and scaled, float32."""
        scaled = x - self.mean.astype(np.float32)
        scaled /= self.scale.astype(np.float32)
        return scaled

    def fold(self, kernel: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of a layer on scaled features, the same layer on raw ones; float32."""
        kernel = kernel / self.scale[:, None]
        return kernel.astype(np.float32), (bias - self.mean @ kernel).astype(np.float32)

    def unfold(self, kernel: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The way back."""
        return (kernel * self.scale[:, None]).astype(np.float32), (bias + self.mean @ kernel).astype(
            np.float32
        )

    def folded(self, arrays: Arrays, layer: str) -> Arrays:
        """The arrays of a head whose first layer is `layer`, for raw features."""
        return arrays | _named(layer, *self.fold(arrays[f"{layer}/kernel"], arrays[f"{layer}/bias"]))

    def unfolded(self, arrays: Arrays, layer: str) -> Arrays:
        """The way back."""
        return arrays | _named(layer, *self.unfold(arrays[f"{layer}/kernel"], arrays[f"{layer}/bias"]))


def _named(layer: str, kernel: np.ndarray, bias: np.ndarray) -> Arrays:
    return {f"{layer}/kernel": kernel, f"{layer}/bias": bias}


def shapes(spec: Backbone, head: str, size: int, classes: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the arrays of `head`, in order, for images of `size` pixels."""
    found: dict[str, tuple[int, ...]] = {}
    fan = spec.width(head, size) - (sum(part.length for part in spec.parts(head)) if head == "vgg" else 0)
    for name, width in (*hidden(spec, head), ("head", classes)):
        found |= {f"{name}/kernel": (fan, width), f"{name}/bias": (width,)}
        fan = width
    return found


def hidden(spec: Backbone, head: str) -> tuple[tuple[str, int], ...]:
    """Names and widths of the hidden layers of `head`."""
    return tuple((f"fc{i}", width) for i, width in enumerate(spec.dense, start=1)) if head == "vgg" else ()


def first(spec: Backbone, head: str) -> str:
    """Name of the layer that reads the features."""
    return (*(name for name, _ in hidden(spec, head)), "head")[0]


def from_arrays(spec: Backbone, head: str, arrays: Mapping[str, np.ndarray]) -> Head:
    """The head whose arrays are among `arrays`."""
    names = [name for name, _ in hidden(spec, head)]
    if not names:
        return LinearHead(arrays["head/kernel"], arrays["head/bias"])
    return DenseHead(tuple((arrays[f"{name}/kernel"], arrays[f"{name}/bias"]) for name in (*names, "head")))


def random(spec: Backbone, head: str, size: int, classes: int, seed: int) -> Arrays:
    """Glorot-uniform kernels (Glorot and Bengio 2010), as Keras's Dense begins, and zero biases."""
    rng = np.random.default_rng(seed)
    arrays: Arrays = {}
    for name, shape in shapes(spec, head, size, classes).items():
        limit = np.sqrt(6.0 / sum(shape)) if len(shape) == 2 else 0.0
        arrays[name] = rng.uniform(-limit, limit, shape).astype(np.float32)
    return arrays
