"""Asks a server on this machine at moments that were settled before, whether or not it keeps up (open loop).

    python load.py PORT FILES --rate 8.5 --seconds 30 --seed 1

FILES lists pictures, a path a line; they are sent by turns, each as a form's `file`. As many requests as rate
and seconds make are due at random moments, all equally likely: those of a Poisson process of which the number
is known. A latency counts from when its request was due, so no server hides behind those that it let wait.
Prints JSON: latencies of the answers, how often which other status came (0 for none in time), and when the
last answer was there; all in seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
from collections import Counter
from itertools import cycle
from pathlib import Path

PATH = "/v1/predict"
BOUNDARY = "a-cell-of-the-sun"
KIND = f"multipart/form-data; boundary={BOUNDARY}"
PATIENCE = 30.0  # seconds; also what headstart and LitServe by themselves wait at most
OK = 200


def main() -> None:
    """Asks, and says what came."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("port", type=int)
    parser.add_argument("files", type=Path)
    parser.add_argument("--rate", type=float, required=True, help="requests a second")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    pictures = [Path(line).read_bytes() for line in asked.files.read_text().splitlines()]
    due = moments(round(asked.rate * asked.seconds), asked.seconds, asked.seed)
    load = Load(asked.port)
    asyncio.run(load.run(due, [request(picture) for picture in pictures]))
    found = {"latencies": load.latencies, "others": load.others, "last": load.last}
    sys.stdout.write(json.dumps(found) + "\n")


def moments(count: int, seconds: float, seed: int) -> list[float]:
    """When requests are due, in order."""
    drawn = random.Random(seed)  # noqa: S311 - no secret
    return sorted(drawn.uniform(0, seconds) for _ in range(count))


def form(content: bytes) -> bytes:
    """A form with a picture, as a browser sends it."""
    head = 'Content-Disposition: form-data; name="file"; filename="cell.png"\r\nContent-Type: image/png'
    return f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()


def request(content: bytes) -> bytes:
    """All bytes of a request with that form."""
    body = form(content)
    lines = [f"POST {PATH} HTTP/1.1", "Host: 127.0.0.1", f"Content-Type: {KIND}"]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


class Load:
    """Connections to one server, each kept for the next request if the server keeps it."""

    def __init__(self, port: int) -> None:
        self.port, self.last = port, 0.0
        self.latencies: list[float] = []
        self.others: Counter[int] = Counter()
        self.idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def run(self, due: list[float], requests: list[bytes]) -> None:
        """Sends each request when it is due, and waits for the last."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        async with asyncio.TaskGroup() as tasks:
            for moment, content in zip(due, cycle(requests), strict=False):
                await asyncio.sleep(begin + moment - loop.time())
                tasks.create_task(self._one(begin, begin + moment, content))

    async def _one(self, begin: float, due: float, content: bytes) -> None:
        status = 0
        try:
            async with asyncio.timeout_at(due + PATIENCE):
                status = await self._ask(content)
        except (OSError, EOFError):  # refused, closed, or too late
            pass
        now = asyncio.get_running_loop().time()
        if status == OK:
            self.latencies.append(now - due)
            self.last = now - begin
        else:
            self.others[status] += 1

    async def _ask(self, content: bytes) -> int:
        """The status of the answer, when all of it is there."""
        reader, writer = await self._connection()
        kept = False
        try:
            writer.write(content)
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
            headers = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
            await reader.readexactly(int(headers["content-length"]))
            kept = first.startswith("http/1.1") and headers.get("connection") != "close"
            return int(first.split()[1])
        finally:
            if kept:
                self.idle.append((reader, writer))
            else:
                writer.close()

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self.idle:
            reader, writer = self.idle.pop()
            if not reader.at_eof():  # the server may have tired of it
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self.port)


if __name__ == "__main__":
    main()
