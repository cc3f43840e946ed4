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

    Memory stays bounded for a stream of any length, and an exception arrives at the item that raised it.

    >>> list(ahead(abs, [-3, 2, -1], window=2))
    [3, 2, 1]
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    pending: deque[Future[T]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) >= window:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
