"""The fit that makes an image square, the turns that EXIF asks for, and the symmetries of the square."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from headstart.data.resample import Box, resized

if TYPE_CHECKING:
    from headstart.config import Fit

PADDING = (124, 117, 104)
"""ImageNet's mean colour: about zero to the network, whose first layer subtracts it."""

# EXIF orientation → transposed?, then flipped: 1 left to right, 0 top to bottom, -1 both (Exif 2.32, 0x0112).
_TURNS = {
    2: (False, 1), 3: (False, -1), 4: (False, 0),
    5: (True, None), 6: (True, 1), 7: (True, -1), 8: (True, 0),
}  # fmt: skip


def fit(image: np.ndarray, size: int, mode: Fit, extent: tuple[float, float] | None = None) -> np.ndarray:
    """Makes an image square, by antialiased bicubic interpolation, up or down.

    Args:
        image: (H, W, 3) uint8.
        size: side of the square in pixels.
        mode: ``letterbox``: the longest side becomes `size`, the rest is `PADDING`, the image centred.
            ``crop``: ImageNet's protocol, the short side becomes ``round(size * 256 / 224)``, then the
            centre is cut out. ``stretch``: both sides become `size`.
        extent: (width, height) of the picture in pixels of `image`, where these were rounded up: a JPEG
            decoded at a fraction ends within its last pixels. None is the whole of them.

    Returns:
        (size, size, 3) uint8; an image of that very size is returned as it is, in every mode.
    """
    width, height = extent or (image.shape[1], image.shape[0])
    if (width, height) == (size, size):
        return image
    if mode == "stretch":
        return resized(image, size, size, (0, 0, width, height))
    if mode == "crop":
        return resized(image, size, size, _centre(width, height, size))
    scale = size / max(height, width)
    new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
    square = _blank(size).copy()
    top, left = (size - new_height) // 2, (size - new_width) // 2
    inner = resized(image, new_width, new_height, (0, 0, width, height))
    square[top : top + new_height, left : left + new_width] = inner
    return square


@lru_cache(maxsize=8)
def _blank(size: int) -> np.ndarray:
    """(size, size, 3) of `PADDING`; filling it anew takes a tenth of a fit."""
    return np.full((size, size, 3), PADDING, np.uint8)


def _centre(width: float, height: float, size: int) -> Box:
    """What resizing and then cutting shows, in one step: a long thin image doesn't become a huge one."""
    scale = _short_side(size) / min(height, width)
    new_width, new_height = round(width * scale), round(height * scale)
    left, top = (new_width - size) // 2, (new_height - size) // 2
    x, y = width / new_width, height / new_height
    return (left * x, top * y, (left + size) * x, (top + size) * y)


def _short_side(size: int) -> int:
    return round(size * 256 / 224)


def needed(size: int, mode: Fit) -> tuple[int, int]:
    """The (short side, long side) to which `fit` scales an image; 0 follows from the other."""
    return {"letterbox": (0, size), "crop": (_short_side(size), 0), "stretch": (size, size)}[mode]


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W, 3) as displayed, of pixels stored in one of EXIF's orientations 1 to 8."""
    if orientation == 1:
        return pixels
    import cv2

    transposed, flip = _TURNS[orientation]
    pixels = cv2.transpose(pixels) if transposed else pixels
    return pixels if flip is None else cv2.flip(pixels, flip)


def dihedral(image: np.ndarray, view: int) -> np.ndarray:
    """One of the eight symmetries of the square.

    Args:
        image: (S, S, 3).
        view: 0 to 7; ``view % 4`` quarter turns counter-clockwise, then mirrored left to right from 4 on.
            0 changes nothing.

    Returns:
        (S, S, 3), contiguous.

    Raises:
        ValueError: there is no such view.
    """
    if view not in range(8):
        raise ValueError(f"view must be 0 to 7, not {view}")
    quarters = np.rot90(image, view % 4)
    return np.ascontiguousarray(quarters[:, ::-1] if view >= 4 else quarters)
