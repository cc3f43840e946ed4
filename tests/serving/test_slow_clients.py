"""Clients that take their time are cut off, or wait without holding anybody else up (R22)."""

from __future__ import annotations

import asyncio
import shutil
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from tests import models
from tests.serving.load import Request, flood, quantile
from tests.serving.running import served, workers

from headstart.inference.predictor import Prediction
from headstart.serving.history import History, url_of
from headstart.serving.limits import Limits

GOOD = Request(models.picture(3))
LARGE = 3_000_000  # bytes: more than system and server take for a client that doesn't read, 2.4 MB on Linux
NOTICED = 0.1  # seconds that a person takes for at once (Nielsen, Usability Engineering, 1993, section 5.5)
SHORTER = """
from dataclasses import replace
from headstart.cli import main
from headstart.serving import server
checked = server.checked
server.checked = lambda place: checked(replace(place, limits=replace(place.limits, reading={})))
main()
"""  # a deadline that has no option, so that the reduced test needs no 15 seconds


@pytest.fixture(scope="module")
def run(model, tmp_path_factory):
    """A run whose report and whose table of answers are large."""
    root = tmp_path_factory.mktemp("runs") / "slow"
    shutil.copytree(model, root / "model")
    (root / "report.html").write_text("<p>" + "x" * LARGE)
    history = History(url_of(str(root / "served.sqlite3")))
    rows = [(f"{i}" + "x" * 10_000, b"") for i in range(LARGE // 10_000)]
    history.add("", rows, [Prediction("", "cat", 0.5, {})] * len(rows))
    history.close()
    return root


async def dripped(port, begun, cut):
    """Sends a byte a second after what was `begun`; notes the seconds until it is cut off, and its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    start, told = time.monotonic(), asyncio.create_task(reader.read())
    try:
        writer.write(begun)
        while not (await asyncio.wait([told], timeout=1))[0]:
            writer.write(b"x")
        cut.append((time.monotonic() - start, told.result()))
    finally:
        told.cancel()
        writer.close()


async def sipped(port, path, taken):
    """Takes a byte a second of a large answer, whose beginning it notes."""
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setblocking(False)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # the least that the system has
        await loop.sock_connect(client, ("127.0.0.1", port))
        await loop.sock_sendall(client, Request(b"", path, method="GET").sent)
        taken.append(await loop.sock_recv(client, 12))
        while taken[-1] == b"HTTP/1.1 200" and await loop.sock_recv(client, 1):
            await asyncio.sleep(1)


async def again_and_again(delay, attack, *how):
    await asyncio.sleep(delay)
    while True:
        with suppress(ConnectionError):
            await attack(*how)
        await asyncio.sleep(0.2)


async def attacked(port, each, seconds):
    """Answers to good requests among slow ones, how headers and bodies ended, and how answers began.

    The slow ones come one after another in the first third: who makes many tables at once is another attack.
    """
    header = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
    body = header + b"\r\nContent-Type: image/png\r\nContent-Length: 10000\r\n\r\n"
    headers, bodies, taken = [], [], []
    attacks = [(dripped, port, header, headers), (dripped, port, body, bodies)] * 2
    attacks += [(sipped, port, "/report", taken), (sipped, port, "/history/answers.csv", taken)]
    tasks = [
        asyncio.create_task(again_and_again(seconds / 3 * number / (each // 2), *how))
        for how in attacks
        for number in range(each // 2)
    ]
    good = await flood(port, [GOOD] * (5 * seconds), 5)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    return good, headers, bodies, taken


def threads(process):
    """How many the worker has."""
    return len(list(Path(f"/proc/{workers(process)[0]}/task").iterdir()))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads are counted in /proc")
@pytest.mark.parametrize(
    ("each", "reading", "seconds", "share"),
    [(20, 2, 5, 0.5), pytest.param(200, 15, 120, 0.99, marks=pytest.mark.serving)],
)
def test_slow_clients_are_cut_off_and_others_dont_notice(run, each, reading, seconds, share):
    """In full, those who take tables slowly are more than may be with the application at the same time."""
    with served(run, program=("-c", SHORTER.format(float(reading)))) as (port, process):
        idle = asyncio.run(flood(port, [GOOD] * (2 * seconds), 5))[5:]  # the first are slow
        before = threads(process)
        good, headers, bodies, taken = asyncio.run(attacked(port, each, seconds))
        more = threads(process) - before

    assert {(one.status, one.body) for one in good} == {(200, idle[0].body)}
    assert quantile(good, share) <= max(2 * quantile(idle, share), NOTICED)
    assert min(len(headers), len(bodies)) >= each * (seconds * 2 // 3 // (reading + 1))
    assert max(taken for taken, _ in headers + bodies) < reading + 0.5  # and what the load makes of it
    assert all(told.startswith(b"HTTP/1.1 408 ") for _, told in bodies)
    assert taken.count(b"HTTP/1.1 200") >= each
    assert more < min(each, Limits.requests) // 2  # there would be as many if readers held them
