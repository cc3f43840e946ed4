"""The probe finds what the loss's own conditions demand, and chooses on validation only."""

import numpy as np
import pytest

from headstart.backbones.specs import Part
from headstart.config import RunConfig
from headstart.errors import InputError
from headstart.training import head, probe, solve
from headstart.training.head import score

WHOLE = (Part("mean", 5),)


def two_blobs(n=60, features=5, classes=2, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    return rng.normal(size=(n, features)) * 3 + 7 + y[:, None], y


@pytest.mark.parametrize("classes", [2, 3])
def test_solution_is_where_the_gradient_vanishes(classes):
    """∂/∂W of Σ wᵢ·CEᵢ / Σ w + λ/2 ‖W‖², in features scaled in two parts, worked out here anew.

    With two classes scikit-learn penalises the one logit z, so ‖W‖² counts z's weights: λ·(W₁ − W₀).
    """
    x, y = two_blobs(classes=classes)
    weight = np.linspace(0.5, 2.0, len(y))
    penalty = 0.1

    fitted = next(probe.path(x[:, None], y, weight, (Part("mean", 2), Part("max", 3)), (penalty,)))

    total = x.var(axis=0)  # of 5 in all, the mean's part is to have 4 and the maximum's 1
    scale = np.sqrt([total[:2].sum() / 4] * 2 + [total[2:].sum() / 1] * 3)
    scaled = (x - x.mean(axis=0)) / scale
    kernel = fitted.kernel * scale[:, None]
    logits = x @ fitted.kernel + fitted.bias
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    error = (p - np.eye(classes)[y]) * weight[:, None] / weight.sum()
    if classes == 2:
        z = kernel[:, 1] - kernel[:, 0]
        np.testing.assert_allclose(scaled.T @ error[:, 1] + penalty * z, 0, atol=1e-4)
    else:
        np.testing.assert_allclose(scaled.T @ error + penalty * kernel, 0, atol=1e-4)
    np.testing.assert_allclose(error.sum(axis=0), 0, atol=1e-4)  # the bias is not penalised


def test_the_choice_is_made_on_validation():
    """Validation labels are noise here, so the strongest regularisation has the lowest loss."""
    x, y = two_blobs(n=90)
    split = np.array(["train"] * 60 + ["val"] * 20 + ["test"] * 10)
    y[60:80] = np.random.default_rng(1).integers(0, 2, 20)

    fitted = solve.fit(x[:, None], y, np.ones(90), split, WHOLE, RunConfig())

    losses = [row["val_calibrated_loss"] for row in fitted.history]
    assert fitted.chosen["penalty"] == probe.PENALTIES[int(np.argmin(losses))]
    assert losses[-1] > losses[-2] > min(losses)  # the path ends two steps behind its minimum
    loss, accuracy = score(fitted.head, x[:60, None], y[:60])
    chosen = fitted.history[int(np.argmin(losses))]
    assert (loss, accuracy) == pytest.approx((chosen["loss"], chosen["accuracy"]), rel=1e-6)


def test_the_test_split_is_not_looked_at():
    x, y = two_blobs(n=90)
    split = np.array(["train"] * 60 + ["val"] * 20 + ["test"] * 10)
    before = solve.fit(x[:, None], y, np.ones(90), split, WHOLE, RunConfig()).head
    x[80:], y[80:] = 1e6, 1 - y[80:]

    after = solve.fit(x[:, None], y, np.ones(90), split, WHOLE, RunConfig()).head

    np.testing.assert_array_equal(before.kernel, after.kernel)


@pytest.mark.parametrize("solver", ["lbfgs", "keras"])
def test_one_seed_one_head(solver):
    x, y = two_blobs(n=90)
    split = np.array(["train"] * 60 + ["val"] * 20 + ["test"] * 10)
    config = RunConfig.from_options(solver=solver, epochs=4, seed=3)

    first, second = (solve.fit(x[:, None], y, np.ones(90), split, WHOLE, config) for _ in range(2))

    np.testing.assert_array_equal(first.head.kernel, second.head.kernel)
    np.testing.assert_array_equal(first.head.bias, second.head.bias)


def test_keras_epochs_learn_and_stop_at_the_best():
    x, y = two_blobs(n=200, seed=4)
    x[:, 0] += 20 * y
    split = np.array((["train"] * 7 + ["val"] * 2 + ["test"]) * 20)
    config = RunConfig.from_options(solver="keras", epochs=60)

    fitted = solve.fit(x[:, None], y, np.ones(200), split, WHOLE, config)

    losses = [row["val_loss"] for row in fitted.history]
    assert losses[-1] < losses[0]
    val = split == "val"
    assert score(fitted.head, x[val][:, None], y[val])[0] == pytest.approx(min(losses), rel=1e-3)


def test_a_constant_feature_does_no_harm():
    x, y = two_blobs()
    x[:, 2] = 5.0

    fitted = next(probe.path(x[:, None], y, np.ones(len(y)), WHOLE, (0.1,)))

    assert np.isfinite(fitted.kernel).all()
    np.testing.assert_allclose(fitted.kernel[2], 0, atol=1e-6)


def test_a_view_is_a_row_with_its_share_of_the_weight():
    """Two views of 30 images are 60 images of half the weight; an answer is the mean of the two."""
    x, _ = two_blobs()
    y = np.arange(30) % 2
    views = x.reshape(30, 2, 5)
    weight = np.linspace(1, 2, 30)

    by_view = next(probe.path(views, y, weight, WHOLE, (0.1,)))
    by_row = next(probe.path(x[:, None], np.repeat(y, 2), np.repeat(weight / 2, 2), WHOLE, (0.1,)))

    np.testing.assert_array_equal(by_view.kernel, by_row.kernel)
    logits = (by_view.logits(views[:, :1]) + by_view.logits(views[:, 1:])) / 2
    assert score(by_view, views, y)[1] == (logits.argmax(axis=1) == y).mean()


def test_calibrated_loss_finds_the_temperature():
    """Logits three times too bold: at temperature 3 the loss is that of the honest ones."""
    rng = np.random.default_rng(0)
    honest = rng.normal(size=(4000, 3))
    p = np.exp(honest) / np.exp(honest).sum(axis=1, keepdims=True)
    y = (p.cumsum(axis=1) < rng.uniform(size=(4000, 1))).sum(axis=1)

    assert head.calibrated_loss(3 * honest, y) == pytest.approx(head.cross_entropy(honest, y), rel=2e-3)
    assert head.cross_entropy(3 * honest, y) > 1.2 * head.cross_entropy(honest, y)


def test_images_that_all_weigh_nothing_are_refused():
    x, y, split = np.zeros((6, 1, 4), np.float32), np.array([0, 1] * 3), np.array(["train"] * 4 + ["val"] * 2)
    with pytest.raises(InputError, match="Every training image has the weight 0"):
        solve.fit(x, y, np.zeros(6), split, [Part("mean", 4)], RunConfig())
