"""A trial of one engine in a process of its own: ``python -P -m headstart.engines.trial NAME``.

A library that was built for another processor ends the process that loads it, and one that waits for a
device may never return; whoever asks must survive both. The last line of the output is JSON.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np

from headstart.backbones import specs, weights
from headstart.engines import ENGINES, Engine, choice, open_engine

CHOICE = "choice"
"""Name of the trial that asks which engine ``--engine auto`` takes."""

HEAD, SIZE = "taps", 224  # what is trained by default, so that the choice is the one training makes


def facts(name: str, quick: bool) -> dict[str, Any]:
    """What a trial finds out; weights are random, as speed doesn't depend on them.

    Args:
        name: of an engine, or `CHOICE`.
        quick: run a tiny network, untimed, instead of VGG16 at 224 pixels.

    Returns:
        ``images_per_second`` of a timed engine; of ``keras`` also ``backend_version``, ``gpus`` (names that
        its backend can use) and ``precision`` (of training); of `CHOICE` the ``engine``.
    """
    backbone = specs.backbone("vgg-tiny" if quick else "vgg16")
    size = 32 if quick else SIZE
    arrays = weights.random(backbone, 0)
    if name == CHOICE:
        return {"engine": choice.fastest(backbone, HEAD, size, arrays, remember=False)}
    engine = open_engine(name, backbone, HEAD, size, arrays)
    images = np.random.default_rng(0).integers(0, 256, (engine.batch, size, size, 3), dtype=np.uint8)
    engine.run(images)  # a warm-up
    found: dict[str, Any] = {} if quick else {"images_per_second": _rate(engine, images)}
    return found | (_keras() if ENGINES[name].library == "keras" else {})


def _rate(engine: Engine, images: np.ndarray) -> float:
    """Of the fastest of three calls, or of those that fit into a second: noise only slows down."""
    times: list[float] = []
    while len(times) < 3 and sum(times) < 1:
        start = time.perf_counter()
        engine.run(images)
        times.append(time.perf_counter() - start)
    return len(images) / min(times)


def _keras() -> dict[str, Any]:
    from headstart.backbones.framework import backend
    from headstart.engines.precision import training_precision

    module = sys.modules[backend()]
    gpus = {"tensorflow": _tensorflow_gpus, "jax": _jax_gpus, "torch": _torch_gpus}[backend()]()
    return {"backend_version": module.__version__, "gpus": gpus, "precision": training_precision()}


def _tensorflow_gpus() -> list[str]:
    import tensorflow as tf

    details = tf.config.experimental.get_device_details
    return [details(gpu).get("device_name", gpu.name) for gpu in tf.config.list_physical_devices("GPU")]


def _jax_gpus() -> list[str]:
    import jax

    return [device.device_kind for device in jax.devices() if device.platform != "cpu"]


def _torch_gpus() -> list[str]:
    import torch

    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(facts(sys.argv[1], "--quick" in sys.argv)) + "\n")
