from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn import metrics as sk

from headstart.errors import InputError
from headstart.evaluation.comparison import compare, holm, mid_p, require_same_contents
from headstart.evaluation.predictions import Predictions
from headstart.inference.decision import Rule


def said(right: np.ndarray, y: np.ndarray, classes: int = 2, sure: float = 2.0) -> Predictions:
    """Predictions that are right where asked."""
    answer = np.where(right, y, (y + 1) % classes)
    logits = np.zeros((len(y), classes), np.float32)
    logits[np.arange(len(y)), answer] = sure
    return Predictions(tuple(f"{i:05d}" for i in range(len(y))), y, logits, tuple("abcde"[:classes]))


def test_mid_p_is_the_exact_test_less_half_of_what_was_seen():
    for b, c in ((1, 8), (3, 10), (12, 30)):
        exact = binomtest(b, b + c).pvalue
        seen = (
            binomtest(b, b + c, alternative="less").pvalue
            - binomtest(b - 1, b + c, alternative="less").pvalue
        )
        assert mid_p(b, c) == mid_p(c, b) == pytest.approx(exact - seen)


@pytest.mark.parametrize(("n", "disagree"), [(60, 0.2), (300, 0.1), (1000, 0.3)])
def test_equal_models_are_told_apart_in_at_most_5_5_percent(n, disagree):
    rng = np.random.default_rng(n)
    differ = rng.binomial(n, disagree, 20_000)
    first = rng.binomial(differ, 0.5)
    p = np.array([mid_p(int(b), int(d - b)) for b, d in zip(first, differ, strict=True)])
    assert 0.03 <= (p < 0.05).mean() <= 0.055


def test_a_better_model_is_called_better_and_the_other_worse():
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=400)
    good, bad = said(rng.random(400) < 0.95, y), said(rng.random(400) < 0.8, y)
    (up,), (down,) = compare(bad, [good]), compare(good, [bad])
    assert (up.outcome, down.outcome) == ("better", "worse")
    gain = good.right.mean() - bad.right.mean()
    assert up.differences["accuracy"].value == pytest.approx(gain)
    assert up.differences["accuracy"].low > 0
    assert up.only_second == int((good.right & ~bad.right).sum()) == down.only_first
    f1 = [sk.f1_score(y, one.y_pred, average="macro") for one in (bad, good)]
    assert up.differences["macro_f1"].value == pytest.approx(f1[1] - f1[0])
    loss = [sk.log_loss(y, one.probabilities) for one in (bad, good)]
    assert up.differences["log_loss"].value == pytest.approx(loss[1] - loss[0])


def test_too_little_difference_cannot_be_said():
    y = np.zeros(50, int)
    (found,) = compare(said(np.arange(50) < 40, y), [said(np.arange(50) < 42, y)])
    assert found.outcome == "can't say"
    assert found.differences["accuracy"].low <= 0 <= found.differences["accuracy"].high


def test_the_paired_interval_covers_the_true_difference():
    rng = np.random.default_rng(3)
    covered = []
    for trial in range(300):
        y = rng.integers(2, size=150)
        both = rng.random(150)
        first, second = said(both < 0.85, y), said((both < 0.80) | (both > 0.9), y)
        gain = compare(first, [second], seed=trial)[0].differences["accuracy"]
        covered.append(gain.low <= 0.90 - 0.85 <= gain.high)
    assert 0.91 <= np.mean(covered) <= 0.98


def test_two_models_that_no_image_tells_apart_are_not_equal_for_certain():
    """By hand, Agresti and Min: b = c = ½, n + 2 = 102: ± 1.96 √1 / 102."""
    y = np.arange(100) % 2
    (found,) = compare(said(np.ones(100, bool), y), [said(np.ones(100, bool), y)])
    gain = found.differences["accuracy"]
    assert (gain.low, gain.value, gain.high) == pytest.approx((-0.019215, 0, 0.019215), abs=1e-5)


@pytest.mark.parametrize(("n", "won", "lost"), [(100, 0.01, 0.0), (200, 0.01, 0.005), (50, 0.04, 0.02)])
def test_the_paired_interval_covers_where_hardly_an_image_tells(n, won, lost):
    rng, covered = np.random.default_rng(0), []
    y = np.arange(n) % 2
    for trial in range(200):
        u = rng.random(n)
        first, second = said(u >= won, y), said((u < won) | (u >= won + lost), y)
        gain = compare(first, [second], seed=trial)[0].differences["accuracy"]
        covered.append(gain.low <= won - lost <= gain.high)
    assert np.mean(covered) > 0.93


def test_few_images_have_no_interval_of_a_difference():
    y = np.arange(12) % 2
    (found,) = compare(said(np.ones(12, bool), y), [said(np.arange(12) >= 6, y)])
    assert {(one.low, one.high) for one in found.differences.values()} == {(-np.inf, np.inf)}
    assert found.adjusted < 0.05
    assert found.outcome == "can't say"


def test_by_costs_accuracy_settles_nothing():
    """A model that answers by them is to have fewer right."""
    y = np.arange(400) % 2
    first, second = said(np.ones(400, bool), y), said(np.arange(400) >= 40, y)
    costly = replace(second, rule=Rule(costs=((0, 1, 1.5),)))  # of answers at 88 % none is another by it
    assert compare(first, [second])[0].outcome == "worse"
    assert compare(first, [costly])[0].outcome == compare(costly, [first])[0].outcome == "can't say"


def test_several_are_adjusted():
    rng = np.random.default_rng(1)
    y = rng.integers(2, size=200)
    first, others = said(rng.random(200) < 0.8, y), [said(rng.random(200) < 0.86, y) for _ in range(4)]
    found = compare(first, others)
    assert [one.adjusted for one in found] == pytest.approx(holm([one.p for one in found]))
    assert all(one.adjusted >= one.p for one in found)


def test_the_order_of_rows_and_classes_does_not_matter():
    rng = np.random.default_rng(2)
    y = rng.integers(3, size=90)
    first, second = said(rng.random(90) < 0.7, y, 3), said(rng.random(90) < 0.8, y, 3)
    order = rng.permutation(90)
    turned = Predictions(
        tuple(second.paths[i] for i in order), 2 - y[order], second.logits[order][:, ::-1], ("c", "b", "a")
    )
    (one,), (other,) = compare(first, [second]), compare(first, [turned])
    for name, difference in asdict(one).pop("differences").items():
        # But for the last bits, as sums are taken in another order.
        assert asdict(other)["differences"][name] == pytest.approx(difference)
    assert replace(other, differences=one.differences) == one


def test_other_images_and_other_labels_are_refused():
    y = np.array([0, 1, 0, 1])
    one = said(np.ones(4, bool), y)
    with pytest.raises(InputError, match="4 and 4 images, 3 in both"):
        compare(one, [replace(one, paths=("00000", "00001", "00002", "else"))])
    with pytest.raises(InputError, match="1 images with another label"):
        compare(one, [replace(one, y_true=np.array([0, 1, 0, 0]))])


def test_a_path_with_another_content_is_refused():
    require_same_contents({"a": "1", "b": "2"}, {"a": "1", "c": "3"})
    with pytest.raises(InputError, match="1 that differ, such as b"):
        require_same_contents({"a": "1", "b": "2"}, {"a": "1", "b": "9"})
