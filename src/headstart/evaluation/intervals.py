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
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

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


def proportion(successes: np.ndarray) -> Metric:
    """The share of True among N booleans, with Wilson's 95 % interval (Wilson 1927).

    >>> round(proportion(np.ones(20, bool)).low, 4)
    0.8389
    """
    return share(int(successes.sum()), len(successes))


def share(k: int, n: int) -> Metric:
    """As `proportion`, of `k` among `n` ≥ 1."""
    return metric(k / n, *wilson(k, n), n)


def wilson(k: int, n: int) -> tuple[float, float]:
    """The ends of Wilson's 95 % interval of `k` among `n` ≥ 1."""
    from scipy.stats import binomtest

    found = binomtest(k, n).proportion_ci(0.95, method="wilson")
    return float(found.low), float(found.high)


def deviations(terms: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(R, K) t* = (x* − x) / s* of numbers x that are means of (N, K) terms, nearly or truly.

    x* and its standard error s* are those of R draws, as `draws` gives them.
    """
    n = len(terms)
    mean, square = weights @ terms / n, weights @ np.square(terms) / n
    error = np.sqrt(np.maximum(square - mean**2, 1e-300) / n)
    return np.asarray((mean - terms.mean(axis=0)) / error)


def moves(terms: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """(K, 2) moves from K numbers to the ends of their intervals: quantiles times the standard error.

    The quantiles lie half way between those of t* and the normal ones: the former know how skewed the terms
    are and make intervals of few images too wide, the latter make them too narrow.

    Args:
        terms: (N, K).
        deviation: (R, K), as `deviations` gives it.
    """
    studentised = np.clip(np.quantile(deviation, QUANTILES, axis=0), -STEEPEST, STEEPEST)
    low, high = (studentised + np.array(NORMAL)[:, None]) / 2
    error = terms.std(axis=0) / np.sqrt(max(len(terms) - 2, 1))
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


def draws(n: int, seed: int) -> Iterator[np.ndarray]:
    """(R, N) times that each image is drawn, in chunks; the chunk's size doesn't change the numbers."""
    rng = np.random.default_rng(seed)
    rows = max(1, CHUNK // n)
    for start in range(0, RESAMPLES, rows):
        size = min(rows, RESAMPLES - start)
        yield np.array([np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(size)], np.float64)
