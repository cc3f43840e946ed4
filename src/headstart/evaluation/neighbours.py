"""The most similar training images, by what the network sees in them."""

from __future__ import annotations

import numpy as np

from headstart.evaluation.predictions import Surroundings
from headstart.inference.bundle import Reference

ROWS = 1024  # embeddings compared at once


def nearest(reference: Reference, embeddings: np.ndarray, k: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The `k` most similar training images: (N, k) indices, nearest first, and (N, k) cosines.

    Args:
        reference: of the training images.
        embeddings: (N, E), as `Predictor.embeddings` gives them.
        k: how many; at most as many as there are.
    """
    known = _unit(reference.embeddings.astype(np.float32))
    k = min(k, len(known))
    indices, cosines = [], []
    for start in range(0, len(embeddings), ROWS):
        similar = _unit(embeddings[start : start + ROWS].astype(np.float32)) @ known.T
        best = np.argpartition(-similar, k - 1, axis=1)[:, :k]
        order = np.take_along_axis(similar, best, axis=1).argsort(axis=1)[:, ::-1]
        indices.append(np.take_along_axis(best, order, axis=1))
        cosines.append(np.take_along_axis(similar, indices[-1], axis=1))
    return np.concatenate(indices), np.concatenate(cosines).astype(np.float64)


def surroundings(
    reference: Reference, embeddings: np.ndarray, distances: np.ndarray, class_names: tuple[str, ...]
) -> Surroundings:
    """Where (N, E) embeddings with (N,) distances lie among the training images."""
    indices, cosines = nearest(reference, embeddings)
    names = (*class_names, "")  # the last one for an unknown class, −1
    return Surroundings(
        distance=distances,
        nearest=tuple(reference.paths[i] for i in indices[:, 0]),
        label=tuple(names[reference.classes[i]] for i in indices[:, 0]),
        similarity=cosines[:, 0],
    )


def _unit(x: np.ndarray) -> np.ndarray:
    """Rows of length 1; a row of zeros stays one."""
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12))
