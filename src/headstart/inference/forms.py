"""The forms in which `headstart predict` answers; each takes answers as they come and holds few of them."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import harmless, printable

if TYPE_CHECKING:
    from headstart.inference.predictor import Prediction

UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")
NUMBERS = ("confidence", "distance")
COLUMNS = ("path", "label", "confidence", "decision", "distance", "error")
REMARK = {"accept": "", "abstain": "  not sure enough", "unfamiliar": "  unlike the training images"}
GROUP = 4096  # rows of a Parquet file that are written at once

Answers = Iterable[Sequence["Prediction"]]


def as_table(answers: Answers, width: int) -> Iterator[str]:
    """Lines for the eye, with room for paths of `width` characters."""
    for some in answers:
        for one in some:
            answer = (
                f"error: {one.error}"
                if one.error
                else f"{one.confidence:>7.1%}  {printable(one.label)}{REMARK[one.decision]}"
            )
            yield f"{printable(one.path):<{width}}  {answer}\n"


def as_json(answers: Answers, _: int = 0) -> Iterator[str]:
    """A list of objects; probabilities are rounded to 6 digits here and in every other JSON answer."""
    before = "[\n"
    for some in answers:
        for one in some:
            text = json.dumps(_rounded(one), ensure_ascii=False, indent=2)
            text = UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
            yield before + "\n".join(f"  {line}" for line in text.splitlines())
            before = ",\n"
    yield "\n]\n" if before == ",\n" else "[]\n"


def _rounded(one: Prediction) -> dict[str, Any]:
    return vars(one) | {
        "confidence": round(one.confidence, 6),
        "distance": None if one.distance is None else round(one.distance, 4),
        "probabilities": {name: round(p, 6) for name, p in one.probabilities.items()},
    }


def as_csv(answers: Answers, _: int = 0, delimiter: str = ",") -> Iterator[str]:
    """Without the probabilities of the other classes; no cell is a formula."""
    yield _csv_row(COLUMNS, delimiter)
    for some in answers:
        for one in some:
            row = vars(one)
            cells = [row[name] if name in NUMBERS else harmless(str(row[name])) for name in COLUMNS]
            yield _csv_row(cells, delimiter)


def _csv_row(cells: Sequence[object], delimiter: str) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerow(cells)
    return text.getvalue()


def write_parquet(answers: Answers, class_names: Sequence[str], out: Path) -> None:
    """A table with a column ``p_<class>`` for each class, empty where a file is no image."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from headstart.rundir import atomic_file

    schema = pa.schema(
        [(name, pa.float64() if name in NUMBERS else pa.string()) for name in COLUMNS]
        + [(f"p_{name}", pa.float64()) for name in class_names]
    )
    with atomic_file(out) as temporary, pq.ParquetWriter(temporary, schema) as file:
        held: list[dict[str, Any]] = []
        for some in answers:
            held += [_row(one) for one in some]
            if len(held) >= GROUP:
                file.write_table(pa.Table.from_pylist(held, schema))
                held.clear()
        file.write_table(pa.Table.from_pylist(held, schema))


def _row(one: Prediction) -> dict[str, Any]:
    """A name that is no text cannot be written, so it is written as it is printed."""
    row = vars(one) | {"path": printable(one.path)}
    return row | {f"p_{name}": value for name, value in row.pop("probabilities").items()}


def are_answers(path: Path) -> bool:
    """Whether a file begins as what is written here does, or is empty."""
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith(b"PAR1"):
        return _are_rows(path)
    begins = (b"path,label,confidence", b"path\tlabel\tconfidence", b'[\n  {\n    "path": ', b"[]\n")
    return not head or head.startswith(begins) or bool(re.match(rb".*  (error: | {0,4}\d{1,3}\.\d%  )", head))


def _are_rows(path: Path) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names = pq.read_schema(path).names
    except (OSError, pa.ArrowInvalid):
        return False
    return tuple(names[: len(COLUMNS)]) == COLUMNS


TEXTS: dict[str, Callable[[Answers, int], Iterator[str]]] = {
    "table": as_table,
    "json": as_json,
    "csv": as_csv,
    "tsv": partial(as_csv, delimiter="\t"),
}
