from __future__ import annotations

import base64
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from headstart.errors import ImageError
from headstart.report.thumbnails import Album, data_uri, resized, small


def opened(uri: str) -> Image.Image:
    return Image.open(BytesIO(base64.b64decode(uri.partition(",")[2])))


def check(found: np.ndarray | ImageError) -> str:
    assert isinstance(found, ImageError)
    return found.check


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (320, 200, (160, 100)),
        (160, 90, (160, 90)),
        (120, 60, (120, 60)),  # twice as large would not fit
        (80, 40, (160, 80)),
        (1, 1, (160, 160)),
        (3000, 1, (160, 1)),
    ],
)
def test_pictures_keep_their_shape_and_fit(width, height, expected):
    found = resized(np.full((height, width, 3), 7, np.uint8), 160)
    assert (found.shape[1], found.shape[0]) == expected
    assert (found == 7).all()


def test_enlarged_pixels_stay_squares():
    found = resized(np.array([[[0] * 3, [255] * 3]], np.uint8), 5)
    assert found[:, :, 0].tolist() == [[0, 0, 255, 255]] * 2


def test_nothing_of_a_file_but_its_pixels_comes_along(tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "a secret place"  # the description
    exif[0x0112] = 6  # to be turned clockwise
    path = tmp_path / "a.jpg"
    Image.new("RGB", (300, 150), "red").save(path, exif=exif, comment=b"a secret comment")
    assert b"a secret place" in path.read_bytes()
    picture = small(path)
    assert isinstance(picture, np.ndarray)
    uri = data_uri(picture)
    assert opened(uri).size == (80, 160)
    assert b"secret" not in base64.b64decode(uri.partition(",")[2])
    assert not opened(uri).getexif()


def test_why_a_picture_cannot_be_shown_is_an_answer(tmp_path):
    (tmp_path / "empty.jpg").touch()
    assert check(small(tmp_path / "gone.jpg")) == "missing"
    assert check(small(tmp_path / "empty.jpg")) == "empty"
    assert check(small(tmp_path / ("long" * 200))) == "missing"
    assert check(small(tmp_path / "nul\0.jpg")) == "missing"


def test_an_album_is_never_larger_than_its_room():
    noise = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    sizes = [len(data_uri(picture)) for picture in noise]
    album = Album(sizes[0] + sizes[1] + 10)
    uris = [album.uri(picture) for picture in noise]
    assert [bool(uri) for uri in uris] == [True, True, False, False]
    assert album.room == 10
    assert album.refused == 2


def test_drawings_are_kept_exactly():
    drawing = np.zeros((20, 30), np.uint8)
    drawing[3, 4:20] = 255
    assert (np.asarray(opened(data_uri(drawing, "PNG"))) == drawing).all()
