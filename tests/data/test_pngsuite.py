"""Willem van Schaik's PngSuite, file by file, by its names (R9).

The files themselves come with no package that a test may depend on, so each is written here as its name
says, from pixels that are known: [what is tested][i: interlaced, n: not][colour type][letter][bits].
"""

from __future__ import annotations

import re
import struct
import zlib

import numpy as np
import pytest
from tests.data import pictures
from tests.data.pictures import CHANNELS, chunk

from headstart.data import images
from headstart.errors import ImageError

TYPES = "0g01 0g02 0g04 0g08 0g16 2c08 2c16 3p01 3p02 3p04 3p08 4a08 4a16 6a08 6a16".split()
BASIC = [f"bas{how}{kind}" for how in "ni" for kind in TYPES]
SIZES = [
    f"s{size:02}{how}3p{1 if size < 3 else 2 if size < 10 else 4:02}"
    for size in (*range(1, 10), *range(32, 41))
    for how in "in"
]
BACKGROUND = "bgai4a08 bgai4a16 bgan6a08 bgan6a16 bgbn4a08 bggn4a16 bgwn6a08 bgyn6a16".split()
TRANSPARENT = (
    "tbbn0g04 tbbn2c16 tbbn3p08 tbgn2c16 tbgn3p08 tbrn2c08 tbwn0g16 tbwn3p08 tbyn3p08"
    " tp0n0g08 tp0n2c08 tp0n3p08 tp1n3p08 tm3n3p02"
).split()
GAMMA = [
    f"g{gamma}n{kind}" for gamma in ("03", "04", "05", "07", "10", "25") for kind in ("0g16", "2c08", "3p04")
]
FILTERS = [f"f{kind:02}n{of}" for kind in range(5) for of in ("0g08", "2c08")] + ["f99n0g04"]
PALETTES = "pp0n2c16 pp0n6a08 ps1n0g08 ps1n2c16 ps2n0g08 ps2n2c16".split()
ANCILLARY = (
    "ccwn2c08 ccwn3p08 cdfn2c08 cdhn2c08 cdsn2c08 cdun2c08 ch1n3p04 ch2n3p08 cm0n0g04 cm7n0g04 cm9n0g04"
    " cs3n2c16 cs3n3p08 cs5n2c08 cs5n3p08 cs8n2c08 cs8n3p08 ct0n0g04 ct1n0g04 cten0g04 ctfn0g04 ctgn0g04"
    " cthn0g04 ctjn0g04 ctzn0g04 exif2c08"
).split()
ORDER = [f"oi{pieces}n{kind}" for pieces in (1, 2, 4, 9) for kind in ("0g16", "2c16")]
LEVELS = [f"z0{level}n2c08" for level in (0, 3, 6, 9)]
SOUND = [
    *BASIC, *SIZES, *BACKGROUND, *TRANSPARENT, *GAMMA, *FILTERS, *PALETTES, *ANCILLARY, *ORDER, *LEVELS,
]  # fmt: skip
CORRUPT = (
    "xc1n0g08 xc9n2c08 xcrn0g04 xcsn0g01 xd0n2c08 xd3n2c08 xd9n2c08 xdtn0g01 xhdn0g08 xlfn0g04"
    " xs1n0g01 xs2n0g01 xs4n0g01 xs7n0g01"
).split()


def parsed(name: str) -> tuple[str, bool, int, int]:
    """What is tested, interlaced?, colour type, bits."""
    what, how, colour, bits = re.fullmatch(r"(.+?)([in]?)(\d)[gcpa](\d\d)", name).groups()
    return what, how == "i", int(colour), int(bits)


def drawn(name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """(H, W, channels) samples and the palette, of all values that the depth allows."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    what, _, colour, bits = parsed(name)
    side = int(what[1:]) if name in SIZES else 32
    palette = rng.integers(0, 256, (2 ** min(bits, 8), 3)) if colour == 3 else None
    return rng.integers(0, 2**bits, (side, side, CHANNELS[colour])), palette


def numbers(*values: int) -> bytes:
    return struct.pack(f">{len(values)}H", *values)


PRIMARIES = [31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000]
MORE = {  # what stands in no way of the pixels, by the beginning of the name
    "bgb": [chunk(b"bKGD", numbers(1))],
    "bgg": [chunk(b"bKGD", numbers(1))],
    "bgw": [chunk(b"bKGD", numbers(1, 1, 1))],
    "bgy": [chunk(b"bKGD", numbers(1, 1, 1))],
    "ccw": [chunk(b"cHRM", struct.pack(">8I", *PRIMARIES))],
    "cs3": [chunk(b"sBIT", bytes([3] * 3))],
    "cs5": [chunk(b"sBIT", bytes([5] * 3))],
    "cs8": [chunk(b"sBIT", bytes([8] * 3))],
    "pp0": [chunk(b"PLTE", bytes(range(216)) * 3)],
    "ps1": [chunk(b"sPLT", b"six\0\x08" + bytes(6 * 216))],
    "ps2": [chunk(b"sPLT", b"six\0\x10" + bytes(10 * 216))],
    "cdf": [chunk(b"pHYs", struct.pack(">IIB", 1, 4, 0))],
    "cdh": [chunk(b"pHYs", struct.pack(">IIB", 4, 1, 0))],
    "cds": [chunk(b"pHYs", struct.pack(">IIB", 1, 1, 0))],
    "cdu": [chunk(b"pHYs", struct.pack(">IIB", 1000, 1000, 1))],
    "cm0": [chunk(b"tIME", struct.pack(">HBBBBB", 2000, 1, 1, 12, 34, 56))],
    "cm7": [chunk(b"tIME", struct.pack(">HBBBBB", 1970, 1, 1, 0, 0, 0))],
    "cm9": [chunk(b"tIME", struct.pack(">HBBBBB", 1999, 12, 31, 23, 59, 59))],
    "ct1": [chunk(b"tEXt", b"Title\0PngSuite")],
    "ctz": [chunk(b"zTXt", b"Title\0\0" + zlib.compress(b"PngSuite"))],
    **{
        f"ct{language}": [chunk(b"iTXt", b"Title\0\0\0fi\0Otsikko\0" + "Πνγ-Suite".encode())]
        for language in "efghj"
    },
    "exif": [chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\0\0\0\0\0")],
}


def extras(name: str, samples, palette) -> list[bytes]:
    """The chunks between IHDR and IDAT."""
    what = parsed(name)[0]
    chunks = list(MORE.get(what, []))
    if name in GAMMA:
        chunks.append(chunk(b"gAMA", struct.pack(">I", int(what[1:]) * 10_000)))
    if palette is not None:
        chunks.append(chunk(b"PLTE", palette.astype(np.uint8).tobytes()))
    if name in TRANSPARENT:
        chunks.append(chunk(b"tRNS", transparency(name, samples)))
    if what in ("ch1", "ch2"):
        chunks.append(chunk(b"hIST", numbers(*range(len(palette)))))
    return chunks


def transparency(name: str, samples) -> bytes:
    """Of a palette its first quarter by degrees; otherwise the first pixel's colour."""
    _, _, colour, bits = parsed(name)
    if colour == 3:
        return bytes(np.linspace(0, 255, 2**bits // 4 + 1).astype(np.uint8))
    return numbers(*samples[0, 0])


def shown(name: str, samples, palette) -> np.ndarray:
    """(H, W, 3) by the standard: depth scaled to 8 bits (of 16 the upper 8), laid on white."""
    _, _, colour, bits = parsed(name)
    eight = samples >> 8 if bits == 16 else samples * 255 // (2**bits - 1) if colour != 3 else samples
    alpha = np.full(samples.shape[:2], 255)
    if colour in (4, 6):
        alpha = eight[:, :, -1]
    elif name in TRANSPARENT and colour != 3:
        alpha = np.where((samples == samples[0, 0]).all(axis=2), 0, 255)
    if colour == 3:
        table = np.full(2**bits, 255)
        if name in TRANSPARENT:
            degrees = list(transparency(name, samples))
            table[: len(degrees)] = degrees
        alpha, rgb = table[samples[:, :, 0]], palette[samples[:, :, 0]]
    else:
        rgb = eight[:, :, :3] if colour in (2, 6) else eight[:, :, :1].repeat(3, axis=2)
    return (rgb * alpha[:, :, None] + 255 * (255 - alpha[:, :, None])) / 255


def file_of(name: str) -> bytes:
    samples, palette = drawn(name)
    what, interlaced, colour, bits = parsed(name)
    options = {
        "row_filter": int(what[1:]) if name in FILTERS else 99,
        "level": int(what[1:]) if name in LEVELS else 6,
        "pieces": {"1": 1, "2": 2, "4": 4, "9": 999}[what[2]] if name in ORDER else 1,
    }
    return pictures.png_of(
        samples, bits, colour, *extras(name, samples, palette), interlaced=interlaced, **options
    )


@pytest.mark.parametrize("name", SOUND)
def test_a_file_of_pngsuite_shows_its_pixels(name):
    decoded = images.decode(file_of(name))
    expected = shown(name, *drawn(name))
    assert decoded.shape == expected.shape
    assert np.abs(decoded - expected).max() <= 1
    if parsed(name)[2] in (0, 2):
        assert np.array_equal(decoded, expected)


def corrupted(name: str) -> bytes:
    data = pictures.png_of(np.zeros((8, 8, 1), int), 8, 0)
    body = data[8:]
    signature = {  # a bit, a byte or line endings of it
        "xs1": b"\x99PNG\r\n\x1a\n",
        "xs2": b"\x89PMG\r\n\x1a\n",
        "xs4": b"\x89PNG\n\x1a\n",
        "xs7": b"PNG\r\n\x1a\n",
        "xlf": b"\x89PNG\n\x1a\n\n",
    }
    at = data.index(b"IEND") - 8  # the checksum of IDAT
    whole = {
        "xcr": data.replace(b"\n", b"\r\n"),
        "xhd": data[:29] + b"????" + data[33:],
        "xcs": data[:at] + b"????" + data[at + 4 :],
        "xdt": data[:33] + chunk(b"IEND", b""),
    }
    if name[:3] in signature:
        return signature[name[:3]] + body
    if name[:3] in whole:
        return whole[name[:3]]
    colour = {"xc1": 1, "xc9": 9}.get(name[:3], 2)
    depth = {"xd0": 0, "xd3": 3, "xd9": 99}.get(name[:3], 8)
    return data[:8] + pictures.header(8, 8, depth, colour) + data[33:]


@pytest.mark.parametrize("name", CORRUPT)
def test_a_corrupt_file_of_pngsuite_is_refused(name):
    with pytest.raises(ImageError) as caught:
        images.decode(corrupted(name))
    assert caught.value.check in {"unreadable", "truncated", "not-an-image"}


def test_the_suite_is_whole():
    assert len(SOUND) == len(set(SOUND)) == 161
    assert len(CORRUPT) == 14
