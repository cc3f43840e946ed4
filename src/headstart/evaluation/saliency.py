"""Grad-CAM in closed form: which part of an image speaks for a class.

Reference: Selvaraju et al. 2017, arXiv:1610.02391. Let A (H, W, K) be the last map and y the logit of a
class, before the softmax. With

    α_k = (1 / HW) Σ_ij ∂y / ∂A_ijk        and        L_ij = max(0, Σ_k α_k A_ijk)

L is large where the class is seen. The heads read the map by its mean and maximum, or by a max-pooling and
dense layers, so that Σ_ij ∂y / ∂A_ijk is a sum of known weights: a maximum hands its gradient to one place
(or to several equal ones, in shares), and where does not matter to the sum. No automatic differentiation is
needed.
"""

from __future__ import annotations

import numpy as np

from headstart.backbones.heads import DenseHead, Head, LinearHead

BORDER = 1 / 8
"""Of each side: the frame whose share of the heat is counted."""


def channel_weights(head: Head, features: np.ndarray, area: int, channels: int) -> np.ndarray:
    """(C, K) α of each class.

    Args:
        head: of the classifier.
        features: (D,) of the image, that end with the last map's mean and maximum, K numbers each.
        area: H · W of the last map.
        channels: K.
    """
    if isinstance(head, LinearHead):
        mean, largest = head.kernel[-2 * channels : -channels], head.kernel[-channels:]
        return np.asarray((mean + largest).T.astype(np.float64) / area)
    assert isinstance(head, DenseHead)
    gradient = _input_gradient(head, features)
    return np.asarray(gradient.reshape(len(gradient), -1, channels).sum(axis=1) / area)


def _input_gradient(head: DenseHead, features: np.ndarray) -> np.ndarray:
    """(C, F) gradient of each logit by what the first dense layer reads; with ReLU between the layers."""
    x, active = features[: len(head.layers[0][0])], []
    for kernel, bias in head.layers[:-1]:
        x = np.maximum(x @ kernel + bias, 0)
        active.append(x > 0)
    gradient = head.layers[-1][0].T.astype(np.float64)
    for (kernel, _), on in zip(reversed(head.layers[:-1]), reversed(active), strict=True):
        gradient = (gradient * on) @ kernel.T
    return gradient


def grad_cam(last_map: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(H, W) heat of a class in [0, 1], its largest value 1; zeros where nothing speaks for it.

    Args:
        last_map: (H, W, K).
        weights: (K,) of the class, from `channel_weights`.

    >>> grad_cam(np.array([[[1.0, 2.0], [3.0, 0.0]]]), np.array([1.0, -0.25])).round(3).tolist()
    [[0.167, 1.0]]
    """
    heat = np.maximum(last_map.astype(np.float64) @ weights, 0)
    return np.asarray(heat / (heat.max() or 1.0))


def border_share(heat: np.ndarray) -> float:
    """The share of the heat that lies in the outer eighth of each side, in [0, 1]; NaN without any heat.

    Spread evenly it would be 1 − (3/4)² = 44 %. A map's cell counts by the part of it that lies there.

    >>> border_share(np.ones((8, 8)))
    0.4375
    """
    if not heat.any():
        return float("nan")
    inner = [_inside(length) for length in heat.shape]
    return float(1 - inner[0] @ heat @ inner[1] / heat.sum())


def _inside(length: int) -> np.ndarray:
    """(length,) share of each cell that lies farther than `BORDER` of the side from both ends."""
    edges = np.arange(length + 1) / length
    kept = np.clip(edges, BORDER, 1 - BORDER)
    return np.diff(kept) * length
