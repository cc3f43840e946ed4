"""The linear probe by an exact solver: a path of penalties, of which validation chooses one."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np

from headstart.backbones.heads import LinearHead
from headstart.backbones.specs import Part
from headstart.training.head import Fitted, Labelled, rows, scaling, score
from headstart.training.temperature import calibrated_loss

PENALTIES: tuple[float, ...] = tuple(10.0 ** (-k / 2) for k in range(8))
"""λ, from strong to weak: the weight of ½‖kernel‖² beside the mean cross-entropy. scikit-learn's C is
1 / (λ · sum of weights); λ doesn't change its meaning with the number of images."""


@dataclass(frozen=True)
class Candidate:
    """A head of the path and how it does on images that it wasn't trained on.

    The choice is by `calibrated`, the loss at the best temperature.
    """

    penalty: float
    head: LinearHead
    val_loss: float
    val_accuracy: float
    calibrated: float


def path(
    x: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    parts: Sequence[Part],
    penalties: tuple[float, ...] = PENALTIES,
) -> Iterator[LinearHead]:
    """Yields the L2-regularised multinomial logistic regression for each penalty, by L-BFGS.

    `x` is (N, views, D), `y` (N,) and `weight` (N,). Each starts from the one before, so that the whole path
    costs little more than its weakest penalty.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    x, y, weight = rows(x, y, weight)
    scale = scaling(x, parts)
    scaled = scale(x)
    model = LogisticRegression(warm_start=True, max_iter=2000, tol=1e-4)
    for penalty in penalties:
        model.set_params(C=1.0 / (penalty * weight.sum()))
        # Products with a vector, in which threads only wait for one another; and a step so short that float32
        # cannot tell what it gains is an end, too. Both are in decision 0004.
        with threadpool_limits(1, "blas"), catch_warnings():
            simplefilter("ignore", ConvergenceWarning)
            model.fit(scaled, y, sample_weight=weight)
        kernel, bias = model.coef_.T, model.intercept_
        if kernel.shape[1] == 1:  # two classes share one logit z: as softmax, (−z/2, z/2)
            kernel, bias = np.hstack([-kernel, kernel]) / 2, np.hstack([-bias, bias]) / 2
        yield LinearHead(*scale.fold(kernel, bias))


def candidates(
    train: Labelled, val: Labelled, weight: np.ndarray, parts: Sequence[Part]
) -> Iterator[Candidate]:
    """Yields the path's heads with their validation scores, until two in a row are worse than the best.

    The calibrated loss falls and then rises along the path; the weak penalties behind the minimum are the
    slowest to solve, and would not be chosen.
    """
    best = math.inf
    worse = 0
    for penalty, head in zip(PENALTIES, path(*train, weight, parts), strict=True):
        loss = calibrated_loss(head.logits(val[0]), val[1])
        yield Candidate(penalty, head, *score(head, *val), loss)
        worse = worse + 1 if loss >= best else 0
        best = min(best, loss)
        if worse == 2:
            return


def fit_path(train: Labelled, val: Labelled, weight: np.ndarray, parts: Sequence[Part]) -> Fitted:
    """The candidate with the lowest calibrated loss; of equals, the more strongly regularised."""
    history: list[dict[str, Any]] = []
    tried: list[Candidate] = []
    start = time.perf_counter()
    for candidate in candidates(train, val, weight, parts):
        loss, accuracy = score(candidate.head, *train)
        history.append(
            {
                "phase": "lbfgs",
                "epoch": len(tried),
                "loss": loss,
                "accuracy": accuracy,
                "val_loss": candidate.val_loss,
                "val_accuracy": candidate.val_accuracy,
                "learning_rate": None,
                "seconds": round(time.perf_counter() - start, 3),
                "val_calibrated_loss": candidate.calibrated,
                "C": 1.0 / (candidate.penalty * weight.sum()),
            }
        )
        tried.append(candidate)
        start = time.perf_counter()
    best = min(tried, key=lambda candidate: candidate.calibrated)
    chosen = {"C": 1.0 / (best.penalty * float(weight.sum())), "penalty": best.penalty}
    return Fitted(best.head, history, chosen)
