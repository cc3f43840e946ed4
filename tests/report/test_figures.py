from __future__ import annotations

import re
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from headstart.report import figures

NAMES = ("confusion", "per_class", "loss", "accuracy", "class_counts")
HOSTILE = (
    "<script>alert(1)</script>",
    "$x_1$",
    "日本語",
    "صورة",
    'id="a" fill: #1c2126',
    "new\nline\x1b",
    "a" * 80,
)


def matrix(counts, names) -> pd.DataFrame:
    return pd.DataFrame(counts, index=names, columns=names)


def texts(figure: Any) -> list[str]:
    """The text elements, read by an XML parser as a viewer would."""
    root = ElementTree.fromstring(figures.to_svg(figure))  # noqa: S314 - our own
    return [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]


def history(phase="lbfgs", rows=4) -> pd.DataFrame:
    x = np.arange(rows)
    return pd.DataFrame(
        {
            "phase": phase,
            "epoch": x,
            "C": 10.0 ** (x - 2),
            "loss": 0.8 - 0.1 * x,
            "val_loss": 0.9 - 0.1 * x,
            "accuracy": 0.5 + 0.1 * x,
            "val_accuracy": 0.4 + 0.1 * x,
        }
    )


def drawn(name: str, names: tuple[str, ...] = ("a", "b")) -> Figure:
    n = len(names)
    if name == "confusion":
        return figures.confusion(matrix(np.eye(n, dtype=int) + 1, names))
    if name == "per_class":
        return figures.per_class(
            pd.DataFrame({"class": names, "n": 3, "precision": 0.5, "recall": 1.0, "f1": 2 / 3})
        )
    if name == "class_counts":
        counts = {"train": [5] * n, "val": [1] * n, "test": [0] * n}
        return figures.class_counts(pd.DataFrame(counts, index=list(names)))
    return figures.training(history(), name, 0.1)


def ydata(line: Any) -> list[float]:
    return [float(y) for y in line.get_ydata()]


def xdata(line: Any) -> list[float]:
    return [float(x) for x in line.get_xdata()]


@pytest.mark.parametrize("name", NAMES)
def test_the_same_numbers_give_the_same_svg(name):
    first, second = (figures.to_svg(drawn(name)) for _ in range(2))
    assert first == second
    assert "<dc:date>" not in first
    assert "matplotlib.org" not in first


def test_drawing_leaves_no_trace_in_pyplot_or_the_settings():
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    before = dict(mpl.rcParams)
    for name in NAMES:
        figures.to_svg(drawn(name))
    assert plt.get_fignums() == []
    assert dict(mpl.rcParams) == before


def test_confusion_shows_counts_and_shares_of_the_row():
    # 3 of 4 are 75 %, 1 of 4 is 25 %; 6 of 6 are 100 %, and an empty cell stays empty.
    shown = texts(figures.confusion(matrix([[3, 1], [0, 6]], ("cat", "dog"))))
    assert sorted(shown) == sorted(
        ["cat", "dog", "cat", "dog", "true class", "predicted class", "3", "75 %", "1", "25 %", "6", "100 %"]
    )


def test_confusion_has_true_classes_in_rows():
    figure = figures.confusion(matrix([[3, 1], [0, 6]], ("cat", "dog")))
    ax = figure.axes[0]
    place = {text.get_text(): text.get_position() for text in ax.texts}
    assert place["1"][0] == 1.5  # predicted dog: the second column
    assert place["1"][1] < 1  # truly cat: the first row
    assert ax.yaxis_inverted()


def test_confusion_stays_readable_with_twenty_classes():
    names = tuple(f"a rather long class name {i}" for i in range(20))
    figure = figures.confusion(matrix(np.full((20, 20), 123), names))
    ax = figure.axes[0]
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    cell = ax.get_window_extent().width / 20
    assert len(boxes) == 400
    assert max(box.width for box in boxes) < 0.9 * cell
    assert min(float(text.get_fontsize()) for text in ax.texts) >= 7
    labels = [label.get_window_extent() for label in ax.get_yticklabels()]
    assert all(a.y0 >= b.y1 for a, b in pairwise(labels))


def test_of_many_classes_the_most_confused_are_drawn():
    counts = np.diag(np.full(50, 9))
    counts[7, 43] = counts[43, 7] = 5
    counts[49, 0] = 1
    kept = figures.most_confused(matrix(counts, tuple(map(str, range(50)))))
    assert len(kept) == figures.SHOWN == 50
    assert {7, 43, 49, 0} <= set(kept)
    assert kept == sorted(kept)


def test_shares_are_of_all_images_of_a_row_though_not_all_columns_are_drawn():
    # Class 0 is taken once for each of the other 49: of its 98 images 49 are right, which is 50 %.
    counts = np.diag(np.full(50, 49))
    counts[0, 1:] = 1
    heat = figures.confusion(matrix(counts, tuple(map(str, range(50))))).axes[0].collections[0]
    assert np.asarray(heat.get_array()).ravel()[0] == pytest.approx(0.5)


def test_classes_come_with_their_number_of_images_the_worst_at_the_top():
    table = pd.DataFrame(
        {
            "class": ["good", "bad"],
            "n": [1234, 5],
            "precision": [0.9, 0.2],
            "recall": [1, 0.4],
            "f1": [0.95, 0.3],
        }
    )
    ax = figures.per_class(table).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["bad  (5)", "good  (1,234)"]
    assert ax.yaxis_inverted()
    shown = {line.get_label(): xdata(line) for line in ax.lines}
    assert shown == {"precision": [0.2, 0.9], "recall": [0.4, 1], "F1": [0.3, 0.95]}


def test_the_regularisation_path_is_drawn_over_c_and_the_choice_marked():
    shuffled = history().iloc[[2, 0, 3, 1]]
    ax = figures.training(shuffled, "loss", 0.1).axes[0]
    assert ax.get_xscale() == "log"
    lines = {line.get_label(): line for line in ax.lines}
    np.testing.assert_allclose(xdata(lines["training"]), [0.01, 0.1, 1, 10])
    np.testing.assert_allclose(ydata(lines["training"]), [0.8, 0.7, 0.6, 0.5])
    np.testing.assert_allclose(ydata(lines["validation"]), [0.9, 0.8, 0.7, 0.6])
    assert set(xdata(lines["chosen"])) == {0.1}
    assert "10⁻²" in texts(ax.figure)


def test_a_short_regularisation_path_has_true_labels():
    narrow = history(rows=2).assign(C=[2.0, 5.0])
    ax = figures.training(narrow, "loss").axes[0]
    label = ax.xaxis.get_major_formatter()
    assert [label(2.0), label(0.01), label(1.0)] == ["2", "10⁻²", "10⁰"]


def test_epochs_are_drawn_over_epochs():
    ax = figures.training(history("keras"), "accuracy", 2).axes[0]
    assert ax.get_xscale() == "linear"
    assert ax.get_xlabel() == "epoch"
    assert "70 %" in texts(ax.figure)


@pytest.mark.parametrize("phase", ["lbfgs", "keras"])
def test_a_history_of_one_row_is_drawn(phase):
    assert "loss" in texts(figures.training(history(phase, rows=1), "loss", 0.01))


def test_bars_add_up_to_all_images_of_a_class():
    counts = pd.DataFrame({"train": [1, 700], "val": [1, 150], "test": [0, 384]}, index=["few", "many"])
    ax = figures.class_counts(counts).axes[0]
    assert [text.get_text() for text in ax.texts] == ["1,234", "2"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["many", "few"]


@pytest.mark.parametrize("name", ["confusion", "per_class", "class_counts"])
def test_names_are_shown_as_they_are_and_never_obeyed(name):
    figure = drawn(name, HOSTILE)
    assert "<script" not in figures.to_svg(figure)
    shown = " ".join(texts(figure))
    for words in ("<script>al", "$x_1$", "日本語", "صورة", "new\\nline\\x1b"):
        assert words in shown
    assert "a" * 23 not in shown


def test_svg_in_a_page_touches_nothing_else_in_it():
    names = ('id="a" fill: #1c2126', "b")
    svg = figures.to_svg(figures.confusion(matrix([[2, 1], [1, 2]], names)))
    element = figures.inline(svg, "confusion", 'says "more"')
    assert element.startswith('<svg aria-label="says &quot;more&quot;"')
    ids = re.findall(r'<[^>]* id="([^"]*)"', element)
    assert ids
    assert all(name.startswith("confusion-") for name in ids)
    used = re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', element)
    assert {a or b for a, b in used} <= set(ids)
    for forbidden in ("<style", "<metadata", "<?xml", "<!DOCTYPE", "http", "xmlns"):
        assert forbidden not in element
    assert '>id="a" fill: #1c2126<' in element  # a name is no tag


def test_a_page_can_recolour_the_palette():
    element = figures.inline(figures.to_svg(figures.training(history(), "loss")), "loss", "")
    assert not set(figures.VARIABLES) & set(re.findall(r"#[0-9a-f]{6}", element))
    assert {"var(--blue)", "var(--orange)", "var(--ink)", "var(--paper)"} <= set(
        re.findall(r"var\(--\w+\)", element)
    )


def test_a_short_name_is_whole_and_a_long_one_keeps_both_ends():
    assert figures.short("b" * 22) == "b" * 22
    assert figures.short("c" * 20 + "d" * 20) == "c" * 11 + "…" + "d" * 10
