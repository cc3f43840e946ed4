"""What small classes do to the interval of an average over classes.

A class whose few images all happen to be right has no spread that resampling could show, though it is the one
that is known least. Wilson's interval knows better, and those of the classes are squared and added (Zou and
Donner 2008, doi:10.1002/sim.3095): from an average to its lower end it is the root of the sum of the squared
distances of the classes to theirs, and so for the upper.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from headstart.evaluation.grouped import Z
from headstart.evaluation.intervals import ends
from headstart.evaluation.predictions import Predictions


def moves(said: Predictions) -> dict[str, np.ndarray]:
    """(2,) moves from each average to the ends of its 95 % interval, were the classes independent."""
    truth, answer = said.y_true, said.y_pred
    classes = range(len(said.class_names))
    support = np.bincount(truth, minlength=len(classes))
    occurring = (support + np.bincount(answer, minlength=len(classes)) > 0).sum()
    recall = _ends(said, (truth == c for c in classes))
    precision = _ends(said, (answer == c for c in classes))
    # F1 is 2 q / (1 + q), where q is the share that is right of what is of the class or called so.
    q = _ends(said, ((truth == c) | (answer == c) for c in classes))
    ratios = {"recall": recall, "precision": precision, "f1": 2 * q / (1 + q)}
    found = {"balanced_accuracy": _added(recall, (support > 0) / (support > 0).sum())}
    for name, ratio in ratios.items():
        found[f"macro_{name}"] = _added(ratio, np.full(len(classes), 1 / occurring))
        found[f"weighted_{name}"] = _added(ratio, support / len(said))
    return found


def _ends(said: Predictions, members: Iterable[np.ndarray]) -> np.ndarray:
    """(C, 3) share of each class's members that is right, and its ends; 0 for a class without any."""
    return np.array([share(said, rows) if rows.any() else (0.0, 0.0, 0.0) for rows in members])


def share(said: Predictions, rows: np.ndarray, z: float = Z) -> tuple[float, float, float]:
    """As `intervals.ends`, the share of some rows that is right."""
    return ends(said.right[rows], None if said.grouped is None else said.grouped[rows], z)


def _added(ends: np.ndarray, weights: np.ndarray) -> np.ndarray:
    value, low, high = ends.T
    down, up = (np.sqrt(np.square(weights * distance).sum()) for distance in (value - low, high - value))
    return np.array([-down, up])


def stretch(terms: np.ndarray, y: np.ndarray) -> float:
    """The factor that the interval of an average lacks where classes are small: Bessel's and Student's.

    The degrees of freedom are those of Welch and Satterthwaite, as the classes' variances differ.

    Args:
        terms: (N,) of the average, see `ranking`.
        y: (N,) classes, which are its strata.
    """
    from scipy.stats import t

    there, place, sizes = np.unique(y, return_inverse=True, return_counts=True)
    squares = np.bincount(place, weights=np.square(terms), minlength=len(there))
    if not squares.any():
        return 1.0
    free = np.maximum(sizes - 1, 0.5)  # a class of one image tells as little
    own = squares * sizes / free
    degrees = own.sum() ** 2 / (own**2 / free).sum()
    quantile = (1 + t.ppf(0.975, degrees) / Z) / 2  # half way, as the draws know a part of it, see `moves`
    return float(quantile * np.sqrt(own.sum() / squares.sum()))
