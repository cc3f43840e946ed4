"""Runs the example beside an export in a process of its own: ``python -P -m headstart.exports.plain FOLDER``.

Only the format's own library reads the export there, as it will where headstart is not installed. The
images come in as raw bytes, the probabilities go out as JSON.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from headstart.errors import GateError, last_line, sentence
from headstart.exports.example import EXAMPLE
from headstart.exports.settings import SETTINGS


def ask(folder: Path, images: np.ndarray) -> np.ndarray:
    """What an export says of (N, size, size, 3) uint8 images: (N, C) probabilities.

    Raises:
        GateError: the format's library cannot run it.
    """
    command = [sys.executable, "-P", "-m", "headstart.exports.plain", str(folder)]
    quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, input=images.tobytes(), capture_output=True, env=quiet, check=False)  # noqa: S603
    if done.returncode:
        raise GateError(
            sentence(
                "The export was written, but its library cannot run it.",
                received=last_line(done.stderr.decode(errors="replace")),
                remedy="Nothing was kept. Is the library installed that example.py names?",
            )
        )
    return np.array(json.loads(done.stdout.splitlines()[-1]))


def _main(folder: Path) -> None:
    settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    shape = (-1, *settings["input"]["shape"][1:])
    images = np.frombuffer(sys.stdin.buffer.read(), np.uint8).reshape(shape)
    found = importlib.util.spec_from_file_location("example", folder / EXAMPLE)
    assert found is not None
    assert found.loader is not None
    example = importlib.util.module_from_spec(found)
    found.loader.exec_module(example)
    answers = np.asarray(example.probabilities(images), np.float64)
    sys.stdout.write("\n" + json.dumps(answers.tolist()) + "\n")


if __name__ == "__main__":
    place = Path(sys.argv.pop())
    _main(place)
