"""Ctrl-C and SIGTERM: an exception that gets through, or a note that is heeded between two steps of training.

C++ code that runs Python code, as TensorFlow does while it traces a graph, may swallow an exception or turn
it into another one. So `raised` raises it again until the command has ended.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

EXIT = {signal.SIGINT: 130, signal.SIGTERM: 143}
AGAIN = 0.5  # seconds
_first: list[int] = []  # the signal that has asked for the end


def raised() -> None:
    """From now on a signal becomes KeyboardInterrupt, or SystemExit with 143, again and again."""
    for number in (*EXIT, *_timer()):
        signal.signal(number, _raise)
    sys.unraisablehook, sys.excepthook = _unraisable, _printed


def came() -> int:
    """The signal that has asked for the end, or 0; it isn't raised any more."""
    if _first and _timer():
        signal.setitimer(signal.ITIMER_REAL, 0)
    return _first[0] if _first else 0


@contextmanager
def once() -> Iterator[None]:
    """Inside the block nothing is raised again, so that what has to be written is; a new signal still is."""
    came()
    try:
        yield
    finally:
        if _first and _timer():
            signal.setitimer(signal.ITIMER_REAL, AGAIN)


def _timer() -> list[int]:
    return [signal.SIGALRM] if hasattr(signal, "setitimer") else []


def _raise(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as Python calls it
    _first.append(number if number in EXIT else signal.SIGTERM)
    if _timer():
        signal.setitimer(signal.ITIMER_REAL, AGAIN)
    _end(_first[0])


def _unraisable(lost: sys.UnraisableHookArgs) -> None:
    """Says nothing of what is lost in a destructor, say, once a signal came: it will be raised again.

    Of no kind: C code that runs Python code turns the two exceptions into a SystemError of its own.
    """
    if not _first:
        sys.__unraisablehook__(lost)


def _printed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Says nothing of an exception that C++ code prints before it drops it: likewise."""
    if not _first:
        sys.__excepthook__(kind, error, trace)


def _end(number: int) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(EXIT[signal.Signals(number)])


class Asked:
    """Which signal has asked for the end, if any."""

    signal: int = 0

    def heed(self) -> None:
        """Ends as a signal has asked for, if one has: by KeyboardInterrupt, or SystemExit with 143."""
        if self.signal:
            _end(self.signal)


@contextmanager
def deferred() -> Iterator[Asked]:
    """Inside the block the first signal is only noted; a second one ends the process at once.

    Python hands signals to the main thread alone; in another thread nothing is changed.
    """
    asked = Asked()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as Python calls it
        if asked.signal:
            os._exit(EXIT[signal.Signals(number)])
        asked.signal = number

    if number := came():  # and was swallowed
        _end(number)
    before = {number: signal.signal(number, note) for number in EXIT}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
