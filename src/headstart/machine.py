"""What this machine has and what of it we may use, as the system tells it; no library is asked."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

PROC = Path("/proc")
DEVICES = Path("/dev")
GROUPS = Path("/sys/fs/cgroup")
INSTRUCTIONS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_vnni": "VNNI",
    "avx512_bf16": "bfloat16",
    "amx_bf16": "AMX",
}


def instructions(proc: Path = PROC) -> tuple[str, ...]:
    """Those of the processor's extensions that make networks faster."""
    flags = {word for line in _lines(proc / "cpuinfo") if line.startswith("flags") for word in line.split()}
    return tuple(name for flag, name in INSTRUCTIONS.items() if flag in flags)


def cpu_quota(proc: Path = PROC, groups: Path = GROUPS) -> float:
    """Cores' worth of time that the process may use, infinite without a limit (control groups 1 and 2)."""
    quota = math.inf
    for group in _groups("cpu", proc, groups):
        words = _words(group / "cpu.max") or [
            *_words(group / "cpu.cfs_quota_us"),
            *_words(group / "cpu.cfs_period_us"),
        ]
        if len(words) == 2 and words[0] not in ("max", "-1"):
            quota = min(quota, int(words[0]) / int(words[1]))
    return quota


def cores() -> int:
    """Threads that gain something: one for each processor that we may use and that we get the time of."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return math.ceil(min(allowed, cpu_quota()))


def memory(proc: Path = PROC, groups: Path = GROUPS) -> tuple[float, float]:
    """Bytes that the process may use at most, and those of the machine that are free now.

    The first is the machine's memory or the limit of the control group, the second can be larger.
    """
    sizes = {line.partition(":")[0]: line.split()[1] for line in _lines(proc / "meminfo") if ":" in line}
    total, free = (1024.0 * int(sizes.get(name, 0)) for name in ("MemTotal", "MemAvailable"))
    for group in _groups("memory", proc, groups):
        words = _words(group / "memory.max") or _words(group / "memory.limit_in_bytes")
        if words and words[0] != "max":
            total = min(total, float(words[0]))
    return total, free


def nvidia_gpus(proc: Path = PROC, devices: Path = DEVICES) -> tuple[str, ...]:
    """Names of the NVIDIA GPUs that the driver knows, whether or not a library can use them.

    A container may show the driver's files of a machine whose GPUs it was not given.
    """
    given = any(devices.glob("nvidia[0-9]*"))
    found = [
        line.partition(":")[2].strip()
        for file in sorted(proc.glob("driver/nvidia/gpus/*/information"))
        for line in _lines(file)
        if given and line.startswith("Model:")
    ]
    return tuple(found) or _listed_gpus()


def visible_gpus() -> tuple[str, ...]:
    """Those of them that CUDA_VISIBLE_DEVICES leaves to this process."""
    there, chosen = nvidia_gpus(), os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None or "GPU-" in chosen or "MIG-" in chosen:  # names, by which we don't know them
        return there
    names = (name.strip() for name in chosen.split(","))
    known = takewhile(lambda name: name.isdecimal() and int(name) < len(there), names)  # as CUDA does
    return tuple(there[int(name)] for name in known)


def _listed_gpus() -> tuple[str, ...]:
    """As ``nvidia-smi`` lists them, where the driver shows no files (Linux on Windows, some containers)."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    command = [program, "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in done.stdout.splitlines() if line.strip())


def _groups(controller: str, proc: Path, groups: Path) -> Iterator[Path]:
    """Folders of the control groups that the process is in, from the innermost out."""
    for line in _lines(proc / "self" / "cgroup"):
        _, controllers, inner = line.split(":", 2)
        if not controllers or controller in controllers.split(","):
            base = groups / controller if controllers else groups
            place = base / inner.lstrip("/")
            yield from (folder for folder in (place, *place.parents) if folder.is_relative_to(base))


def _words(path: Path) -> list[str]:
    return [word for line in _lines(path) for word in line.split()]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
