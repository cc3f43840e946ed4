"""What is drawn for an image and done to it by Keras's layers: the presets `photo` and `strong`.

A layer that draws for itself goes on from the images before; and its numbers would be other ones on another
backend. So the numbers come from the image's own generator, and the layers only apply them: eagerly, beside
the model and never in its graph.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Lock
from typing import Any

import numpy as np

from headstart.backbones.framework import keras
from headstart.data.geometry import PADDING

Images = Any  # a tensor of the backend, (1, S, S, 3) float32 of 0 to 255
Change = Callable[..., Images]  # (layer, images, **what to apply) → images
Pipeline = Callable[[Images, np.random.Generator], Images]

_BUILDING = Lock()
_SEED: dict[str, Any] = {"seed": 0}  # never used, but without one Keras takes a number from Python's `random`


def transformed(square: np.ndarray, preset: str, rng: np.random.Generator) -> np.ndarray:
    """An image as `preset` draws it; may be called from several threads at once.

    Args:
        square: (S, S, 3) uint8.
        preset: ``photo`` or ``strong``.
        rng: all random numbers come from here.

    Returns:
        (S, S, 3) uint8.
    """
    with _BUILDING:
        apply = _built(preset)
    return apply(square, rng)


@cache
def _built(preset: str) -> Callable[[np.ndarray, np.random.Generator], np.ndarray]:
    """On a thread of its own, as Keras keeps its counts of names and its dtype by thread.

    So the names in a model stay what they were, and a policy of mixed precision is for the model alone.
    """
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(_build, preset).result()


def _build(preset: str) -> Callable[[np.ndarray, np.random.Generator], np.ndarray]:
    k = keras()

    def change(layer: Any, images: Images, **drawn: np.ndarray | float) -> Images:
        tensors = {name: k.ops.convert_to_tensor(_single(value)) for name, value in drawn.items()}
        return layer.transform_images(images, tensors)

    pipeline = {"photo": _photo, "strong": _strong}[preset](k, change)

    def apply(square: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        mirrored = square[:, ::-1] if rng.random() < 0.5 else square
        with k.device("cpu:0"):  # the same pixels with and without a GPU, which is busy with training
            images = k.ops.convert_to_tensor(mirrored[None].astype(np.float32))
            images = pipeline(images, rng)
        pixels: np.ndarray = np.clip(np.rint(k.ops.convert_to_numpy(images)[0]), 0, 255)
        return pixels.astype(np.uint8)

    return apply


def _single(value: np.ndarray | float) -> np.ndarray:
    value = np.asarray(value)
    return value.astype(np.float32) if value.dtype == np.float64 else value


def _photo(k: Any, change: Change) -> Pipeline:
    """What another day, hand and camera would have made of it: turned, nearer, aside, in another light."""
    warp = k.layers.RandomRotation(0, **_SEED)
    brightness = k.layers.RandomBrightness(0, **_SEED)
    contrast = k.layers.RandomContrast(0, **_SEED)
    saturation = k.layers.RandomColorDegeneration(0, **_SEED)  # RandomSaturation leaves 0 to 255
    hue = k.layers.RandomHue(0, **_SEED)

    def pipeline(images: Images, rng: np.random.Generator) -> Images:
        size = images.shape[1]
        # One interpolation for all three: each of its own would blur, unlike view 0 and all that is served.
        linear = rng.uniform(0.85, 1.15) * _turn(rng.uniform(-15, 15))
        matrix = _mapping(size, linear, rng.uniform(-0.1, 0.1, 2) * size)
        images = change(warp, images, rotation_matrix=matrix)
        images = change(brightness, images, rgb_delta=rng.uniform(-0.1, 0.1) * 255)
        images = change(contrast, images, contrast_factor=rng.uniform(0.8, 1.2))
        images = change(saturation, images, factor=rng.uniform(-0.3, 0.3))
        return change(hue, images, factor=rng.uniform(-0.025, 0.025, 1))

    return pipeline


def _strong(k: Any, change: Change) -> Pipeline:
    """RandAugment (Cubuk et al., arXiv:1909.13719), then random erasing (Zhong et al., arXiv:1708.04896).

    The eleven steps of Keras's ``RandAugment``, which itself computes all of them for each image to keep two,
    draws without asking for a seed, and to one side only: it turns by 0 to 180° and shifts right and down.
    """
    warp = k.layers.RandomRotation(0, **_SEED)
    colour = k.layers.RandomColorDegeneration(0, **_SEED)
    sharpness = k.layers.RandomSharpness(0, **_SEED)
    solarize = k.layers.Solarization(**_SEED)
    posterize = k.layers.RandomPosterization(8, **_SEED)
    brightness, contrast = k.layers.RandomBrightness(0, **_SEED), k.layers.RandomContrast(0, **_SEED)
    spread, equalize = k.layers.AutoContrast(), k.layers.Equalization()
    erase = k.layers.RandomErasing(**_SEED)

    def shear(rng: np.random.Generator, size: int) -> np.ndarray:
        return _mapping(size, np.eye(2) + rng.uniform(-0.2, 0.2, 2) * [[0, 1], [1, 0]])

    def shift(rng: np.random.Generator, size: int) -> np.ndarray:
        return _mapping(size, np.eye(2), rng.uniform(-0.2, 0.2, 2) * size)

    def turn(rng: np.random.Generator, size: int) -> np.ndarray:
        return _mapping(size, _turn(rng.uniform(-30, 30)))

    def sharpen(images: Images, rng: np.random.Generator) -> Images:
        # The layer takes what is around the picture for black, which would draw a dark frame.
        wide = k.ops.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="reflect")
        return change(sharpness, wide, factor=rng.uniform(0.1, 0.9, 1))[:, 1:-1, 1:-1]

    steps: list[Pipeline] = [
        lambda x, rng: change(warp, x, rotation_matrix=shear(rng, x.shape[1])),
        lambda x, rng: change(warp, x, rotation_matrix=shift(rng, x.shape[1])),
        lambda x, rng: change(warp, x, rotation_matrix=turn(rng, x.shape[1])),
        lambda x, rng: change(brightness, x, rgb_delta=rng.uniform(-0.3, 0.3) * 255),
        lambda x, rng: change(colour, x, factor=rng.uniform(-0.8, 0.8)),
        lambda x, rng: change(contrast, x, contrast_factor=rng.uniform(0.5, 1.5)),
        sharpen,
        lambda x, rng: change(posterize, x, shift_factor=rng.integers(1, 5, 1, np.uint8)),
        lambda x, rng: change(solarize, x, additions=0.0, thresholds=rng.uniform(0, 255)),
        lambda x, _: change(spread, x),
        lambda x, _: change(equalize, x),
    ]

    def pipeline(images: Images, rng: np.random.Generator) -> Images:
        for choice in rng.integers(len(steps), size=2):
            images = steps[choice](images, rng)
        mask, erased = _patch(images.shape[1], rng), rng.random(1) < 0.5
        fill = np.array(PADDING, np.float32)  # nothing to the network, whereas noise would be a texture
        return change(erase, images, batch_masks=mask, apply_erasing=erased, fill_value=fill)

    return pipeline


def _patch(size: int, rng: np.random.Generator) -> np.ndarray:
    """(1, S, S, 1) bool: a rectangle of 2 to 33 % of the picture, each side 14 to 57 % of it."""
    sides = np.sqrt(rng.uniform(0.02, 0.33, 2)) * size
    starts = rng.random(2) * (size - sides)
    rows, columns = (starts[:, None] <= np.arange(size)) & (np.arange(size) < (starts + sides)[:, None])
    inside: np.ndarray = np.outer(rows, columns)
    return inside[None, :, :, None]


def _turn(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s], [s, c]])


def _mapping(size: int, linear: np.ndarray, shift: np.ndarray | float = 0.0) -> np.ndarray:
    """(1, 8): for each place of the output the place of the input, as Keras's affine transform takes it.

    Args:
        size: side of the picture in pixels.
        linear: (2, 2), about the middle, on (x, y); multiples of the identity above 1 show more.
        shift: by how many pixels (right, down) the picture moves.
    """
    middle = np.full(2, (size - 1) / 2)
    offset = middle - linear @ (middle + shift)
    return np.append(np.c_[linear, offset], [0, 0])[None]
