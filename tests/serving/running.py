"""The real server, started as a person would, on this machine alone."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@contextmanager
def served(
    run, *options, port=0, python=sys.executable, program=("-m", "headstart"), output=None, **environment
):
    """Port and process of `headstart serve`, which `program` may start in another way.

    What it says goes into the file `output`, or is shown where it doesn't start.
    """
    port = port or free_port()
    with output.open("w+") if output else tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [python, *program, "serve", str(run), f"--port={port}", *options],
            env=os.environ | environment, stdout=said, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            _wait_until_ready(port, process, said)
            yield port, process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _wait_until_ready(port, process, said):
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until and asked(port, "GET", "/ready")[0] != 200:
        time.sleep(0.1)
    if process.poll() is not None:
        said.seek(0)
        raise AssertionError(said.read())
    assert asked(port, "GET", "/ready")[0] == 200


def asked(port, method, path, body=None, **headers):
    """Status, headers and content; status 0 where nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(
            method, path, body, {name.replace("_", "-"): value for name, value in headers.items()}
        )
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    except (ConnectionError, TimeoutError, http.client.HTTPException):
        return 0, {}, b""
    finally:
        connection.close()


def children(process):
    """The server's child processes."""
    task = Path(f"/proc/{process.pid}/task")
    return [int(n) for one in task.iterdir() for n in (one / "children").read_text().split()]


def workers(process):
    """Those that answer."""
    found = []
    for child in children(process):
        with suppress(OSError):  # it has just ended
            if b"resource_tracker" not in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(child)
    return found


def memory(pid, what="VmRSS"):
    """Bytes that a process has in memory, or with `VmHWM` had at most."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))
