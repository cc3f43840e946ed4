"""ELPV: 2,624 images of solar cells, sound or defective, from the wheel ``elpv-dataset``.

Data: Buerhop-Lutz et al. 2018. The task, and weights by how sure the raters were: Deitsch et al. 2019,
doi:10.1016/j.solener.2019.02.067. The images are CC BY-NC-SA 4.0: read where they are, never copied.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

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
