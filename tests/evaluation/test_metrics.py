from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from headstart.errors import InputError
from headstart.evaluation import intervals, metrics
from headstart.evaluation.intervals import Metric, proportion, wilson
from headstart.evaluation.metrics import evaluate
from headstart.evaluation.predictions import Predictions, Surroundings
from headstart.inference.decision import Rule


def predictions(y_true, probabilities, names=None) -> Predictions:
    logits = np.log(np.array(probabilities)).astype(np.float32)
    names = names or tuple("abcdefghijklmnop"[: logits.shape[1]])
    return Predictions(tuple(f"{i:04d}.png" for i in range(len(y_true))), np.array(y_true), logits, names)


def by_hand() -> Predictions:
    """True a a a b b c, predicted a a b b b a."""
    rows = [
        [0.70, 0.20, 0.10],
        [0.60, 0.35, 0.05],
        [0.30, 0.58, 0.12],
        [0.22, 0.70, 0.08],
        [0.18, 0.80, 0.02],
        [0.71, 0.20, 0.09],
    ]
    return predictions([0, 0, 0, 1, 1, 2], rows)


def at_random(n: int = 300, classes: int = 5, seed: int = 0) -> Predictions:
    rng = np.random.default_rng(seed)
    y_true = rng.integers(classes, size=n)
    logits = rng.normal(size=(n, classes)).astype(np.float32)
    logits[np.arange(n), y_true] += 1.5
    return Predictions(tuple(f"{i}.png" for i in range(n)), y_true, logits, tuple("abcdefgh"[:classes]))


def test_averages_by_hand():
    value = {name: metric.value for name, metric in evaluate(by_hand(), top_k=2).headline.items()}
    # precision: a 2/3, b 2/3, c 0/0 = 0;  recall: a 2/3, b 2/2, c 0/1;  F1: a 4/6, b 4/5, c 0/1
    assert value["accuracy"] == pytest.approx(4 / 6)
    assert value["balanced_accuracy"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert value["macro_precision"] == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert value["macro_recall"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert value["macro_f1"] == pytest.approx((4 / 6 + 4 / 5 + 0) / 3)
    assert value["weighted_precision"] == pytest.approx((3 * 2 / 3 + 2 * 2 / 3 + 1 * 0) / 6)
    assert value["weighted_recall"] == pytest.approx(4 / 6)
    assert value["weighted_f1"] == pytest.approx((3 * 4 / 6 + 2 * 4 / 5 + 1 * 0) / 6)
    # The truth is among the two most probable in all rows but the last.
    assert value["top_2_accuracy"] == pytest.approx(5 / 6)
    # The true classes' probabilities: 0.70 0.60 0.30 0.70 0.80 0.09
    assert value["log_loss"] == pytest.approx(-np.log([0.7, 0.6, 0.3, 0.7, 0.8, 0.09]).mean(), rel=1e-6)
    # a: 0.70 0.60 0.30 against 0.22 0.18 0.71 win 2 + 2 + 2 of 9.  b: 0.70 0.80 against 0.20 0.35 0.58
    # 0.20 win 8 of 8.  c: 0.09 against 0.10 0.05 0.12 0.08 0.02 wins 3 of 5.
    assert value["roc_auc"] == pytest.approx((6 / 9 + 8 / 8 + 3 / 5) / 3)


def test_classes_and_confusion_by_hand():
    evaluation = evaluate(by_hand())
    assert evaluation.confusion.to_numpy().tolist() == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]
    assert evaluation.confusion.index.tolist() == evaluation.confusion.columns.tolist() == ["a", "b", "c"]
    table = evaluation.per_class
    assert table.columns.tolist() == [
        "class", "n", "predicted", "precision", "precision_low", "precision_high",
        "recall", "recall_low", "recall_high", "f1", "roc_auc", "average_precision",
    ]  # fmt: skip
    assert table["n"].tolist() == [3, 2, 1]
    assert table["predicted"].tolist() == [3, 3, 0]
    assert table["recall_low"].isna().all()  # too few to say
    np.testing.assert_allclose(table["precision"], [2 / 3, 2 / 3, 0])
    np.testing.assert_allclose(table["recall"], [2 / 3, 1, 0])
    np.testing.assert_allclose(table["f1"], [4 / 6, 4 / 5, 0])
    np.testing.assert_allclose(table["roc_auc"], [6 / 9, 1, 3 / 5])


def test_the_second_class_is_the_positive_one_of_two():
    # Scores of b: 0.1 0.4 (true a), 0.35 0.8 (true b): 0.35 beats one of two, 0.8 both: 3 of 4.
    two = predictions([0, 0, 1, 1], [[0.9, 0.1], [0.6, 0.4], [0.65, 0.35], [0.2, 0.8]])
    assert evaluate(two).headline["roc_auc"].value == pytest.approx(3 / 4)


def test_equal_scores_count_half():
    same = predictions([0, 1, 1], [[0.5, 0.5], [0.5, 0.5], [0.2, 0.8]])
    assert evaluate(same).headline["roc_auc"].value == pytest.approx((1 / 2 + 1) / 2)


def test_wilson_interval_by_hand():
    # p = 32/40, z = 1.959964: (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n)
    z, p, n = 1.959964, 0.8, 40
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    ends = [(p + z**2 / (2 * n) + sign * half) / (1 + z**2 / n) for sign in (-1, 1)]
    assert ends == pytest.approx([0.652427, 0.895000], abs=1e-6)
    found = proportion(np.arange(40) < 32)
    assert (found.value, found.n) == (0.8, 40)
    assert [found.low, found.high] == pytest.approx(ends, abs=1e-6)


@pytest.mark.parametrize(("right", "value"), [(0, 0.0), (20, 1.0)])
def test_wilson_interval_holds_its_value_where_all_or_none_are_right(right, value):
    found = proportion(np.arange(20) < right)
    assert found.low <= found.value == value <= found.high
    assert found.high - found.low > 0.15


@pytest.mark.parametrize("classes", [2, 5])
def test_values_are_those_of_scikit_learn(classes):
    said = at_random(classes=classes)
    y, y_pred, p = said.y_true, said.y_pred, said.probabilities
    value = {name: metric.value for name, metric in evaluate(said, top_k=3).headline.items()}
    assert value["accuracy"] == pytest.approx(sk.accuracy_score(y, y_pred))
    assert value["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(y, y_pred))
    for average in ("macro", "weighted"):
        expected = sk.precision_recall_fscore_support(y, y_pred, average=average)[:3]
        found = [value[f"{average}_{name}"] for name in ("precision", "recall", "f1")]
        assert found == pytest.approx(list(expected))
    assert value["log_loss"] == pytest.approx(sk.log_loss(y, p))
    assert value["mcc"] == pytest.approx(sk.matthews_corrcoef(y, y_pred))
    assert value["majority_accuracy"] == np.bincount(y).max() / len(y)
    if classes == 2:
        assert "top_3_accuracy" not in value
        assert value["roc_auc"] == pytest.approx(sk.roc_auc_score(y, p[:, 1]))
        assert value["average_precision"] == pytest.approx(sk.average_precision_score(y, p[:, 1]))
        assert value["brier"] == pytest.approx(sk.brier_score_loss(y, p[:, 1]))
    else:
        each = [sk.average_precision_score(y == c, p[:, c]) for c in range(classes)]
        assert value["average_precision"] == pytest.approx(np.mean(each))
        assert value["brier"] == pytest.approx(np.square(p - np.eye(classes)[y]).sum(axis=1).mean())
        assert value["top_3_accuracy"] == pytest.approx(sk.top_k_accuracy_score(y, p, k=3))
        assert value["roc_auc"] == pytest.approx(sk.roc_auc_score(y, p, multi_class="ovr"))


def test_intervals_agree_with_a_bootstrap_by_scikit_learn():
    said, rng = at_random(classes=3), np.random.default_rng(1)
    found = evaluate(said).headline
    drawn = []
    for _ in range(150):
        i = rng.integers(len(said), size=len(said))
        y, p = said.y_true[i], said.probabilities[i]
        f1 = sk.f1_score(y, p.argmax(axis=1), average="macro")
        drawn.append([f1, sk.roc_auc_score(y, p, multi_class="ovr"), sk.log_loss(y, p)])
    expected = np.quantile(drawn, [0.025, 0.975], axis=0).T
    for name, (low, high) in zip(("macro_f1", "roc_auc", "log_loss"), expected, strict=True):
        assert [found[name].low, found[name].high] == pytest.approx([low, high], abs=0.25 * (high - low)), (
            name
        )


def test_every_interval_holds_its_value_and_counts_the_images():
    for seed in range(5):
        for name, metric in evaluate(at_random(40, 4, seed), seed=seed).headline.items():
            assert metric.low <= metric.value <= metric.high, name
            assert metric.n == 40


def test_one_seed_gives_one_answer():
    said = at_random()
    assert evaluate(said, seed=3).headline == evaluate(said, seed=3).headline
    assert evaluate(said, seed=3).headline["macro_f1"] != evaluate(said, seed=4).headline["macro_f1"]


def test_the_order_of_the_rows_does_not_matter():
    said = at_random()
    order = np.random.default_rng(0).permutation(len(said))
    shuffled = replace(
        said,
        paths=tuple(said.paths[i] for i in order),
        y_true=said.y_true[order],
        logits=said.logits[order],
    )
    a, b = evaluate(said), evaluate(shuffled)
    assert a.headline == b.headline
    pd.testing.assert_frame_equal(a.per_class, b.per_class)
    pd.testing.assert_frame_equal(a.confusion, b.confusion)


def test_the_size_of_the_chunks_does_not_matter(monkeypatch):
    whole = evaluate(at_random()).headline
    monkeypatch.setattr(intervals, "CHUNK", 7 * 300)
    pieces = evaluate(at_random()).headline
    for name, metric in whole.items():
        assert [pieces[name].low, pieces[name].high] == pytest.approx([metric.low, metric.high], rel=1e-12)


def test_a_class_without_images_has_no_auc_and_is_not_averaged():
    # d occurs neither among the true nor the predicted classes, c is predicted once.
    rows = [[0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.7, 0.1], [0.1, 0.7, 0.1, 0.1]]
    evaluation = evaluate(predictions([0, 0, 1], rows))
    assert "roc_auc" not in evaluation.headline
    # F1: a 2·1/(2+1), b 1, c 0; scikit-learn averages over a, b and c as well.
    assert evaluation.headline["macro_f1"].value == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert evaluation.headline["macro_f1"].value == pytest.approx(
        sk.f1_score([0, 0, 1], [0, 2, 1], average="macro")
    )
    assert evaluation.headline["balanced_accuracy"].value == pytest.approx((1 / 2 + 1) / 2)
    assert evaluation.per_class["n"].tolist() == [2, 1, 0, 0]
    assert evaluation.per_class["roc_auc"].isna().tolist() == [False, False, True, True]


def test_of_one_class_alone_is_said_what_share_is_found():
    evaluation = evaluate(predictions([0, 0, 0], [[0.7, 0.3], [0.2, 0.8], [0.6, 0.4]]))

    headline = evaluation.headline
    assert set(headline) == {
        "accuracy", "balanced_accuracy", "weighted_recall", "log_loss", "brier", "ece", "majority_accuracy",
    }  # fmt: skip
    assert headline["accuracy"].value == headline["balanced_accuracy"].value == pytest.approx(2 / 3)
    assert evaluation.per_class["recall"].tolist() == pytest.approx([2 / 3, 0])


def test_of_equal_logits_the_first_classes_are_the_top_ones():
    same = predictions([0, 1, 2], np.full((3, 3), 1 / 3))
    headline = evaluate(same, top_k=2).headline
    assert headline["top_2_accuracy"].value == pytest.approx(2 / 3)
    assert evaluate(same, top_k=1).headline["top_1_accuracy"].value == headline["accuracy"].value == 1 / 3


def test_sure_and_wrong_costs_what_it_costs_in_scikit_learn():
    wrong = Predictions(("a.png",), np.array([0]), np.array([[0.0, 1000.0]], np.float32), ("a", "b"))
    # ln of float64's epsilon, 2⁻⁵²
    assert evaluate(wrong).headline["log_loss"].value == pytest.approx(52 * np.log(2))


def test_all_right_has_the_interval_of_a_share_of_the_smallest_class():
    y = np.arange(60) % 3 // 2  # 40 and 20
    right = predictions(y, np.where(y[:, None] == [0, 1], 0.9, 0.1))
    headline = evaluate(right).headline
    least = wilson(20, 20)[0]
    for name in ("macro_f1", "roc_auc", "average_precision", "balanced_accuracy"):
        assert headline[name] == Metric(1.0, pytest.approx(least), 1.0, 60), name
    assert headline["mcc"] == Metric(1.0, pytest.approx(2 * least - 1), 1.0, 60)
    assert headline["accuracy"].low == pytest.approx(wilson(60, 60)[0])


@pytest.mark.parametrize("classes", [6, 7, 9])
def test_all_right_in_any_number_of_classes(classes):
    """Seven sevenths are one, and its interval is that of a share."""
    y = np.arange(10 * classes) % classes
    found = evaluate(predictions(y, np.eye(classes)[y] * 0.9 + 0.1 / classes)).headline
    for name in ("weighted_precision", "weighted_recall", "weighted_f1"):
        assert found[name].value == found[name].high == 1.0
        assert 0.6 < found[name].low < 0.98


def test_no_loss_is_below_zero():
    """Of a good classifier with one bad mistake."""
    y = np.zeros(100, int)
    sure = np.where(np.arange(100) == 7, 0.001, 0.999)
    found = evaluate(predictions(y, np.stack([sure, 1 - sure], axis=1))).headline
    assert found["brier"].value == pytest.approx(0.01, rel=0.01)
    assert found["brier"].low >= 0
    assert found["log_loss"].low >= 0


def test_few_images_have_numbers_and_no_intervals():
    for name, metric in evaluate(by_hand()).headline.items():
        assert (metric.low, metric.high, metric.n) == (None, None, 6), name


def test_costs_decide_what_is_right():
    """b taken for a costs 9: b is answered from a probability of 0.1 on."""
    said = predictions([0, 0, 1], [[0.95, 0.05], [0.85, 0.15], [0.8, 0.2]])
    careful = replace(said, rule=Rule(costs=((1, 0, 9.0),)))
    assert evaluate(said).confusion.to_numpy().tolist() == [[2, 0], [1, 0]]
    assert evaluate(careful).confusion.to_numpy().tolist() == [[1, 1], [0, 1]]
    assert careful.confidence.tolist() == pytest.approx([0.95, 0.15, 0.2])


def test_what_is_accepted_is_counted_on_its_own():
    around = Surroundings(np.array([1.0, 1.0, 1.0, 9.0]), ("t",) * 4, ("a", "a", "b", "b"), np.ones(4))
    said = predictions([0, 0, 1, 1], [[0.9, 0.1], [0.55, 0.45], [0.8, 0.2], [0.1, 0.9]])
    said = replace(said, rule=Rule(0.6, 2.0), around=around)
    headline = evaluate(said).headline
    assert headline["coverage"].value == 2 / 4  # not the unsure second, nor the far fourth
    assert headline["accepted_accuracy"].value == 1 / 2
    assert headline["nearest_accuracy"].value == 4 / 4
    assert "coverage" not in evaluate(replace(said, rule=Rule())).headline


def test_nothing_to_evaluate_is_said():
    none = Predictions((), np.zeros(0, np.int64), np.zeros((0, 2), np.float32), ("a", "b"))
    with pytest.raises(InputError, match="nothing to evaluate"):
        evaluate(none)


def test_what_was_saved_is_loaded_and_safe_in_a_spreadsheet(tmp_path):
    names = ("=cmd()", "NA", "a,b\n\x1b")
    evaluation = evaluate(replace(by_hand(), class_names=names))
    evaluation.save(tmp_path)
    saved = json.loads((tmp_path / "metrics.json").read_text())
    accuracy = evaluation.headline["accuracy"]
    assert saved["accuracy"] == {"value": 4 / 6, "low": None, "high": None, "n": accuracy.n}
    for name in ("per_class.csv", "confusion.csv"):
        text = (tmp_path / name).read_text()
        assert "'=cmd()" in text
        assert "\n=cmd()" not in text
        assert "\x1b" not in text
    loaded = metrics.load(tmp_path, names)
    assert loaded.headline == evaluation.headline
    pd.testing.assert_frame_equal(loaded.per_class, evaluation.per_class)
    pd.testing.assert_frame_equal(loaded.confusion, evaluation.confusion)


def test_an_auc_that_is_missing_stays_missing(tmp_path):
    evaluation = evaluate(predictions([0, 0, 1], [[0.7, 0.2, 0.1]] * 3))
    evaluation.save(tmp_path)
    assert metrics.load(tmp_path, ("a", "b", "c")).per_class["roc_auc"].isna().tolist() == [
        False,
        False,
        True,
    ]


def test_a_folder_without_an_evaluation_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        metrics.load(tmp_path, ("a", "b"))
