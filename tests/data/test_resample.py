"""Resampling gives the pixels of Pillow's resize, up and down, whole and in part."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from PIL import Image

from headstart.data import resample


def by_pillow(image, width, height, box=None) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC, box))


def assert_alike(one, other) -> None:
    """At most one level apart, and nearly nowhere."""
    apart = np.abs(one.astype(int) - other)
    assert apart.max() <= 1
    assert np.count_nonzero(apart) <= 2 + apart.size / 2000


def noise(height, width, seed=0) -> np.ndarray:
    """The hardest of pictures: every kernel's overshoot is clipped somewhere."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("seed", range(40))
def test_random_sizes_and_boxes(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 500, 2)
    new_height, new_width = rng.integers(1, 300, 2)
    image = noise(height, width, seed)
    assert_alike(resample.resized(image, new_width, new_height), by_pillow(image, new_width, new_height))
    left, right = np.sort(rng.random(2)) * width
    top, bottom = np.sort(rng.random(2)) * height
    box = (left, top, right, bottom)
    assert_alike(
        resample.resized(image, new_width, new_height, box), by_pillow(image, new_width, new_height, box)
    )


@pytest.mark.parametrize(("height", "width"), [(400, 500), (500, 400), (3000, 4000), (100, 20), (2, 17_000)])
def test_usual_and_unusual_shapes(height, width):
    image = noise(height, width)
    assert_alike(resample.resized(image, 224, 168), by_pillow(image, 224, 168))


@pytest.mark.parametrize(("height", "width"), [(9000, 3000), (3000, 9000)])
def test_a_large_image_takes_little_more_memory(height, width):
    image = np.zeros((height, width, 3), np.uint8)
    resample.resized(image[:100], 10, 10)  # imports
    tracemalloc.start()
    resample.resized(image, 224, 224)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32 * 2**20  # 324 MB if all of it were widened at once


def test_the_mean_of_two_pixels_by_hand():
    # From 2 to 1 the kernel is widened twice and falls alike on both; a tie is rounded up.
    image = np.array([[[0, 10, 255]], [[1, 20, 255]]], np.uint8)
    assert resample.resized(image, 1, 1).tolist() == [[[1, 15, 255]]]
