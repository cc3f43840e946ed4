"""Checkpoints: all that an interrupted training needs to go on with the same bits.

``checkpoints/last.safetensors`` holds the tensors and, as one more of them, the state in JSON. It is replaced
as a whole (temporary file, fsync, rename), so there is always the old one or the new one. The best weights
lie beside it in a file named by its epoch, written before the state that names it. Each file holds a hash of
all its tensors, so that no changed bit is trained on.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import InputError, sentence
from headstart.rundir import write_tensors

Tensors = dict[str, np.ndarray]


@dataclass
class State:
    """Where a training stands.

    Attributes:
        phase: its place in the list of phases.
        epoch: the one that is under way, from 1; 0 before the first.
        step: how many of its steps are done.
        epochs: how many are planned; fewer than asked for where the time is limited.
        best_epoch: the one whose weights are kept, see `trainer`.
        best_loss: its loss on validation.
        waited: epochs since then.
        history: finished rows of ``history.csv``, of earlier phases too.
        chosen: what earlier phases chose.
        sums: of this epoch's steps: loss by images, images, accuracy by weight, weight.
        seconds: spent on the epoch so far.
        done: the phase has ended.
    """

    phase: int = 0
    epoch: int = 0
    step: int = 0
    epochs: int = 0
    best_epoch: int = 0
    best_loss: float | None = None
    waited: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    chosen: dict[str, float] = field(default_factory=dict)
    sums: list[float] = field(default_factory=lambda: [0.0] * 4)
    seconds: float = 0.0
    done: bool = False


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of a run, in a folder of their own."""

    folder: Path

    @property
    def last(self) -> Path:
        """State and tensors of the last step that was saved."""
        return self.folder / "last.safetensors"

    def best(self, state: State) -> Path:
        """The weights of the best epoch that `state` knows of."""
        return self.folder / f"best-{state.phase}-{state.best_epoch}.safetensors"

    def save(self, state: State, tensors: Tensors) -> None:
        """Replaces the last checkpoint, and removes best weights that it doesn't name.

        Raises:
            OSError: the disk is full, say; the checkpoint before is intact then.
        """
        _write(self.last, tensors | {"state": np.frombuffer(json.dumps(asdict(state)).encode(), np.uint8)})
        for path in self.folder.glob("best-*.safetensors"):
            if path != self.best(state):
                path.unlink(missing_ok=True)

    def load(self) -> tuple[State, Tensors] | None:
        """The last checkpoint, or None where there is none.

        Raises:
            InputError: it is damaged.
        """
        if not self.last.exists():
            return None
        tensors = _read(self.last)
        try:
            return State(**json.loads(tensors.pop("state").tobytes())), tensors
        except (KeyError, ValueError, TypeError) as error:
            raise _damaged(self.last) from error

    def save_best(self, state: State, tensors: Tensors) -> None:
        """Writes the weights of the epoch that `state` has just found to be the best."""
        _write(self.best(state), tensors)

    def load_best(self, state: State) -> Tensors:
        """The weights of the best epoch.

        Raises:
            InputError: they are damaged or gone.
        """
        return _read(self.best(state))


def _write(path: Path, tensors: Tensors) -> None:
    write_tensors(path, tensors | {"sha256": _digest(tensors)})


def _read(path: Path) -> Tensors:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(path.read_bytes())
        expected = tensors.pop("sha256")
    except (SafetensorError, FileNotFoundError, KeyError) as error:
        raise _damaged(path) from error
    if not np.array_equal(expected, _digest(tensors)):
        raise _damaged(path)
    return tensors


def _digest(tensors: Tensors) -> np.ndarray:
    total = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        total.update(name.encode() + str(tensor.dtype).encode() + repr(tensor.shape).encode())
        total.update(np.ascontiguousarray(tensor).tobytes())
    return np.frombuffer(total.digest(), np.uint8)


def _damaged(path: Path) -> InputError:
    return _refused("The checkpoint is damaged.", path, "Restore it, or r")


def misfit(path: Path) -> InputError:
    """A checkpoint that is whole, and holds other tensors than these versions train."""
    return _refused("The checkpoint was written under other versions, whose numbers do not fit.", path, "R")


def _refused(line: str, path: Path, begin: str) -> InputError:
    remedy = f"{begin}emove the folder `checkpoints`: the same command then begins anew."
    return InputError(sentence(line, received=str(path), remedy=remedy))
