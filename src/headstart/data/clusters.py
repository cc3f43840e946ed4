"""What belongs together: images that must share a split, as they share their bytes, a group or a picture."""

from __future__ import annotations

import numpy as np
import pandas as pd

NONE = np.empty((0, 2), np.int64)
"""No guesses."""


def clusters(table: pd.DataFrame, guesses: np.ndarray = NONE) -> tuple[np.ndarray, list[np.ndarray]]:
    """Joins rows through the hash and the group that they share, and through `guesses`.

    A guess (a near duplicate, a burst by its name) may be wrong, and wrong ones chain. So guesses count only
    while they join no more than ten, or 1 % of all, of what is known to belong together: images or groups.

    Args:
        table: of a manifest, with ``sha256`` and ``group``.
        guesses: (M, 2) positions of rows that seem to belong together.

    Returns:
        (N,) the number of each row's cluster, in the order of their first rows; and the rows of each
        cluster that was too large, whose guesses were passed over.
    """
    firm = np.concatenate([_shared(table["sha256"]), _shared(table["group"])])
    count = len(table)
    known = _connected(count, firm)
    numbers = _connected(count, np.concatenate([firm, guesses]))
    joined = np.bincount(numbers[np.unique(known, return_index=True)[1]], minlength=1)
    too_large = joined > max(10, (known.max(initial=-1) + 1) / 100)
    if not too_large.any():
        return numbers, []
    left = guesses[~too_large[numbers[guesses[:, 0]]]]
    passed_over = [np.flatnonzero(numbers == number) for number in np.flatnonzero(too_large)]
    return _connected(count, np.concatenate([firm, left])), passed_over


def members(numbers: np.ndarray) -> list[np.ndarray]:
    """The rows of each cluster, of the numbers that `clusters` gives."""
    order = np.argsort(numbers, kind="stable")
    ends = np.cumsum(np.bincount(numbers, minlength=1))[:-1]
    return np.split(order, ends) if len(order) else []


def _shared(column: pd.Series) -> np.ndarray:
    """(M, 2) links between rows of one value, which isn't ""; each to the first of them."""
    codes, _ = pd.factorize(column)
    rows = np.flatnonzero((column != "").to_numpy())
    first = np.full(codes.max(initial=-1) + 1, -1)
    first[codes[rows][::-1]] = rows[::-1]
    return np.stack([first[codes[rows]], rows], axis=1)


def _connected(count: int, links: np.ndarray) -> np.ndarray:
    """(count,) numbers of the connected components, by their first row."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(links), bool), (links[:, 0], links[:, 1])), shape=(count, count))
    labels = connected_components(graph, directed=False)[1]
    return np.asarray(pd.factorize(labels)[0])
