"""What the images are worth: each file is read once; nothing is dropped without a row in the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from headstart.data import ledger
from headstart.data.formats import ENDINGS, SUFFIXES
from headstart.data.ledger import Row
from headstart.data.manifest import Manifest
from headstart.data.scan import scan
from headstart.data.thumbs import release


@dataclass(frozen=True)
class Checked:
    """What a look into every file found.

    Attributes:
        manifest: the usable images, with ``sha256``, ``width``, ``height`` and ``phash``.
        thumbs: (N, SIDE, SIDE) uint8, of its images in their order.
        entries: rows for the ledger: files left out (what `images.decode` refuses; ``two-labels``: the same
            bytes in two classes), and kept ones (``exact-duplicate``, ``wrong-extension``,
            ``name-collision``).
    """

    manifest: Manifest
    thumbs: np.ndarray
    entries: list[Row]


def check(found: Manifest, threads: int | None = None) -> Checked:
    """Looks into every file of `found`, which is not changed."""
    scanned = scan(found.table["path"].tolist(), found.root, threads)
    paths = found.table["path"]
    entries = [
        ledger.row(paths[at], error.check, str(error), "left out") for at, error in scanned.errors.items()
    ]
    table = found.table.assign(
        sha256=pd.array(scanned.sha256, dtype="str"),
        width=scanned.width.astype(np.int64),
        height=scanned.height.astype(np.int64),
        phash=pd.array(scanned.phash, dtype="str"),
    )
    entries += _misnamed(paths, scanned.kind)
    two_labels = _two_labels(table)
    entries += _contradictions(table[two_labels])
    kept = np.flatnonzero((table["sha256"] != "").to_numpy() & ~two_labels)
    table = table.iloc[kept].reset_index(drop=True)
    entries += [*_duplicates(table), *_collisions(found.table)]
    usable = replace(found, table=table, class_names=tuple(sorted(table["label"].unique())))
    return Checked(usable, _compact(scanned.thumbs, kept), entries)


def _compact(thumbs: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The thumbnails of the kept images, moved to the front in place: they may be larger than memory."""
    if len(kept) < len(thumbs):
        for start in range(0, len(kept), 4096):
            thumbs[start : start + 4096][: len(kept) - start] = thumbs[kept[start : start + 4096]]
            release(thumbs)
    return thumbs[: len(kept)]


def _two_labels(table: pd.DataFrame) -> np.ndarray:
    """(N,) whether the same bytes are there under another label."""
    pairs = table.loc[table["sha256"] != "", ["sha256", "label"]].drop_duplicates()
    contradictory = pairs["sha256"][pairs["sha256"].duplicated()]
    return np.asarray(table["sha256"].isin(contradictory))


def _contradictions(table: pd.DataFrame) -> Iterator[Row]:
    for _, same in table.groupby("sha256"):
        for path, label in zip(same["path"], same["label"], strict=True):
            other = same[same["label"] != label].iloc[0]
            reason = f"The same image is {other['label']} in {other['path']}. Remove the wrong one."
            yield ledger.row(path, "two-labels", reason, "left out")


def _misnamed(paths: pd.Series, kinds: list[str]) -> Iterator[Row]:
    for path, kind in zip(paths, kinds, strict=True):
        ending = PurePosixPath(path).suffix.lower()
        if kind and ending in SUFFIXES and ending not in ENDINGS[kind]:
            yield ledger.row(path, "wrong-extension", f"It is called {ending}, and it is a {kind}.", "kept")


def _duplicates(table: pd.DataFrame) -> Iterator[Row]:
    first = dict(zip(table["sha256"][::-1], table["path"][::-1], strict=True))
    again = table[table["sha256"].duplicated()]
    for path, sha256 in zip(again["path"], again["sha256"], strict=True):
        yield ledger.row(path, "exact-duplicate", f"Its bytes are those of {first[sha256]}.", "kept")


def _collisions(table: pd.DataFrame) -> Iterator[Row]:
    """Paths that are one file on a system that ignores case, or codes accents in another way."""
    folded = table["path"].str.normalize("NFC").str.casefold()
    clashing = table[folded.duplicated(keep=False)]
    for _, same in clashing.groupby(folded[clashing.index]):
        first, *others = same["path"]
        for path in others:
            reason = f"On Windows and macOS it is the same file as {first}. Rename one of them."
            yield ledger.row(path, "name-collision", reason, "kept")
