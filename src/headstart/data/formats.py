"""Which format a file's first bytes announce, and what a decoder's error means."""

from __future__ import annotations

import re

from PIL import Image, UnidentifiedImageError

from headstart.errors import ImageError, printable, sentence

MAX_PIXELS = 100_000_000
"""Larger images are refused by their header, before memory is taken for the pixels."""

FORMATS = "AVIF, BMP, GIF, HEIC, JPEG, PNG, TIFF, WebP"
ENDINGS = {
    "AVIF": (".avif",),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "HEIC": (".heic", ".heif"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png", ".apng"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}
"""What image files of each kind are called; their content decides all the same."""

SUFFIXES = {ending for endings in ENDINGS.values() for ending in endings}

# By Pillow's names. "BM" alone would take text for a bitmap: the size of its second header is telling.
# "mif1" is said of any still picture; whether it is an AVIF stands among the compatible brands.
_SIGNATURES = re.compile(
    rb"(?P<JPEG>\xff\xd8\xff)|(?P<PNG>\x89PNG\r\n\x1a\n)|(?P<GIF>GIF8[79]a)|(?P<WEBP>RIFF.{4}WEBP)"
    rb"|(?P<TIFF>II[*+]\0|MM\0[*+])|(?P<BMP>BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0)"
    rb"|(?P<AVIF>.{4}ftyp(?:avi[fs]|(?:miaf|mif1|msf1).{4}(?:.{4}){0,3}?avi[fs]))"
    rb"|(?P<HEIC>.{4}ftyp(?:he[iv][cxms]|mif1|msf1))",
    re.DOTALL,
)
HEAD = 32
"""Bytes that are enough to tell the format."""


def announced(head: bytes) -> str | None:
    """The name of the format that the first bytes announce, or None."""
    found = _SIGNATURES.match(head[:HEAD])
    return found.lastgroup if found else None


def kind_of(head: bytes) -> str:
    """As `announced`.

    Raises:
        ImageError: no byte at all, or none of the formats.
    """
    if not head:
        raise ImageError("The file is empty (0 bytes). Copy it again from where it came.", "empty")
    if kind := announced(head):
        return kind
    begin = head[:16].decode("ascii", "backslashreplace")
    line = sentence("The content is not an image.", allowed=FORMATS, received=begin, remedy="Remove it.")
    raise ImageError(line, "not-an-image")


def check_size(width: int, height: int) -> None:
    """Refuses more than `MAX_PIXELS`."""
    if width * height > MAX_PIXELS:
        raise too_large(f"up to {MAX_PIXELS:,} pixels", f"{width} x {height}")


def too_large(allowed: str, received: str) -> ImageError:
    """The error for what would need too much memory or time."""
    line = sentence("The image is too large.", allowed=allowed, received=received, remedy="Scale it down.")
    return ImageError(line, "too-large")


def truncated(kind: str) -> ImageError:
    """The error for a file whose end is missing."""
    return ImageError(f"The {kind} file is truncated: its end is missing. Copy it again.", "truncated")


def damaged(kind: str, detail: str) -> ImageError:
    """The error for a file whose content makes no sense."""
    return ImageError(f"The {kind} data is damaged ({printable(detail)[:120]}). Copy it again.", "unreadable")


def explained(error: Exception, data: bytes, kind: str) -> ImageError:
    """Words for an exception from the decoder."""
    if isinstance(error, (MemoryError, Image.DecompressionBombError)):
        found = too_large(f"up to {MAX_PIXELS:,} pixels", "more than that")
        found.lasting = not isinstance(error, MemoryError)
        return found
    if _cut_short(data, kind) or "truncated" in str(error).lower():
        return truncated(kind)
    # An unidentified image's text holds a memory address, which no two runs share.
    unidentified = isinstance(error, UnidentifiedImageError)
    return damaged(kind, "its header" if unidentified else str(error) or type(error).__name__)


def _cut_short(data: bytes, kind: str) -> bool:
    """Whether the end of a file that could not be decoded is missing."""
    tail = data[-64:].rstrip(b"\0")
    first_table = data[4:8] if data[:1] == b"I" else data[7:3:-1]
    return {
        "JPEG": not tail.endswith(b"\xff\xd9"),
        "GIF": not tail.endswith(b";"),
        "WEBP": int.from_bytes(data[4:8], "little") + 8 > len(data),
        "BMP": int.from_bytes(data[2:6], "little") > len(data),
        "TIFF": int.from_bytes(first_table, "little") >= len(data),
        "AVIF": _end_of_boxes(data) > len(data),
        "HEIC": _end_of_boxes(data) > len(data),
    }.get(kind, False)


def _end_of_boxes(data: bytes) -> int:
    """Where the boxes of an ISO media file end by their own account (ISO/IEC 14496-12, 4.2)."""
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 1:  # the true size stands in the next eight bytes
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size < 8:  # 0: to the end of the file
            return len(data)
        at += size
    return at + 8 if at < len(data) else at
