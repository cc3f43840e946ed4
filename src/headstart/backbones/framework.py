"""Keras, imported once and set up the same way everywhere."""

from __future__ import annotations

import gc
import importlib.metadata
import importlib.util
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Any

from headstart.errors import InputError, sentence
from headstart.machine import cores

BACKENDS = {"tensorflow": "headstart[cpu]", "jax": "jax", "torch": "torch"}
"""What Keras can train on, and what pip installs for it; the names are those of `KERAS_BACKEND`."""


def backend() -> str:
    """Name of the backend that Keras is to use: `KERAS_BACKEND`, or ``tensorflow``."""
    return os.environ.get("KERAS_BACKEND") or "tensorflow"


def has_backend() -> bool:
    """Whether the backend that Keras is to use is installed; nothing is imported to find out."""
    return backend() in BACKENDS and importlib.util.find_spec(backend()) is not None


def backend_version() -> str:
    """Name and version of the backend; nothing is imported to find out."""
    names = {"tensorflow": ("tensorflow-cpu", "tensorflow"), "jax": ("jax",), "torch": ("torch",)}
    for name in names.get(backend(), ()):
        with suppress(importlib.metadata.PackageNotFoundError):
            return f"{name} {importlib.metadata.version(name)}"
    return backend()


def require_backend() -> None:
    """Refuses to go on where Keras would find no backend.

    Raises:
        InputError: `KERAS_BACKEND` names none that trains, or the one it names is not installed.
    """
    name = backend()
    if name not in BACKENDS:
        raise InputError(
            sentence(
                "KERAS_BACKEND names no backend that can train.",
                allowed=", ".join(BACKENDS),
                received=name,
                remedy="Set it to one of these, or unset it.",
            )
        )
    if not has_backend():
        raise InputError(
            sentence(
                f"Keras cannot run: its backend {name} is not installed.",
                remedy=f"Run `pip install '{BACKENDS[name]}'`, or set KERAS_BACKEND to one that is "
                "installed; `headstart doctor` tells.",
            )
        )


def keras() -> Any:
    """Imports Keras with float32, channels last and without TensorFlow's chatter.

    The user's ``~/.keras/keras.json`` may say otherwise, so the settings are made here. TensorFlow
    writes to file descriptor 2 while it is imported whatever its log level is, which would tear
    progress bars: the descriptor points to the null device for that moment.

    Raises:
        InputError: there is no backend, see `require_backend`, or Keras runs on another already.
    """
    require_backend()
    os.environ["KERAS_BACKEND"] = backend()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")  # float32 is float32 on a GPU too: the reference
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(cores()))  # as run.json says: a quota counts, too
    # Other processes need the GPU as well: an export is proved in two of them beside this one.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    os.environ["TF_DETERMINISTIC_OPS"] = "1"  # the same bits every time, see docs/decisions/0007
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of a second shape of batches
    with _importing:
        found = sys.modules["keras"] if _ready else _imported()
    _require_ours(found.backend.backend())
    return found


@contextmanager
def precision(policy: str) -> Iterator[None]:
    """Models that are built inside compute in it, whatever the program around has set for its own."""
    config = keras().config
    before = config.dtype_policy()
    config.set_dtype_policy(policy)
    try:
        yield
    finally:
        config.set_dtype_policy(before)


def _require_ours(name: str) -> None:
    """Keras settles its backend when it is imported, which may have been before us."""
    if name != backend():
        raise InputError(
            sentence(
                "Keras was imported with another backend before headstart needed it.",
                allowed=backend(),
                received=name,
                remedy="Set KERAS_BACKEND before Keras is imported.",
            )
        )


_importing = Lock()
_ready: list[str] = []


def _imported() -> Any:
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    collects = gc.isenabled()
    gc.disable()  # all that is made stays, and to look for garbage in it is a quarter of the time
    try:
        os.dup2(null, 2)
        import keras
    finally:
        if collects:
            gc.enable()
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    _ready.append("keras")
    return keras
