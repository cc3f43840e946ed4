"""Manifest: the one currency of data, a table with a row an image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from headstart.errors import InputError, sentence
from headstart.rundir import atomic_file, to_json

SPLITS = ("train", "val", "test")
COLUMNS = {
    "path": "str",  # relative to `root`, with forward slashes
    "label": "str",
    "split": "str",  # one of SPLITS, or "" while not yet assigned
    "group": "str",  # images of one group stay in one split; "" is a group of its own
    "weight": "float64",  # of the image in the training loss
    "width": "int64",  # as displayed, after EXIF orientation
    "height": "int64",
    "sha256": "str",  # of the file's bytes
    "phash": "str",  # perceptual hash, "" where not computed
    "source": "str",
}


@dataclass(frozen=True)
class Manifest:
    """The images of a task.

    Attributes:
        table: a row an image, columns as in `COLUMNS`, ordered by path.
        class_names: sorted names; a class index is a position in it.
        root: the folder that `path` is relative to.
    """

    table: pd.DataFrame
    class_names: tuple[str, ...]
    root: Path

    def __len__(self) -> int:
        return len(self.table)

    @property
    def files(self) -> list[Path]:
        """The files, in the table's order."""
        return [self.root / path for path in self.table["path"]]

    @property
    def y(self) -> np.ndarray:
        """(N,) int64 class indices."""
        index = {name: i for i, name in enumerate(self.class_names)}
        return np.array([index[label] for label in self.table["label"]], dtype=np.int64)

    def where(self, split: str) -> Manifest:
        """The images of one split."""
        return replace(self, table=self.table[self.table["split"] == split].reset_index(drop=True))

    def counts(self) -> pd.DataFrame:
        """Images per class (rows) and split (columns)."""
        counts = pd.crosstab(self.table["label"], self.table["split"])
        return counts.reindex(index=list(self.class_names), columns=list(SPLITS), fill_value=0)

    def save(self, path: Path) -> None:
        """Writes Parquet; class names and root travel in the schema's metadata."""
        extra = to_json({"class_names": self.class_names, "root": str(self.root)})
        table = pa.Table.from_pandas(self.table, preserve_index=False)
        table = table.replace_schema_metadata({**table.schema.metadata, b"headstart": extra.encode()})
        with atomic_file(path) as temporary:
            pq.write_table(table, temporary)


def from_rows(rows: list[dict[str, object]], root: Path) -> Manifest:
    """Builds a Manifest from dicts with at least ``path`` and ``label``, ordered by path."""
    defaults: dict[str, object] = dict.fromkeys(COLUMNS, "") | {"weight": 1.0, "width": 0, "height": 0}
    # Column by column: a million rows as dicts of all columns would take half a gigabyte more.
    columns = {name: [row.get(name, default) for row in rows] for name, default in defaults.items()}
    table = pd.DataFrame(columns).astype(COLUMNS)
    table = table.sort_values("path", kind="stable", ignore_index=True)
    return Manifest(table, tuple(sorted(table["label"].unique())), root)


def changes(before: Manifest, now: Manifest) -> list[str]:
    """What became of the images between two readings of one folder, a few words an image.

    Those come last of which only the split has changed: the others are the cause.
    """
    columns = ["sha256", "label", "weight", "split"]
    tables = [images.table.set_index("path")[columns].astype(object) for images in (before, now)]
    both = tables[0].merge(
        tables[1], how="outer", left_index=True, right_index=True, suffixes=("_before", "")
    )
    old, new = (both[[name + end for name in columns]].fillna("").to_numpy() for end in ("_before", ""))
    differ = old != new
    causes = differ[:, :3].any(axis=1)
    rows = [*np.flatnonzero(causes), *np.flatnonzero(differ[:, 3] & ~causes)]
    return [_change(both.index[row], old[row], new[row]) for row in rows]


def _change(path: str, old: np.ndarray, new: np.ndarray) -> str:
    """Of (sha256, label, weight, split), each "" where the image isn't there."""
    if not new[0]:
        return f"{path} is gone or no longer usable"
    if not old[0]:
        return f"{path} is new"
    if old[0] != new[0]:
        return f"{path} has changed"
    if old[1] != new[1]:
        return f"{path} was {old[1]}, is {new[1]}"
    if old[2] != new[2]:
        return f"{path} weighed {old[2]:g}, weighs {new[2]:g}"
    return f"{path} was in {old[3]}, is in {new[3]}"


def load(path: Path) -> Manifest:
    """Reads what `Manifest.save` wrote.

    Raises:
        InputError: it is damaged.
    """
    import json

    try:
        table = pq.read_table(path)
        extra = json.loads(table.schema.metadata[b"headstart"])
        return Manifest(table.to_pandas(), tuple(extra["class_names"]), Path(extra["root"]))
    except (FileNotFoundError, PermissionError):
        raise
    except (OSError, pa.ArrowException, ValueError, LookupError, TypeError) as error:  # OSError: no Parquet
        raise InputError(
            sentence(
                "This manifest is damaged.",
                received=str(path),
                remedy="Restore it, or delete the run and train again.",
            )
        ) from error
