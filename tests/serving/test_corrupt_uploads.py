"""Corrupt files and bombs sent to the real server: who sends good pictures doesn't notice (R6, R7, R8)."""

from __future__ import annotations

import asyncio
import sys
from itertools import chain, cycle
from pathlib import Path

import pytest
from tests.data.test_bombs import BOMBS, SHOWN
from tests.faults import corpus
from tests.serving.load import Request, ask, crowd
from tests.serving.running import memory, served, workers

from headstart.errors import ImageError

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")

MEMORY, SECONDS, PROBLEM = 400 * 2**20, 5, "application/problem+json"
GOOD = [Request(content) for content in corpus.good_files().values()]


@pytest.fixture(scope="module")
def server(model):
    """Its port and its worker, which is still the same one at the end."""
    with served(model) as (port, process):
        before = workers(process)
        yield port, before[0]
        assert workers(process) == before


def expected(predictor, content):
    """What the command line makes of it."""
    try:
        predictor.square(content)
    except ImageError:
        return 422
    return 200


@pytest.mark.parametrize("count", [216, pytest.param(2016, marks=pytest.mark.serving)])
def test_among_corrupt_files_good_ones_are_answered_as_ever(server, predictor, count):
    port, worker = server
    quiet = {one.request: one for one in asyncio.run(crowd(port, GOOD, 1))}
    base = memory(worker)
    bad = [Request(content) for _, content in corpus.corrupted(count)]
    mixed = chain.from_iterable(zip(bad, cycle(GOOD), strict=False))

    answers = asyncio.run(crowd(port, mixed))
    peak = memory(worker, "VmHWM")

    assert len(answers) == 2 * count
    assert {one.status for one in quiet.values()} == {200}
    assert [one for one in answers if one.request in quiet and one.body != quiet[one.request].body] == []
    refused = [one for one in answers if one.request not in quiet]
    assert [one for one in refused if one.status != expected(predictor, one.request.body)] == []
    assert {one.headers["content-type"] for one in refused if one.status == 422} == {PROBLEM}
    assert max(one.seconds for one in answers) < SECONDS
    assert peak < base + MEMORY


def measured(port, worker, content):
    """The status, the best of three times (others may use the processor), and the worst of three peaks."""
    found = []
    for _ in range(3):
        Path(f"/proc/{worker}/clear_refs").write_text("5")  # the peak counts from here
        base = memory(worker)
        answer = asyncio.run(ask(port, Request(content)))
        found.append((answer.status, answer.seconds, memory(worker, "VmHWM") - base))
    statuses, seconds, peaks = zip(*found, strict=True)
    return set(statuses), min(seconds), max(peaks)


@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.serving)])
def test_a_bomb_takes_neither_time_nor_memory_of_the_server(server, step):
    """Beside the bytes of the request, which are there twice for a moment."""
    port, worker = server
    asyncio.run(crowd(port, GOOD))
    for name in list(BOMBS)[::step]:
        statuses, seconds, peak = measured(port, worker, BOMBS[name])
        assert statuses == ({200} if name in SHOWN else {422}), name
        assert seconds < 0.1, name
        assert peak < 32 * 2**20 + 2 * len(BOMBS[name]), name
