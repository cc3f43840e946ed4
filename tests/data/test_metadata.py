"""Orientation is exact, broken metadata never loses the pixels, and a PNG is whole or refused."""

from __future__ import annotations

import struct
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from tests.data.pictures import FILES, blocks, check_of, chunk, saved

from headstart.data import formats, images, metadata
from headstart.errors import ImageError


def shown_at(orientation, row, column, height, width):
    """Where the stored pixel (row, column) is on the displayed height x width image (Exif 2.32, 0x0112)."""
    bottom, right = height - 1, width - 1
    return {
        1: (row, column),
        2: (row, right - column),
        3: (bottom - row, right - column),
        4: (bottom - row, column),
        5: (column, row),
        6: (column, right - row),
        7: (bottom - column, right - row),
        8: (bottom - column, row),
    }[orientation]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 90}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ],
)
def test_exif_orientation_is_exact(kind, options, orientation):
    shown = blocks()
    height, width = shown.shape[:2]
    rows, columns = (height, width) if orientation < 5 else (width, height)
    stored = np.empty((rows, columns, 3), np.uint8)
    for i, j in np.ndindex(rows, columns):
        stored[i, j] = shown[shown_at(orientation, i, j, height, width)]
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = images.decode(saved(Image.fromarray(stored), kind, exif=exif, **options))
    assert decoded.shape == shown.shape
    if kind != "JPEG":
        assert np.array_equal(decoded, shown)
        return
    plain = images.decode(saved(Image.fromarray(stored), kind, **options))  # what JPEG makes of the pixels
    for i, j in np.ndindex(rows, columns):
        assert np.array_equal(decoded[shown_at(orientation, i, j, height, width)], plain[i, j])


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_an_unknown_orientation_turns_nothing(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(blocks()), "PNG", exif=exif)
    assert np.array_equal(images.decode(data), blocks())


def ascii_resolution() -> bytes:
    """EXIF whose XResolution is text: Pillow takes the whole JPEG for unidentified."""
    entries = struct.pack(">HHI4s", 0x11A, 2, 2, b"7\0\0\0") + struct.pack(">HHI4s", 0x128, 3, 1, b"\0\2\0\0")
    return b"Exif\0\0MM\0*\0\0\0\x08\0\2" + entries + bytes(4)


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0garbage!", b"Exif\0\0MM\0*\xff\xff\xff\xff", ascii_resolution()]
)
def test_bad_exif_never_loses_the_pixels(exif):
    plain = images.decode(saved(Image.fromarray(blocks()), "JPEG"))
    assert np.array_equal(images.decode(saved(Image.fromarray(blocks()), "JPEG", exif=exif)), plain)
    assert np.array_equal(images.decode(saved(Image.fromarray(blocks()), "PNG", exif=exif)), blocks())


def test_metadata_that_pillow_stumbles_over_is_left_aside():
    jpeg, flawless = FILES["jpeg"], FILES["png"]
    short_profile = b"\xff\xe2" + struct.pack(">H", 14) + b"ICC_PROFILE\0"
    odd_profile = chunk(b"iCCP", b"x\0\x07abc")  # an unknown compression
    for good, bad in (
        (jpeg, jpeg[:2] + short_profile + jpeg[2:]),
        (flawless, flawless[:33] + odd_profile + flawless[33:]),
    ):
        with pytest.raises(Exception, match="cannot identify"):
            Image.open(BytesIO(bad))
        assert np.array_equal(images.decode(bad), images.decode(good))


def test_a_wrong_checksum_is_damage_even_in_metadata():
    wrong = chunk(b"eXIf", b"MM\0*")[:-1] + b"?"
    assert check_of(FILES["png"][:33] + wrong + FILES["png"][33:]) == "unreadable"


# --- PNG's own checks ----------------------------------------------------------------------------------


def chunks_of(data: bytes) -> dict[bytes, tuple[int, int]]:
    """Name → where the chunk begins and ends."""
    at, found = 8, {}
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        found[data[at + 4 : at + 8]] = at, end
        at = end
    return found


@pytest.mark.parametrize("name", [b"IHDR", b"IDAT", b"PLTE", b"tRNS"])
def test_a_wrong_checksum_is_found_in_every_chunk(name):
    picture = Image.fromarray(blocks()[:, :, 0]).convert("P")
    data = saved(picture, "PNG", transparency=3)
    assert images.decode(data).shape == blocks().shape
    _, end = chunks_of(data)[name]
    assert check_of(data[: end - 1] + bytes([data[end - 1] ^ 1]) + data[end:]) == "unreadable"


def test_a_png_without_its_end_is_truncated():
    data = FILES["png"]
    for missing in (1, 4, 8, 12, 13):
        assert check_of(data[:-missing]) == "truncated"
    assert np.array_equal(images.decode(data + b"whatever follows"), blocks())


def test_a_turn_told_after_the_pixels_counts():
    exif = Image.Exif()
    exif[0x0112] = 3
    end = len(FILES["png"]) - 12
    data = FILES["png"][:end] + chunk(b"eXIf", exif.tobytes()) + FILES["png"][end:]
    assert np.array_equal(images.decode(data), blocks()[::-1, ::-1])
    assert images.dimensions(data) == (48, 32)


def test_text_and_further_frames_of_a_png_are_left_aside():
    data = FILES["png"]
    full = data[:33] + chunk(b"tEXt", b"a\0b") * 10 + chunk(b"acTL", bytes(8)) + data[33:-12]
    full += chunk(b"fdAT", b"?" * 50) * 2000 + data[-12:]
    assert metadata.needed_part(full, "PNG") == data
    assert (
        check_of(data[:33] + chunk(b"tEXt", b"a\0b") * (metadata.MAX_CHUNKS + 1) + data[33:]) == "too-large"
    )


def test_comments_of_a_gif_are_left_aside_and_its_control_is_not():
    picture = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    picture.putpalette([255, 0, 0, 0, 255, 0, 1, 2, 3])
    data = saved(picture, "GIF", transparency=1, optimize=False)
    at = data.index(b"!\xf9")
    comment = b"!\xfe\x03abc\x02de\0"
    talking = data[:at] + comment * 3 + data[at:]
    assert metadata.needed_part(talking, "GIF") == data
    assert images.decode(talking).tolist() == [[[255, 0, 0], [255, 255, 255], [1, 2, 3]]]
    assert check_of(data[:at] + comment * metadata.MAX_CHUNKS + data[at:]) == "too-large"


def test_a_jpeg_of_endless_passes_is_refused(monkeypatch):
    data = FILES["progressive"]
    passes = data.count(b"\xff\xda")
    assert 1 < passes < 20
    monkeypatch.setattr(metadata, "MAX_PIXELS", passes * 32 * 48 // 20)
    assert images.decode(data).shape == (32, 48, 3)
    monkeypatch.setattr(metadata, "MAX_PIXELS", passes * 32 * 48 // 20 - 1)
    assert check_of(data) == "too-large"
    assert images.decode(FILES["jpeg"]).shape == (32, 48, 3)


def test_scans_are_counted_up_to_the_end_of_the_picture(monkeypatch):
    """Also of a JPEG that isn't progressive, in which a scan costs ten bytes; not what lies behind it."""
    data = FILES["jpeg"]
    monkeypatch.setattr(metadata, "MAX_PIXELS", 32 * 48)
    start, end = data.index(b"\xff\xda"), data.rindex(b"\xff\xd9")
    scan = data[start:end]
    assert images.decode(data + scan * 5000).shape == (32, 48, 3)
    thumbnail = b"\xff\xe1" + (2 + len(scan)).to_bytes(2) + scan
    assert images.decode(data[:2] + thumbnail * 30 + data[2:]).shape == (32, 48, 3)
    assert check_of(data[:end] + scan[:40] * 20 + data[end:]) == "too-large"


@pytest.mark.parametrize("name", ["webp", "webp-lossless", "webp-alpha"])
def test_the_size_of_a_webp_is_known_before_pillow_sees_it(name, monkeypatch):
    veiled = np.dstack([blocks(), blocks()[:, :, 0]])
    data = FILES.get(name) or saved(Image.fromarray(veiled), "WEBP")
    monkeypatch.setattr(Image, "open", None)
    monkeypatch.setattr(formats, "MAX_PIXELS", 48 * 32 - 1)
    assert check_of(data) == "too-large"


# --- size from the header ------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_dimensions_are_those_of_the_displayed_image(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(blocks()), kind, exif=exif)
    assert images.dimensions(data) == ((48, 32) if orientation < 5 else (32, 48))
    height, width, _ = images.decode(data).shape
    assert images.dimensions(data) == (width, height)


@pytest.mark.parametrize("kind", ["GIF", "BMP"])
def test_dimensions_of_formats_that_are_never_turned(kind):
    assert images.dimensions(saved(Image.fromarray(blocks()), kind)) == (48, 32)


def test_dimensions_need_the_header_alone():
    assert images.dimensions(FILES["jpeg"][:-20]) == (48, 32)
    assert images.dimensions(FILES["bmp"][:60]) == (8, 8)
    assert check_of(FILES["jpeg"][:20], images.dimensions) == "truncated"


def test_pieces_without_end_are_refused(monkeypatch):
    """A small picture of many megabytes, which are nothing but empty pieces, would take seconds."""
    monkeypatch.setattr(metadata, "MOST_CHUNKS", 20)
    monkeypatch.setattr(metadata, "MOST_MARKERS", 20)
    png, jpeg = BytesIO(), BytesIO()
    Image.new("RGB", (8, 8), "red").save(png, "PNG")
    Image.new("RGB", (8, 8), "red").save(jpeg, "JPEG")
    empty = chunk(b"IDAT", b"")
    at = png.getvalue().index(b"IEND") - 4
    many_chunks = png.getvalue()[:at] + 30 * empty + png.getvalue()[at:]
    many_markers = jpeg.getvalue()[:-2] + 30 * b"\xff\x01" + jpeg.getvalue()[-2:]

    for content, words in ((many_chunks, "chunks of a PNG"), (many_markers, "markers of a JPEG")):
        with pytest.raises(ImageError, match=words):
            images.decode(content)
    assert images.decode(png.getvalue()).shape == images.decode(jpeg.getvalue()).shape == (8, 8, 3)
