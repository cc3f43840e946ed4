"""Colours of heatmaps, the same in the report and in pictures."""

from __future__ import annotations

import numpy as np

STOPS = np.array([0.0, 0.5, 1.0])
COLOURS = np.array([[86, 180, 233, 0], [240, 228, 66, 120], [213, 94, 0, 205]], np.float64)
"""Nothing, some, most: sky blue, yellow and vermilion of Okabe and Ito, with their opacity."""


def coloured(heat: np.ndarray) -> np.ndarray:
    """(H, W, 4) uint8 RGBA of (H, W) heat in [0, 1], to be laid over the picture.

    >>> coloured(np.array([[0.0, 1.0]])).tolist()
    [[[86, 180, 233, 0], [213, 94, 0, 205]]]
    """
    channels = [np.interp(heat, STOPS, COLOURS[:, channel]) for channel in range(4)]
    return np.asarray(np.rint(np.stack(channels, axis=-1)), np.uint8)
