"""Predictor: a bundle that answers. Every path asks it: command line, Python, evaluation, parity, serving."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from headstart.backbones import heads
from headstart.data import images
from headstart.data.loader import ahead
from headstart.engines import ENGINES, open_engine, run_batches
from headstart.errors import ImageError
from headstart.inference import bundle as bundles
from headstart.inference.softmax import softmax

Source = str | Path | bytes | np.ndarray


@dataclass(frozen=True)
class Prediction:
    """The answer for one image.

    Attributes:
        path: as it was given; empty for bytes and arrays.
        label: the most probable class; empty where the image could not be read.
        confidence: its probability, in [0, 1].
        probabilities: of every class, in the order of the bundle's class names.
        error: why there is no answer, or empty.
    """

    path: str
    label: str
    confidence: float
    probabilities: dict[str, float]
    error: str = ""


class Predictor:
    """Answers for images with one engine.

    Args:
        bundle: from `bundle.load`.
        engine: name of another engine than the one it was trained with; empty for that one, or OpenVINO
            where its library is not installed.
    """

    def __init__(self, bundle: bundles.Bundle, engine: str = "") -> None:
        self.spec = bundle.spec
        trained_here = ENGINES[self.spec.engine].installed
        self.engine_name = engine or (self.spec.engine if trained_here else "openvino")
        arrays = bundle.arrays()
        spec = self.spec
        self.head = heads.from_arrays(spec.network, spec.head, arrays)
        self.engine = open_engine(self.engine_name, spec.network, spec.head, spec.image_size, arrays)

    def logits(self, features: np.ndarray) -> np.ndarray:
        """(N, views, D) features → (N, C) logits, averaged over the views."""
        return self.head.logits(features)

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """(N, views, D) features → (N, C) probabilities."""
        return softmax(self.logits(features), self.spec.temperature)

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
        """As `predict`, one by one and in bounded memory, for any number of sources."""
        for source, square in ahead(lambda source: (source, self._try(source)), sources):
            path = str(source) if isinstance(source, str | Path) else ""
            if isinstance(square, ImageError):
                yield Prediction(path, "", 0.0, {}, str(square))
                continue
            row = self.probabilities(np.stack(list(self.features([square]))))[0]
            names = self.spec.class_names
            best = int(row.argmax())
            yield Prediction(path, names[best], float(row[best]), dict(zip(names, row.tolist(), strict=True)))

    def _try(self, source: Source) -> np.ndarray | ImageError:
        try:
            return self.square(source)
        except ImageError as error:
            return error
