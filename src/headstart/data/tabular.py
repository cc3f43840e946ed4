"""The rows of a table of images, CSV, TSV or Parquet, as text.

Text is UTF-8, with or without a byte order mark. Every cell is text: the label ``007`` is not 7, and ``NA``
is a label like any other.
"""

from __future__ import annotations

import csv
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from headstart.errors import InputError, printable, sentence

if TYPE_CHECKING:
    import pyarrow as pa


class Line(NamedTuple):
    """What one row of the table says; an optional column that isn't there says "".

    `number` is that of the row: a header is row 1, as in a spreadsheet; in Parquet the first image is.
    `path` is as written.
    """

    number: int
    path: str
    label: str
    split: str = ""
    group: str = ""
    weight: str = ""


COLUMNS = Line._fields[1:]
"""Names that columns may have."""
REQUIRED = ("path", "label")


def lines(table: Path, group_column: str = "") -> Iterator[Line]:
    """The rows of the file `table`, in their order.

    Args:
        table: its name's ending says what it is.
        group_column: read in place of ``group``, and then required.

    Raises:
        InputError: it is no such table, or lacks a column.
    """
    is_parquet = table.suffix.lower() == ".parquet"
    yield from _of_parquet(table, group_column) if is_parquet else _of_text(table, group_column)


def _of_text(table: Path, group_column: str) -> Iterator[Line]:
    tabs = table.suffix.lower() == ".tsv"
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, delimiter="\t" if tabs else ",", strict=True)
            header = next(rows, [])
            places = _places(table, header, group_column, "tabs" if tabs else "commas")
            for number, row in enumerate(rows, 2):  # a cell may have several lines
                if len(row) == len(header):
                    yield _line(number, {name: row[place] for name, place in places.items()})
                elif row:  # an empty line says nothing
                    _refuse_length(table, number, len(row), len(header))
    except UnicodeDecodeError:
        _refuse("The table is not UTF-8 text.", table, "Save it as UTF-8.")
    except csv.Error as error:
        _refuse(f"Row {rows.line_num} of the table cannot be read: {error}.", table, "Mend it.")


def _of_parquet(table: Path, group_column: str) -> Iterator[Line]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(table) as file:
            header = file.schema_arrow.names
            places = _places(table, header, group_column)
            number = 0
            for batch in file.iter_batches(columns=sorted({header[place] for place in places.values()})):
                columns = {name: _cells(batch.column(header[place])) for name, place in places.items()}
                for cells in zip(*columns.values(), strict=True):
                    number += 1
                    yield _line(number, dict(zip(columns, cells, strict=True)))
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno:  # the system's refusal, which is worded elsewhere
            raise
        reason = " ".join(str(error).split()).rstrip(".")
        _refuse(f"The table is not usable Parquet: {reason}.", table, "Write it anew.")


def _cells(column: pa.Array) -> list[str]:
    """As text; what is no number says nothing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)
    return [cell or "" for cell in column.cast("string").to_pylist()]


def _line(number: int, cells: dict[str, str]) -> Line:
    """Cells without the spaces around them; the two ways to code an accented letter give one label.

    A text that comes again, as labels do, is held once.
    """
    path = cells.pop("path")
    rest = {name: sys.intern(unicodedata.normalize("NFC", cell.strip())) for name, cell in cells.items()}
    return Line(number, path, **rest)


def _places(table: Path, header: list[str], group_column: str, separator: str = "") -> dict[str, int]:
    """Position of each of `COLUMNS` that is there; spaces and capital letters in names don't count."""
    names = [name.strip().lower() for name in header]
    wanted = {name: name for name in COLUMNS} | {"group": group_column.strip().lower() or "group"}
    needed = {*REQUIRED, *(["group"] if group_column else [])}
    for name, called in wanted.items():
        if names.count(called) > 1 or (name in needed and called not in names):
            _refuse_header(table, header, called, separator)
    return {name: names.index(called) for name, called in wanted.items() if called in names}


def _refuse_header(table: Path, header: list[str], called: str, separator: str) -> NoReturn:
    named = f", separated by {separator}" if separator else ""
    own = called not in COLUMNS
    raise InputError(
        sentence(
            f"{printable(table.name)} must have one column '{printable(called)}'.",
            allowed="one of the table's columns" if own else "path,label[,split,group,weight]",
            received=",".join(header) or "nothing",
            remedy="Change --group-column." if own else f"Name the columns in the first row{named}.",
        )
    )


def _refuse_length(table: Path, number: int, cells: int, columns: int) -> NoReturn:
    quoting, filling = "Put a cell that holds a separator in double quotes.", "Give it one for each column."
    problem = f"Row {number} has {cells} cell{'s' * (cells != 1)}, the header has {columns}."
    _refuse(problem, table, quoting if cells > columns else filling)


def _refuse(problem: str, table: Path, remedy: str) -> NoReturn:
    raise InputError(sentence(problem, received=str(table), remedy=remedy))
