"""Rates, decay and losses, each worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headstart.backbones.framework import keras
from headstart.config import RunConfig
from headstart.training import optimizer as optimizers
from headstart.training.phases import Phase, phases, resolved

LOGITS = np.array([[2.0, 0.0, -1.0], [0.0, 1.0, 0.5]], np.float32)
ONE_HOT = np.array([[1, 0, 0], [0, 0, 1]], np.float32)


def phase(**changes) -> Phase:
    plain = {"learning_rate": 0.1, "warmup": 0.0, "weight_decay": 0.0, "clip_norm": 0.0}
    return replace(phases(resolved(RunConfig()))[0], **plain | changes)


def rates(steps, **changes):
    schedule = optimizers.optimizer(phase(**changes), steps)._learning_rate
    return [float(schedule(step)) for step in range(steps + 1)]


def test_without_a_warm_up_the_rate_is_half_a_cosine():
    """0.1 · (1 + cos(π t/4)) / 2 at t = 0…4."""
    np.testing.assert_allclose(rates(4), [0.1, 0.0853553, 0.05, 0.0146447, 0.0], atol=1e-7)


def test_with_one_it_rises_in_even_steps_before():
    """Two of ten steps up to 0.1; the half cosine then takes eight."""
    found = rates(10, warmup=0.2)

    np.testing.assert_allclose(found[:3], [0.0, 0.05, 0.1], atol=1e-7)
    np.testing.assert_allclose([found[4], found[6], found[10]], [0.0853553, 0.05, 0.0], atol=1e-7)


def test_a_warm_up_of_less_than_a_step_is_none():
    assert rates(4, warmup=0.2)[0] == pytest.approx(0.1)


def stepped(gradients, kernel=(2.0, -4.0), bias=(3.0,), **changes):
    """Values of a kernel and a bias after a step on each of the gradients, at a rate that hardly falls."""
    variables = [
        keras().Variable(np.array(kernel, np.float32), name="kernel"),
        keras().Variable(np.array(bias, np.float32), name="bias"),
    ]
    made = optimizers.optimizer(phase(**changes), 10**6)
    made.build(variables)
    for of_kernel, of_bias in gradients:
        made.apply([np.array(of_kernel, np.float32), np.array(of_bias, np.float32)], variables)
    return [variable.numpy() for variable in variables], made


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_decay_shortens_kernels_and_leaves_biases_alone(name):
    """Without a gradient a step is rate · decay of the kernel itself: 1 − 0.1 · 0.5."""
    (kernel, bias), _ = stepped([([0, 0], [0])], optimizer=name, weight_decay=0.5)

    np.testing.assert_allclose(kernel, [2.0 * 0.95, -4.0 * 0.95], rtol=1e-6)
    np.testing.assert_array_equal(bias, [3.0])


def test_adam_decays_nothing():
    (kernel, bias), _ = stepped([([0, 0], [0])], optimizer="adam", weight_decay=0.5)

    np.testing.assert_array_equal(kernel, [2.0, -4.0])
    np.testing.assert_array_equal(bias, [3.0])


@pytest.mark.parametrize("name", ["adamw", "adam"])
def test_adam_s_first_step_is_as_long_as_the_rate(name):
    """Whatever the gradient: m / √v is its sign at first."""
    (kernel, bias), _ = stepped([([5, -0.01], [1])], optimizer=name)

    np.testing.assert_allclose(kernel, [2.0 - 0.1, -4.0 + 0.1], rtol=1e-5)
    np.testing.assert_allclose(bias, [3.0 - 0.1], rtol=1e-5)


def test_sgd_has_nesterov_s_momentum():
    """v = −0.1 · g; the step is 0.9 · v − 0.1 · g, −0.19 · g at first and −0.271 · g then."""
    (kernel, _), _ = stepped([([1, -2], [0])], optimizer="sgd")
    np.testing.assert_allclose(kernel, [2 - 0.19, -4 + 0.38], rtol=1e-5)

    (kernel, _), _ = stepped([([1, -2], [0])] * 2, optimizer="sgd")
    np.testing.assert_allclose(kernel, [2 - 0.19 - 0.271, -4 + 0.38 + 0.542], rtol=1e-5)


def test_a_gradient_longer_than_allowed_is_shortened():
    """(3, 4) has the length 5; with 1 at most it is (0.6, 0.8), and a shorter one stays."""
    (kernel, bias), _ = stepped([([3, 4], [0])], optimizer="sgd", clip_norm=1.0)
    np.testing.assert_allclose(kernel, [2 - 0.19 * 0.6, -4 - 0.19 * 0.8], rtol=1e-5)
    np.testing.assert_array_equal(bias, [3.0])

    (kernel, _), _ = stepped([([0.3, 0.4], [0])], optimizer="sgd", clip_norm=1.0)
    np.testing.assert_allclose(kernel, [2 - 0.19 * 0.3, -4 - 0.19 * 0.4], rtol=1e-5)


def test_an_average_follows_the_weights():
    """Kernels of 1.81 and 1.539 after the two steps: the first, then 0.9 of it and 0.1 of the second."""
    (kernel, bias), made = stepped([([1, -2], [0])] * 2, optimizer="sgd", average=0.9)
    variables = [keras().Variable(kernel), keras().Variable(bias)]

    made.finalize_variable_values(variables)

    np.testing.assert_allclose(variables[0].numpy()[0], 0.9 * 1.81 + 0.1 * 1.539, rtol=1e-5)


def losses(logits, targets, **changes):
    return float(np.mean(optimizers.loss(phase(**changes))(targets, logits)))


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def test_cross_entropy_by_hand():
    """−ln(e² / (e² + 1 + e⁻¹)) = 0.16985 and −ln(e^½ / (1 + e + e^½)) = 1.18027."""
    assert losses(LOGITS, ONE_HOT) == pytest.approx((0.169846 + 1.180270) / 2, rel=1e-5)


def test_label_smoothing_spreads_a_share_of_the_target_over_all_classes():
    """0.3 over three classes: targets are 0.8 and twice 0.1."""
    smooth = np.where(ONE_HOT == 1, 0.8, 0.1)
    expected = -(smooth * np.log(softmax(LOGITS.astype(np.float64)))).sum(axis=1).mean()

    assert losses(LOGITS, ONE_HOT, label_smoothing=0.3) == pytest.approx(expected, rel=1e-5)


def test_focal_loss_looks_harder_at_what_is_hard():
    """¼ · (1 − p)² of the cross-entropy, p being the probability of the truth (Lin et al. 2017, eq. 5)."""
    p = softmax(LOGITS.astype(np.float64))[[0, 1], [0, 2]]

    easy, hard = (losses(LOGITS[i : i + 1], ONE_HOT[i : i + 1], loss="focal") for i in (0, 1))

    np.testing.assert_allclose([easy, hard], -0.25 * (1 - p) ** 2 * np.log(p), rtol=1e-4)


def test_focal_loss_moves_what_is_as_wrong_as_can_be():
    """30 below the other class: ¼ · 30 and its slope ¼, where a probability cut off at 1e-7 has none."""
    import tensorflow as tf

    logits = tf.Variable([[0.0, 30.0]])
    with tf.GradientTape() as tape:
        loss = optimizers.loss(phase(loss="focal"))(np.array([[1.0, 0.0]], np.float32), logits)

    np.testing.assert_allclose(loss, [7.5], rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(loss, logits), [[-0.25, 0.25]], rtol=1e-5)


def test_focal_loss_smooths_targets_as_cross_entropy_does():
    smooth, p = np.where(ONE_HOT == 1, 0.8, 0.1), softmax(LOGITS.astype(np.float64))
    expected = -0.25 * (smooth * (1 - p) ** 2 * np.log(p)).sum(axis=1).mean()

    assert losses(LOGITS, ONE_HOT, loss="focal", label_smoothing=0.3) == pytest.approx(expected, rel=1e-5)
