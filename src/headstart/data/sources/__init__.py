"""Where images come from: each source turns what a person has into rows for a Manifest."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from headstart.data.ledger import Row
from headstart.errors import InputError, sentence

READERS = {"elpv": "headstart.data.sources.elpv"}
"""Words that name a data set, and the modules whose ``read(data)`` reads it. A folder is anything else."""


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


def read(data: str) -> Source:
    """Reads `data`: a folder, or a word of `READERS` (a folder of that name is written ``./elpv``).

    Raises:
        InputError: there is nothing of that name, or it can't be used as it is.
    """
    if data in READERS:
        module = READERS[data]
    elif data and os.path.isdir(_expanded(data)):  # noqa: PTH112 - Path.is_dir raises for a name too long
        module = "headstart.data.sources.folder"
        data = os.path.abspath(_expanded(data))  # noqa: PTH100 - without following links
    else:
        raise InputError(_nothing(data))
    source: Source = import_module(module).read(data)
    return source


def _expanded(data: str) -> str:
    return os.path.expanduser(data)  # noqa: PTH111 - an unknown ~user stays as it is


def _nothing(data: str) -> str:
    found = os.path.exists(_expanded(data))  # noqa: PTH110 - as above
    return sentence(
        "The data is a file, not a folder." if found else "There is no such data.",
        allowed="a folder with a folder for each class, or a word: " + ", ".join(READERS),
        received=data,
        remedy="Give the path of the folder." if found else "Check the path.",
    )
