"""Named moments of a training, each of which can be made to go wrong: the power goes, the disk is full.

Called in a child of `zygote`, which is thrown away afterwards. A moment is called ``before write NAME``,
``half write NAME`` (half of the bytes are there), ``after write NAME``; likewise for ``sync`` (fsync),
``rename`` and so on. Names are those of the files in the end, not of their temporary ones.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SHARD = re.compile(r"[0-9a-f]{32}(\.safetensors)")
BEST = re.compile(r"(best-\d+)-\d+")
TEMPORARY = re.compile(r"\.(.+?)\.[a-z0-9_]{8}\.headstart(-old)?")


@dataclass(frozen=True)
class Fault:
    """What goes wrong, and when.

    Attributes:
        at: the moment.
        nth: which of those of that name, from 1.
        does: ``kill``, ``error``, ``stall``, ``keep`` (a copy of the checkpoints, as they are), ``fill`` (the
            disk), or ``poison`` (the weights).
        number: the errno of an error, seconds to stall, bytes that are left on the full disk.
        share: of a file's bytes that are written at the moment ``half write``.
        lasting: it goes wrong from then on every time.
    """

    at: str
    nth: int = 1
    does: str = "kill"
    number: float = 0
    share: float = 0.5
    lasting: bool = False


def final_name(path: Any) -> str:
    """The name that a temporary file is going to have, less hashes and numbers of epochs.

    >>> final_name(".best-1-14.safetensors.x0rq_z81.headstart")
    'best-1.safetensors'
    """
    name = BEST.sub(r"\1", SHARD.sub(r"shard\1", Path(path).name))
    found = TEMPORARY.fullmatch(name)
    return found[1] if found else name


class Events:
    """Counts the moments, writes them down, and does what the faults say.

    Args:
        faults: what is to go wrong.
        trace: a line is added to it for every moment, at once, so that a kill loses none.
    """

    def __init__(self, faults: list[Fault], trace: Path) -> None:
        self.faults, self.seen = faults, Counter[str]()
        self.trace = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def happens(self, moment: str, subject: Any = None) -> None:
        self.seen[moment] += 1
        os.write(self.trace, f"{moment}\n".encode())
        for fault in self.faults:
            seen = self.seen[moment]
            if fault.at == moment and (seen == fault.nth or (fault.lasting and seen > fault.nth)):
                _do(fault, subject)

    def around(self, owner: Any, attribute: str, what: str, of: Callable[..., str] | None = None) -> None:
        """Makes a function say when it begins and when it has ended."""
        inner = getattr(owner, attribute)

        def outer(*args: Any, **options: Any) -> Any:
            name = f"{what} {of(*args, **options)}" if of else what
            self.happens(f"before {name}", args and args[0])
            found = inner(*args, **options)
            if what == "step" and not all(np.isfinite(v).all() for v in args[0].trainable_variables):
                self.happens("unsound step")
            self.happens(f"after {name}", args and args[0])
            return found

        setattr(owner, attribute, outer)

    def install(self) -> None:
        """For all that writes, and all that takes long."""
        import pyarrow.parquet as pq

        from headstart import rundir, stages
        from headstart.backbones.framework import keras
        from headstart.data import prepare
        from headstart.exports import parity
        from headstart.report import render
        from headstart.training import boundary, features, probe, trainer

        self._halves()
        for owner, attribute, what in (
            (prepare, "prepare", "preparing"), (boundary, "read", "reading"), (probe, "fit_path", "lbfgs"),
            (features, "extract", "features"), (trainer, "fit", "phase"), (trainer._Loop, "end", "end"),
            (trainer._Loop, "_judge", "judging"), (keras().Model, "train_on_batch", "step"),
            (keras().Model, "predict_on_batch", "answers"), (parity, "keras_probabilities", "parity"),
            (stages, "answers", "evaluation"), (render, "render", "report"),
        ):  # fmt: skip
            self.around(owner, attribute, what)
        for owner, attribute, what in (
            (rundir, "_fsync", "sync"), (Path, "replace", "rename"), (Path, "rename", "move"),
            (Path, "unlink", "remove"), (shutil, "rmtree", "remove"), (Path, "read_bytes", "read"),
        ):  # fmt: skip
            self.around(owner, attribute, what, lambda path, *_, **__: final_name(path))
        self.around(tempfile, "mkstemp", "create", lambda prefix, **_: final_name(prefix.strip(".")))
        self.around(pq, "write_table", "write", lambda _, path: final_name(path))

    def _halves(self) -> None:
        whole = Path.write_bytes
        shares = {fault.at: fault.share for fault in self.faults}

        def write_bytes(path: Path, content: bytes) -> int:
            name = f"write {final_name(path)}"
            self.happens(f"before {name}", path)
            whole(path, content[: int(len(content) * shares.get(f"half {name}", 0.5))])
            self.happens(f"half {name}", path)
            written = whole(path, content)
            self.happens(f"after {name}", path)
            return written

        Path.write_bytes = write_bytes


def _do(fault: Fault, subject: Any) -> None:
    if fault.does == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif fault.does == "error":
        raise OSError(int(fault.number), os.strerror(int(fault.number)))
    elif fault.does == "stall":
        time.sleep(fault.number)
    elif fault.does == "keep":
        run = next(p for p in subject.parents if (p / "run.json").exists())
        Path(os.environ["KEPT"]).mkdir()
        for path in (run / "checkpoints").glob("[!.]*"):
            shutil.copy(path, os.environ["KEPT"])
    elif fault.does == "fill":
        folder = next(p for p in subject.parents if (p / "here").exists())
        room = max(0, shutil.disk_usage(folder).free - int(fault.number))
        (folder / "ballast").open("wb").write(bytes(room))
    elif fault.does == "poison":
        variable = subject.trainable_variables[0]
        variable.assign(np.full(variable.shape, np.nan))
    else:
        raise ValueError(fault.does)
