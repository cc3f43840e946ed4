"""Splits that don't lie: what belongs together stays together, stratified, in an order seeded by content."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain

import numpy as np
import pandas as pd

from headstart.data import ledger
from headstart.data.clusters import NONE, clusters, members
from headstart.data.ledger import Row
from headstart.data.manifest import SPLITS, Manifest
from headstart.data.stratify import stratified
from headstart.errors import InputError, printable, sentence

PUBLISHED = ("cifar10", "cifar100")
"""Sources whose test part others have published numbers on."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Images that must share a split.

    Attributes:
        key: the least SHA-256 of its images: the same on every machine, whatever the files are called.
        label: its rarest.
        labels: its images of each label.
        split: the one it was given; ``train`` where its images were given several, "" where none.
        rows: positions in the manifest's table.
    """

    key: str
    label: str
    labels: Mapping[str, int]
    split: str
    rows: tuple[int, ...]


def assign(manifest: Manifest, val: float, test: float, seed: int, guesses: np.ndarray = NONE) -> Manifest:
    """Puts every image into train, val or test.

    Splits that are given are kept, except that a cluster spread over several goes to train as a whole
    (`moved` words it). A part that isn't given is cut, class by class, from train and from the images
    without a split: `test` and `val` are shares of these, met to ± one cluster; every class gets at least
    one cluster in each part. What is left over is train. Where a cluster is of several classes, all of them
    are cut together, see `stratify`.

    Args:
        manifest: with its ``sha256``, ``group`` and ``split`` as far as they are known.
        val: share of the images for validation.
        test: share of the images for test.
        seed: another one gives another split.
        guesses: (M, 2) positions of images that seem to belong together, see `clusters`.

    Raises:
        InputError: a class has too few images to be in each part.
    """
    by_class = _by_class(manifest, guesses)
    given = {cluster.split for mine in by_class.values() for cluster in mine}
    wanted = {part: share for part, share in (("test", test), ("val", val)) if part not in given}
    splits = np.empty(len(manifest), dtype=object)
    for mine in _alike(by_class):
        placed = _placed if _one_class(mine) else _stratified
        for cluster, split in zip(mine, placed(mine, wanted, seed), strict=True):
            splits[list(cluster.rows)] = split
    assigned = replace(manifest, table=manifest.table.assign(split=pd.Series(splits, dtype="str")))
    refuse_gaps(assigned, manifest)
    return assigned


def folds(manifest: Manifest, k: int, seed: int, guesses: np.ndarray = NONE) -> np.ndarray:
    """(N,) numbers from 0 to k - 1: folds of whole clusters, each class spread over them evenly.

    Each class's clusters go, in an order seeded by content, to the fold that has the fewest of its images;
    where one is of several classes, all together by `stratify`.

    Raises:
        InputError: a class has fewer clusters than there are folds.
    """
    numbers = np.empty(len(manifest), np.int64)
    for mine in _alike(_by_class(manifest, guesses)):
        _require(mine, mine, f"{k} folds", k)
        if not _one_class(mine):
            ordered = _ordered(mine, seed)
            parts = stratified([one.labels for one in ordered], {f"{fold}": 1 / k for fold in range(k)})
            for cluster, part in zip(ordered, parts, strict=True):
                numbers[list(cluster.rows)] = int(part)
            continue
        held = np.zeros(k, np.int64)
        for cluster in _ordered(mine, f"{seed} {mine[0].label}"):
            fold = int(held.argmin())
            held[fold] += len(cluster.rows)
            numbers[list(cluster.rows)] = fold
    return numbers


def moved(before: Manifest, after: Manifest) -> list[Row]:
    """The ledger's rows for images that left a given part for another one: a copy of them was there.

    That may also be a split of an earlier run. What is cut from train, where no such part was given, has not
    left one.
    """
    given = set(before.table["split"])
    reason = "Moved from {} to {}: the same picture or group was in another split, here or in an earlier run."
    return [
        ledger.row(path, "crosses-splits", reason.format(old, new), "kept")
        for path, old, new in zip(
            before.table["path"], before.table["split"], after.table["split"], strict=True
        )
        if old and new != old and (old != "train" or new in given)
    ]


def refuse_gaps(manifest: Manifest, before: Manifest | None = None) -> None:
    """Raises InputError where a part lacks a class; `before` has the parts that were given."""
    counts = manifest.counts()
    for split in SPLITS:
        for name in manifest.class_names:
            if not counts.loc[name, split]:
                left = [] if before is None else _left(before, manifest, name, split)
                shown = f"{len(left)} that belong to others, such as {printable(left[0])}" if left else None
                again = "Put others there that are no copies of these" if left else "Give it one"
                raise InputError(
                    sentence(
                        f"The {split} part has no image of the class '{printable(name)}'.",
                        allowed="each class in train, val and test",
                        received=shown,
                        remedy=f"{again}, or leave splits out to have them made.",
                    )
                )


def _left(before: Manifest, after: Manifest, label: str, split: str) -> list[str]:
    """Images of a class that were given to a part, and are in another now."""
    table = before.table
    gone = (table["label"] == label) & (table["split"] == split) & (after.table["split"] != split)
    return list(table.loc[gone, "path"])


# --- what belongs together -----------------------------------------------------------------------------


def _by_class(manifest: Manifest, guesses: np.ndarray) -> dict[str, list[Cluster]]:
    """The clusters of each label, in the order of their first rows."""
    table, guesses = _links(manifest.table, guesses)
    numbers, _ = clusters(table, guesses)
    keys = np.where(table["sha256"] == "", table["path"], table["sha256"])
    labels, splits = table["label"].to_numpy(), table["split"].to_numpy()
    totals = Counter(labels.tolist())
    found: dict[str, list[Cluster]] = {}
    for rows in members(numbers):
        cluster = _cluster(rows.tolist(), keys, labels, splits, totals)
        found.setdefault(cluster.label, []).append(cluster)
    return found


def _alike(by_class: dict[str, list[Cluster]]) -> list[list[Cluster]]:
    """What can be placed by itself: the clusters of each class, or all where one is of several classes."""
    apart = list(by_class.values())
    return apart if all(map(_one_class, apart)) else [list(chain.from_iterable(apart))]


def _one_class(clusters: list[Cluster]) -> bool:
    return all(len(cluster.labels) == 1 for cluster in clusters)


def _links(table: pd.DataFrame, guesses: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
    """What may join images. A published test part stays what it is, whatever its images resemble."""
    fixed = (table["source"].isin(PUBLISHED) & (table["split"] == "test")).to_numpy()
    if not fixed.any():
        return table, guesses
    unlinked = table.assign(sha256=table["sha256"].where(~fixed, ""), group=table["group"].where(~fixed, ""))
    return unlinked, guesses[~fixed[guesses].any(axis=1)]


def _cluster(
    rows: list[int], keys: np.ndarray, labels: np.ndarray, splits: np.ndarray, totals: Counter[str]
) -> Cluster:
    """What is known of some rows. Of equally rare labels that of the least key counts."""
    ordered = sorted(rows, key=lambda row: str(keys[row]))
    label = min((str(labels[row]) for row in ordered), key=totals.__getitem__)
    given = {str(splits[row]) for row in ordered} - {""}
    split = "" if not given else given.pop() if len(given) == 1 else "train"
    counts = Counter(str(labels[row]) for row in rows)
    return Cluster(str(keys[ordered[0]]), label, _counts(tuple(counts.items())), split, tuple(rows))


@lru_cache(maxsize=4096)
def _counts(pairs: tuple[tuple[str, int], ...]) -> Mapping[str, int]:
    """Of a million clusters most are alike, and hold one together."""
    return dict(pairs)


# --- where it goes -------------------------------------------------------------------------------------


def _ordered(clusters: list[Cluster], seed: object) -> list[Cluster]:
    return sorted(clusters, key=lambda one: hashlib.sha256(f"{seed}:{one.key}".encode()).digest())


def _placed(clusters: list[Cluster], wanted: dict[str, float], seed: int) -> list[str]:
    """The split of each of one class's clusters."""
    free = _free(clusters, wanted, seed)
    chosen = dict.fromkeys((cluster.key for cluster in free), "train")
    images = sum(len(cluster.rows) for cluster in free)
    for still_empty, (part, share) in zip(range(len(wanted), 0, -1), wanted.items(), strict=True):
        rest = [cluster for cluster in free if chosen[cluster.key] == "train"]
        for cluster in _cut(rest, share * images, len(rest) - still_empty):
            chosen[cluster.key] = part
    return [chosen.get(cluster.key, cluster.split) for cluster in clusters]


def _stratified(clusters: list[Cluster], wanted: dict[str, float], seed: int) -> list[str]:
    """The split of each of all clusters, of which some are of several classes."""
    free = _free(clusters, wanted, seed)
    shares = {"train": 1 - sum(wanted.values()), **wanted}
    parts = stratified([cluster.labels for cluster in free], shares)
    chosen = dict(zip((cluster.key for cluster in free), parts, strict=True))
    return [chosen.get(cluster.key, cluster.split) for cluster in clusters]


def _free(clusters: list[Cluster], wanted: dict[str, float], seed: int) -> list[Cluster]:
    """Those whose split is not given, in their order; enough of each class for the parts that are wanted."""
    free = [cluster for cluster in clusters if not cluster.split or (wanted and cluster.split == "train")]
    if wanted:
        parts = ", ".join(part for part in SPLITS if part == "train" or part in wanted)
        _require(clusters, free, parts, 1 + len(wanted))
    return _ordered(free, seed)


def _cut(clusters: Iterable[Cluster], target: float, most: int) -> list[Cluster]:
    """The first of `clusters` that bring the number of images nearer to `target`: 1 to `most` of them."""
    taken: list[Cluster] = []
    images = 0
    for cluster in clusters:
        if len(taken) < most and images + len(cluster.rows) / 2 <= target:
            taken.append(cluster)
            images += len(cluster.rows)
    return taken or [min(clusters, key=lambda cluster: len(cluster.rows))]


def _require(clusters: list[Cluster], free: list[Cluster], parts: str, needed: int) -> None:
    """Raises InputError where fewer of the free clusters hold a class than there are parts."""
    images: Counter[str] = Counter()
    for cluster in clusters:
        images.update(cluster.labels)
    placeable = Counter(label for cluster in free for label in cluster.labels)
    for label in images:
        if placeable[label] < needed:
            among = images[label] != placeable[label]
            apart = f", of which {placeable[label]} can be placed independently" if among else ""
            kind = " that belong to no others" if among else ""
            raise InputError(
                sentence(
                    f"The class '{printable(label)}' has too few usable images for {parts}.",
                    allowed=f"{needed} or more",
                    received=f"{images[label]}{apart}",
                    remedy=f"Add images to it{kind}, or remove the class.",
                )
            )
