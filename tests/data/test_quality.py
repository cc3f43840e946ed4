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

from headstart.data import manifest, quality
from headstart.data.thumbs import thumb


def write(path, seed=0, kind="PNG", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, kind, **options)


def listed(root, *pairs):
    return manifest.from_rows([{"path": path, "label": label, "weight": 0.5} for path, label in pairs], root)


def brief(entries):
    return sorted((entry["path"], entry["check"], entry["action"]) for entry in entries)


def test_usable_images_keep_their_columns_and_get_the_facts(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # shown upright: 8 x 6 becomes 6 x 8
    write(tmp_path / "a.jpg", kind="JPEG", exif=exif)
    write(tmp_path / "b.png", seed=1)
    given = listed(tmp_path, ("a.jpg", "x"), ("b.png", "y"))
    checked = quality.check(given)
    table = checked.manifest.table
    assert table["sha256"].tolist() == [
        hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("a.jpg", "b.png")
    ]
    assert table[["width", "height"]].to_numpy().tolist() == [[6, 8], [8, 6]]
    assert table["weight"].tolist() == [0.5, 0.5]
    assert table["phash"].str.fullmatch("[0-9a-f]{16}").all()
    assert checked.entries == []
    assert given.table["sha256"].tolist() == ["", ""]
    pixels = np.asarray(Image.open(tmp_path / "b.png"))
    assert np.array_equal(checked.thumbs[1], thumb(pixels))


def test_bad_files_are_left_out_with_their_reason(tmp_path):
    write(tmp_path / "good.png", seed=3)
    write(tmp_path / "a good.png", seed=4)
    whole = BytesIO()
    Image.new("RGB", (50, 50)).save(whole, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(whole.getvalue()[:-20])
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "gone.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    names = ["good.png", "cut.jpg", "text.jpg", "empty.jpg", "gone.jpg", "pipe.jpg", "a good.png"]
    checked = quality.check(listed(tmp_path, *((name, "x") for name in names)))
    assert checked.manifest.table["path"].tolist() == ["a good.png", "good.png"]
    good = [thumb(np.asarray(Image.open(tmp_path / name))) for name in ("a good.png", "good.png")]
    assert np.array_equal(checked.thumbs, good)
    assert brief(checked.entries) == [
        ("cut.jpg", "truncated", "left out"),
        ("empty.jpg", "empty", "left out"),
        ("gone.jpg", "unreadable", "left out"),
        ("pipe.jpg", "unreadable", "left out"),
        ("text.jpg", "not-an-image", "left out"),
    ]
    reasons = [str(entry["reason"]) for entry in checked.entries]
    assert all("\n" not in reason and str(tmp_path) not in reason for reason in reasons)


def test_a_name_that_says_another_format_is_named(tmp_path):
    write(tmp_path / "a.jpg", 1, "PNG")
    write(tmp_path / "b.JPEG", 2, "JPEG")
    write(tmp_path / "c.dat", 3, "PNG")
    checked = quality.check(listed(tmp_path, *((name, "x") for name in ("a.jpg", "b.JPEG", "c.dat"))))
    assert len(checked.manifest) == 3
    (entry,) = checked.entries
    assert brief([entry]) == [("a.jpg", "wrong-extension", "kept")]
    assert entry["reason"] == "It is called .jpg, and it is a PNG."


def test_exact_duplicates_are_kept_and_named(tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        write(tmp_path / name, seed=1)
    write(tmp_path / "d.png", seed=2)
    checked = quality.check(listed(tmp_path, *((f"{name}.png", "x") for name in "abcd")))
    assert len(checked.manifest) == 4
    assert brief(checked.entries) == [
        ("b.png", "exact-duplicate", "kept"),
        ("c.png", "exact-duplicate", "kept"),
    ]
    assert all("a.png" in str(entry["reason"]) for entry in checked.entries)


def test_one_image_with_two_labels_is_left_out_everywhere(tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        write(tmp_path / name, seed=1)
    write(tmp_path / "d.png", seed=2)
    pairs = (("a.png", "cat"), ("b.png", "dog"), ("c.png", "cat"), ("d.png", "dog"))
    checked = quality.check(listed(tmp_path, *pairs))
    assert checked.manifest.table["path"].tolist() == ["d.png"]
    assert checked.manifest.class_names == ("dog",)
    assert brief(checked.entries) == [(f"{name}.png", "two-labels", "left out") for name in "abc"]
    reasons = {entry["path"]: str(entry["reason"]) for entry in checked.entries}
    assert "dog in b.png" in reasons["a.png"]
    assert "cat in a.png" in reasons["b.png"]


def test_names_that_are_one_file_elsewhere_are_named(tmp_path):
    names = ("A.png", "a.png", "caf\u00e9.png", "cafe\u0301.png", "b.png")
    for seed, name in enumerate(names):
        write(tmp_path / name, seed)
    checked = quality.check(listed(tmp_path, *((name, "x") for name in names)))
    assert len(checked.manifest) == 5
    assert brief(checked.entries) == [
        ("a.png", "name-collision", "kept"),
        ("caf\u00e9.png", "name-collision", "kept"),
    ]


@pytest.mark.parametrize("threads", [1, 4])
def test_the_answer_does_not_depend_on_threads(tmp_path, threads):
    for number in range(60):
        write(tmp_path / f"{number:02}.png", seed=number // 2)
    (tmp_path / "07.png").write_text("text")
    checked = quality.check(listed(tmp_path, *((f"{n:02}.png", "x") for n in range(60))), threads)
    assert checked.manifest.table["path"].tolist() == [f"{n:02}.png" for n in range(60) if n != 7]
    assert len([entry for entry in checked.entries if entry["check"] == "exact-duplicate"]) == 29


SCAN = """
import pathlib, signal, sys
from headstart.data.scan import scan
signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background a shell has it ignored
root = pathlib.Path(sys.argv[1])
for number in range(40_000):
    (root / f"{number}.png").hardlink_to(root / "a.png")
print("ready", flush=True)
scan([f"{number}.png" for number in range(40_000)], root, threads=2)
"""


def test_an_interrupt_stops_the_scan_at_once(tmp_path):
    write(tmp_path / "a.png")
    command = [sys.executable, "-c", SCAN, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as scan:
        assert scan.stdout is not None
        assert scan.stdout.readline() == "ready\n"
        time.sleep(1)
        start = time.monotonic()
        scan.send_signal(signal.SIGINT)
        _, errors = scan.communicate(timeout=60)
        assert time.monotonic() - start < 6  # the whole scan takes ten, on two cores
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert errors.count("Traceback") == 1  # no thread complains
