"""Where a run came from: versions and hardware, for ``run.json``."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
from pathlib import Path

from headstart.backbones import framework
from headstart.engines import threads
from headstart.engines.choice import processor
from headstart.machine import instructions, visible_gpus

LIBRARIES = (
    "headstart",
    "keras",
    "tensorflow-cpu",
    "tensorflow",
    "jax",
    "torch",
    "openvino",
    "ncnn",
    "numpy",
    "scikit-learn",
    "pillow",
    "simplejpeg",
    "deflate",
    "pyspng",
    "opencv-python-headless",
    "pi-heif",
    "scipy",
    "faiss-cpu",
    "safetensors",
)


def versions() -> dict[str, str]:
    """Python's and the libraries' versions, and Keras's backend; what is not installed is left out."""
    found = {"python": platform.python_version(), "backend": framework.backend()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def files(weights: str) -> dict[str, str]:
    """SHA-256 of what a run reads beside its images, by option; a missing file is none of its business."""
    if not Path(weights).is_file():
        return {}
    with Path(weights).open("rb") as file:
        return {"weights": hashlib.file_digest(file, "sha256").hexdigest()}


KIND = ("cpu", "instructions", "cores", "gpu")


def alike(one: dict[str, object], other: dict[str, object]) -> bool:
    """Whether two descriptions by `hardware` are of one kind of machine: their seconds may be compared.

    >>> alike({"cpu": "A", "cores": 2, "system": "Linux 6"}, {"cpu": "A", "cores": 2, "gpu": ""})
    True
    """
    return all((one.get(name) or "") == (other.get(name) or "") for name in KIND)


def hardware() -> dict[str, object]:
    """Processor and its instructions, cores in use, GPUs, memory in GB (10⁹ bytes), operating system."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return {
        "cpu": processor(),
        "instructions": ", ".join(instructions()),
        "cores": threads(),
        "gpu": ", ".join(visible_gpus()),
        "memory_gb": round(memory, 1),
        "system": platform.platform(),
    }
