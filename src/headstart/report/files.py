"""The files of a run that a report is made from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from headstart.data import manifest as manifests
from headstart.errors import InputError, sentence
from headstart.evaluation import explain, metrics
from headstart.evaluation.evaluate import HEATMAPS
from headstart.evaluation.explain import Heatmaps
from headstart.evaluation.predictions import Predictions
from headstart.evaluation.predictions import load as load_predictions
from headstart.rundir import RunDir

T = TypeVar("T")


@dataclass(frozen=True)
class RunFiles:
    """What a report is made from; what a run lacks is None or empty."""

    run: RunDir
    split: str
    info: Mapping[str, Any]
    evaluation: metrics.Evaluation
    predictions: Predictions
    manifest: manifests.Manifest | None
    ledger: pd.DataFrame | None
    history: pd.DataFrame | None
    parity: Mapping[str, Any] | None
    heatmaps: Heatmaps | None = None
    validation: Predictions | None = None


def read(run: RunDir, split: str = "test") -> RunFiles:
    """Reads the files of a run.

    Raises:
        InputError: the split was not evaluated, or a file is damaged.
    """
    folder = run.evaluation(split)
    if not folder.is_dir():
        raise InputError(
            sentence(
                f"There is no evaluation of {split}.",
                allowed="a run that was evaluated",
                received=str(run.root),
                remedy="Run `headstart evaluate` on it first.",
            )
        )
    predicted = load_predictions(folder / "predictions.parquet")
    return RunFiles(
        run=run,
        split=split,
        info=_optional(run.run_json, _json) or {},
        evaluation=metrics.load(folder, predicted.class_names),
        predictions=predicted,
        manifest=_optional(run.manifest, manifests.load),
        ledger=_optional(run.data_report, _ledger),
        history=_optional(run.history, _history),
        parity=_optional(run.parity, _parity),
        heatmaps=_optional(folder / HEATMAPS, explain.load),
        validation=_optional(run.evaluation("val") / "predictions.parquet", load_predictions),
    )


def _json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def _parity(path: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = _json(path)
    if not {"images", "top1_agreement", "max_difference", "tolerance", "passed"} <= {*found}:
        raise ValueError("not a certificate")
    return found


def _ledger(path: Path) -> pd.DataFrame:
    found = pd.read_csv(path, dtype=str, keep_default_na=False)
    return _with(found, ["path", "check", "reason", "action"])


def _history(path: Path) -> pd.DataFrame:
    said = ["loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds"]
    return _with(pd.read_csv(path), ["phase", "epoch", *said])


def _with(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    if not {*columns} <= {*table.columns}:
        raise ValueError(f"not the columns {columns}")
    return table


def _optional(path: Path, reader: Callable[[Path], T]) -> T | None:
    if not path.exists():
        return None
    try:
        return reader(path)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            sentence(
                "A file of the run cannot be read.",
                allowed="the file as the run wrote it",
                received=str(path),
                remedy="Run the same command again.",
            )
        ) from error
