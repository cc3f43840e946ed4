"""In which precision the steps of training gain here."""

from __future__ import annotations

from pathlib import Path

from headstart.backbones.framework import keras


def training_precision(asked: str = "auto") -> str:
    """Keras's name of the dtype policy: as asked, or what this hardware is faster in.

    Weights stay in float32 whatever the policy; half precision is for what is computed with them. On CPUs
    with bfloat16 instructions TensorFlow's convolutions are 1.8 times as fast; on others they are slower.
    """
    if asked != "auto":
        return asked
    if accelerators():
        return "mixed_bfloat16"
    backend = keras().backend.backend()
    return "mixed_bfloat16" if backend == "tensorflow" and _cpu_has_bfloat16() else "float32"


def accelerators() -> int:
    """GPUs that Keras's backend can use here."""
    backend = keras().backend.backend()
    if backend == "tensorflow":
        import tensorflow

        return len(tensorflow.config.list_physical_devices("GPU"))
    if backend == "torch":
        import torch

        return int(torch.cuda.device_count())
    import jax

    return sum(device.platform != "cpu" for device in jax.devices())


def _cpu_has_bfloat16() -> bool:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_bf16" in text or "amx_bf16" in text
