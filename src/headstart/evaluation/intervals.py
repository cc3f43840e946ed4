"""A number with the ends of its 95 % interval.

- Shares of images: Wilson's.
- Means over images, and numbers whose first-order terms an image are known (see `ranking`): the studentised
  bootstrap over images (Efron and Tibshirani 1993, chapter 12), `RESAMPLES` draws settled by a seed; its
  quantiles are moved half way to the normal ones, see `moves`.
- Averages over classes: percentiles of the draws about their own mean.

Numbers with a smallest and a largest value are taken on the logit scale, where intervals are more nearly
symmetric. tests/evaluation/test_intervals.py counts how often they hold the truth. A number at the end of its
range has no spread to resample. It gets Wilson's interval for a share as extreme, of as many images as the
smallest class has. Below `FEW` images nothing is said.

Where images come in groups (see `grouped`) it is these that are drawn, standard errors are theirs, with
Student's quantiles, and Wilson's interval is that of as many images as would tell as much.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from headstart.evaluation import grouped
from headstart.evaluation.grouped import Z

FEW = 20
"""From fewer images there is no interval: too few to say."""

RESAMPLES = 1000
QUANTILES = (0.025, 0.975)
CHUNK = 5_000_000  # image weights held at once while resampling
NORMAL = (-1.96, 1.96)
STEEPEST = 3.0  # where studentised quantiles end: from few images they may come out as anything


@dataclass(frozen=True)
class Metric:
    """A number, the ends of its 95 % interval (low ≤ value ≤ high), and how many images it is from.

    The ends are None where there are too few images, or where no interval is to be had.
    """

    value: float
    low: float | None
    high: float | None
    n: int


def proportion(successes: np.ndarray, groups: np.ndarray | None = None) -> Metric:
    """The share of True among N booleans, with Wilson's 95 % interval (Wilson 1927).

    >>> round(proportion(np.ones(20, bool)).low, 4)
    0.8389
    """
    n = len(successes)
    share, low, high = ends(successes, groups)
    if groups is not None and np.ptp(groups) == 0:  # one group says nothing of others
        return Metric(share, None, None, n)
    return metric(share, low, high, n)


def ends(successes: np.ndarray, groups: np.ndarray | None = None, z: float = Z) -> tuple[float, float, float]:
    """The share of True among N ≥ 1 booleans, and the ends of Wilson's interval, however few they are."""
    k, n = int(successes.sum()), len(successes)
    told = float(n) if groups is None else grouped.effective(successes, grouped.renumbered(groups))
    return k / n, *wilson(k * told / n, told, z)


def wilson(k: float, n: float, z: float = Z) -> tuple[float, float]:
    """The ends of Wilson's interval, for 95 %, of `k` among `n` > 0, which need not be whole.

    `z` is another quantile of the normal distribution, for another level.
    """
    middle = k + z**2 / 2
    half = z * math.sqrt(max(k * (n - k), 0.0) / n + z**2 / 4)
    low, high = (middle - half) / (n + z**2), (middle + half) / (n + z**2)
    return (low if k > 0 else 0.0), (high if k < n else 1.0)


def deviations(terms: np.ndarray, weights: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
    """(R, K) t* = (x* − x) / s* of numbers x that are means of (N, K) terms, nearly or truly.

    x* and its standard error s* are those of R draws, as `draws` gives them.
    """
    if groups is not None:
        return grouped.deviations(terms, groups, weights)
    n = len(terms)
    mean, square = weights @ terms / n, weights @ np.square(terms) / n
    error = np.sqrt(np.maximum(square - mean**2, 1e-300) / n)
    return np.asarray((mean - terms.mean(axis=0)) / error)


def moves(terms: np.ndarray, deviation: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
    """(K, 2) moves from K numbers to the ends of their intervals: quantiles times the standard error.

    The quantiles lie half way between those of t* and the normal ones: the former know how skewed the terms
    are and make intervals of few images too wide, the latter make them too narrow.

    Args:
        terms: (N, K).
        deviation: (R, K), as `deviations` gives it.
        groups: (N,) numbers of the groups that images come in.
    """
    if groups is None:
        error, plain = terms.std(axis=0) / np.sqrt(max(len(terms) - 2, 1)), np.array(NORMAL)
        steepest = STEEPEST
    else:
        error, plain = grouped.errors(terms, groups), grouped.student(groups) * np.array([-1.0, 1.0])
        steepest = 2 * plain[1]
    studentised = np.clip(np.quantile(deviation, QUANTILES, axis=0), -steepest, steepest)
    low, high = (studentised + plain[:, None]) / 2
    return np.asarray(np.stack([-high * error, -low * error], axis=1))


def mean(value: float, move: np.ndarray, n: int) -> Metric:
    """A mean over images of what is never below 0, with its move to each end."""
    low, high = value + move
    return metric(value, max(low, 0.0), high, n)


def bounded(value: float, move: np.ndarray, n: int, fewest: int, least: float = 0.0) -> Metric:
    """A number between `least` and 1, with its moves to the ends.

    Args:
        value: of all images.
        move: (2,) to the lower and the upper end, as far as a straight line leads.
        n: images.
        fewest: images of the smallest class.
        least: the smallest value that it can have.
    """
    from scipy.special import expit, logit

    span = 1 - least
    place = (value - least) / span
    if place <= 0 or place >= 1:
        low, high = wilson(round(place) * fewest, fewest)
    else:
        low, high = expit(logit(place) + move / span / (place * (1 - place)))
    return metric(value, least + span * low, least + span * high, n)


def metric(value: float, low: float, high: float, n: int) -> Metric:
    """Widens the interval to hold the value, where rounding or skew put it outside; none for few images."""
    if n < FEW:
        return Metric(float(value), None, None, n)
    return Metric(float(value), float(min(low, value)), float(max(high, value)), n)


def draws(n: int, seed: int, groups: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """(R, N) times that each image is drawn, in chunks; the chunk's size doesn't change the numbers.

    With (N,) numbers of groups as many of these are drawn as there are, with all their images.
    """
    rng = np.random.default_rng(seed)
    rows, count = max(1, CHUNK // n), n if groups is None else int(groups.max()) + 1
    for start in range(0, RESAMPLES, rows):
        size = min(rows, RESAMPLES - start)
        drawn = [np.bincount(rng.integers(count, size=count), minlength=count) for _ in range(size)]
        yield np.array(drawn if groups is None else [times[groups] for times in drawn], np.float64)
