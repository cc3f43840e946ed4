"""Mixed maps, targets and weights agree with each other and with values worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headstart.training.mixing import KINDS, mix

B, K = 6, 3


class Told:
    """Stands in for a generator: pairs, shares and middles of rectangles are given."""

    def __init__(self, pairs: list[int], shares: list[float], *middles: list[int]) -> None:
        self.pairs, self.shares, self.middles = pairs, shares, list(middles)

    def permutation(self, _: int) -> np.ndarray:
        return np.array(self.pairs)

    def beta(self, *_: Any) -> np.ndarray:
        return np.array(self.shares)

    def integers(self, _: int, size: int) -> np.ndarray:
        return np.array(self.middles.pop(0))


def batch(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    maps = rng.normal(size=(B, 14, 10, 4)).astype(np.float32)
    return maps, np.eye(K, dtype=np.float32)[rng.integers(K, size=B)], np.ones(B, np.float32)


def numbered(count: int, height: int, width: int) -> np.ndarray:
    """Map i is i everywhere, so that each value tells whose it is."""
    return np.ones((count, height, width, 2), np.float32) * np.arange(count)[:, None, None, None]


def test_none_returns_what_came_in():
    maps, targets, weight = batch()
    made = mix("none", maps, targets, weight, np.random.default_rng(0))
    assert made[0] is maps
    assert made[1] is targets
    assert made[2] is weight


def test_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match="none, mixup, cutmix, not cutout"):
        mix("cutout", *batch(), np.random.default_rng(0))


def test_mixup_by_hand():
    rng: Any = Told([1, 2, 0], [0.75, 1.0, 0.2])
    maps, targets, weight = mix("mixup", numbered(3, 2, 2), np.eye(3), np.ones(3), rng)
    # 0.75·0 + 0.25·1, 1·1 + 0·2, 0.2·2 + 0.8·0
    assert np.allclose(maps, np.array([0.25, 1.0, 0.4])[:, None, None, None])
    assert np.allclose(targets, [[0.75, 0.25, 0], [0, 1, 0], [0.8, 0, 0.2]])
    assert np.allclose(weight, 1)


def test_mixup_takes_vectors_too():
    rng: Any = Told([1, 0], [0.75, 0.5])
    vectors, _, _ = mix("mixup", np.array([[0.0, 4.0], [8.0, 8.0]]), np.eye(2), np.ones(2), rng)
    assert np.allclose(vectors, [[2, 5], [4, 6]])


def test_cutmix_by_hand():
    """Share 0.75 leaves out a quarter: half of each side, 4 rows and 5 columns of 8 by 10."""
    rng: Any = Told([1, 0], [0.75, 0.75], [4, 0], [5, 9])
    maps, targets, weight = mix("cutmix", numbered(2, 8, 10), np.eye(2), np.ones(2), rng)
    first, second = np.zeros((8, 10)), np.ones((8, 10))
    first[2:6, 3:8] = 1  # 4 rows from 4 - 2 on, 5 columns from 5 - 2 on
    second[0:2, 7:10] = 0  # about the upper right corner: what sticks out is cut off
    assert np.array_equal(maps, np.stack([first, second])[..., None] * np.ones(2))
    assert np.allclose(targets, [[0.75, 0.25], [0.075, 0.925]])  # 20 and 6 of 80 places
    assert np.allclose(weight, 1)


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_the_loss_is_the_mixture_of_both_losses(kind):
    """λ·w_a·L_a + (1 - λ)·w_b·L_b, with λ read off the maps."""
    rng = np.random.default_rng(3)
    given = np.array([1, 1 / 3, 2 / 3, 2.5, 0, 1])
    pairs = np.random.default_rng(8).permutation(B)
    whose = mix(kind, numbered(B, 14, 14), np.eye(B), np.ones(B), np.random.default_rng(8))[1]
    labels, logits = rng.integers(K, size=B), rng.normal(size=(B, K))
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    _, targets, weight = mix(kind, numbered(B, 14, 14), np.eye(K)[labels], given, np.random.default_rng(8))
    made = weight * -(targets * log_p).sum(1)
    for i, other in enumerate(pairs):
        if other == i:
            continue
        share = whose[i, i]
        expected = share * given[i] * -log_p[i, labels[i]]
        expected += (1 - share) * given[other] * -log_p[i, labels[other]]
        assert made[i] == pytest.approx(expected)
    assert np.allclose(targets.sum(1), 1)


def test_two_images_without_weight_stay_without_and_break_nothing():
    rng: Any = Told([1, 0], [0.75, 0.5])
    _, targets, weight = mix("mixup", numbered(2, 2, 2), np.eye(2), np.zeros(2), rng)
    assert weight.tolist() == [0, 0]
    assert np.allclose(targets, [[0.75, 0.25], [0.5, 0.5]])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_mixing_is_pure_and_keeps_shapes_and_types(kind, dtype):
    maps, targets, weight = batch()
    maps = maps.astype(dtype)
    before = [array.copy() for array in (maps, targets, weight)]
    one = mix(kind, maps, targets, weight, np.random.default_rng(5))
    two = mix(kind, maps, targets, weight, np.random.default_rng(5))
    for given, kept, first, again in zip((maps, targets, weight), before, one, two, strict=True):
        assert np.array_equal(given, kept)
        assert np.array_equal(first, again)
        assert (first.dtype, first.shape) == (given.dtype, given.shape)


def shares(kind: str, maps: np.ndarray) -> np.ndarray:
    """Shares of the own class, of the images whose other one is of another class."""
    own = np.arange(len(maps)) % 2
    targets = mix(kind, maps, np.eye(2)[own], np.ones(len(maps)), np.random.default_rng(0))[1]
    found = targets[np.arange(len(maps)), own]
    return found[found < 1]


def test_mixup_draws_from_the_papers_beta():
    found = shares("mixup", np.zeros((40_000, 1)))
    assert found.mean() == pytest.approx(0.5, abs=0.01)
    assert (found**2).mean() == pytest.approx(1.2 / 2.8, abs=0.01)  # (α + 1) / (4α + 2)


def test_cutmix_leaves_as_much_as_the_papers_rectangles():
    """For a side s of the unit square, s - s²/4 of it lies inside on average, and s² is even over 0 to 1.

    So 1/2 - 1/5 + 1/48 is cut out.
    """
    found = shares("cutmix", np.zeros((4000, 56, 56, 1), np.float16))
    assert found.mean() == pytest.approx(1 - (1 / 2 - 1 / 5 + 1 / 48), abs=0.02)
