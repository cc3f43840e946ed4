"""Splits that don't lie: what belongs together stays together, stratified, in an order seeded by content."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from headstart.data import ledger
from headstart.data.ledger import Row
from headstart.data.manifest import SPLITS, Manifest
from headstart.errors import InputError, printable, sentence


@dataclass(frozen=True, slots=True)
class Cluster:
    """Images that must share a split, as they share their bytes or their group.

    Attributes:
        key: the least SHA-256 of its images: the same on every machine, whatever the files are called.
        label: its most frequent label.
        split: the one it was given; ``train`` where its images were given several, "" where none.
        rows: positions in the manifest's table.
    """

    key: str
    label: str
    split: str
    rows: tuple[int, ...]


def assign(manifest: Manifest, val: float, test: float, seed: int) -> Manifest:
    """Puts every image into train, val or test.

    Splits that are given are kept, except that a cluster spread over several goes to train as a whole
    (`moved` words it). A part that isn't given is cut, class by class, from train and from the images
    without a split: `test` and `val` are shares of these, met to ± one cluster; every class gets at least
    one cluster in each part. What is left over is train.

    Args:
        manifest: with its ``sha256``, ``group`` and ``split`` as far as they are known.
        val: share of the images for validation.
        test: share of the images for test.
        seed: another one gives another split.

    Raises:
        InputError: a class has too few images to be in each part.
    """
    clusters: dict[str, list[Cluster]] = {}
    for cluster in _clusters(manifest.table):
        clusters.setdefault(cluster.label, []).append(cluster)
    given = {cluster.split for mine in clusters.values() for cluster in mine}
    wanted = {part: share for part, share in (("test", test), ("val", val)) if part not in given}
    splits = np.empty(len(manifest), dtype=object)
    for mine in clusters.values():
        for cluster, split in zip(mine, _placed(mine, wanted, seed), strict=True):
            splits[list(cluster.rows)] = split
    assigned = replace(manifest, table=manifest.table.assign(split=pd.Series(splits, dtype="str")))
    _refuse_gaps(assigned)
    return assigned


def moved(before: Manifest, after: Manifest) -> list[Row]:
    """The ledger's rows for images that left a given val or test part: a copy of them was in another."""
    reason = "Moved from {} to {}: the same image or group was in another split too."
    return [
        ledger.row(path, "crosses-splits", reason.format(old, new), "kept")
        for path, old, new in zip(
            before.table["path"], before.table["split"], after.table["split"], strict=True
        )
        if old in ("val", "test") and new != old
    ]


# --- what belongs together -----------------------------------------------------------------------------


def _clusters(table: pd.DataFrame) -> list[Cluster]:
    members: dict[int, list[int]] = {}
    for row, number in enumerate(_linked(table)):
        members.setdefault(int(number), []).append(row)
    keys = np.where(table["sha256"] == "", table["path"], table["sha256"])
    labels, splits = table["label"].to_numpy(), table["split"].to_numpy()
    return [_cluster(rows, keys, labels, splits) for rows in members.values()]


def _cluster(rows: list[int], keys: np.ndarray, labels: np.ndarray, splits: np.ndarray) -> Cluster:
    ordered = sorted(rows, key=lambda row: str(keys[row]))
    # Of equally frequent labels the first one met counts: that of the least key.
    label = Counter(str(labels[row]) for row in ordered).most_common(1)[0][0]
    given = {str(splits[row]) for row in ordered} - {""}
    split = "" if not given else given.pop() if len(given) == 1 else "train"
    return Cluster(str(keys[ordered[0]]), label, split, tuple(rows))


def _linked(table: pd.DataFrame) -> np.ndarray:
    """(N,) number of each row's cluster: rows are joined through the hash and the group they share."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(table)
    edges = []
    for column in ("sha256", "group"):
        codes, _ = pd.factorize(table[column])
        first = np.full(codes.max(initial=-1) + 1, -1)
        first[codes[::-1]] = np.arange(count)[::-1]
        rows = np.flatnonzero((table[column] != "").to_numpy())
        edges.append(np.stack([rows, first[codes[rows]]]))
    ends = np.concatenate(edges, axis=1)
    graph = coo_array((np.ones(ends.shape[1], bool), (ends[0], ends[1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1])


# --- where it goes -------------------------------------------------------------------------------------


def _placed(clusters: list[Cluster], wanted: dict[str, float], seed: int) -> list[str]:
    """The split of each of one class's clusters."""
    free = [cluster for cluster in clusters if not cluster.split or (wanted and cluster.split == "train")]
    if wanted and len(free) <= len(wanted):
        raise InputError(_too_few(clusters, len(free), wanted))
    free.sort(key=lambda cluster: hashlib.sha256(f"{seed}:{cluster.key}".encode()).digest())
    parts = dict.fromkeys((cluster.key for cluster in free), "train")
    images = sum(len(cluster.rows) for cluster in free)
    for still_empty, (part, share) in zip(range(len(wanted), 0, -1), wanted.items(), strict=True):
        rest = [cluster for cluster in free if parts[cluster.key] == "train"]
        for cluster in _cut(rest, share * images, len(rest) - still_empty):
            parts[cluster.key] = part
    return [parts.get(cluster.key, cluster.split) for cluster in clusters]


def _cut(clusters: list[Cluster], target: float, most: int) -> list[Cluster]:
    """The first of `clusters` that bring the number of images nearer to `target`: 1 to `most` of them."""
    taken: list[Cluster] = []
    images = 0
    for cluster in clusters:
        if len(taken) < most and images + len(cluster.rows) / 2 <= target:
            taken.append(cluster)
            images += len(cluster.rows)
    return taken or [min(clusters, key=lambda cluster: len(cluster.rows))]


def _too_few(clusters: list[Cluster], free: int, wanted: Iterable[str]) -> str:
    images = sum(len(cluster.rows) for cluster in clusters)
    apart = "" if images == free else f", of which {free} can be placed independently"
    parts = [part for part in SPLITS if part == "train" or part in wanted]
    return sentence(
        f"The class '{printable(clusters[0].label)}' has too few usable images for {', '.join(parts)}.",
        allowed=f"{len(parts)} or more",
        received=f"{images}{apart}",
        remedy="Add images to it, or remove the class.",
    )


def _refuse_gaps(manifest: Manifest) -> None:
    counts = manifest.counts()
    for split in SPLITS:
        lacking = [printable(name) for name in manifest.class_names if not counts.loc[name, split]]
        if lacking:
            raise InputError(
                sentence(
                    f"The {split} part has no image of the class '{lacking[0]}'.",
                    allowed="each class in train, val and test",
                    remedy="Give it one, or leave the column of splits out to have it made.",
                )
            )
