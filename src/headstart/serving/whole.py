"""Flask behind the gate: a request that is whole goes to a thread, and a whole answer comes back.

One way there and one way back. Where a network keeps all cores busy, a thread that is woken waits for one; so
nothing is handed over in pieces.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from io import BytesIO
from typing import TYPE_CHECKING, Any

from a2wsgi.wsgi import build_environ
from werkzeug.wsgi import ClosingIterator

from headstart.serving.outbox import Message

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

Answer = tuple[Message, bytes]
"""ASGI's message that starts an answer, and all of its body."""

Room = Callable[[int], bool]
"""Whether an answer of so many bytes can leave."""

Whole = Callable[[Message, bytes, Room], Awaitable[Answer | None]]
"""An application, asked with ASGI's scope and the body; None is an answer that there is no room for."""


class Threads:
    """A WSGI application (PEP 3333) on threads of its own.

    Args:
        application: Flask's, say.
        most: requests that are answered at the same time; more wait.
    """

    def __init__(self, application: WSGIApplication, most: int) -> None:
        self.application = application
        self.pool = ThreadPoolExecutor(most, thread_name_prefix="request")

    async def __call__(self, scope: Message, body: bytes, room: Room) -> Answer | None:
        """Whatever the application raises is raised."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, self._answer, scope, body, room)

    def _answer(self, scope: Message, body: bytes, room: Room) -> Answer | None:
        environ: Any = build_environ(scope, BytesIO(body))  # type: ignore[arg-type]  # a file, as PEP 3333 says
        start: Message = {"type": "http.response.start"}
        held: list[bytes] = []
        size = 0

        def begin(status: str, headers: list[tuple[str, str]], _: object = None) -> Callable[[bytes], object]:
            """PEP 3333's `start_response`; nothing has left yet, so a second one replaces the first."""
            pairs = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
            start.update(status=int(status.partition(" ")[0]), headers=pairs)
            return held.append

        with closing(ClosingIterator(self.application(environ, begin))) as parts:
            for part in parts:
                held.append(part)
                size += len(part)
                if not room(size):  # nor is the rest of what cannot leave computed
                    return None
        return start, b"".join(held)
