"""ncnn's threads, kept to one a call while several threads call it.

ncnn settles on loading how many threads a convolution is divided among. OpenMP can be told that no region may
have more than one, which changes nothing else. The wheel brings an OpenMP of its own, libgomp, so nobody but
ncnn is told.
"""

from __future__ import annotations

import ctypes
import importlib.util
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path


class _Switch:
    """OpenMP's number of nested regions that may have threads: as it was, or 0."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library, self.levels = library, library.omp_get_max_active_levels()
        self.lock, self.holders = threading.Lock(), 0

    def count(self, change: int) -> None:
        """One more who needs it off, or one less."""
        with self.lock:
            self.holders += change
            self.library.omp_set_max_active_levels(0 if self.holders else self.levels)


def possible() -> bool:
    """Whether ncnn has an OpenMP that can be told."""
    return _switch() is not None


@contextmanager
def held() -> Iterator[None]:
    """While it lasts, for the whole process, a call of ncnn keeps to the thread that calls."""
    switch = _switch()
    assert switch is not None
    switch.count(1)
    try:
        yield
    finally:
        switch.count(-1)


@cache
def _switch() -> _Switch | None:
    found = importlib.util.find_spec("ncnn")
    if found is None or found.origin is None:
        return None
    paths = list((Path(found.origin).parent.parent / "ncnn.libs").glob("libgomp*.so*"))
    try:
        return _Switch(ctypes.CDLL(str(paths[0]))) if len(paths) == 1 else None
    except (OSError, AttributeError):
        return None
