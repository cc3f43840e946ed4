"""The machine: Python, processor, memory, disk."""

from __future__ import annotations

import math
import platform
import shutil
import sys
import tempfile
from importlib.metadata import version

from headstart import cache, machine
from headstart.doctor.verdict import Verdict, gigabytes
from headstart.engines import threads
from headstart.engines.choice import processor
from headstart.rundir import cache_dir

PYTHON = (3, 11)
MEMORY = 4e9  # bytes that training can need
DISK = 2e9  # bytes, below which a cache is soon full


def python() -> Verdict:
    """A version that headstart is made for."""
    what = f"{platform.python_version()}, headstart {version('headstart')}"
    if sys.version_info < PYTHON:
        return Verdict("broken", what, "make install PYTHON=/path/to/python3.11")
    return Verdict("ok", what)


def cores() -> Verdict:
    """Those that compute: for a part of a core's time, which a control group may set, a whole one."""
    what = ", ".join([processor(), f"{threads()} cores", *machine.instructions()])
    if math.isfinite(quota := machine.cpu_quota()):
        what += f"; a control group allows the time of {quota:g} cores"
    return Verdict("ok", what)


def memory() -> Verdict:
    """Enough to train."""
    total, free = machine.memory()
    if not total:
        return Verdict("ok", "not known")
    what = f"{gigabytes(min(total, free))} free of {gigabytes(total)}"
    if min(total, free) < MEMORY:
        remedy = "Close other programs, or raise the limit of the container."
        return Verdict("missing", f"{what}; training can need {gigabytes(MEMORY)}", remedy)
    return Verdict("ok", what)


def cache_folder() -> Verdict:
    """A folder that can be written, with space left."""
    place = cache_dir()
    there = next(path for path in (place, *place.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    what = f"{place}: {gigabytes(sum(e.bytes for e in cache.info()))}, {gigabytes(free)} of disk free"
    elsewhere = "export HEADSTART_CACHE=/a/folder/that/can/be/written"
    try:
        tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        return Verdict("broken", f"{what}; cannot be written: {error.strerror}", elsewhere)
    if free < DISK:
        return Verdict("slower", what, f"headstart cache clear, or {elsewhere}")
    return Verdict("ok", what)
