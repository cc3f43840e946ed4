"""From probabilities to an answer, and whether to act on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Decision = Literal["accept", "abstain", "unfamiliar"]
Cost = tuple[int, int, float]
"""Index of the true class, index of the answer, and what that mistake costs."""


@dataclass(frozen=True)
class Rule:
    """Which class is the answer, and when it is accepted.

    Attributes:
        confidence: an answer that is less probable is abstained from.
        distance: an image farther from the training images than this is unfamiliar; None: no limit is known.
        costs: of mistakes that cost something else than 1. Where there are any, the answer is the class with
            the least expected cost, which may not be the most probable one.
    """

    confidence: float = 0.0
    distance: float | None = None
    costs: tuple[Cost, ...] = ()

    def answers(self, probabilities: np.ndarray) -> np.ndarray:
        """(N,) class indices for (N, C) probabilities; of equals the first.

        >>> Rule(costs=((1, 0, 9.0),)).answers(np.array([[0.8, 0.2], [0.95, 0.05]])).tolist()
        [1, 0]
        """
        if not self.costs:
            return np.asarray(probabilities.argmax(axis=1), np.int64)
        return np.asarray((probabilities @ self.matrix(probabilities.shape[1])).argmin(axis=1), np.int64)

    def matrix(self, classes: int) -> np.ndarray:
        """(C, C) float64 costs: rows the true class, columns the answer."""
        costs = 1.0 - np.eye(classes)
        for true, answer, cost in self.costs:
            costs[true, answer] = cost
        return costs

    def decisions(self, confidence: np.ndarray, distances: np.ndarray | None) -> np.ndarray:
        """(N,) decisions from the answers' probabilities and, where known, the images' distances.

        >>> Rule(0.9, 2.0).decisions(np.array([0.95, 0.6, 0.99]), np.array([1.0, 1.0, 7.0])).tolist()
        ['accept', 'abstain', 'unfamiliar']
        """
        decided = np.where(confidence < self.confidence, "abstain", "accept")
        if self.distance is None or distances is None:
            return decided
        return np.where(distances > self.distance, "unfamiliar", decided)


ALWAYS = Rule()
"""The most probable class, accepted in any case."""
