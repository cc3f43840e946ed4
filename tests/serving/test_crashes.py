"""A server that is asked to end, or whose worker is killed, in the midst of requests (R24)."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
import time
from contextlib import suppress
from itertools import chain, repeat, takewhile

import pytest
from tests import models
from tests.serving.load import Request, ask, flood
from tests.serving.running import asked, free_port, served, workers

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="workers are found in /proc")

RATE, REFUSED, BACK = 40, 0.1, 5.0  # requests a second; seconds
GOOD = Request(models.picture(3))
READY = Request(path="/ready", method="GET")
COUNTS = pytest.mark.parametrize("times", [2, pytest.param(20, marks=pytest.mark.serving)])


def broken(answers, body):
    """Those that are neither the right answer, nor a refusal, nor a connection that ends before one."""
    clean = {(200, body), (0, b"")}
    return [one for one in answers if one.status != 503 and (one.status, one.body) not in clean]


async def ended(port, process, after):
    """Requests before the signal, requests around and after it, and whether it was ready 0.1 s later."""
    under_way = asyncio.create_task(flood(port, repeat(GOOD, RATE), RATE))
    await asyncio.sleep(after)
    process.send_signal(signal.SIGTERM)
    signalled = time.monotonic()
    await asyncio.sleep(REFUSED)
    ready = await flood(port, repeat(READY, 20), 100)
    answers = await under_way
    before = [one for one in answers if one.begun < signalled]
    return before, answers[len(before) :], ready


@COUNTS
def test_asked_to_end_it_loses_no_request_and_starts_again_in_the_same_place(model, tmp_path, times):
    history, port, names = tmp_path / "served.sqlite3", free_port(), []
    for number in range(times):
        with served(model, "--history", str(history), port=port) as (_, process):
            body = asyncio.run(ask(port, GOOD)).body
            before, later, ready = asyncio.run(ended(port, process, 0.3 + 0.6 * number / times))
            assert process.wait(60) == 0
        assert {(one.status, one.body) for one in before} == {(200, body)}
        assert broken(later, body) == []
        assert 200 not in {one.status for one in ready}
        names += [one.headers["x-answer-ids"] for one in before + later if one.status == 200]

    with sqlite3.connect(history) as connection:
        rows = [name for (name,) in connection.execute("select id from answers")]
    assert len(rows) == len(set(rows)) == len(names) + times  # and one at each start
    assert set(names) <= set(rows)


async def killed(port, process):
    """Seconds until it answers again after its worker was killed, and what became of the requests."""
    stopped = []
    requests = takewhile(lambda _: not stopped, repeat(GOOD))
    load = asyncio.create_task(flood(port, requests, RATE))
    await asyncio.sleep(0.3)
    os.kill(workers(process)[0], signal.SIGKILL)
    start = time.monotonic()
    while (await ask(port, GOOD)).status != 200:
        assert time.monotonic() < start + 60
        await asyncio.sleep(0.02)
    stopped.append(True)
    return time.monotonic() - start, await load


@COUNTS
def test_a_worker_that_is_killed_is_soon_back_and_half_answers_nothing(model, times):
    """However soon it is killed again: somebody may have found a picture that does it."""
    with served(model) as (port, process):
        body = asyncio.run(ask(port, GOOD)).body
        found = [asyncio.run(killed(port, process)) for _ in range(times)]

    assert max(seconds for seconds, _ in found) < (BACK if times > 2 else 60)  # a few run beside other tests
    answers = list(chain.from_iterable(answers for _, answers in found))
    assert broken(answers, body) == []
    assert {one.status for one in answers} >= {200, 0}


def test_a_server_that_is_killed_takes_its_worker_along(model):
    """Else that would hold the port, and answer with an old model."""
    with served(model) as (port, process):
        (worker,) = workers(process)
        process.kill()
        until = time.monotonic() + 60
        while time.monotonic() < until and asked(port, "GET", "/health")[0]:
            time.sleep(0.05)
        still_there = asked(port, "GET", "/health")[0]
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)

    assert not still_there


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: models.saved(folder, seed=1), "another model than the one that was served"),
        (lambda _: None, "is no"),
    ],
)
def test_a_worker_that_comes_back_serves_no_other_model(tmp_path, change, words):
    """Nobody has checked that one; the service ends and says so, once."""
    folder, output = models.answering(tmp_path / "model"), tmp_path / "said.txt"
    with served(folder, output=output) as (_, process):
        folder.rename(tmp_path / "before")
        change(folder)
        os.kill(workers(process)[0], signal.SIGKILL)
        assert process.wait(60) == 1

    said = output.read_text()
    assert said.count("headstart: ") == 1
    assert words in said
    assert "Traceback" not in said


def test_a_worker_that_comes_back_to_a_damaged_run_ends_the_service(tmp_path):
    """It would be started again for ever."""
    run, output = tmp_path / "run", tmp_path / "said.txt"
    run.mkdir()
    models.answering(run / "model")
    with served(run, "--history", "none", output=output) as (_, process):
        (run / "manifest.parquet").write_bytes(b"no longer one")
        os.kill(workers(process)[0], signal.SIGKILL)
        assert process.wait(60) == 1

    said = output.read_text()
    assert said.count("headstart: ") == 1
    assert "This manifest is damaged." in said
    assert "Traceback" not in said
