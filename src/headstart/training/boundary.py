"""What a phase reads at the freeze boundary: from the cache, computed anew every time, or plain pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from threading import Lock

import numpy as np

from headstart.backbones.specs import Backbone
from headstart.backbones.weights import Arrays
from headstart.data.loader import ahead
from headstart.engines import Engine, open_engine
from headstart.progress import note, track
from headstart.rundir import cache_dir
from headstart.training.features import Image, Recipe, keys_of, sound
from headstart.training.maps import Maps, MapStore, computed, half, row_bytes, split
from headstart.training.sources import Inputs, Source


@dataclass(frozen=True)
class Frozen:
    """The frozen part of a network: what computes it, and what its head reads from it."""

    backbone: Backbone
    head: str
    arrays: Arrays
    boundary: str

    def engine(self, recipe: Recipe) -> Engine:
        """Compiles it, with the map at the boundary as a second output."""
        return open_engine(
            recipe.engine, self.backbone, self.head, recipe.image_size, self.arrays, self.boundary
        )

    @property
    def taps(self) -> tuple[str, ...]:
        """Those of the head that the map at the boundary doesn't lead to."""
        return self.backbone.frozen_taps(self.head, self.boundary)

    @property
    def lengths(self) -> list[int]:
        """Of their means and maxima."""
        return [self.backbone.channels(tap) for tap in self.taps for _ in ("mean", "max")]

    def bytes(self, images: int, size: int) -> int:
        """What maps and features of so many images of `size` pixels take on disk."""
        if self.boundary == "image":
            return 0
        return images * row_bytes(self.shape(size), self.backbone.width(self.head, size))

    def shape(self, size: int) -> tuple[int, int, int]:
        """(H, W, C) of the map for images of `size` pixels."""
        side = self.backbone.side(self.boundary, size)
        return side, side, self.backbone.channels(self.boundary)


@dataclass(frozen=True)
class Read:
    """A source, and the features of the frozen network: (N, views, D), or None where none were computed."""

    source: Source
    features: np.ndarray | None


def read(
    frozen: Frozen,
    images: Sequence[Image],
    views: int,
    recipe: Recipe,
    budget: float,
    reserved: float = 0.0,
) -> Read:
    """Opens the source of `images` in so many views.

    Args:
        frozen: what lies below the boundary.
        images: in the order of the rows.
        views: of each.
        recipe: how they are computed; it names the boundary.
        budget: bytes of disk that maps may take; beyond them they are computed for every step.
        reserved: bytes of it that other images of this run take.
    """
    if frozen.boundary == "image":
        return Read(Pixels(images, recipe), None)
    keys = keys_of(images, views)
    wanted = [key for row in keys for key in row]
    folder = cache_dir() / "maps" / recipe.key
    size = recipe.image_size
    width = frozen.backbone.width(frozen.head, size)
    store = MapStore(folder, wanted, frozen.shape(size), width, budget, reserved)
    if not store.fits:
        store.close()
        size_gb = frozen.bytes(len(wanted), size) / 1e9
        note(
            f"Boundary   {size_gb:,.1f} GB of maps at {frozen.boundary} are more than --cache-gb or the disk"
        )
        note("           allows: they are computed anew for every step, which is slower")
        return Read(Streamed(frozen, images, recipe), None)
    if missing := store.missing:
        jobs = [
            (key, image, view)
            for image, row in zip(images, keys, strict=True)
            for view, key in enumerate(row)
            if key in missing
        ]
        vectors = computed(frozen.engine(recipe), _squares(jobs, recipe))
        done = len(wanted) - len(missing)
        with closing(track(vectors, "Maps and features", len(wanted), done)) as tracked:
            store.fill(tracked)
    features = np.stack([np.stack([store.features[key] for key in row]) for row in keys])
    return Read(Maps(store, keys, frozen.lengths), sound(features))


def _squares(jobs: Sequence[tuple[bytes, Image, int]], recipe: Recipe) -> Iterator[tuple[bytes, np.ndarray]]:
    return ahead(lambda job: (job[0], recipe.view(job[1], job[2])), _once(jobs))


def _once(jobs: Sequence[tuple[bytes, Image, int]]) -> Iterator[tuple[bytes, Image, int]]:
    """Each key once: the same file may be there under two names."""
    seen: set[bytes] = set()
    for job in jobs:
        if job[0] not in seen:
            seen.add(job[0])
            yield job


HELD = 1e9  # bytes of squares that are kept in memory


class Pixels:
    """A source of the images themselves, for a graph that begins with pixels.

    Each is read, decoded and made square once, as far as memory is meant for that.
    """

    def __init__(self, images: Sequence[Image], recipe: Recipe) -> None:
        self.images, self.recipe = images, recipe
        self.squares: dict[int, np.ndarray] = {}

    def batch(self, rows: np.ndarray, view: int) -> Inputs:
        return (np.stack([self._view(int(row), view) for row in rows]),)

    def _view(self, row: int, view: int) -> np.ndarray:
        square = self.squares.get(row)
        if square is None:
            square = self.images[row].square(self.recipe.image_size, self.recipe.fit)
            if (len(self.squares) + 1) * square.nbytes <= HELD:
                self.squares[row] = square
        return self.recipe.varied(square, view, self.images[row].sha256)


class Streamed:
    """A source that computes what lies below the boundary whenever it is asked."""

    def __init__(self, frozen: Frozen, images: Sequence[Image], recipe: Recipe) -> None:
        self.frozen, self.pixels = frozen, Pixels(images, recipe)
        self.engine, self.lock = frozen.engine(recipe), Lock()

    def batch(self, rows: np.ndarray, view: int) -> Inputs:
        squares = self.pixels.batch(rows, view)[0]
        with self.lock:  # an engine answers one call at a time
            found = list(computed(self.engine, ((b"", square) for square in squares)))
        maps = half(np.stack([tensor for _, _, tensor in found])).astype(np.float32)
        features = np.stack([vector for _, vector, _ in found])
        return (maps, *split(features, np.cumsum([0, *self.frozen.lengths])))
