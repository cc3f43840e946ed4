"""Weights from files that others wrote: arrays by name, and nothing else of them.

They are read in a process of its own, with limits on memory, time and files and, where the system lets it,
without a network, by `foreign_reader`; what comes back is looked at before it is used. Nothing that a file
says is executed.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np

from headstart.config import Colours
from headstart.errors import InputError, last_line, printable, sentence

Shapes = dict[str, tuple[int, ...]]

LARGEST = 4 * 2**30
"""Bytes of a file: VGG16 with its top and the state of an optimizer has 1.7 · 10⁹."""

SECONDS = 120
REFUSED, OWN = 3, 4
"""Exit codes of the reader, whose last line says why: the file doesn't have what is asked for, or is ours and
expects RGB."""

REMEDY = {
    REFUSED: "Check that the file is of this backbone, or export it again.",
    OWN: "Run `headstart weights import FILE --colours rgb`, and give --weights the name that it tells.",
}

ALONE = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""Environment of a process without threads: one that has some may not leave the network."""


def read(
    path: Path, required: Shapes, optional: Shapes | None = None, colours: Colours | None = None
) -> dict[str, np.ndarray]:
    """The arrays of a file by our names, float32, finite, kernels of convolutions as HWIO.

    Args:
        path: HDF5 (``.h5``, ``.weights.h5``), ``.keras``, safetensors or ONNX; the content decides.
        required: ``<layer>/kernel`` and ``<layer>/bias`` with their shapes.
        optional: more of them; they are left out where the file doesn't have them.
        colours: order of the first kernel's input channels, as somebody says: a file of ours must agree.

    Raises:
        InputError: the file is missing, of no such kind, or doesn't hold these arrays.
    """
    _check_file(path)
    wanted = {"required": required, "optional": optional or {}, "colours": colours or ""}
    command = [sys.executable, "-P", "-m", "headstart.backbones.foreign_reader", str(path)]
    environment = os.environ | ALONE | {"HDF5_PLUGIN_PRELOAD": "::"}  # no filter is loaded from a library
    try:
        done = subprocess.run(  # noqa: S603
            command, input=json.dumps(wanted).encode(), capture_output=True, env=environment,
            timeout=SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise _refused(path, f"it takes more than {SECONDS} seconds to read") from error
    said = last_line(done.stderr.decode(errors="replace"))
    if done.returncode in REMEDY:
        raise _refused(path, said, REMEDY[done.returncode])
    if done.returncode:
        raise _refused(path, f"reading it takes more memory than its weights, or ends the reader ({said})")
    return _checked(path, done.stdout, required, optional or {})


def _check_file(path: Path) -> None:
    try:
        status = path.stat()
        if stat.S_ISREG(status.st_mode):
            path.open("rb").close()
    except PermissionError as error:
        remedy = "Ask its owner, or take a copy of your own."
        raise InputError(
            sentence("You may not read this weights file.", received=str(path), remedy=remedy)
        ) from error
    except OSError as error:
        raise InputError(sentence("There is no such weights file.", received=str(path))) from error
    if not stat.S_ISREG(status.st_mode):
        raise _refused(path, "it is no regular file")
    if status.st_size > LARGEST:
        raise _refused(path, f"it is larger than {LARGEST // 2**30} GiB")


def _checked(path: Path, content: bytes, required: Shapes, optional: Shapes) -> dict[str, np.ndarray]:
    """What the reader sent, if it is what was asked for."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        found = load(content)
    except SafetensorError as error:
        raise _refused(path, "its reader was interrupted") from error
    known = required | optional
    for name, array in found.items():
        if array.dtype != np.float32 or array.shape != known.get(name):
            raise _refused(path, f"{printable(name)} has another form than asked for")
        if not np.isfinite(array).all():
            raise _refused(path, f"{name} holds a value that is no number")
    if missing := [name for name in required if name not in found]:
        raise _refused(path, f"{missing[0]} is missing")
    return {name: found[name] for name in known if name in found}


def _refused(path: Path, why: str, remedy: str = REMEDY[REFUSED]) -> InputError:
    return InputError(
        sentence(
            f"These weights cannot be used: {why}.",
            allowed="Keras's .h5, .weights.h5 or .keras, safetensors or ONNX, with the backbone's layers",
            received=str(path),
            remedy=remedy,
        )
    )
