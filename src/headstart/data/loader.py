"""Ordered, bounded look-ahead: decoding on threads while the engine computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")


def ahead(work: Callable[[S], T], items: Iterable[S], workers: int = 2, window: int = 16) -> Iterator[T]:
    """Yields ``work(item)`` in the order of `items`, at most `window` of them in flight.

    Memory stays bounded for a stream of any length, and an exception arrives at the item that raised it, or
    that `items` raised it for.

    >>> list(ahead(abs, [-3, 2, -1], window=2))
    [3, 2, 1]
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    pending: deque[Future[T]] = deque()
    source, ended = iter(items), None
    try:
        while pending or ended is None:
            try:
                if ended is None:
                    pending.append(pool.submit(work, next(source)))
            except BaseException as error:  # noqa: BLE001 - an interrupt, too, comes after what was before it
                ended = error
            if pending and (ended or len(pending) >= window):
                yield pending.popleft().result()
        if not isinstance(ended, StopIteration):
            raise ended
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
