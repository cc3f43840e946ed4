from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import beta

from headstart.errors import InputError
from headstart.evaluation.thresholds import costs, promised


def world(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Confidences, most of them high, and answers that are right as often as they say."""
    confidence = 1 - 0.5 * rng.random(n) ** 3
    return confidence, rng.random(n) < confidence


@pytest.mark.parametrize("error", [0.05, 0.1])
def test_a_promise_is_broken_in_at_most_one_of_twenty_cases(error):
    rng = np.random.default_rng(0)
    confidence, right = world(400_000, rng)
    broken, kept = [], []
    for _ in range(600):
        found = promised(*world(400, rng), error)
        accepted = confidence >= found.confidence
        broken.append(found.error == error and (~right[accepted]).mean() > error)
        kept.append(accepted.mean() if found.error == error else 0.0)
    assert np.mean(broken) <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 600)
    assert np.mean(kept) > 0.2  # of the images are accepted, on average


def test_all_right_accepts_all():
    confidence = np.linspace(0.5, 1.0, 100)
    assert promised(confidence, np.ones(100, bool), 0.05) == (0.5, 0.05)


def test_too_few_images_say_what_they_can_promise():
    # Of twelve, all right, the surest quarter is three: the interval ends at 1 − 0.05^(1/3).
    found = promised(np.linspace(0.89, 1.0, 12), np.ones(12, bool), 0.01)
    assert found.error == pytest.approx(1 - 0.05 ** (1 / 3))
    assert found.confidence == pytest.approx(0.98)


def test_of_equal_confidences_all_or_none_are_accepted():
    # 60 right at 0.9 and, just as sure, one wrong, which cannot be left out.
    confidence = np.array([0.9] * 61)
    right = np.arange(61) != 30
    found = promised(confidence, right, 0.05)
    assert found.error == pytest.approx(beta.ppf(0.95, 2, 60))


def test_costs_name_two_classes():
    assert costs(("b:a=50", "a:b=2.5"), ("a", "b")) == ((1, 0, 50.0), (0, 1, 2.5))
    assert costs(("x:y:z=3",), ("x:y", "z")) == ((0, 1, 3.0),)
    with pytest.raises(InputError, match="can be read in two ways"):
        costs(("a:b:c=5",), ("a", "a:b", "b:c", "c"))
    for wrong in ("a:a=1", "a:c=1"):
        with pytest.raises(InputError, match="two different classes of: a, b"):
            costs((wrong,), ("a", "b"))
