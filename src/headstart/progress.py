"""One progress bar for all long work: on stderr, with rate and time left, silent where asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

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


def track(items: Iterable[T], description: str, total: int, done: int = 0) -> Iterator[T]:
    """Yields `items` while a bar counts them up to `total`, starting at `done` (cached work)."""
    if _quiet.get():
        yield from items
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:<22}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(description, total=total, completed=done, rate="")
        for item in items:
            yield item
            speed = progress.tasks[0].finished_speed or progress.tasks[0].speed
            progress.update(task, advance=1, rate=f"{speed:,.1f}/s" if speed else "")


def note(text: str) -> None:
    """Prints one line to stderr where bars are shown."""
    if not _quiet.get():
        from rich.console import Console

        Console(stderr=True, highlight=False).print(text, markup=False, soft_wrap=True)
