"""ELPV: 2,624 images of solar cells, sound or defective, from the wheel ``elpv-dataset``.

Data: Buerhop-Lutz et al. 2018. The task, and weights by how sure the raters were: Deitsch et al. 2019,
doi:10.1016/j.solener.2019.02.067. The images are CC BY-NC-SA 4.0: read where they are, never copied.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import pandas as pd

from headstart.data.sources import Source
from headstart.errors import InputError, sentence

_PACKAGE = "elpv-dataset"


def read(data: str = "elpv") -> Source:  # noqa: ARG001 - every source takes the data it was asked for
    """All cells, in no split: ``defective`` if the probability of a defect is above ½, else ``sound``.

    Raises:
        InputError: the package isn't installed.
    """
    labels = read_labels()
    rows = [
        {
            "path": path,
            "label": "defective" if probability > 0.5 else "sound",
            "weight": confidence(probability),
            "source": "elpv",
        }
        for path, probability in zip(labels["path"], labels["probability"], strict=True)
    ]
    return Source(rows, folder())


def confidence(probability: float) -> float:
    """The raters' confidence in a label, which weighs the image in training.

    >>> [confidence(p) for p in (0.0, 1 / 3, 2 / 3, 1.0)] == [1.0, 1 / 3, 2 / 3, 1.0]
    True
    """
    return 1.0 if probability in (0.0, 1.0) else round(3 * probability) / 3


def read_labels() -> pd.DataFrame:
    """A row a cell, in the file's order, which is that of the modules.

    Returns:
        Columns ``path`` (relative to `folder`), ``probability`` of a defect (0, ⅓, ⅔ or 1) and ``type``
        of the module (``mono`` or ``poly``).

    Raises:
        InputError: the package isn't installed.
    """
    names = ["path", "probability", "type"]
    return pd.read_csv(folder() / "labels.csv", sep=r"\s+", header=None, names=names)


MODULE = 60
"""Cells of most modules."""

TWINS = ((1734, 1784), (2276, 2326))
"""Rows (from, to) of one module that was photographed twice, with another exposure."""


def pseudo_modules() -> np.ndarray:
    """(2624,) which module a cell seems to come from; the data set does not say.

    Rows are in the order of modules, so stretches of one type are cut into pieces of about `MODULE` cells.
    That gives 44, as many as the data set is from (Deitsch et al. 2019). Those that hold `TWINS` are given
    one number, so that no cell is in two modules.
    """
    types = read_labels()["type"].to_numpy()
    starts = np.flatnonzero(np.append(True, types[1:] != types[:-1]))
    lengths = np.diff(np.append(starts, len(types)))
    pieces = [
        piece for length in lengths for piece in np.array_split(np.zeros(length), round(length / MODULE))
    ]
    numbers = np.repeat(np.arange(len(pieces)), [len(piece) for piece in pieces])
    twins = np.unique(np.concatenate([numbers[start:stop] for start, stop in TWINS]))
    numbers[np.isin(numbers, twins)] = twins[0]
    return numbers


def folder() -> Path:
    """The installed folder with ``labels.csv`` and ``images/``; nothing is imported from the package."""
    try:
        found = Path(str(distribution(_PACKAGE).locate_file("elpv_dataset/data")))
    except PackageNotFoundError:
        found = Path()
    if not (found / "labels.csv").is_file():
        raise InputError(
            sentence(
                f"The ELPV images are not installed: they come with the package {_PACKAGE}.",
                remedy="Run `pip install headstart[demo]`.",
            )
        )
    return found
