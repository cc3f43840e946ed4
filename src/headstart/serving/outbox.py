"""Answers on their way: however slowly a client takes one, no thread and nobody's place waits for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
PIECE = 65_536  # bytes; the server below holds a few of them for each client


class Outbox:
    """All answers that were not taken yet.

    Args:
        most: bytes that they may have together; what fits into one piece may be more.
    """

    def __init__(self, most: int) -> None:
        self.most, self.held = most, 0

    def has_room(self, size: int) -> bool:
        """Whether an answer of so many bytes can be held until it is taken."""
        return size <= PIECE or self.held + size <= self.most

    async def hand(self, start: Message, body: bytes, send: Callable[[Message], Awaitable[None]]) -> None:
        """Hands over an answer, piece by piece, each when the one before was taken."""
        self.held += len(body)
        await send(start)
        for at in range(0, len(body) or 1, PIECE):
            piece = body[at : at + PIECE]
            more = at + PIECE < len(body)
            await send({"type": "http.response.body", "body": piece, "more_body": more})
            self.held -= len(piece)
