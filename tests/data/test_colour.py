"""Any colour mode becomes sRGB within one level of what was worked out by hand (R9)."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image, ImageCms
from tests.data.pictures import blocks, check_of, chunk, inks_jpeg, png, saved, swapped_profile, tiff

from headstart.data import colour, images


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


def test_a_transform_is_prepared_once():
    colour.to_srgb.cache_clear()
    for seed in range(3):
        images.decode(saved(Image.fromarray(blocks(seed)), "PNG", icc_profile=swapped_profile()))
    assert colour.to_srgb.cache_info().misses == 1
    assert colour.to_srgb.cache_info().maxsize is not None


# --- inks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ycck", [False, True])
def test_four_inks_in_a_jpeg(ycck):
    inks = np.kron(np.random.default_rng(3).integers(0, 256, (3, 4, 4)), np.ones((16, 16, 1), int))
    light = 255 - inks  # of each ink; black dims all three
    expected = light[:, :, :3] * light[:, :, 3:] / 255
    decoded = images.decode(inks_jpeg(inks, ycck=ycck))
    inside = np.abs(decoded - expected)[4:-4]
    assert inside.max() <= (3 if ycck else 2)  # JPEG itself rounds twice, thrice with another colour space
    assert inside.mean() <= 1


def test_four_inks_in_a_tiff():
    inks = np.random.default_rng(4).integers(0, 256, (9, 7, 4))
    light = 255 - inks
    decoded = images.decode(tiff(inks, 8, 5))
    assert np.abs(decoded - light[:, :, :3] * light[:, :, 3:] / 255).max() <= 1


# --- TIFF ----------------------------------------------------------------------------------------------

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, LAB = 0, 1, 2, 3, 8


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("photometric", [WHITE_IS_ZERO, BLACK_IS_ZERO])
def test_grey_tiffs(photometric, bits, big_endian):
    samples = np.random.default_rng(bits).integers(0, 2**bits, (5, 16, 1))
    data = tiff(samples, bits, photometric, big_endian=big_endian)
    if bits == 16 and big_endian and photometric == WHITE_IS_ZERO:
        assert check_of(data) == "unreadable"  # Pillow doesn't know it; better none than wrong pixels
        return
    decoded = images.decode(data)
    eight = samples >> 8 if bits == 16 else samples * 255 // (2**bits - 1)
    expected = 255 - eight if photometric == WHITE_IS_ZERO else eight
    assert np.array_equal(decoded, expected.repeat(3, axis=2))


def test_twelve_bits_keep_their_upper_eight():
    samples = np.array([[[0], [0x00F], [0x010], [0x123], [0x800], [0xFFF]]])
    decoded = images.decode(tiff(samples, 12, BLACK_IS_ZERO))
    assert decoded[0, :, 1].tolist() == [0, 0, 1, 0x12, 0x80, 0xFF]


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("alpha", [False, True])
def test_colour_tiffs(alpha, bits, big_endian):
    samples = np.random.default_rng(bits).integers(0, 2**bits, (5, 6, 4 if alpha else 3))
    data = tiff(samples, bits, RGB, big_endian=big_endian, extra=2 if alpha else None)
    eight = samples >> (bits - 8)
    opacity = eight[:, :, 3:] / 255 if alpha else 1
    expected = eight[:, :, :3] * opacity + 255 * (1 - opacity)
    assert np.abs(images.decode(data) - expected).max() <= 1


def test_a_palette_tiff():
    samples = np.arange(256).reshape(16, 16, 1)
    palette = np.random.default_rng(5).integers(0, 256, (3, 256))
    data = tiff(samples, 8, PALETTE, colour_map=(palette * 257).ravel())
    assert np.array_equal(images.decode(data), palette.T[samples[:, :, 0]])


def srgb_of_lab(lightness, a, b) -> np.ndarray:
    """By CIE 15 (white D50), Bradford's adaptation to D65 and IEC 61966-2-1."""
    y = (lightness + 16) / 116
    f = np.array([y + a / 500, y, y - b / 200])
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * [0.9642, 1, 0.8249]
    matrix = [[3.13386, -1.61687, -0.49061], [-0.97877, 1.91614, 0.03345], [0.07195, -0.22899, 1.40524]]
    linear = (np.array(matrix) @ xyz).clip(0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize(
    "lab", [(0, 0, 0), (255, 0, 0), (137, 0, 0), (138, 40, 30), (200, 5, 60), (60, 20, -20)]
)
def test_a_lab_tiff(lab):
    data = tiff(np.array([[lab]]) % 256, 8, LAB)  # L* from 0 to 255, a* and b* as signed bytes
    assert np.abs(images.decode(data) - srgb_of_lab(lab[0] / 2.55, *lab[1:])).max() <= 1.5


# --- BMP, GIF, WebP, AVIF ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["BMP", "GIF", "PNG", "TIFF"])
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_simple_modes(kind, mode):
    eight = np.random.default_rng(6).integers(0, 2, (9, 11), dtype=np.uint8) * 255
    expected = eight[:, :, None].repeat(3, axis=2)
    picture = Image.fromarray(eight).convert(mode)
    if mode == "P":
        picture.putpalette([9, 8, 7] * 255 + [40, 50, 60])
        expected = np.where(expected == 255, [40, 50, 60], [9, 8, 7])
    assert np.array_equal(images.decode(saved(picture, kind)), expected)


def test_a_see_through_colour_of_a_gif():
    picture = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    picture.putpalette([255, 0, 0, 0, 255, 0, 1, 2, 3])
    decoded = images.decode(saved(picture, "GIF", transparency=1, optimize=False))
    assert decoded.tolist() == [[[255, 0, 0], [255, 255, 255], [1, 2, 3]]]


def test_an_avif_gives_its_colours_and_its_transparency():
    decoded = images.decode(saved(Image.fromarray(blocks()), "AVIF", quality=100, subsampling="4:4:4"))
    assert np.abs(decoded.astype(int) - blocks()).max() <= 2
    veiled = np.dstack([blocks(), np.full(blocks().shape[:2], 128, np.uint8)])
    decoded = images.decode(saved(Image.fromarray(veiled), "AVIF", quality=100, subsampling="4:4:4"))
    assert np.abs(decoded - (blocks() * (128 / 255) + 127)).max() <= 2
