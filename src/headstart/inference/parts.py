"""Answers for many files, kept in parts while they are worked out, so that a killed command goes on.

A part holds the answers for the next `ROWS` files of a listing. It counts as long as the same model gives
them in the same engine, and its files have the same names, sizes and times; all else is asked again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.data.images import decoder
from headstart.engines import row as engine_row
from headstart.inference.predictor import Prediction, Predictor
from headstart.rundir import atomic_file, sweep, to_json, write_text

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 256
"""Files in a part: what a kill costs at most."""


class Parts:
    """The folder of the parts of one listing by one model, for one process at a time.

    Args:
        folder: may exist; what another model, engine or version wrote there is removed.
        predictor: whose answers they are.
    """

    def __init__(self, folder: Path, predictor: Predictor) -> None:
        self.folder, self.predictor = folder, predictor
        sweep(folder)
        facts = to_json(_facts(predictor))
        if _read(folder / "facts.json") != facts:
            for part in folder.glob("*.parquet"):
                part.unlink()
        write_text(folder / "facts.json", facts)

    def answers(
        self, files: Iterable[Path], advance: Callable[[int], object] = lambda _: None
    ) -> Iterator[list[Prediction]]:
        """The answers for all files in order, a part at a time; memory is bounded for any number of them.

        `advance` is told whenever there are more, how many.
        """
        files = iter(files)
        for number in count():
            if not (chunk := list(islice(files, ROWS))):
                return
            path, stamps = self.folder / f"{number:06}.parquet", [_stamp(file) for file in chunk]
            known = self._known(path, stamps)
            if known is None:
                known = []
                for answer in self.predictor.stream(chunk):
                    known.append(answer)
                    advance(1)
                _save(path, known, stamps)
            else:
                advance(len(known))
            yield known

    def remove(self) -> None:
        """Removes all of them, but for what a network's file system keeps of files that are open."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _known(self, path: Path, stamps: Sequence[bytes]) -> list[Prediction] | None:
        if not path.exists():
            return None
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(path)
            if table.schema != _schema() or table["stamp"].to_pylist() != list(stamps):
                return None
            return [self._answer(row) for row in table.drop_columns("stamp").to_pylist()]
        except (OSError, ValueError):  # damaged: as if it were not there
            return None

    def _answer(self, row: dict[str, object]) -> Prediction:
        names, values = self.predictor.spec.class_names, row.pop("probabilities")
        assert isinstance(values, list)
        path = os.fsdecode(row.pop("path"))  # type: ignore[arg-type]
        probabilities = dict(zip(names, values, strict=True)) if values else {}
        return Prediction(path=path, probabilities=probabilities, **row)  # type: ignore[arg-type]


def _facts(predictor: Predictor) -> dict[str, object]:
    engine = engine_row(predictor.engine_name)
    return {
        "model": predictor.bundle.digest,
        "engine": f"{engine.name} {engine.version}",
        "graph": engine.graph,
        "decoder": decoder(),
        "rows": ROWS,
    }


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def _stamp(file: Path) -> bytes:
    """Name, size and times of a file, see `seen.key`; one that is not there has no size and times."""
    try:
        status = file.stat()
        known = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
    except (OSError, ValueError):
        known = ""
    return os.fsencode(file) + b"\0" + known.encode()


def _save(path: Path, answers: Sequence[Prediction], stamps: Sequence[bytes]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        vars(answer) | {"path": os.fsencode(answer.path), "probabilities": [*answer.probabilities.values()]}
        for answer in answers
    ]
    columns = {name: [row[name] for row in rows] for name in _schema().names if name != "stamp"}
    table = pa.table(columns | {"stamp": list(stamps)}, _schema())
    with atomic_file(path) as temporary:
        pq.write_table(table, temporary)


def _schema() -> pa.Schema:
    import pyarrow as pa

    text, number = pa.string(), pa.float64()
    return pa.schema(
        [
            ("path", pa.binary()), ("label", text), ("confidence", number),
            ("probabilities", pa.list_(number)), ("decision", text), ("distance", number), ("error", text),
            ("stamp", pa.binary()),
        ]
    )  # fmt: skip
