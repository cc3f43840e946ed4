"""Predictions: paths, true labels, logits; probabilities follow from them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headstart.errors import InputError, sentence
from headstart.inference.softmax import softmax
from headstart.rundir import atomic_file, to_json


@dataclass(frozen=True)
class Predictions:
    """What a classifier says of N images whose classes are known.

    Attributes:
        paths: N paths as in the manifest; they name the rows, so the order of rows means nothing.
        y_true: (N,) int64 class indices.
        logits: (N, C) float32.
        class_names: C names; a class index is a position in it.
        temperature: what the logits are divided by before the softmax.

    Raises:
        ValueError: the shapes disagree, a logit isn't finite or an index is out of range.
    """

    paths: tuple[str, ...]
    y_true: np.ndarray
    logits: np.ndarray
    class_names: tuple[str, ...]
    temperature: float = 1.0

    def __post_init__(self) -> None:
        n, c = len(self.paths), len(self.class_names)
        if self.y_true.shape != (n,) or self.logits.shape != (n, c):
            shapes = f"labels {self.y_true.shape}, logits {self.logits.shape}"
            raise ValueError(f"{n} paths and {c} classes, but {shapes}")
        if not np.isfinite(self.logits).all():
            raise ValueError("a logit is not a finite number")
        if not np.isin(self.y_true, np.arange(c)).all():
            raise ValueError(f"a label is not in 0 to {c - 1}")

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def probabilities(self) -> np.ndarray:
        """(N, C) float64, rows summing to 1."""
        return softmax(self.logits, self.temperature)

    @property
    def y_pred(self) -> np.ndarray:
        """(N,) int64 index of the largest logit; of equal ones the first."""
        return np.asarray(self.logits.argmax(axis=1), dtype=np.int64)

    @property
    def confidence(self) -> np.ndarray:
        """(N,) float64 probability of the predicted class."""
        return np.asarray(self.probabilities.max(axis=1))

    def by_path(self) -> Predictions:
        """The same predictions ordered by path."""
        order = np.array(sorted(range(len(self)), key=lambda i: self.paths[i]), dtype=np.int64)
        paths = tuple(self.paths[i] for i in order)
        return replace(self, paths=paths, y_true=self.y_true[order], logits=self.logits[order])

    def save(self, path: Path) -> None:
        """Writes Parquet ordered by path; class names and temperature travel in the schema's metadata."""
        with atomic_file(path) as temporary:
            pq.write_table(_table(self.by_path()), temporary)


def load(path: Path) -> Predictions:
    """Reads what `Predictions.save` wrote.

    Raises:
        InputError: the file is missing, or isn't such a file.
    """
    try:
        table = pq.read_table(path, columns=["path", "label", "logits"])
        extra = json.loads(table.schema.metadata[b"headstart"])
        class_names = tuple(str(name) for name in extra["class_names"])
        index = {name: i for i, name in enumerate(class_names)}
        y_true = np.array([index[label] for label in table["label"].to_pylist()], dtype=np.int64)
        logits = table["logits"].combine_chunks().flatten().to_numpy().reshape(-1, len(class_names))
        paths = tuple(table["path"].to_pylist())
        return Predictions(paths, y_true, logits, class_names, float(extra["temperature"]))
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise InputError(
            sentence(
                "These predictions cannot be read.",
                allowed="the predictions.parquet of a run",
                received=str(path),
                remedy="Run `headstart evaluate` again.",
            )
        ) from error


def _table(predictions: Predictions) -> pa.Table:
    names, y_true, y_pred = predictions.class_names, predictions.y_true, predictions.y_pred
    probabilities = predictions.probabilities
    columns = {
        "path": pa.array(predictions.paths, pa.string()),
        "label": pa.array([names[i] for i in y_true], pa.string()),
        "predicted": pa.array([names[i] for i in y_pred], pa.string()),
        "confidence": pa.array(probabilities.max(axis=1)),
        "correct": pa.array(y_true == y_pred),
        "logits": _lists(predictions.logits.astype(np.float32, copy=False)),
        "probabilities": _lists(probabilities),
    }
    extra = to_json({"class_names": names, "temperature": predictions.temperature})
    return pa.table(columns).replace_schema_metadata({b"headstart": extra.encode()})


def _lists(rows: np.ndarray) -> pa.ListArray:
    """(N, C) as N lists, without making N × C Python numbers."""
    offsets = np.arange(0, rows.size + 1, rows.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(offsets, rows.reshape(-1))
