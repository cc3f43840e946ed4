"""Everything at once, for long: nothing grows, nothing is left behind, nothing gets slower (R30)."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pytest
from tests import models
from tests.serving.load import Request, flood, form, quantile
from tests.serving.running import memory, served, workers

PICTURES = [models.picture(i, 60 + 40 * i, 90, kind) for i, kind in enumerate(("PNG", "JPEG", "PNG", "JPEG"))]
ONE = [Request(content) for content in PICTURES]
TENSOR = {"name": "image", "datatype": "UINT8", "shape": [1, 64, 64, 3], "data": [7] * (64 * 64 * 3)}
NO_ANSWER = {"id": "0" * 32, "label": "cat"}


def told(path, body):
    return Request(json.dumps(body).encode(), path, "application/json")


def page(path):
    return Request(path=path, method="GET")


MIX = [
    *[(one, 200) for one in ONE * 5],
    (form("/v1/predict", *PICTURES), 200),
    (form("/", *PICTURES[:2]), 200),
    (form("/explanation", PICTURES[0]), 200),
    (Request(PICTURES[1], "/v1/explain"), 200),
    (told("/v2/models/model/infer", {"inputs": [TENSOR]}), 200),
    (page("/"), 200),
    (page("/api"), 200),
    (page("/history?decision=error"), 200),
    (page("/history/answers.csv?name=3.png"), 200),
    (page("/metrics"), 200),
    (page("/v1/model"), 200),
    (page("/static/page.js"), 200),
    (page("/nothing"), 404),
    (told("/v1/feedback", NO_ANSWER), 404),
    (Request(b"hello"), 422),
    (Request(PICTURES[0][:-500]), 422),
    (Request(kind="image/png"), 400),
    (Request(b"hello", kind="text/plain"), 415),
]
STATUS = dict(MIX)


@dataclass(frozen=True)
class Soak:
    """Seconds of load and of its beginning that doesn't count, requests a second, and what is allowed.

    `growth` in MiB of memory in ten minutes, `drift` of the seconds within which a `share` of answers came.
    """

    seconds: int
    warm: int
    rate: int
    growth: float
    share: float
    drift: float


SHORT = Soak(7, 3, 30, growth=750, share=0.5, drift=3)  # what fills the last buffers: 5 MiB in 4 s
LONG = Soak(1800, 300, 12, growth=1, share=0.99, drift=1.1)


async def watched(port, worker, soak):
    """Answers, and 180 times meanwhile the time, bytes of memory and open files."""
    requests = islice(cycle(one for one, _ in MIX), soak.seconds * soak.rate)
    load, rows = asyncio.create_task(flood(port, requests, soak.rate)), []
    while not load.done():
        await asyncio.wait([load], timeout=soak.seconds / 180)
        files = len(list(Path(f"/proc/{worker}/fd").iterdir()))
        rows.append((time.monotonic(), memory(worker), files))
    return load.result(), np.array(rows)


def thirds(values):
    """The first and the last."""
    return values[: len(values) // 3], values[-(len(values) // 3) :]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
@pytest.mark.parametrize(
    "soak", [SHORT, pytest.param(LONG, marks=pytest.mark.serving)], ids=["short", "long"]
)
def test_nothing_grows_stays_behind_or_gets_slower(model, tmp_path, soak):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with served(model, "--history", str(tmp_path / "answers"), TMPDIR=str(temporary)) as (port, process):
        (worker,) = workers(process)
        answers, rows = asyncio.run(watched(port, worker, soak))
        assert workers(process) == [worker]
        assert list(temporary.iterdir()) == []

    assert len(answers) == soak.seconds * soak.rate
    assert {(one.request, one.status) for one in answers} == set(STATUS.items())
    counted = rows[rows[:, 0] > rows[0, 0] + soak.warm]
    slope = np.polyfit(counted[:, 0], counted[:, 1], 1)[0]
    assert slope * 600 < soak.growth * 2**20
    first, last = thirds(counted[:, 2])
    assert np.median(last) <= np.median(first) + 1
    first, last = thirds([one for one in answers if one.request in ONE and one.begun > counted[0, 0]])
    assert quantile(last, soak.share) < soak.drift * quantile(first, soak.share)
