"""Which engine is the fastest here, measured once a machine and remembered."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.backbones.specs import BACKBONES, Backbone
from headstart.backbones.weights import Arrays
from headstart.engines import ENGINES, Engine, open_engine, run_batches, threads
from headstart.errors import InputError, last_line, sentence
from headstart.machine import instructions, visible_gpus
from headstart.progress import note
from headstart.rundir import cache_dir, to_json, write_text

CANDIDATES = ("ncnn", "openvino", "openvino-bf16", "keras")
"""From the one to take when nothing is gained by another. Keras stands last: it is the reference, but its
import alone takes seconds, so it is measured only where it is alone, or where there is a GPU for it."""

GAIN = 1.5  # a later candidate must be this much faster: noise must not change a run's bits
IMAGES = 3  # timed after one warm-up; the fastest counts, as noise only slows down
NEAR = 0.03  # of the largest feature: bfloat16 keeps 8 bits; further off, an engine is broken here


def fastest(backbone: Backbone, head: str, size: int, arrays: Arrays, remember: bool = True) -> str:
    """Name of the fastest engine whose features are right here, remembered or measured now (2 to 4 seconds).

    The parity check after training holds the saved model itself to the parity table. An engine that is broken
    here is named and left out, and nothing is remembered: it may be mended.

    Raises:
        InputError: none runs.
    """
    installed = _candidates()
    if len(installed) == 1:
        return installed[0]
    record = _record(backbone, head, size, installed)
    if (choice := _remembered(record)) in installed:
        return choice
    trials = _trials(installed, backbone, head, size, arrays)
    if not trials and "keras" not in installed and ENGINES["keras"].installed:
        return "keras"
    if not trials:
        raise InputError(sentence("No engine runs here.", remedy="`headstart doctor` says why."))
    choice = _best(trials)
    seconds = {name: trial.seconds for name, trial in trials.items()}
    if remember and len(trials) == len(installed):
        write_text(record, to_json({"engine": choice, "seconds_per_image": seconds}))
    return choice


def _candidates() -> list[str]:
    installed = [name for name in CANDIDATES if ENGINES[name].installed]
    return [name for name in installed if name != "keras" or visible_gpus()] or ["keras"]


def measured(backbone: Backbone, head: str, size: int) -> dict[str, float]:
    """Seconds an image of each engine that `fastest` has timed here; empty where it hasn't."""
    record = _record(backbone, head, size, _candidates())
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
        return {str(name): float(seconds) for name, seconds in content["seconds_per_image"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


@dataclass(frozen=True)
class Trial:
    """Seconds an image, the fastest of a few calls after a warm-up, and the (IMAGES, D) features."""

    seconds: float
    features: np.ndarray


def _trials(names: list[str], backbone: Backbone, head: str, size: int, arrays: Arrays) -> dict[str, Trial]:
    """Those of engines that run here; the others are named."""
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, size, size, 3), dtype=np.uint8)
    found: dict[str, Trial] = {}
    for name in names:
        try:
            found[name] = _trial(open_engine(name, backbone, head, size, arrays), images)
        except Exception as error:  # noqa: BLE001 - in whatever way a library is broken
            note(f"Engine     {name} does not run here and is left out: {last_line(str(error))}")
    return found


def _trial(engine: Engine, images: np.ndarray) -> Trial:
    list(run_batches(engine, images[:1]))
    times, features = [], []
    for image in images:
        start = time.perf_counter()
        features += list(run_batches(engine, [image]))
        times.append(time.perf_counter() - start)
    return Trial(min(times) / engine.batch, np.array(features))


def _best(trials: dict[str, Trial]) -> str:
    """The first candidate, or a later one that gains enough and whose features are near float32's."""
    exact = next((trial for name, trial in trials.items() if ENGINES[name].precision == "f32"), None)
    near = [
        name
        for name, trial in trials.items()
        if exact is None
        or np.abs(trial.features - exact.features).max() <= NEAR * np.abs(exact.features).max()
    ]
    choice = near[0] if near else next(iter(trials))  # of weights out of proportion nothing is near
    for name in near[1:]:
        if trials[name].seconds * GAIN < trials[choice].seconds:
            choice = name
    return choice


def _remembered(record: Path) -> str:
    try:
        return str(json.loads(record.read_text(encoding="utf-8"))["engine"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def processor() -> str:
    """The processor's name, as the system tells it, and its generation where the name leaves that open.

    Virtual machines name it by its maker's series: "AMD EPYC" may be any of five generations.
    """
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    found: dict[str, str] = dict(re.findall(r"^(model name|cpu family|model)\s*: (.+)$", text, re.MULTILINE))
    if "model name" not in found:
        return platform.processor() or platform.machine()
    name = found["model name"].strip()
    return f"{name} (family {found['cpu family']}, model {found['model']})" if "cpu family" in found else name


def _record(backbone: Backbone, head: str, size: int, installed: list[str]) -> Path:
    machine = [processor(), *instructions(), threads(), backbone.name, head, size]
    if backbone != BACKBONES.get(backbone.name):
        machine.append(len(backbone.depths))
    machine += [f"{name} {ENGINES[name].version}" for name in installed]
    key = hashlib.sha256(json.dumps(machine).encode()).hexdigest()[:32]
    return cache_dir() / "engines" / f"{key}.json"
