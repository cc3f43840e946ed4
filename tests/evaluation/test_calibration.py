from __future__ import annotations

import numpy as np
import pytest

from headstart.evaluation.calibration import (
    expected_by_chance,
    expected_calibration_error,
    reliability,
    risk_coverage,
)


def test_ece_by_hand():
    # Ten bins: (0.8, 0.9] holds 0.85 twice, one right: gap 0.35; (0.5, 0.6] holds 0.6, right: gap 0.4.
    confidence, right = np.array([0.85, 0.85, 0.6]), np.array([True, False, True])
    assert expected_calibration_error(confidence, right, bins=10) == pytest.approx((2 * 0.35 + 0.4) / 3)


def test_a_confidence_on_the_edge_is_in_the_lower_bin():
    # 0.5 of two bins belongs to (0, 0.5]; with 0.4 there the gaps cancel: 0.5 − 1 and 0.4 − 0.
    confidence, right = np.array([0.5, 0.4]), np.array([True, False])
    assert expected_calibration_error(confidence, right, bins=2) == pytest.approx(abs(1 - 0.9) / 2)


def test_honest_confidences_lie_where_chance_puts_them():
    """An ECE of honest confidences is above its own 95 % quantile in about 5 % of draws."""
    rng = np.random.default_rng(0)
    above = []
    for trial in range(200):
        confidence = rng.uniform(0.5, 1.0, 150)
        ece = expected_calibration_error(confidence, rng.random(150) < confidence)
        above.append(ece > expected_by_chance(confidence, seed=trial, trials=200)[1])
    assert 0.01 <= np.mean(above) <= 0.11


def test_bold_confidences_are_above_it():
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.9, 1.0, 300)
    right = rng.random(300) < confidence - 0.15
    assert expected_calibration_error(confidence, right) > expected_by_chance(confidence)[1]


def test_reliability_counts_every_image_once():
    confidence, right = np.array([0.95, 0.99, 0.55, 1.0]), np.array([True, False, True, True])
    table = reliability(confidence, right, bins=10)
    assert table["n"].tolist() == [1, 3]
    assert table["confidence"].tolist() == pytest.approx([0.55, (0.95 + 0.99 + 1) / 3])
    assert table["accuracy"].tolist() == pytest.approx([1, 2 / 3])
    assert (table["low"] < table["accuracy"]).all()


def test_risk_and_coverage_by_hand():
    # Surest first: 0.9 right, 0.8 wrong and 0.8 right (together), 0.5 wrong.
    curve = risk_coverage(np.array([0.8, 0.5, 0.9, 0.8]), np.array([False, False, True, True]))
    assert curve["coverage"].tolist() == [1 / 4, 3 / 4, 1]
    assert curve["risk"].tolist() == pytest.approx([0, 1 / 3, 1 / 2])
