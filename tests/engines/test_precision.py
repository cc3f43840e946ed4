"""Half precision where the hardware gains by it, and only there."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.backbones.framework import backend
from headstart.engines import precision

GPUS = list(Path("/dev").glob("nvidia[0-9]*"))
INTEL = "processor\t: 0\nflags\t\t: fpu sse4_2 avx2 avx512f{} fma\n"


@pytest.mark.parametrize("asked", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_what_is_asked_for_is_used(asked):
    assert precision.training_precision(asked) == asked


@pytest.fixture
def cpuinfo(tmp_path, monkeypatch):
    """Lets another processor describe itself."""
    path = tmp_path / "cpuinfo"
    monkeypatch.setattr(precision, "Path", lambda _: path)
    monkeypatch.setattr(precision, "capabilities", list)
    return path


@pytest.mark.skipif(backend() != "tensorflow", reason="only TensorFlow's CPU kernels gain")
@pytest.mark.parametrize(
    ("instructions", "expected"),
    [
        ("", "float32"),
        (" avx512_bf16", "mixed_bfloat16"),
        (" amx_bf16", "mixed_bfloat16"),
        (" bmi2", "float32"),
    ],
)
def test_a_processor_gains_if_it_has_the_instructions(cpuinfo, instructions, expected):
    cpuinfo.write_text(INTEL.format(instructions))

    assert precision.training_precision() == expected


@pytest.mark.usefixtures("cpuinfo")
def test_where_a_system_does_not_say_it_is_float32():
    assert precision.training_precision() == "float32"


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ([8], "mixed_bfloat16"),
        ([9, 9], "mixed_bfloat16"),
        ([7], "mixed_float16"),
        ([9, 7], "mixed_float16"),
        ([9, 6], "float32"),
    ],
)
def test_a_gpu_gains_by_what_all_of_them_can_do(monkeypatch, capabilities, expected):
    """NVIDIA's compute capability 8, Ampere, is the first with bfloat16."""
    monkeypatch.setattr(precision, "capabilities", lambda: capabilities)

    assert precision.training_precision() == expected


@pytest.mark.skipif(bool(GPUS), reason="here are some")
def test_there_are_no_gpus():
    assert precision.capabilities() == []
