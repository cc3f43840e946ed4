"""What is written down while training goes on can be read by others."""

from __future__ import annotations

import csv
import math
import sys

import pandas as pd
import pytest

from headstart.errors import InputError
from headstart.rundir import RunDir
from headstart.training import journal
from headstart.training.journal import Journal

HISTORY = [
    {"phase": "head", "epoch": 0, "loss": None, "accuracy": None, "val_loss": 0.7, "seconds": 0.0},
    {"phase": "head", "epoch": 1, "loss": 0.5, "accuracy": 0.75, "val_loss": 0.1 + 0.2, "seconds": 1.5},
    {"phase": "top", "epoch": 0, "loss": None, "accuracy": None, "val_loss": 0.25, "seconds": 0.0},
    {"phase": "top", "epoch": 1, "loss": 0.4, "accuracy": 0.875, "val_loss": 0.125, "seconds": 2.5},
]


def test_history_csv_holds_every_row_to_the_last_digit(tmp_path):
    run = RunDir(tmp_path)

    for end in (1, 2, 4):
        Journal(run).write(HISTORY[:end])

        with run.history.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [list(row) for row in rows] == [list(HISTORY[0])] * end
        for row, written in zip(rows, HISTORY, strict=False):
            assert row.pop("phase") == written["phase"]
            assert {k: float(v) if v else None for k, v in row.items()} == {k: written[k] for k in row}
    assert [path.name for path in tmp_path.iterdir()] == ["history.csv"]


def test_solver_and_epochs_share_a_table(tmp_path):
    """Columns that only one of them has are empty for the other."""
    lbfgs = {"phase": "lbfgs", "epoch": 0, "val_loss": 0.5, "C": 2.0}
    Journal(RunDir(tmp_path)).write([lbfgs, HISTORY[3]])

    table = pd.read_csv(RunDir(tmp_path).history)

    assert table["phase"].tolist() == ["lbfgs", "top"]
    assert table["C"].tolist()[0] == 2.0
    assert math.isnan(table["C"][1])


def test_checkpoints_lie_in_the_run(tmp_path):
    assert Journal(RunDir(tmp_path)).checkpoints.folder == tmp_path / "checkpoints"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of protobuf and NumPy, inside TensorBoard
def test_tensorboard_reads_the_curves(tmp_path):
    """A curve for each number, by its phase; a number that is not there has no point."""
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for end in range(1, 5):
        Journal(RunDir(tmp_path), tensorboard=True).write(HISTORY[:end])

    found = {}
    for phase in ("head", "top"):
        accumulator = accumulators.EventAccumulator(str(tmp_path / "tensorboard" / phase))
        accumulator.Reload()
        for tag in accumulator.Tags()["tensors"]:
            points = [(event.step, event.tensor_proto.float_val[0]) for event in accumulator.Tensors(tag)]
            found[phase, tag] = points

    assert found["head", "val_loss"] == [(1, pytest.approx(0.7)), (2, pytest.approx(0.3))]
    assert found["top", "val_loss"] == [(3, 0.25), (4, 0.125)]
    assert found["top", "accuracy"] == [(4, 0.875)]
    assert {tag for _, tag in found} == {"loss", "accuracy", "val_loss", "seconds"}


def test_without_tensorboard_nothing_is_shown_to_it(tmp_path):
    Journal(RunDir(tmp_path)).write(HISTORY)

    assert not (tmp_path / "tensorboard").exists()


def test_tensorboard_is_refused_where_it_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard.summary", None)

    with pytest.raises(InputError, match="pip install tensorboard"):
        journal.require_tensorboard()
