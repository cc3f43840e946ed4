"""Ten times what the server can answer: what it takes comes in time, the rest is refused at once (R23)."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
import time
from io import BytesIO
from itertools import repeat

import pytest
from PIL import Image
from tests import models
from tests.serving.load import Request, crowd, flood, quantile
from tests.serving.running import memory, served, workers

from headstart.serving.limits import Limits

LIGHT = Request(models.picture(3))
DEADLINE = 10


def heavy(width, height):
    """A picture of few bytes that takes long to decode, so that the load costs less than the answers."""
    content = BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(content, "PNG")
    return Request(content.getvalue())


def capacity(port, request, count):
    """Requests that are answered in a second."""
    start = time.monotonic()
    answers = asyncio.run(crowd(port, repeat(request, count)))
    assert {one.status for one in answers} == {200}
    return count / (time.monotonic() - start)


async def watched(worker, seconds):
    """Its memory, twice a second."""
    found = []
    for _ in range(2 * seconds):
        await asyncio.sleep(0.5)
        found.append(memory(worker))
    return found


async def overloaded(port, worker, rate, seconds):
    """Answers in the overload, answers to light requests right after its end, and memory meanwhile."""
    flooding = asyncio.create_task(flood(port, repeat(heavy(1600, 1200), int(rate * seconds)), rate))
    sizes = await watched(worker, seconds)
    after = await flood(port, repeat(LIGHT, 50), 20)
    return await flooding, after, sizes


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
@pytest.mark.parametrize(("seconds", "growth"), [(3, 64), pytest.param(60, 16, marks=pytest.mark.serving)])
def test_what_is_too_much_is_refused_at_once_and_the_rest_is_answered_in_time(model, seconds, growth):
    with served(model, "--deadline", str(DEADLINE)) as (port, process):
        (worker,) = workers(process)
        rate = 10 * capacity(port, heavy(1600, 1200), 40)
        answers, after, sizes = asyncio.run(overloaded(port, worker, rate, seconds))
        assert workers(process) == [worker]

    begun = [one.begun for one in answers]
    assert {one.status for one in answers} <= {200, 429, 503}
    accepted = [one for one in answers if one.status == 200]
    refused = [one for one in answers if one.status != 200]
    assert all(int(one.headers["retry-after"]) >= 1 for one in refused)
    assert quantile(refused, 0.5) < quantile(accepted, 0.5)
    assert max(sizes[len(sizes) // 2 :]) < max(sizes[: len(sizes) // 2]) + growth * 2**20
    late = [one for one in after if one.begun > begun[-1] + 2]
    assert {one.status for one in late} == {200}
    if seconds < 60:  # beside other tests, of which the milliseconds would speak
        return
    assert len(answers) / (begun[-1] - begun[0]) > 0.9 * rate  # the load was what it should be
    assert len(accepted) > 0.5 * rate / 10 * seconds
    assert quantile(accepted, 0.99) <= DEADLINE
    assert quantile(refused, 0.5) <= 0.05
    assert quantile(refused, 0.99) <= 0.25
    assert quantile(late, 0.5) < 0.1


def noted(history):
    with sqlite3.connect(f"file:{history}?mode=ro", uri=True) as connection:
        return connection.execute("select count(*) from answers").fetchone()[0]


def test_who_gives_up_makes_no_room_before_his_answer_is_computed(model, tmp_path):
    """Else clients with little patience have it compute more at once than it may, and outlive its end."""
    history = tmp_path / "served.sqlite3"
    with served(model, "--history", str(history)) as (port, process):
        answers = asyncio.run(flood(port, repeat(heavy(2400, 1800), 150), patience=0.6))
        answers += asyncio.run(flood(port, repeat(heavy(2400, 1800), 150), patience=0.6))
        answered = noted(history)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0

    under_way = sum(one.status != 503 for one in answers) - answered
    assert under_way > 0.5 * Limits.requests  # there was too much to do
    assert under_way <= Limits.requests
    assert noted(history) == answered + under_way
