"""In which precision the steps of training gain here."""

from __future__ import annotations

from pathlib import Path

from headstart.backbones.framework import backend, keras
from headstart.config import Precision

VOLTA, AMPERE = 7, 8  # NVIDIA's compute capabilities from which on float16 and bfloat16 are fast


def training_precision(asked: Precision = "auto") -> Precision:
    """Keras's name of the dtype policy: as asked, or what this hardware is faster in.

    Weights stay in float32 whatever the policy; half precision is for what is computed with them. On CPUs
    with bfloat16 instructions TensorFlow's convolutions are 1.8 times as fast; on others they are slower.
    """
    if asked != "auto":
        return asked
    if found := capabilities():
        oldest = min(found)
        return "mixed_bfloat16" if oldest >= AMPERE else "mixed_float16" if oldest >= VOLTA else "float32"
    return "mixed_bfloat16" if backend() == "tensorflow" and _cpu_has_bfloat16() else "float32"


def capabilities() -> list[int]:
    """NVIDIA's compute capability (its first number) of each GPU that Keras's backend can use here."""
    keras()
    if backend() == "tensorflow":
        import tensorflow

        config = tensorflow.config
        details = map(config.experimental.get_device_details, config.list_physical_devices("GPU"))
        return [int(found.get("compute_capability", (0,))[0]) for found in details]
    if backend() == "torch":
        import torch

        return [torch.cuda.get_device_capability(i)[0] for i in range(torch.cuda.device_count())]
    import jax

    devices = [device for device in jax.devices() if device.platform != "cpu"]
    return [int(str(getattr(device, "compute_capability", "0")).split(".")[0]) for device in devices]


def _cpu_has_bfloat16() -> bool:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_bf16" in text or "amx_bf16" in text
