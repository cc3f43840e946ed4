"""Softmax and temperature: logits become probabilities here and nowhere else."""

from __future__ import annotations

import numpy as np


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """(N, C) probabilities of (N, C) logits divided by `temperature`, in float64.

    >>> softmax(np.array([[0.0, 0.0]])).tolist()
    [[0.5, 0.5]]
    """
    z = np.asarray(logits, dtype=np.float64) / temperature
    z -= z.max(axis=1, keepdims=True)
    np.exp(z, out=z)  # in place: there may be a thousand classes and many images
    z /= z.sum(axis=1, keepdims=True)
    return z
