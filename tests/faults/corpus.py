"""Corrupt image files: good ones of every format, damaged in eight ways, the same for the same seed (R6)."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator

import numpy as np
from PIL import Image
from tests.data.pictures import inks_jpeg, photo, png_of, saved, swapped_profile
from tests.data.test_images import HEIC


def good_files() -> dict[str, bytes]:
    """Name → content."""
    picture = Image.fromarray(photo(64, 48))
    grey, palette = picture.convert("L"), picture.convert("P")
    veiled = picture.copy()
    veiled.putalpha(grey)
    turned = Image.Exif()
    turned[0x0112] = 6
    frames = {"save_all": True, "append_images": [picture.rotate(90), picture.rotate(180)]}
    deep = np.random.default_rng(0).integers(0, 2**16, (24, 32, 3))
    return {
        "jpeg": saved(picture, "JPEG"),
        "jpeg-progressive": saved(picture, "JPEG", progressive=True, quality=95),
        "jpeg-grey": saved(grey, "JPEG"),
        "jpeg-inks": inks_jpeg(np.dstack([photo(64, 48), photo(64, 48)[:, :, 0]]), ycck=True),
        "jpeg-turned": saved(picture, "JPEG", exif=turned, restart_marker_blocks=2),
        "jpeg-profile": saved(picture, "JPEG", icc_profile=swapped_profile()),
        "png": saved(picture, "PNG"),
        "png-palette": saved(palette, "PNG", transparency=3),
        "png-deep-interlaced": png_of(deep, 16, 2, interlaced=True, row_filter=99),
        "png-frames": saved(picture, "PNG", **frames),
        "gif": saved(palette, "GIF"),
        "gif-frames": saved(palette, "GIF", **frames),
        "bmp": saved(picture, "BMP"),
        "bmp-palette": saved(palette, "BMP"),
        "tiff": saved(picture, "TIFF", exif=turned),
        "tiff-lzw": saved(picture, "TIFF", compression="tiff_lzw"),
        "tiff-deflate": saved(veiled, "TIFF", compression="tiff_adobe_deflate"),
        "tiff-jpeg": saved(picture, "TIFF", compression="jpeg"),
        "tiff-fax": saved(picture.convert("1"), "TIFF", compression="group4"),
        "webp": saved(picture, "WEBP"),
        "webp-lossless": saved(veiled, "WEBP", lossless=True),
        "webp-frames": saved(picture, "WEBP", **frames),
        "avif": saved(picture, "AVIF"),
        "heic": HEIC,
    }


def corrupted(count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """`count` files as (name, content), all formats and kinds of damage in turn."""
    good = good_files()
    names = list(good)
    for number in range(count):
        name = names[number % len(names)]
        damage = DAMAGES[number // len(names) % len(DAMAGES)]
        rng = random.Random(f"{seed} {number}")  # noqa: S311 - not for secrets
        other = good[rng.choice(names)]
        yield f"{number:04} {name} {damage.__name__}", damage(good[name], other, rng)


def bits_flipped(data, _, rng) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def header_changed(data, _, rng) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        changed[rng.randrange(4, min(120, len(data)))] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
    return bytes(changed)


def cut(data, _, rng) -> bytes:
    return data[: rng.randrange(1, len(data))]


def block_zeroed(data, _, rng) -> bytes:
    start = rng.randrange(8, len(data))
    length = rng.choice((4, 64, 512, 4096))
    return data[:start] + bytes(min(length, len(data) - start)) + data[start + length :]


def spliced(data, other, rng) -> bytes:
    return data[: rng.randrange(8, len(data))] + other[rng.randrange(len(other)) :]


def garbage(data, _, rng) -> bytes:
    return data[: rng.choice((8, 12, 16, 32, 64))] + rng.randbytes(rng.randrange(2000))


def piece_repeated(data, _, rng) -> bytes:
    start = rng.randrange(8, len(data))
    piece = data[start : start + rng.choice((1, 2, 16, 300))]
    return data[:start] + piece * rng.choice((1, 2, 50)) + data[start:]


def number_inflated(data, _, rng) -> bytes:
    """A count, size or offset somewhere becomes one of those that go wrong in 16 or 32 bits."""
    start = rng.randrange(4, len(data) - 4)
    value = rng.choice((0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 40_000))
    return data[:start] + struct.pack(rng.choice("<>") + "I", value) + data[start + 4 :]


DAMAGES = (
    bits_flipped, header_changed, cut, block_zeroed, spliced, garbage, piece_repeated, number_inflated,
)  # fmt: skip
