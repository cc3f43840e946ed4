"""Keeps Pillow and its C libraries from talking: the faults of an image are told by `ImageError` alone."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import threading
import warnings
from functools import cache
from pathlib import Path

import PIL

# Some of Pillow's complaints are log records, which Python prints when no handler is found.
logging.getLogger("PIL").addHandler(logging.NullHandler())


class _Silence:
    """Hides Pillow's warnings while any thread decodes.

    `warnings.catch_warnings` alone isn't safe with threads: each restores what it found, which may be
    another's filters. So the first one in sets them, and the last one out puts them back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._caught.__exit__(None, None, None)


silence = _Silence()
"""Used as ``with silence:`` around everything that Pillow does."""


@cache
def hush_libtiff() -> None:
    """Stops libtiff from writing to file descriptor 2, which would tear progress bars.

    It is the one library that writes there itself, and Pillow doesn't ask it not to. Its own switch is
    reached in the very file that Pillow's wheel brings along; where there is none, libtiff keeps talking.
    """
    for path in (Path(PIL.__file__).parent.parent / "pillow.libs").glob("libtiff-*"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(str(path)).TIFFSetErrorHandler(None)
