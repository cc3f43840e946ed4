"""From numbers to Matplotlib figures, and from figures to SVG.

Every figure is a free-standing `Figure` (no pyplot state), about as wide as a phone's page, so that its
text keeps its size there. Text stays text; names are never read as mathematics. The same numbers give
the same bytes. `inline` turns the colours below into the report's CSS variables, which know the dark.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from headstart.errors import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart in all common colour-vision deficiencies; shape or dash tells
# the series apart as well.
INK, MUTED, RULE, PAPER = "#1c2126", "#5c656f", "#dde1e5", "#fefefe"
BLUE, ORANGE, GREEN = "#0072b2", "#c44e00", "#00805c"
VARIABLES = {INK: "ink", MUTED: "muted", RULE: "rule", PAPER: "paper"}
VARIABLES |= {BLUE: "blue", ORANGE: "orange", GREEN: "green"}
HEAT = "#0071b3"  # not a variable: white numbers stand on it, by day and by night
SPLIT_COLOURS = {"train": BLUE, "val": GREEN, "test": ORANGE}

SHOWN = 50
"""Figures show at most so many classes: the ones with the most mistakes."""

LONGEST = 22
"""Longer names are cut in the middle; the tables have them whole."""

STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "headstart",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": RULE,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "ytick.left": False,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
}


def confusion(matrix: pd.DataFrame) -> Figure:
    """Counts and shares of the row: rows the true class, columns the predicted one.

    Args:
        matrix: (C, C) counts; above `SHOWN` classes those with the most mistakes are drawn.
    """
    import seaborn as sns
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    kept = np.array(most_confused(matrix))
    names, everything = [short(matrix.index[i]) for i in kept], matrix.to_numpy()
    counts = everything[np.ix_(kept, kept)]
    shares = counts / np.maximum(everything.sum(axis=1), 1)[kept, None]
    side = float(np.clip(3.4 / len(kept), 0.36 if len(kept) <= 20 else 0.3, 1.35))
    with styled():
        figure, ax = new_axes(side * len(kept), side * len(kept))
        # Opacity instead of a scale from white to blue, so that it is right on a dark page too.
        opacity = LinearSegmentedColormap.from_list("opacity", [(*to_rgb(HEAT), 0.0), (*to_rgb(HEAT), 1.0)])
        sns.heatmap(
            shares,
            ax=ax,
            cmap=opacity,
            vmin=0,
            vmax=1,
            cbar=False,
            square=True,
            xticklabels=False,
            yticklabels=False,
            linewidths=0.8,
            linecolor=RULE,
        )
        ax.grid(visible=False)
        _write_cells(ax, counts, shares, side)
        ticks = np.arange(len(kept)) + 0.5
        upright = max(map(len, names)) * 0.075 > side
        ax.set_xticks(ticks, names, rotation=90 if upright else 0)
        ax.set_yticks(ticks, names, rotation=0)
        ax.tick_params(length=0)
        ax.set(xlabel="predicted class", ylabel="true class")
        return figure


def _write_cells(ax: Axes, counts: np.ndarray, shares: np.ndarray, side: float) -> None:
    """Each cell's count, and below it the share of its row where there is room; nothing for 0."""
    roomy = side >= 0.6
    size = float(np.clip(side * 13, 7, 14)) if side > 0.3 else 6.0
    for (row, column), count in np.ndenumerate(counts):
        if not count:
            continue
        share = shares[row, column]
        style: dict[str, Any] = {"ha": "center", "va": "center", "color": "white" if share > 0.85 else INK}
        ax.text(column + 0.5, row + (0.43 if roomy else 0.5), f"{count:,}", size=size, **style)
        if roomy:
            ax.text(column + 0.5, row + 0.7, f"{100 * share:.0f} %", size=max(7.0, size * 0.65), **style)


def most_confused(matrix: pd.DataFrame) -> list[int]:
    """The positions of the classes drawn: at most `SHOWN`, those in the most mistakes, in class order."""
    counts = matrix.to_numpy()
    mistakes = counts.sum(axis=0) + counts.sum(axis=1) - 2 * np.diag(counts)
    return sorted(np.argsort(-mistakes, kind="stable")[:SHOWN].tolist())


def per_class(table: pd.DataFrame) -> Figure:
    """Precision, recall and F1 of each class as dots on one line, the lowest F1 at the top.

    Args:
        table: columns class, n, precision, recall, f1; above `SHOWN` rows the lowest F1 are drawn.
    """
    rows = table.sort_values("f1", kind="stable").head(SHOWN)
    y = np.arange(len(rows))
    with styled():
        figure, ax = new_axes(2.8, 0.4 * len(rows) + 0.1)
        for column, label, marker, colour in (
            ("precision", "precision", ">", ORANGE),
            ("recall", "recall", "s", GREEN),
            ("f1", "F1", "o", BLUE),
        ):
            ax.plot(rows[column], y, marker, color=colour, label=label, clip_on=False, zorder=3)
        ax.hlines(
            y,
            rows[["precision", "recall"]].min(axis=1),
            rows[["precision", "recall"]].max(axis=1),
            color=MUTED,
            linewidth=1,
            zorder=2,
        )
        ax.set_yticks(
            y, [f"{short(name)}  ({n:,})" for name, n in zip(rows["class"], rows["n"], strict=True)]
        )
        ax.set(xlim=(0, 1), ylim=(len(rows) - 0.5, -0.5))
        ax.xaxis.set_major_formatter(percent_tick)
        ax.grid(visible=False, axis="y")
        legend_above(ax)
        return figure


def training(history: pd.DataFrame, measure: str, chosen: float | None = None) -> Figure:
    """Training and validation `measure` over the epochs, or over C on the regularisation path.

    Args:
        history: rows of one phase, columns as in history.csv.
        measure: ``loss`` or ``accuracy``.
        chosen: the epoch or C that the model was taken from; a line marks it.
    """
    path = history["phase"].iloc[0] == "lbfgs"
    x = history["C" if path else "epoch"].to_numpy(dtype=np.float64)
    order = np.argsort(x, kind="stable")
    with styled():
        figure, ax = new_axes(3.2, 2.3)
        judged = f"val_{measure}"
        if path and measure == "loss" and "val_calibrated_loss" in history:
            judged = "val_calibrated_loss"  # by which it was chosen
        for column, label, marker, dashes, colour in (
            (measure, "training", "s", (3, 1.5), ORANGE),
            (judged, "validation", "o", (), BLUE),
        ):
            y = history[column].to_numpy(dtype=np.float64)[order]
            ax.plot(
                x[order], y, marker=marker if len(x) <= 30 else "", dashes=dashes, color=colour, label=label
            )
        if path:
            ax.set_xscale("log")
            ax.xaxis.set_major_formatter(_power_of_ten)
            ax.minorticks_off()
        if chosen is not None:
            ax.axvline(
                chosen, color=MUTED, linewidth=1, dashes=(1, 2), label="chosen" if path else "best epoch"
            )
        if measure == "accuracy":
            ax.yaxis.set_major_formatter(percent_tick)
        ax.set_xlabel("C: weaker regularisation to the right" if path else "epoch")
        ax.set_ylabel(measure)
        legend_above(ax)
        return figure


def class_counts(counts: pd.DataFrame) -> Figure:
    """Images per class (rows) and split (columns) as stacked bars, the largest class at the top.

    Args:
        counts: as `Manifest.counts` gives; above `SHOWN` classes the smallest are drawn.
    """
    from matplotlib.ticker import MaxNLocator

    rows = counts.loc[counts.sum(axis=1).sort_values(kind="stable").index[:SHOWN][::-1]]
    y, left = np.arange(len(rows)), np.zeros(len(rows))
    with styled():
        figure, ax = new_axes(2.8, 0.4 * len(rows) + 0.1)
        for split in rows.columns:
            width = rows[split].to_numpy(dtype=np.float64)
            ax.barh(
                y,
                width,
                left=left,
                height=0.6,
                color=SPLIT_COLOURS.get(split, MUTED),
                label=split,
                edgecolor=PAPER,
                linewidth=0.8,
            )
            left += width
        for position, total in enumerate(left):
            ax.annotate(f"{total:,.0f}", (total, position), (4, 0), textcoords="offset points", va="center")
        ax.set_yticks(y, [short(name) for name in rows.index])
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        ax.xaxis.set_major_formatter(count_tick)
        ax.set(ylim=(len(rows) - 0.5, -0.5), xlabel="images")
        ax.grid(visible=False, axis="y")
        legend_above(ax)
        return figure


def short(name: object, length: int = LONGEST) -> str:
    """`name` on one line of at most `length` characters, cut in the middle.

    >>> short("a" * 20 + "b" * 20, 9)
    'aaaa…bbbb'
    """
    text = printable(name)
    if len(text) <= length:
        return text
    head = length // 2
    return f"{text[:head]}…{text[len(text) - (length - 1 - head) :]}"


@contextmanager
def styled() -> Iterator[None]:
    """Matplotlib's settings for the block, put back after it."""
    import matplotlib as mpl

    with mpl.rc_context(STYLE), warnings.catch_warnings():
        # The browser has the letters that the font for measuring lacks.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
        warnings.filterwarnings("ignore", message=r"Matplotlib currently does not support")
        yield


def to_svg(figure: Figure) -> str:
    """The figure as an SVG file's text; the same figure gives the same text."""
    text = StringIO()
    with styled():
        figure.savefig(
            text,
            format="svg",
            bbox_inches="tight",
            pad_inches=0.05,
            facecolor=PAPER,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    return text.getvalue()


def width(svg: str) -> float:
    """The width of an SVG file's picture in points."""
    found = re.search(r'<svg[^>]* width="([0-9.]+)pt"', svg)
    assert found, "Matplotlib states the width"
    return float(found[1])


def inline(svg: str, prefix: str, label: str) -> str:
    """An SVG file's text as an element of a page, which takes the width it is given within reason.

    The XML head and the style sheet, which would apply to the whole page, are dropped; ids get `prefix`,
    since a page may hold many figures; the palette becomes CSS variables. Only tags are touched, never text.
    `label` is what a screen reader says.
    """
    sizes = f"width:100%;min-width:{0.85 * width(svg):.0f}pt;max-width:{1.3 * width(svg):.0f}pt"
    element = re.sub(
        r"<style.*?</style>|<metadata.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL
    )
    element = re.sub(r' width="[^"]*" height="[^"]*"', f' role="img" style="{sizes}"', element, count=1)
    element = re.sub(r"<[^>]*>", lambda tag: _page_tag(tag[0], prefix), element)
    return f'<svg aria-label="{escape(label)}"' + element.removeprefix("<svg")


def _page_tag(tag: str, prefix: str) -> str:
    tag = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", tag)
    tag = re.sub(r'\s(xmlns(:xlink)?|version)="[^"]*"', "", tag)
    return re.sub(
        r"#[0-9a-f]{6}\b", lambda c: f"var(--{VARIABLES[c[0]]})" if c[0] in VARIABLES else c[0], tag
    )


def new_axes(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure whose axes have that size in inches; the labels are added around it when it is saved."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)  # seaborn draws once to measure; without a canvas it would ask pyplot for one
    return figure, figure.add_axes((0, 0, 1, 1))


def legend_above(ax: Axes, named: Sequence[tuple[str, Any]] = ()) -> None:
    """A legend in one line above the axes: of what is labelled, or of what is `named`.

    Labels that begin with an underscore, as a class may be called, are no labels to matplotlib.
    """
    handles, labels = ax.get_legend_handles_labels()
    if named:
        labels, handles = map(list, zip(*named, strict=True))
    ax.legend(
        handles,
        labels,
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=len(handles),
        handlelength=1.6,
        columnspacing=1.4,
        handletextpad=0.5,
    )


def percent_tick(value: float, _: object) -> str:
    """A share as a tick's label."""
    return f"{100 * value:g} %"


def count_tick(value: float, _: object) -> str:
    """A number of images or pixels as a tick's label."""
    return f"{value:,.0f}"


def _power_of_ten(value: float, _: object) -> str:
    exponent = round(np.log10(value))
    if not np.isclose(value, 10.0**exponent):
        return f"{value:g}"
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
