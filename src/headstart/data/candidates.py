"""Which pictures might be copies of each other: nearest neighbours among low-frequency descriptors.

A descriptor is the 8×8 lowest cosines of a grey thumbnail (without the constant one), less their mean over
the data set, at unit length. It hardly changes when a picture is saved or scaled anew. To find turned,
mirrored and cropped copies, each picture asks with the descriptors of its eight symmetries and of its
windows down to 90 %; whatever comes nearest to the whole of another picture is a candidate, and
`headstart.data.alignment` decides.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from headstart.data.thumbs import SIDE, release

COSINES = 8
NEIGHBOURS = 16  # asked for by each variant of each picture
RADIUS = 0.35  # between unit descriptors; a 90 % crop of a solar cell is at most 0.33 from the nearest window
EXACT = 20_000  # larger sets are searched cell by cell (an inverted file), not picture by picture
CHUNK = 256  # pictures at a time; what they ask for is joined before the next are read


class Window(NamedTuple):
    """A part of a picture, in shares of its width and height."""

    left: float
    width: float
    top: float
    height: float


_FULL = (0.0, 1.0)


@dataclass(frozen=True)
class Candidates:
    """Pairs of pictures: `second` may be a variant of `first`, at `distance`. Arrays of one length.

    `variant` is a view (0 to 7, as of `images.dihedral`) or a position in `windows()`.
    """

    first: np.ndarray
    second: np.ndarray
    variant: np.ndarray
    distance: np.ndarray


def windows() -> list[Window]:
    """Crops to 97.5, 95, 92.5 and 90 %, of both sides alike or of one, at five offsets a side."""
    cuts = _cuts()
    alike = [Window(*x, *y) for x, y in product(cuts, cuts) if x[1] == y[1]]
    return alike + [Window(*cut, *_FULL) for cut in cuts] + [Window(*_FULL, *cut) for cut in cuts]


def _cuts() -> list[tuple[float, float]]:
    """(low, length) of the parts of a side that are kept."""
    return [
        (round(offset * (1 - scale), 6), scale)
        for scale in (0.975, 0.95, 0.925, 0.9)
        for offset in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]


def search(thumbs: np.ndarray) -> Iterator[tuple[Candidates, Candidates]]:
    """Looks for copies of each picture among all.

    Args:
        thumbs: (N, SIDE, SIDE) uint8, in memory or mapped from a file.

    Yields:
        Chunk by chunk: candidates by symmetry, and candidates by window.
    """
    raw = np.concatenate([_cosines(chunk, [_FULL])[:, 0, 0] for _, chunk in _chunks(thumbs)])
    centre = raw.mean(axis=0)
    index = _index(_unit(raw - centre))
    for start, chunk in _chunks(thumbs):
        turned = np.stack([_cosines(_view(chunk, view), [_FULL])[:, 0, 0] for view in range(8)])
        near = _nearest(index, _unit(turned - centre), start)
        within = _nearest(index, _unit(_cropped(chunk) - centre), start)
        yield near, within


def _chunks(thumbs: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, len(thumbs), CHUNK):
        yield start, thumbs[start : start + CHUNK].astype(np.float32)
        if start % 16_384 == 0:
            release(thumbs)


def _view(chunk: np.ndarray, view: int) -> np.ndarray:
    """As `images.dihedral`, of many thumbnails."""
    turned = np.rot90(chunk, view % 4, axes=(1, 2))
    return turned[:, :, ::-1] if view >= 4 else turned


def _cropped(chunk: np.ndarray) -> np.ndarray:
    """(N, SIDE, SIDE) → (W, N, COSINES² - 1): the descriptors of every window of `windows`."""
    parts = [*_cuts(), _FULL]
    every = _cosines(chunk, parts)
    at = {part: place for place, part in enumerate(parts)}
    return np.stack([every[:, at[w.top, w.height], at[w.left, w.width]] for w in windows()])


def _cosines(chunk: np.ndarray, parts: list[tuple[float, float]]) -> np.ndarray:
    """(N, SIDE, SIDE) → (N, P, P, COSINES² - 1): the lowest cosines inside parts of the height and width."""
    basis = np.concatenate([_basis(*part) for part in parts])
    n, p = len(chunk), len(parts)
    across = (np.ascontiguousarray(chunk).reshape(-1, SIDE) @ basis.T).reshape(n, SIDE, -1)
    both = np.ascontiguousarray(across.transpose(0, 2, 1)).reshape(-1, SIDE) @ basis.T
    found = both.reshape(n, p, COSINES, p, COSINES).transpose(0, 3, 1, 4, 2)
    return np.asarray(found.reshape(n, p, p, -1)[..., 1:])


def _basis(low: float, length: float) -> np.ndarray:
    """(COSINES, SIDE): row k is cos(k·π·t), t from 0 to 1 over the part; each pixel by its share in it."""
    edges = np.clip(np.linspace(0.0, 1.0, SIDE + 1), low, low + length)
    centres = ((edges[1:] + edges[:-1]) / 2 - low) / length
    waves = np.cos(np.pi * np.arange(COSINES)[:, None] * centres)
    return np.asarray(waves * np.diff(edges) / length, np.float32)


def _unit(x: np.ndarray) -> np.ndarray:
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-6), np.float32)


def _index(base: np.ndarray) -> Any:
    """faiss: every picture compared, or, in a large set, those in the nearest of 4·√N cells."""
    import faiss

    width = base.shape[1]
    if len(base) <= EXACT:
        index: Any = faiss.IndexFlatL2(width)
    else:
        index = faiss.IndexIVFFlat(faiss.IndexFlatL2(width), width, int(4 * math.sqrt(len(base))))
        index.nprobe = 16
        index.train(base)
    index.add(base)
    return index


def _nearest(index: Any, queries: np.ndarray, start: int) -> Candidates:
    """What the variants (V, N, D) of pictures from `start` on come near to: of each pair the nearest one."""
    variants, n, width = queries.shape
    squared, found = index.search(queries.reshape(-1, width), min(NEIGHBOURS, index.ntotal))
    variant, asking = np.divmod(np.repeat(np.arange(variants * n), found.shape[1]), n)
    squared, found, asking = squared.ravel(), found.ravel(), asking + start
    near = (squared <= RADIUS**2) & (found >= 0) & (found != asking)
    columns = asking[near], found[near], variant[near], np.sqrt(np.maximum(squared[near], 0.0))
    order = np.lexsort((columns[2], columns[3], columns[1], columns[0]))
    first, second, variant, distance = (column[order] for column in columns)
    new = np.ones(len(first), bool)
    new[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    return Candidates(first[new], second[new], variant[new], distance[new])
