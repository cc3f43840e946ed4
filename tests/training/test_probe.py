"""The probe finds what the loss's own conditions demand, and chooses on validation only."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_info, threadpool_limits

from headstart.backbones.specs import Part
from headstart.training import probe
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


def fit(x, y, weight=None):
    """On the first 60 rows, chosen on the next 20."""
    weight = np.ones(60) if weight is None else weight
    return probe.fit_path((x[:60, None], y[:60]), (x[60:80, None], y[60:80]), weight, WHOLE)


def test_the_choice_is_made_on_validation():
    """Validation labels are noise here, so the strongest regularisation has the lowest loss."""
    x, y = two_blobs(n=90)
    y[60:80] = np.random.default_rng(1).integers(0, 2, 20)

    fitted = fit(x, y)

    losses = [row["val_calibrated_loss"] for row in fitted.history]
    assert fitted.chosen["penalty"] == probe.PENALTIES[int(np.argmin(losses))]
    assert losses[-1] > losses[-2] > min(losses)  # the path ends two steps behind its minimum
    loss, accuracy = score(fitted.head, x[:60, None], y[:60])
    chosen = fitted.history[int(np.argmin(losses))]
    assert (loss, accuracy) == pytest.approx((chosen["loss"], chosen["accuracy"]), rel=1e-6)


def test_one_problem_one_head():
    x, y = two_blobs(n=80)

    first, second = fit(x, y), fit(x, y)

    np.testing.assert_array_equal(first.head.kernel, second.head.kernel)
    np.testing.assert_array_equal(first.head.bias, second.head.bias)


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


def test_blas_has_one_thread_while_it_is_solved_and_its_own_number_again_afterwards(monkeypatch):
    """Threads that wait for one another between products with a vector made it ten times slower."""

    def threads():
        return [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"]

    seen, fit_ = [], LogisticRegression.fit
    monkeypatch.setattr(
        LogisticRegression, "fit", lambda *how, **more: seen.append(threads()) or fit_(*how, **more)
    )
    x, y = two_blobs(n=80)
    with threadpool_limits(2, "blas"):
        fit(x, y)
        after = threads()

    assert {one for found in seen for one in found} == {1}
    assert set(after) == {2}
