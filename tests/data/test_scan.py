"""Scans that go on where they stopped, and what makes a file be read again."""

from __future__ import annotations

import errno
import hashlib
import os

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from headstart.data import images, seen
from headstart.data import scan as scans
from headstart.data.scan import scan


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """Ten pictures and a text; the cache is their own. Returns the folder and what was read since."""
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "pictures"
    root.mkdir()
    for number in range(10):
        pixels = np.random.default_rng(number).integers(0, 256, (9, 9, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{number}.png")
    (root / "text.png").write_text("text")
    read = []
    inspect = scans.inspect
    monkeypatch.setattr(scans, "inspect", lambda path: read.append(path.name) or inspect(path))
    return root, read


def names(root):
    return sorted(path.name for path in root.iterdir())


def same(one, other):
    assert one.sha256 == other.sha256
    assert one.phash == other.phash
    assert np.array_equal(one.width, other.width)
    assert np.array_equal(one.height, other.height)
    assert np.array_equal(one.thumbs, other.thumbs)
    assert {at: (e.check, str(e)) for at, e in one.errors.items()} == {
        at: (e.check, str(e)) for at, e in other.errors.items()
    }


def test_a_second_scan_reads_nothing_and_says_the_same(pictures):
    root, read = pictures
    first = scan(names(root), root)
    assert sorted(read) == names(root)
    assert list(first.errors) == [10]
    read.clear()
    same(scan(names(root), root), first)
    assert read == []


def test_a_changed_file_is_read_again_whatever_its_times_say(pictures):
    root, read = pictures
    scan(names(root), root)
    read.clear()
    file = root / "3.png"
    before = file.stat()
    content = bytearray(file.read_bytes())
    content[-20] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    again = scan(names(root), root)
    assert read == ["3.png"]
    assert again.errors.keys() == {3, 10}  # a bit of its checksum


def test_an_interrupted_scan_goes_on(pictures, monkeypatch):
    root, read = pictures
    whole = scan(names(root), root)
    for shard in seen.folder_of(root).iterdir():
        shard.unlink()
    inspect = scans.inspect

    def interrupted(path):
        if path.name == "6.png":
            raise KeyboardInterrupt
        return inspect(path)

    monkeypatch.setattr(scans, "inspect", interrupted)
    with pytest.raises(KeyboardInterrupt):
        scan(names(root), root, threads=1)
    monkeypatch.setattr(scans, "inspect", inspect)
    read.clear()
    same(scan(names(root), root), whole)
    assert sorted(read) == ["6.png", "7.png", "8.png", "9.png", "text.png"]


def test_a_damaged_shard_is_read_anew(pictures):
    root, read = pictures
    first = scan(names(root), root)
    (shard,) = seen.folder_of(root).iterdir()
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    read.clear()
    same(scan(names(root), root), first)
    assert len(read) == 11


def test_a_missing_file_is_an_error_and_is_not_remembered(pictures):
    root, read = pictures
    found = scan(["gone.png"], root)
    assert found.errors[0].check == "unreadable"
    scan(["gone.png"], root)
    assert read == ["gone.png", "gone.png"]


def test_what_the_system_refused_is_asked_again(pictures, monkeypatch):
    """Too many open files, say: that says nothing of the picture."""
    root, read = pictures

    def refused(path, *rest, **options):
        if str(path).endswith("3.png"):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return open(path, *rest, **options)  # noqa: PTH123 - as `images` calls it

    monkeypatch.setattr(images, "open", refused, raising=False)
    assert scan(names(root), root).errors.keys() == {3, 10}
    monkeypatch.undo()
    read.clear()
    monkeypatch.setenv("HEADSTART_CACHE", str(root.parent / "cache"))

    assert scan(names(root), root).errors.keys() == {10}


def test_libraries_that_decode_make_it_read_anew(pictures, monkeypatch):
    """A HEIC without its library, say, is no image; with it, it is."""
    root, _ = pictures
    before = seen.folder_of(root)
    images.decoder.cache_clear()
    monkeypatch.setattr(images, "version", lambda name: f"{name}'s next")

    assert "pillow pillow's next" in images.decoder()
    assert seen.folder_of(root) != before
    monkeypatch.undo()
    images.decoder.cache_clear()


def test_a_shard_of_another_version_is_read_anew(pictures):
    root, read = pictures
    first = scan(names(root), root)
    (shard,) = seen.folder_of(root).iterdir()
    table = pa.ipc.open_file(pa.BufferReader(shard.read_bytes())).read_all().drop_columns(["kind"])
    buffer = pa.BufferOutputStream()
    with pa.ipc.new_file(buffer, table.schema) as file:
        file.write_table(table)
    content = buffer.getvalue().to_pybytes()
    shard.unlink()
    (shard.parent / f"{hashlib.sha256(content).hexdigest()[:32]}.arrow").write_bytes(content)
    read.clear()
    same(scan(names(root), root), first)
    assert len(read) == 11
