"""More images for an earlier split: old ones stay where they are, only new clusters are placed."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pandas as pd

from headstart.data import ledger
from headstart.data.clusters import NONE, clusters, members
from headstart.data.ledger import Row
from headstart.data.manifest import Manifest
from headstart.data.split import refuse_gaps


def extend(
    manifest: Manifest, before: Manifest, val: float, test: float, seed: int, guesses: np.ndarray = NONE
) -> tuple[Manifest, list[Row]]:
    """Puts the images that an earlier split does not know into train, val or test.

    An image is known by its bytes. A new one that belongs to old ones joins them; where those are in
    several splits, or it would join new images given another split, it goes to train and is reported. A
    cluster of new images only goes where its class is farthest below its share, or has none yet.

    Args:
        manifest: old and new images, with ``sha256`` and ``group``.
        before: the earlier split.
        val: share of the images for validation, of all together.
        test: share of the images for test.
        seed: of the order in which new clusters are placed.
        guesses: as for `split.assign`.

    Returns:
        All images with their splits, and rows for the ledger.

    Raises:
        InputError: a part lacks a class.
    """
    table = manifest.table
    known = dict(zip(before.table["sha256"], before.table["split"], strict=True))
    splits = table["sha256"].map(known).fillna("").astype("str").to_numpy(dtype=object)
    old = splits != ""
    numbers, _ = clusters(table, guesses)
    entries: list[Row] = []
    fresh: list[np.ndarray] = []
    for rows in members(numbers):
        mine, given = rows[~old[rows]], sorted(set(splits[rows[old[rows]]]))
        if not len(mine):
            continue
        if not given:
            fresh.append(mine)
            continue
        splits[mine] = given[0] if len(given) == 1 else "train"
        if len(given) > 1:
            entries += _bridges(table, mine, given)
    _place(table, splits, fresh, {"val": val, "test": test}, seed)
    extended = replace(manifest, table=table.assign(split=pd.Series(splits, dtype="str")))
    refuse_gaps(extended)
    return extended, entries


def _bridges(table: pd.DataFrame, rows: np.ndarray, given: list[str]) -> list[Row]:
    reason = f"It belongs to earlier images of {' and '.join(given)}, which it connects; it went to train."
    return [ledger.row(table["path"].iloc[row], "bridges-splits", reason, "kept") for row in rows]


def _place(
    table: pd.DataFrame, splits: np.ndarray, fresh: list[np.ndarray], shares: dict[str, float], seed: int
) -> None:
    """Fills `splits` for clusters of new images: each goes where its rarest class lacks the most images."""
    labels, hashes, given = (table[name].to_numpy() for name in ("label", "sha256", "split"))
    shares = {"train": 1 - sum(shares.values()), **shares}
    totals = pd.Series(labels).value_counts()

    def key(rows: np.ndarray) -> bytes:
        return hashlib.sha256(f"{seed}:{min(hashes[rows])}".encode()).digest()

    have = pd.crosstab(labels, splits).reindex(columns=list(shares), fill_value=0)
    counts = {label: dict(row) for label, row in zip(have.index, have.to_dict("records"), strict=True)}
    for rows in sorted(fresh, key=key):
        label = min(labels[rows], key=totals.__getitem__)
        wished = set(given[rows]) - {""}
        lacking = {split: share * totals[label] - counts[label][split] for split, share in shares.items()}
        empty = [split for split, share in shares.items() if share and not counts[label][split]]
        best = max(empty or lacking, key=lambda name: lacking[name])
        split = best if not wished else wished.pop() if len(wished) == 1 else "train"
        splits[rows] = split
        for name in labels[rows]:  # of each class its own
            counts[name][split] += 1
