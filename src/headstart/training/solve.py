"""Trains the head with the solver that was asked for.

With several views the head is trained on their mean, which for a linear layer gives the mean of the
views' logits.
"""

from __future__ import annotations

import numpy as np

from headstart.config import RunConfig
from headstart.training import probe
from headstart.training.head import Fitted


def fit(
    x: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    split: np.ndarray,
    parts: tuple[int, ...],
    config: RunConfig,
) -> Fitted:
    """Trains on the rows of ``train`` and chooses on those of ``val``; ``test`` isn't looked at.

    Args:
        x: (N, views, D) float32 features.
        y: (N,) class indices.
        weight: (N,) of each image in the loss.
        split: (N,) names.
        parts: lengths of the parts of a feature vector, see `head.scaling`.
        config: solver, epochs, class weights and seed are read.
    """
    from sklearn.utils.class_weight import compute_sample_weight

    mean = x.mean(axis=1)
    train, val = ((mean[split == name], y[split == name]) for name in ("train", "val"))
    kind = config.training.class_weight
    w = weight[split == "train"] * compute_sample_weight(None if kind == "none" else kind, train[1])
    if config.training.solver == "keras":
        from headstart.training.epochs import fit_epochs

        return fit_epochs(train, val, w, parts, config.training.epochs, config.seed)
    return probe.fit_path(train, val, w, parts)
