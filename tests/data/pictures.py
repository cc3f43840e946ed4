"""Image files that the tests write themselves, byte by byte where Pillow must not judge its own work."""

from __future__ import annotations

import itertools
import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageCms

from headstart.data import images
from headstart.errors import ImageError

PNG = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by PNG's colour type
WHOLE = ((0, 0, 1, 1),)
ADAM7 = (
    (0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1),
)  # fmt: skip


def saved(image: Image.Image, kind: str, **options) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def blocks(seed=0) -> np.ndarray:
    """(32, 48, 3): 2 x 3 flat squares, all different, so that no turn looks like another."""
    colours = np.random.default_rng(seed).integers(0, 256, (2, 3, 3), dtype=np.uint8)
    return np.kron(colours, np.ones((16, 16, 1), np.uint8))


def photo(width: int, height: int, seed=0) -> np.ndarray:
    """(height, width, 3) smooth colours at four scales and a little noise."""
    rng = np.random.default_rng(seed)
    total = np.full((height, width, 3), 120.0)
    for cell in (4, 16, 64, 256):
        coarse = rng.normal(size=(height // cell + 2, width // cell + 2, 3)).astype(np.float32)
        planes = [Image.fromarray(coarse[:, :, c]).resize((width, height), 3) for c in range(3)]
        total += 3 * cell**0.6 * np.stack(planes, axis=2)
    total += rng.normal(scale=3, size=(height, width, 1))
    return total.clip(0, 255).astype(np.uint8)


# --- PNG (ISO/IEC 15948) -------------------------------------------------------------------------------


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def header(width, height, depth, colour, interlaced=False) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))


def png(width, depth, colour, rows, *extra) -> bytes:
    """Each of `rows` is the packed bytes of its samples."""
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    begin = PNG + header(width, len(rows), depth, colour)
    return begin + b"".join(extra) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def png_of(samples, depth, colour, *extra, interlaced=False, row_filter=0, level=6, pieces=1) -> bytes:
    """(H, W, channels) samples below 2 ** depth; `row_filter` 0 to 4, or 99 for all of them in turn."""
    height, width = samples.shape[:2]
    size = max(1, CHANNELS[colour] * depth // 8)
    lines = b""
    for top, left, down, right in ADAM7 if interlaced else WHOLE:
        part = samples[top::down, left::right]
        if part.size:
            lines += filtered(packed(part, depth), size, row_filter)
    body = zlib.compress(lines, level)
    cuts = np.linspace(0, len(body), pieces + 1).astype(int)
    data = [chunk(b"IDAT", body[a:b]) for a, b in itertools.pairwise(cuts)]
    return b"".join(
        [PNG, header(width, height, depth, colour, interlaced), *extra, *data, chunk(b"IEND", b"")]
    )


def packed(samples, depth) -> np.ndarray:
    """(H, bytes a row) uint8."""
    rows = samples.reshape(len(samples), -1)
    if depth == 16:
        return rows.astype(">u2").view(np.uint8)
    bits = rows[:, :, None] >> np.arange(depth - 1, -1, -1) & 1
    return np.packbits(bits.reshape(len(rows), -1).astype(np.uint8), axis=1)


def filtered(rows, size, row_filter) -> bytes:
    """Each row with its filter's number in front (ISO/IEC 15948, 9.2)."""
    lines, above = [], np.zeros(rows.shape[1], int)
    for number, row in enumerate(rows.astype(int)):
        kind = number % 5 if row_filter == 99 else row_filter
        left = np.concatenate([np.zeros(size, int), row])[: len(row)]
        corner = np.concatenate([np.zeros(size, int), above])[: len(row)]
        guess = left + above - corner
        far = np.abs(np.stack([left, above, corner]) - guess)
        paeth = np.choose(far.argmin(axis=0), [left, above, corner])
        prediction = [0 * row, left, above, (left + above) // 2, paeth][kind]
        lines.append(bytes([kind]) + ((row - prediction) % 256).astype(np.uint8).tobytes())
        above = row
    return b"".join(lines)


# --- TIFF (revision 6.0) -------------------------------------------------------------------------------


def tiff(samples, bits, photometric, *, big_endian=False, extra=None, colour_map=None) -> bytes:
    """One uncompressed strip. Samples of (H, W, channels)."""
    height, width, channels = samples.shape
    order = ">" if big_endian else "<"
    strip = samples.astype(order + "u2").tobytes() if bits == 16 else packed(samples, bits).tobytes()
    tags = {256: [width], 257: [height], 258: [bits] * channels, 259: [1], 262: [photometric], 273: [0]}
    tags |= {277: [channels], 278: [height], 279: [len(strip)]}
    tags |= {320: colour_map} if colour_map is not None else {}
    tags |= {338: [extra]} if extra is not None else {}
    at = 8 + 2 + 12 * len(tags) + 4
    entries, values = b"", b""
    tags[273] = [at + sum(2 * len(v) for v in tags.values() if len(v) > 2)]
    for tag, value in sorted(tags.items()):
        long = tag in (273, 279)
        body = struct.pack(f"{order}{len(value)}{'I' if long else 'H'}", *value)
        if len(body) > 4:
            values, body = values + body, struct.pack(order + "I", at + len(values))
        entries += struct.pack(order + "HHI", tag, 4 if long else 3, len(value)) + body.ljust(4, b"\0")
    begin = (b"MM\0*" if big_endian else b"II*\0") + struct.pack(order + "IH", 8, len(tags))
    return begin + entries + bytes(4) + values + strip


# --- colour --------------------------------------------------------------------------------------------


def swapped_profile() -> bytes:
    """sRGB with red's and green's places exchanged, under another name."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    count = struct.unpack(">I", profile[128:132])[0]
    table = profile[132 : 132 + 12 * count]
    table = table.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")
    profile = profile[:132] + table + profile[132 + 12 * count :]
    return profile.replace("sRGB".encode("utf-16-be"), "grRB".encode("utf-16-be"))


def inks_jpeg(inks: np.ndarray, *, ycck: bool) -> bytes:
    """A JPEG of (H, W, 4) inks, 255 full, inverted as Adobe does; `ycck`: the first three as YCbCr."""
    stored = 255 - inks.astype(float)
    if ycck:  # JFIF's matrix, of what is the inverse of the stored inks
        r, g, b = np.moveaxis(255 - stored[:, :, :3], 2, 0)
        y = 0.299 * r + 0.587 * g + 0.114 * b
        stored[:, :, 0], stored[:, :, 1], stored[:, :, 2] = y, 128 + (b - y) / 1.772, 128 + (r - y) / 1.402
    # Pillow inverts what it writes, so that the file holds `stored`.
    values = Image.fromarray((255 - stored).round().clip(0, 255).astype(np.uint8), "CMYK")
    data = saved(values, "JPEG", quality=100, subsampling=0)
    at = data.index(b"\xff\xee\0\x0eAdobe") + 15
    return data[:at] + bytes([2 if ycck else 0]) + data[at + 1 :]


# --- one of each ---------------------------------------------------------------------------------------

FILES = {
    "jpeg": saved(Image.fromarray(blocks()), "JPEG"),
    "progressive": saved(Image.fromarray(blocks()), "JPEG", progressive=True),
    "cmyk": saved(Image.fromarray(blocks()).convert("CMYK"), "JPEG"),
    "png": saved(Image.fromarray(blocks()), "PNG"),
    "gif": saved(Image.fromarray(blocks()), "GIF"),
    "bmp": saved(Image.fromarray(blocks()[:8, :8]), "BMP"),
    "tiff": saved(Image.fromarray(blocks()[:8, :8]), "TIFF"),
    "tiff-lzw": saved(Image.fromarray(blocks()), "TIFF", compression="tiff_lzw"),
    "webp": saved(Image.fromarray(blocks()), "WEBP"),
    "webp-lossless": saved(Image.fromarray(blocks()), "WEBP", lossless=True),
    "avif": saved(Image.fromarray(blocks()), "AVIF"),
}


def check_of(data: bytes, decode=images.decode) -> str:
    """Which check of an ImageError, worded as it should be, `data` fails."""
    with pytest.raises(ImageError) as caught:
        decode(data)
    message = str(caught.value)
    assert message.isprintable()
    assert "object at" not in message
    return caught.value.check
