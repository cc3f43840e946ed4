"""THE decoder: bytes → EXIF-oriented sRGB uint8 (H, W, 3), and the fit that makes it square.

Training, evaluation, prediction, serving and the parity check all come through here. The content decides
the type of a file, never its extension. Whatever goes wrong is one `ImageError` without the path, which
the caller knows; its `check` is ``empty``, ``not-an-image``, ``truncated``, ``unreadable`` or ``too-large``.

Colour: transparent pixels are laid on white; 16-bit samples keep their high byte (``v >> 8``); an embedded
ICC profile is converted to sRGB; of an animation the first frame counts.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import stat
import threading
import warnings
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np
from PIL import Image, UnidentifiedImageError

from headstart.errors import ImageError, printable, sentence

if TYPE_CHECKING:
    from headstart.config import Fit

DECODER = 1
"""Bumped whenever the same bytes give other pixels: cached features are then computed again."""

MAX_PIXELS = 100_000_000
"""Larger images are refused by their header, before memory is taken for the pixels."""

MAX_BYTES = 2**29
"""Larger files (512 MiB) are refused without being read."""

PADDING = (124, 117, 104)
"""ImageNet's mean colour: about zero to the network, whose first layer subtracts it."""

FORMATS = "BMP, GIF, JPEG, PNG, TIFF, WebP"

# By Pillow's names. "BM" alone would take text for a bitmap: the size of its second header is telling.
_SIGNATURES = re.compile(
    rb"(?P<JPEG>\xff\xd8\xff)|(?P<PNG>\x89PNG\r\n\x1a\n)|(?P<GIF>GIF8[79]a)|(?P<WEBP>RIFF.{4}WEBP)"
    rb"|(?P<TIFF>II[*+]\0|MM\0[*+])|(?P<BMP>BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0)",
    re.DOTALL,
)

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # by EXIF orientation

# Some of Pillow's complaints are log records, which Python prints when no handler is found.
logging.getLogger("PIL").addHandler(logging.NullHandler())


def load(path: str | Path, size: int, mode: Fit) -> np.ndarray:
    """(size, size, 3) uint8 of an image file: `read`, `decode`, `fit`."""
    return fit(decode(read(path)), size, mode)


def load_known(path: Path, sha256: str, size: int, mode: Fit) -> np.ndarray:
    """As `load`, for a file that was hashed before; every error names it.

    Raises:
        ImageError: it is missing or unusable by now, or its bytes have changed.
    """
    try:
        data = read(path)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ImageError("The file has changed since it was first read. Train again on it.", "changed")  # noqa: TRY301
        return fit(decode(data), size, mode)
    except ImageError as error:
        raise ImageError(f"{printable(path)}: {error}", error.check) from error


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
        raise ImageError(f"The file cannot be read: {printable(reason)}.", "unreadable") from error


def _check_file(file: BinaryIO) -> None:
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise ImageError("This is a device or a pipe, not a file. Remove it.", "unreadable")
    _kind(file.read(32))
    if status.st_size > MAX_BYTES:
        raise _too_large(f"up to {MAX_BYTES // 2**20} MiB", f"{status.st_size // 2**20} MiB")


SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


def is_image(path: Path) -> bool:
    """Whether a file begins as an image does, or is called one and ought to be looked at."""
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            return _SIGNATURES.match(file.read(32)) is not None
    except OSError:
        return False


def _without_waiting(path: str, flags: int) -> int:
    """Opening a pipe that nobody writes to would hang without O_NONBLOCK."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def decode(data: bytes) -> np.ndarray:
    """Decodes a JPEG, PNG, WebP, GIF (first frame), BMP or TIFF.

    Args:
        data: the whole file.

    Returns:
        (H, W, 3) uint8, sRGB, as displayed (EXIF orientation applied), contiguous and writable.

    Raises:
        ImageError: one line without the path; `check` says which of the five kinds it is.
    """
    kind = _kind(data)
    with _silence:
        try:
            image = _opened(data, kind)
            _check_size(image)
            return np.array(_oriented(image, _srgb(image)))
        except ImageError:
            raise
        except Exception as error:  # whatever a decoder can throw becomes one typed error
            raise _explained(error, data, kind) from error


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
    plain = np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels, np.uint8)
    image = Image.fromarray(plain)
    _check_size(image)
    return np.array(_srgb(image))


def _not_pixels(allowed: str, received: str) -> ImageError:
    line = sentence("The array is not an image.", allowed=allowed, received=received, remedy="Convert it.")
    return ImageError(line, "not-an-image")


def _check_size(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(f"up to {MAX_PIXELS:,} pixels", f"{image.width} x {image.height}")


def _too_large(allowed: str, received: str) -> ImageError:
    line = sentence("The image is too large.", allowed=allowed, received=received, remedy="Scale it down.")
    return ImageError(line, "too-large")


# --- which format, and what an error means -------------------------------------------------------------


def _kind(head: bytes) -> str:
    """Pillow's name of the format that the first bytes announce (32 are enough)."""
    if not head:
        raise ImageError("The file is empty (0 bytes). Copy it again from where it came.", "empty")
    found = _SIGNATURES.match(head)
    if found and found.lastgroup:
        return found.lastgroup
    begin = head[:16].decode("ascii", "backslashreplace")
    line = sentence("The content is not an image.", allowed=FORMATS, received=begin, remedy="Remove it.")
    raise ImageError(line, "not-an-image")


def _explained(error: Exception, data: bytes, kind: str) -> ImageError:
    """Words for an exception from the decoder."""
    if isinstance(error, (MemoryError, Image.DecompressionBombError)):
        return _too_large(f"up to {MAX_PIXELS:,} pixels", "more than that")
    if _cut_short(data, kind) or "truncated" in str(error).lower():
        return ImageError(f"The {kind} file is truncated: its end is missing. Copy it again.", "truncated")
    # An unidentified image's text holds a memory address, which no two runs share.
    unidentified = isinstance(error, UnidentifiedImageError)
    detail = "its header" if unidentified else str(error) or type(error).__name__
    return ImageError(f"The {kind} data is damaged ({printable(detail)[:120]}). Copy it again.", "unreadable")


def _cut_short(data: bytes, kind: str) -> bool:
    """Whether the end of a file that could not be decoded is missing."""
    tail = data[-64:].rstrip(b"\0")
    return {
        "JPEG": not tail.endswith(b"\xff\xd9"),
        "PNG": b"IEND" not in tail,
        "GIF": not tail.endswith(b";"),
        "WEBP": int.from_bytes(data[4:8], "little") + 8 > len(data),
        "BMP": int.from_bytes(data[2:6], "little") > len(data),
        "TIFF": int.from_bytes(data[4:8], "little" if data[:1] == b"I" else "big") >= len(data),
    }.get(kind, False)


class _Silence:
    """Hides Pillow's warnings while any thread decodes.

    `warnings.catch_warnings` alone isn't safe with threads: each restores what it found, which may be
    another's filters. So the first one in sets them, and the last one out puts them back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._caught.__exit__(None, None, None)


_silence = _Silence()


# --- metadata that may be broken while the pixels are not -----------------------------------------------


def _opened(data: bytes, kind: str) -> Image.Image:
    """Parses the header; a second time without EXIF, profile and comments if these were the trouble."""
    try:
        return Image.open(BytesIO(data), formats=(kind,))
    except Exception:
        bare = b"".join(_bare(data, kind))
        if bare == data:
            raise
        return Image.open(BytesIO(bare), formats=(kind,))


def _bare(data: bytes, kind: str) -> Iterator[bytes]:
    """The pieces of a JPEG or PNG less those that carry EXIF or a profile; other formats whole."""
    at = {"JPEG": 2, "PNG": 8}.get(kind, len(data))
    yield data[:at]
    while kind == "JPEG" and data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] not in (b"", b"\xda"):
        end = at + 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
        # APP0 (JFIF) and APP14 (Adobe) say how colours are coded: they stay.
        if not (0xE0 < data[at + 1] <= 0xEF and data[at + 1] != 0xEE):
            yield data[at:end]
        at = end
    while kind == "PNG" and at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        sound = zlib.crc32(data[at + 4 : end - 4]) == int.from_bytes(data[end - 4 : end], "big")
        # A wrong checksum is damage, not a writer's bad metadata: such a chunk stays, and is found.
        if not (sound and data[at + 4 : at + 8] in (b"eXIf", b"iCCP")):
            yield data[at:end]
        at = end
    yield data[at:]


def _oriented(image: Image.Image, pixels: Image.Image) -> Image.Image:
    """`pixels`, turned as the EXIF of `image` asks; broken EXIF turns nothing."""
    if image.format == "TIFF":
        return pixels  # Pillow has turned it while loading
    try:
        turn = _TURNS.get(image.getexif().get(0x0112, 1))
    except Exception:  # noqa: BLE001 - bad EXIF never loses the pixels
        return pixels
    return pixels if turn is None else pixels.transpose(turn)


# --- colour --------------------------------------------------------------------------------------------


def _srgb(image: Image.Image) -> Image.Image:
    """Decodes the pixels: any mode → RGB, profile applied, transparency laid on white."""
    tiles = getattr(image, "tile", None)
    raw = str(tiles[0].args) if tiles else ""
    image.load()
    alpha = _alpha(image, raw)
    profile = image.info.get("icc_profile")
    image.info.pop("transparency", None)  # it is in `alpha` now; Pillow would warn about it
    colour = _by_profile(_colour(image), profile)
    if alpha is None:
        return colour
    white = Image.new("RGB", colour.size, "white")
    white.paste(colour, mask=alpha)
    return white


def _colour(image: Image.Image) -> Image.Image:
    """The pixels without alpha, as L, RGB or CMYK."""
    if image.mode.startswith("I"):
        return Image.fromarray(_high_bytes(np.asarray(image)))
    if image.mode == "F":
        raise ImageError("Floating-point pixels have no agreed white. Save 8 or 16 bits.", "unreadable")
    if image.mode in ("1", "L", "LA", "La"):
        return image.convert("LA").getchannel("L") if image.mode == "La" else image.convert("L")
    return image if image.mode == "CMYK" else image.convert("RGB")


def _high_bytes(values: np.ndarray) -> np.ndarray:
    """(H, W) uint8 of 16-bit values, never clipped."""
    if values.min() < 0 or values.max() > 0xFFFF:
        raise ImageError("Pixels beyond 16 bits have no agreed white. Save 8 or 16 bits.", "unreadable")
    return (values >> 8).astype(np.uint8)


def _by_profile(colour: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB of an L, RGB or CMYK image; a bad profile, or one of another colour space, is passed over."""
    if profile:
        from PIL import ImageCms

        try:
            embedded = ImageCms.ImageCmsProfile(BytesIO(profile))
            if not ImageCms.getProfileDescription(embedded).lower().startswith("srgb"):
                srgb = ImageCms.createProfile("sRGB")
                return cast(Image.Image, ImageCms.profileToProfile(colour, embedded, srgb, outputMode="RGB"))
        except Exception:  # noqa: BLE001 - a bad profile never loses the pixels
            return colour.convert("RGB")
    return colour.convert("RGB")


def _alpha(image: Image.Image, raw: str) -> Image.Image | None:
    """Opacity as an L image, or None. `raw` names the samples' layout in the file."""
    key = image.info.get("transparency")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or (image.mode == "P" and key is not None):
        return image.convert("RGBA").getchannel("A")
    if key is None:
        return None
    # Pillow keeps the key as it is in the file but widens (or, of 16-bit RGB, narrows) the pixels.
    if ";16" in raw and image.mode == "RGB":
        key = tuple(value >> 8 for value in key)
    elif isinstance(key, int):
        key *= {"L;2": 85, "L;4": 17}.get(next((n for n in ("L;2", "L;4") if n in raw), ""), 1)
    values = np.asarray(image.convert("L") if image.mode == "1" else image)
    see_through = (values == key).reshape(image.height, image.width, -1).all(axis=2)
    return Image.fromarray(np.where(see_through, 0, 255).astype(np.uint8))


# --- geometry ------------------------------------------------------------------------------------------


def fit(image: np.ndarray, size: int, mode: Fit) -> np.ndarray:
    """Makes an image square, by antialiased bicubic interpolation, up or down.

    Args:
        image: (H, W, 3) uint8.
        size: side of the square in pixels.
        mode: ``letterbox``: the longest side becomes `size`, the rest is `PADDING`, the image centred.
            ``crop``: ImageNet's protocol, the short side becomes ``round(size * 256 / 224)``, then the
            centre is cut out. ``stretch``: both sides become `size`.

    Returns:
        (size, size, 3) uint8; an image of that very size is returned as it is, in every mode.
    """
    if image.shape[:2] == (size, size):
        return image
    height, width = image.shape[:2]
    if mode == "stretch":
        return _resized(image, size, size)
    if mode == "crop":
        return _centre(image, size)
    scale = size / max(height, width)
    inner = _resized(image, max(1, round(width * scale)), max(1, round(height * scale)))
    square = np.empty((size, size, 3), np.uint8)
    square[:] = PADDING
    top, left = (size - inner.shape[0]) // 2, (size - inner.shape[1]) // 2
    square[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return square


def _centre(image: np.ndarray, size: int) -> np.ndarray:
    """Resize and centre crop in one step, so that a long thin image doesn't become a huge one."""
    height, width = image.shape[:2]
    scale = round(size * 256 / 224) / min(height, width)
    new_width, new_height = round(width * scale), round(height * scale)
    left, top = (new_width - size) // 2, (new_height - size) // 2
    x, y = width / new_width, height / new_height
    return _resized(image, size, size, (left * x, top * y, (left + size) * x, (top + size) * y))


def _resized(
    image: np.ndarray, width: int, height: int, box: tuple[float, float, float, float] | None = None
) -> np.ndarray:
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC, box=box)
    return np.array(resized)


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
    turned = np.rot90(image, view % 4)
    return np.ascontiguousarray(turned[:, ::-1] if view >= 4 else turned)
