"""Figures of the page about data; see `figures` for the style."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from headstart.report.data_numbers import weighted_quantile
from headstart.report.figures import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    RULE,
    count_tick,
    legend_above,
    new_axes,
    percent_tick,
    short,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOTS = 400
"""Up to so many different sizes are drawn as dots, more as a two-dimensional histogram."""

CELLS = 36  # of the histogram, along each side
CURVES = 12
"""Classes whose brightness is drawn."""

RATIOS = {1 / 4: "1:4", 1 / 2: "1:2", 3 / 4: "3:4", 1: "1:1", 4 / 3: "4:3", 2: "2:1", 4: "4:1"}
WIDE_RATIOS = {1 / 8: "1:8", 1 / 4: "1:4", 1 / 2: "1:2", 1: "1:1", 2: "2:1", 4: "4:1", 8: "8:1"}


def sizes(table: pd.DataFrame, target: int) -> Figure:
    """Width against height with the histogram of each at the edge; lines mark `target` pixels.

    Args:
        table: columns width, height, n; at least two rows.
        target: side of the square that the network sees.
    """
    from matplotlib.ticker import NullLocator

    x, y, n = (table[name].to_numpy(np.float64) for name in ("width", "height", "n"))
    edges = _bins(np.concatenate([x, y, [target]]))
    ticks = _round_numbers(edges[0], edges[-1])
    with styled():
        figure, ax = new_axes(2.9, 2.9)
        for draw in (ax.axvline, ax.axhline):
            draw(target, color=MUTED, linewidth=1, dashes=(1, 2), zorder=1)
        ax.plot(edges[[0, -1]], edges[[0, -1]], color=RULE, linewidth=1, zorder=1)
        (_dots if len(table) <= DOTS else _heat)(ax, x, y, n, edges)
        for along, values in ((0, x), (1, y)):
            _margin(figure, ax, along, values, n, edges)
        for scale, axis in ((ax.set_xscale, ax.xaxis), (ax.set_yscale, ax.yaxis)):
            scale("log")
            axis.set_minor_locator(NullLocator())
            axis.set_ticks(ticks)
            axis.set_major_formatter(count_tick)
        ax.set(xlim=edges[[0, -1]], ylim=edges[[0, -1]], xlabel="width in pixels", ylabel="height in pixels")
        return figure


def _dots(ax: Axes, x: np.ndarray, y: np.ndarray, n: np.ndarray, _: np.ndarray) -> None:
    ax.scatter(x, y, s=8 + 120 * n / n.max(), color=BLUE, alpha=0.6, linewidths=0, zorder=3)


def _heat(ax: Axes, x: np.ndarray, y: np.ndarray, n: np.ndarray, edges: np.ndarray) -> None:
    """The cells that hold images, the stronger the more."""
    from matplotlib.collections import PatchCollection
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Rectangle

    cells, _, _ = np.histogram2d(x, y, bins=[edges, edges], weights=n)
    where = np.argwhere(cells)
    found = cells[tuple(where.T)]
    opacity = 0.15 + 0.85 * np.log1p(found) / np.log1p(found.max())
    boxes = [
        Rectangle((edges[i], edges[j]), edges[i + 1] - edges[i], edges[j + 1] - edges[j]) for i, j in where
    ]
    colours = [to_rgba(BLUE, alpha) for alpha in opacity]
    ax.add_collection(PatchCollection(boxes, facecolors=colours, linewidths=0, zorder=3))


def _margin(
    figure: Figure, ax: Axes, along: int, values: np.ndarray, n: np.ndarray, edges: np.ndarray
) -> None:
    """The histogram above the axes (`along` 0) or to their right (1)."""
    place = (0.0, 1.03, 1.0, 0.16) if along == 0 else (1.03, 0.0, 0.16, 1.0)
    shared: dict[str, Any] = {"sharex" if along == 0 else "sharey": ax}
    side = figure.add_axes(place, **shared)
    counts, _ = np.histogram(values, bins=edges, weights=n)
    draw, thick = (side.bar, "width") if along == 0 else (side.barh, "height")
    style: dict[str, Any] = {thick: np.diff(edges), "align": "edge", "color": BLUE, "linewidth": 0}
    draw(edges[:-1], counts, **style)
    side.set_axis_off()


def ratios(table: pd.DataFrame) -> Figure:
    """Images by width / height, on a scale on which tall and wide are alike.

    Args:
        table: columns width, height, n.
    """
    from matplotlib.ticker import MaxNLocator, NullLocator

    ratio, n = (table["width"] / table["height"]).to_numpy(np.float64), table["n"].to_numpy(np.float64)
    reach = float(np.clip(1.1 * np.exp(np.abs(np.log(ratio)).max()), 2.2, 12))
    edges = np.geomspace(1 / reach, reach, 42)  # an odd number of bars, so that squares stand in one
    counts, _ = np.histogram(np.clip(ratio, edges[0], edges[-1]), bins=edges, weights=n)
    with styled():
        figure, ax = new_axes(3.2, 2.0)
        ax.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=BLUE, linewidth=0)
        ax.set_xscale("log")
        ax.xaxis.set_minor_locator(NullLocator())
        named = RATIOS if reach < 5 else WIDE_RATIOS
        ticks = [value for value in named if edges[0] <= value <= edges[-1]]
        ax.set_xticks(ticks, [named[value] for value in ticks])
        ax.grid(visible=False, axis="x")
        ax.set(xlim=edges[[0, -1]], xlabel="width : height   (tall ← square → wide)", ylabel="images")
        ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        ax.yaxis.set_major_formatter(count_tick)
        return figure


def colours(histogram: np.ndarray, grey: bool) -> Figure:
    """Shares of the pixels by level, a line a channel.

    Args:
        histogram: (4, BINS) as of `data_pixels.histograms`.
        grey: whether one line says it all.
    """
    levels = (np.arange(histogram.shape[1]) + 0.5) * 256 / histogram.shape[1]
    lines: list[tuple[int, str, str, tuple[float, ...]]] = [(3, "grey", INK, ())]
    if not grey:
        lines = [(0, "red", ORANGE, ()), (1, "green", GREEN, (4, 1.5)), (2, "blue", BLUE, (1.2, 1.2))]
    with styled():
        figure, ax = new_axes(3.2, 2.0)
        for row, label, colour, dashes in lines:
            ax.plot(levels, histogram[row], color=colour, dashes=dashes, label=label)
            ax.fill_between(levels, histogram[row], color=colour, alpha=0.08, linewidth=0)
        _levels(ax)
        ax.set_ylim(bottom=0)
        ax.yaxis.set_major_formatter(percent_tick)
        ax.set_ylabel("share of pixels")
        legend_above(ax)
        return figure


def brightness(histograms: dict[str, np.ndarray]) -> Figure:
    """The distribution of brightness of each class, one above the other, on one scale.

    Args:
        histograms: class → (4, BINS); the first `CURVES` are drawn.
    """
    shown = list(histograms.items())[:CURVES]
    highest = max(float(histogram[3].max()) for _, histogram in shown)
    with styled():
        figure, ax = new_axes(2.8, 0.42 * len(shown) + 0.3)
        for place, (_, histogram) in enumerate(shown):
            levels = (np.arange(histogram.shape[1]) + 0.5) * 256 / histogram.shape[1]
            curve = place - 0.9 * histogram[3] / highest
            ax.fill_between(levels, place, curve, color=BLUE, alpha=0.25, linewidth=0, zorder=2)
            ax.plot(levels, curve, color=BLUE, linewidth=1.2, zorder=3)
            middle = weighted_quantile(levels, histogram[3], 0.5)
            ax.plot([middle, middle], [place, place - 0.25], color=INK, linewidth=1.4, zorder=4)
        ax.set_yticks(np.arange(len(shown)), [short(name) for name, _ in shown])
        _levels(ax)
        ax.set_ylim(len(shown) - 0.9, -1)
        return figure


def _levels(ax: Axes) -> None:
    ax.set(xlim=(0, 256), xlabel="level   (black → white)")
    ax.set_xticks([0, 64, 128, 192, 255])


def _bins(values: np.ndarray) -> np.ndarray:
    """Edges of `CELLS` bins, equal on a logarithmic scale, around all `values`."""
    low, high = float(values.min()), float(values.max())
    room = max(1.15, (high / low) ** 0.06)
    return np.geomspace(low / room, high * room, CELLS + 1)


def _round_numbers(low: float, high: float) -> list[float]:
    """Three ticks or more between `low` and `high`.

    >>> _round_numbers(90, 700), _round_numbers(28, 43), _round_numbers(0.9, 20000)
    ([100.0, 200.0, 500.0], [30.0, 35.0, 40.0], [1.0, 10.0, 100.0, 1000.0, 10000.0])
    """
    from matplotlib.ticker import MaxNLocator

    for digits in ((1,), (1, 3), (1, 2, 5)):
        ticks = [float(d * 10**e) for e in range(6) for d in digits if low <= d * 10**e <= high]
        if len(ticks) >= 3:
            return ticks
    locator = MaxNLocator(4, integer=True, steps=[1, 2, 5, 10])
    return [float(tick) for tick in locator.tick_values(low, high) if low <= tick <= high]
