"""What one reading of a file tells."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image

from headstart.data import images, thumbs
from headstart.data.formats import kind_of
from headstart.errors import ImageError


@dataclass(frozen=True)
class Facts:
    """Of a usable image.

    Attributes:
        sha256: of the file's bytes.
        width: in pixels, as displayed.
        height: in pixels, as displayed.
        kind: of its content, by Pillow's name: ``JPEG``, ``PNG``, …
        phash: perceptual hash, 64 bits as 16 hex digits, as of `imagehash.phash`.
        thumb: (SIDE, SIDE) uint8, see `thumbs.thumb`.
    """

    sha256: str
    width: int
    height: int
    kind: str
    phash: str
    thumb: np.ndarray


def inspect(path: Path) -> Facts | ImageError:
    """Reads, hashes and decodes one file; an image that can't be used is an answer, not an exception."""
    try:
        data = images.read(path)
        width, height = images.dimensions(data)
        small = thumbs.thumb(images.decode(data, thumbs.NEEDED))
    except ImageError as error:
        return error
    phash = str(imagehash.phash(Image.fromarray(small)))
    return Facts(hashlib.sha256(data).hexdigest(), width, height, kind_of(data), phash, small)
