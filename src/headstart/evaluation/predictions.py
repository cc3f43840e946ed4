"""Predictions: paths, true labels, logits; probabilities, answers and decisions follow from them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headstart.errors import InputError, sentence
from headstart.evaluation.grouped import numbered
from headstart.inference.decision import ALWAYS, Rule
from headstart.inference.softmax import softmax
from headstart.rundir import atomic_file, to_json

SMALLEST = float(np.finfo(np.float64).eps)  # as in scikit-learn's log loss


@dataclass(frozen=True)
class Surroundings:
    """Where N images lie among the training images.

    Attributes:
        distance: (N,) float64, see `Familiarity`.
        nearest: N paths of the most similar training images.
        label: N names of their classes; empty where the model does not know them.
        similarity: (N,) float64 cosines to them.
    """

    distance: np.ndarray
    nearest: tuple[str, ...]
    label: tuple[str, ...]
    similarity: np.ndarray

    def take(self, order: np.ndarray) -> Surroundings:
        """Those rows."""
        nearest, label = (tuple(column[i] for i in order) for column in (self.nearest, self.label))
        return Surroundings(self.distance[order], nearest, label, self.similarity[order])


@dataclass(frozen=True)
class Predictions:
    """What a classifier says of N images whose classes are known.

    Attributes:
        paths: N paths as in the manifest; they name the rows, so the order of rows means nothing.
        y_true: (N,) int64 class indices.
        logits: (N, C) float32.
        class_names: C names; a class index is a position in it.
        temperature: what the logits are divided by before the softmax.
        rule: by which an answer is given.
        around: where the images lie among the training images; None where that is not known.
        groups: N names of the groups that the images come in, "" for one of its own; empty for none.

    Raises:
        ValueError: the shapes disagree, a logit isn't finite or an index is out of range.
    """

    paths: tuple[str, ...]
    y_true: np.ndarray
    logits: np.ndarray
    class_names: tuple[str, ...]
    temperature: float = 1.0
    rule: Rule = ALWAYS
    around: Surroundings | None = None
    groups: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n, c = len(self.paths), len(self.class_names)
        if self.y_true.shape != (n,) or self.logits.shape != (n, c):
            shapes = f"labels {self.y_true.shape}, logits {self.logits.shape}"
            raise ValueError(f"{n} paths and {c} classes, but {shapes}")
        if not np.isfinite(self.logits).all():
            raise ValueError("a logit is not a finite number")
        if not np.isin(self.y_true, np.arange(c)).all():
            raise ValueError(f"a label is not in 0 to {c - 1}")
        if self.around and self.around.distance.shape != (n,):
            raise ValueError(f"{n} paths, but {len(self.around.distance)} distances")
        if len(self.groups) not in (0, n):
            raise ValueError(f"{n} paths, but {len(self.groups)} groups")

    def __len__(self) -> int:
        return len(self.paths)

    @cached_property
    def probabilities(self) -> np.ndarray:
        """(N, C) float64, rows summing to 1."""
        return softmax(self.logits, self.temperature)

    @cached_property
    def y_pred(self) -> np.ndarray:
        """(N,) int64 index of the answer: the most probable class unless the rule has costs."""
        return self.rule.answers(self.probabilities)

    @cached_property
    def grouped(self) -> np.ndarray | None:
        """(N,) numbers of the groups from 0 on; None where each image is its own."""
        return numbered(self.groups) if self.groups else None

    @property
    def confidence(self) -> np.ndarray:
        """(N,) float64 probability of the answer."""
        return np.asarray(self.probabilities[np.arange(len(self)), self.y_pred])

    @property
    def losses(self) -> np.ndarray:
        """(N,) −log of the truth's probability, counted as no smaller than `SMALLEST`."""
        truth = self.probabilities[np.arange(len(self)), self.y_true]
        return np.asarray(-np.log(np.maximum(truth, SMALLEST)))

    @property
    def right(self) -> np.ndarray:
        """(N,) whether the answer is the true class."""
        return np.asarray(self.y_pred == self.y_true)

    @property
    def decisions(self) -> np.ndarray:
        """(N,) accept, abstain or unfamiliar."""
        return self.rule.decisions(self.confidence, self.around.distance if self.around else None)

    def by_path(self) -> Predictions:
        """The same predictions ordered by path."""
        if all(one <= other for one, other in pairwise(self.paths)):
            return self
        order = np.array(sorted(range(len(self)), key=lambda i: self.paths[i]), dtype=np.int64)
        return replace(
            self,
            paths=tuple(self.paths[i] for i in order),
            y_true=self.y_true[order],
            logits=self.logits[order],
            around=self.around and self.around.take(order),
            groups=tuple(self.groups[i] for i in order) if self.groups else (),
        )

    def save(self, path: Path) -> None:
        """Writes Parquet ordered by path; class names, temperature and rule are in the schema's metadata."""
        with atomic_file(path) as temporary:
            pq.write_table(_table(self.by_path()), temporary)


def load(path: Path) -> Predictions:
    """Reads what `Predictions.save` wrote.

    Raises:
        InputError: the file is missing, or isn't such a file.
    """
    try:
        table = pq.read_table(path, columns=_read(path))
        extra = json.loads(table.schema.metadata[b"headstart"])
        class_names = tuple(str(name) for name in extra["class_names"])
        index = {name: i for i, name in enumerate(class_names)}
        y_true = np.array([index[label] for label in table["label"].to_pylist()], dtype=np.int64)
        logits = table["logits"].combine_chunks().flatten().to_numpy().reshape(-1, len(class_names))
        paths = tuple(table["path"].to_pylist())
        temperature, rule = float(extra["temperature"]), _rule(extra.get("rule", {}))
        groups = tuple(table["group"].to_pylist()) if "group" in table.column_names else ()
        return Predictions(paths, y_true, logits, class_names, temperature, rule, _around(table), groups)
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise InputError(
            sentence(
                "These predictions cannot be read.",
                allowed="the predictions.parquet of a run",
                received=str(path),
                remedy="Run `headstart evaluate` again.",
            )
        ) from error


def _read(path: Path) -> list[str]:
    """The columns from which the others follow."""
    there = pq.read_schema(path).names
    maybe = ("distance", "nearest", "nearest_label", "similarity", "group")
    return ["path", "label", "logits", *(name for name in maybe if name in there)]


def _rule(values: dict[str, Any]) -> Rule:
    return Rule(
        **values | {"costs": tuple((int(i), int(j), float(c)) for i, j, c in values.get("costs", ()))}
    )


def _around(table: pa.Table) -> Surroundings | None:
    if "distance" not in table.column_names:
        return None
    nearest, label = (tuple(table[name].to_pylist()) for name in ("nearest", "nearest_label"))
    return Surroundings(table["distance"].to_numpy(), nearest, label, table["similarity"].to_numpy())


def _table(predictions: Predictions) -> pa.Table:
    names, around = predictions.class_names, predictions.around
    columns = {
        "path": pa.array(predictions.paths, pa.string()),
        "label": pa.array([names[i] for i in predictions.y_true], pa.string()),
        "predicted": pa.array([names[i] for i in predictions.y_pred], pa.string()),
        "confidence": pa.array(predictions.confidence),
        "correct": pa.array(predictions.right),
        "decision": pa.array(predictions.decisions.tolist(), pa.string()),
        "logits": _lists(predictions.logits.astype(np.float32, copy=False)),
        "probabilities": _lists(predictions.probabilities),
    }
    if around:
        columns |= {
            "distance": pa.array(around.distance),
            "nearest": pa.array(around.nearest, pa.string()),
            "nearest_label": pa.array(around.label, pa.string()),
            "similarity": pa.array(around.similarity),
        }
    if predictions.groups:
        columns["group"] = pa.array(predictions.groups, pa.string())
    extra = {"class_names": names, "temperature": predictions.temperature, "rule": asdict(predictions.rule)}
    return pa.table(columns).replace_schema_metadata({b"headstart": to_json(extra).encode()})


def _lists(rows: np.ndarray) -> pa.ListArray:
    """(N, C) as N lists, without making N × C Python numbers."""
    offsets = np.arange(0, rows.size + 1, rows.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(offsets, rows.reshape(-1))
