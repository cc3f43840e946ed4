"""Plain PNGs have Pillow's bits without Pillow; whatever is odd about one is Pillow's to judge."""

from __future__ import annotations

import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageCms
from tests.data.pictures import PNG, chunk, filtered, header, photo, png_of, saved, swapped_profile

from headstart.data import images, metadata, png
from headstart.errors import ImageError

GREY, RGB = 0, 2
END = chunk(b"IEND", b"")


def fast(data: bytes) -> np.ndarray | None:
    part = metadata.needed_part(data, "PNG")
    return png.decoded(Image.open(BytesIO(part)), part)


def by_pillow(data: bytes) -> np.ndarray:
    with Image.open(BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def noise(height, width, colour, seed=0) -> np.ndarray:
    """(height, width, 1 or 3) samples of all values, so that predictions wrap around."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3 if colour == RGB else 1))


def with_rows(rows: bytes, width=8, height=6, colour=RGB) -> bytes:
    return PNG + header(width, height, 8, colour) + chunk(b"IDAT", zlib.compress(rows)) + END


@pytest.mark.parametrize("row_filter", [0, 1, 2, 3, 4, 99])
@pytest.mark.parametrize("colour", [GREY, RGB])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 40), (40, 1), (2, 3), (17, 33), (61, 20)])
def test_the_bits_are_pillows(width, height, colour, row_filter):
    for seed, (level, pieces) in enumerate([(0, 1), (1, 3), (6, 999), (9, 2)]):
        samples = noise(height, width, colour, seed)
        data = png_of(samples, 8, colour, row_filter=row_filter, level=level, pieces=pieces)
        pixels = fast(data)
        assert np.array_equal(pixels, np.broadcast_to(samples, (height, width, 3)))
        assert np.array_equal(pixels, by_pillow(data))
        assert pixels.flags.c_contiguous
        assert pixels.flags.writeable
        assert np.array_equal(images.decode(data), pixels)


@pytest.mark.parametrize("level", range(10))
def test_what_pillow_has_written_is_read_without_it(level, monkeypatch):
    monkeypatch.delattr(images, "srgb")  # which has Pillow decode
    picture = photo(333, 217, seed=level)
    data = saved(Image.fromarray(picture), "PNG", compress_level=level)
    assert np.array_equal(images.decode(data), picture)
    grey = saved(Image.fromarray(picture[:, :, 0]), "PNG", compress_level=level)
    assert np.array_equal(images.decode(grey), picture[:, :, :1].repeat(3, axis=2))


def test_threads_do_not_disturb_each_other():
    pictures = [photo(90, 70, seed) for seed in range(8)]
    files = [saved(Image.fromarray(picture), "PNG") for picture in pictures]
    with ThreadPoolExecutor(8) as pool:
        decoded = list(pool.map(images.decode, files * 8))
    assert all(np.array_equal(one, other) for one, other in zip(decoded, pictures * 8, strict=True))


def exif(orientation) -> bytes:
    return b"MM\0*\0\0\0\x08\0\1" + struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0) + bytes(4)


def test_exif_before_the_pixels_turns_and_after_them_too():
    samples = noise(5, 9, RGB)
    plain = png_of(samples, 8, RGB)
    turned = np.rot90(samples, -1)
    tag = chunk(b"eXIf", exif(6))
    before, after = plain[:33] + tag + plain[33:], plain[:-12] + tag + plain[-12:]
    assert fast(before) is not None
    assert fast(after) is None
    for data in (before, after):
        assert np.array_equal(images.decode(data), turned)
        assert images.dimensions(data) == (5, 9)
    assert images.dimensions(plain) == (9, 5)


def test_dimensions_come_without_pixels():
    data = saved(Image.fromarray(photo(50, 40)), "PNG")
    image = Image.open(BytesIO(data))
    assert metadata.orientation(image, data) == 1
    assert image.tile != []  # what is still to be decoded


def test_a_profile_is_passed_over_if_it_is_srgb():
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = photo(20, 30)
    assert np.array_equal(fast(saved(Image.fromarray(picture), "PNG", icc_profile=own)), picture)
    swapped = saved(Image.fromarray(picture), "PNG", icc_profile=swapped_profile())
    assert fast(swapped) is None
    assert not np.array_equal(images.decode(swapped), picture)


def test_chunks_that_say_nothing_of_the_first_pixels_do_not_matter():
    plain = png_of(noise(6, 8, RGB), 8, RGB)
    more = [
        chunk(b"gAMA", struct.pack(">I", 30_000)),
        chunk(b"bKGD", bytes(6)),
        chunk(b"acTL", struct.pack(">II", 1, 0)),
        chunk(b"tEXt", b"Title\0a"),
    ]
    data = plain[:33] + b"".join(more) + plain[33:-12] + more[3] + plain[-12:] + b"what follows"
    assert np.array_equal(fast(data), fast(plain))
    assert np.array_equal(images.decode(data), fast(plain))


def rows_of(samples) -> bytes:
    return filtered(samples.reshape(len(samples), -1).astype(np.uint8), samples.shape[2], 4)


def odd_ones() -> dict[str, bytes]:
    samples = noise(6, 8, RGB)
    rows = rows_of(samples)
    plain = with_rows(rows)
    packed = zlib.compress(rows)
    halves = chunk(b"IDAT", packed[:30]), chunk(b"IDAT", packed[30:])
    rng = np.random.default_rng(0)
    return {
        "16 bits": png_of(rng.integers(0, 2**16, (6, 8, 3)), 16, RGB),
        "4 bits": png_of(rng.integers(0, 16, (6, 8, 1)), 4, GREY),
        "palette": saved(Image.fromarray(samples.astype(np.uint8)).quantize(9), "PNG"),
        "alpha": png_of(rng.integers(0, 256, (6, 8, 4)), 8, 6),
        "grey and alpha": png_of(rng.integers(0, 256, (6, 8, 2)), 8, 4),
        "interlaced": png_of(samples, 8, RGB, interlaced=True),
        "one colour transparent": png_of(samples, 8, RGB, chunk(b"tRNS", struct.pack(">3H", *samples[0, 0]))),
        "palette of RGB": png_of(samples, 8, RGB, chunk(b"PLTE", bytes(9))),
        "unknown chunk": png_of(samples, 8, RGB, chunk(b"HEAD", b"start")),
        "two headers": png_of(samples, 8, RGB, header(4, 4, 8, RGB)),
        "EXIF amid the pixels": plain[:33] + halves[0] + chunk(b"eXIf", exif(3)) + halves[1] + END,
        "no pixels": plain[:33] + END,
        "a row too few": with_rows(rows[:-25]),
        "a byte too few": with_rows(rows[:-1]),
        "a byte more": with_rows(rows + b"\0"),
        "rows without end": with_rows(rows + bytes(10**6)),
        "a filter of its own": with_rows(rows[:50] + b"\5" + rows[51:]),
        "a filter of 255": with_rows(b"\xff" + rows[1:]),
        "a wrong sum of the rows": plain[:33] + chunk(b"IDAT", packed[:-1] + bytes([packed[-1] ^ 1])) + END,
        "no sum of the rows": plain[:33] + chunk(b"IDAT", packed[:-4]) + END,
        "another method": plain[:33] + chunk(b"IDAT", b"\x79" + packed[1:]) + END,
        "no width": with_rows(bytes(6), 0),
        "no height": with_rows(b"", 8, 0),
        "nothing": with_rows(b"", 0, 2**32 - 1),
    }


def said(data: bytes) -> tuple[str, object]:
    """The pixels, or the error's words, in a form that can be compared."""
    try:
        pixels = images.decode(data)
    except ImageError as error:
        return error.check, str(error)
    return "pixels", (pixels.shape, pixels.tobytes())


@pytest.mark.parametrize("name", odd_ones())
def test_what_is_odd_is_left_to_pillow(name, monkeypatch, capfd):
    data = odd_ones()[name]
    answer = said(data)
    taken = []
    with monkeypatch.context() as patch:
        patch.setattr(png, "decoded", lambda *_: taken.append(name))
        assert said(data) == answer
    if taken:  # not refused before the pixels
        assert fast(data) is None
    assert capfd.readouterr() == ("", "")


def mutated(data: bytes, rng) -> bytes:
    """One byte of one chunk's body changed, its checksum made true again."""
    chunks, at = [], 8
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], bytearray(data[at + 8 : end - 4])))
        at = end
    body = chunks[rng.integers(len(chunks) - 1)][1]
    body[rng.integers(len(body))] ^= 1 << rng.integers(8)
    return PNG + b"".join(chunk(name, bytes(body)) for name, body in chunks)


def test_400_changed_bytes_say_the_same_as_by_pillow(monkeypatch, capfd):
    rng = np.random.default_rng(0)
    rows = rows_of(noise(6, 8, RGB))
    files = []
    for number in range(200):
        pieces = int(rng.integers(1, 9))
        files.append(mutated(png_of(noise(6, 8, RGB), 8, RGB, row_filter=99, pieces=pieces), rng))
        other = bytearray(rows)
        other[number % len(rows)] ^= 1 << rng.integers(8)
        files.append(with_rows(bytes(other)))
    answers = [said(data) for data in files]
    monkeypatch.setattr(png, "decoded", lambda *_: None)
    assert [said(data) for data in files] == answers
    kinds = [kind for kind, _ in answers]
    assert kinds.count("pixels") > 100
    assert len(kinds) - kinds.count("pixels") > 100
    assert capfd.readouterr() == ("", "")
