"""By validation images: which rule keeps a wanted error rate, and what stated costs mean."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from headstart.config import mistake
from headstart.errors import InputError, sentence
from headstart.evaluation.grouped import effective, renumbered
from headstart.inference.decision import Cost

DOUBT = 0.05
"""The chance that an error rate is promised which does not hold."""

SHARES = np.arange(5, 21) / 20
"""Of the images, surest first: from a quarter to all of them in steps of 5 %."""


class Promise(NamedTuple):
    """Answers of at least this confidence are wrong in at most this share of images, 95 % sure."""

    confidence: float
    error: float


def promised(
    confidence: np.ndarray, right: np.ndarray, error: float, groups: np.ndarray | None = None
) -> Promise:
    """The lowest threshold on the confidence that keeps the error among accepted answers.

    For the surest quarter of the images (or as many as could show it), then 5 % more at each step, it is
    tested whether the error rate exceeds `error`, until that cannot be ruled out; the last share that passed
    is accepted. As each test comes only after the one before has passed, together they err as seldom as one
    (fixed-sequence testing: Angelopoulos et al. 2021, arXiv:2110.01052). Later images must be like these.

    Where not even these pass, they are accepted with what can be promised of them: compare `error`.

    Args:
        confidence: (N,) of the answers.
        right: (N,) whether they are.
        error: the share that may be wrong, in (0, 1).
        groups: (N,) numbers of the groups that images come in: they count as many as would tell as much.
    """
    order = np.argsort(-confidence, kind="stable")
    surest, wrong = confidence[order], np.cumsum(~right[order])
    ends = np.flatnonzero(np.r_[np.diff(surest) != 0, True])  # of equal confidences, all or none
    fewest = math.ceil(math.log(DOUBT) / math.log1p(-error))
    sizes = np.maximum(len(order) * SHARES, fewest if fewest <= len(order) else 1)
    tried = ends[np.minimum(np.searchsorted(ends + 1, sizes), len(ends) - 1)]
    errors, n = wrong[tried].astype(np.float64), tried + 1.0
    if groups is not None:
        told = np.array([_told(~right[order[: end + 1]], groups[order[: end + 1]]) for end in tried])
        errors, n = errors / n * told, told
    bounds = _upper(errors, n)
    passed = int((np.cumsum(bounds > error) == 0).sum())
    place = max(passed - 1, 0)
    return Promise(float(surest[tried[place]]), error if passed else float(bounds[0]))


def _told(wrong: np.ndarray, groups: np.ndarray) -> float:
    return effective(wrong, renumbered(groups))


def _upper(wrong: np.ndarray, n: np.ndarray) -> np.ndarray:
    """The upper end of Clopper and Pearson's one-sided interval (1934) of `wrong` among `n`."""
    from scipy.stats import beta

    return np.where(wrong == n, 1.0, beta.ppf(1 - DOUBT, wrong + 1, np.maximum(n - wrong, 1e-9)))


def costs(texts: tuple[str, ...], class_names: tuple[str, ...]) -> tuple[Cost, ...]:
    """What ``--cost TRUE:ANSWER=N`` means for these classes.

    >>> costs(("b:a=50",), ("a", "b"))
    ((1, 0, 50.0),)

    Raises:
        InputError: there is no such pair of classes.
    """
    if not texts:
        return ()
    pairs: dict[str, list[tuple[int, int]]] = {}
    for i, true in enumerate(class_names):
        for j, answer in enumerate(class_names):
            if i != j:
                pairs.setdefault(f"{true}:{answer}", []).append((i, j))
    found = []
    for text in texts:
        pair, cost = mistake(text)
        if pair not in pairs:
            raise InputError(
                sentence(
                    "--cost names a mistake that these classes cannot have.",
                    allowed=f"two different classes of: {', '.join(class_names)}",
                    received=text,
                    remedy="Write the true class, a colon, the wrong answer, = and a number.",
                )
            )
        if len(pairs[pair]) > 1:
            raise InputError(
                sentence(
                    "--cost can be read in two ways, as names of classes have colons.",
                    received=text,
                    remedy="Rename a class.",
                )
            )
        found.append((*pairs[pair][0], cost))
    return tuple(found)
