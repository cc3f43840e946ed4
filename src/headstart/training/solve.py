"""Trains the head with the solver that was asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headstart.backbones.specs import Part
from headstart.config import RunConfig
from headstart.errors import InputError, sentence
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

    Raises:
        InputError: no training image weighs anything.
    """
    from sklearn.utils.class_weight import compute_sample_weight

    train, val = ((x[split == name], y[split == name]) for name in ("train", "val"))
    kind = config.training.class_weight
    w = weight[split == "train"] * compute_sample_weight(None if kind == "none" else kind, train[1])
    if not w.any():
        line = "Every training image has the weight 0."
        raise InputError(sentence(line, allowed="weights above 0", remedy="Mend the column of weights."))
    if config.training.solver == "keras":
        from headstart.training.epochs import fit_epochs

        return fit_epochs(train, val, w, parts, config.training.epochs, config.seed)
    return probe.fit_path(train, val, w, parts)
