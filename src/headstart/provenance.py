"""Where a run came from: versions and hardware, for ``run.json``."""

from __future__ import annotations

import importlib.metadata
import os
import platform

from headstart.engines import threads
from headstart.engines.choice import processor

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
    "scipy",
    "faiss-cpu",
    "safetensors",
)


def versions() -> dict[str, str]:
    """Python's and the libraries' versions; what is not installed is left out."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, object]:
    """Processor, cores in use, memory in GB (10⁹ bytes), operating system."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return {
        "cpu": processor(),
        "cores": threads(),
        "memory_gb": round(memory, 1),
        "system": platform.platform(),
    }
