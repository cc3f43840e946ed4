"""Ctrl-C and SIGTERM between two steps instead of inside one, so that a checkpoint can be written first."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT = {signal.SIGINT: 130, signal.SIGTERM: 143}


class Asked:
    """Which signal has asked for the end, if any."""

    signal: int = 0

    def heed(self) -> None:
        """Ends as a signal has asked for, if one has: by KeyboardInterrupt, or SystemExit with 143."""
        if not self.signal:
            return
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(EXIT[signal.Signals(self.signal)])


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

    before = {number: signal.signal(number, note) for number in EXIT}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
