"""Keras in float32: the reference that every other engine is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext

import numpy as np

from headstart.backbones import framework
from headstart.backbones.classifier import build_features
from headstart.backbones.specs import Backbone


class KerasEngine:
    """`predict_on_batch` of the flat Keras graph."""

    batch = 8
    lanes = 1
    side_by_side = nullcontext

    def __init__(
        self, backbone: Backbone, head: str, size: int, arrays: Mapping[str, np.ndarray], boundary: str
    ) -> None:
        with framework.precision("float32"):
            self.model = build_features(backbone, head, size, arrays)
            if boundary:
                tensor = self.model.get_layer(boundary).output
                self.with_map = framework.keras().Model(self.model.input, [self.model.output, tensor])

    def run(self, images: np.ndarray) -> np.ndarray:
        return np.asarray(self.model.predict_on_batch(images), dtype=np.float32)

    def run_with_map(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        features, maps = self.with_map.predict_on_batch(images)
        return np.asarray(features, dtype=np.float32), np.asarray(maps, dtype=np.float32)


def open_engine(
    backbone: Backbone, head: str, size: int, arrays: Mapping[str, np.ndarray], precision: str, boundary: str
) -> KerasEngine:
    """Builds the Keras graph; the only precision is float32."""
    assert precision == "f32"
    return KerasEngine(backbone, head, size, arrays, boundary)
