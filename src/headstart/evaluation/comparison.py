"""Whether one model is really better than another, on the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from headstart.errors import InputError, sentence
from headstart.evaluation import averages
from headstart.evaluation.grouped import Z, effective, flipped, wider
from headstart.evaluation.intervals import FEW, QUANTILES, draws
from headstart.evaluation.predictions import Predictions

SIGNIFICANT = 0.05

Outcome = Literal["better", "worse", "can't say"]


@dataclass(frozen=True)
class Difference:
    """Of two numbers of the same images, the second less the first, with its 95 % interval.

    Fewer than `FEW` images, and those of one group, say too little: it has no ends then, but is infinite.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """A model beside another one.

    Attributes:
        n: images.
        only_first, only_second: images that only one of them answers rightly.
        p: of the difference in accuracy, were they equally good, in [0, 1], see `paired`; where several are
            compared with the first, `adjusted` by Holm, else the same.
        differences: accuracy, macro_f1, log_loss.
        costly: whether one of them answers by the least expected cost, for which fewer may be right.
    """

    n: int
    only_first: int
    only_second: int
    p: float
    adjusted: float
    differences: dict[str, Difference]
    costly: bool = False

    @property
    def outcome(self) -> Outcome:
        """Of the second model: at the level `SIGNIFICANT`, by accuracy; nothing where that is not the aim."""
        if self.costly or self.n < FEW or self.adjusted >= SIGNIFICANT:
            return "can't say"
        return "better" if self.only_second > self.only_first else "worse"


def compare(first: Predictions, others: Sequence[Predictions], seed: int = 0) -> list[Comparison]:
    """Each of `others` beside `first`.

    Raises:
        InputError: they answer for other images.
    """
    pairs = [_aligned(first, other) for other in others]
    found = [paired(one.right, other.right, one.grouped) for one, other in pairs]
    return [
        Comparison(
            len(one),
            *_discordant(one, other),
            p,
            adjusted,
            _differences(one, other, seed),
            bool(one.rule.costs or other.rule.costs),
        )
        for (one, other), p, adjusted in zip(pairs, found, holm(found), strict=True)
    ]


def require_same_contents(first: Mapping[str, str], other: Mapping[str, str]) -> None:
    """Refuses images that have one path in both runs and not one content; hashes by path.

    Raises:
        InputError: there is such an image.
    """
    if changed := [path for path, sha256 in other.items() if first.get(path, sha256) != sha256]:
        raise InputError(
            sentence(
                "Images have changed between these runs, so nothing can be compared.",
                allowed="the same images",
                received=f"{len(changed)} that differ, such as {changed[0]}",
                remedy="Evaluate both runs again on the same images.",
            )
        )


def paired(first: np.ndarray, second: np.ndarray, groups: np.ndarray | None = None) -> float:
    """The chance of as large a difference, were both equally good; of (N,) booleans, right or not.

    By `mid_p`, and where images come in groups by `grouped.flipped`: a group is for one of them or the other.
    """
    if groups is None:
        return mid_p(int((first & ~second).sum()), int((second & ~first).sum()))
    return flipped(np.bincount(groups, weights=second.astype(int) - first.astype(int)).astype(np.int64))


def mid_p(only_first: int, only_second: int) -> float:
    """McNemar's test with the mid-p correction (Fagerland et al. 2013, doi:10.1186/1471-2288-13-91).

    Under equality the smaller of two counts b, c is binomial among b + c: p = 2 P(X ≤ min) − P(X = min).

    >>> mid_p(2, 2), round(mid_p(1, 8), 6)
    (1.0, 0.021484)
    """
    from scipy.stats import binom

    less, both = min(only_first, only_second), only_first + only_second
    if only_first == only_second:
        return 1.0
    return float(2 * binom.cdf(less, both, 0.5) - binom.pmf(less, both, 0.5))


def holm(p: Sequence[float]) -> list[float]:
    """p-values adjusted for their number (Holm 1979), in the same order.

    >>> holm([0.04, 0.01, 0.03])
    [0.06, 0.03, 0.06]
    """
    adjusted, highest = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        highest = max(highest, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = highest
    return adjusted


def _aligned(first: Predictions, other: Predictions) -> tuple[Predictions, Predictions]:
    one, two = first.by_path(), other.by_path()
    labels = [[said.class_names[i] for i in said.y_true] for said in (one, two)]
    if one.paths == two.paths and labels[0] == labels[1]:
        groups = one.groups or two.groups
        return replace(one, groups=groups), replace(two, groups=groups)
    if one.paths != two.paths:
        shared = len(set(one.paths) & set(two.paths))
        received = f"{len(one)} and {len(two)} images, {shared} in both"
    else:
        received = f"{sum(a != b for a, b in zip(*labels, strict=True))} images with another label"
    raise InputError(
        sentence(
            "These models were not tested on the same images, so nothing can be compared.",
            allowed="runs of the same data and split",
            received=received,
            remedy="Evaluate both with `headstart evaluate RUN DATA`, and name that split.",
        )
    )


def _discordant(one: Predictions, other: Predictions) -> tuple[int, int]:
    first, second = one.right, other.right
    return int((first & ~second).sum()), int((second & ~first).sum())


def _differences(one: Predictions, other: Predictions, seed: int) -> dict[str, Difference]:
    """Of accuracies by `_paired_shares`, else by the bootstrap: both numbers of the same draws of images."""
    pair, n = (one, other), len(one)
    columns = [said.right.astype(np.float64) for said in pair] + [said.losses for said in pair]
    terms = np.stack(columns, axis=1)
    counters = [averages.Counter(*_by_name(said, one)) for said in pair]
    everyone = np.ones((1, n))
    whole = _numbers(everyone, terms, counters)
    alone = one.grouped is not None and not one.grouped.max()
    if alone or n < FEW:
        return {name: Difference(float(value), -np.inf, np.inf) for name, (value,) in whole.items()}
    drawn = [_numbers(weights, terms, counters) for weights in draws(n, seed, one.grouped)]
    found = {}
    for name, (value,) in whole.items():
        spread = np.concatenate([numbers[name] for numbers in drawn]) - value
        low, high = value + wider(one.grouped) * np.quantile(spread, QUANTILES)
        found[name] = Difference(float(value), float(low), float(high))
    return found | {"accuracy": _paired_shares(terms[:, 1] - terms[:, 0], one.grouped)}


def _paired_shares(gain: np.ndarray, groups: np.ndarray | None) -> Difference:
    """Of (N,) gains of −1, 0 or 1, by Wald's interval after half an image more of each of the four kinds.

    Agresti and Min 2005, doi:10.1002/sim.1781: where hardly an image tells two models apart, a bootstrap
    shows no spread. By groups, of as many images as would tell as much.
    """
    n = len(gain)
    told = float(n) if groups is None else effective(gain, groups)
    won, lost = ((gain == sign).sum() * told / n + 0.5 for sign in (1, -1))
    middle = (won - lost) / (told + 2)
    error = np.sqrt(won + lost - (won - lost) * middle) / (told + 2)
    value = float(gain.mean())
    return Difference(value, float(min(value, middle - Z * error)), float(max(value, middle + Z * error)))


def _numbers(
    weights: np.ndarray, terms: np.ndarray, counters: list[averages.Counter]
) -> dict[str, np.ndarray]:
    """(R,) of each difference in R samples."""
    means = weights @ terms / weights.sum(axis=1, keepdims=True)
    first, second = (averages.averages(counter.counts(weights))["macro_f1"] for counter in counters)
    return {
        "accuracy": means[:, 1] - means[:, 0],
        "macro_f1": second - first,
        "log_loss": means[:, 3] - means[:, 2],
    }


def _by_name(said: Predictions, one: Predictions) -> tuple[np.ndarray, np.ndarray, int]:
    """True classes and answers as places in the names of both, which may be in another order."""
    names = sorted({*said.class_names, *one.class_names})
    place = np.array([names.index(name) for name in said.class_names])
    return place[said.y_true], place[said.y_pred], len(names)
