"""JPEGs have Pillow's bits without Pillow, and from twice the needed size up are decoded at a fraction."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from tests.data.pictures import blocks, check_of, inks_jpeg, photo, saved, swapped_profile

from headstart.data import images, jpeg


def by_pillow(data: bytes, by: int = 1) -> np.ndarray:
    with Image.open(BytesIO(data)) as image:
        image.draft(None, (max(1, image.width // by), max(1, image.height // by)))
        return np.asarray(image.convert("RGB"))


def fast(data: bytes, by: int = 1):
    return jpeg.decoded(Image.open(BytesIO(data)), data, by)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("quality", [25, 75, 98])
@pytest.mark.parametrize(("width", "height"), [(160, 120), (97, 61), (1, 1), (17, 33)])
def test_the_bits_are_pillows(width, height, quality, subsampling, progressive):
    options = {"quality": quality, "subsampling": subsampling, "progressive": progressive}
    colour = saved(Image.fromarray(photo(width, height)), "JPEG", **options)
    grey = saved(Image.fromarray(photo(width, height)[:, :, 0]), "JPEG", quality=quality)
    for data in (colour, grey):
        for by in (1, 2, 4, 8):
            assert np.array_equal(fast(data, by), by_pillow(data, by)), by
        assert np.array_equal(images.decode(data), by_pillow(data))


def test_what_is_unusual_is_left_to_pillow():
    inks = inks_jpeg(np.zeros((16, 16, 4), np.uint8), ycck=False)
    profile = saved(Image.fromarray(blocks()), "JPEG", icc_profile=swapped_profile())
    plain = saved(Image.fromarray(blocks()), "JPEG")
    at = plain.index(b"\xff\xda")
    stray = plain[:at] + b"???" + plain[at:]  # libjpeg warns, and goes on
    assert fast(inks) is None
    assert fast(profile) is None
    assert fast(stray) is None
    assert np.array_equal(images.decode(stray), images.decode(plain))


@pytest.mark.parametrize(
    ("width", "height", "need", "by"),
    [
        (4000, 3000, (0, 224), 8),
        (3000, 4000, (0, 224), 8),
        (4000, 3000, (256, 0), 8),
        (4000, 2000, (256, 0), 4),
        (4000, 1700, (224, 224), 4),
        (1791, 1500, (0, 224), 4),
        (1792, 1500, (0, 224), 8),
        (448, 300, (0, 224), 2),
        (447, 300, (0, 224), 1),
        (500, 400, (0, 224), 2),
        (10_000, 300, (256, 0), 1),
        (10_000, 300, (0, 224), 8),
        (10_000, 5, (0, 224), 4),
    ],
)
def test_both_sides_stay_as_long_as_needed(width, height, need, by):
    assert jpeg.denominator(width, height, need) == by
    assert jpeg.denominator(height, width, need) == by


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_jpeg_is_decoded_at_a_fraction(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(photo(1801, 1351)), "JPEG", quality=90, exif=exif)
    shape = (1351, 1801, 3) if orientation == 1 else (1801, 1351, 3)
    assert images.decode(data).shape == shape
    quarter = tuple(-(-side // 4) for side in shape[:2])
    eighth = tuple(-(-side // 8) for side in shape[:2])
    assert images.decode(data, (0, 224)).shape[:2] == eighth
    assert images.decode(data, (300, 0)).shape[:2] == quarter
    assert images.decode(data, (0, 901)).shape == shape
    assert images.dimensions(data) == (shape[1], shape[0])


def test_pillow_scales_what_is_left_to_it():
    data = saved(Image.fromarray(photo(900, 600)), "JPEG", icc_profile=swapped_profile())
    assert images.decode(data, (0, 200)).shape == (150, 225, 3)


@pytest.mark.parametrize("mode", ["letterbox", "crop", "stretch"])
def test_the_square_hardly_shows_the_fraction(tmp_path, mode):
    picture = photo(1999, 1333)  # neither side is a multiple of 8: the last pixels reach beyond the picture
    data = saved(Image.fromarray(picture), "JPEG", quality=92)
    (tmp_path / "a.jpg").write_bytes(data)
    small = images.load(tmp_path / "a.jpg", 224, mode)
    assert np.array_equal(small, images.square(data, 224, mode))
    whole = images.fit(images.decode(data), 224, mode)
    assert not np.array_equal(small, whole)
    assert np.abs(small.astype(int) - whole).mean() < 0.8
    assert np.abs(small.astype(int) - whole).max() < 12  # the padding is where it was


def test_damage_is_told_as_well_at_a_fraction():
    data = saved(Image.fromarray(photo(1000, 800)), "JPEG")
    for need in (None, (0, 100)):
        assert (
            check_of(data[: len(data) // 2], lambda cut, need=need: images.decode(cut, need)) == "truncated"
        )
