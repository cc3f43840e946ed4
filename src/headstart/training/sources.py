"""What a step of training reads: the inputs of the graph above the freeze boundary, image by image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

Inputs = tuple[np.ndarray, ...]
"""A batch: one array (B, …) for each input of the graph."""


class Source(Protocol):
    """Images by their row, each in several variants ("views"); view 0 is the picture as it is."""

    def batch(self, rows: np.ndarray, view: int) -> Inputs:
        """The inputs of the images in `rows`, all in the same variant; the same ones every time."""


def fed(inputs: Inputs) -> Any:
    """Inputs in the form that Keras takes."""
    return list(inputs) if len(inputs) > 1 else inputs[0]


@dataclass(frozen=True)
class Vectors:
    """Features in memory, (N, views, D)."""

    features: np.ndarray

    def batch(self, rows: np.ndarray, view: int) -> Inputs:
        return (self.features[rows, view],)


@dataclass(frozen=True)
class Examples:
    """Images to learn from or to be judged by.

    Attributes:
        source: where their inputs are read.
        rows: (N,) their rows in it.
        y: (N,) class indices.
        weight: (N,) of each image in the loss.
        views: variants of each: trained on in turn, or averaged in an answer.
    """

    source: Source
    rows: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    views: int
