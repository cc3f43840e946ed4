"""Lines of JSON for machines that collect them: each request, and what the server has to say.

A line tells who asked for what, and how it ended. It holds no picture, no name of a file, no query and no
header, so no token either.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from headstart.serving.gate import Receive, Send, client
from headstart.serving.outbox import Message

log = logging.getLogger("headstart.requests")


class Lines(logging.Formatter):
    """One line of JSON a record; control characters are escaped, so that nobody forges a second one."""

    def format(self, record: logging.LogRecord) -> str:
        """The members of a dictionary that was logged, or the message; beside them time and level."""
        said: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
        }
        said |= record.args if isinstance(record.args, dict) else {"message": record.getMessage()}
        if record.exc_info:
            said["error"] = self.formatException(record.exc_info)
        return json.dumps(said)


class Logged:
    """An ASGI application around another one, which notes each request when it is over."""

    def __init__(self, inner: Callable[[Message, Receive, Send], Awaitable[None]]) -> None:
        self.inner = inner

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.inner(scope, receive, send)
            return
        begun, status, size = time.perf_counter(), None, 0

        async def seen(message: Message) -> None:
            nonlocal status, size
            await send(message)
            status = message.get("status", status)
            size += len(message.get("body", b""))

        try:
            await self.inner(scope, receive, seen)
        finally:
            log.info("%s", {
                "client": client(scope), "method": scope["method"], "path": scope["path"], "status": status,
                "bytes": size, "ms": round(1000 * (time.perf_counter() - begun), 1),
            })  # fmt: skip


def to_stderr() -> None:
    """Has everything that is logged written as lines of JSON, requests too."""
    handler = logging.StreamHandler()
    handler.setFormatter(Lines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    log.setLevel(logging.INFO)
