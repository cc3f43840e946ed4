"""20,000 distinct images through the tiny VGG and all solar cells through VGG16, killed twice each.

Every image once, in order, and memory that does not grow with their number.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests import models
from tests.serving.running import memory

import headstart as hs
from headstart.data.sources import elpv

pytestmark = pytest.mark.faults

GROWTH = 32 * 2**20
"""Bytes that memory may grow from a tenth of the images to all of them: 256 rows, caches of the allocator."""


def predicted(run: Path, folder: Path, out: Path, kills: tuple[int, ...] = ()) -> list[int]:
    """Runs `headstart predict` to its end, killed when there are so many parts; peaks of memory in bytes.

    They are of the process itself: `ru_maxrss` would count what this one held when it started it.
    """
    command = [sys.executable, "-m", "headstart", "predict", str(run), str(folder), "--out", str(out)]
    parts = out.with_name(f".{out.name}.parts")
    peaks = []
    for kill in (*kills, 0):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            with suppress(StopIteration):  # it has ended, and nobody asked yet
                peak = memory(process.pid, "VmHWM")
            if kill and len(list(parts.glob("*.parquet"))) >= kill:
                process.send_signal(signal.SIGKILL)
            time.sleep(0.02)
        assert process.returncode == (-9 if kill else 0)
        peaks.append(peak)
    return peaks


def require_every_image_once(out: Path, folder: Path) -> None:
    table = pd.read_parquet(out)
    assert list(table["path"]) == sorted(str(path) for path in folder.rglob("*.png"))
    assert (table["error"] == "").all()
    assert np.isfinite(table["confidence"]).all()
    assert not out.with_name(f".{out.name}.parts").exists()


def test_20_000_images_through_the_tiny_vgg(tmp_path):
    for count, name in ((2_000, "some"), (20_000, "all")):
        (tmp_path / name).mkdir()
        for i in range(count):
            pixels = np.random.default_rng(i).integers(0, 256, (24, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{i:05}.png")
    models.saved(tmp_path / "model")

    (few,) = predicted(tmp_path / "model", tmp_path / "some", tmp_path / "some.parquet")
    peaks = predicted(tmp_path / "model", tmp_path / "all", tmp_path / "all.parquet", kills=(20, 50))

    require_every_image_once(tmp_path / "all.parquet", tmp_path / "all")
    assert max(peaks) - few < GROWTH
    assert pd.read_parquet(tmp_path / "all.parquet")["p_cat"].nunique() > 19_000  # they are distinct
    (whole,) = predicted(tmp_path / "model", tmp_path / "all", tmp_path / "whole.parquet")
    assert whole - few < GROWTH / 2  # at one go; parts that are read again take their share


def test_all_cells_through_vgg16(tmp_path):
    cells = elpv.folder() / "images"
    run = hs.train("elpv", tmp_path / "run").root
    (tmp_path / "few").mkdir()
    for path in sorted(cells.glob("*.png"))[:256]:
        (tmp_path / "few" / path.name).symlink_to(path)

    (few,) = predicted(run, tmp_path / "few", tmp_path / "few.parquet")
    peaks = predicted(run, cells, tmp_path / "all.parquet", kills=(2, 6))

    require_every_image_once(tmp_path / "all.parquet", cells)
    assert len(pd.read_parquet(tmp_path / "all.parquet")) == 2624
    assert max(peaks) - few < GROWTH
