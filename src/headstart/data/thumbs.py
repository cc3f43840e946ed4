"""Grey thumbnails: what pictures are compared by."""

from __future__ import annotations

import numpy as np

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
