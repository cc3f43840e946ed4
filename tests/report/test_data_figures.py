from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from headstart.report import data_figures, figures
from headstart.report.data_figures import DOTS


def table(*rows: tuple[int, int, int]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["width", "height", "n"])


def many_sizes() -> pd.DataFrame:
    """1,000 different sizes, a million images."""
    side = np.arange(1000)
    return pd.DataFrame({"width": 50 + side, "height": 900 - side // 2, "n": 1000})


def histogram(*levels: int) -> np.ndarray:
    """(4, 32): all pixels of a channel at one level each."""
    found = np.zeros((4, 32))
    found[range(4), [level // 8 for level in levels]] = 1
    return found


def heights(ax: Any) -> list[float]:
    return [patch.get_height() for patch in ax.patches]


def drawn(name: str) -> Figure:
    sizes = table((300, 200, 5), (20, 40, 1))
    return {
        "dots": lambda: data_figures.sizes(sizes, 224),
        "heat": lambda: data_figures.sizes(many_sizes(), 224),
        "ratios": lambda: data_figures.ratios(sizes),
        "colours": lambda: data_figures.colours(histogram(0, 8, 16, 24), grey=False),
        "brightness": lambda: data_figures.brightness(
            dict.fromkeys(("<b>", "$x_1$"), histogram(0, 8, 16, 24))
        ),
    }[name]()


NAMES = ("dots", "heat", "ratios", "colours", "brightness")


@pytest.mark.parametrize("name", NAMES)
def test_the_same_numbers_give_the_same_svg_in_the_page_s_colours(name):
    first, second = (figures.to_svg(drawn(name)) for _ in range(2))
    assert first == second
    assert "<dc:date>" not in first
    element = figures.inline(first, name, "")
    assert "var(--blue)" in element
    assert not set(figures.VARIABLES) & set(element.split('"'))
    assert len(first) < 300_000


def test_few_sizes_are_dots_as_large_as_they_are_common():
    ax = data_figures.sizes(table((300, 200, 4), (20, 40, 1)), 224).axes[0]
    dots: Any = ax.collections[0]
    assert dots.get_offsets().tolist() == [[300, 200], [20, 40]]
    large, small = dots.get_sizes()
    assert large == 4 * (small - 8) + 8
    assert ax.get_xscale() == ax.get_yscale() == "log"
    low, high = ax.get_xlim()
    assert low < 20
    assert high > 300


def test_many_sizes_are_a_histogram_and_no_image_is_lost():
    assert len(many_sizes()) > DOTS
    ax, above, right = data_figures.sizes(many_sizes(), 224).axes
    cells: Any = ax.collections[0]
    assert 10 < len(cells.get_paths()) < 36 * 36
    assert sum(heights(above)) == 1_000_000
    assert sum(patch.get_width() for patch in right.patches) == 1_000_000  # type: ignore[attr-defined]


def test_sizes_have_a_few_round_ticks():
    ax = data_figures.sizes(table((300, 200, 4), (320, 210, 1)), 224).axes[0]
    ticks = [label.get_text() for label in ax.get_xticklabels()]
    assert 3 <= len(ticks) <= 8
    assert all(int(tick.replace(",", "")) % 10 == 0 for tick in ticks)


def test_ratios_are_counted_and_squares_stand_in_the_middle():
    ax = data_figures.ratios(table((100, 100, 7), (200, 100, 2), (100, 200, 1))).axes[0]
    bars = heights(ax)
    assert sum(bars) == 10
    assert bars[len(bars) // 2] == 7
    assert sum(bars[: len(bars) // 2]) == 1
    assert "1:1" in [label.get_text() for label in ax.get_xticklabels()]


def test_a_ratio_beyond_all_reason_is_drawn_at_the_edge():
    bars = heights(data_figures.ratios(table((2000, 3, 1), (100, 100, 5))).axes[0])
    assert sum(bars) == 6
    assert bars[-1] == 1


def test_colours_are_three_lines_and_grey_is_one():
    ax = data_figures.colours(histogram(0, 80, 248, 100), grey=False).axes[0]
    peaks = {line.get_label(): int(np.argmax(np.asarray(line.get_ydata()))) for line in ax.lines}
    assert peaks == {"red": 0, "green": 10, "blue": 31}
    ax = data_figures.colours(histogram(0, 80, 248, 100), grey=True).axes[0]
    assert [line.get_label() for line in ax.lines] == ["grey"]
    assert int(np.argmax(np.asarray(ax.lines[0].get_ydata()))) == 12


def test_each_class_has_its_curve_and_its_median():
    shown = {f"class {i}": histogram(0, 0, 0, 16 * i) for i in range(15)}
    ax = data_figures.brightness(shown).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == [f"class {i}" for i in range(12)]
    medians = [float(np.asarray(line.get_xdata())[0]) for line in ax.lines[1::2]]
    assert medians == [16 * i + 4 for i in range(12)]
    assert ax.yaxis_inverted()


def test_names_are_never_obeyed():
    svg = figures.to_svg(drawn("brightness"))
    assert "&lt;b&gt;" in svg
    assert "$x_1$" in svg
