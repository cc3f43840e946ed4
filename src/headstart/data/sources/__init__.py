"""Where images come from: each source turns what a person has into rows for a Manifest."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from headstart.data.ledger import Row
from headstart.errors import InputError, printable, sentence

READERS = {"elpv": "headstart.data.sources.elpv"}
"""Words that name a data set, and the modules whose ``read(data)`` reads it. A folder is anything else."""

ARCHIVES = {"cifar10": "headstart.data.sources.cifar", "cifar100": "headstart.data.sources.cifar"}
"""Words before a colon and an archive, ``cifar10:FILE``, and the modules that read it."""

TABLES = (".csv", ".tsv", ".parquet")
"""What the name of a table ends in."""

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "eval": "val",
    "test": "test",
    "testing": "test",
    **{f"{part}_set": part for part in ("train", "val", "test")},
    "training_set": "train",
    "validation_set": "val",
    "testing_set": "test",
}
"""Names of the splits in folders and tables, in small letters."""


@dataclass(frozen=True)
class Source:
    """What a source found; nothing has been opened or decoded yet.

    Attributes:
        rows: an image each, as `manifest.from_rows` takes them: at least ``path`` (relative to `root`, with
            forward slashes) and ``label``, ordered by path, each path once.
        root: absolute folder that the paths are relative to.
        ledger: rows for everything seen and not in `rows`.
    """

    rows: list[Row]
    root: Path
    ledger: list[Row] = field(default_factory=list)


def read(data: str, group_column: str = "", classes: int = 2) -> Source:
    """Reads `data`: a folder, a table, a word of `READERS`, or a word of `ARCHIVES` with its archive.

    A folder or table whose name looks like such a word is written ``./elpv``. `group_column` names the
    column of a table that says what belongs together, in place of ``group``; there have to be so many
    `classes` at least.

    Raises:
        InputError: there is nothing of that name, or it can't be used as it is.
    """
    path = os.path.abspath(os.path.expanduser(data))  # noqa: PTH100, PTH111 - links and ~unknown stay
    if data in READERS:
        module = READERS[data]
    elif word := _word(data):
        module = ARCHIVES[word]
    elif data and os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises for a name too long
        module, data = "headstart.data.sources.folder", path
    elif path.lower().endswith(TABLES) and os.path.isfile(path):  # noqa: PTH113 - as above
        module, data = "headstart.data.sources.table", path
    else:
        raise InputError(_nothing(data, bool(data) and os.path.exists(path)))  # noqa: PTH110 - as above
    if group_column and not module.endswith(".table"):
        raise InputError(_no_column(group_column))
    source: Source = import_module(module).read(data, *filter(None, [group_column]))
    _refuse_too_few(source, classes)
    return source


def _refuse_too_few(source: Source, classes: int) -> None:
    """Says what was found instead, and what was left out."""
    found = sorted({printable(row["label"]) for row in source.rows})
    if len(found) >= classes:
        return
    out = sorted(Counter(str(entry["check"]) for entry in source.ledger).items())
    beside = f"; left out: {', '.join(f'{count} x {check}' for check, count in out)}" if out else ""
    several = "There is nothing to tell apart: images of two classes or more are needed."
    raise InputError(
        sentence(
            several if classes > 1 else "There are no labelled images.",
            allowed="a folder with a folder of images for each class, or a table with their labels",
            received=(", ".join(found) or "no class with files") + beside,
            remedy=_remedy(source),
        )
    )


def _remedy(source: Source) -> str:
    """Of an archive that was unpacked into a folder of its own name the classes lie one level down."""
    paths = [str(row["path"]) for row in source.rows if row["source"] == "folder"]
    if paths and all(path.count("/") > 1 for path in paths):
        below = source.root / paths[0].split("/")[0]
        return f"If the folders below it are the classes, give {printable(below)}."
    return "Sort the images into a folder for each class, or give them labels."


def name(data: str) -> str:
    """What to call the data: the last part of its path, links followed, without a table's ending.

    >>> name("photos/cats/"), name("tables/cells.csv"), name("cifar10:cifar-10-binary.tar.gz"), name("elpv")
    ('cats', 'cells', 'cifar10', 'elpv')
    """
    if word := _word(data):
        return word
    path = Path(os.path.realpath(data))
    is_table = path.suffix.lower() in TABLES and not os.path.isdir(path)  # noqa: PTH112 - as above
    return path.stem if is_table else path.name


def _word(data: str) -> str:
    word, colon, _ = data.partition(":")
    return word if colon and word in ARCHIVES else ""


def _no_column(name: str) -> str:
    return sentence(
        "--group-column needs a table, which has columns.",
        allowed=", ".join(TABLES),
        received=name,
        remedy="Use --group-regex on the paths.",
    )


def _nothing(data: str, is_there: bool) -> str:
    archives = ", ".join(f"{word}:FILE" for word in ARCHIVES)
    return sentence(
        "This file is neither a table nor a folder of images." if is_there else "There is no such data.",
        allowed=f"a folder with a folder for each class, a table ({', '.join(TABLES)}),"
        f" {', '.join(READERS)}, {archives}",
        received=data,
        remedy="Give the folder that it lies in, or a table." if is_there else "Check the path.",
    )
