"""Trains the head with the solver that was asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headstart.backbones.specs import Part
from headstart.config import RunConfig
from headstart.training import probe
from headstart.training.head import Fitted


def fit(
    x: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    split: np.ndarray,
    parts: Sequence[Part],
    config: RunConfig,
) -> Fitted:
    """Trains on the rows of ``train`` and chooses on those of ``val``; ``test`` isn't looked at.

    Args:
        x: (N, views, D) float32 features.
        y: (N,) class indices.
        weight: (N,) of each image in the loss.
        split: (N,) names.
        parts: of a feature vector, see `Backbone.parts`.
        config: solver, epochs, class weights and seed are read.
    """
    from sklearn.utils.class_weight import compute_sample_weight

    train, val = ((x[split == name], y[split == name]) for name in ("train", "val"))
    kind = config.training.class_weight
    w = weight[split == "train"] * compute_sample_weight(None if kind == "none" else kind, train[1])
    if config.training.solver == "keras":
        from headstart.training.epochs import fit_epochs

        return fit_epochs(train, val, w, parts, config.training.epochs, config.seed)
    return probe.fit_path(train, val, w, parts)
