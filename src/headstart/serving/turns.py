"""Waiting for a turn, and no longer than somebody waits for the answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from headstart.engines import threads
from headstart.errors import HeadstartError

LATE = "The answer took longer than the server waits; try again in a moment."
_DECODERS = threading.BoundedSemaphore(threads())


class LateError(HeadstartError):
    """The deadline went by before the answer was there."""


class Places(Protocol):
    """A lock or a semaphore."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Takes a place, if there is one in so many seconds."""

    def release(self) -> None:
        """Gives it back."""


@contextmanager
def turn(places: Places, seconds: float) -> Iterator[None]:
    """Waits for a place, and gives it back.

    Raises:
        LateError: there was none in time.
    """
    if not places.acquire(timeout=max(0.0, seconds)):
        raise LateError(LATE)
    try:
        yield
    finally:
        places.release()


def decoding(seconds: float = 60.0) -> AbstractContextManager[None]:
    """Waits for its turn: a large picture takes hundreds of megabytes, so only one a core is decoded.

    Raises:
        LateError: it wasn't its turn in time.
    """
    return turn(_DECODERS, seconds)
