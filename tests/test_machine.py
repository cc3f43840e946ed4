"""What the system says of the machine, read from trees of files as Linux writes them."""

import math
import os
import stat

import pytest

from headstart import machine
from headstart.engines import threads
from headstart.provenance import hardware


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root / "proc", root / "groups"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, math.inf),
        ({"proc/self/cgroup": "0::/\n"}, math.inf),
        ({"proc/self/cgroup": "0::/\n", "groups/cpu.max": "max 100000\n"}, math.inf),
        ({"proc/self/cgroup": "0::/\n", "groups/cpu.max": "150000 100000\n"}, 1.5),
        # the tightest of nested groups counts
        (
            {
                "proc/self/cgroup": "0::/a.slice/b.scope\n",
                "groups/a.slice/b.scope/cpu.max": "400000 100000\n",
                "groups/a.slice/cpu.max": "200000 100000\n",
            },
            2.0,
        ),
        # version 1, and a path of the host that the container does not see
        (
            {
                "proc/self/cgroup": "4:memory:/x\n3:cpu,cpuacct:/docker/1f\n0::/\n",
                "groups/cpu/cpu.cfs_quota_us": "50000\n",
                "groups/cpu/cpu.cfs_period_us": "100000\n",
            },
            0.5,
        ),
        (
            {
                "proc/self/cgroup": "3:cpu:/\n",
                "groups/cpu/cpu.cfs_quota_us": "-1\n",
                "groups/cpu/cpu.cfs_period_us": "100000\n",
            },
            math.inf,
        ),
    ],
)
def test_cpu_quota(tmp_path, files, expected):
    assert machine.cpu_quota(*write(tmp_path, files)) == expected


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ({}, 8_192_000),
        ({"groups/memory.max": "max\n"}, 8_192_000),
        ({"groups/memory.max": "1000000\n"}, 1_000_000),
        ({"groups/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 8_192_000),
        ({"groups/memory/memory.limit_in_bytes": "2000000\n"}, 2_000_000),
    ],
)
def test_memory(tmp_path, groups, expected):
    files = {
        "proc/self/cgroup": "1:memory:/\n0::/\n",
        "proc/meminfo": "MemTotal:        8000 kB\nMemAvailable:    5000 kB\nHugePages_Total:     0\n",
    }

    assert machine.memory(*write(tmp_path, files | groups)) == (expected, 5_120_000)


def test_instructions(tmp_path):
    proc, _ = write(tmp_path, {"proc/cpuinfo": "model name : X\nflags\t\t: fpu avx2 avx512f avx512_bf16\n"})

    assert machine.instructions(proc) == ("AVX2", "AVX-512", "bfloat16")


def test_gpus_as_the_driver_names_them(tmp_path, monkeypatch):
    information = "Model: \t\t NVIDIA H200\nIRQ:   \t\t 57\n"
    names = [f"proc/driver/nvidia/gpus/0000:{i}b:00.0/information" for i in (1, 2)]

    proc, _ = write(tmp_path, dict.fromkeys(names, information))
    monkeypatch.setenv("PATH", "")  # nobody else is asked
    write(tmp_path, {"dev/nvidiactl": "", "dev/nvidia-uvm": ""})

    assert machine.nvidia_gpus(proc, tmp_path / "dev") == ()  # a container without them
    write(tmp_path, {"dev/nvidia0": ""})
    assert machine.nvidia_gpus(proc, tmp_path / "dev") == ("NVIDIA H200", "NVIDIA H200")


@pytest.mark.parametrize(
    ("script", "expected"),
    [("echo NVIDIA T4; echo NVIDIA L4", ("NVIDIA T4", "NVIDIA L4")), ("echo no devices; exit 9", ())],
)
def test_gpus_as_nvidia_smi_lists_them(tmp_path, monkeypatch, script, expected):
    program = tmp_path / "bin" / "nvidia-smi"
    write(tmp_path, {"bin/nvidia-smi": f"#!/bin/sh\n{script}\n"})
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")

    assert machine.nvidia_gpus(tmp_path / "proc") == expected


def test_this_machine_has_memory():
    total, free = machine.memory()

    assert total > 1e8
    assert free > 0


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (None, "ABC"), ("", ""), ("-1", ""), ("1", "B"), ("2,0", "CA"), (" 0 , 1 ", "AB"), ("0,-1,1", "A"),
        ("1,7,0", "B"), ("NoDevFiles", ""), ("GPU-8932f937,GPU-1", "ABC"),
    ],
)  # fmt: skip
def test_gpus_that_are_left_to_the_process(monkeypatch, chosen, expected):
    """By their numbers, up to the first that there isn't: as CUDA reads it."""
    monkeypatch.setattr(machine, "nvidia_gpus", lambda: tuple("ABC"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if chosen is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)

    assert machine.visible_gpus() == tuple(expected)


@pytest.mark.parametrize(("quota", "expected"), [(math.inf, 4), (9.0, 4), (2.5, 3), (1.0, 1), (0.3, 1)])
def test_cores_are_those_that_there_is_time_for(monkeypatch, quota, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 5, 7})
    monkeypatch.setattr(machine, "cpu_quota", lambda: quota)

    assert machine.cores() == threads() == hardware()["cores"] == expected
