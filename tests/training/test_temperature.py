from __future__ import annotations

import numpy as np
import pytest

from headstart.training.temperature import calibrated_loss, cross_entropy, temperature


def drawn(n: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits that mean what they say, and classes drawn by them."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(n, classes))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return logits, (p.cumsum(axis=1) < rng.uniform(size=(n, 1))).sum(axis=1)


def test_calibrated_loss_finds_the_temperature():
    """Logits three times too bold: at temperature 3 the loss is that of the honest ones."""
    honest, y = drawn(4000, 3, seed=0)
    assert calibrated_loss(3 * honest, y) == pytest.approx(cross_entropy(honest, y), rel=2e-3)
    assert cross_entropy(3 * honest, y) > 1.2 * cross_entropy(honest, y)


@pytest.mark.parametrize("true", [0.3, 1.0, 2.5, 8.0])
@pytest.mark.parametrize("classes", [2, 10])
def test_a_known_temperature_is_recovered(true, classes):
    """Over 40 draws of 2,000 images its mean is right to 1 %, and each one to 15 %."""
    found = []
    for seed in range(40):
        logits, y = drawn(2000, classes, seed)
        found.append(temperature(true * logits, y))
    assert np.mean(found) == pytest.approx(true, rel=0.01)
    assert found == pytest.approx([true] * 40, rel=0.15)


def test_the_boldness_of_the_logits_cancels_out():
    logits, y = drawn(500, 4, seed=1)
    assert temperature(4 * logits, y) == pytest.approx(4 * temperature(logits, y), rel=1e-4)


def test_validation_images_that_are_all_right_do_not_make_it_boundlessly_bold():
    """Two classes, N images, all right by the same margin z: (N + 1) / (N + 2) = 1 / (1 + exp(−z / T))."""
    n, z = 30, 6.0
    logits = np.zeros((n, 2))
    logits[:, 0] = z
    assert temperature(logits, np.zeros(n, int)) == pytest.approx(z / np.log(n + 1), rel=1e-4)
