"""What the page about data says in numbers: tables and arrays, from the manifest and the ledger alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from headstart.data.check import DataCheck, Pair
from headstart.data.manifest import SPLITS, Manifest
from headstart.report.data_checks import severity, words
from headstart.report.wording import many

NO_SPLIT = "not split"
WHOLE = "./"  # the path of what is said of the set as a whole
CLASSES, IMAGES, PICTURED = 20, 300, 16
"""At most so many classes are looked at, images of them in all, and pictures of each shown."""


@dataclass(frozen=True)
class Standing:
    """How many images there are: fit for use without doubt, doubtful but used, and left out."""

    sound: int
    doubtful: int
    left_out: int

    @property
    def used(self) -> int:
        """Images in the manifest."""
        return self.sound + self.doubtful

    @property
    def all(self) -> int:
        """Images met."""
        return self.used + self.left_out


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        check: the ledger's word.
        action: what was done with the files.
        rows: of the ledger, the lowest score first: cleanvision's are 0 where it is sure, those of near
            duplicates are distances.
    """

    check: str
    action: str
    rows: pd.DataFrame

    @property
    def number(self) -> str:
        """How many files, classes or folders, in words; "" where it is about the set as a whole."""
        return "" if (self.rows["path"] == WHOLE).all() else many(len(self.rows), words(self.check).noun)

    @property
    def reason(self) -> str:
        """The sentence that all rows share, or ""."""
        reasons = self.rows["reason"].unique()
        return str(reasons[0]) if len(reasons) == 1 and len(self.rows) > 1 else ""


def standing(check: DataCheck) -> Standing:
    """Counts every image once, whatever the number of its rows in the ledger; folders are no images."""
    used = set(check.manifest.table["path"])
    paths, action = check.ledger["path"], check.ledger["action"]
    files = ~paths.str.endswith("/") & (paths != "") & (check.ledger["check"] != "no-path")
    left_out = set(paths[files & (action == "left out")]) - used
    doubtful = set(paths[files & (action == "kept")]) & used
    return Standing(len(used) - len(doubtful), len(doubtful), len(left_out))


def findings(ledger: pd.DataFrame) -> list[Finding]:
    """The ledger by check and action, the worst first."""
    ordered = ledger.sort_values(["score", "path"], kind="stable", na_position="last")
    groups = ordered.groupby(["check", "action"], sort=False)
    found = [Finding(str(check), str(action), rows) for (check, action), rows in groups]
    return sorted(
        found, key=lambda one: (*severity(one.check, one.action), -len(one.rows), one.check, one.action)
    )


def counts(manifest: Manifest) -> pd.DataFrame:
    """Images per class (rows) and split (columns, those that occur); `NO_SPLIT` where none is assigned."""
    table = manifest.table
    crossed = pd.crosstab(table["label"], table["split"].replace("", NO_SPLIT))
    present = [name for name in (*SPLITS, NO_SPLIT) if name in crossed]
    return crossed.reindex(index=list(manifest.class_names), columns=present, fill_value=0)


def imbalance(sizes: pd.Series) -> float:
    """How many times larger the largest class is than the smallest; NaN without images in each.

    >>> imbalance(pd.Series([30, 12, 10]))
    3.0
    """
    return float(sizes.max() / sizes.min()) if len(sizes) and sizes.min() else float("nan")


def sizes(manifest: Manifest) -> pd.DataFrame:
    """Each (width, height) that occurs, in pixels, and how many images `n` have it, the commonest first."""
    known = manifest.table.loc[manifest.table["width"] > 0, ["width", "height"]]
    found = known.value_counts(sort=False).reset_index(name="n")
    return found.sort_values(["n", "width", "height"], ascending=[False, True, True], ignore_index=True)


def weighted_quantile(values: np.ndarray, weights: np.ndarray, q: float) -> float:
    """The value that a share `q` of the images reach at most; `weights` are numbers of images.

    >>> weighted_quantile(np.array([30.0, 10.0, 20.0]), np.array([1, 1, 8]), 0.5)
    20.0
    """
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][np.searchsorted(reached, q)])


def sample(manifest: Manifest) -> dict[str, list[str]]:
    """Paths of at most `IMAGES` images of the `CLASSES` largest classes, the same number of each.

    In the order of their hashes, which is as good as chance and the same on every machine; of files with
    the same bytes one is taken.
    """
    table = manifest.table[["path", "label", "sha256"]]
    copies = table["sha256"].ne("") & table.duplicated(["label", "sha256"])
    largest = table["label"].value_counts().sort_index().sort_values(ascending=False, kind="stable")
    names = [str(name) for name in largest.index[:CLASSES]]
    each = IMAGES // max(1, len(names))
    ordered = table[~copies & table["label"].isin(names)].sort_values(["sha256", "path"])
    return {name: ordered.loc[ordered["label"] == name, "path"].head(each).tolist() for name in names}


class Both(NamedTuple):
    """A pair of near duplicates with the labels and splits of its files, "" where one is left out."""

    pair: Pair
    labels: tuple[str, str]
    splits: tuple[str, str]


def telling(check: DataCheck) -> list[Both]:
    """The pairs: first those whose labels differ, then those that lie in two splits, then the nearest."""
    named = {path for pair in check.pairs for path in (pair.first, pair.second)}
    table = check.manifest.table[check.manifest.table["path"].isin(named)].set_index("path")
    label, split = table["label"].to_dict(), table["split"].to_dict()
    found = [
        Both(pair, *((of.get(pair.first, ""), of.get(pair.second, "")) for of in (label, split)))
        for pair in check.pairs
    ]
    return sorted(found, key=lambda both: (not differ(both.labels), not differ(both.splits)))


def differ(both: tuple[str, str]) -> bool:
    """Whether two labels or splits, both known, are different."""
    return "" not in both and both[0] != both[1]
