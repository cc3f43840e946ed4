"""Whether two pictures are the same one: laid over each other to a fraction of a pixel, then compared.

Pictures of like things (solar cells, digits, parts on a belt) correlate highly and yet differ; a picture that
was saved, scaled or cropped anew differs by what the encoder and the resampling add, about a grey level once
it is averaged. So the difference is taken in grey levels, and only from pictures that are aligned.
"""

from __future__ import annotations

import numpy as np

from headstart.data.candidates import Window
from headstart.data.thumbs import pooled

Affine = np.ndarray
"""(2, 3) float32: where in `first` a pixel of `second` comes from."""

LEVEL = 1.0
CONTRAST = 0.05
SMALLEST, LARGEST, BENT = 0.86, 1.02, 0.03  # of a crop to 90 %, as well as it can be found


def limit(contrast: np.ndarray) -> np.ndarray:
    """The largest difference between copies, in grey levels, by the contrast of the pictures.

    One level, or 5 % of the contrast where that is more (encoders take more from busy pictures), and
    never more than half of it, so that nearly blank pictures aren't all the same. Measured on ELPV at
    32 pixels: JPEG at quality 30 adds up to 0.9 levels, the two most alike of different cells are 1.35 apart.

    >>> limit(np.array([0.0, 1.0, 10.0, 60.0])).tolist()
    [0.0, 0.5, 1.0, 3.0]
    """
    return np.maximum(CONTRAST * contrast, np.minimum(LEVEL, contrast / 2))


def contrast(thumbs: np.ndarray) -> np.ndarray:
    """(N, S, S) → (N,): the standard deviation of the grey levels, once 2×2 pixels are averaged."""
    return np.asarray(pooled(thumbs).std(axis=(1, 2)))


def difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N, S, S) twice → (N,): root mean square of the grey levels' differences, 2×2 pixels averaged."""
    return np.asarray(np.sqrt(((pooled(first) - pooled(second)) ** 2).mean(axis=(1, 2))))


def align(first: np.ndarray, second: np.ndarray, start: Affine, steps: int) -> tuple[float, Affine]:
    """Moves the window `start` of `first` until it fits `second`, and compares what lies inside.

    By maximising the enhanced correlation coefficient (Evangelidis and Psarakis 2008,
    doi:10.1109/TPAMI.2008.113), as OpenCV has it.

    Args:
        first: (S, S) float32 grey levels, of which `second` may be a part.
        second: (S, S) float32.
        start: where to begin.
        steps: most iterations.

    Returns:
        The difference as of `difference`, without the outermost pixels (infinite where no fit was found),
        and the window.
    """
    import cv2

    size = (len(second), len(second))
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, steps, 1e-4)
    everywhere = np.full(size, 255, np.uint8)
    try:
        _, found = cv2.findTransformECC(second, first, start.copy(), cv2.MOTION_AFFINE, stop, everywhere, 5)
    except cv2.error:  # it says so where the two have nothing in common
        return float("inf"), start
    warp = np.asarray(found, np.float32)
    how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    cut = cv2.warpAffine(first, warp, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
    left = cv2.resize(cut - second, (32, 32), interpolation=cv2.INTER_AREA)[1:-1, 1:-1]
    return float(np.sqrt((left**2).mean())), warp


def is_crop(warp: Affine) -> bool:
    """Whether a window is one that a crop leaves: of 86 % of a side at least, and neither turned nor sheared.

    Pictures of like things can be bent until they fit.

    >>> is_crop(np.array([[0.9, 0.0, 3], [0.0, 0.95, 1]]))
    True
    >>> is_crop(np.array([[0.77, 0.0, 3], [0.0, 0.76, 1]]))
    False
    """
    scales, bends = np.array([warp[0, 0], warp[1, 1]]), np.array([warp[0, 1], warp[1, 0]])
    return bool((scales >= SMALLEST).all() and (scales <= LARGEST).all() and (abs(bends) <= BENT).all())


def affine(window: Window, side: int) -> Affine:
    """A window as the matrix that maps pixel centres of a (side, side) picture into it.

    >>> affine(Window(0.0, 0.5, 0.5, 0.5), 64).tolist()
    [[0.5, 0.0, -0.25], [0.0, 0.5, 31.75]]
    """
    x = window.left * side + (window.width - 1) / 2
    y = window.top * side + (window.height - 1) / 2
    return np.array([[window.width, 0.0, x], [0.0, window.height, y]], np.float32)


def scaled(warp: Affine, factor: int) -> Affine:
    """The same window between pictures with `factor` times as many pixels a side."""
    centre = (warp[:, :2].sum(axis=1) - 1) / 2  # of the first pixel, half a pixel from the edge
    moved = warp.copy()
    moved[:, 2] = factor * (warp[:, 2] - centre) + centre
    return moved
