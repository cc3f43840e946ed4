"""Engines run the frozen features: uint8 images in, float32 feature vectors out.

One interface, one contract test. Adding an engine is a row in `ENGINES` and a module with `open_engine`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain, islice
from typing import Protocol

import numpy as np

from headstart import machine
from headstart.backbones import framework
from headstart.backbones.specs import Backbone
from headstart.data.loader import ahead
from headstart.errors import InputError, last_line, sentence


class Engine(Protocol):
    """A compiled feature extractor with one fixed batch shape."""

    batch: int
    """Images in one call; an answer must not depend on its neighbours, so the shape never changes."""

    lanes: int
    """Calls that are better made side by side, each on a core of its own, where as many images come; or 1."""

    def side_by_side(self) -> AbstractContextManager[None]:
        """While it lasts a call keeps to one core, so that `lanes` threads may call; the same bits."""

    def run(self, images: np.ndarray) -> np.ndarray:
        """(batch, size, size, 3) uint8 RGB → (batch, D) float32."""

    def run_with_map(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `run`, and the (batch, H, W, C) float32 tensor at the boundary it was opened with."""


@dataclass(frozen=True)
class EngineSpec:
    """A row of the table.

    Attributes:
        name: as on the command line.
        module: in this package; imported only when used.
        library: the distribution it needs, whose version is recorded.
        precision: row of `TOLERANCE`.
        graph: raised when what we write for the library gives other bits: cached ones don't count then.
    """

    name: str
    module: str
    library: str
    precision: str
    graph: int = 0

    @property
    def installed(self) -> bool:
        """Whether the library is there, and for Keras its backend; nothing is imported to find out."""
        found = importlib.util.find_spec(self.library) is not None
        return found and (self.library != "keras" or framework.has_backend())

    @property
    def version(self) -> str:
        """The library's version, and for Keras its backend's."""
        version = importlib.metadata.version(self.library)
        return f"{version}, {framework.backend_version()}" if self.library == "keras" else version


ENGINES = {
    spec.name: spec
    for spec in (
        EngineSpec("keras", "keras_engine", "keras", "f32"),
        EngineSpec("openvino", "openvino_engine", "openvino", "f32"),
        EngineSpec("openvino-bf16", "openvino_engine", "openvino", "bf16"),
        EngineSpec("ncnn", "ncnn_engine", "ncnn", "f32-winograd", graph=1),
    )
}
"""Those that run any network."""

INT8 = EngineSpec("openvino-int8", "openvino_engine", "openvino", "int8")
"""Runs a network whose arrays have the ranges for it, see `headstart quantize`."""

_ALL = ENGINES | {INT8.name: INT8}

TOLERANCE = {"f32": 1e-4, "f32-winograd": 2e-3, "bf16": 2e-2, "int8": 1.0}
"""The parity table: largest difference of a probability to Keras in float32. What 8-bit integers may change
is settled by the gate of `headstart quantize`, on many more images; parity looks at their classes alone."""

INT8_MARGIN = 0.04
"""Between the two most probable classes of an image, below which 8-bit integers may exchange them."""


def row(name: str) -> EngineSpec:
    """The row of any engine by its name."""
    return _ALL[name]


def open_engine(
    name: str, backbone: Backbone, head: str, size: int, arrays: Mapping[str, np.ndarray], boundary: str = ""
) -> Engine:
    """Compiles the features of `backbone` for `head` at `size` pixels, and of the tensor `boundary` if named.

    Raises:
        InputError: the engine is unknown, or its library is not installed or cannot be imported.
    """
    spec = _ALL.get(name)
    if spec is None or not spec.installed:
        raise InputError(
            sentence(
                "This engine cannot run here.",
                allowed=", ".join(n for n, s in ENGINES.items() if s.installed),
                received=name,
                remedy="Choose one with --engine, or install its library.",
            )
        )
    module = importlib.import_module(f"headstart.engines.{spec.module}")
    try:
        engine: Engine = module.open_engine(backbone, head, size, arrays, spec.precision, boundary)
    except ImportError as error:
        raise InputError(
            sentence(
                f"The engine {name} is installed, but cannot be loaded.",
                received=last_line(str(error)),
                remedy="Choose another with --engine; `headstart doctor` says how to mend this one.",
            )
        ) from error
    return engine


Run = Callable[[Engine, np.ndarray], tuple[np.ndarray, ...]]


def run_batches(engine: Engine, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yields one (D,) feature vector an image, in order."""
    for (vector,) in _each(engine, lambda one, batch: (one.run(batch),), images):
        yield vector


def run_with_maps(engine: Engine, images: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, ...]]:
    """Yields the (D,) feature vector and the (H, W, C) map of each image, in order."""
    return _each(engine, lambda one, batch: one.run_with_map(batch), images)


def _each(engine: Engine, run: Run, images: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, ...]]:
    """Yields what `run` gives of each image: on all lanes if so many come, else batch by batch."""
    images = iter(images)
    first = list(islice(images, engine.lanes))
    images = chain(first, images)
    if 1 < engine.lanes == len(first):
        with engine.side_by_side():
            found = ahead(lambda image: run(engine, image[None]), images, engine.lanes, 2 * engine.lanes)
            yield from (tuple(part[0] for part in parts) for parts in found)
        return
    while held := list(islice(images, engine.batch)):
        padding = [np.zeros_like(held[0])] * (engine.batch - len(held))  # black
        yield from islice(zip(*run(engine, np.stack(held + padding)), strict=True), len(held))


def threads() -> int:
    """CPU threads an engine may use, as `run.json` says them."""
    return machine.cores()
