"""Frozen features, computed once per image and view, kept by content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from headstart.backbones.specs import Backbone
from headstart.backbones.weights import Arrays, digest
from headstart.config import Fit
from headstart.data import images
from headstart.data.loader import ahead
from headstart.engines import ENGINES, open_engine, run_batches
from headstart.errors import InputError, sentence
from headstart.progress import track
from headstart.training import interrupt
from headstart.training.augment import AUGMENTATION, augment
from headstart.training.store import SHARD, Store


@dataclass(frozen=True)
class Image:
    """An image to compute: the SHA-256 of its content, and its file or its decoded pixels."""

    sha256: str
    content: Path | np.ndarray

    def square(self, size: int, fit: Fit) -> np.ndarray:
        """(size, size, 3) uint8."""
        if isinstance(self.content, Path):
            return images.load_known(self.content, self.sha256, size, fit)
        return images.fit(self.content, size, fit)


@dataclass(frozen=True)
class Recipe:
    """All that decides a feature vector besides the image and its view."""

    backbone: str
    weights: str
    taps: tuple[str, ...]
    image_size: int
    fit: Fit
    engine: str
    precision: str
    version: str
    decoder: str = ""
    augment: str = ""
    augmentation: str = ""
    seed: int = 0
    flat: bool = False
    boundary: str = ""
    graph: int = 0

    @property
    def key(self) -> str:
        """32 hex digits that name the store; a field of later versions counts where it says something."""
        later = ("augment", "augmentation", "seed", "flat", "boundary", "graph")
        facts = {name: value for name, value in asdict(self).items() if value or name not in later}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]

    def view(self, image: Image, view: int) -> np.ndarray:
        """(size, size, 3) uint8: the image as the network is shown it."""
        return self.varied(image.square(self.image_size, self.fit), view, image.sha256)

    def varied(self, square: np.ndarray, view: int, sha256: str) -> np.ndarray:
        """A view of the square of an image."""
        return augment(square, self.augment or "dihedral", self.seed, view, sha256)


def recipe(
    backbone: Backbone,
    arrays: Arrays,
    head: str,
    image_size: int,
    fit: Fit,
    engine: str,
    preset: str = "dihedral",
    seed: int = 0,
    boundary: str = "",
) -> Recipe:
    """The recipe of `backbone` with `arrays`, run by `engine`, for views of the augmentation `preset`."""
    row = ENGINES[engine]
    drawn = preset in ("photo", "strong")
    return Recipe(
        augment=preset if drawn or preset == "flip" else "",
        augmentation=f"{AUGMENTATION}, Keras {ENGINES['keras'].version}" if drawn else "",
        seed=seed if drawn else 0,
        flat=head == "vgg",
        boundary=boundary,
        backbone=backbone.name,
        weights=digest(arrays),
        taps=backbone.taps(head),
        image_size=image_size,
        fit=fit,
        engine=engine,
        precision=row.precision,
        version=row.version,
        decoder=images.decoder(),
        graph=row.graph,
    )


def keys_of(wanted: Sequence[Image], views: int) -> list[list[bytes]]:
    """What names the views of each image in a store."""
    return [[bytes.fromhex(image.sha256) + bytes([view]) for view in range(views)] for image in wanted]


def extract(
    wanted: Sequence[Image], backbone: Backbone, arrays: Arrays, head: str, recipe: Recipe, views: int
) -> np.ndarray:
    """Returns (N, views, D) float32 features, computing only what the store lacks."""
    keys = keys_of(wanted, views)
    store = Store(recipe.key, {key for row in keys for key in row})
    missing = {
        key: (image, view)
        for image, row in zip(wanted, keys, strict=True)
        for view, key in enumerate(row)
        if key not in store.vectors
    }
    if missing:
        engine = open_engine(recipe.engine, backbone, head, recipe.image_size, arrays)
        squares = ahead(lambda job: recipe.view(*job), missing.values())
        total = len(store.wanted)
        with closing(track(run_batches(engine, squares), "Features", total, total - len(missing))) as vectors:
            _keep(store, list(missing), vectors)
    found = np.empty((len(keys), views, backbone.width(head, recipe.image_size)), np.float32)
    for place, row in enumerate(keys):
        found[place] = [store.vectors[key] for key in row]
    return sound(found)


def sound(tensors: np.ndarray) -> np.ndarray:
    """Returns what a network computed.

    Raises:
        InputError: it holds a value that is no number, as where weights are out of all proportion.
    """
    if not np.isfinite(tensors).all():
        raise InputError(
            sentence(
                "What the network computes of an image is not a number.",
                remedy="Check the file of --weights; without one, run `headstart cache clear`.",
            )
        )
    return tensors


def _keep(store: Store, keys: list[bytes], vectors: Iterator[np.ndarray]) -> None:
    """Writes vectors shard by shard; what an interrupt cuts short is written too, and not cut short again."""
    held: list[np.ndarray] = []
    start = 0
    try:
        for vector in vectors:
            held.append(vector)
            if len(held) == SHARD:
                store.add(keys[start : start + SHARD], held)
                start, held = start + SHARD, []
    finally:
        if held:
            with interrupt.once():
                store.add(keys[start : start + len(held)], held)
