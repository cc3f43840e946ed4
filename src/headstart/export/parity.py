"""Parity: held-out images from raw bytes through Keras and through the saved bundle must agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from headstart.backbones.classifier import build_classifier
from headstart.backbones.weights import Arrays
from headstart.data import images
from headstart.engines import ENGINES, TOLERANCE
from headstart.errors import GateError, sentence
from headstart.inference.bundle import BundleSpec
from headstart.inference.predictor import Predictor
from headstart.inference.softmax import softmax


@dataclass(frozen=True)
class Certificate:
    """What was compared, and how far apart the answers were.

    Attributes:
        images: how many were compared.
        top1_agreement: share of images with the same most probable class, in [0, 1].
        max_difference: the largest difference of any probability.
        tolerance: what the parity table allows this precision.
    """

    images: int
    engine: str
    precision: str
    version: str
    top1_agreement: float
    max_difference: float
    tolerance: float
    passed: bool

    def to_dict(self) -> dict[str, Any]:
        """As in ``parity.json``."""
        return asdict(self)


def keras_probabilities(spec: BundleSpec, arrays: Arrays, contents: Sequence[bytes]) -> np.ndarray:
    """(N, C) float32-Keras probabilities of raw image files, by the whole flat graph."""
    model = build_classifier(spec.network, spec.head, spec.image_size, arrays)
    squares = [images.square(content, spec.image_size, spec.fit) for content in contents]
    views = np.stack([images.dihedral(square, view) for square in squares for view in range(spec.views)])
    logits = np.asarray(model.predict(views, batch_size=8, verbose=0))
    return softmax(logits.reshape(len(contents), spec.views, -1).mean(axis=1), spec.temperature)


def certify(predictor: Predictor, contents: Sequence[bytes], reference: np.ndarray) -> Certificate:
    """Asks `predictor` the same raw files and compares with the (N, C) `reference` probabilities.

    Top-1 must agree unless the reference's own margin is below twice the tolerance.
    """
    row = ENGINES[predictor.engine_name]
    answers = np.array([list(p.probabilities.values()) for p in predictor.predict(contents)])
    tolerance = TOLERANCE[row.precision]
    same = answers.argmax(axis=1) == reference.argmax(axis=1)
    runner_up, best = np.sort(reference, axis=1)[:, -2:].T
    difference = float(np.abs(answers - reference).max())
    return Certificate(
        images=len(contents),
        engine=row.name,
        precision=row.precision,
        version=row.version,
        top1_agreement=float(same.mean()),
        max_difference=difference,
        tolerance=tolerance,
        passed=bool(difference <= tolerance and np.all(same | (best - runner_up < 2 * tolerance))),
    )


def require(certificate: Certificate) -> None:
    """Raises GateError if the answers differ by more than the parity table allows."""
    if not certificate.passed:
        raise GateError(
            sentence(
                f"The saved model answers differently from Keras with the engine {certificate.engine}.",
                allowed=f"differences up to {certificate.tolerance}",
                received=f"{certificate.max_difference:.2g}, same label {certificate.top1_agreement:.1%}",
                remedy="No model was saved; try another --engine and report this.",
            )
        )
