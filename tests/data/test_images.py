"""Reading, refusing and decoding, on files made here."""

from __future__ import annotations

import base64
import io
import os
import random
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin
from tests.data.pictures import FILES, blocks, check_of, chunk

from headstart.data import formats, images
from headstart.errors import ImageError

# --- what is refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data", [b"just text", b"<html>Not found</html>", b"BMW makes cars, this is no bitmap at all", b"\0" * 99]
)
def test_what_is_no_image(data):
    assert check_of(data) == "not-an-image"


def test_a_camera_s_raw_file_is_not_its_preview():
    """NEF and DNG are TIFFs that begin with a small picture."""
    content = io.BytesIO()
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[254] = 1
    Image.new("RGB", (160, 120), "red").save(content, "TIFF", tiffinfo=tags)
    with pytest.raises(ImageError, match=r"camera's raw file.* Develop it"):
        images.decode(content.getvalue())


@pytest.mark.parametrize("quality", [60, 95])
def test_a_jpeg_that_ends_in_nothing_is_cut_short(quality):
    """Room was set aside for all of it, and the end was never written; the decoder says nothing of that."""
    content = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    Image.fromarray(noise).save(content, "JPEG", quality=quality)
    whole = content.getvalue()
    assert check_of(whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2)) == "truncated"
    np.testing.assert_array_equal(images.decode(whole + bytes(500)), images.decode(whole))


def test_an_empty_file():
    assert check_of(b"") == "empty"


@pytest.mark.parametrize("name", FILES)
def test_no_cut_loses_a_pixel_without_a_word(name):
    whole = images.decode(FILES[name])
    checks = []
    for length in range(1, len(FILES[name])):
        try:
            decoded = images.decode(FILES[name][:length])
        except ImageError as error:
            checks.append(error.check)
        else:
            assert np.array_equal(decoded, whole)  # only what follows the pixels was missing
    assert set(checks) <= {"not-an-image", "truncated", "unreadable"}
    if not name.startswith(("tiff", "avif")):  # their end, or that of a part, can't be seen to be missing
        assert "unreadable" not in checks


@pytest.mark.parametrize("name", FILES)
def test_random_damage_gives_an_image_or_an_image_error(name):
    rng = random.Random(name)  # noqa: S311 - not for secrets
    for _ in range(150):
        damaged = bytearray(FILES[name])
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(20, len(damaged))] = rng.randrange(256)
        answer = answered(bytes(damaged))
        assert answer in {"(H, W, 3)", "truncated", "unreadable", "too-large"}


def answered(data: bytes) -> str:
    try:
        return "(H, W, 3)" if images.decode(data).shape[2:] == (3,) else "another shape"
    except ImageError as error:
        return error.check if str(error).isprintable() else "not one line"


def huge(kind: str) -> bytes:
    """A few bytes that announce 20,000 x 20,000 pixels."""
    side = 20_000
    if kind == "PNG":
        return (
            FILES["png"][:8]
            + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", b"")
        )
    if kind == "GIF":
        return (
            b"GIF89a"
            + struct.pack("<HH", side, side)
            + b"\0\0\0,"
            + struct.pack("<HHHH", 0, 0, side, side)
            + b"\0\2"
        )
    if kind == "BMP":
        return FILES["bmp"][:18] + struct.pack("<ii", side, side) + FILES["bmp"][26:]
    at = FILES["jpeg"].index(b"\xff\xc0")
    return FILES["jpeg"][: at + 5] + struct.pack(">HH", side, side) + FILES["jpeg"][at + 9 :]


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "JPEG"])
def test_too_many_pixels_are_refused_by_the_header(kind):
    assert check_of(huge(kind)) == "too-large"


def test_the_limit_is_ours(monkeypatch):
    monkeypatch.setattr(formats, "MAX_PIXELS", 32 * 48 - 1)
    assert check_of(FILES["webp"]) == "too-large"
    monkeypatch.setattr(formats, "MAX_PIXELS", 32 * 48)
    assert images.decode(FILES["webp"]).shape == (32, 48, 3)


@pytest.mark.parametrize(
    ("error", "check"),
    [
        (MemoryError(), "too-large"),
        (Image.DecompressionBombError("bomb"), "too-large"),
        (OSError("image file is truncated (3 bytes not processed)"), "truncated"),
        (OSError("broken data stream"), "unreadable"),
        (ValueError("a\nb\x1b[31m"), "unreadable"),
        (SyntaxError("bad"), "unreadable"),
        (UnicodeDecodeError("ascii", b"\xff", 0, 1, "ordinal"), "unreadable"),
        (ZeroDivisionError("division by zero"), "unreadable"),
        (struct.error("unpack"), "unreadable"),
        (zlib.error("Error -3"), "unreadable"),
        (EOFError(), "unreadable"),
        (IndexError("out of range"), "unreadable"),
        (RecursionError(), "unreadable"),
    ],
)
def test_whatever_pillow_throws_is_one_typed_error(monkeypatch, error, check):
    def throw(*_, **__):
        raise error

    monkeypatch.setattr(Image, "open", throw)
    assert check_of(FILES["png"]) == check


# --- files ---------------------------------------------------------------------------------------------


def read_check(path) -> str:
    with pytest.raises(ImageError) as caught:
        images.read(path)
    assert str(path) not in str(caught.value)
    return caught.value.check


def test_read_gives_the_bytes_of_an_image(tmp_path):
    path = tmp_path / "Grüße aus Ærø.jpg"
    path.write_bytes(FILES["png"])  # the content decides, not the extension
    assert images.read(path) == FILES["png"]
    assert np.array_equal(images.load(path, 48, "stretch"), images.fit(blocks(), 48, "stretch"))


def test_read_refuses_what_cannot_be_read(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "link.png").symlink_to("nowhere")
    (tmp_path / "loop.png").symlink_to("loop.png")
    os.mkfifo(tmp_path / "pipe.png")
    assert read_check(tmp_path / "empty.png") == "empty"
    for name in ("link.png", "loop.png", "pipe.png", "missing.png", "."):
        assert read_check(tmp_path / name) == "unreadable"
    assert read_check("a\0b") == "unreadable"


def test_read_does_not_read_what_is_too_large_or_no_image(tmp_path):
    for name, begin, check in (
        ("film.mp4", b"\0\0\0 ftyp", "not-an-image"),
        ("a.png", FILES["png"], "too-large"),
    ):
        path = tmp_path / name
        path.write_bytes(begin)
        os.truncate(path, 2**40)  # a terabyte, of holes
        assert read_check(path) == check


# --- arrays --------------------------------------------------------------------------------------------


def test_arrays_are_taken_as_images():
    grey = np.array([[0, 7], [9, 255]])
    assert images.from_array(grey)[..., 2].tolist() == grey.tolist()
    assert np.array_equal(images.from_array(grey[:, :, None].astype(np.uint8)), images.from_array(grey))
    assert np.array_equal(images.from_array(blocks()), blocks())
    assert np.array_equal(images.from_array(blocks()[:, ::-1]), blocks()[:, ::-1])
    faint = np.array([[[255, 0, 100, 128]]], np.uint8)
    assert images.from_array(faint).tolist() == [[[255, 127, 177]]]


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2, 2), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((2, 2, 3)),
        np.full((2, 2, 3), 256),
        np.full((2, 2), -1),
        np.zeros((2, 2), bool),
        np.array([["a", "b"]]),
    ],
)
def test_other_arrays_are_refused(array):
    with pytest.raises(ImageError, match="not an image") as caught:
        images.from_array(array)
    assert caught.value.check == "not-an-image"


# --- HEIC ----------------------------------------------------------------------------------------------

# Nothing that a test may depend on writes HEIC. This was drawn with pillow-heif 1.4, quality 90: 64 x 48
# pixels in four flat quarters, (200, 30, 40) and (20, 160, 60) above (30, 60, 180) and (240, 240, 240).
HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAX1tZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAA"
    "AAAAACJpbG9jAAAAAERAAAEAAQAAAAABoQABAAAAAAAAARcAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAA"
    "AA5waXRtAAAAAAABAAAA/WlwcnAAAADdaXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNw"
    "AAADAJAAAAMAAAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFz"
    "wIkAAAATY29scm5jbHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xhcAAAAEAAAAABAAAAMAAAAAEAAAAAAAAA"
    "Av////AAAAACAAAAEHBpeGkAAAAAAwgICAAAABhpcG1hAAAAAAAAAAEAAQWBAgMFhAAAAR9tZGF0AAABEygBrwY4Wve238hk"
    "///zgx6H9ITiJ0VvxpWNqrzIjffhNr//iZSRIZXXfgG+Rxgmpq5BfsI8PqtmZ/h1fdVEv/bsfRJfNkkz6MDbUbp9k5BBKnJQ"
    "VRbP1z+yp//JJ//nGJi5pJbOd+wKZE13S67fXUB9eT4/Zs+Pl/SxC8/eHFyfgSJkyhSTMUeIz3Es0LpUhpmWcwY+bXr7UJjZ"
    "oukGWkBs2n5X8Dq7+iJPKiBNluZ6nvaSJYglcPJCfL28Es0htAQCVTmGRzQAPSj+LMyFwTg0tgF2Mnx95EJ5oV6r26h43l09"
    "5k6VRyVPj/N8vhlEfHGWRYhG6rDhkVhri5+mYUoT5CJ96BeLVVqQZBLGd7+at7Cw"
)


def test_a_heic_gives_its_colours():
    pytest.importorskip("pi_heif")
    quarters = np.array([[[200, 30, 40], [20, 160, 60]], [[30, 60, 180], [240, 240, 240]]])
    decoded = images.decode(HEIC)
    assert images.dimensions(HEIC) == (64, 48)
    assert np.abs(decoded - np.kron(quarters, np.ones((24, 32, 1), int))).max() <= 4
    assert check_of(HEIC[:-40]) == "truncated"
    assert check_of(HEIC[:300] + bytes(60) + HEIC[360:]) == "unreadable"


def test_a_heic_without_its_library_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pi_heif", None)  # what Python finds where it is not installed
    with pytest.raises(ImageError, match=r"Install headstart\[heic\]"):
        images.decode(HEIC)


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"hevc", b"mif1", b"msf1"])
def test_heic_and_avif_are_told_apart_by_their_brands(brand):
    begin = b"\0\0\0\x20ftyp" + brand + bytes(4)
    assert formats.announced(begin + b"mif1heic" + bytes(8)) == "HEIC"
    if brand.endswith(b"f1"):
        assert formats.announced(begin + b"miafavif" + bytes(8)) == "AVIF"


@pytest.mark.parametrize(
    "begin", [b"\0\0\1\0\1\0", b"%PDF-1.7", b"\0\0\0\x20ftypisom", b"8BPS", b"<svg xmlns"]
)
def test_other_formats_are_refused_by_their_content(begin):
    assert check_of(begin + bytes(60)) == "not-an-image"
