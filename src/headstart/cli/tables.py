"""What commands print at their end: short tables on stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import printable
from headstart.rundir import RunDir

if TYPE_CHECKING:
    from headstart.evaluation.metrics import Evaluation
    from headstart.inference.predictor import Prediction

SHOWN = {
    "accuracy": "accuracy",
    "macro_precision": "precision (macro)",
    "macro_recall": "recall (macro)",
    "macro_f1": "F1 (macro)",
    "roc_auc": "ROC AUC",
}


def print_result(run: RunDir) -> None:
    """The test metrics of a run, and where everything is."""
    metrics = json.loads((run.evaluation("test") / "metrics.json").read_text(encoding="utf-8"))
    _print_metrics(metrics)
    seconds = sum(json.loads(run.run_json.read_text(encoding="utf-8"))["seconds"].values())
    print()
    print(f"  report   {printable(run.report)}")
    print(f"  model    {printable(run.model)}")
    print(f"  try      headstart predict {printable(run.root)} IMAGE")
    print(f"  trained in {seconds:.0f} s")


def print_metrics(evaluation: Evaluation) -> None:
    """The headline of an evaluation."""
    _print_metrics({name: vars(metric) for name, metric in evaluation.headline.items()})


def print_examples(answers: list[Prediction], truths: list[str]) -> None:
    """A few predictions beside the truth."""
    print("Three images that the model has not seen:\n")
    for answer, truth in zip(answers, truths, strict=True):
        mark = "right" if answer.label == truth else f"wrong: it is {printable(truth)}"
        name = Path(answer.path).name
        print(f"  {printable(name):<16} {printable(answer.label):<12} {answer.confidence:>6.1%}  {mark}")
    print()


def _print_metrics(metrics: dict[str, dict[str, Any]]) -> None:
    print(f"{next(iter(metrics.values()))['n']:,} images the model has not seen      95 % interval")
    for name, title in SHOWN.items():
        if metric := metrics.get(name):
            value, low, high = (f"{100 * metric[key]:5.1f}" for key in ("value", "low", "high"))
            interval = f"{low} to {high} %" if low != high else "cannot be told from so few"
            print(f"  {title:<28}{value} %   {interval}")


def print_table(
    header: tuple[str, ...],
    rows: Sequence[tuple[str, ...]],
    right: Collection[str] = (),
    styles: Mapping[str, str] | None = None,
) -> None:
    """Columns on a terminal, folded to its width; plain lines where the output goes into a file or a pipe.

    Args:
        header: names of the columns.
        rows: a text for each column.
        right: columns of numbers, which are set to the right.
        styles: colours of texts on a terminal, as rich names them.
    """
    if sys.stdout.isatty():
        _print_columns(header, rows, right, styles or {})
        return
    table = [tuple(map(printable, row)) for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = (
            cell.rjust(width) if name in right else cell.ljust(width)
            for cell, width, name in zip(row, widths, header, strict=True)
        )
        print("  ".join(cells).rstrip())


def _print_columns(
    header: tuple[str, ...],
    rows: Sequence[tuple[str, ...]],
    right: Collection[str],
    styles: Mapping[str, str],
) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in header:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell), styles.get(cell, "")) for cell in row))
    Console().print(table)
