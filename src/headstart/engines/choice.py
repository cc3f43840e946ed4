"""Which engine is the fastest here, measured once a machine and remembered."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from pathlib import Path

import numpy as np

from headstart.backbones.specs import Backbone
from headstart.backbones.weights import Arrays
from headstart.engines import ENGINES, Engine, open_engine, threads
from headstart.rundir import cache_dir, to_json, write_text

CANDIDATES = ("ncnn", "openvino", "openvino-bf16", "keras")
"""From the one to take when nothing is gained by another. Keras stands last: it is the reference, but its
import alone takes seconds, so it is measured only where it is the only one."""

GAIN = 1.3  # a later candidate must be this much faster: noise must not change a run's bits
IMAGES = 3  # timed after one warm-up; the fastest counts, as noise only slows down


def fastest(backbone: Backbone, head: str, size: int, arrays: Arrays) -> str:
    """Name of the fastest engine within the parity table, from the cache or measured now (2 to 4 seconds)."""
    installed = [name for name in CANDIDATES if ENGINES[name].installed and name != "keras"] or ["keras"]
    if len(installed) == 1:
        return installed[0]
    remembered = _record(backbone, size, installed)
    if remembered.exists():
        choice = json.loads(remembered.read_text(encoding="utf-8"))["engine"]
        return str(choice)
    seconds = {name: _seconds(open_engine(name, backbone, head, size, arrays), size) for name in installed}
    choice = installed[0]
    for name in installed[1:]:
        if seconds[name] * GAIN < seconds[choice]:
            choice = name
    write_text(remembered, to_json({"engine": choice, "seconds_per_image": seconds}))
    return choice


def processor() -> str:
    """The processor's name, as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _record(backbone: Backbone, size: int, installed: list[str]) -> Path:
    machine = [processor(), threads(), backbone.name, size]
    machine += [f"{name} {ENGINES[name].version}" for name in installed]
    key = hashlib.sha256(json.dumps(machine).encode()).hexdigest()[:32]
    return cache_dir() / "engines" / f"{key}.json"


def _seconds(engine: Engine, size: int) -> float:
    """Seconds an image: the fastest of a few calls after a warm-up."""
    images = np.zeros((engine.batch, size, size, 3), np.uint8)
    engine.run(images)
    times = []
    for _ in range(IMAGES):
        start = time.perf_counter()
        engine.run(images)
        times.append(time.perf_counter() - start)
    return min(times) / engine.batch
