"""Small pictures for pages: decoded, shrunk and encoded again, so that nothing but pixels is left."""

from __future__ import annotations

import base64
import os
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np

from headstart.data import images
from headstart.errors import ImageError

THUMBNAIL = 160
"""Longest side of a picture, in pixels."""


def small(path: Path, side: int = THUMBNAIL) -> np.ndarray | ImageError:
    """An image file in the size in which a page shows it; why it can't be shown is an answer.

    Args:
        path: of the image.
        side: its longest side in the page. Larger images are shrunk; what is at most half of it is enlarged
            by a whole factor, so that pixels stay squares.

    Returns:
        (H, W, 3) uint8, or the error; its `check` is ``missing`` where there is no file any more.
    """
    try:
        return resized(images.decode(images.read(path), need=(0, side)), side)
    except ImageError as error:
        there = os.path.exists(path)  # noqa: PTH110 - Path.exists can raise
        return error if there else ImageError("The file is not there any more.", "missing")


def resized(pixels: np.ndarray, side: int) -> np.ndarray:
    """(H, W, 3) uint8 with a longest side of at most `side` pixels, as `small` says."""
    from PIL import Image

    factor = side // max(pixels.shape[:2])
    if factor:
        return pixels.repeat(factor, axis=0).repeat(factor, axis=1)
    picture = Image.fromarray(pixels)
    picture.thumbnail((side, side))
    return np.array(picture)


def data_uri(pixels: np.ndarray, kind: Literal["JPEG", "PNG"] = "JPEG") -> str:
    """(H, W, 3), (H, W, 4) or (H, W) uint8 as a data URI: JPEG for photographs, PNG for drawings."""
    from PIL import Image

    encoded = BytesIO()
    options = {"quality": 82} if kind == "JPEG" else {"optimize": True}
    Image.fromarray(pixels).save(encoded, kind, **options)
    return f"data:image/{kind.lower()};base64," + base64.b64encode(encoded.getvalue()).decode("ascii")


class Album:
    """Pictures of one page, as data URIs, up to a number of bytes.

    Attributes:
        room: bytes that are left.
        refused: how many pictures found no room.
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self.refused = 0

    def uri(self, pixels: np.ndarray, kind: Literal["JPEG", "PNG"] = "JPEG") -> str:
        """As `data_uri`; "" where there is no room."""
        found = data_uri(pixels, kind) if self.room > 0 else ""
        if not found or len(found) > self.room:
            self.refused += 1
            return ""
        self.room -= len(found)
        return found
