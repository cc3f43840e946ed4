"""A server in a process group of its own: started, asked, put under load, measured, and ended whole."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from load import KIND, PATH, form

HERE = Path(__file__).parent
TICK, PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
PGRP, TIMES, RSS = 2, slice(11, 15), 21  # fields of /proc/PID/stat behind the name


@dataclass(frozen=True)
class Server:
    """A port of this machine, and the process group that listens there."""

    port: int
    group: int

    def label(self, content: bytes) -> str:
        """The class that it answers for a picture; empty where it doesn't answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("POST", PATH, form(content), {"Content-Type": KIND})
            answer = connection.getresponse()
            found = json.loads(answer.read()) if answer.status == 200 else {}
        except (OSError, http.client.HTTPException):
            return ""
        finally:
            connection.close()
        one = found[0] if isinstance(found, list) else found
        return str(one.get("label", ""))

    def under(self, files: Path, rate: float, seconds: float, seed: int) -> dict[str, Any]:
        """What `load.py` found, in milliseconds, and what the server needed for it.

        The rate is of answers until the last of them: as many as it can give, if there are more requests.
        """
        options = {"rate": rate, "seconds": seconds, "seed": seed}
        command = [sys.executable, str(HERE / "load.py"), str(self.port), str(files)]
        command += [f"--{name}={value}" for name, value in options.items()]
        before = self.processor()
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
        used, found = self.processor() - before, json.loads(done.stdout)
        count = len(found["latencies"])
        if not count:
            raise SystemExit(f"No answer came, but {found['others']}.")
        p50, p95, p99 = (1000 * np.quantile(found["latencies"], (0.5, 0.95, 0.99))).round(1).tolist()
        return {
            "answers": count, "answered": count / (count + sum(found["others"].values())),
            "others": found["others"], "rate": round(count / found["last"], 3), "p50_ms": p50,
            "p95_ms": p95, "p99_ms": p99, "cpu_seconds": round(used / count, 5),
        }  # fmt: skip

    def processor(self) -> float:
        """Seconds of processor time of all its processes, those that ended included."""
        return sum(sum(map(int, fields[TIMES])) for fields in self._processes()) / TICK

    def megabytes(self) -> float:
        """Memory (10⁶ bytes) of the largest of its processes."""
        return max(int(fields[RSS]) for fields in self._processes()) * PAGE / 1e6

    def _processes(self) -> Iterator[list[str]]:
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # it has just ended
                fields = stat.read_text().rpartition(")")[2].split()
                if int(fields[PGRP]) == self.group:
                    yield fields


@contextmanager
def served(command: list[str], said: Path, picture: bytes) -> Iterator[Server]:
    """Runs a server until the block ends.

    Args:
        command: with ``PORT`` where the port belongs.
        said: file for what it prints.
        picture: it is ready when it answers for that.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, *(part.replace("PORT", str(port)) for part in command)]
    with said.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)  # noqa: S603
    server = Server(port, process.pid)
    try:
        until = time.monotonic() + 120
        while not server.label(picture):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"{' '.join(command)} does not answer:\n{said.read_text()[-3000:]}")
            time.sleep(0.2)
        yield server
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(60)
        with suppress(ProcessLookupError):  # what it left behind
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
