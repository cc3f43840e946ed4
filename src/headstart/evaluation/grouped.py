"""Images that come in groups, as several of one patient do: what is said of them is not independent.

Where groups are known, standard errors, draws and tests count groups. How many images would tell as much is
Kish's effective sample (1965); few groups are allowed for by Student's t with one degree of freedom less
than there are groups (Korn and Graubard 1998). `None` in place of groups: each image is its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Z = 1.959963984540054
"""The normal distribution's quantile for 95 %."""


def numbered(names: Sequence[str]) -> np.ndarray | None:
    """(N,) the number of each image's group; None where each is alone, as all that have no name are.

    >>> numbered(["a", "", "a", ""]).tolist()
    [0, 1, 0, 2]
    """
    known: dict[object, int] = {}
    keys = [name or place for place, name in enumerate(names)]
    numbers = [known.setdefault(key, len(known)) for key in keys]
    return np.array(numbers, np.int64) if len(known) < len(names) else None


def renumbered(groups: np.ndarray) -> np.ndarray:
    """Numbers from 0 on, without gaps, for some of the images."""
    return np.unique(groups, return_inverse=True)[1]


def errors(terms: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(K,) standard errors of the means of (N, K) terms: the jackknife's, which leaves out a group at a time.

    Of two groups or more; none of them is much larger than all others together.
    """
    sizes = np.bincount(groups)
    moved = _sums(terms - terms.mean(axis=0), groups) / (len(terms) - sizes)[:, None]
    return np.asarray(np.sqrt((1 - 1 / len(sizes)) * np.square(moved).sum(axis=0)))


def deviations(terms: np.ndarray, groups: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """As `intervals.deviations`, of R draws of whole groups: (R, N) times that each image is in them."""
    sums, sizes = _sums(terms, groups), np.bincount(groups).astype(np.float64)
    drawn = weights[:, np.unique(groups, return_index=True)[1]]  # (R, G)
    n = (drawn @ sizes)[:, None]
    mean = drawn @ sums / n
    square = (
        drawn @ sums**2 - 2 * mean * (drawn @ (sums * sizes[:, None])) + mean**2 * (drawn @ sizes**2)[:, None]
    )
    error = np.sqrt(np.maximum(square, 1e-300) * len(sizes) / (len(sizes) - 1)) / n
    return np.asarray((mean - terms.mean(axis=0)) / error)


def _sums(terms: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(G, K) of (N, K) terms."""
    sums = np.zeros((int(groups.max()) + 1, terms.shape[1]))
    np.add.at(sums, groups, terms)
    return sums


def student(groups: np.ndarray) -> float:
    """What to take in place of `Z`."""
    from scipy.stats import t

    return float(t.ppf(0.975, int(groups.max())))


def wider(groups: np.ndarray | None) -> float:
    """By how much percentiles of draws of few groups must be stretched (as one degree of freedom is lost)."""
    if groups is None:
        return 1.0
    count = int(groups.max()) + 1
    return student(groups) / Z * float(np.sqrt(count / (count - 1)))


ALIKE = 5
"""Groups that must hold an exception before it shows how alike the images of a group are."""


def effective(values: np.ndarray, groups: np.ndarray) -> float:
    """How many independent images would tell as much of the mean of (N,) values, at most N.

    Where all are 0, or none is, nothing shows how alike the images of a group are: a group then counts as
    one. Nor do few exceptions, as one mistake in each of two groups: the groups are the most that is told.
    """
    count = int(groups.max()) + 1
    if count < 2:
        return 1.0
    error = float(errors(values[:, None].astype(np.float64), groups)[0])
    told = float(values.var()) / error**2 if error else float(count)
    if min(len(np.unique(groups[kind])) for kind in (values == 0, values != 0)) < ALIKE:
        told = min(told, float(count))
    return min(told * (Z / student(groups)) ** 2, float(len(values)))


def flipped(sums: np.ndarray) -> float:
    """The chance of sums as far from 0 in all, were each as likely to be the other way round (mid-p).

    Args:
        sums: (G,) whole numbers, such as how many more images of a group one of two models has right. Of
            groups of one image it is McNemar's test.

    >>> round(flipped(np.array([1] * 8 + [-1])), 6), flipped(np.array([3])), flipped(np.array([2, -2]))
    (0.021484, 0.5, 1.0)
    """
    from scipy.stats import binom

    values, counts = np.unique(np.abs(sums[sums != 0]), return_counts=True)
    chances, total = np.ones(1), abs(int(sums.sum()))
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        own = np.zeros(2 * value * count + 1)
        own[:: 2 * value] = binom.pmf(np.arange(count + 1), count, 0.5)
        chances = np.convolve(chances, own)
    middle = len(chances) // 2  # where the sum is 0
    if not total:
        return 1.0
    return float(2 * chances[middle + total + 1 :].sum() + chances[middle + total])
