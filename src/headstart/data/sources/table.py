"""A table of labelled images: CSV, TSV or Parquet with the columns ``path,label[,split,group,weight]``.

Further columns are passed over. What a cell may hold is in `headstart.data.tabular`.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import NoReturn

from headstart.data import ledger, tabular
from headstart.data.ledger import Row
from headstart.data.sources import SPLIT_NAMES, Source
from headstart.data.tabular import Line
from headstart.errors import InputError, printable, sentence


def read(data: str, group_column: str = "") -> Source:
    """Lists the images that the table `data` names, an existing file.

    Paths are relative to the table's folder. They may be absolute, or lead out of it by ``..``: the root is
    then the folder that all images have in common. A file that isn't there, has no label or has two is
    left out; one that is listed twice counts once. `group_column` is read in place of ``group``.

    Raises:
        InputError: this is no such table, a cell cannot be used, or nothing, or nothing but weights of 0,
            is left of a class.
    """
    table = Path(data)
    listed, entries = _listed(table, group_column)
    present = {path for path in listed if os.path.isfile(path)}  # noqa: PTH113 - Path raises for odd names
    root = _root(table, present)
    rows: list[Row] = []
    below = f"{root}/".replace("//", "/")
    labels = {line.label for lines in listed.values() for line in lines if line.label}
    for path in list(listed):
        lines = listed.pop(path)  # so that a million are not held twice
        where = path[len(below) :] if path in present else os.path.relpath(path, root)
        entry = _left_out(where, lines, path in present)
        if entry:
            entries.append(entry)
            continue
        counted, *others = sorted(lines, key=lambda line: not line.label)
        rows.append(_row(table, where, counted))
        entries += (_again(table, where, line, counted) for line in others)
    _refuse_lost_classes(table, labels, rows, entries)
    _refuse_weightless_classes(rows)
    return Source(sorted(rows, key=lambda row: str(row["path"])), root, entries)


def _listed(table: Path, group_column: str) -> tuple[dict[str, list[Line]], list[Row]]:
    """Absolute path → the rows that name it, and the ledger's entries for rows that name none."""
    listed: dict[str, list[Line]] = {}
    entries: list[Row] = []
    for line in tabular.lines(table, group_column):
        if line.path:
            path = os.path.normpath(os.path.join(table.parent, line.path))  # noqa: PTH118 - of a million
            if line.path != line.path.strip() and not os.path.isfile(path):  # noqa: PTH113 - as above
                path = os.path.normpath(os.path.join(table.parent, line.path.strip()))  # noqa: PTH118
            listed.setdefault(path, []).append(line._replace(path=""))
        else:
            entries.append(ledger.row(_place(table, line), "no-path", "It names no file.", "left out"))
    if not listed:
        problem, remedy = "The table names no image.", "Give it a row for each."
        raise InputError(sentence(problem, received=str(table), remedy=remedy))
    return listed, entries


def _root(table: Path, present: set[str]) -> Path:
    """The table's folder, or the one that all images have in common where some lie outside it."""
    folders = {os.path.dirname(path) for path in present}  # noqa: PTH120 - of perhaps a million
    if os.path.commonpath([table.parent, *folders]) == str(table.parent):
        return table.parent
    return Path(os.path.commonpath(folders))


# --- what a row means ----------------------------------------------------------------------------------


def _left_out(where: str, lines: list[Line], present: bool) -> Row | None:
    """The ledger's entry for a file that cannot be used, or None."""
    first: dict[str, int] = {}
    for line in lines:
        if line.label:
            first.setdefault(line.label, line.number)
    if not present:
        hint = " Separate folders by /." if "\\" in where else ""
        reason = f"Row {lines[0].number} names it, and there is no such file.{hint}"
        return ledger.row(where, "missing-file", reason, "left out")
    if not first:
        return ledger.row(where, "no-label", f"Row {lines[0].number} gives it no label.", "left out")
    if len(first) > 1:
        said = " and ".join(f"{label} in row {number}" for label, number in list(first.items())[:2])
        return ledger.row(where, "two-labels", f"It is {said}. Remove the wrong row.", "left out")
    return None


def _row(table: Path, where: str, line: Line) -> Row:
    split = SPLIT_NAMES.get(line.split.lower(), "")
    if line.split and not split:
        _refuse_cell(table, line, "split", ", ".join(SPLIT_NAMES))
    try:
        weight = float(line.weight or 1)
    except ValueError:
        weight = math.nan
    if not (weight == 0 or 1e-6 <= weight <= 1e6):  # further apart, float32 would lose one beside the other
        _refuse_cell(table, line, "weight", "0, a number from 0.000001 to 1000000, or nothing for 1")
    return {
        "path": where,
        "label": line.label,
        "split": split,
        "group": line.group,
        "weight": weight,
        "source": "table",
    }


def _again(table: Path, where: str, line: Line, counted: Line) -> Row:
    same = line[1:] == counted[1:]
    reason = f"It names {where} {'again' if same else 'otherwise'}; row {counted.number} counts."
    return ledger.row(_place(table, line), "listed-twice", reason, "ignored")


def _place(table: Path, line: Line) -> str:
    return f"{table.name}:{line.number}"


def _refuse_cell(table: Path, line: Line, column: str, allowed: str) -> NoReturn:
    raise InputError(
        sentence(
            f"Row {line.number} of {printable(table.name)} has an unusable {column}.",
            allowed=allowed,
            received=getattr(line, column),
            remedy="Mend that cell, and look at the others of its column.",
        )
    )


def _refuse_lost_classes(table: Path, labels: set[str], rows: list[Row], entries: list[Row]) -> None:
    """A class whose every file was left out must not vanish without a word."""
    found = {str(row["label"]) for row in rows}
    if lost := labels - found:
        left_out = [
            f"{entry['path']} ({entry['check']})" for entry in entries if entry["action"] == "left out"
        ]
        raise InputError(
            sentence(
                f"No file of the class '{printable(min(lost))}' can be used.",
                received=f"{len(left_out)} left out: {', '.join(left_out[:5])}",
                remedy=f"Mend these rows; paths are relative to {printable(table.parent)}."
                + (" Separate folders by /." if any("\\" in one for one in left_out) else ""),
            )
        )


def _refuse_weightless_classes(rows: list[Row]) -> None:
    """A class that weighs nothing in training would never be answered."""
    learnt = {str(row["label"]) for row in rows if row["weight"] and row["split"] in ("", "train")}
    if idle := {str(row["label"]) for row in rows if row["split"] in ("", "train")} - learnt:
        raise InputError(
            sentence(
                f"All images of the class '{printable(min(idle))}' to train on have the weight 0.",
                allowed="a weight above 0 for some image of each class",
                remedy="Change them, or leave the column of weights out.",
            )
        )
