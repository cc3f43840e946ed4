"""What commands print at their end: short tables on stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import printable, word
from headstart.rundir import RunDir

if TYPE_CHECKING:
    from headstart.evaluation.comparison import Comparison
    from headstart.evaluation.explain import Explanation
    from headstart.evaluation.metrics import Evaluation
    from headstart.inference.predictor import Prediction

SHOWN = {
    "accuracy": "accuracy",
    "macro_precision": "precision (macro)",
    "macro_recall": "recall (macro)",
    "macro_f1": "F1 (macro)",
    "roc_auc": "ROC AUC",
}
DECIDED = {"coverage": "accepted answers", "accepted_accuracy": "accuracy of those"}


def print_result(run: RunDir) -> None:
    """The test metrics of a run, and where everything is."""
    metrics = json.loads((run.evaluation("test") / "metrics.json").read_text(encoding="utf-8"))
    _print_metrics(metrics)
    seconds = sum(json.loads(run.run_json.read_text(encoding="utf-8"))["seconds"].values())
    print()
    print(f"  report   {printable(run.report)}")
    print(f"  model    {printable(run.model)}")
    print(f"  try      headstart predict {word(run.root)} IMAGE")
    print(f"  trained in {seconds:.0f} s")


def print_metrics(evaluation: Evaluation, place: Path) -> None:
    """The headline of an evaluation, and where all of it is."""
    _print_metrics({name: vars(metric) for name, metric in evaluation.headline.items()}, SHOWN | DECIDED)
    print(f"\n  written to  {printable(place)}")


def print_examples(answers: list[Prediction], truths: list[str]) -> None:
    """A few predictions beside the truth."""
    print("Three images that the model has not seen:\n")
    for answer, truth in zip(answers, truths, strict=True):
        mark = "right" if answer.label == truth else f"wrong: it is {printable(truth)}"
        name = Path(answer.path).name
        print(f"  {printable(name):<16} {printable(answer.label):<12} {answer.confidence:>6.1%}  {mark}")
    print()


def _print_metrics(metrics: dict[str, dict[str, Any]], shown: Mapping[str, str] = SHOWN) -> None:
    print(f"{metrics['accuracy']['n']:,} images the model has not seen      95 % interval")
    for name, title in shown.items():
        if metric := metrics.get(name):
            low, high = metric["low"], metric["high"]
            interval = "too few to say" if low is None else f"{100 * low:5.1f} to {100 * high:5.1f} %"
            print(f"  {title:<28}{100 * metric['value']:5.1f} %   {interval}")


def print_comparisons(first: Path, others: Sequence[Path], found: Sequence[Comparison]) -> None:
    """A verdict a run, and the numbers behind it."""
    print(f"Beside {printable(first)}, on the same {found[0].n:,} images:\n")
    rows = []
    for run, one in zip(others, found, strict=True):
        gain = one.differences["accuracy"]
        ends = f"{100 * gain.low:+.1f} to {100 * gain.high:+.1f}" if isfinite(gain.low) else "too few to say"
        points = f"{100 * gain.value:+.1f} points ({ends})"
        f1, loss = one.differences["macro_f1"], one.differences["log_loss"]
        only = f"{one.only_second:,} : {one.only_first:,}"
        rows.append(
            (
                str(run),
                one.outcome,
                points,
                only,
                f"{one.adjusted:.3f}",
                f"{f1.value:+.3f}",
                f"{loss.value:+.3f}",
            )
        )
    header = (
        "run",
        "it is",
        "accuracy (95 % interval)",
        "only it : only the first",
        "p",
        "macro F1",
        "log loss",
    )
    print_table(header, rows, header[3:], {"better": "green", "worse": "red"})
    print(
        "\np: how often two equally good models differ as much (mid-p McNemar). Below 0.05 it is "
        "a difference."
    )
    if any(one.costly for one in found):
        print("Where answers go by the least expected cost fewer may be right, so accuracy settles nothing.")


def explained(found: Explanation, picture: Path) -> tuple[str, ...]:
    """A row for `print_explanations`."""
    said = found.prediction
    if said.error:
        return (said.path, f"error: {said.error}", *[""] * 5)
    border = f"{found.border:.0%}" if found.border == found.border else "–"  # NaN where nothing speaks for it
    near = ", ".join(f"{one.label} {one.similarity:.2f}" for one in found.neighbours)
    return (said.path, said.label, f"{said.confidence:.1%}", said.decision, border, near, str(picture))


def print_explanations(rows: Sequence[tuple[str, ...]]) -> None:
    """Answers, and what they rest on."""
    header = ("image", "answer", "", "decision", "heat at the border", "most like", "picture")
    styles = {"accept": "green", "abstain": "yellow", "unfamiliar": "yellow"}
    print_table(header, rows, ("", "heat at the border"), styles)


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
    last = len(header) - 1
    widths = [  # a row that ends with a long text, such as an error's, widens no column
        max(len(row[i]) for row in table if i == last or any(row[i + 1 :])) for i in range(last + 1)
    ]
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
