"""The linear head: one kernel and one bias on raw features, and what its solvers share.

For training, features are centred one by one and scaled part by part; both are then folded into the layer.
Each view of an image is a row with its share of the image's weight; an answer is the mean over the views.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.backbones.heads import LinearHead, Scaling
from headstart.backbones.specs import Part
from headstart.training.temperature import cross_entropy

Labelled = tuple[np.ndarray, np.ndarray]
"""(N, views, D) features and (N,) class indices."""

SHARES = {"mean": 1.0, "max": 0.25}
"""Of the total variance that a part of the features has in training; maxima are noisier than means."""


def rows(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, views, D) as N · views rows, each with the image's class and its share of the image's weight."""
    n, views, width = x.shape
    return x.reshape(n * views, width), np.repeat(y, views), np.repeat(weight / views, views)


@dataclass(frozen=True)
class Fitted:
    """A trained head, a row of history an epoch or candidate, and what was chosen on validation."""

    head: LinearHead
    history: list[dict[str, Any]]
    chosen: dict[str, float]


def scaling(x: np.ndarray, parts: Sequence[Part]) -> Scaling:
    """Of (M, D) training features: each is centred, and each part divided by one number.

    That number gives every mean the same total variance, however wide its tap, and every maximum a quarter
    of it; all of them together have the variance of D standardised features, so that a penalty means the
    same for every head. Inside a part, a feature that varies more keeps saying more. What this gains over
    standardising one by one is in docs/decisions/0004-probe.md.

    >>> x = np.array([[0.0, 3.0, 5.0], [0.0, 5.0, 5.0]])
    >>> scaling(x, [Part("mean", 2), Part("max", 1)]).scale.round(3).tolist()
    [0.645, 0.645, 1.0]
    """
    ends = np.cumsum([part.length for part in parts])[:-1]
    # Part by part: all of them in float64 would take twice the memory of `x`.
    totals = np.array([part.var(axis=0, dtype=np.float64).sum() for part in np.split(x, ends, axis=1)])
    shares = np.array([SHARES[part.kind] for part in parts])
    divisors = np.sqrt(totals / shares * shares.sum() / x.shape[1])
    divisors[totals == 0] = 1.0
    lengths = [part.length for part in parts]
    return Scaling(x.mean(axis=0, dtype=np.float64), np.repeat(divisors, lengths))


def score(head: LinearHead, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """(mean cross-entropy, accuracy) of (N, views, D) features and (N,) classes; views are averaged."""
    logits = head.logits(x)
    return cross_entropy(logits, y), float((logits.argmax(axis=1) == y).mean())


def clearly_worse(losses: np.ndarray, than: np.ndarray) -> bool:
    """Whether (N,) losses are above others of the same images by more than one standard error of the mean.

    The one-standard-error rule of Breiman et al. 1984, on paired differences.

    >>> clearly_worse(np.array([1.0, 3.0, 2.0]), np.array([1.0, 1.0, 2.0]))
    False
    >>> clearly_worse(np.array([1.5, 1.6, 2.4]), np.array([1.0, 1.0, 2.0]))
    True
    """
    more = losses - than
    return bool(more.mean() > more.std(ddof=1) / np.sqrt(len(more))) if len(more) > 1 else bool(more[0] > 0)
