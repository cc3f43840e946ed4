"""Near duplicates: one picture in several files, saved, scaled, turned, mirrored or cropped anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from headstart.data import alignment
from headstart.data.candidates import CHUNK, Candidates, search, windows
from headstart.data.loader import ahead
from headstart.data.thumbs import SIDE
from headstart.progress import track

VERSION = 2
"""Bumped whenever other pairs would be found: kept results are then found again."""

FINE = 2 * SIDE  # at which crops are compared in the end
KEPT = 8192  # larger thumbnails in memory, of 4 kB each
ROUGH = 3.5  # times the limit: what may still be a copy when it is compared at thumbnail size

_VIEWS = (
    "saved anew", "turned by 90°", "turned by 180°", "turned by 270°",
    "mirrored left to right", "turned by 90° and mirrored",
    "mirrored top to bottom", "turned by 270° and mirrored",
)  # fmt: skip


@dataclass(frozen=True)
class Match:
    """Two pictures, by their positions, that are the same; see `check.Pair` for the rest."""

    first: int
    second: int
    difference: float
    how: str


Load = Callable[[int, int], np.ndarray]
"""(position, side) → (side, side) uint8: a larger thumbnail, made when it is needed."""


def find(thumbs: np.ndarray, load: Load) -> list[Match]:
    """All pairs of near duplicates, nearest first; each pair once.

    Args:
        thumbs: (N, SIDE, SIDE) uint8.
        load: makes thumbnails of twice the side, for the few that are compared closely.
    """
    if len(thumbs) < 2:
        return []
    found: dict[tuple[int, int], Match] = {}
    crops: list[tuple[int, int, int]] = []
    for near, within in track(search(thumbs), "Comparing images", -(-len(thumbs) // CHUNK)):
        for match in _turned(thumbs, near):
            _keep(found, match)
        crops += zip(within.first.tolist(), within.second.tolist(), within.variant.tolist(), strict=True)
    crops = [crop for crop in crops if tuple(sorted(crop[:2])) not in found]
    for match in _cropped(thumbs, crops, load):
        _keep(found, match)
    return sorted(found.values(), key=lambda match: (match.difference, match.first, match.second))


def _keep(found: dict[tuple[int, int], Match], match: Match) -> None:
    key = (min(match.first, match.second), max(match.first, match.second))
    if key not in found or match.difference < found[key].difference:
        found[key] = match


def _turned(thumbs: np.ndarray, near: Candidates) -> Iterator[Match]:
    """The candidates by symmetry that are the same picture."""
    for view, how in enumerate(_VIEWS):
        of = np.flatnonzero(near.variant == view)
        if not len(of):
            continue
        first, second = near.first[of], near.second[of]
        turned = np.rot90(thumbs[first], view % 4, axes=(1, 2))
        turned, whole = turned[:, :, ::-1] if view >= 4 else turned, thumbs[second]
        left = alignment.difference(turned, whole)
        same = left <= alignment.limit(np.minimum(alignment.contrast(turned), alignment.contrast(whole)))
        for i, j, value in zip(first[same], second[same], left[same], strict=True):
            yield Match(int(i), int(j), round(float(value), 3), how)


def _cropped(thumbs: np.ndarray, crops: list[tuple[int, int, int]], load: Load) -> Iterator[Match]:
    """The candidates by window that are a part of the other picture."""
    if not crops:
        return
    cuts, load = windows(), lru_cache(KEPT)(load)  # one picture may be compared with many

    def compare(crop: tuple[int, int, int]) -> Match | None:
        first, second, variant = crop
        pair = thumbs[[first, second]].astype(np.float32)
        most = float(alignment.limit(alignment.contrast(pair).min()))
        start = alignment.affine(cuts[variant], SIDE)
        rough, warp = alignment.align(pair[0], pair[1], start, 20)
        if rough > ROUGH * most:
            return None
        large = [load(at, FINE).astype(np.float32) for at in (first, second)]
        left, warp = alignment.align(large[0], large[1], alignment.scaled(warp, FINE // SIDE), 50)
        if left > most or not alignment.is_crop(warp):
            return None
        return Match(first, second, round(left, 3), f"cropped to {warp[0, 0]:.0%} × {warp[1, 1]:.0%}")

    for match in track(ahead(compare, crops), "Looking closely", len(crops)):
        if match:
            yield match
