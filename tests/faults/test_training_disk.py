"""A full or failing disk: the checkpoint before is intact, one line says why, and it goes on (R16)."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest
from tests.faults.events import Fault
from tests.faults.lab import Ended, Place
from tests.faults.test_training_kill import goes_on

FULL = "headstart: The disk is full, or a quota is reached; nothing was half-written."
REFUSED = "headstart: The system refused: "

OFFSETS = [("finetune", "last.safetensors", 5 + 4 * i, i / 9) for i in range(10)]
"""Plan, file, which of them, and the share of its bytes after which there is no more space."""
OFFSETS += [("finetune", "last.safetensors", 1, 0.5), ("scratch", "last.safetensors", 9, 1e-4)]
OFFSETS += [("finetune", f"best-{phase}.safetensors", 1, share) for phase in (0, 1) for share in (0, 0.7)]
OFFSETS += [("exact head", "history.csv", 1, 0.3), ("scratch", "history.csv", 3, 0.9)]
OFFSETS += [("finetune", "run.json", 2, 0.5), ("finetune", "weights.safetensors", 1, 0.99)]

OTHERS = [
    ("before create last.safetensors", 9, errno.EACCES, f"{REFUSED}Permission denied."),
    ("before create best-1.safetensors", 2, errno.EROFS, f"{REFUSED}Read-only file system."),
    ("half write last.safetensors", 33, errno.EIO, f"{REFUSED}Input/output error."),
    ("before sync last.safetensors", 17, errno.EIO, f"{REFUSED}Input/output error."),
    ("before sync checkpoints", 11, errno.EIO, f"{REFUSED}Input/output error."),
    ("before rename last.safetensors", 21, errno.EIO, f"{REFUSED}Input/output error."),
    ("half write history.csv", 4, errno.EDQUOT, FULL),
    ("half write last.safetensors", 19, errno.EFBIG, FULL),
    ("before write predictions.parquet", 1, errno.ENOSPC, FULL),
    ("half write shard.safetensors", 2, errno.ENOSPC, FULL),
    ("before move model", 1, errno.EIO, f"{REFUSED}Input/output error."),
]


@pytest.mark.parametrize(
    "offsets", [OFFSETS[4:13:8], pytest.param(OFFSETS, marks=pytest.mark.faults)], ids=["sample", "all"]
)
def test_no_space_after_so_many_bytes(lab, offsets):
    def check(offset):
        plan, name, nth, share = offset
        place = lab.place(plan)
        full = Fault(f"half write {name}", nth, "error", errno.ENOSPC, share, lasting=True)
        ended = lab.train(place, Fault(f"before write {name}", nth, "keep"), full)
        is_one_line(ended, FULL)
        is_as_before(place)
        goes_on(lab, place, offset)

    lab.each(check, offsets)


@pytest.mark.faults
def test_other_refusals_of_the_system(lab):
    def check(refusal):
        at, nth, number, line = refusal
        place = lab.place("finetune")
        is_one_line(lab.train(place, Fault(at, nth, "error", number)), line)
        goes_on(lab, place, refusal)

    lab.each(check, OTHERS)


@pytest.mark.faults
def test_a_checkpoint_that_cannot_be_read_for_a_moment(lab):
    place = lab.place("finetune")
    assert lab.train(place, Fault("after step", 10)).code < 0

    failed = lab.train(place, Fault("before read last.safetensors", 1, "error", errno.EIO))

    is_one_line(failed, f"{REFUSED}Input/output error.")
    goes_on(lab, place, "read")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="mounting a small disk needs root")
@pytest.mark.parametrize("count", [1, pytest.param(20, marks=pytest.mark.faults)])
def test_a_disk_that_is_really_full(lab, tmp_path, count):
    """Up to four pages of 4 KiB are free when a checkpoint is written, which needs seven."""

    def check(number):
        pages, nth = number % 5, 1 + number
        disk = mounted(tmp_path / f"disk {number}")
        try:
            place = lab.place("exact head", disk=disk)
            name = "last.safetensors"
            faults = (
                Fault(f"before write {name}", nth, "keep"),
                Fault(f"before write {name}", nth, "fill", pages * 4096),
            )
            is_one_line(lab.train(place, *faults), FULL)
            is_as_before(place)
            (disk / "ballast").unlink()
            goes_on(lab, place, number)
        finally:
            subprocess.run(["umount", disk], check=True)

    lab.each(check, range(20 - count, 20))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="mounting a small disk needs root")
@pytest.mark.faults
def test_a_cache_that_is_really_full(lab, tmp_path):
    disk = mounted(tmp_path / "disk")
    try:
        place = lab.place("dense head")
        place.cache = disk / "cache"
        is_one_line(lab.train(place, Fault("before write shard.safetensors", 1, "fill", 4096)), FULL)
        (disk / "ballast").unlink()
        goes_on(lab, place, "cache")
    finally:
        subprocess.run(["umount", disk], check=True)


def mounted(disk: Path) -> Path:
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", disk], check=False).returncode:
        pytest.skip("no mount in this container")
    (disk / "here").touch()
    return disk


def is_one_line(ended: Ended, line: str) -> None:
    assert ended.code == 2, ended.screen
    assert ended.line.startswith(line), ended.screen
    assert "Traceback" not in ended.screen


def is_as_before(place: Place) -> None:
    """Nothing half-written is left, and the checkpoints are those from before the disk was full."""
    assert [p.name for p in place.run.rglob(".*") if p.name != ".lock"] == []
    now, before = (
        {path.name: path.read_bytes() for path in folder.glob("*")}
        for folder in (place.run / "checkpoints", place.kept)
    )
    new_best = {name for name in now.keys() - before.keys() if name.startswith("best")}
    assert {name: now[name] for name in now.keys() - new_best} == before
