"""What the page about data computes from pixels: colours, edges, contours, differences."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

BINS = 32
"""Of a histogram: 8 of 256 levels each."""

GAIN = 8
"""Differences between near duplicates are shown so many times as strong."""

OUTLINE = (214, 84, 0)  # orange


def histograms(pixels: np.ndarray) -> np.ndarray:
    """Shares of the pixels by level.

    Args:
        pixels: (H, W, 3) uint8.

    Returns:
        (4, BINS): red, green, blue and brightness (luma); each row sums to 1.
    """
    channels = [*np.moveaxis(pixels, 2, 0), grey(pixels)]
    counts = [np.bincount(channel.ravel() // (256 // BINS), minlength=BINS) for channel in channels]
    return np.array(counts) / pixels[:, :, 0].size


def grey(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) → (H, W) uint8, brightness as the eye weighs it (Rec. 601)."""
    import cv2

    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))


def is_grey(pixels: np.ndarray) -> bool:
    """Whether all three channels are the same everywhere."""
    return bool((pixels == pixels[:, :, :1]).all())


def edges(pixels: np.ndarray) -> np.ndarray:
    """(H, W) uint8, 255 on edges: Canny's detector (1986, doi:10.1109/TPAMI.1986.4767851).

    Its thresholds come from the image: the upper one is Otsu's on the strength of the gradients, the lower
    half of it, so that faint and contrasty images both show their shapes.
    """
    import cv2

    calm = cv2.GaussianBlur(grey(pixels), (5, 5), 0)
    dx, dy = (cv2.Sobel(calm, cv2.CV_16S, *order) for order in ((1, 0), (0, 1)))
    strength = np.clip((np.abs(dx.astype(int)) + np.abs(dy)) // 8, 0, 255).astype(np.uint8)
    threshold, _ = cv2.threshold(strength, 0, 255, cv2.THRESH_OTSU)
    return np.asarray(cv2.Canny(dx, dy, 4 * threshold + 1, 8 * threshold + 1, L2gradient=False))


class Contours(NamedTuple):
    """The image in grey, dimmed, with its contours in orange, (H, W, 3) uint8; and how many there are."""

    picture: np.ndarray
    number: int


def contours(pixels: np.ndarray) -> Contours:
    """Outlines of what is brighter than the rest, by Otsu's threshold.

    Those of specks are left out, and what runs along the image's own border, which outlines nothing.
    """
    import cv2

    brightness = cv2.GaussianBlur(grey(pixels), (5, 5), 0)
    _, mask = cv2.threshold(brightness, 0, 255, cv2.THRESH_OTSU)
    found, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    large = [
        outline
        for outline in found
        if cv2.contourArea(outline) >= 0.001 * mask.size and _inside(outline, mask.shape).any()
    ]
    dimmed = np.ascontiguousarray((96 + 0.5 * grey(pixels)).astype(np.uint8)[:, :, None].repeat(3, axis=2))
    drawn = cv2.drawContours(dimmed.copy(), large, -1, OUTLINE, 2, cv2.LINE_AA)
    dimmed[2:-2, 2:-2] = drawn[2:-2, 2:-2]
    return Contours(dimmed, len(large))


def _inside(outline: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(N,) bool: which points of a contour do not lie on the border of an image of that shape."""
    points, last = outline[:, 0], np.array(shape[::-1]) - 1
    return np.asarray(((points > 0) & (points < last)).all(axis=1))


def difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(H, W) uint8: `GAIN` times the difference in brightness; black where the two are the same.

    `second` is scaled to the size of `first`, and turned or mirrored as it fits best.
    """
    import cv2

    one = grey(first)
    views = [np.rot90(grey(second), turn)[:, ::flip] for flip in (1, -1) for turn in range(4)]
    size = one.shape[::-1]
    fitted = [cv2.resize(np.ascontiguousarray(view), size, interpolation=cv2.INTER_AREA) for view in views]
    gaps = [cv2.absdiff(one, view) for view in fitted]
    return np.asarray(np.clip(min(gaps, key=np.mean).astype(int) * GAIN, 0, 255).astype(np.uint8))
