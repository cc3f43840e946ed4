"""Images that come in groups: intervals and tests that count groups, against worlds whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from headstart.evaluation import grouped, intervals, metrics
from headstart.evaluation.comparison import compare, mid_p
from headstart.evaluation.intervals import draws, proportion
from headstart.evaluation.predictions import Predictions
from headstart.evaluation.thresholds import promised


def world(groups: int, rng: np.random.Generator) -> Predictions:
    """1 to 25 images in each group, of one class, and groups that are easier and harder than others."""
    sizes = rng.integers(1, 26, groups)
    group = np.repeat(np.arange(groups), sizes)
    y = np.repeat(np.arange(groups) % 2, sizes)
    margin = 1.5 + np.repeat(rng.normal(0, 1.2, groups), sizes) + rng.normal(0, 1, len(y))
    logits = np.where(y == 1, margin, -margin)[:, None] * [-0.5, 0.5]
    paths = tuple(f"{i:07d}" for i in range(len(y)))
    names = tuple(f"patient {i}" for i in group)
    return Predictions(paths, y, logits.astype(np.float32), ("no", "yes"), groups=names)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trials", "least", "most"),
    [(200, 0.895, 0.995), pytest.param(1000, 0.92, 0.98, marks=pytest.mark.faults)],
)
def test_intervals_of_groups_hold_the_truth_where_those_of_images_do_not(trials, least, most, monkeypatch):
    """92 to 98 % of 1,000 trials of 40 groups; taking their 520 images as independent, little over half."""
    rng = np.random.default_rng(1)
    truth = metrics.evaluate(world(8000, rng))
    monkeypatch.setattr(intervals, "RESAMPLES", 300)
    told = ("accuracy", "log_loss", "brier", "roc_auc", "average_precision", "macro_f1", "mcc")
    held: dict[str, list[bool]] = {name: [] for name in (*told, "images")}
    for trial in range(trials):
        said = world(40, rng)
        found = metrics.evaluate(said, seed=trial).headline
        found |= {"images": proportion(said.right)}
        for name, metric in found.items():
            if name in held:
                aim = truth.headline["accuracy" if name == "images" else name].value
                held[name].append(metric.low <= aim <= metric.high)
    coverage = {name: float(np.mean(hits)) for name, hits in held.items()}
    assert coverage.pop("images") < 0.75
    assert {name: share for name, share in coverage.items() if not least <= share <= most} == {}


def test_groups_of_one_image_change_nothing():
    said = replace(world(60, np.random.default_rng(0)), groups=())
    alone = replace(said, groups=tuple(f"g{i}" for i in range(len(said))))
    assert metrics.evaluate(alone).headline == metrics.evaluate(said).headline
    assert (
        metrics.evaluate(replace(said, groups=("",) * len(said))).headline == metrics.evaluate(said).headline
    )


def test_the_standard_error_is_that_of_the_groups_sums():
    """By hand: without a group of (1, 1), (0, 1, 0, 0), mean ½, the means are ¼ and 1; √(½ (¼² + ½²))."""
    terms, groups = np.array([[1.0], [1], [0], [1], [0], [0]]), np.array([0, 0, 1, 1, 1, 1])
    assert grouped.errors(terms, groups).tolist() == pytest.approx([np.sqrt((1 / 16 + 1 / 4) / 2)])
    same = np.random.default_rng(0).normal(size=(50, 2))
    assert grouped.errors(same, np.arange(50)) == pytest.approx(same.std(axis=0, ddof=1) / np.sqrt(50))


def test_copies_of_an_image_tell_no_more_than_it():
    """Ten copies of each of 80 answers: as many as 80 tell, and a bit less for Student's quantile."""
    right = np.arange(80) % 4 > 0
    told = grouped.effective(np.repeat(right, 10), np.repeat(np.arange(80), 10))
    assert told == pytest.approx(79 * (1.95996 / 1.99045) ** 2, rel=1e-4)
    copied = proportion(np.repeat(right, 10), np.repeat(np.arange(80), 10))
    alone = proportion(right)
    assert (copied.low, copied.high, copied.n) == (
        pytest.approx(alone.low, abs=0.004),
        pytest.approx(alone.high, abs=0.004),
        800,
    )


def test_one_group_says_nothing_of_others():
    said = replace(world(60, np.random.default_rng(0)), groups=())
    found = metrics.evaluate(replace(said, groups=("one",) * len(said)))
    assert {(one.low, one.high) for one in found.headline.values()} == {(None, None)}
    assert found.per_class["recall_low"].isna().all()


def test_all_right_in_few_groups_is_not_sure():
    found = proportion(np.ones(300, bool), np.repeat(np.arange(6), 50))
    assert found.low == pytest.approx(intervals.wilson(6 * 0.5814, 6 * 0.5814)[0], abs=0.01)  # t of 5: 2.571
    assert found.high == 1.0


def test_one_mistake_more_does_not_make_it_surer():
    """400 of 400 in 40 groups, 399, 398: one mistake says nothing of how alike the images of a group are."""
    groups = np.repeat(np.arange(40), 10)
    lows = []
    for wrong in range(5):
        right = np.ones(400, bool)
        right[: 10 * wrong : 10] = False
        lows.append(proportion(right, groups).low)
    assert lows == sorted(lows, reverse=True)
    told = 40 * (grouped.Z / 2.0227) ** 2  # Student's t of 39
    assert lows[1] == pytest.approx(intervals.wilson(told * 399 / 400, told)[0], abs=1e-4)


@pytest.mark.parametrize(
    ("groups", "size", "bad", "easy", "hard"), [(40, 10, 0.03, 0.002, 0.9), (20, 20, 0.05, 0.005, 0.6)]
)
def test_shares_of_groups_hold_the_truth_where_few_groups_are_bad(groups, size, bad, easy, hard):
    """With all mistakes in one bad group or two; 65 to 89 % held it where they were taken as they came."""
    rng, truth = np.random.default_rng(0), 1 - (bad * hard + (1 - bad) * easy)
    number, held = np.repeat(np.arange(groups), size), []
    for _ in range(800):
        risk = np.where(rng.random(groups) < bad, hard, easy)[number]
        one = proportion(rng.random(len(number)) >= risk, number)
        held.append(one.low <= truth <= one.high)
    assert np.mean(held) > 0.94


def test_whole_groups_are_drawn():
    groups = np.array([0, 1, 1, 2, 2, 2])
    weights = np.concatenate(list(draws(6, 0, groups)))
    assert (weights[:, 1] == weights[:, 2]).all()
    assert (weights[:, 3:] == weights[:, 3:4]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()


def test_flipping_groups_is_counted_exactly():
    sums = np.array([3, -1, 2, 0, 1, -2, 5])
    signs = np.array(list(product((-1, 1), repeat=len(sums))))
    flipped = np.abs(signs @ sums)
    expected = (flipped > abs(sums.sum())).mean() + (flipped == abs(sums.sum())).mean() / 2
    assert grouped.flipped(sums) == pytest.approx(expected)
    assert grouped.flipped(np.array([1] * 9 + [-1] * 3)) == pytest.approx(mid_p(3, 9))


def test_one_group_does_not_make_a_model_better():
    """30 more images right: of 30 patients that is something, of one it is nothing."""
    y = np.arange(300) % 2
    right = np.arange(300) % 10 > 0
    more = right | (np.arange(300) < 300)
    one, other = (said(values, y) for values in (right, more))
    assert compare(one, [other])[0].outcome == "better"
    worst = np.where(right, [f"p{i}" for i in range(300)], "always wrong")
    whole = tuple(str(name) for name in worst)
    (found,) = compare(replace(one, groups=whole), [replace(other, groups=whole)])
    assert (found.outcome, found.p) == ("can't say", 0.5)
    assert found.differences["accuracy"].low <= 0


def test_one_group_alone_has_no_interval_of_a_difference():
    y = np.arange(40) % 2
    one, other = (replace(said(right, y), groups=("p",) * 40) for right in (y > 0, y >= 0))
    (found,) = compare(one, [other])
    gain = found.differences["accuracy"]
    assert (found.outcome, gain.value, gain.low, gain.high) == ("can't say", 0.5, -np.inf, np.inf)


def said(right: np.ndarray, y: np.ndarray) -> Predictions:
    logits = np.zeros((len(y), 2), np.float32)
    logits[np.arange(len(y)), np.where(right, y, 1 - y)] = 2.0
    return Predictions(tuple(f"{i:05d}" for i in range(len(y))), y, logits, ("a", "b"))


def test_a_promise_counts_groups():
    """400 right answers promise 5 % of errors, but not those of eight patients."""
    confidence, right = np.linspace(0.5, 1, 400), np.ones(400, bool)
    assert promised(confidence, right, 0.05).error == 0.05
    assert promised(confidence, right, 0.05, np.repeat(np.arange(8), 50)).error > 0.3


def test_groups_are_saved_and_ordered_with_the_rest(tmp_path):
    from headstart.evaluation.predictions import load

    some = replace(world(5, np.random.default_rng(0)))
    back = replace(some, paths=some.paths[::-1])
    back.save(tmp_path / "p.parquet")
    found = load(tmp_path / "p.parquet")
    assert found.groups == some.groups[::-1]
    assert found.grouped.max() == 4
    with pytest.raises(ValueError, match="groups"):
        replace(some, groups=("a",))
