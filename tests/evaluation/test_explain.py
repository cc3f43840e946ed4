from __future__ import annotations

import numpy as np
import pytest

from headstart.evaluation.explain import A_CLASS, MISTAKES, RIGHT, Heatmaps, load, shown_mistakes, worth
from headstart.evaluation.predictions import Predictions


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


@pytest.mark.parametrize("count", [0, 3])
def test_heatmaps_come_back_as_they_were_saved(tmp_path, count):
    rng = np.random.default_rng(0)
    maps = Heatmaps(np.arange(count, dtype=np.int32), rng.integers(0, 256, (count, 2, 3, 5), dtype=np.uint8))
    maps.save(tmp_path / "heatmaps.safetensors")
    found = load(tmp_path / "heatmaps.safetensors")
    np.testing.assert_array_equal(found.rows, maps.rows)
    np.testing.assert_array_equal(found.heats, maps.heats)
