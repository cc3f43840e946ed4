"""How well scores order images: areas under curves of one class against the rest.

Weighing the images by w (mean 1) moves such a number by about Σ (w_i − 1) ψ_i / N: the ψ are its first-order
terms, by which a bootstrap needs no sorting.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ranking:
    """Of each class: (C,) areas, NaN where the class has no image or all, and (N,) terms of their mean.

    The mean is over the classes; of two it is the second's alone.
    """

    auc: np.ndarray
    average_precision: np.ndarray
    auc_terms: np.ndarray
    precision_terms: np.ndarray
    counted: tuple[int, ...]

    def mean(self, areas: np.ndarray) -> float:
        """Of the classes that count; NaN where one of all has no image."""
        return float(np.nan if np.isnan(areas).any() else areas[list(self.counted)].mean())


def ranking(y_true: np.ndarray, scores: np.ndarray) -> Ranking:
    """Of (N,) classes and (N, C) scores."""
    n, classes = scores.shape
    counted = (1,) if classes == 2 else tuple(range(classes))
    areas, terms = np.full((2, classes), np.nan), np.zeros((2, n))
    for c in range(classes):
        positive = y_true == c
        if positive.any() and not positive.all():
            areas[:, c], own = one_against_rest(positive, scores[:, c])
            terms += own / len(counted) if c in counted else 0.0
    return Ranking(areas[0], areas[1], terms[0], terms[1], counted)


def one_against_rest(positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[ROC AUC, average precision] and the (2, N) terms of them, of (N,) booleans and scores.

    AUC (DeLong et al. 1988). Let V_i be the share of the other group that image i is on the right side of (of
    equals, half). Its mean over either group is the AUC A, and ψ_i = (V_i − A) · N / (size of i's group).

    Average precision, as scikit-learn's: Σ_i p_i / P over the P positive images, where p_i = T_i / M_i, with
    T_i of the M_i images that score at least as high positive. Its derivatives by weights give
    ψ_j = (N / P) · (y_j (p_j − AP) + Σ_{i: s_i ≤ s_j} y_i (y_j − p_i) / M_i).
    """
    order = np.argsort(score, kind="stable")
    y, s = positive[order], score[order]
    n, count = len(y), int(y.sum())
    starts = np.flatnonzero(np.r_[True, s[1:] != s[:-1]])
    group = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, n]))
    ends = np.r_[starts[1:], n]
    below = np.r_[0, np.cumsum(y)]  # positives before each place

    lower, upto = below[starts][group], below[ends][group]
    positives = (lower + upto) / 2  # positives that score less; of equals, half
    everyone = (starts + ends)[group] / 2
    right = np.where(y, (everyone - positives) / (n - count), 1 - positives / count)
    auc = right[y].mean()
    auc_terms = (right - auc) * n / np.where(y, count, n - count)

    above, true_above = n - starts[group], count - lower
    p = true_above / above
    ap = p[y].mean()
    first = np.cumsum(y / above)[ends - 1][group]
    second = np.cumsum(y * p / above)[ends - 1][group]
    ap_terms = n / count * (y * (p - ap) + y * first - second)
    terms = np.empty((2, n))
    terms[:, order] = auc_terms, ap_terms
    return np.array([auc, ap]), terms
