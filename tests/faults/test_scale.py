"""A manifest of ImageNet's size in less than 2 GB of memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

MILLIONS = """
import hashlib, resource, sys
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
print(len(assigned), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


@pytest.mark.faults
def test_1_300_000_rows_take_less_than_2_gb(tmp_path):
    command = [sys.executable, "-c", MILLIONS, str(tmp_path / "manifest.parquet")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    rows, gigabytes = done.stdout.split()
    assert int(rows) == 1_300_000
    assert float(gigabytes) < 2
