"""The fit and the symmetries, worked out by hand, and the same pixels as Keras's own loader gives."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from tests.data.pictures import photo

from headstart.data import geometry, images

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


# --- Keras ---------------------------------------------------------------------------------------------


def assert_alike(one, other) -> None:
    """At most one level apart, and nearly nowhere: float32 sums against Pillow's whole numbers."""
    apart = np.abs(one.astype(int) - other)
    assert apart.max() <= 1
    assert np.count_nonzero(apart) <= 2 + apart.size / 2000


@pytest.mark.parametrize("kind", ["jpg", "png", "bmp", "webp"])
@pytest.mark.parametrize(("width", "height"), [(500, 400), (333, 500), (120, 90), (224, 224)])
def test_a_plain_file_gives_what_keras_loads(tmp_path, kind, width, height):
    import keras

    path = tmp_path / f"picture.{kind}"
    Image.fromarray(photo(width, height)).save(path)
    whole = np.asarray(keras.utils.load_img(path))
    assert np.array_equal(images.decode(path.read_bytes()), whole)
    for size in (224, 64) if kind != "jpg" or width <= 500 else ():
        loaded = keras.utils.load_img(path, target_size=(size, size), interpolation="bicubic")
        assert_alike(images.fit(whole, size, "stretch"), np.asarray(loaded))
    loaded = keras.utils.load_img(path, target_size=(224, 224), interpolation="bicubic")
    assert_alike(images.load(path, 224, "stretch"), np.asarray(loaded))


# --- what a fit needs ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["letterbox", "crop", "stretch"])
@pytest.mark.parametrize(("width", "height"), [(4000, 3000), (3000, 4000), (5000, 700), (900, 901)])
def test_no_side_is_scaled_to_more_than_is_said_to_be_needed(mode, width, height, monkeypatch):
    asked = []

    def watched(_, new_width, new_height, box=None):
        left, top, right, bottom = box or (0, 0, width, height)
        asked.append((new_width / (right - left) * width, new_height / (bottom - top) * height))
        return np.zeros((new_height, new_width, 3), np.uint8)

    monkeypatch.setattr(geometry, "resized", watched)
    images.fit(np.zeros((height, width, 3), np.uint8), 224, mode)
    (scaled,) = asked
    short, long = images.needed(224, mode)
    if mode == "stretch":
        assert max(scaled) <= min(short, long) + 1
    else:
        factor = max(short / min(width, height), long / max(width, height))
        assert max(scaled[0] / width, scaled[1] / height) <= factor * 1.01
