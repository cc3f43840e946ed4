"""Augmentation: a view of an image is settled by (preset, seed, view, image) and by nothing else.

Batch, thread, order, process and resumption play no part, so a view can be computed once and kept. The
presets are described and shown in ``docs/augmentation.md``.
"""

from __future__ import annotations

import hashlib

import numpy as np

from headstart.data.geometry import dihedral

PRESETS = ("none", "flip", "photo", "dihedral", "strong")

AUGMENTATION = 1
"""Bumped whenever the same view gets other pixels: cached features are then computed again."""

_COUNTED = {"none": 1, "flip": 2, "dihedral": 8}  # presets whose views are counted, not drawn


def distinct(preset: str, views: int) -> int:
    """How many of the views 0 to ``views - 1`` differ; further ones repeat these from 0 on.

    >>> [distinct(preset, 10) for preset in PRESETS]
    [1, 2, 10, 8, 10]
    """
    return min(_COUNTED.get(preset, views), views)


def augment(square: np.ndarray, preset: str, seed: int, view: int, sha256: str) -> np.ndarray:
    """One view of an image.

    Args:
        square: (S, S, 3) uint8; it is not changed.
        preset: one of `PRESETS`.
        seed: of the run; counts for ``photo`` and ``strong``.
        view: 0 or more. 0 is the image itself, which training shares with validation, test and serving.
        sha256: of the image's file, in hex; counts for ``photo`` and ``strong``.

    Returns:
        (S, S, 3) uint8. ``flip``: odd views are mirrored left to right. ``dihedral``: symmetry ``view % 8``
        of `headstart.data.geometry.dihedral`. ``photo``, ``strong``: drawn.

    Raises:
        ValueError: there is no such preset or view.
    """
    if preset not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}, not {preset}")
    if view < 0:
        raise ValueError(f"view must be 0 or more, not {view}")
    view %= _COUNTED.get(preset, view + 1)
    if view == 0:
        return square
    if preset == "flip":
        return dihedral(square, 4)
    if preset == "dihedral":
        return dihedral(square, view)
    from headstart.training.random_layers import transformed

    return transformed(square, preset, _generator(seed, view, sha256))


def _generator(seed: int, view: int, sha256: str) -> np.random.Generator:
    named = hashlib.sha256(f"{seed}:{view}:{sha256}".encode()).digest()
    return np.random.default_rng(int.from_bytes(named, "big"))
