"""What the cache holds is counted and removed, nothing else is, and whoever is using it is not disturbed."""

import os
import threading
import time

import numpy as np
import pytest
from PIL import Image

from headstart import cache
from headstart.backbones import specs, weights
from headstart.data import scan
from headstart.errors import InputError
from headstart.rundir import atomic_dir, atomic_file
from headstart.training import features

REMADE = {"features", "maps", "scans", "near", "engines"}
FILES = {
    "features/a1/1.safetensors": 100,
    "features/b2/2.safetensors": 50,
    "maps/c3/3.safetensors": 1000,
    "scans/d4/4.arrow": 20,
    "near/5.parquet": 7,
    "engines/6.json": 3,
    "data/cifar10-0123/complete.json": 2,
    "data/cifar10-0123/images/train/cat/00000.png": 30,
    "weights/vgg16.safetensors": 500,
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def filled(place):
    """A file of each kind, `FILES` bytes long, last used in the order of the list, 1000 s apart."""
    for i, (name, size) in enumerate(FILES.items()):
        write(place / name, size, 1000 * (i + 1))
    return place


def write(path, size, used=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    if used is not None:
        os.utime(path, (used, used))


def left(place):
    return {p.relative_to(place).as_posix() for p in place.rglob("*") if not p.is_dir()}


@pytest.mark.usefixtures("filled")
def test_info_counts_every_part():
    entries = {e.name: (e.files, e.bytes, e.last_used) for e in cache.info()}

    assert entries == {
        "features": (2, 150, 2000),
        "maps": (1, 1000, 3000),
        "scans": (1, 20, 4000),
        "near": (1, 7, 5000),
        "engines": (1, 3, 6000),
        "data": (2, 32, 8000),
        "weights": (1, 500, 9000),
    }


@pytest.mark.usefixtures("place")
def test_an_empty_cache_has_entries_without_files():
    assert {e.name for e in cache.info()} == set(cache.PARTS)
    assert {(e.files, e.bytes, e.last_used) for e in cache.info()} == {(0, 0, None)}
    assert cache.clear([cache.ALL]) == 0


def test_clear_removes_what_can_be_made_again(filled):
    assert cache.clear() == 100 + 50 + 1000 + 20 + 7 + 3

    assert left(filled) == {name for name in FILES if name.split("/")[0] not in REMADE}


@pytest.mark.parametrize(
    ("names", "freed"), [(["features"], 150), (["weights", "data"], 532), (["all"], 1712)]
)
def test_clear_removes_what_is_named(filled, names, freed):
    assert cache.clear(names) == freed

    gone = set(cache.PARTS) if names == ["all"] else set(names)
    assert left(filled) == {name for name in FILES if name.split("/")[0] not in gone}
    assert sum(e.bytes for e in cache.info()) == 1712 - freed


def test_an_unknown_part_is_refused_before_anything_is_removed(filled):
    with pytest.raises(InputError, match=r"Allowed: features, .*, all. Received: 'wights'"):
        cache.clear(["features", "wights"])

    assert left(filled) == set(FILES)


def test_nothing_else_is_removed(filled):
    """Somebody's project as the cache: their files stay, whatever the folders are called."""
    theirs = {
        "data/photos/1.jpg",
        "data/.git/config",
        "weights/notes.txt",
        "features/a1/list.csv",
        "mine.json",
    }
    for name in theirs:
        write(filled / name, 5)

    assert cache.clear(["all"]) == 1712
    assert left(filled) == theirs


def test_links_are_not_followed(filled, tmp_path):
    outside = tmp_path / "outside"
    write(outside / "cifar10-77" / "9.safetensors", 9)
    (filled / "features" / "far").symlink_to(outside)
    (filled / "features" / "a1" / "0.safetensors").symlink_to(outside / "cifar10-77" / "9.safetensors")
    (filled / "data" / "cifar10-88").symlink_to(outside / "cifar10-77")
    (filled / "near" / "5.parquet").unlink()
    (filled / "near").rmdir()
    (filled / "near").symlink_to(outside)

    assert cache.clear(["all"]) == 1705
    assert left(outside) == {"cifar10-77/9.safetensors"}
    assert cache.trim(filled, 0) == 0
    assert left(outside) == {"cifar10-77/9.safetensors"}


def test_a_link_in_the_place_of_a_part_is_followed(filled, tmp_path):
    """Where the cache's disk is small: `maps` lies on another one."""
    (filled / "maps").rename(tmp_path / "bigdisk")
    (filled / "maps").symlink_to(tmp_path / "bigdisk")
    write(tmp_path / "bigdisk" / "c3" / "4.safetensors", 10, 10_000)

    assert {e.name: (e.files, e.bytes) for e in cache.info()}["maps"] == (2, 1010)
    assert cache.unused(filled / "maps") == 1010
    assert cache.trim(filled / "maps", 500) == 1000
    assert cache.clear(["maps"]) == 10
    assert (filled / "maps").is_symlink()
    assert left(tmp_path / "bigdisk") == set()


def test_what_is_being_written_stays_and_what_was_left_half_written_goes(place):
    old = time.time() - 2 * cache.BEING_WRITTEN
    write(place / "features/a/.1.safetensors.killed", 10, old)
    write(place / "data/.cifar10-99.killed/images/1.png", 20)
    os.utime(place / "data/.cifar10-99.killed", (old, old))
    with (
        atomic_file(place / "features/a/2.safetensors") as file,
        atomic_dir(place / "data/cifar10-98") as folder,
    ):
        file.write_bytes(b"1234")
        (folder / "complete.json").write_bytes(b"12")
        assert cache.clear(["all"]) == 30
        assert cache.trim(place / "features", 0) == 0

    assert left(place) == {"features/a/2.safetensors", "data/cifar10-98/complete.json"}


def test_what_a_killed_clear_left_is_in_nobodys_way(filled, monkeypatch):
    """The archive was unpacked again meanwhile."""
    monkeypatch.setattr(cache.shutil, "rmtree", lambda _: None)  # killed here
    cache.clear(["data"])
    monkeypatch.undo()
    monkeypatch.setenv("HEADSTART_CACHE", str(filled))
    write(filled / "data/cifar10-0123/complete.json", 2)

    assert cache.clear(["data"]) == 2
    assert not (filled / "data/cifar10-0123").exists()


def test_trim_removes_the_least_recently_used(place):
    folder = place / "maps"
    for i, name in enumerate(["a/0", "b/1", "a/2", "b/3"]):
        write(folder / f"{name}.safetensors", 100, 1000 * (i + 1))
    write(folder / "a" / "recipe.json", 1000, 1)
    cache.touch(folder / "a" / "0.safetensors")  # the oldest is now the youngest

    assert cache.trim(folder, 400) == 0
    assert cache.trim(folder, 399) == 100
    assert left(folder) == {"a/0.safetensors", "a/2.safetensors", "b/3.safetensors", "a/recipe.json"}
    with (folder / "a" / "2.safetensors").open("rb") as read:
        cache.hold(read)
        assert cache.unused(folder) == 200
        assert cache.trim(folder, 150) == 200
    assert left(folder) == {"a/2.safetensors", "a/recipe.json"}
    assert cache.trim(folder, 1000, short=-1) == 0
    assert cache.trim(folder, 1000, short=1) == 100
    assert cache.trim(folder / "nowhere", 0) == cache.unused(folder / "nowhere") == 0


def test_touching_what_is_gone_is_no_matter(place):
    cache.touch(place / "gone.safetensors")

    assert not place.exists()


def extract(wanted):
    tiny = specs.backbone("vgg-tiny")
    arrays = weights.random(tiny, 0)
    recipe = features.recipe(tiny, arrays, "gap", 32, "letterbox", "ncnn")
    return features.extract(wanted, tiny, arrays, "gap", recipe, 1)


@pytest.fixture
def pictures():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    return [features.Image(f"{i:064x}", picture) for i, picture in enumerate(pixels)]


@pytest.mark.usefixtures("place")
def test_a_run_goes_on_while_the_cache_is_cleared_under_it(monkeypatch, pictures):
    """Reading and writing beside somebody who clears and trims all the time."""
    monkeypatch.setattr(features, "SHARD", 2)
    expected = extract(pictures)
    stop, freed = threading.Event(), []

    def destroy():
        while not stop.wait(0.002):
            freed.append(cache.clear() + cache.trim(cache.cache_dir() / "features", 500))

    thread = threading.Thread(target=destroy)
    thread.start()
    patience = time.monotonic() + 60
    try:
        while np.count_nonzero(freed) < 5 and time.monotonic() < patience:
            np.testing.assert_array_equal(extract(pictures), expected)
    finally:
        stop.set()
        thread.join()

    assert np.count_nonzero(freed) >= 5  # it did happen meanwhile


def test_features_that_vanish_while_they_are_read_are_computed_again(place, pictures):
    """A link to nowhere is what a reader meets whose listing is older than the clearing."""
    expected = extract(pictures)
    shard = next(place.rglob("*.safetensors"))
    shard.unlink()
    shard.symlink_to("nowhere")

    np.testing.assert_array_equal(extract(pictures), expected)


def test_a_scan_that_vanishes_while_it_is_read_is_made_again(place, tmp_path):
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
    first = scan.scan(["a.png"], tmp_path)
    shard = next((place / "scans").rglob("*.arrow"))
    shard.unlink()
    shard.symlink_to("nowhere")

    assert scan.scan(["a.png"], tmp_path).sha256 == first.sha256
