"""MixUp and CutMix on feature maps, above the freeze boundary, where what lies below stays cached.

Mixing maps in place of pixels is manifold mixup (Verma et al. 2019, arXiv:1806.05236).
"""

from __future__ import annotations

import numpy as np

ALPHA = {"mixup": 0.2, "cutmix": 1.0}
"""λ comes from Beta(α, α): the papers' values for ImageNet, and Keras's defaults."""

KINDS = ("none", *ALPHA)

Mixed = tuple[np.ndarray, np.ndarray, np.ndarray]


def mix(
    kind: str, maps: np.ndarray, targets: np.ndarray, weight: np.ndarray, rng: np.random.Generator
) -> Mixed:
    """Mixes each image *a* of a batch with an image *b* of it, drawn as a permutation; λ is drawn per image.

    ``mixup`` (Zhang et al. 2018, arXiv:1710.09412): λ·a + (1 - λ)·b. ``cutmix`` (Yun et al. 2019,
    arXiv:1905.04899): a rectangle of *a* is replaced by the same rectangle of *b*; it is cut off at the
    border, and λ is the share of *a* that is left.

    The loss of a mixed image is to be λ·w_a·loss(a) + (1 - λ)·w_b·loss(b). Cross-entropy is linear in the
    targets, so it is the returned weight times the loss of the returned targets, which are a distribution
    again: label smoothing and accuracy hold for them as they are.

    Args:
        kind: one of `KINDS`; ``none`` returns what came in.
        maps: (B, H, W, C) float or uint8, or (B, D) for ``mixup``.
        targets: (B, K), each row a distribution over the classes.
        weight: (B,), 0 or more.
        rng: all random numbers come from here.

    Returns:
        Maps, targets and weights of the same shapes and types.

    Raises:
        ValueError: there is no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind}")
    if kind == "none":
        return maps, targets, weight
    other = rng.permutation(len(maps))
    share = rng.beta(ALPHA[kind], ALPHA[kind], len(maps))
    if kind == "mixup":
        pixels = maps.dtype == np.uint8
        left = share.reshape(-1, *[1] * (maps.ndim - 1)).astype(np.float32 if pixels else maps.dtype)
        mixed = left * maps + (1 - left) * maps[other]
        mixed = np.rint(mixed).astype(np.uint8) if pixels else mixed
    else:
        cut = _rectangles(share, maps.shape[1], maps.shape[2], rng)
        mixed = np.where(cut[..., None], maps[other], maps)
        share = 1 - cut.mean((1, 2))
    return mixed, *_mixed_targets(share, targets, weight, other)


def _mixed_targets(
    share: np.ndarray, targets: np.ndarray, weight: np.ndarray, other: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    own, others = share * weight, (1 - share) * weight[other]
    total = own + others
    # Of two images without weight the targets don't count, but they are to stay a distribution.
    part = np.divide(own, total, out=share.copy(), where=total > 0)[:, None]
    mixed = part * targets + (1 - part) * targets[other]
    return mixed.astype(targets.dtype), total.astype(weight.dtype)


def _rectangles(share: np.ndarray, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """(B, H, W) bool: rectangles of about ``1 - share`` of the map, their middles anywhere on it."""
    rows = _stretch(share, height, rng)
    columns = _stretch(share, width, rng)
    inside: np.ndarray = rows[:, :, None] & columns[:, None, :]
    return inside


def _stretch(share: np.ndarray, length: int, rng: np.random.Generator) -> np.ndarray:
    """(B, length) bool: a run of ``length · √(1 - share)`` places around a place drawn for each image."""
    run = (length * np.sqrt(1 - share)).astype(int)
    start = rng.integers(length, size=len(share)) - run // 2
    place = np.arange(length)
    inside: np.ndarray = (start[:, None] <= place) & (place < (start + run)[:, None])
    return inside
