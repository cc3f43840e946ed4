"""Thousands of corrupt files in one process: an image or an ImageError, soon, and in bounded memory (R6)."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from tests.faults import corpus

MEMORY = 400 * 2**20
SECONDS = 5

CHILD = """
import faulthandler, json, sys, time, warnings
from io import BytesIO
from pathlib import Path
import numpy as np
from PIL import Image, ImageOps
from headstart.data import images
from headstart.errors import ImageError
faulthandler.enable()
warnings.simplefilter("ignore")  # of the reference

def status(name):
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024

def reference(data):
    '''What Pillow shows, where it needs no interpreting: 8 bits, no alpha, no profile, sound EXIF.'''
    try:
        image = Image.open(BytesIO(data), formats=("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF"))
        image.load()
        plain = image.mode in ("1", "L", "P", "RGB", "CMYK")
        if not plain or {"transparency", "icc_profile"} & image.info.keys():
            return None
        turned = image if image.format in ("GIF", "BMP") else ImageOps.exif_transpose(image)
        return np.asarray(turned.convert("RGB"))
    except Exception:
        return None

def answered(data):
    start = time.perf_counter()
    pixels = None
    try:
        pixels = images.decode(data)
        answer = "image" if pixels.dtype == np.uint8 and pixels.shape[2:] == (3,) else "another array"
    except ImageError as error:
        answer = error.check if str(error).isprintable() else "not one line"
    except BaseException as error:
        answer = repr(error)
    seconds, peak = time.perf_counter() - start, status("VmHWM")
    seen = reference(data) if pixels is not None else None
    same = None if seen is None else bool(np.array_equal(seen, pixels))
    Path("/proc/self/clear_refs").write_text("5")  # the reference's memory doesn't count
    return answer, seconds, peak, same

paths = sorted(Path(sys.argv[1]).iterdir())
good = [path for path in paths if path.name.startswith("good")]
bad = [path for path in paths if path not in good]
first = {p.name: answered(p.read_bytes()) for p in good}
base = status("VmRSS")
print(json.dumps({"base": base, "good": first, "bad": {p.name: answered(p.read_bytes()) for p in bad}}))
"""


def outcome(folder, count) -> dict:
    for name, data in corpus.good_files().items():
        (folder / f"good {name}").write_bytes(data)
    for name, data in corpus.corrupted(count):
        (folder / name).write_bytes(data)
    command = [sys.executable, "-c", CHILD, folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, f"crashed: {done.stderr[-2000:]}"
    assert done.stderr == ""  # nothing is said but by the error
    return json.loads(done.stdout)


def judge(answers: dict, count: int) -> None:
    allowed = {"image", "empty", "not-an-image", "truncated", "unreadable", "too-large"}
    bad = answers["bad"]
    assert len(bad) == count
    assert {name: row[0] for name, row in bad.items() if row[0] not in allowed} == {}
    assert {name: row[1] for name, row in bad.items() if row[1] > SECONDS} == {}
    assert {name: row[2] for name, row in bad.items() if row[2] > answers["base"] + MEMORY} == {}
    assert [name for name, row in answers["good"].items() if row[0] != "image"] == []
    everything = answers["good"] | bad
    assert [name for name, row in everything.items() if row[3] is False] == []
    assert sum(row[3] is True for row in answers["good"].values()) >= 15


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak of memory is read from /proc")
@pytest.mark.parametrize("count", [216, pytest.param(2016, marks=pytest.mark.faults)])
def test_a_corrupt_file_is_an_image_or_an_image_error(tmp_path, count):
    judge(outcome(tmp_path, count), count)
