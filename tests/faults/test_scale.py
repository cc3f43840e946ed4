"""A manifest of ImageNet's size in less than 2 GB, and copies among tens of thousands of pictures."""

from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest

from headstart.data import duplicates

MILLIONS = """
import hashlib, sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from headstart.data import manifest, split
from headstart.data.prepare import fingerprint

N = 1_300_000
rows = [{"path": f"n{i % 1000:08}/n{i % 1000:08}_{i}.JPEG", "label": f"n{i % 1000:08}"} for i in range(N)]
images = manifest.from_rows(rows, Path("/data"))
hashes = pd.Series([hashlib.sha256(b"%d" % i).hexdigest() for i in range(N)], dtype="str")
images = replace(images, table=images.table.assign(sha256=hashes))
near = np.arange(0, 20_000).reshape(-1, 2)
assigned = split.assign(images, 0.15, 0.15, 0, near)
splits = assigned.table["split"].to_numpy()
assert (splits[near[:, 0]] == splits[near[:, 1]]).all()
assigned.save(Path(sys.argv[1]))
assert fingerprint(manifest.load(Path(sys.argv[1]))) == fingerprint(assigned)
status = Path("/proc/self/status").read_text().splitlines()  # ru_maxrss counts what its parent held, too
print(len(assigned), next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 2**20)
"""


@pytest.mark.faults
def test_1_300_000_rows_take_less_than_2_gb(tmp_path):
    command = [sys.executable, "-c", MILLIONS, str(tmp_path / "manifest.parquet")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    rows, gigabytes = done.stdout.split()
    assert int(rows) == 1_300_000
    assert float(gigabytes) < 2


@pytest.mark.faults
def test_copies_are_found_among_50_000_pictures():
    """Here the search goes cell by cell. It took 124 seconds and 0.4 GB on two cores."""
    rng = np.random.default_rng(0)
    thumbs = np.empty((50_000, 64, 64), np.uint8)
    for thumb in thumbs:
        coarse = rng.normal(128, 60, (9, 9)).astype(np.float32)
        thumb[:] = np.clip(cv2.resize(coarse, (64, 64), interpolation=cv2.INTER_CUBIC), 0, 255)
    thumbs[-100:] = thumbs[:700:7, :, ::-1]
    found = duplicates.find(thumbs, lambda at, side: cv2.resize(thumbs[at], (side, side)))
    pairs = {tuple(sorted((match.first, match.second))) for match in found}
    assert pairs == {(7 * k, 49_900 + k) for k in range(100)}
    assert {match.how for match in found} == {"mirrored left to right"}
