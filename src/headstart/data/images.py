"""THE decoder: bytes → EXIF-oriented sRGB uint8 (H, W, 3), and the fit that makes it square.

Training, evaluation, prediction, serving and the parity check all come through here. The content decides
the type of a file, never its extension. Whatever goes wrong is one `ImageError` without the path, which
the caller knows; its `check` is ``empty``, ``not-an-image``, ``truncated``, ``unreadable`` or ``too-large``.

Colour: transparent pixels are laid on white; 16-bit samples keep their high byte (``v >> 8``); an embedded
ICC profile is converted to sRGB; of an animation the first frame counts.

A JPEG that is going to be made much smaller is decoded at 1/2, 1/4 or 1/8 of its size, so every path says
by `square` or `needed` what it is going to make of it. docs/decisions/0005-decoder.md has the reasons.
"""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from PIL import Image

from headstart.data import jpeg, png
from headstart.data.colour import srgb
from headstart.data.formats import (
    FORMATS,
    HEAD,
    MAX_PIXELS,
    SUFFIXES,
    announced,
    check_size,
    explained,
    kind_of,
    too_large,
)
from headstart.data.geometry import PADDING, dihedral, fit, needed, turned
from headstart.data.metadata import bare, check_passes, check_tile, needed_part, orientation
from headstart.data.quiet import hush_libtiff, silence
from headstart.errors import ImageError, printable, sentence

if TYPE_CHECKING:
    from headstart.config import Fit

__all__ = [
    "DECODER", "FORMATS", "MAX_BYTES", "MAX_PIXELS", "PADDING", "SUFFIXES", "decode", "decoder", "dihedral",
    "dimensions", "fit", "from_array", "is_image", "load", "load_known", "needed", "read", "read_known",
    "square",
]  # fmt: skip

DECODER = 2
"""Bumped whenever the same bytes give other pixels: cached features are then computed again."""

LIBRARIES = ("pillow", "simplejpeg", "deflate", "pyspng", "opencv-python-headless", "pi-heif")
"""Whose versions may do so, too."""

BLOCK = 2**20
"""Bytes that Pillow's decoders are given at a time; joining its own 64 KiB is a hundredth of a PNG's time."""

MAX_BYTES = 2**29
"""Larger files (512 MiB) are refused without being read."""


@cache
def decoder() -> str:
    """What decides which pixels a file gives, in words that change when they may."""
    found = [str(DECODER)]
    for name in LIBRARIES:
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return ", ".join(found)


def load(path: str | Path, size: int, mode: Fit) -> np.ndarray:
    """(size, size, 3) uint8 of an image file: `read`, then `square`."""
    return square(read(path), size, mode)


def load_known(path: Path, sha256: str, size: int, mode: Fit) -> np.ndarray:
    """As `load`, for a file that was hashed before; every error names it.

    Raises:
        ImageError: it is missing or unusable by now, or its bytes have changed.
    """
    data = read_known(path, sha256)
    try:
        return square(data, size, mode)
    except ImageError as error:
        raise _named(path, error) from error


def read_known(path: Path, sha256: str) -> bytes:
    """As `read`, for a file that was hashed before; every error names it.

    Raises:
        ImageError: it is missing or unusable by now, or its bytes have changed.
    """
    try:
        data = read(path)
    except ImageError as error:
        raise _named(path, error) from error
    if hashlib.sha256(data).hexdigest() != sha256:
        line = "The file has changed since it was first read. Restore it, or train again."
        raise _named(path, ImageError(line, "changed"))
    return data


def _named(path: Path, error: ImageError) -> ImageError:
    return ImageError(f"{printable(path)}: {error}", error.check)


def square(data: bytes, size: int, mode: Fit) -> np.ndarray:
    """(size, size, 3) uint8 of a whole file: `decode` at the scale that `fit` needs, then `fit`."""
    pixels, by = _decoded(data, needed(size, mode))
    if by == 1:
        return fit(pixels, size, mode)
    width, height = dimensions(data)
    return fit(pixels, size, mode, (width / by, height / by))


def read(path: str | Path) -> bytes:
    """The bytes of an image file; what can't be an image isn't read to its end.

    Raises:
        ImageError: missing, no permission, a pipe or device, empty, no image's beginning, too large.
    """
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            _check_file(file)
            file.seek(0)
            return file.read()
    except ImageError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        line = f"The file cannot be read: {printable(reason)}."
        raise ImageError(line, "unreadable", lasting=False) from error


def _check_file(file: BinaryIO) -> None:
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise ImageError("This is a device or a pipe, not a file. Remove it.", "unreadable")
    kind_of(file.read(HEAD))
    if status.st_size > MAX_BYTES:
        raise too_large(f"up to {MAX_BYTES // 2**20} MiB", f"{status.st_size // 2**20} MiB")


def is_image(path: Path) -> bool:
    """Whether a file begins as an image does, or is called one and ought to be looked at."""
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            return announced(file.read(HEAD)) is not None
    except OSError:
        return False


def _without_waiting(path: str, flags: int) -> int:
    """Opening a pipe that nobody writes to would hang without O_NONBLOCK."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def decode(data: bytes, need: tuple[int, int] | None = None) -> np.ndarray:
    """Decodes a JPEG, PNG, WebP, GIF (first frame), BMP, TIFF, AVIF or, with ``headstart[heic]``, HEIC.

    Args:
        data: the whole file.
        need: (short side, long side) in pixels that the picture is going to be scaled down to, 0 for a
            side that follows from the other. A JPEG is then decoded at the smallest of 1/8, 1/4, 1/2 and
            1/1 at which both are at least as long. None asks for every pixel.

    Returns:
        (H, W, 3) uint8, sRGB, as displayed (EXIF orientation applied), contiguous and writable.

    Raises:
        ImageError: one line without the path; `check` says which of the five kinds it is.
    """
    return _decoded(data, need)[0]


def _decoded(data: bytes, need: tuple[int, int] | None) -> tuple[np.ndarray, int]:
    """As `decode`, and by what its sides were divided."""
    kind = kind_of(data)
    with silence:
        try:
            data = needed_part(data, kind)
            image = _opened(data, kind)
            by = jpeg.denominator(*image.size, need) if need and kind == "JPEG" else 1
            return turned(_pixels(image, data, kind, by), orientation(image, data)), by
        except ImageError:
            raise
        except Exception as error:  # whatever a decoder can throw becomes one typed error
            raise explained(error, data, kind) from error


def dimensions(data: bytes) -> tuple[int, int]:
    """(width, height) in pixels of an image as displayed, from its header alone.

    Raises:
        ImageError: the header can't be read, or announces too much.
    """
    kind = kind_of(data)
    with silence:
        try:
            if kind == "HEIC":
                return cast(tuple[int, int], _heic(data).size)
            part = needed_part(data, kind)
            image = _opened(part, kind)
            on_its_side = orientation(image, part) >= 5
        except ImageError:
            raise
        except Exception as error:
            raise explained(error, data, kind) from error
    return (image.height, image.width) if on_its_side else image.size


def _opened(data: bytes, kind: str) -> Image.Image:
    """Parses the header; a second time without EXIF, profile and comments if these were the trouble."""
    if kind == "HEIC":
        return cast(Image.Image, _heic(data).to_pillow())
    if kind == "TIFF":
        hush_libtiff()
    try:
        image = Image.open(BytesIO(data), formats=(kind,))
    except Exception:
        rest = bare(data, kind)
        if rest == data:
            raise
        image = Image.open(BytesIO(rest), formats=(kind,))
    check_size(*image.size)
    if kind == "TIFF":
        check_tile(image)
    image.decodermaxblock = BLOCK
    return image


def _heic(data: bytes) -> Any:
    """A HEIC whose size is known, as libheif turns it, and whose pixels are not decoded yet."""
    try:
        import pi_heif
    except ImportError:
        line = "HEIC pictures need another library. Install headstart[heic], or save as JPEG."
        raise ImageError(line, "unreadable") from None
    file = pi_heif.open_heif(BytesIO(data), convert_hdr_to_8bit=True)
    check_size(*file.size)
    return file


def _pixels(image: Image.Image, data: bytes, kind: str, by: int) -> np.ndarray:
    """(H, W, 3) uint8 as stored, the sides of a JPEG divided by `by` and rounded up."""
    if kind == "JPEG":
        check_passes(image, data)
        if (pixels := jpeg.decoded(image, data, by)) is not None:
            return pixels
        if by > 1:
            image.draft(None, (image.width // by, image.height // by))
    if kind == "PNG" and (pixels := png.decoded(image, data)) is not None:
        return pixels
    return np.array(srgb(image))


def is_one(array: np.ndarray) -> bool:
    """Whether an array is one picture in colour, where a list of them is meant, or (N, H, W) of grey ones."""
    return array.ndim == 3 and array.shape[2] in (3, 4)


def from_array(array: np.ndarray) -> np.ndarray:
    """An image that was decoded elsewhere, in the form that `decode` gives.

    Args:
        array: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) integers from 0 to 255; grey, RGB or RGBA.

    Returns:
        (H, W, 3) uint8; transparent pixels lie on white.

    Raises:
        ImageError: another shape or other values.
    """
    pixels = array[:, :, None] if array.ndim == 2 else array
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4) or not pixels.size:
        raise _not_pixels("(height, width), or (height, width, 1, 3 or 4)", f"shape {array.shape}")
    if pixels.dtype.kind not in "iu":
        raise _not_pixels("integers from 0 to 255", f"dtype {array.dtype}")
    if pixels.dtype != np.uint8 and not 0 <= pixels.min() <= pixels.max() <= 255:
        raise _not_pixels("integers from 0 to 255", f"{pixels.min()} to {pixels.max()}")
    check_size(pixels.shape[1], pixels.shape[0])
    plain = np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels, np.uint8)
    return np.array(srgb(Image.fromarray(plain)))


def _not_pixels(allowed: str, received: str) -> ImageError:
    line = sentence("The array is not an image.", allowed=allowed, received=received, remedy="Convert it.")
    return ImageError(line, "not-an-image")
