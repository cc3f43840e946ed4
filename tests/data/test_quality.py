"""What a look into each file finds."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from headstart.data import quality
from headstart.errors import ImageError


def write(path, seed=0, kind="PNG", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, kind, **options)


def rows(*pairs):
    return [{"path": path, "label": label, "weight": 0.5} for path, label in pairs]


def brief(entries):
    return sorted((entry["path"], entry["check"], entry["action"]) for entry in entries)


def test_facts_of_one_file(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # shown upright: 8 x 6 becomes 6 x 8
    write(tmp_path / "a.jpg", kind="JPEG", exif=exif)
    sha256 = hashlib.sha256((tmp_path / "a.jpg").read_bytes()).hexdigest()
    assert quality.inspect(tmp_path / "a.jpg") == quality.Facts(sha256, width=6, height=8)
    missing = quality.inspect(tmp_path / "b.jpg")
    assert isinstance(missing, ImageError)
    assert missing.check == "unreadable"


def test_usable_rows_keep_their_columns_and_get_the_facts(tmp_path):
    write(tmp_path / "a.png")
    given = rows(("a.png", "x"))
    usable, entries = quality.check(given, tmp_path)
    sha256 = hashlib.sha256((tmp_path / "a.png").read_bytes()).hexdigest()
    assert usable == [
        {"path": "a.png", "label": "x", "weight": 0.5, "sha256": sha256, "width": 8, "height": 6}
    ]
    assert entries == []
    assert given == rows(("a.png", "x"))


def test_bad_files_are_left_out_with_their_reason(tmp_path):
    write(tmp_path / "good.png")
    whole = BytesIO()
    Image.new("RGB", (50, 50)).save(whole, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(whole.getvalue()[:-20])
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "gone.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    names = ["good.png", "cut.jpg", "text.jpg", "empty.jpg", "gone.jpg", "pipe.jpg"]
    usable, entries = quality.check(rows(*((name, "x") for name in names)), tmp_path)
    assert [row["path"] for row in usable] == ["good.png"]
    assert brief(entries) == [
        ("cut.jpg", "truncated", "left out"),
        ("empty.jpg", "empty", "left out"),
        ("gone.jpg", "unreadable", "left out"),
        ("pipe.jpg", "unreadable", "left out"),
        ("text.jpg", "not-an-image", "left out"),
    ]
    assert all(
        "\n" not in str(entry["reason"]) and str(tmp_path) not in str(entry["reason"]) for entry in entries
    )


def test_exact_duplicates_are_kept_and_named(tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        write(tmp_path / name, seed=1)
    write(tmp_path / "d.png", seed=2)
    usable, entries = quality.check(rows(*((f"{name}.png", "x") for name in "abcd")), tmp_path)
    assert len(usable) == 4
    assert brief(entries) == [("b.png", "exact-duplicate", "kept"), ("c.png", "exact-duplicate", "kept")]
    assert "a.png" in str(entries[0]["reason"])


def test_one_image_with_two_labels_is_left_out_everywhere(tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        write(tmp_path / name, seed=1)
    write(tmp_path / "d.png", seed=2)
    given = rows(("a.png", "cat"), ("b.png", "dog"), ("c.png", "cat"), ("d.png", "dog"))
    usable, entries = quality.check(given, tmp_path)
    assert [row["path"] for row in usable] == ["d.png"]
    assert brief(entries) == [(f"{name}.png", "two-labels", "left out") for name in "abc"]
    reasons = {entry["path"]: str(entry["reason"]) for entry in entries}
    assert "dog in b.png" in reasons["a.png"]
    assert "cat in a.png" in reasons["b.png"]


@pytest.mark.parametrize("threads", [1, 4])
def test_the_answer_does_not_depend_on_threads(tmp_path, threads):
    for number in range(60):
        write(tmp_path / f"{number:02}.png", seed=number // 2)
    (tmp_path / "07.png").write_text("text")
    given = rows(*((f"{number:02}.png", "x") for number in range(60)))
    usable, entries = quality.check(given, tmp_path, threads)
    assert [row["path"] for row in usable] == [f"{n:02}.png" for n in range(60) if n != 7]
    assert len([entry for entry in entries if entry["check"] == "exact-duplicate"]) == 29


SCAN = """
import pathlib, sys
from headstart.data import quality
print("ready", flush=True)
quality.check([{"path": "a.png", "label": "x"}] * 1_000_000, pathlib.Path(sys.argv[1]), threads=2)
"""


def test_an_interrupt_stops_the_scan_at_once(tmp_path):
    write(tmp_path / "a.png")
    command = [sys.executable, "-c", SCAN, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as scan:
        assert scan.stdout is not None
        assert scan.stdout.readline() == "ready\n"
        time.sleep(0.3)
        start = time.monotonic()
        scan.send_signal(signal.SIGINT)
        _, errors = scan.communicate(timeout=10)
        assert time.monotonic() - start < 3
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert errors.count("Traceback") == 1  # no thread complains
