"""Parity: held-out images from raw bytes through Keras and through every other way must agree."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.backbones.classifier import build_classifier
from headstart.backbones.framework import precision
from headstart.backbones.weights import Arrays
from headstart.data import images
from headstart.engines import ENGINES, INT8_MARGIN, TOLERANCE
from headstart.engines import row as engine_row
from headstart.errors import GateError, last_line, sentence
from headstart.inference import forms
from headstart.inference.bundle import BundleSpec
from headstart.inference.predictor import Predictor
from headstart.inference.softmax import softmax

PYTHON, FILES, COMMAND_LINE = "Python", "files to JSON", "command line"
ASKED_BY_FILE = 8  # images: these ways differ from Python by what comes before and after the answer
INT8_AGREEMENT = 0.98
ROUNDED = 5e-7  # by which a probability changes when it is written with six digits


@dataclass(frozen=True)
class Route:
    """One way to an answer, beside Keras in float32.

    Attributes:
        route: `Python`, `files to JSON`, `command line`, or the format of an export.
        engine, precision, version: of the library that computed.
        images: how many were compared.
        top1_agreement: share of images with the same most probable class, in [0, 1].
        max_difference: the largest difference of any probability.
        tolerance: what the parity table allows this precision.
    """

    route: str
    engine: str
    precision: str
    version: str
    images: int
    top1_agreement: float
    max_difference: float
    tolerance: float
    passed: bool


@dataclass(frozen=True)
class Certificate:
    """All ways that were compared with Keras, at least one."""

    reference: str
    """Keras's version and its backend's."""
    routes: tuple[Route, ...]

    @property
    def passed(self) -> bool:
        """Whether every way answers as Keras does."""
        return all(route.passed for route in self.routes)

    def to_dict(self) -> dict[str, Any]:
        """As in ``parity.json``: the first way, the worst numbers of all, and each by itself."""
        first = asdict(self.routes[0])
        return {name: first[name] for name in ("images", "engine", "precision", "version", "tolerance")} | {
            "reference": self.reference,
            "top1_agreement": min(route.top1_agreement for route in self.routes),
            "max_difference": max(route.max_difference for route in self.routes),
            "passed": self.passed,
            "routes": [asdict(route) for route in self.routes],
        }


def keras_probabilities(spec: BundleSpec, arrays: Arrays, contents: Sequence[bytes]) -> np.ndarray:
    """(N, C) float32-Keras probabilities of raw image files, by the whole flat graph."""
    with precision("float32"):
        model = build_classifier(spec.network, spec.head, spec.image_size, arrays)
    squares = [images.square(content, spec.image_size, spec.fit) for content in contents]
    views = np.stack([images.dihedral(square, view) for square in squares for view in range(spec.views)])
    logits = np.asarray(model.predict(views, batch_size=8, verbose=0))
    return softmax(logits.reshape(len(contents), spec.views, -1).mean(axis=1), spec.temperature)


def certify(
    predictor: Predictor, contents: Sequence[bytes], reference: np.ndarray, process: bool = False
) -> Certificate:
    """Asks `predictor` the same images as Keras was asked: as bytes, and as files whose answers are printed.

    Args:
        predictor: of a bundle that lies where it says.
        contents: image files.
        reference: (N, C) probabilities of Keras.
        process: whether the files are asked by the command itself, which takes seconds to start.
    """
    row, few = engine_row(predictor.engine_name), contents[:ASKED_BY_FILE]
    answers = np.array([list(p.probabilities.values()) for p in predictor.predict(contents)])
    if process:
        way, said = COMMAND_LINE, commanded(predictor.bundle.folder, row.name, few)
    else:
        way, said = FILES, _printed(predictor, few)
    tolerance, by = TOLERANCE[row.precision], (row.name, row.precision, row.version)
    routes = (
        compared(PYTHON, by, answers, reference, tolerance),
        compared(way, by, said, reference[: len(said)], tolerance + ROUNDED),
    )
    return Certificate(ENGINES["keras"].version, routes)


def _printed(predictor: Predictor, contents: Sequence[bytes]) -> np.ndarray:
    """(N, C) probabilities of files, by the code behind `headstart predict --format json`."""
    with tempfile.TemporaryDirectory() as folder:
        answers = predictor.stream(_written(Path(folder), contents))
        return _parsed("".join(forms.as_json([answer] for answer in answers)))


def _written(folder: Path, contents: Sequence[bytes]) -> list[Path]:
    """Files whose names say nothing."""
    files = [folder / f"{i:03}" for i in range(len(contents))]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
    return files


def _parsed(text: str) -> np.ndarray:
    return np.array([list(row["probabilities"].values()) for row in json.loads(text)])


def commanded(bundle: Path, engine: str, contents: Sequence[bytes]) -> np.ndarray:
    """(N, C) probabilities that `headstart predict` gives image files, in a process of its own.

    Raises:
        GateError: it failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = map(str, _written(Path(folder), contents))
        command = [sys.executable, "-P", "-m", "headstart", "predict", str(bundle), *files]
        command += ["--format", "json", "--engine", engine]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603
    if done.returncode:
        said = last_line(done.stderr)
        raise GateError(sentence("`headstart predict` fails on the saved model.", received=said))
    return _parsed(done.stdout)


def compared(
    route: str,
    by: tuple[str, str, str],
    answers: np.ndarray,
    reference: np.ndarray,
    tolerance: float,
) -> Route:
    """Two (N, C) arrays of probabilities of the same images, and whether they agree.

    Top-1 must agree unless the reference's own margin is below twice the tolerance; in 8-bit integers on
    `INT8_AGREEMENT` of the images whose margin is at least `INT8_MARGIN`.

    Args:
        route: as in `Route`.
        by: engine, precision and version of what gave the answers.
        answers: of that way.
        reference: Keras's.
        tolerance: largest difference allowed.
    """
    same = answers.argmax(axis=1) == reference.argmax(axis=1)
    runner_up, best = np.sort(reference, axis=1)[:, -2:].T
    difference = float(np.abs(answers - reference).max())
    engine, precision, version = by
    least, margin = (INT8_AGREEMENT, INT8_MARGIN) if precision == "int8" else (1.0, 2 * tolerance)
    agreed = float(np.mean(same | (best - runner_up < margin)))
    return Route(
        route=route,
        engine=engine,
        precision=precision,
        version=version,
        images=len(answers),
        top1_agreement=float(same.mean()),
        max_difference=difference,
        tolerance=tolerance,
        passed=difference <= tolerance and agreed >= least,
    )


def require(certificate: Certificate) -> None:
    """Raises GateError if the answers differ by more than the parity table allows."""
    for found in certificate.routes:
        if not found.passed:
            raise GateError(
                sentence(
                    f"The saved model answers differently from Keras ({found.route}, {found.engine}).",
                    allowed=f"differences up to {found.tolerance:g}",
                    received=f"{found.max_difference:.2g}, same label {found.top1_agreement:.1%}",
                    remedy="No model was saved; try another --engine and report this.",
                )
            )
