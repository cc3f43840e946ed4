"""What a file holds beside its first picture: checked, passed over, or left aside where it is broken."""

from __future__ import annotations

import re
from collections.abc import Iterator

import deflate
from PIL import Image

from headstart.data.formats import MAX_PIXELS, check_size, damaged, too_large, truncated
from headstart.errors import ImageError

MOST_CHUNKS, MOST_MARKERS = 100_000, 1_000_000  # of a PNG and a JPEG in all, many times what encoders write
MAX_CHUNKS = 1000
"""A PNG or GIF with more text before its pixels is refused; what follows them is looked at no further."""

# What is kept of a PNG beside its critical chunks. Text may unpack to any size and frames are without
# end; neither is needed.
_OF_USE = {b"tRNS", b"iCCP", b"eXIf"}
NOTHING = bytes(64)
MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # of a JPEG, restarts and stuffed bytes left out
PNG_END = b"\0\0\0\0IEND\xae\x42\x60\x82"


def needed_part(data: bytes, kind: str) -> bytes:
    """The file, checked and without what could harm before the first pixel is decoded.

    Raises:
        ImageError: a PNG with a wrong checksum or without its end, too many pixels by a WebP's header
            (for which Pillow would take memory at once), or no end of text before a GIF's or PNG's pixels.
    """
    if kind == "PNG":
        check_size(int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big"))
        pieces = list(_checked(memoryview(data)))
        whole = sum(map(len, pieces)) == len(data)  # as it mostly is: nothing needs to be copied
        return data if whole else b"".join(pieces)
    if kind == "WEBP":
        check_size(*_webp_size(data))
    return _without_comments(data) if kind == "GIF" else data


def _checked(png: memoryview) -> Iterator[memoryview | bytes]:
    """The chunks that the first picture needs, each with a true checksum (which Pillow skips for IDAT)."""
    yield png[:8]
    at, others, chunks, begun = 8, 0, 0, False
    while at + 12 <= len(png) and bytes(png[at + 4 : at + 8]) != b"IEND":
        end = at + 12 + int.from_bytes(png[at : at + 4], "big")
        if end > len(png):
            raise truncated("PNG")
        name = bytes(png[at + 4 : at + 8])
        if deflate.crc32(png[at + 4 : end - 4]) != int.from_bytes(png[end - 4 : end], "big"):
            raise damaged("PNG", f"the checksum of {name.decode('ascii', 'backslashreplace')} is wrong")
        if not name[0] & 32 or name in _OF_USE:  # a capital marks what no decoder may ignore
            yield png[at:end]
        else:
            others += 1
        begun |= name == b"IDAT"
        chunks += 1
        if chunks > MOST_CHUNKS:
            raise too_large(f"up to {MOST_CHUNKS:,} chunks of a PNG", "more than that")
        if others > MAX_CHUNKS:
            if begun:
                break
            raise too_large(f"up to {MAX_CHUNKS} chunks before the pixels of a PNG", "more than that")
        at = end
    if PNG_END not in bytes(png[at:]):
        raise truncated("PNG")
    yield PNG_END


def _without_comments(gif: bytes) -> bytes:
    """A GIF less the extensions before its first picture, but for the one that controls that picture.

    Pillow joins the blocks of a comment one by one, in a time that grows with their number squared.
    """
    start = at = 13 + (3 * 2 ** (gif[10] % 8 + 1) if len(gif) > 10 and gif[10] & 128 else 0)
    control = b""
    for _ in range(MAX_CHUNKS):
        if gif[at : at + 1] != b"!":  # the picture, or damage
            return gif if at == start else gif[:start] + control + gif[at:]
        end = at + 2
        while gif[end : end + 1] not in (b"", b"\0"):
            end += 1 + gif[end]
        if gif[at + 1 : at + 2] == b"\xf9":
            control = gif[at : end + 1]
        at = end + 1
    raise too_large(f"up to {MAX_CHUNKS} extensions before the picture of a GIF", "more than that")


def _webp_size(webp: bytes) -> tuple[int, int]:
    """(width, height) of the canvas (RFC 9649, 2.5 to 2.7); (0, 0) if the header makes no sense."""

    def number(start: int, end: int) -> int:
        return int.from_bytes(webp[start:end], "little")

    match webp[12:16]:
        case b"VP8X":
            return number(24, 27) + 1, number(27, 30) + 1
        case b"VP8L":
            return (number(21, 25) & 0x3FFF) + 1, (number(21, 25) >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            return number(26, 28) & 0x3FFF, number(28, 30) & 0x3FFF
    return 0, 0


def check_passes(image: Image.Image, data: bytes) -> None:
    """Refuses a JPEG that goes over its pixels more often than any encoder makes it."""
    passes = _passes(data)
    if passes * image.width * image.height > 20 * MAX_PIXELS:
        raise too_large(f"up to {20 * MAX_PIXELS:,} pixels over all passes", f"{passes} passes")


def _passes(jpeg: bytes) -> int:
    """Scans up to the end of the image (ITU-T T.81, B.1.1.4); what lies behind that is no JPEG's.

    Some lack their end; zeros in its place are the rest of a file that was not written.
    """
    at, passes, markers = 2, 0, 0
    while found := MARKER.search(jpeg, at):
        code, at = jpeg[found.end() - 1], found.end()
        if code == 0xD9:
            return passes
        passes, markers = passes + (code == 0xDA), markers + 1
        if markers > MOST_MARKERS:
            raise too_large(f"up to {MOST_MARKERS:,} markers of a JPEG", "more than that")
        at += int.from_bytes(jpeg[at : at + 2]) if code not in (0x01, 0xD8) else 0  # those have no length
    if jpeg.endswith(NOTHING):  # room that was set aside for a copy which was never finished
        raise truncated("JPEG")
    return passes


def check_tile(image: Image.Image) -> None:
    """Refuses a TIFF whose tiles, for which libtiff takes memory, are far larger than its picture."""
    tags = getattr(image, "tag_v2", {})
    if tags.get(254, 0) & 1:  # NewSubfileType: a smaller version of another image of this file
        line = "This is a camera's raw file, which begins with a small preview. Develop it to JPEG or TIFF."
        raise ImageError(line, "unreadable")
    width, height = tags.get(322, 0), tags.get(323, 0)
    if width * height > max(2**20, 4 * image.width * image.height):
        raise too_large("tiles about as large as the picture", f"{width} x {height}")


def bare(data: bytes, kind: str) -> bytes:
    """A JPEG or PNG less what carries EXIF or a profile; other formats whole."""
    return b"".join(_pieces(data, kind))


def _pieces(data: bytes, kind: str) -> Iterator[bytes]:
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
        if data[at + 4 : at + 8] not in (b"eXIf", b"iCCP"):
            yield data[at:end]
        at = end
    yield data[at:]


def orientation(image: Image.Image, data: bytes) -> int:
    """EXIF's 1 to 8 of an image that was opened from `data`; broken or unknown values are 1."""
    if image.format == "TIFF":
        return 1  # Pillow turns it while loading
    if image.format == "PNG" and b"eXIf" not in data:
        return 1  # Pillow would decode every pixel to see whether some follows them
    try:
        value = image.getexif().get(0x0112, 1)
    except Exception:  # noqa: BLE001 - bad EXIF never loses the pixels
        return 1
    return value if value in range(1, 9) else 1
