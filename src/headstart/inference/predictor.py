"""Predictor: a bundle that answers. Every path asks it: command line, Python, evaluation, parity, serving."""

from __future__ import annotations

import copy
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from headstart.backbones import heads
from headstart.data import images
from headstart.data.loader import ahead
from headstart.engines import ENGINES, INT8, Engine, open_engine, run_batches
from headstart.errors import ImageError, InputError, sentence
from headstart.inference import bundle as bundles
from headstart.inference.decision import Decision
from headstart.inference.reference import embedding
from headstart.inference.softmax import softmax

Source = str | Path | bytes | np.ndarray


@dataclass(frozen=True)
class Prediction:
    """The answer for one image.

    Attributes:
        path: as it was given; empty for bytes and arrays.
        label: the answer: the most probable class, or with costs the one that they make advisable; empty
            where the image could not be read.
        confidence: its probability, in [0, 1].
        probabilities: of every class, in the order of the bundle's class names.
        decision: `accept`, `abstain` (not sure enough) or `unfamiliar` (unlike the training images); empty
            where there is no answer.
        distance: to the training images, about 1 for one of them; None where the bundle does not know.
        error: why there is no answer, or empty.
    """

    path: str
    label: str
    confidence: float
    probabilities: dict[str, float]
    decision: Decision | Literal[""] = ""
    distance: float | None = None
    error: str = ""


class Predictor:
    """Answers for images with one engine.

    Args:
        bundle: from `bundle.load`.
        engine: name of another engine than the one it was trained with; empty for that one, or OpenVINO
            where its library is not installed.
    """

    def __init__(self, bundle: bundles.Bundle, engine: str = "") -> None:
        self.bundle, self.spec = bundle, bundle.spec
        trained_here = ENGINES[self.spec.engine].installed
        self.engine_name = engine or (self.spec.engine if trained_here else "openvino")
        arrays, spec = self.weights(), self.spec
        self.rule = spec.rule
        self.familiarity = None if self.rule.distance is None else bundle.familiarity()
        self.head = heads.from_arrays(spec.network, spec.head, arrays)
        self.engine = open_engine(self.engine_name, spec.network, spec.head, spec.image_size, arrays)

    def weights(self) -> Mapping[str, np.ndarray]:
        """The bundle's, read when asked for, and for the engine that needs them the ranges of 8 bits."""
        ranges = self.bundle.int8() if self.engine_name == INT8.name else {}
        return ChainMap(ranges, self.bundle.lazy())  # type: ignore[arg-type]  # nobody writes into it

    def with_engine(self, engine: Engine) -> Predictor:
        """The same model, answering by another compiled graph of it."""
        other = copy.copy(self)
        other.engine = engine
        return other

    def logits(self, features: np.ndarray) -> np.ndarray:
        """(N, views, D) features → (N, C) float32 logits, averaged over the views.

        As the validation images' are, by which it is settled what is accepted.
        """
        return self.head.logits(features).astype(np.float32)

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """(N, views, D) features → (N, C) probabilities."""
        return softmax(self.logits(features), self.spec.temperature)

    def embeddings(self, features: np.ndarray) -> np.ndarray:
        """(N, views, D) features → (N, E) that distances and neighbours go by."""
        return embedding(self.spec.network, features)

    def distances(self, embeddings: np.ndarray) -> np.ndarray | None:
        """(N,) of (N, E) embeddings; None where the bundle does not know them."""
        return self.familiarity.distances(embeddings) if self.familiarity else None

    def features(self, squares: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yields (views, D) features for each (size, size, 3) uint8 image."""
        views = self.spec.views
        turned = (images.dihedral(square, view) for square in squares for view in range(views))
        vectors = run_batches(self.engine, turned)
        while group := list(islice(vectors, views)):
            yield np.stack(group)

    def square(self, source: Source) -> np.ndarray:
        """Reads, decodes and fits one image: (size, size, 3) uint8.

        Raises:
            ImageError: it is not a usable image.
        """
        if isinstance(source, np.ndarray):
            return images.fit(images.from_array(source), self.spec.image_size, self.spec.fit)
        if isinstance(source, bytes):
            return images.square(source, self.spec.image_size, self.spec.fit)
        return images.load(Path(source), self.spec.image_size, self.spec.fit)

    def square_of(self, path: Path, sha256: str) -> np.ndarray:
        """As `square`, for a file of a manifest: it must not have changed, and errors name it."""
        return images.load_known(path, sha256, self.spec.image_size, self.spec.fit)

    def predict(self, sources: Iterable[Source]) -> list[Prediction]:
        """One Prediction for each source, in order; an unreadable image is an answer with an error."""
        return list(self.stream(sources))

    def stream(self, sources: Iterable[Source]) -> Iterator[Prediction]:
        """As `predict`, in bounded memory for any number of sources; images are read ahead on threads.

        Raises:
            InputError: one image is given for many.
        """
        picture = isinstance(sources, np.ndarray) and images.is_one(sources)
        if picture or isinstance(sources, str | Path | bytes):
            raise InputError(
                sentence(
                    "Images are asked about by the list.",
                    allowed="a list of paths, bytes or arrays, or one array (N, height, width, channels)",
                    received=f"one {type(sources).__name__}",
                    remedy="Put it into a list.",
                )
            )
        return self._stream(sources)

    def _stream(self, sources: Iterable[Source]) -> Iterator[Prediction]:
        decoded = ahead(lambda source: (source, self._try(source)), sources)
        block_size = self._group if self.engine.lanes == 1 else 4 * self.engine.lanes
        while block := list(islice(decoded, block_size)):
            squares = [square for _, square in block if isinstance(square, np.ndarray)]
            answers = iter(self.answers(squares))
            for source, square in block:
                path = str(source) if isinstance(source, str | Path) else ""
                if isinstance(square, ImageError):
                    yield Prediction(path, "", 0.0, {}, error=str(square))
                else:
                    yield replace(next(answers), path=path)

    def answers(self, squares: Sequence[np.ndarray]) -> list[Prediction]:
        """For (size, size, 3) uint8 images.

        So many at once as the engine takes, so that the last bit does not depend on the neighbours.
        """
        features = list(self.features(squares))
        starts = range(0, len(features), self._group)
        return [one for at in starts for one in self._said(np.stack(features[at : at + self._group]))]

    @property
    def _group(self) -> int:
        return max(1, self.engine.batch // self.spec.views)

    def _said(self, features: np.ndarray) -> list[Prediction]:
        """Of (N, views, D) features."""
        names = self.spec.class_names
        probabilities = self.probabilities(features)
        classes = self.rule.answers(probabilities)
        confidence = probabilities[np.arange(len(classes)), classes]
        distances = self.distances(self.embeddings(features))
        decisions = self.rule.decisions(confidence, distances).tolist()
        far = [None] * len(classes) if distances is None else distances.tolist()
        each = zip(classes, confidence.tolist(), probabilities.tolist(), decisions, far, strict=True)
        return [
            Prediction("", names[answer], sure, dict(zip(names, row, strict=True)), decision, distance)
            for answer, sure, row, decision, distance in each
        ]

    def _try(self, source: Source) -> np.ndarray | ImageError:
        try:
            return self.square(source)
        except ImageError as error:
            return error
