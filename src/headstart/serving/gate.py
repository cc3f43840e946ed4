"""The gate in front of the application: it reads a request under a size and a deadline, or refuses it.

A WSGI application reads a body as slowly as it is sent, and a thread waits. So this reads it first, as ASGI,
where waiting costs no thread; the application finds it complete. Who may not ask, and what is too much, is
refused before it is read.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus

from headstart.serving.access import Access
from headstart.serving.limits import Limits
from headstart.serving.outbox import Message, Outbox
from headstart.serving.problems import Problem, kind_at
from headstart.serving.rate import Rate
from headstart.serving.whole import Answer, Whole

Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

ALWAYS = ("/health", "/ready")
"""Are answered to anybody, however much there is to do."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:;"
        " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
"""On every answer, those of the gate included."""

BUSY = Problem(HTTPStatus.SERVICE_UNAVAILABLE, "Too many requests at once; try again in a moment.", 1)
BROKEN = Problem(HTTPStatus.BAD_REQUEST, "The request broke off, or its chunks are not as long as they say.")
log = logging.getLogger("headstart.serving")


class Gate:
    """An ASGI application around one that gets each request whole.

    Args:
        inner: that application.
        limits, access: see there.
        end: called once when the server ends, after the last request.
    """

    def __init__(
        self,
        inner: Whole,
        limits: Limits,
        access: Access | None = None,
        end: Callable[[], None] = lambda: None,
    ) -> None:
        self.inner, self.limits, self.access, self.end = inner, limits, access or Access(), end
        self.rate = Rate(limits.rate) if limits.rate else None
        self.reading = self.held = self.open = 0  # requests, their bytes, and requests with the application
        self.outbox = Outbox(limits.held)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        answer = _dressed(send, self.limits.deadline, _headers(scope))
        always = scope["path"] in ALWAYS and scope["method"] in ("GET", "HEAD")
        most = 0 if always else self.limits.body
        if refused := self._refused(scope, most, always):
            await _refuse(answer, scope["path"], refused)
            return
        body = await self._read(receive, most, _length(scope))
        said = body if isinstance(body, Problem) else await self._held(scope, body, always)
        if isinstance(said, Problem):
            await _refuse(answer, scope["path"], said)
        else:
            await self.outbox.hand(*said, answer)

    async def _live(self, receive: Receive, send: Send) -> None:
        """The server's beginning and end (ASGI lifespan)."""
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        while self.open:  # by clients that have gone, or the server below would have waited for them
            await asyncio.sleep(0.01)
        await asyncio.get_running_loop().run_in_executor(None, self.end)
        await send({"type": "lifespan.shutdown.complete"})

    def _refused(self, scope: Message, most: int, always: bool) -> Problem | None:
        """Why a request isn't even read."""
        headers = _by_name(scope["headers"])
        if not always and (refused := self._unwelcome(client(scope), headers)):
            return refused
        if _number(headers.get("content-length", "0")) > most:
            return _too_large(most)
        if not scope["query_string"].isascii():
            return Problem(HTTPStatus.BAD_REQUEST, "The address is not percent-encoded.")
        return BUSY if self.reading >= self.limits.readers and not always else None

    def _unwelcome(self, client: str, headers: Mapping[str, str]) -> Problem | None:
        """Who guesses at tokens is counted, too."""
        return (self.rate.refusal(client) if self.rate else None) or self.access.refusal(headers)

    async def _read(self, receive: Receive, most: int, length: int | None) -> bytes | Problem:
        """All of a request, or why it is refused."""
        counted = most > 0  # nobody takes places by asking how the server is
        self.reading += counted
        try:
            async with asyncio.timeout(self.limits.reading):
                return await self._body(receive, most, length)
        except TimeoutError:
            seconds = f"{self.limits.reading:g} s"
            return Problem(HTTPStatus.REQUEST_TIMEOUT, f"The request took longer than {seconds}.")
        finally:
            self.reading -= counted

    async def _body(self, receive: Receive, most: int, length: int | None) -> bytes | Problem:
        """Asks for no more than there is: to be told that this was all takes as long as to get it."""
        parts, size, whole = [], 0, length == 0
        try:
            while not whole:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return BROKEN  # to whom it may concern
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                self.held += len(parts[-1])
                if size > most:
                    return _too_large(most)
                if self.held > self.limits.held:
                    return BUSY
                whole = size == length or not message.get("more_body", False)
            return b"".join(parts)
        finally:
            self.held -= 0 if whole else size  # what is whole is held until it is answered

    async def _held(self, scope: Message, body: bytes, always: bool) -> Answer | Problem:
        """As `_admitted`; the bytes count until then, as the application holds them, even twice."""
        try:
            return await self._admitted(scope, body, always)
        finally:
            self.held -= len(body)

    async def _admitted(self, scope: Message, body: bytes, always: bool) -> Answer | Problem:
        """What the application answers. Then its place is free, however slowly the client takes that."""
        if self.open >= self.limits.requests and not always:
            return BUSY
        self.open += not always
        try:
            said = await self._let_in(scope, body)
        finally:
            self.open -= not always
        return said if isinstance(said, Problem) or self.outbox.has_room(len(said[1])) else BUSY

    async def _let_in(self, scope: Message, body: bytes) -> Answer | Problem:
        """An error of the application is an answer like every other."""
        try:
            return await self.inner(_whole(scope, body), body, self.outbox.has_room) or BUSY
        except Exception:
            log.exception("%s %s", scope["method"], ascii(scope["path"]))
            text = "Something went wrong here; the server's log says what."
            return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, text)


def client(scope: Message) -> str:
    """The address that a request came from; empty where it is unknown."""
    return str((scope.get("client") or ("",))[0])


def _by_name(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by their names; what came twice is joined, as the application gets it."""
    found: dict[str, str] = {}
    for name, value in ((name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs):
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def _length(scope: Message) -> int | None:
    """Bytes that a request says it has, none where it says nothing; None for chunks (RFC 9112, 6.3)."""
    headers = dict(scope["headers"])
    if b"transfer-encoding" in headers:
        return None
    return int(_number(headers.get(b"content-length", b"0").decode("latin-1")))


def _number(length: str) -> float:
    """What a header says; infinity for what is none, or longer than a number can be."""
    digits = length.lstrip("0")
    if not length.isdecimal() or len(digits) > 15:
        return math.inf
    return int(digits or "0")


def _headers(scope: Message) -> Mapping[str, str]:
    """Those of an answer.

    After a request in chunks the connection ends: who passed it on may have gone by another length, and what
    follows be taken for a request of somebody else (RFC 9112, 6.1).
    """
    chunked = any(name == b"transfer-encoding" for name, _ in scope["headers"])
    return {**HEADERS, "Connection": "close"} if chunked else HEADERS


def _too_large(most: int) -> Problem:
    text = f"The request is too large; {most / 1e6:g} MB are allowed."
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text)


def _whole(scope: Message, body: bytes) -> Message:
    """The request with the length that it has: one that came in chunks said none."""
    own = (b"content-length", b"transfer-encoding")
    headers = [pair for pair in scope["headers"] if pair[0] not in own]
    return {**scope, "headers": [*headers, (b"content-length", str(len(body)).encode())]}


def _dressed(send: Send, seconds: float, headers: Mapping[str, str]) -> Send:
    """Adds headers that an answer lacks; the rest for somebody who doesn't take it goes nowhere."""
    own = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    gone = False

    async def dressed(message: Message) -> None:
        nonlocal gone
        if gone:
            return
        if message["type"] == "http.response.start":
            given = {name.lower() for name, _ in message["headers"]}
            message["headers"] = [*message["headers"], *(pair for pair in own if pair[0] not in given)]
        try:
            async with asyncio.timeout(seconds):
                await send(message)
        except TimeoutError:
            gone = True

    return dressed


async def _refuse(send: Send, path: str, problem: Problem) -> None:
    text = problem.text().encode()
    headers = {"content-type": kind_at(path), "content-length": str(len(text)), "connection": "close"}
    pairs = [(name.lower().encode(), value.encode()) for name, value in (headers | problem.headers).items()]
    await send({"type": "http.response.start", "status": int(problem.status), "headers": pairs})
    await send({"type": "http.response.body", "body": text, "more_body": False})
