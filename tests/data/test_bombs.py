"""Files that would unpack to gigabytes: refused by the header, or shown without what is too much (R8)."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image
from tests.data.pictures import FILES, PNG, blocks, chunk, header, saved, tiff
from tests.data.test_images import HEIC

SECONDS, BYTES = 0.1, 32 * 2**20
SMALL = saved(Image.fromarray(blocks()), "PNG")


def png(width, height, *extra, depth=8, colour=2, interlaced=False, body=b"") -> bytes:
    begin = PNG + header(width, height, depth, colour, interlaced)
    return begin + b"".join(extra) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


def with_chunks(*chunks: bytes) -> bytes:
    """A picture of 32 x 48 pixels with `chunks` before its own."""
    return SMALL[:33] + b"".join(chunks) + SMALL[33:]


def frames_png(count) -> bytes:
    control = struct.pack(">IIIIIHHBB", 1, 48, 32, 0, 0, 1, 1, 0, 0)
    frame = chunk(b"fcTL", control) + chunk(b"fdAT", b"\0\0\0\2" + zlib.compress(bytes(145 * 32)))
    return (
        SMALL[:33]
        + chunk(b"acTL", struct.pack(">II", count, 0))
        + SMALL[33:-12]
        + frame * count
        + SMALL[-12:]
    )


def gif(width, height, *, frame=None, before=b"", frames=1) -> bytes:
    screen = b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\0\0" + bytes([0, 0, 0, 255, 255, 255])
    still = saved(Image.new("P", (4, 4)), "GIF")
    pixels = still[still.index(b",", 13) + 9 : -1]
    one = b"," + struct.pack("<HHHH", 0, 0, *(frame or (width, height))) + pixels
    return screen + before + one * frames + b";"


def riff(*parts: bytes) -> bytes:
    body = b"WEBP" + b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def part(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def canvas(width, height, flags=0) -> bytes:
    return part(
        b"VP8X",
        struct.pack("<I", flags) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little"),
    )


def frames_webp(width, height, count) -> bytes:
    still = saved(Image.new("RGB", (8, 8)), "WEBP", lossless=True)[12:]
    frame = part(
        b"ANMF", bytes(6) + (7).to_bytes(3, "little") * 2 + (10).to_bytes(3, "little") + b"\0" + still
    )
    return riff(canvas(width, height, 2), part(b"ANIM", bytes(6)), frame * count)


def lossless_webp(side) -> bytes:
    return riff(part(b"VP8L", b"\x2f" + struct.pack("<I", (side - 1) | (side - 1) << 14) + bytes(50)))


def lossy_webp(side) -> bytes:
    return riff(part(b"VP8 ", b"\x10\x02\0\x9d\x01\x2a" + struct.pack("<HH", side, side) + bytes(50)))


def tags(*entries: tuple[int, int, int, int], big=False) -> bytes:
    """A TIFF of nothing but its first directory: (tag, type, count, value)."""
    if big:
        begin = b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, len(entries))
        return begin + b"".join(struct.pack("<HHQQ", *entry) for entry in entries) + bytes(8)
    begin = b"II*\0" + struct.pack("<IH", 8, len(entries))
    return begin + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)


def plain_tags(width, height, *more, big=False) -> bytes:
    long = 16 if big else 4
    own = [(256, long, 1, width), (257, long, 1, height), (258, 3, 1, 8), (259, 3, 1, 5), (262, 3, 1, 1)]
    strips = (
        []
        if any(tag == 322 for tag, *_ in more)
        else [(273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, 2**31), (279, 4, 1, 100)]
    )
    return tags(*sorted([*own, *strips, *more]), big=big) + bytes(200)


def resized_box(data: bytes, side: int) -> bytes:
    """An AVIF or HEIC whose every image-size property tells of `side` x `side` pixels."""
    at = data.index(b"ispe")
    return data[: at + 8] + struct.pack(">II", side, side) + data[at + 16 :]


def jpeg(side, passes=1) -> bytes:
    data = FILES["progressive" if passes > 1 else "jpeg"]
    at = data.index(b"\xff\xc2" if passes > 1 else b"\xff\xc0")
    scan = data.index(b"\xff\xda")
    data = data[: at + 5] + struct.pack(">HH", side, side) + data[at + 9 :]
    return data[:scan] + data[scan:-2] * passes + data[-2:]


def bmp(width, height, compression=0) -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, compression, 0, 0, 0, 2, 0)
    return b"BM" + struct.pack("<IHHI", 14 + 40 + 8 + 400, 0, 0, 62) + info + bytes(8) + b"\xff\1" * 200


MIB = zlib.compress(bytes(2**20), 9)
MIB_64 = zlib.compress(bytes(2**26), 9)
TILES = (322, 4, 1, 2**15), (323, 4, 1, 2**15), (324, 4, 1, 8), (325, 4, 1, 99)
BOMBS = {
    "png 20,000 squared": png(20_000, 20_000),
    "png 100,000 squared": png(100_000, 100_000),
    "png of one row": png(2**31 - 1, 1, depth=1, colour=0),
    "png interlaced, 16 bits": png(30_000, 30_000, depth=16, colour=6, interlaced=True),
    "png beyond the standard": png(2**32 - 1, 2**32 - 1),
    "png zTXt": with_chunks(chunk(b"zTXt", b"a\0\0" + MIB_64)),
    "png zTXt, 100 times": with_chunks(*[chunk(b"zTXt", b"a\0\0" + MIB)] * 100),
    "png iTXt": with_chunks(chunk(b"iTXt", b"a\0\1\0\0\0" + MIB_64)),
    "png iCCP": with_chunks(chunk(b"iCCP", b"a\0\0" + MIB_64)),
    "png of 200,000 texts": with_chunks(chunk(b"tEXt", b"a\0b") * 200_000),
    "png whose rows go on": png(8, 8, body=bytes(2**26)),
    "png of 100,000 frames": frames_png(100_000),
    "gif 65,535 squared": gif(65_535, 65_535),
    "gif frame beyond its screen": gif(4, 4, frame=(65_535, 65_535)),
    "gif of 100,000 frames": gif(4, 4, frames=100_000),
    "gif comment": gif(4, 4, before=b"!\xfe" + (b"\xff" + b"x" * 255) * 40_000 + b"\0"),
    "gif of 100,000 extensions": gif(4, 4, before=b"!\xf9\4\0\0\0\0\0" * 100_000),
    "webp canvas": riff(canvas(16_384, 16_384), part(b"VP8L", b"\x2f" + bytes(20))),
    "webp canvas, one row": riff(canvas(2**24, 255), part(b"VP8L", b"\x2f" + bytes(20))),
    "webp lossless": lossless_webp(16_383),
    "webp lossy": lossy_webp(16_383),
    "webp frames on a vast canvas": frames_webp(16_383, 16_383, 3),
    "webp of 20,000 frames": frames_webp(8, 8, 20_000),
    "tiff 32-bit size": plain_tags(2**32 - 1, 2**32 - 1),
    "tiff 64-bit size": plain_tags(2**63 - 1, 2**63 - 1, big=True),
    "tiff 64-bit size that wraps to 0": plain_tags(2**32, 2**32, big=True),
    "tiff of one vast tile": plain_tags(16, 16, *TILES),
    "tiff of a vast table": plain_tags(16, 16, (270, 2, 2**32 - 1, 8)),
    "tiff of endless strips": plain_tags(16, 16, (320, 3, 2**31, 8)),
    "avif 65,535 squared": resized_box(FILES["avif"], 65_535),
    "avif 16,384 squared": resized_box(FILES["avif"], 16_384),
    "heic 30,000 squared": resized_box(HEIC, 30_000),
    "ico of 65,535 pictures": b"\0\0\1\0\xff\xff" + bytes(16) * 65_535,
    "bmp": bmp(2**31 - 1, 2**31 - 1),
    "bmp, run lengths": bmp(30_000, 30_000, compression=1),
    "jpeg 65,000 squared": jpeg(65_000),
    "jpeg of 500 passes": jpeg(9_000, passes=500),
}  # fmt: skip
SHOWN = {  # in spite of what comes along with them
    "png zTXt", "png zTXt, 100 times", "png iTXt", "png iCCP", "png whose rows go on",
    "png of 100,000 frames", "gif of 100,000 frames", "gif comment", "webp of 20,000 frames",
}  # fmt: skip

CHILD = '''
import json, sys, time
from pathlib import Path
from headstart.data import images
from headstart.errors import ImageError

def status(name):
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024

def measured(path):
    """The best of three times, since others may use the processor; the worst of three peaks."""
    data = path.read_bytes()
    answers, seconds, peaks = zip(*(once(data) for _ in range(3)))
    return answers[0], min(seconds), max(peaks)

def once(data):
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    base, start = status("VmRSS"), time.perf_counter()
    try:
        answer = str(images.decode(data).shape)
    except ImageError as error:
        answer = error.check
    return answer, time.perf_counter() - start, status("VmHWM") - base

folder = Path(sys.argv[1])
for path in sorted(folder.glob("warm*")):
    measured(path)
print(json.dumps({path.name: measured(path) for path in sorted(folder.glob("bomb*"))}))
'''


@pytest.fixture(scope="module")
def answers(tmp_path_factory) -> dict[str, tuple[str, float, int]]:
    """Name → answer, seconds and bytes in a process that has decoded good files before."""
    folder = tmp_path_factory.mktemp("bombs")
    for number, data in enumerate([*FILES.values(), HEIC]):
        (folder / f"warm{number}").write_bytes(data)
    for number, data in enumerate(BOMBS.values()):
        (folder / f"bomb{number:03}").write_bytes(data)
    done = subprocess.run([sys.executable, "-c", CHILD, folder], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return dict(zip(BOMBS, json.loads(done.stdout).values(), strict=True))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak of memory is read from /proc")
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_takes_neither_time_nor_memory(answers, name):
    answer, seconds, memory = answers[name]
    assert len(BOMBS) >= 30
    assert (answer in {"too-large", "unreadable", "truncated", "not-an-image"}) != (name in SHOWN), answer
    assert memory < BYTES
    assert seconds < SECONDS


def test_a_tiff_of_the_usual_kind_is_no_bomb():
    from headstart.data import images

    samples = np.full((4, 4, 1), 7)
    assert (images.decode(tiff(samples, 8, 1)) == 7).all()
