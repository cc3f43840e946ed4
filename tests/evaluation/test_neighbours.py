from __future__ import annotations

import numpy as np

from headstart.evaluation.neighbours import nearest, surroundings
from headstart.inference.bundle import Reference


def known() -> Reference:
    embeddings = np.array([[1, 0], [0, 1], [1, 1], [0, 0]], np.float16)
    return Reference(
        mean=np.zeros(2, np.float32),
        covariance=np.eye(2, dtype=np.float32),
        embeddings=embeddings,
        classes=np.array([0, 1, -1, 0], np.int32),
        sha256=np.zeros((4, 32), np.uint8),
        paths=("right", "up", "both", "none"),
    )


def test_the_most_similar_come_first_whatever_their_length():
    indices, cosines = nearest(known(), np.array([[10.0, 1.0], [0.0, 0.1]]), k=2)
    assert indices.tolist() == [[0, 2], [1, 2]]
    np.testing.assert_allclose(cosines[0], [10 / np.sqrt(101), 11 / np.sqrt(202)], rtol=1e-6)
    assert nearest(known(), np.ones((1, 2)), k=99)[0].shape == (1, 4)


def test_every_image_has_a_row_also_across_blocks(monkeypatch):
    monkeypatch.setattr("headstart.evaluation.neighbours.ROWS", 3)
    x = np.random.default_rng(0).normal(size=(10, 2))
    indices, cosines = nearest(known(), x)
    units = x / np.linalg.norm(x, axis=1, keepdims=True)
    directions = np.array([[1, 0], [0, 1], [1, 1] / np.sqrt(2)])
    np.testing.assert_allclose(cosines[:, 0], np.maximum((units @ directions.T).max(axis=1), 0), atol=1e-6)
    assert len(indices) == 10


def test_surroundings_name_what_is_near():
    x = np.array([[5.0, 0.1], [1.0, 1.0]])
    found = surroundings(known(), x, np.array([1.5, 2.5]), ("sound", "defective"))
    assert found.nearest == ("right", "both")
    assert found.label == ("sound", "")
    assert found.distance.tolist() == [1.5, 2.5]
