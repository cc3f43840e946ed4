"""Twenty steps give the same bits in five processes: what exact resuming rests on."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from tests.faults.lab import ROOT


def test_five_processes_give_one_hash(lab):
    def repeat(precision):
        place = lab.place("finetune")
        order = ("vgg-tiny", precision, str(place.run))
        ended = lab.train(place, program="tests.faults.repeat", arguments=order)
        assert ended.code == 0, ended.screen
        hashes[precision].append((place.run / "hash").read_text())

    hashes = {"float32": [], "mixed_bfloat16": []}
    lab.each(repeat, [*["float32"] * 5, "mixed_bfloat16"])

    assert len(hashes["float32"]) == 5
    assert len(set(hashes["float32"])) == 1
    assert hashes["mixed_bfloat16"][0] not in hashes["float32"]  # it is a hash of what was trained


@pytest.mark.faults
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("backbone", ["vgg-tiny", "vgg16"])
def test_five_interpreters_give_one_hash(tmp_path, backbone, precision):
    """Block 5 of VGG16 in its true size; each process loads everything at addresses of its own."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    for number in range(5):
        command = [sys.executable, "-m", "tests.faults.repeat", backbone, precision, tmp_path / str(number)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    assert len({path.read_text() for path in tmp_path.glob("*/hash")}) == 1
    assert len(list(tmp_path.glob("*/hash"))) == 5
