"""What an answer rests on: heatmaps of images, and which images are worth one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from headstart.engines import open_engine, run_with_maps
from headstart.evaluation.neighbours import nearest
from headstart.evaluation.predictions import Predictions
from headstart.evaluation.saliency import border_share, channel_weights, grad_cam
from headstart.inference.predictor import Prediction, Predictor, Source
from headstart.rundir import write_tensors

MISTAKES = 300
"""At most so many mistakes are explained, the surest first,"""

A_CLASS = 20
"""and at most so many of one true class."""

RIGHT = 48
"""So many right answers are explained, to see what they rest on."""


class Neighbour(NamedTuple):
    """A training image: its path, its class (empty where it isn't known), and the cosine to it."""

    path: str
    label: str
    similarity: float


@dataclass(frozen=True)
class Explanation:
    """What an answer rests on.

    Attributes:
        prediction: the answer; where it has an error, the rest is empty.
        square: (size, size, 3) uint8, the image as the network sees it.
        heats: (H, W) Grad-CAM in [0, 1] by class: of the answer first, and of those asked for.
        border: share of the answer's heat at the image's border, see `border_share`.
        neighbours: the most similar training images.
    """

    prediction: Prediction
    square: np.ndarray
    heats: dict[str, np.ndarray]
    border: float
    neighbours: tuple[Neighbour, ...]


class Explainer:
    """Grad-CAM by an engine that also gives the last map, and the nearest training images.

    Args:
        predictor: whose answers are explained.
    """

    def __init__(self, predictor: Predictor) -> None:
        spec = predictor.spec
        self.head, self.network, self.size = predictor.head, spec.network, spec.image_size
        arrays, last = predictor.weights(), self.network.last_map
        self.predictor, self.reference = predictor, predictor.bundle.reference()
        self.engine = open_engine(predictor.engine_name, self.network, spec.head, self.size, arrays, last)

    def explain(self, source: Source, classes: Sequence[str] = (), k: int = 5) -> Explanation:
        """Of one image: heat of its answer and of other `classes` by name, and its `k` nearest neighbours."""
        prediction = self.predictor.predict([source])[0]
        if prediction.error:
            return Explanation(prediction, np.zeros((0, 0, 3), np.uint8), {}, float("nan"), ())
        square, names = self.predictor.square(source), self.predictor.spec.class_names
        wanted = list(dict.fromkeys([prediction.label, *classes]))
        [(features, last_map)] = run_with_maps(self.engine, [square])
        heats = self._heats(features, last_map, [names.index(name) for name in wanted])
        near = self._neighbours(features, k)
        return Explanation(
            prediction, square, dict(zip(wanted, heats, strict=True)), border_share(heats[0]), near
        )

    def heats(self, squares: Iterable[np.ndarray], classes: Iterable[Sequence[int]]) -> Iterator[np.ndarray]:
        """Yields, for each (size, size, 3) uint8 image, the heat of its `classes`: (len(classes), H, W)."""
        seen = run_with_maps(self.engine, squares)
        for (features, last_map), wanted in zip(seen, classes, strict=True):
            yield self._heats(features, last_map, wanted)

    def _heats(self, features: np.ndarray, last_map: np.ndarray, classes: Sequence[int]) -> np.ndarray:
        height, width, channels = last_map.shape
        weights = channel_weights(self.head, features, height * width, channels)
        return np.stack([grad_cam(last_map, weights[c]) for c in classes])

    def _neighbours(self, features: np.ndarray, k: int) -> tuple[Neighbour, ...]:
        indices, cosines = nearest(self.reference, self.predictor.embeddings(features[None, None]), k)
        names, known = (*self.predictor.spec.class_names, ""), self.reference
        pairs = zip(indices[0], cosines[0], strict=True)
        return tuple(Neighbour(known.paths[i], names[known.classes[i]], float(c)) for i, c in pairs)


@dataclass(frozen=True)
class Heatmaps:
    """Heat of the answer and of the true class, for some of the images of `Predictions`, ordered by path.

    Attributes:
        rows: (M,) int32 places of the images.
        heats: (M, 2, H, W) uint8, 255 where it is largest: first of the answer, then of the truth.
    """

    rows: np.ndarray
    heats: np.ndarray

    def save(self, path: Path) -> None:
        """Writes safetensors."""
        write_tensors(path, {"rows": self.rows, "heats": self.heats})


def load(path: Path) -> Heatmaps:
    """Reads what `Heatmaps.save` wrote."""
    from safetensors.numpy import load_file

    tensors = load_file(path)
    return Heatmaps(tensors["rows"], tensors["heats"])


def worth(said: Predictions) -> np.ndarray:
    """Places, in the order of paths, of what a report shows: the mistakes, and some right answers."""
    said = said.by_path()
    return np.array(sorted({*shown_mistakes(said), *_spread(np.flatnonzero(said.right), RIGHT)}), np.int32)


def shown_mistakes(said: Predictions) -> list[int]:
    """Places of at most `MISTAKES` mistakes, the surest first, `A_CLASS` a true class."""
    confidence, wrong = said.confidence, np.flatnonzero(~said.right)
    order = sorted(wrong.tolist(), key=lambda i: (-confidence[i], said.paths[i]))
    counts = np.zeros(len(said.class_names), int)
    taken: list[int] = []
    for i in order:
        if counts[said.y_true[i]] < A_CLASS and len(taken) < MISTAKES:
            counts[said.y_true[i]] += 1
            taken.append(i)
    return taken


def _spread(places: np.ndarray, count: int) -> list[int]:
    """`count` of the places, evenly."""
    kept = np.unique(np.linspace(0, len(places) - 1, min(count, len(places))).astype(int))
    return [int(places[k]) for k in kept]


def heatmaps(
    explainer: Explainer, said: Predictions, rows: np.ndarray, squares: Iterable[np.ndarray]
) -> Heatmaps:
    """Of the images at `rows` of predictions ordered by path, whose `squares` come in that order."""
    classes = np.stack([said.y_pred, said.y_true], axis=1)[rows].tolist()
    heats = [np.rint(255 * found).astype(np.uint8) for found in explainer.heats(squares, classes)]
    return Heatmaps(rows, np.stack(heats) if heats else np.zeros((0, 2, 1, 1), np.uint8))
