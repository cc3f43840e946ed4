"""The linear head: one kernel and one bias on raw features, and what its solvers share.

For training, features are centred one by one and scaled part by part; both are then folded into the layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Labelled = tuple[np.ndarray, np.ndarray]
"""(N, D) features and (N,) class indices."""


@dataclass(frozen=True)
class LinearHead:
    """kernel (D, C) and bias (C,), float32, on raw features."""

    kernel: np.ndarray
    bias: np.ndarray

    def logits(self, features: np.ndarray) -> np.ndarray:
        """(N, D) → (N, C)."""
        return np.asarray(features @ self.kernel + self.bias)


@dataclass(frozen=True)
class Scaling:
    """What is taken from each feature, and what it is then divided by: (D,) each."""

    mean: np.ndarray
    scale: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(N, D) centred and scaled, float64."""
        return np.asarray((x - self.mean) / self.scale)

    def fold(self, kernel: np.ndarray, bias: np.ndarray) -> LinearHead:
        """The same layer for raw features."""
        kernel = kernel / self.scale[:, None]
        return LinearHead(kernel.astype(np.float32), (bias - self.mean @ kernel).astype(np.float32))


@dataclass(frozen=True)
class Fitted:
    """A trained head, a row of history an epoch or candidate, and what was chosen on validation."""

    head: LinearHead
    history: list[dict[str, Any]]
    chosen: dict[str, float]


def scaling(x: np.ndarray, parts: tuple[int, ...]) -> Scaling:
    """Of (N, D) training features: each is centred, each part divided by one number.

    A part is a tap's mean or max, and `parts` their lengths. Its number is the root mean square of its
    features' standard deviations: parts weigh alike, and inside a part a feature that varies more keeps
    saying more, which standardising one by one would undo (docs/decisions/0004-probe.md).

    >>> scaling(np.array([[0.0, 3.0, 5.0], [0.0, 5.0, 5.0]]), (2, 1)).scale.round(3).tolist()
    [0.707, 0.707, 1.0]
    """
    x = x.astype(np.float64)
    variances = np.split(x.var(axis=0), np.cumsum(parts)[:-1])
    scales = [np.full(len(part), np.sqrt(part.mean()) or 1.0) for part in variances]
    return Scaling(x.mean(axis=0), np.concatenate(scales))


def score(head: LinearHead, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """(mean cross-entropy, accuracy) of (N, D) features."""
    from scipy.special import log_softmax

    logits = head.logits(x).astype(np.float64)
    losses = -log_softmax(logits, axis=1)[np.arange(len(y)), y]
    return float(losses.mean()), float((logits.argmax(axis=1) == y).mean())
