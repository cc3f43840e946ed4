"""A picture of what an answer rests on: the image, its heat, and the training images most like it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headstart.errors import InputError, sentence
from headstart.evaluation.explain import Explanation
from headstart.report import figures
from headstart.report.heat import coloured
from headstart.report.thumbnails import small
from headstart.report.wording import percent
from headstart.rundir import atomic_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIDE = 1.9  # inches of a panel
TITLE = 16  # characters of a name that fit above a panel
SOFTWARE = "headstart explain"
"""By this text in a PNG we know our own pictures, which may be replaced."""


def draw(found: Explanation, root: Path | None, path: Path) -> None:
    """Writes a PNG: the image, the heat of each class, and the neighbours below them.

    Args:
        found: an explanation without an error.
        root: folder of the training images; None where it isn't known.
        path: of the PNG.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    said = found.prediction
    columns = max(1 + len(found.heats), len(found.neighbours))
    rows = 2 if found.neighbours else 1
    with figures.styled():
        figure = Figure(figsize=(SIDE * columns, (SIDE + 0.5) * rows), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(rows, columns, squeeze=False)
        for ax in panels.flat:
            ax.set_axis_off()
        _picture(panels[0, 0], found.square, f"{figures.short(said.label, TITLE)} {percent(said.confidence)}")
        for ax, (name, heat) in zip(panels[0, 1:], found.heats.items(), strict=False):
            _picture(ax, found.square, f"speaks for\n{figures.short(name, TITLE)}")
            _heat(ax, heat, found.square.shape[0])
        for ax, one in zip(panels[-1] if rows == 2 else [], found.neighbours, strict=False):
            _picture(
                ax,
                _training(root, one.path),
                f"{figures.short(one.label, TITLE)}\n{one.similarity:.2f} alike",
            )
        with atomic_file(path) as temporary:
            said_by = {"Software": SOFTWARE}
            figure.savefig(temporary, format="png", dpi=150, facecolor=figures.PAPER, metadata=said_by)


def _picture(ax: Axes, pixels: np.ndarray | None, title: str) -> None:
    ax.set_title(title, fontsize=8.5, color=figures.INK)
    if pixels is None:
        ax.text(0.5, 0.5, "not there\nany more", ha="center", va="center", color=figures.MUTED, size=8)
    else:
        ax.imshow(pixels)


def _heat(ax: Axes, heat: np.ndarray, size: int) -> None:
    ax.imshow(coloured(heat), extent=(0, size, size, 0), interpolation="bilinear")


def _training(root: Path | None, path: str) -> np.ndarray | None:
    found = None if root is None else small(root / path)
    return found if isinstance(found, np.ndarray) else None


def places(sources: Sequence[Path], folder: Path) -> list[Path]:
    """Where the pictures of images go in a folder.

    Raises:
        InputError: a file lies there that `draw` did not write, or one of the images themselves.
    """
    found = [folder / name for name in names([str(source) for source in sources])]
    known = {os.path.realpath(source) for source in sources}
    for place in found:
        if os.path.realpath(place) in known or not _free(place):
            raise InputError(
                sentence(
                    "A picture would replace a file that `headstart explain` did not write.",
                    received=str(place),
                    remedy="Name another folder with --out.",
                )
            )
    return found


def _free(place: Path) -> bool:
    """Whether nothing lies there, or an earlier picture of ours."""
    if not place.is_file():
        return not os.path.lexists(place)
    with place.open("rb") as file:
        return f"Software\0{SOFTWARE}".encode() in file.read(1024)


def names(paths: Sequence[str]) -> list[str]:
    """File names for the pictures of images at `paths`: their own, numbered where they would be the same.

    >>> names(["a/1.jpg", "b/1.jpg", "2.png"])
    ['1.png', '1-2.png', '2.png']
    """
    taken: set[str] = set()
    found = []
    for path in paths:
        stem = Path(path).stem or "image"
        name, number = f"{stem}.png", 2
        while name in taken:
            name, number = f"{stem}-{number}.png", number + 1
        taken.add(name)
        found.append(name)
    return found
