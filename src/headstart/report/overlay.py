"""A picture of what an answer rests on: the image, its heat, and the training images most like it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headstart.evaluation.explain import Explanation
from headstart.report import figures
from headstart.report.heat import coloured
from headstart.report.thumbnails import small
from headstart.report.wording import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIDE = 1.9  # inches of a panel


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
        _picture(panels[0, 0], found.square, f"{figures.short(said.label)} {percent(said.confidence)}")
        for ax, (name, heat) in zip(panels[0, 1:], found.heats.items(), strict=False):
            _picture(ax, found.square, f"speaks for {figures.short(name)}")
            _heat(ax, heat, found.square.shape[0])
        for ax, one in zip(panels[-1] if rows == 2 else [], found.neighbours, strict=False):
            _picture(ax, _training(root, one.path), f"{figures.short(one.label)}\n{one.similarity:.2f} alike")
        figure.savefig(path, format="png", dpi=150, facecolor=figures.PAPER, metadata={"Software": None})


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
