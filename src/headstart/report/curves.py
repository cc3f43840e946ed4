"""Figures of curves: ROC, precision by recall, reliability, and risk by coverage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from headstart.report.figures import (
    BLUE,
    GREEN,
    MUTED,
    ORANGE,
    legend_above,
    new_axes,
    percent_tick,
    short,
    styled,
)

LOOKS: tuple[tuple[str, tuple[float, ...]], ...] = ((BLUE, ()), (ORANGE, (4, 1.5)), (GREEN, (1, 1)))
LINES = len(LOOKS)
"""At most so many classes are drawn; colour and dashes tell them apart."""

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def roc(y_true: np.ndarray, scores: np.ndarray, names: Sequence[str], shown: Sequence[int]) -> Figure:
    """Receiver operating characteristic of each class shown, against the rest.

    Args:
        y_true: (N,) class indices.
        scores: (N, C) probabilities.
        names: of the C classes.
        shown: the classes to draw, at most `LINES`.
    """
    from sklearn.metrics import roc_curve

    def curve(c: int) -> tuple[np.ndarray, np.ndarray]:
        fpr, tpr, _ = roc_curve(y_true == c, scores[:, c])
        return fpr, tpr

    axes = ("wrongly called so, of the others", "found, of the class")
    return _lines(shown, names, curve, axes, diagonal=True)


def precision_recall(
    y_true: np.ndarray, scores: np.ndarray, names: Sequence[str], shown: Sequence[int]
) -> Figure:
    """Precision by recall of each class shown, against the rest; arguments as for `roc`."""
    from sklearn.metrics import precision_recall_curve

    def curve(c: int) -> tuple[np.ndarray, np.ndarray]:
        precision, recall, _ = precision_recall_curve(y_true == c, scores[:, c])
        return recall, precision

    return _lines(shown, names, curve, ("found, of the class", "right, of those called so"))


def _lines(
    shown: Sequence[int], names: Sequence[str], curve: Callable[[int], tuple[np.ndarray, np.ndarray]],
    axes: tuple[str, str], diagonal: bool = False,
) -> Figure:  # fmt: skip
    with styled():
        figure, ax = new_axes(3.0, 3.0)
        if diagonal:
            ax.plot([0, 1], [0, 1], color=MUTED, linewidth=1, dashes=(2, 2), zorder=1)
        lines = []
        for c, (colour, dashes) in zip(shown, LOOKS, strict=False):
            [line] = ax.plot(*curve(c), color=colour, dashes=dashes, clip_on=False)
            lines.append((short(names[c], 14), line))
        ax.set(xlim=(0, 1), ylim=(0, 1), xlabel=axes[0], ylabel=axes[1])
        ax.xaxis.set_major_formatter(percent_tick)
        ax.yaxis.set_major_formatter(percent_tick)
        legend_above(ax, lines)
        return figure


def reliability(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Accuracy by confidence, a series a table (two at most), with 95 % intervals.

    Args:
        tables: by name, as `calibration.reliability` gives them.
    """
    with styled():
        figure, ax = new_axes(3.0, 3.0)
        ax.plot([0, 1], [0, 1], color=MUTED, linewidth=1, dashes=(2, 2), zorder=1)
        looks = (("s", ORANGE), ("o", BLUE))
        for (name, table), (marker, colour) in zip(tables.items(), looks, strict=False):
            size = 12 + 70 * np.sqrt(table["n"] / table["n"].max())
            below, above = table["accuracy"] - table["low"], table["high"] - table["accuracy"]
            ax.errorbar(
                table["confidence"],
                table["accuracy"],
                [below, above],
                fmt="none",
                ecolor=colour,
                elinewidth=1,
            )
            ax.scatter(
                table["confidence"], table["accuracy"], s=size, marker=marker, color=colour, label=name,
                zorder=3, linewidths=0,
            )  # fmt: skip
        low = min(float(table["confidence"].min()) for table in tables.values())
        ax.set(xlim=(max(0.0, low - 0.05), 1.02), ylim=(-0.02, 1.02), xlabel="confidence", ylabel="accuracy")
        ax.xaxis.set_major_formatter(percent_tick)
        ax.yaxis.set_major_formatter(percent_tick)
        legend_above(ax)
        return figure


def risk_coverage(curve: pd.DataFrame, accepted: float | None = None) -> Figure:
    """The share of wrong answers among the surest, by the share of images answered.

    Args:
        curve: as `calibration.risk_coverage` gives it.
        accepted: the share that the model accepts; a line marks it.
    """
    with styled():
        figure, ax = new_axes(3.0, 3.0)
        ax.step(curve["coverage"], curve["risk"], where="pre", color=BLUE)
        if accepted is not None:
            ax.axvline(accepted, color=MUTED, linewidth=1, dashes=(1, 2))
        top = max(0.02, 1.15 * float(curve["risk"].max()))
        ax.set(xlim=(0, 1.01), ylim=(0, top), xlabel="images answered", ylabel="wrong answers among them")
        ax.xaxis.set_major_formatter(percent_tick)
        ax.yaxis.set_major_formatter(percent_tick)
        return figure
