"""Load on a server of this machine: each request starts when it is its time, whatever became of others."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from itertools import chain

from werkzeug.datastructures import FileStorage
from werkzeug.test import stream_encode_multipart

PATIENCE = 60  # seconds after which a client gives up


@dataclass(frozen=True)
class Request:
    """What is asked, on a connection of its own."""

    body: bytes = b""
    path: str = "/v1/predict"
    kind: str = "application/octet-stream"
    method: str = "POST"

    @cached_property
    def sent(self):
        head = f"{self.method} {self.path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        about = f"Content-Type: {self.kind}\r\nContent-Length: {len(self.body)}\r\n\r\n"
        return (head + about).encode() + self.body


def form(path, *contents):
    """What a browser sends: pictures by name."""
    files = [FileStorage(BytesIO(content), f"{i}.png", "file") for i, content in enumerate(contents)]
    stream, _, boundary = stream_encode_multipart({"file": files})
    return Request(stream.read(), path, f"multipart/form-data; boundary={boundary}")


@dataclass(frozen=True)
class Answer:
    """What came of a request: all of an answer, or status 0 and in `body` what there is of one."""

    request: Request
    begun: float  # by the monotonic clock
    seconds: float
    connected: bool  # was anybody there
    status: int
    headers: dict[str, str]
    body: bytes


def parsed(raw):
    """Status, headers and body."""
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if len(body) != int(headers.get("content-length", -1)):
        return 0, headers, raw
    return int(first.split()[1]), headers, body


class _Client(asyncio.Protocol):
    """Sends, and keeps what comes until the connection ends, in whichever way."""

    def __init__(self, request):
        self.request, self.raw, self.over = request, b"", asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        transport.write(self.request.sent)

    def data_received(self, data):
        self.raw += data

    def connection_lost(self, _):
        if not self.over.done():
            self.over.set_result(None)


async def ask(port, request, patience=PATIENCE):
    """One request and its answer."""
    begun, client, transport = time.monotonic(), _Client(request), None
    try:
        async with asyncio.timeout(patience):
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_connection(lambda: client, "127.0.0.1", port)
            await client.over
    except (OSError, TimeoutError):
        pass
    finally:
        if transport:
            transport.abort()
    return Answer(request, begun, time.monotonic() - begun, transport is not None, *parsed(client.raw))


async def flood(port, requests, rate=math.inf, patience=PATIENCE):
    """Answers to `rate` requests a second, in their order."""
    start, asked = time.monotonic(), []
    for number, request in enumerate(requests):
        await asyncio.sleep(max(0.0, start + number / rate - time.monotonic()))
        asked.append(asyncio.create_task(ask(port, request, patience)))
    return await asyncio.gather(*asked)


async def crowd(port, requests, clients=8):
    """Answers to requests of so many clients, each of which asks again when it was answered."""
    waiting = iter(requests)

    async def client():
        return [await ask(port, request) for request in waiting]

    return list(chain.from_iterable(await asyncio.gather(*(client() for _ in range(clients)))))


def quantile(answers, share):
    """Seconds within which such a share of them came."""
    ordered = sorted(answer.seconds for answer in answers)
    return ordered[math.ceil(share * len(ordered)) - 1]
