from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headstart.errors import InputError
from headstart.evaluation.predictions import Predictions, load

NAMES = ("cat", "=dog()", "صورة")


def some() -> Predictions:
    return Predictions(
        paths=("b.png", "a.png"),
        y_true=np.array([2, 0]),
        logits=np.array([[0.0, 0.0, np.log(2.0)], [1.0, 3.0, 3.0]], np.float32),
        class_names=NAMES,
    )


def test_of_equal_logits_the_first_class_is_predicted():
    assert some().y_pred.tolist() == [2, 1]


def test_confidence_is_the_probability_of_the_prediction_at_the_temperature():
    assert some().confidence[0] == pytest.approx(0.5)
    warmer = replace(some(), temperature=0.5)  # 1 : 1 : 2² = 4 of 6
    assert warmer.confidence[0] == pytest.approx(4 / 6)


def test_saved_rows_are_ordered_by_path_and_readable_by_anyone(tmp_path):
    some().save(tmp_path / "p.parquet")
    table = pd.read_parquet(tmp_path / "p.parquet")
    assert table["path"].tolist() == ["a.png", "b.png"]
    assert table["label"].tolist() == ["cat", "صورة"]
    assert table["predicted"].tolist() == ["=dog()", "صورة"]
    assert table["correct"].tolist() == [False, True]
    assert table["confidence"][1] == pytest.approx(0.5)
    np.testing.assert_allclose(table["probabilities"][1], [0.25, 0.25, 0.5])
    schema = pq.read_schema(tmp_path / "p.parquet")
    assert schema.names == [
        "path", "label", "predicted", "confidence", "correct", "decision", "logits", "probabilities",
    ]  # fmt: skip
    assert schema.field("logits").type.value_type == pa.float32()
    assert schema.field("probabilities").type.value_type == pa.float64()


def test_what_was_saved_is_loaded(tmp_path):
    saved = replace(some(), temperature=1.7)
    saved.save(tmp_path / "p.parquet")
    loaded = load(tmp_path / "p.parquet")
    assert (loaded.paths, loaded.class_names, loaded.temperature) == (("a.png", "b.png"), NAMES, 1.7)
    np.testing.assert_array_equal(loaded.y_true, [0, 2])
    np.testing.assert_array_equal(loaded.logits, saved.logits[::-1])
    assert loaded.logits.dtype == np.float32


def test_the_same_predictions_in_another_order_give_the_same_file(tmp_path):
    some().save(tmp_path / "1.parquet")
    some().by_path().save(tmp_path / "2.parquet")
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()


def test_no_predictions_can_be_saved_and_loaded(tmp_path):
    none = Predictions((), np.zeros(0, np.int64), np.zeros((0, 3), np.float32), NAMES)
    none.save(tmp_path / "p.parquet")
    assert len(load(tmp_path / "p.parquet")) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"paths": ("a.png",)},
        {"class_names": ("cat", "dog")},
        {"y_true": np.array([0, 3])},
        {"y_true": np.array([0, -1])},
        {"logits": np.full((2, 3), np.nan, np.float32)},
    ],
)
def test_what_does_not_fit_together_is_refused(change):
    with pytest.raises(ValueError, match=r"paths|label|finite"):
        replace(some(), **change)


def test_files_that_are_no_predictions_are_refused(tmp_path):
    (tmp_path / "text.parquet").write_text("no")
    pd.DataFrame({"path": ["a"]}).to_parquet(tmp_path / "other.parquet")
    pd.DataFrame({"path": ["a"], "label": ["x"], "logits": [[1.0]]}).to_parquet(tmp_path / "bare.parquet")
    for name in ("missing", "text", "other", "bare"):
        with pytest.raises(InputError, match="These predictions cannot be read"):
            load(tmp_path / f"{name}.parquet")
