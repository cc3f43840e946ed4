"""A process that imports everything once, which takes seconds, and forks a child for each command.

Nothing has been computed when it forks, so the threads of TensorFlow, OpenMP and ncnn all begin in the child.
It reads one order a line from stdin, in JSON, and answers twice: with the child's process number, and with
how it ended (its exit code, or less the signal). It is spoken to by `lab`.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

LATEST = 300  # seconds after which a child is taken to hang

HEAVY = """
    pandas pyarrow.parquet scipy.optimize scipy.special sklearn.linear_model sklearn.utils.class_weight
    sklearn.metrics matplotlib.pyplot seaborn cv2 faiss ncnn h5py jinja2 rich.progress safetensors.numpy
    headstart.cli headstart.pipeline headstart.stages headstart.data.prepare headstart.report.render
    headstart.training.random_layers headstart.engines.keras_engine headstart.engines.ncnn_engine
""".split()


def main() -> None:
    from headstart.backbones.framework import keras

    keras()  # first, as it sets TensorFlow up
    for name in HEAVY:
        importlib.import_module(name)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _obey(json.loads(line))
        print(child, file=answers)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=answers)


def _obey(order: dict[str, Any]) -> None:
    """Runs a program with the order's arguments, cache, faults and output, and ends the process."""
    from tests.faults.events import Events, Fault

    from headstart.training import phases, trainer

    signal.alarm(LATEST)
    _redirect(Path(order["screen"]))
    os.environ |= {"HEADSTART_CACHE": order["cache"], "KEPT": order["kept"]}
    trainer.SAVE_EVERY = order["save_every"]
    phases.EPOCHS = phases.EPOCHS | {"frozen": order["head_epochs"]}
    Events([Fault(**fault) for fault in order["faults"]], Path(order["trace"])).install()
    code = 99  # of an exception that nobody caught
    try:
        importlib.import_module(order["program"]).main(order["arguments"])
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:  # noqa: BLE001 - whatever it is, it must not go on in the parent's loop
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _redirect(screen: Path) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    written = os.open(screen, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor, target in ((0, null), (1, null), (2, written)):
        os.dup2(target, descriptor)


if __name__ == "__main__":
    main()
