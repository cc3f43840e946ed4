"""One progress bar for all long work: on stderr, with rate and time left, silent where asked."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

from headstart.errors import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

T = TypeVar("T")

_quiet: ContextVar[bool] = ContextVar("quiet", default=True)


@contextmanager
def shown(visible: bool = True) -> Iterator[None]:
    """Shows the bars of the work inside the block; they are silent by default (Python API, tests)."""
    token = _quiet.set(not visible)
    try:
        yield
    finally:
        _quiet.reset(token)


def track(items: Iterable[T], description: str, total: int, done: int = 0) -> Generator[T]:
    """Yields `items` while a bar counts them up to `total`, starting at `done` (cached work)."""
    with bar(description, total, done) as shown_bar:
        for item in items:
            yield item
            shown_bar.advance(1)


class Bar:
    """A bar that nobody sees."""

    def advance(self, count: int, text: str = "", description: str = "") -> None:
        """Moves it by `count`; a text is shown behind it, a description before it."""

    def line(self, text: str) -> None:
        """Writes a line above it."""


@contextmanager
def bar(description: str, total: int, done: int = 0, narrow: bool = False) -> Iterator[Bar]:
    """Yields a bar that counts up to `total`; a `narrow` one leaves room for a text behind it."""
    if _quiet.get():
        yield Bar()
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:<12}" if narrow else "{task.description:<22}", markup=False),
        BarColumn(bar_width=12 if narrow else 28),
        *([] if narrow else [MofNCompleteColumn()]),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[text]}", markup=False),
    )
    console = _console()
    # Left to itself, rich would send to stderr what is written to stdout meanwhile.
    with Progress(*columns, console=console, redirect_stdout=False) as progress:
        yield _Shown(
            progress, progress.add_task(printable(description), total=total, completed=done, rate="", text="")
        )


class _Shown(Bar):
    """A bar of rich's."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self.progress, self.task = progress, task

    def advance(self, count: int, text: str = "", description: str = "") -> None:
        speed = self.progress.tasks[0].finished_speed or self.progress.tasks[0].speed
        rate = f"{speed:,.1f}/s" if speed else ""
        named = description or self.progress.tasks[0].description
        self.progress.update(self.task, advance=count, description=named, rate=rate, text=text)

    def line(self, text: str) -> None:
        self.progress.console.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def timed(clock: dict[str, float], stage: str) -> Iterator[None]:
    """Adds the seconds that the block takes to those of a stage."""
    start = time.perf_counter()
    yield
    clock[stage] = clock.get(stage, 0.0) + time.perf_counter() - start


def note(text: str) -> None:
    """Prints one line to stderr where bars are shown."""
    if not _quiet.get():
        _console().print(text, markup=False, highlight=False, soft_wrap=True)


def _console() -> Console:
    from rich.console import Console

    class Stderr(Console):
        """The work goes on when nobody reads any more what is said of it; rich would end the program."""

        def on_broken_pipe(self) -> None:
            self.quiet = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

    return Stderr(stderr=True)
