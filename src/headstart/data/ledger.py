"""The ledger: a row for every file that was left out, ignored, or kept although doubtful."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, TypeAlias

import pandas as pd

from headstart.errors import harmless
from headstart.rundir import write_text

Row: TypeAlias = dict[str, object]
Action = Literal["left out", "ignored", "kept"]

COLUMNS = {
    "path": "str",  # relative to the data's root, with forward slashes; a folder ends in one
    "check": "str",  # what was looked for, as a word: truncated, exact-duplicate, …
    "score": "float64",  # by the check: 0 to 1 (0 is surely), grey levels, images; NaN where it has none
    "reason": "str",  # one sentence for the person who put the file there
    "action": "str",  # see `Action`
}


def row(path: str, check: str, reason: str, action: Action, score: float = math.nan) -> Row:
    r"""One entry; bytes of a name that are no text are shown as escapes.

    >>> row("a\udcff.png", "undecodable-name", "Rename it.", "left out")["path"]
    'a\\udcff.png'
    """
    shown = path.encode("utf-8", "backslashreplace").decode("utf-8")
    return {"path": shown, "check": check, "score": score, "reason": reason, "action": action}


def table(rows: Iterable[Row]) -> pd.DataFrame:
    """Rows as a DataFrame with the columns of `COLUMNS`, ordered by path and check."""
    frame = pd.DataFrame(list(rows), columns=list(COLUMNS)).astype(COLUMNS)
    return frame.sort_values(["path", "check"], kind="stable", ignore_index=True)


def save(ledger: pd.DataFrame, path: Path) -> None:
    """Writes CSV, atomically, that is safe to open in a spreadsheet and to show in a terminal."""
    cells = ledger.copy()
    for name in cells.columns.drop("score"):
        cells[name] = [harmless(value) for value in cells[name]]
    write_text(path, cells.to_csv(index=False, lineterminator="\n"))
