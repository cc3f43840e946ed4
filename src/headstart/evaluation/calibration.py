"""Whether a probability means what it says: reliability, expected calibration error, risk and coverage."""

from __future__ import annotations

import numpy as np
import pandas as pd

from headstart.evaluation.intervals import wilson

BINS = 15


def expected_calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> float:
    """Mean gap between confidence and accuracy, weighted by the size of the bins.

    ECE = Σ_b (n_b / N) · |acc_b − conf_b| over equal-width intervals (0, 1/bins], … of the confidence. Empty
    ones contribute nothing. Reference: Guo et al. 2017, arXiv:1706.04599.

    Args:
        confidence: (N,) probability of the answer, in [0, 1].
        right: (N,) whether the answer is right.
        bins: number of intervals.

    >>> expected_calibration_error(np.array([0.9, 0.7]), np.array([True, True]))
    0.2
    """
    gaps = np.bincount(_bins(confidence, bins), weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def bin_gaps(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> np.ndarray:
    """(N, bins) of each image: right less confidence, in the column of its bin; 0 elsewhere."""
    gaps = np.zeros((len(confidence), bins))
    gaps[np.arange(len(confidence)), _bins(confidence, bins)] = right - confidence
    return gaps


def expected_by_chance(confidence: np.ndarray, seed: int = 0, trials: int = 1000) -> tuple[float, float]:
    """The ECE that confidences show which mean exactly what they say: (mean, 95 % quantile) over trials.

    Few images never match their confidence bin by bin, so an ECE says something only beside this one
    (consistency resampling: Bröcker and Smith 2007).
    """
    rng = np.random.default_rng(seed)
    found = [
        expected_calibration_error(confidence, rng.random(len(confidence)) < confidence)
        for _ in range(trials)
    ]
    return float(np.mean(found)), float(np.quantile(found, 0.95))


def reliability(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> pd.DataFrame:
    """A row a bin that is not empty: confidence and accuracy in it, Wilson's interval (low, high), and n."""
    place = _bins(confidence, bins)
    rows = []
    for b in np.unique(place):
        here = place == b
        k, n = int(right[here].sum()), int(here.sum())
        low, high = wilson(k, n)
        rows.append((float(confidence[here].mean()), k / n, low, high, n))
    return pd.DataFrame(rows, columns=["confidence", "accuracy", "low", "high", "n"])


def risk_coverage(confidence: np.ndarray, right: np.ndarray) -> pd.DataFrame:
    """Columns coverage and risk: the share of images answered, surest first, and the share of them wrong.

    Of equal confidences all or none are answered. Reference: El-Yaniv and Wiener 2010, JMLR 11.
    """
    order = np.argsort(-confidence, kind="stable")
    ends = np.flatnonzero(np.r_[np.diff(confidence[order]) != 0, True])
    wrong = np.cumsum(~right[order])[ends]
    return pd.DataFrame({"coverage": (ends + 1) / len(right), "risk": wrong / (ends + 1)})


def _bins(confidence: np.ndarray, bins: int) -> np.ndarray:
    """(N,) the interval of each, (0, 1/bins] being 0."""
    return np.asarray(np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1))
