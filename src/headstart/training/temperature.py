"""Losses of logits, as they are and at the temperature that makes them least.

A temperature says how boldly answers are put and nothing about their order: logits are divided by it.
Reference: Guo et al. 2017, arXiv:1706.04599.
"""

from __future__ import annotations

import numpy as np

BOUNDS = (-3.0, 3.0)  # natural logarithms of its inverse


def cross_entropy(logits: np.ndarray, y: np.ndarray) -> float:
    """Mean of −log softmax(logits)[y] over (N, C) logits."""
    return float(losses(logits, y).mean())


def losses(logits: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(N,) of −log softmax(logits)[y]."""
    from scipy.special import log_softmax

    return np.asarray(-log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(y)), y])


def calibrated_loss(logits: np.ndarray, y: np.ndarray) -> float:
    """Cross-entropy at the temperature that makes it least: it judges the order of the answers."""
    return float(calibrated_losses(logits, y).mean())


def calibrated_losses(logits: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(N,) of which `calibrated_loss` is the mean."""
    from scipy.optimize import minimize_scalar

    fitted = minimize_scalar(lambda t: cross_entropy(logits * np.exp(t), y), bounds=BOUNDS, method="bounded")
    return losses(logits * np.exp(fitted.x), y)


def temperature(logits: np.ndarray, y: np.ndarray) -> float:
    """The temperature to serve with, from the (N, C) logits and (N,) classes of validation images.

    It minimises the cross-entropy with targets that leave 1 / (N + 2) to the other classes (Platt 1999):
    where N images are all answered rightly, that does not say that every image will be.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    n, classes = logits.shape
    target = np.full((n, classes), 1 / (n + 2) / (classes - 1))
    target[np.arange(n), y] = (n + 1) / (n + 2)
    z = logits.astype(np.float64)

    def loss(t: float) -> float:
        return float(-(target * log_softmax(z * np.exp(t), axis=1)).sum() / n)

    return float(np.exp(-minimize_scalar(loss, bounds=BOUNDS, method="bounded", options={"xatol": 1e-8}).x))
