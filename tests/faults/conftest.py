"""One laboratory for all fault tests of training."""

from __future__ import annotations

import queue
from collections.abc import Iterator

import pytest
from tests.faults.lab import Lab, Zygote, draw


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    zygotes: queue.Queue[Zygote] = queue.Queue(2)
    for _ in range(zygotes.maxsize):
        zygotes.put(Zygote())
    yield Lab(folder, draw(folder / "photos"), zygotes)
    while not zygotes.empty():
        zygotes.get().close()
