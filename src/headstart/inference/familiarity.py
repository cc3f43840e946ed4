"""How far an image lies from the training images, by what the network sees in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Familiarity:
    """Mahalanobis distance to the training images' embeddings, in units in which theirs is about 1.

    d(x) = √((x − μ)ᵀ Σ⁻¹ (x − μ) / E) with their mean μ and shrunk covariance Σ (Ledoit and Wolf 2004).
    Reference: Lee et al. 2018, arXiv:1807.03888, with one Gaussian for all classes.

    Attributes:
        mean: (E,) float64.
        whitening: (E, E) float64 W with WᵀW = Σ⁻¹ / E.
    """

    mean: np.ndarray
    whitening: np.ndarray

    @classmethod
    def of(cls, mean: np.ndarray, covariance: np.ndarray) -> Familiarity:
        """Of a mean and a positive definite covariance."""
        factor = np.linalg.cholesky(covariance.astype(np.float64))
        inverse = np.linalg.solve(factor, np.eye(len(factor)))  # SciPy would cost every command its start
        return cls(mean.astype(np.float64), inverse / np.sqrt(len(factor)))

    def distances(self, embeddings: np.ndarray) -> np.ndarray:
        """(N,) of (N, E) embeddings; a row's number does not depend on the other rows."""
        centred = embeddings.astype(np.float64) - self.mean
        return np.array([np.linalg.norm(self.whitening @ row) for row in centred])


def limit(distances: np.ndarray, share: float = 0.01) -> float | None:
    """The distance that at most `share` of images like these exceed, as far as they can tell.

    Of N validation images the ⌈(N + 1)(1 − share)⌉-th smallest, the quantile of split conformal prediction
    (Lei et al. 2018), which holds on average over such validation sets. Where that would be beyond the
    largest, the upper end of Student's prediction interval of the logarithms; None for a single image.

    >>> limit(np.arange(1.0, 101.0), 0.05)
    96.0
    """
    from scipy.stats import t

    n = len(distances)
    place = int(np.ceil((n + 1) * (1 - share)))
    if place <= n:
        return float(np.sort(distances)[place - 1])
    if n < 2:
        return None
    logs = np.log(np.maximum(distances, 1e-12))
    return float(np.exp(logs.mean() + t.ppf(1 - share, n - 1) * logs.std(ddof=1) * np.sqrt(1 + 1 / n)))
