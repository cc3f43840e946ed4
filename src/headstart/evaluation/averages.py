"""Averages over classes of what a confusion matrix counts, for many samples at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

LEAST = {"mcc": -1.0}
"""The smallest value of an average; of all others it is 0."""


class Counts(NamedTuple):
    """(R, C) images of each class in R samples: rightly answered, truly of it, and with it as the answer."""

    hits: np.ndarray
    support: np.ndarray
    predicted: np.ndarray

    @classmethod
    def of(cls, matrix: np.ndarray) -> Counts:
        """Of one (C, C) confusion matrix."""
        return cls(np.diag(matrix)[None], matrix.sum(axis=1)[None], matrix.sum(axis=0)[None])

    @classmethod
    def joined(cls, parts: Sequence[Counts]) -> Counts:
        """Of the samples of all parts."""
        return cls(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


@dataclass(frozen=True)
class Counter:
    """Counts images by class in samples of (N,) images with these classes and answers."""

    y_true: np.ndarray
    y_pred: np.ndarray
    classes: int

    def counts(self, weights: np.ndarray) -> Counts:
        """Of R samples, from (R, N) times that each image is in them."""
        right = self.y_true == self.y_pred
        everyone = np.ones(len(right))
        members = (self.y_true, right), (self.y_true, everyone), (self.y_pred, everyone)
        return Counts(*(weights @ self._member(y, counted) for y, counted in members))

    def _member(self, y: np.ndarray, counted: np.ndarray) -> Any:
        from scipy.sparse import csr_array

        places = (np.arange(len(y)), y)
        return csr_array((counted.astype(np.float64), places), shape=(len(y), self.classes))


def averages(counts: Counts) -> dict[str, np.ndarray]:
    """(R,) of each average."""
    hits, support, predicted = counts
    ratios = {
        "precision": _ratio(hits, predicted),
        "recall": _ratio(hits, support),
        "f1": _ratio(2 * hits, support + predicted),
    }
    occurring = (support + predicted > 0).sum(axis=1)
    found = {"balanced_accuracy": ratios["recall"].sum(axis=1) / (support > 0).sum(axis=1)}
    found |= {f"macro_{name}": ratio.sum(axis=1) / occurring for name, ratio in ratios.items()}
    n = support.sum(axis=1)  # by which is divided last: ratios of 1 then give just 1
    found |= {f"weighted_{name}": (ratio * support).sum(axis=1) / n for name, ratio in ratios.items()}
    return found | {"mcc": _mcc(counts)}


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.asarray(numerator / np.maximum(denominator, 1))  # counts: 0 / 1 where the denominator is 0


def _mcc(counts: Counts) -> np.ndarray:
    """Matthews's correlation of truth and answer for any number of classes (Gorodkin 2004); 0 without any."""
    hits, support, predicted = (count.astype(np.float64) for count in counts)
    n = support.sum(axis=1)
    covariance = n * hits.sum(axis=1) - (support * predicted).sum(axis=1)
    spread = (n**2 - np.square(support).sum(axis=1)) * (n**2 - np.square(predicted).sum(axis=1))
    return np.where(spread > 0, covariance / np.sqrt(np.where(spread > 0, spread, 1.0)), 0.0)
