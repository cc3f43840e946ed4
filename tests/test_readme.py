"""The README's own commands and code, run as a newcomer would, with true weights."""

import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
CODE = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
SHELL = re.findall(r"^(headstart (?!serve ).*)$", README, re.MULTILINE)
SERVED = re.findall(r"^(headstart serve .*)$", README, re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder `photos` of two classes, round and striped, and a new picture of something round."""
    root = tmp_path_factory.mktemp("newcomer")
    for i in range(10):
        for name in ("ripe", "unripe"):
            (root / "photos" / name).mkdir(parents=True, exist_ok=True)
            drawn(name, i).save(root / "photos" / name / f"{i:03}.jpg", quality=95)
    drawn("ripe", 99).save(root / "new.jpg", quality=95)
    return root


def drawn(name, seed):
    rng = np.random.default_rng(seed + 1000 * (name == "ripe"))
    y, x = np.mgrid[:120, :160]
    if name == "ripe":
        shape = (x - rng.integers(60, 100)) ** 2 + (y - rng.integers(45, 75)) ** 2 < rng.integers(30, 40) ** 2
    else:
        shape = (x + rng.integers(20)) // rng.integers(6, 10) % 2 == 0
    colours = rng.integers(0, 256, (2, 3))
    return Image.fromarray(colours[shape.astype(int)].astype(np.uint8))


def serves(folder, line):
    """Whether the page is there until Ctrl-C; on another port, as the tests may run side by side."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", *shlex.split(line), f"--port={port}"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        said, found, until = process.stdout.readline(), "", time.monotonic() + 60
        while not found and time.monotonic() < until:
            with suppress(URLError), urlopen(f"http://127.0.0.1:{port}/", timeout=30) as page:
                found = page.read().decode()
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        process.wait(60)
    finally:
        process.kill()
        process.stdout.close()
    return str(port) in said and "ripe" in found


def test_there_is_something_to_test():
    assert [line.split()[1] for line in SHELL] == ["train", "predict", "data", "train", "explain", "compare"]
    assert SERVED == ["headstart serve runs/photos"]
    assert len(CODE) == 2


def test_the_commands(folder):
    said = {}
    for line in SHELL:
        command = [sys.executable, "-m", *shlex.split(line)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        said[line.split()[1]] = done.stdout

    assert said["predict"].split()[-1] == "ripe"
    assert "20 usable images in 2 classes" in said["data"]
    assert (folder / "runs" / "photos" / "report.html").exists()
    assert (folder / "runs" / "photos-check" / "data.html").exists()
    assert (folder / "explained" / "new.png").exists()
    assert "can't say" in said["compare"]
    assert serves(folder, SERVED[0])


@pytest.mark.parametrize("code", CODE)
def test_the_python(folder, code, monkeypatch, capsys):
    monkeypatch.chdir(folder)

    exec(compile(code, "README.md", "exec"), {})  # noqa: S102 - the README's own code

    printed = capsys.readouterr().out
    assert printed.strip() == "ripe" or np.mean([float(n) for n in re.findall(r"\d\.\d*", printed)]) > 0.8
