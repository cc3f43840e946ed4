from __future__ import annotations

import numpy as np
import pytest
from tests import models

from headstart.evaluation.explain import (
    A_CLASS,
    MISTAKES,
    RIGHT,
    Explainer,
    Heatmaps,
    load,
    shown_mistakes,
    worth,
)
from headstart.evaluation.predictions import Predictions
from headstart.inference.predictor import Predictor


def said(wrong: int, right: int, classes: int = 2) -> Predictions:
    """Mistakes of falling confidence, each class in turn, and then right answers."""
    n = wrong + right
    y = np.arange(n) % classes
    logits = np.zeros((n, classes), np.float32)
    answer = np.where(np.arange(n) < wrong, (y + 1) % classes, y)
    logits[np.arange(n), answer] = 1 + (n - np.arange(n)) / n
    return Predictions(tuple(f"{i:06d}" for i in range(n)), y, logits, tuple(map(str, range(classes))))


def test_the_surest_mistakes_are_shown_and_so_many_of_a_class():
    taken = shown_mistakes(said(100, 10))
    assert taken == list(range(2 * A_CLASS))
    many = shown_mistakes(said(5000, 0, classes=50))
    assert len(many) == MISTAKES
    assert many == list(range(MISTAKES))


def test_right_answers_are_taken_evenly():
    rows = worth(said(4, 1000))
    assert len(rows) == 4 + RIGHT
    assert rows.tolist() == sorted(rows.tolist())
    assert rows[:4].tolist() == [0, 1, 2, 3]
    assert rows[4] == 4
    assert rows[-1] == 1003
    assert set(np.diff(rows[4:])) <= {21, 22}  # 999 / 47


@pytest.mark.parametrize("count", [0, 3])
def test_heatmaps_come_back_as_they_were_saved(tmp_path, count):
    rng = np.random.default_rng(0)
    maps = Heatmaps(np.arange(count, dtype=np.int32), rng.integers(0, 256, (count, 2, 3, 5), dtype=np.uint8))
    maps.save(tmp_path / "heatmaps.safetensors")
    found = load(tmp_path / "heatmaps.safetensors")
    np.testing.assert_array_equal(found.rows, maps.rows)
    np.testing.assert_array_equal(found.heats, maps.heats)


@pytest.mark.parametrize("engine", ["ncnn", "openvino", "keras"])
def test_many_heats_are_those_of_each_image_alone(tmp_path, engine):
    """On lanes or in batches, whichever the engine has: each image in its place, with its own classes."""
    explainer = Explainer(Predictor(models.saved(tmp_path / "model"), engine))
    rng = np.random.default_rng(0)
    squares = [rng.integers(0, 256, (models.SIZE, models.SIZE, 3), dtype=np.uint8) for _ in range(5)]
    classes = [(i % 3, (i + 1) % 3)[: 1 + i % 2] for i in range(5)]

    found = list(explainer.heats(iter(squares), classes))

    assert [len(heats) for heats in found] == [1, 2, 1, 2, 1]
    for heats, square, wanted in zip(found, squares, classes, strict=True):
        for heat, one in zip(heats, wanted, strict=True):
            [[alone]] = explainer.heats([square], [(one,)])
            np.testing.assert_allclose(heat, alone, atol=1e-5)
    assert np.abs(found[1][0] - found[3][0]).max() > 0.1
