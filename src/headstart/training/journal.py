"""What a training writes down while it goes on: checkpoints, ``history.csv``, TensorBoard's curves."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headstart.errors import InputError, sentence
from headstart.rundir import RunDir, write_text
from headstart.training.checkpoint import Checkpoints

History = list[dict[str, Any]]


@dataclass(frozen=True)
class Journal:
    """Where a run's training is written down.

    Attributes:
        run: its directory.
        clock: seconds of each stage.
        tensorboard: whether TensorBoard's files are written too.
        deadline: on the clock of `time.monotonic`, when training should have ended.
    """

    run: RunDir
    clock: dict[str, float] = field(default_factory=dict)
    tensorboard: bool = False
    deadline: float = math.inf

    @property
    def checkpoints(self) -> Checkpoints:
        """Of this run."""
        return Checkpoints(self.run.checkpoints)

    def share(self, part: float) -> float:
        """The deadline of a phase that may take so much of the time left."""
        now = time.monotonic()
        return now + part * (self.deadline - now)

    def write(self, history: History) -> None:
        """Replaces ``history.csv``, and shows the last row to TensorBoard; of an exact solution every row."""
        import pandas as pd

        write_text(self.run.history, pd.DataFrame(history).to_csv(index=False))
        if self.tensorboard:
            exact = history[-1]["phase"] == "lbfgs"
            for step in range(0 if exact else len(history) - 1, len(history)):
                _show(self.run.tensorboard, history[step], step + 1)


def require_tensorboard() -> None:
    """Raises InputError where TensorBoard's library is not installed."""
    try:
        import tensorboard.summary  # noqa: F401
    except ImportError as error:
        raise InputError(
            sentence(
                "TensorBoard's library is not installed.",
                remedy="Run `pip install tensorboard`, or leave --tensorboard out.",
            )
        ) from error


def _show(folder: Path, row: dict[str, Any], step: int) -> None:
    from tensorboard.summary import Writer

    writer = Writer(str(folder / str(row["phase"])))
    for name, value in row.items():
        if isinstance(value, float):
            writer.add_scalar(name, value, step)
    writer.close()
