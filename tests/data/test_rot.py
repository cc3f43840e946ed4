"""Files that change after they were prepared (R12), and files that were bad before (R11)."""

from __future__ import annotations

import os
import shutil
from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image

from headstart.config import DataConfig
from headstart.data import images, prepare
from headstart.errors import ImageError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")


def picture(seed, side=40):
    """Something soft with edges, unlike every other seed."""
    rng = np.random.default_rng(seed)
    pixels = cv2.resize(rng.integers(0, 256, (7, 7, 3), dtype=np.uint8), (side, side))
    cv2.rectangle(
        pixels, *map(tuple, rng.integers(0, side, (2, 2)).tolist()), rng.integers(0, 256, 3).tolist(), -1
    )
    return Image.fromarray(pixels)


def encoded(seed, kind, **options):
    stream = BytesIO()
    picture(seed).save(stream, kind, **options)
    return stream.getvalue()


def test_300_flipped_bits_are_named_before_use(tmp_path):
    for at, kind in enumerate(FORMATS):
        for label, offset in (("cat", 0), ("dog", 100)):
            for i in range(4):
                file = tmp_path / label / f"{kind}{i}.{kind.lower()}"
                file.parent.mkdir(exist_ok=True)
                file.write_bytes(encoded(1000 * at + offset + i, kind))
    found, _ = prepare.prepare(str(tmp_path), DataConfig(), seed=0)
    assert len(found) == 40
    rng = np.random.default_rng(0)
    named = 0
    for flip in range(300):
        at = flip % len(found)
        file, sha256 = found.files[at], found.table["sha256"].iloc[at]
        sound, times = file.read_bytes(), file.stat()
        rotten = bytearray(sound)
        bit = int(rng.integers(8 * len(rotten)))
        rotten[bit // 8] ^= 1 << bit % 8
        file.write_bytes(rotten)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
        with pytest.raises(ImageError) as caught:
            images.load_known(file, sha256, 32, "letterbox")
        named += str(file) in str(caught.value)
        file.write_bytes(sound)
    assert named == 300


def test_a_missing_file_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(0, "PNG"))
    with pytest.raises(ImageError, match=r"b\.png: The file cannot be read"):
        images.load_known(tmp_path / "b.png", "0" * 64, 32, "letterbox")


def bad_files():
    """Name of a file (with {} for a number) → its content, and the checks that may name it."""
    return {
        "cut{}.jpg": (lambda i: encoded(i, "JPEG")[:-300], {"truncated"}),
        "zero{}.png": (lambda _: b"", {"empty"}),
        "text{}.jpg": (lambda i: b"<html>%d" % i, {"not-an-image"}),
        "crc{}.png": (_with_wrong_crc, {"unreadable", "truncated"}),
        "tail{}.png": (lambda i: encoded(i, "PNG")[:-12], {"truncated", "unreadable"}),
        "gone{}.png": (None, {"unreadable"}),
    }


def _with_wrong_crc(seed):
    data = bytearray(encoded(seed, "PNG"))
    data[data.index(b"IDAT") + 20] ^= 0x10
    return bytes(data)


def test_a_hundred_bad_files_among_a_thousand(tmp_path):
    """900 sound ones with a given split; ten each of ten kinds of trouble. Nothing else is said."""
    train, test = tmp_path / "train", tmp_path / "test"
    for at in range(900):
        folder = (test if at % 4 == 0 else train) / ("cat" if at // 4 % 2 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        kind = FORMATS[at % len(FORMATS)]
        (folder / f"{at:04}.{kind.lower()}").write_bytes(encoded(10_000 + at, kind))
    expected = {}
    cat = train / "cat"
    for name, (content, checks) in bad_files().items():
        for i in range(10):
            file = cat / name.format(i)
            if content:
                file.write_bytes(content(20_000 + 100 * len(expected) + i))
            else:
                file.symlink_to("nowhere.png")
            expected[file.relative_to(tmp_path).as_posix()] = checks
    sound = sorted(path for path in cat.iterdir() if path.stem.isdigit())
    for i in range(10):
        again = cat / f"again{i}.jpg"
        shutil.copy(sound[i], again)
        leak = test / "cat" / f"leak{i}.jpg"
        shutil.copy(sound[20 + i], leak)
        upper = cat / f"{sound[40 + i].stem}.{sound[40 + i].suffix[1:].upper()}"
        upper.write_bytes(encoded(30_000 + i, upper.suffix[1:]))
        odd = os.fsencode(cat) + b"/odd\xff%d.png" % i
        with open(odd, "wb") as file:  # noqa: PTH123 - a name that is no text
            file.write(encoded(40_000 + i, "PNG"))
        expected[again.relative_to(tmp_path).as_posix()] = {"exact-duplicate"}
        expected[leak.relative_to(tmp_path).as_posix()] = {"crosses-splits"}
        expected[f"train/cat/{sound[40 + i].name}"] = {"name-collision"}
        expected[f"train/cat/odd\\udcff{i}.png"] = {"undecodable-name"}
    assert len(expected) == 100

    found, ledger = prepare.prepare(str(tmp_path), DataConfig(), seed=0)
    said = {}
    for path, check in zip(ledger["path"], ledger["check"], strict=True):
        said.setdefault(path, set()).add(check)
    missed = {
        path: (checks, said.get(path))
        for path, checks in expected.items()
        if not checks & said.get(path, set())
    }
    assert missed == {}
    # The leaked copies are exact ones too: the first of two, by name, is what the other is a copy of.
    false = {path: said[path] for path in said.keys() - expected.keys() if said[path] != {"exact-duplicate"}}
    assert false == {}
    assert ledger["reason"].str.len().min() > 10
    left_out = set(ledger.loc[ledger["action"] == "left out", "path"])
    names = {os.fsdecode(p).encode("utf-8", "backslashreplace").decode() for p in _files(tmp_path)}
    assert set(found.table["path"]) | left_out == names  # nothing is dropped in silence


def _files(root):
    for folder, _, files in os.walk(root):
        for file in files:
            yield os.path.relpath(os.path.join(folder, file), root)  # noqa: PTH118 - names that are no text
