"""The gate for 8-bit integers: a model gets them only if validation images prove that they do no harm."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from headstart.backbones import vgg
from headstart.backbones.weights import Arrays
from headstart.engines import INT8, Engine, open_engine, run_batches
from headstart.errors import GateError, sentence
from headstart.exports import int8
from headstart.inference import bundle as bundles
from headstart.inference.predictor import Predictor
from headstart.progress import note, track
from headstart.rundir import atomic_dir

CALIBRATION = 96
"""Training images that ranges are taken from; NNCF's own default is 300."""

FEW, MOST_DIFFERENCE = 800, 0.01
"""Of fewer validation images accuracy says too little: then probabilities must also be near, on average."""

MOST_VALIDATION = 2000
"""Validation images that are asked at most."""

SOUNDED = 8
"""Images by which the convolutions are put in order of the harm that rounding does to them."""


@dataclass(frozen=True)
class Labelled:
    """Validation images.

    Attributes:
        squares: gives N (size, size, 3) uint8 images, as often as it is called.
        y: (N,) their classes.
        probabilities: (N, C) of the model as it was trained.
    """

    squares: Callable[[], Iterable[np.ndarray]]
    y: np.ndarray
    probabilities: np.ndarray


@dataclass(frozen=True)
class Attempt:
    """What became of one choice of convolutions in 8 bits."""

    left_out: tuple[str, ...]
    accuracy: float
    accuracy_int8: float
    mean_difference: float
    agreement: float
    passed: bool


def quantize(
    predictor: Predictor,
    training: Sequence[np.ndarray],
    validation: Labelled,
    max_drop: float = 0.005,
    seconds: float = 600.0,
) -> bundles.Int8:
    """Adds 8-bit ranges and the proof for them to a bundle on disk.

    First all convolutions; as long as the gate says no, those that suffer most stay in float32, one more
    each time.

    Args:
        predictor: of the bundle.
        training: (size, size, 3) uint8 images for the ranges.
        validation: images for the proof.
        max_drop: of accuracy on them, in [0, 1].
        seconds: after which no further attempt begins.

    Raises:
        InputError: NNCF is missing.
        GateError: no attempt passed; the bundle is as it was.
    """
    int8.require()
    attempts: list[Attempt] = []
    deadline = time.monotonic() + seconds
    found = int8.ranges(predictor.spec, predictor.bundle.arrays(), training)
    for left_out in _choices(predictor, found, training):
        kept = {name: array for name, array in found.items() if name.partition("/")[0] not in left_out}
        attempts.append(attempt := _judged(predictor, kept, left_out, validation, max_drop))
        note(f"int8       {_words(attempt)}: {'good' if attempt.passed else 'refused'}")
        if attempt.passed:
            return _kept(predictor, kept, attempt, len(training), max_drop, len(validation.y))
        if time.monotonic() > deadline:
            break
    raise GateError(
        sentence(
            f"In 8-bit integers the model is not as good: {'; '.join(map(_words, attempts))}.",
            allowed=f"{100 * max_drop:g} points less accuracy on {len(validation.y)} validation images"
            + (f", and {MOST_DIFFERENCE:g} mean difference" if len(validation.y) < FEW else ""),
            received=f"{100 * (attempts[-1].accuracy - attempts[-1].accuracy_int8):.2g} points"
            f" and {attempts[-1].mean_difference:.2g}",
            remedy="Use --engine openvino-bf16 or ncnn, or allow more with --max-drop.",
        )
    )


def _choices(
    predictor: Predictor, found: Arrays, training: Sequence[np.ndarray]
) -> Iterator[tuple[str, ...]]:
    """Convolutions to leave out: none, then those that rounding harms most, up to half of them."""
    yield ()
    harmed = _by_harm(predictor, found, training[:SOUNDED])
    for count in range(1, len(harmed) // 2 + 1):
        yield tuple(harmed[:count])


def _by_harm(predictor: Predictor, found: Arrays, few: Sequence[np.ndarray]) -> list[str]:
    """Names of the convolutions, the one first whose rounding alone changes the features most."""
    exact = _features(predictor, {}, few)
    spread = exact.std(axis=0) + 1e-6
    harm = {}
    for name, _, _ in track(list(vgg.conv_names(predictor.spec.network)), "Sounding layers", len(found) // 3):
        alone = {key: array for key, array in found.items() if key.startswith(f"{name}/")}
        harm[name] = float((np.abs(_features(predictor, alone, few) - exact) / spread).mean())
    return sorted(harm, key=lambda name: -harm[name])


def _features(predictor: Predictor, ranges: Arrays, squares: Sequence[np.ndarray]) -> np.ndarray:
    """(N, 1, D) of images as they are, without further views, with these ranges."""
    return np.stack(list(run_batches(_engine(predictor, ranges), squares)))[:, None]


def _engine(predictor: Predictor, ranges: Arrays) -> Engine:
    spec, arrays = predictor.spec, predictor.bundle.arrays() | ranges
    return open_engine(INT8.name, spec.network, spec.head, spec.image_size, arrays)


def _judged(
    predictor: Predictor, found: Arrays, left_out: tuple[str, ...], validation: Labelled, max_drop: float
) -> Attempt:
    rounded = predictor.with_engine(_engine(predictor, found))
    rows = track(rounded.features(validation.squares()), "Trying 8-bit integers", len(validation.y))
    answers = np.concatenate([rounded.probabilities(row[None]) for row in rows])
    before, after = validation.probabilities.argmax(axis=1), answers.argmax(axis=1)
    accuracy, accuracy_int8 = float((before == validation.y).mean()), float((after == validation.y).mean())
    difference = float(np.abs(answers - validation.probabilities).sum(axis=1).mean()) / 2
    near = len(validation.y) >= FEW or difference <= MOST_DIFFERENCE
    passed = accuracy - accuracy_int8 <= max_drop + 1e-9 and near
    agreement = float((before == after).mean())
    return Attempt(left_out, accuracy, accuracy_int8, difference, agreement, bool(passed))


def _words(attempt: Attempt) -> str:
    which = f"all but {', '.join(attempt.left_out)}" if attempt.left_out else "all convolutions"
    return (
        f"{which} {attempt.accuracy_int8:.2%} instead of {attempt.accuracy:.2%},"
        f" probabilities {attempt.mean_difference:.4f} apart"
    )


def _kept(
    predictor: Predictor, found: Arrays, attempt: Attempt, calibration: int, max_drop: float, images: int
) -> bundles.Int8:
    proof = bundles.Int8(
        calibration=calibration,
        images=images,
        accuracy=attempt.accuracy,
        accuracy_int8=attempt.accuracy_int8,
        max_drop=max_drop,
        mean_difference=attempt.mean_difference,
        agreement=attempt.agreement,
        left_out=attempt.left_out,
        library=f"nncf {importlib.metadata.version('nncf')}",
    )
    place: Path = predictor.bundle.folder
    with atomic_dir(place) as folder:
        bundles.rewrite(predictor.bundle, folder, replace(predictor.spec, int8=proof), found)
        bundles.load(folder)
    return proof
