"""From what a network says of images to `Predictions`, and from those to the files of an evaluation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from headstart.config import EvalConfig
from headstart.evaluation import metrics, thresholds
from headstart.evaluation.metrics import Evaluation
from headstart.evaluation.neighbours import surroundings
from headstart.evaluation.predictions import Predictions
from headstart.inference.bundle import Reference
from headstart.inference.decision import ALWAYS, Rule
from headstart.inference.familiarity import limit
from headstart.progress import note
from headstart.rundir import RunDir
from headstart.training.temperature import temperature

if TYPE_CHECKING:
    from headstart.data.manifest import Manifest

HEATMAPS = "heatmaps.safetensors"


def predictions(
    data: Manifest,
    logits: np.ndarray,
    embeddings: np.ndarray,
    distances: np.ndarray | None,
    reference: Reference,
    class_names: tuple[str, ...],
    temperature: float = 1.0,
    rule: Rule = ALWAYS,
) -> Predictions:
    """What a network says of the N images of a manifest.

    Args:
        data: paths, groups and labels, which are among `class_names`.
        logits: (N, C).
        embeddings: (N, E), as `Predictor` gives them.
        distances: (N,), likewise.
        reference: of the training images.
        class_names: C names.
        temperature: to answer with.
        rule: to answer by.
    """
    index = {name: i for i, name in enumerate(class_names)}
    around = None if distances is None else surroundings(reference, embeddings, distances, class_names)
    return Predictions(
        paths=tuple(data.table["path"]),
        y_true=np.array([index[label] for label in data.table["label"]], np.int64),
        logits=logits.astype(np.float32),
        class_names=class_names,
        temperature=temperature,
        rule=rule,
        around=around,
        groups=tuple(data.table["group"]) if data.table["group"].any() else (),
    )


def calibrated(said: Predictions, asked: EvalConfig) -> Predictions:
    """Validation images' predictions with the temperature and the rule that they call for."""
    bold = replace(said, temperature=temperature(said.logits, said.y_true))
    return ruled(bold, asked)


def ruled(said: Predictions, asked: EvalConfig) -> Predictions:
    """Validation images' predictions with the rule that they and the options call for."""
    plain = replace(said, rule=Rule(costs=thresholds.costs(asked.cost, said.class_names)))
    confidence = 0.0
    if asked.max_error:
        confidence, error = thresholds.promised(plain.confidence, plain.right, asked.max_error, plain.grouped)
        if error > asked.max_error:
            note(
                f"{len(said)} validation images cannot promise {asked.max_error:.2%} of errors:"
                f" of the answers that are accepted, up to {error:.2%} may be wrong."
            )
    distance = limit(said.around.distance) if said.around else None
    return replace(plain, rule=Rule(confidence, distance, plain.rule.costs))


def write(run: RunDir, split: str, said: Predictions, top_k: int) -> Evaluation:
    """Measures, and writes ``evaluation/<split>/``; heatmaps of earlier predictions are removed."""
    evaluation = metrics.evaluate(said, top_k)
    folder = run.evaluation(split)
    (folder / HEATMAPS).unlink(missing_ok=True)
    evaluation.save(folder)
    said.save(folder / "predictions.parquet")  # at the end: they tell by which rule all of it is
    return evaluation
