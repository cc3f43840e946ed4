"""Grey thumbnails: what pictures are compared by."""

from __future__ import annotations

import mmap
import os
import tempfile
from typing import Any

import numpy as np

from headstart.rundir import cache_dir

SIDE = 64
"""Of a thumbnail, in pixels. A picture of any shape is stretched to a square."""


NEEDED = (2 * SIDE, 2 * SIDE)
"""What a JPEG may be scaled down to before it is made a thumbnail, see `images.decode`."""


def thumb(pixels: np.ndarray, side: int = SIDE) -> np.ndarray:
    """(H, W, 3) uint8 → (side, side) uint8, grey, antialiased."""
    import cv2

    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    shrinks = min(grey.shape) > side
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(grey, (side, side), interpolation=method), np.uint8)


def pooled(thumbs: np.ndarray) -> np.ndarray:
    """(N, S, S) → (N, S/2, S/2) float32: means of 2×2 pixels, which even out what a JPEG encoder adds."""
    n, side, _ = thumbs.shape
    cells = thumbs.reshape(n, side // 2, 2, side // 2, 2)
    return np.asarray(cells.mean(axis=(2, 4), dtype=np.float32))


def mapped(count: int) -> np.ndarray:
    """(count, SIDE, SIDE) uint8 in a file that goes with the array: a million would not fit into memory."""
    shape = (count, SIDE, SIDE)
    if not count:
        return np.zeros(shape, np.uint8)
    cache_dir().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=cache_dir()) as file:
        file.truncate(count * SIDE**2)
        if hasattr(os, "posix_fallocate"):  # or a full disk would end the process at some page, by a signal
            os.posix_fallocate(file.fileno(), 0, count * SIDE**2)
        pages = mmap.mmap(file.fileno(), count * SIDE**2)
    return np.frombuffer(pages, np.uint8).reshape(shape)


def release(thumbs: np.ndarray) -> None:
    """Gives back the memory that pages of a mapped array take; they are read again where they are needed."""
    owner: Any = thumbs
    while isinstance(owner, np.ndarray):
        owner = owner.base
    owner = owner.obj if isinstance(owner, memoryview) else owner
    if isinstance(owner, mmap.mmap):
        owner.madvise(mmap.MADV_DONTNEED)
