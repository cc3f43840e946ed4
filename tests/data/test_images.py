"""The decoder and the fit, on files made here, with pixels worked out by hand."""

from __future__ import annotations

import os
import random
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageCms

from headstart.data import images
from headstart.errors import ImageError


def saved(image, kind, **options) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width, depth, colour, rows, *extra) -> bytes:
    """A PNG by the book: each of `rows` as the packed bytes of its samples."""
    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    begin = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return begin + b"".join(extra) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def blocks(seed=0) -> np.ndarray:
    """(32, 48, 3): 2 x 3 flat squares, all different, so that no turn looks like another."""
    colours = np.random.default_rng(seed).integers(0, 256, (2, 3, 3), dtype=np.uint8)
    return np.kron(colours, np.ones((16, 16, 1), np.uint8))


def check_of(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        images.decode(data)
    message = str(caught.value)
    assert message.isprintable()
    assert "object at" not in message
    return caught.value.check


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
}


# --- formats and colour --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options"), [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("WEBP", {"lossless": True}), ("GIF", {})]
)
def test_a_lossless_file_gives_its_very_pixels(kind, options):
    decoded = images.decode(saved(Image.fromarray(blocks()), kind, **options))
    assert np.array_equal(decoded, blocks())
    assert decoded.dtype == np.uint8
    assert decoded.flags.writeable
    assert decoded.flags.c_contiguous


def test_a_jpeg_gives_its_colours():
    decoded = images.decode(saved(Image.fromarray(blocks()), "JPEG", quality=95, subsampling=0))
    assert np.abs(decoded.astype(int) - blocks()).max() <= 3


def test_grey_has_three_equal_channels():
    assert images.decode(png(3, 8, 0, [bytes([0, 100, 255])])).tolist() == [[[0] * 3, [100] * 3, [255] * 3]]


def test_one_bit_is_black_and_white():
    assert images.decode(png(3, 1, 0, [bytes([0b10100000])]))[0, :, 0].tolist() == [255, 0, 255]


SIXTEEN = [0x0000, 0x00FF, 0x0100, 0x1234, 0x8000, 0xFFFF]
HIGH = [0x00, 0x00, 0x01, 0x12, 0x80, 0xFF]


def test_sixteen_bit_grey_keeps_the_high_byte():
    grey_png = png(6, 16, 0, [struct.pack(">6H", *SIXTEEN)])
    grey_tiff = saved(Image.fromarray(np.array([SIXTEEN], np.uint16)), "TIFF")
    as_int32 = saved(Image.fromarray(np.array([SIXTEEN], np.int32)), "TIFF")
    for data in (grey_png, grey_tiff, as_int32):
        decoded = images.decode(data)
        assert decoded.shape == (1, 6, 3)
        assert [decoded[0, :, c].tolist() for c in range(3)] == [HIGH] * 3


def test_sixteen_bit_colour_keeps_the_high_byte():
    data = png(2, 16, 2, [struct.pack(">6H", *SIXTEEN)])
    assert images.decode(data).tolist() == [[[0x00, 0x00, 0x01], [0x12, 0x80, 0xFF]]]


@pytest.mark.parametrize("pixels", [np.array([[0, 70_000]], np.int32), np.array([[0.0, 1.0]], np.float32)])
def test_pixels_without_an_agreed_white_are_refused(pixels):
    assert check_of(saved(Image.fromarray(pixels), "TIFF")) == "unreadable"


def test_transparency_is_laid_on_white():
    # 128/255 of (255, 0, 100) on white: 0 + 127 = 127, and 100 * 128/255 + 127 = 177.2.
    half = Image.fromarray(np.array([[[255, 0, 100, 128], [9, 9, 9, 0], [9, 8, 7, 255]]], np.uint8))
    for kind, options in (("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True})):
        assert images.decode(saved(half, kind, **options)).tolist() == [
            [[255, 127, 177], [255] * 3, [9, 8, 7]]
        ]
    grey = Image.fromarray(np.array([[[0, 128], [50, 255]]], np.uint8))
    assert images.decode(saved(grey, "PNG"))[..., 0].tolist() == [[127, 50]]


def test_a_palette_and_its_transparency():
    palette = chunk(b"PLTE", bytes([255, 0, 0, 0, 255, 0, 1, 2, 3]))
    row = [bytes([0, 1, 2])]
    assert images.decode(png(3, 8, 3, row, palette)).tolist() == [[[255, 0, 0], [0, 255, 0], [1, 2, 3]]]
    faint = images.decode(png(3, 8, 3, row, palette, chunk(b"tRNS", bytes([128, 0]))))
    assert faint.tolist() == [[[255, 127, 127], [255, 255, 255], [1, 2, 3]]]
    hole = images.decode(png(3, 8, 3, row, palette, chunk(b"tRNS", bytes([255, 0]))))
    assert hole.tolist() == [[[255, 0, 0], [255, 255, 255], [1, 2, 3]]]


def test_a_transparent_colour_is_compared_as_the_file_means_it():
    def key(*values):
        return chunk(b"tRNS", struct.pack(f">{len(values)}H", *values))

    four_bits = images.decode(png(4, 4, 0, [bytes([0x03, 0x5F])], key(3)))
    assert four_bits[0, :, 0].tolist() == [0, 255, 5 * 17, 255]  # 3 is seen through, 15 is white itself
    two_bits = images.decode(png(4, 2, 0, [bytes([0b00011011])], key(1)))
    assert two_bits[0, :, 0].tolist() == [0, 255, 170, 255]
    one_bit = images.decode(png(2, 1, 0, [bytes([0b01000000])], key(0)))
    assert one_bit[0, :, 0].tolist() == [255, 255]
    sixteen = images.decode(png(2, 16, 0, [struct.pack(">2H", 0x1234, 0x1235)], key(0x1234)))
    assert sixteen[0, :, 0].tolist() == [255, 0x12]
    colour = images.decode(png(2, 8, 2, [bytes([1, 2, 3, 1, 2, 4])], key(1, 2, 3)))
    assert colour.tolist() == [[[255, 255, 255], [1, 2, 4]]]
    deep = images.decode(png(2, 16, 2, [struct.pack(">6H", 0x1234, 0, 0, 0x1334, 0, 0)], key(0x1234, 0, 0)))
    assert deep.tolist() == [[[255, 255, 255], [0x13, 0, 0]]]


def test_cmyk_becomes_rgb():
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[:, :, 1:3] = 255  # magenta and yellow make red
    decoded = images.decode(saved(Image.fromarray(inks, "CMYK"), "JPEG", quality=95))
    assert np.abs(decoded.astype(int) - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize(("kind", "options"), [("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {})])
def test_of_an_animation_the_first_frame_counts(kind, options):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert (images.decode(data) == [255, 0, 0]).all()


def swapped_profile() -> bytes:
    """sRGB with red's and green's places exchanged, under another name."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    count = struct.unpack(">I", profile[128:132])[0]
    table = profile[132 : 132 + 12 * count]
    table = table.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")
    profile = profile[:132] + table + profile[132 + 12 * count :]
    return profile.replace("sRGB".encode("utf-16-be"), "grRB".encode("utf-16-be"))


def test_an_embedded_profile_is_converted_to_srgb():
    pixels = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [90, 90, 90]]], np.uint8)
    expected = np.array([[[0, 255, 0], [255, 0, 0], [0, 0, 255], [90, 90, 90]]])
    for kind, options in (("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})):
        data = saved(Image.fromarray(pixels), kind, icc_profile=swapped_profile(), **options)
        assert np.abs(images.decode(data).astype(int) - expected).max() <= 1, kind


def test_srgb_needs_no_conversion():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = saved(Image.fromarray(blocks()), "PNG", icc_profile=srgb)
    assert np.array_equal(images.decode(data), blocks())


@pytest.mark.parametrize("profile", [b"nonsense", swapped_profile()[:200], bytes(500)])
def test_a_bad_profile_never_loses_the_pixels(profile):
    data = saved(Image.fromarray(blocks()), "PNG", icc_profile=profile)
    assert np.array_equal(images.decode(data), blocks())
    # A colour profile on a grey image can't be applied either.
    grey = saved(Image.fromarray(blocks()[:, :, 0]), "PNG", icc_profile=swapped_profile())
    assert np.array_equal(images.decode(grey)[:, :, 1], blocks()[:, :, 0])


# --- orientation ---------------------------------------------------------------------------------------


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


# --- what is refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data", [b"just text", b"<html>Not found</html>", b"BMW makes cars, this is no bitmap at all", b"\0" * 99]
)
def test_what_is_no_image(data):
    assert check_of(data) == "not-an-image"


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
    if not name.startswith("tiff"):  # a TIFF has no end that could be seen to be missing
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
    monkeypatch.setattr(images, "MAX_PIXELS", 32 * 48 - 1)
    assert check_of(FILES["webp"]) == "too-large"
    monkeypatch.setattr(images, "MAX_PIXELS", 32 * 48)
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


def test_pillows_warnings_stay_inside():
    warned = FILES["png"][:33] + chunk(b"acTL", bytes(8)) + FILES["png"][33:]
    with pytest.warns(UserWarning, match="Invalid APNG"):
        Image.open(BytesIO(warned))
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:  # warnings are errors here, so one that leaks would be raised
        decoded = list(pool.map(images.decode, [warned] * 64))
    assert all(np.array_equal(one, blocks()) for one in decoded)
    assert list(warnings.filters) == before


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


# --- fit -----------------------------------------------------------------------------------------------

PAD = list(images.PADDING)
RED, GREEN, BLUE = [255, 0, 0], [0, 255, 0], [0, 0, 255]


def test_letterbox_pads_the_short_side_around_the_centre():
    line = np.array([[RED, GREEN, BLUE]], np.uint8)
    assert images.fit(line, 3, "letterbox").tolist() == [[PAD] * 3, [RED, GREEN, BLUE], [PAD] * 3]
    upright = images.fit(line.transpose(1, 0, 2), 3, "letterbox")
    assert upright.tolist() == [[PAD, RED, PAD], [PAD, GREEN, PAD], [PAD, BLUE, PAD]]
    # 2 wide, 1 high: one row is left over, and it is the lower one.
    assert images.fit(line[:, :2], 2, "letterbox").tolist() == [[RED, GREEN], [PAD, PAD]]


def test_letterbox_scales_the_longest_side():
    flat = np.full((100, 200, 3), 50, np.uint8)
    fitted = images.fit(flat, 64, "letterbox")
    assert (fitted[16:48] == 50).all()
    assert (fitted[:16] == PAD).all()
    assert (fitted[48:] == PAD).all()


def test_crop_is_imagenets_protocol():
    image = np.random.default_rng(0).integers(0, 256, (256, 512, 3), dtype=np.uint8)
    # The short side is 256 already: rows 16 to 239 and columns 144 to 367 are cut out.
    assert np.array_equal(images.fit(image, 224, "crop"), image[16:240, 144:368])


@pytest.mark.parametrize("shape", [(300, 500), (97, 61), (1000, 333)])
def test_crop_equals_resizing_and_then_cutting(shape):
    image = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    scale = 256 / min(shape)
    width, height = round(shape[1] * scale), round(shape[0] * scale)
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - 224) // 2, (height - 224) // 2
    expected = np.asarray(resized.crop((left, top, left + 224, top + 224))).astype(int)
    assert np.abs(images.fit(image, 224, "crop") - expected).max() <= 1


def test_stretch_averages():
    four = np.array([[[0] * 3, [100] * 3], [[100] * 3, [200] * 3]], np.uint8)
    assert images.fit(four, 1, "stretch").tolist() == [[[100, 100, 100]]]


@pytest.mark.parametrize("mode", ["letterbox", "crop", "stretch"])
def test_fit_is_antialiased_and_square_for_any_shape(mode):
    board = np.indices((448, 448)).sum(0) % 2 * 255
    checkerboard = np.repeat(board[:, :, None], 3, 2).astype(np.uint8)
    inside = images.fit(checkerboard, 224, mode)[8:-8, 8:-8]
    assert abs(inside.mean() - 127.5) < 1  # nearest neighbours would give all black or all white
    assert inside.std() < 26
    for shape in ((1, 1), (1, 30_000), (30_000, 1), (3, 700)):
        fitted = images.fit(np.full((*shape, 3), 9, np.uint8), 224, mode)
        assert fitted.shape == (224, 224, 3)
        assert fitted.dtype == np.uint8


@pytest.mark.parametrize("mode", ["letterbox", "crop", "stretch"])
def test_an_image_of_that_size_is_returned_as_it_is(mode):
    square = np.random.default_rng(2).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert images.fit(square, 64, mode) is square


# --- symmetries ----------------------------------------------------------------------------------------


def test_the_eight_views():
    square = np.array([[[1] * 3, [2] * 3], [[3] * 3, [4] * 3]], np.uint8)
    views = [images.dihedral(square, view) for view in range(8)]
    assert [view[..., 0].tolist() for view in views] == [
        [[1, 2], [3, 4]],
        [[2, 4], [1, 3]],  # a quarter turn counter-clockwise
        [[4, 3], [2, 1]],
        [[3, 1], [4, 2]],
        [[2, 1], [4, 3]],  # mirrored
        [[4, 2], [3, 1]],
        [[3, 4], [1, 2]],
        [[1, 3], [2, 4]],
    ]
    assert all(view.flags.c_contiguous for view in views)
    group = {view.tobytes() for view in views}
    assert len(group) == 8
    assert {images.dihedral(view, again).tobytes() for view in views for again in range(8)} == group


@pytest.mark.parametrize("view", [-1, 8])
def test_there_is_no_ninth_view(view):
    with pytest.raises(ValueError, match="0 to 7"):
        images.dihedral(np.zeros((2, 2, 3), np.uint8), view)
