"""PNGs the fast way: libdeflate unpacks the rows, libspng undoes their filters."""

from __future__ import annotations

import deflate
import numpy as np
import pyspng
from PIL import Image

from headstart.data.colour import to_srgb
from headstart.data.metadata import PNG_END

# How IHDR ends: 8 bits, grey or RGB, not interlaced.
_CHANNELS = {b"\x08\0\0\0\0": 1, b"\x08\x02\0\0\0": 3}
_IHDR_ENDS = 33


def decoded(image: Image.Image, data: bytes) -> np.ndarray | None:
    """The pixels of a PNG without an unusual side, the same bits as Pillow's.

    libspng undoes filters several times faster than Pillow or OpenCV and is silent, but it inflates slowly
    and holds Python's lock. So it gets what libdeflate has inflated, in a PNG that has nothing else in it.

    Args:
        image: as Pillow opened it.
        data: the whole file, after `metadata.needed_part`.

    Returns:
        (H, W, 3) uint8 RGB, contiguous and writable; None unless it is grey or RGB of 8 bits, not
        interlaced, opaque, without a profile to apply and without fault: then Pillow is to judge.
    """
    channels = _CHANNELS.get(data[24:29])
    profile = image.info.get("icc_profile")
    if channels is None or (profile and to_srgb(profile, image.mode)):
        return None
    try:
        plain = _unpacked(data, image.height * (1 + image.width * channels))
        pixels: np.ndarray = pyspng.load(plain, "RGB")
    except (deflate.DeflateError, RuntimeError, MemoryError):
        return None
    return pixels


def _unpacked(data: bytes, size: int) -> bytes:
    """The same PNG less profile and EXIF, its rows as a zlib stream that isn't compressed.

    If rows are missing, they are missing here too, and libspng will notice.

    Raises:
        deflate.DeflateError: the rows take more than `size` bytes, or make no sense.
    """
    rows = deflate.zlib_compress(deflate.zlib_decompress(_packed(data), size), 0)
    checksum = deflate.crc32(rows, deflate.crc32(b"IDAT"))
    length, end = len(rows).to_bytes(4, "big"), checksum.to_bytes(4, "big") + PNG_END
    return b"".join((data[:_IHDR_ENDS], length, b"IDAT", rows, end))


def _packed(data: bytes) -> bytes:
    """What the IDAT chunks hold together; nothing if there are other chunks than these, profile and EXIF."""
    parts: list[memoryview] = []
    view, at = memoryview(data), _IHDR_ENDS
    while (name := data[at + 4 : at + 8]) == b"IDAT" or (name in (b"iCCP", b"eXIf") and not parts):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if name == b"IDAT":
            parts.append(view[at + 8 : end])
        at = end + 4
    return b"".join(parts) if data[at:] == PNG_END else b""
