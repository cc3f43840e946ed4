from __future__ import annotations

import numpy as np
import pytest

from headstart.report import data_pixels as pixels


def flat(level: int, shape: tuple[int, int] = (60, 80)) -> np.ndarray:
    return np.full((*shape, 3), level, np.uint8)


def square(background: int = 200, inside: int = 20) -> np.ndarray:
    """A square of 30 pixels from (20, 15) in an image of 80 × 60."""
    picture = flat(background)
    picture[15:45, 20:50] = inside
    return picture


def test_histograms_are_shares_of_the_pixels():
    picture = flat(0, (2, 2))
    picture[0, 0] = (255, 0, 8)
    red, green, blue, brightness = pixels.histograms(picture)
    assert red[[0, 31]].tolist() == [0.75, 0.25]
    assert green[0] == 1
    assert blue[[0, 1]].tolist() == [0.75, 0.25]
    # 0.299 · 255 + 0.114 · 8 = 77.2, which is in the tenth bin of 8 levels.
    assert brightness[[0, 9]].tolist() == [0.75, 0.25]


def test_grey_is_told_from_colour():
    assert pixels.is_grey(flat(90))
    coloured = flat(90)
    coloured[3, 3, 0] = 91
    assert not pixels.is_grey(coloured)


def test_edges_follow_a_square_and_nothing_else():
    found = np.argwhere(pixels.edges(square()))
    rows, columns = found.T
    assert len(found) >= 100  # its outline has 4 · 30 pixels
    near = (np.minimum(abs(rows - 15), abs(rows - 44)) <= 2) | (
        np.minimum(abs(columns - 20), abs(columns - 49)) <= 2
    )
    assert near.all()
    assert rows.min() >= 13
    assert rows.max() <= 46
    assert columns.min() >= 18
    assert columns.max() <= 51


def test_faint_shapes_have_edges_too():
    assert (pixels.edges(square(130, 122)) > 0).sum() >= 100


@pytest.mark.parametrize("level", [0, 127, 255])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (60, 80)])
def test_a_flat_image_has_neither_edges_nor_contours(level, shape):
    assert not pixels.edges(flat(level, shape)).any()
    assert pixels.contours(flat(level, shape)).number == 0


@pytest.mark.parametrize(("background", "inside"), [(200, 20), (20, 200)])
def test_a_square_has_one_contour_on_its_outline(background, inside):
    picture, number = pixels.contours(square(background, inside))
    assert number == 1
    drawn = np.argwhere((picture != picture[:, :, :1]).any(axis=2))
    assert drawn.min(axis=0) == pytest.approx([15, 20], abs=3)
    assert drawn.max(axis=0) == pytest.approx([44, 49], abs=3)
    middle = picture[25:35, 30:40]
    assert (middle == middle[:, :, :1]).all()


def test_specks_are_no_contours():
    picture = flat(200, (300, 300))
    picture[100:103, 100:103] = 0
    assert pixels.contours(picture).number == 0


def test_copies_do_not_differ_however_they_are_turned():
    picture = np.random.default_rng(1).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    for flip in (1, -1):
        for turn in range(4):
            copy = np.ascontiguousarray(np.rot90(picture, turn)[:, ::flip])
            assert not pixels.difference(picture, copy).any(), (turn, flip)


def test_differences_are_shown_eight_times_as_strong():
    assert (pixels.difference(flat(100), flat(105)) == 40).all()
    assert (pixels.difference(flat(0), flat(200)) == 255).all()


def test_a_copy_of_another_size_is_scaled():
    found = pixels.difference(square(), np.ascontiguousarray(square().repeat(2, axis=0).repeat(2, axis=1)))
    assert found.shape == (60, 80)
    assert not found.any()
