from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis

from headstart.inference.familiarity import Familiarity, limit


def test_distances_are_mahalanobis_in_units_of_the_root_of_the_dimensions():
    rng = np.random.default_rng(0)
    spread = rng.normal(size=(6, 6))
    covariance, mean = spread @ spread.T + np.eye(6), rng.normal(size=6)
    x = rng.normal(size=(20, 6))
    found = Familiarity.of(mean, covariance).distances(x)
    inverse = np.linalg.inv(covariance)
    expected = [mahalanobis(row, mean, inverse) / np.sqrt(6) for row in x]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_training_images_lie_about_one_away():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(3000, 50)) * np.linspace(0.1, 3, 50)
    found = Familiarity.of(x.mean(axis=0), np.cov(x, rowvar=False)).distances(x)
    assert np.sqrt(np.mean(found**2)) == pytest.approx(1, rel=0.01)


def test_a_distance_does_not_depend_on_its_neighbours():
    rng = np.random.default_rng(2)
    familiar = Familiarity.of(np.zeros(64), np.eye(64))
    x = rng.normal(size=(9, 64))
    assert familiar.distances(x).tolist() == [float(familiar.distances(row[None])[0]) for row in x]


@pytest.mark.parametrize("n", [3, 20, 99, 400])
def test_the_limit_is_exceeded_as_often_as_it_says(n):
    """On average over validation sets, 1 % of images like theirs lie beyond it."""
    rng = np.random.default_rng(n)
    beyond = [(rng.lognormal(size=2000) > limit(rng.lognormal(size=n))).mean() for _ in range(400)]
    assert np.mean(beyond) == pytest.approx(0.01, abs=0.004)


def test_one_image_says_nothing():
    assert limit(np.array([1.0])) is None
