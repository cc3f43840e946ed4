from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from headstart.evaluation.ranking import one_against_rest, ranking


def drawn(n: int, seed: int, steps: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(N,) booleans and scores; of `steps` different values, where it isn't 0."""
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.3
    positive[:2] = True, False
    score = positive + rng.normal(size=n)
    return positive, np.round(score * steps) / steps if steps else score


def by_hand() -> tuple[np.ndarray, np.ndarray]:
    return np.array([True, False, True, False]), np.array([0.9, 0.8, 0.7, 0.1])


def test_areas_by_hand():
    # 0.9 beats both negatives, 0.7 one of them: 3 of 4. Going down: 1/1 at the first hit, 2/3 at the second.
    areas, _ = one_against_rest(*by_hand())
    assert areas.tolist() == pytest.approx([3 / 4, (1 + 2 / 3) / 2])


@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize("seed", range(5))
def test_areas_are_those_of_scikit_learn(seed, steps):
    positive, score = drawn(80, seed, steps)
    areas, _ = one_against_rest(positive, score)
    assert areas[0] == pytest.approx(sk.roc_auc_score(positive, score))
    assert areas[1] == pytest.approx(sk.average_precision_score(positive, score))


@pytest.mark.parametrize("steps", [0, 2])
def test_terms_are_the_derivatives_by_the_weights(steps):
    positive, score = drawn(40, 1, steps)
    _, terms = one_against_rest(positive, score)
    step = 1e-6
    for i in range(len(score)):
        weight = np.ones(len(score))
        weight[i] += step
        for which, area in enumerate((sk.roc_auc_score, sk.average_precision_score)):
            slope = (area(positive, score, sample_weight=weight) - area(positive, score)) / step
            assert terms[which, i] / len(score) == pytest.approx(slope, abs=1e-5)


def test_terms_add_up_to_nothing():
    _, terms = one_against_rest(*drawn(60, 2))
    assert terms.sum(axis=1) == pytest.approx([0, 0], abs=1e-9)


def test_of_two_classes_the_second_counts_and_a_missing_one_leaves_none():
    y, p = np.array([0, 1, 0, 1]), np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4]])
    found = ranking(y, p)
    assert found.mean(found.auc) == pytest.approx(sk.roc_auc_score(y, p[:, 1]))
    assert found.mean(found.average_precision) == pytest.approx(sk.average_precision_score(y, p[:, 1]))
    alone = ranking(np.zeros(4, int), p)
    assert np.isnan(alone.mean(alone.auc))
