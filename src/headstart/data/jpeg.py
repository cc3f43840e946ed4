"""JPEGs the fast way: libjpeg-turbo without Pillow around it, at the scale that is needed."""

from __future__ import annotations

import numpy as np
import simplejpeg
from PIL import Image

from headstart.data.colour import to_srgb


def denominator(width: int, height: int, need: tuple[int, int]) -> int:
    """The largest of 8, 4, 2 and 1 that leaves both sides at least as long as needed.

    Args:
        width: of the whole picture in pixels.
        height: of the whole picture in pixels.
        need: (short side, long side) in pixels that the picture is going to be scaled down to.

    >>> denominator(4000, 3000, (0, 224)), denominator(447, 300, (0, 224)), denominator(448, 300, (0, 224))
    (8, 1, 2)
    """
    short, long = sorted((width, height))
    for by in (8, 4, 2):
        if short >= max(need[0], 1) * by and long >= need[1] * by:
            return by
    return 1


def decoded(image: Image.Image, data: bytes, by: int) -> np.ndarray | None:
    """The pixels of a JPEG without an unusual side, the same bits as Pillow's (both are libjpeg-turbo).

    Args:
        image: as Pillow opened it.
        data: the whole file.
        by: the sides become 1/1, 1/2, 1/4 or 1/8, rounded up.

    Returns:
        (H, W, 3) uint8 RGB; None if it has four inks or a profile to apply, or libjpeg complains about
        anything: then Pillow is to judge.
    """
    profile = image.info.get("icc_profile")
    if image.mode not in ("L", "RGB") or (profile and to_srgb(profile, image.mode)):
        return None
    try:
        pixels: np.ndarray = simplejpeg.decode_jpeg(
            data, "RGB", min_height=-(-image.height // by), min_width=-(-image.width // by), strict=True
        )
    except ValueError:
        return None
    return pixels
