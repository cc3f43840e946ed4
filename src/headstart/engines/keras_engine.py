"""Keras in float32: the reference that every other engine is compared with."""

from __future__ import annotations

import numpy as np

from headstart.backbones.classifier import build_features
from headstart.backbones.specs import Backbone
from headstart.backbones.weights import Arrays


class KerasEngine:
    """`predict_on_batch` of the flat Keras graph."""

    batch = 8

    def __init__(self, backbone: Backbone, head: str, size: int, arrays: Arrays) -> None:
        self.model = build_features(backbone, head, size, arrays)

    def run(self, images: np.ndarray) -> np.ndarray:
        """(8, size, size, 3) uint8 → (8, D) float32."""
        return np.asarray(self.model.predict_on_batch(images), dtype=np.float32)


def open_engine(backbone: Backbone, head: str, size: int, arrays: Arrays, precision: str) -> KerasEngine:
    """Builds the Keras graph; the only precision is float32."""
    assert precision == "f32"
    return KerasEngine(backbone, head, size, arrays)
