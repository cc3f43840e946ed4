"""The confusion matrix: a table whose cells lead to their images, and the pairs that are confused most."""

from __future__ import annotations

import numpy as np
import pandas as pd

from headstart.report import figures
from headstart.report.files import RunFiles
from headstart.report.parts import Cell, Matrix, Section, Table
from headstart.report.wording import many, percent, quoted


def confusion(files: RunFiles, pictured: frozenset[str]) -> Section:
    """The matrix.

    Args:
        files: of the run.
        pictured: names of the cells of which the page has images, as `cell_name` gives them.
    """
    matrix = files.evaluation.confusion
    pairs = _confused_pairs(matrix)
    caption = "What the model takes each class for."
    if pairs:
        true, predicted, count, size = pairs[0]
        caption += (
            f" Its most frequent mistake: {count:,} of {size:,} images of {quoted(true)} are taken for "
            f"{quoted(predicted)} ({percent(count / size)})."
        )
    caption += (
        " Rows are true classes, columns answers; the diagonal is right. The stronger the "
        "colour, the larger the "
        "share of its row. Choose a number to see its images."
    )
    if len(matrix) > figures.SHOWN:
        caption += f" Shown are the {figures.SHOWN} of {len(matrix):,} classes in the most mistakes."
    rows = tuple((t, p, f"{c:,}", f"{n:,}", percent(c / n)) for t, p, c, n in pairs[:10])
    header = ("True class", "Taken for", "Images", "of", "Share")
    table = Table("The most frequent confusions", header, rows, text_columns=2)
    return Section(
        "confusion",
        "Confusion matrix",
        caption,
        matrix=_matrix(matrix, pictured),
        tables=(table,) if rows else (),
    )


def cell_name(true: int, answer: int) -> str:
    """What a cell, and each of its images, is called in the page.

    >>> cell_name(1, 0)
    'cell-1-0'
    """
    return f"cell-{true}-{answer}"


def _matrix(matrix: pd.DataFrame, pictured: frozenset[str]) -> Matrix:
    kept = figures.most_confused(matrix)
    counts, names = matrix.to_numpy(), [str(name) for name in matrix.index]
    sizes = np.maximum(counts.sum(axis=1), 1)
    rows = tuple(
        tuple(_cell(names, counts, i, j, float(counts[i, j] / sizes[i]), pictured) for j in kept)
        for i in kept
    )
    return Matrix(tuple(names[i] for i in kept), rows)


def _cell(
    names: list[str], counts: np.ndarray, i: int, j: int, share: float, pictured: frozenset[str]
) -> Cell:
    count, name = int(counts[i, j]), cell_name(i, j)
    what = "rightly answered" if i == j else f"taken for {names[j]}"
    return Cell(
        f"{count:,}" if count else "",
        share,
        right=i == j,
        label=f"{many(count, 'image')} of {names[i]} {what}, {percent(share)} of them",
        name=name if name in pictured else "",
    )


def _confused_pairs(matrix: pd.DataFrame) -> list[tuple[str, str, int, int]]:
    """(true, predicted, images, images of the true class), the most frequent first."""
    counts, names = matrix.to_numpy(), [str(name) for name in matrix.index]
    wrong = np.argwhere(counts * (1 - np.eye(len(counts), dtype=np.int64)))
    pairs = [(names[i], names[j], int(counts[i, j]), int(counts[i].sum())) for i, j in wrong]
    return sorted(pairs, key=lambda pair: -pair[2])
