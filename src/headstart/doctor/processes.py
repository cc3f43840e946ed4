"""Libraries are tried in processes of their own: one may end its process, or never answer."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headstart.errors import last_line

LIMIT = 60.0
"""Seconds for each process; the slowest, Keras on VGG16, takes about seven, and more on a busy machine."""


@dataclass(frozen=True)
class Trial:
    """What a process found out, or why it could not; and what helps, where it isn't the library's fault."""

    facts: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    remedy: str = ""


def trial(name: str, quick: bool) -> Trial:
    """Tries an engine, or the choice between them: `engines.trial.facts`."""
    return run(["-m", "headstart.engines.trial", name, *(["--quick"] if quick else [])])


def run(arguments: list[str], limit: float = LIMIT) -> Trial:
    """What Python wrote as its last line, as JSON. -P: files of the folder we are in are no modules."""
    try:
        done = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-P", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        remedy = "Try again when the machine has less to do."
        return Trial(error=f"did not answer within {limit:.0f} seconds", remedy=remedy)
    if done.returncode < 0:
        number = signal.Signals(-done.returncode)
        killed = "Close other programs, or raise the limit of the container: it seems to lack memory."
        return Trial(error=f"ended by {number.name}", remedy=killed if number == signal.SIGKILL else "")
    if done.returncode:
        return Trial(error=last_line(done.stderr)[:300])
    return Trial(json.loads(done.stdout.splitlines()[-1]))
