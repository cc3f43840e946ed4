"""The cache at the freeze boundary: exact, shared, bounded, and whatever is lost is computed again."""

from __future__ import annotations

import hashlib
import os
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from headstart import cache
from headstart.training import maps
from headstart.training.maps import Maps, MapStore, computed, split

SHAPE = (2, 3, 4)
BYTES = 2 * 2 * 3 * 4  # of a map in float16
WIDTH = 5
ROW = BYTES + 4 * WIDTH + 32 + 1  # with features in float32, SHA-256 and variant
PLENTY = 1e9


def key(number, view=0):
    return hashlib.sha256(str(number).encode()).digest() + bytes([view])


def made(numbers, shape=SHAPE):
    """(key, features, map), as an engine would give them; the values differ from image to image."""
    for number in numbers:
        rng = np.random.default_rng(number)
        yield key(number), rng.normal(size=5).astype(np.float32), rng.normal(size=shape).astype(np.float32)


def store(folder, numbers, budget=PLENTY):
    return MapStore(folder / "recipe", map(key, numbers), SHAPE, WIDTH, budget)


def filled(folder, numbers, budget=PLENTY):
    found = store(folder, numbers, budget)
    found.fill(made(n for n in numbers if key(n) in found.missing))
    return found


def holds(found, numbers):
    for name, features, tensor in made(numbers):
        np.testing.assert_array_equal(found.read(name), tensor.astype(np.float16))
        np.testing.assert_array_equal(found.features[name], features)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(maps, "SHARD", 4 * ROW)


def shards(folder):
    return sorted((folder / "recipe").glob("*.safetensors"))


# --- what it holds --------------------------------------------------------------------------------------


def test_maps_come_back_in_float16_and_features_as_they_were(tmp_path):
    first = filled(tmp_path, range(10))

    again = store(tmp_path, range(10))

    assert first.missing == again.missing == set()
    assert len(shards(tmp_path)) == 3  # of four, four and two
    for found in (first, again):
        holds(found, range(10))
        assert found.read(key(3)).dtype == np.float16


def test_a_shard_is_named_by_its_content(tmp_path):
    filled(tmp_path, range(10))

    for shard in shards(tmp_path):
        assert hashlib.sha256(shard.read_bytes()).hexdigest()[:32] == shard.stem


def test_only_what_is_missing_is_asked_for(tmp_path):
    filled(tmp_path, range(6))

    found = store(tmp_path, range(4, 9))

    assert found.missing == {key(6), key(7), key(8)}
    holds(found, [4, 5])


def test_two_stores_share_a_folder(tmp_path):
    """Both were opened before either wrote; the third finds what each of them computed."""
    one, other = store(tmp_path, range(6)), store(tmp_path, range(3, 9))
    one.fill(made(range(6)))
    other.fill(made(range(3, 9)))

    third = store(tmp_path, range(9))

    assert not third.missing
    for found, numbers in ((one, range(6)), (other, range(3, 9)), (third, range(9))):
        holds(found, numbers)


def test_what_an_interrupt_cuts_short_is_kept(tmp_path):
    def interrupted():
        yield from made(range(6))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store(tmp_path, range(10)).fill(interrupted())

    found = store(tmp_path, range(10))
    assert found.missing == {key(n) for n in range(6, 10)}
    holds(found, range(6))


# --- what is lost ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["map", "feature", "key", "header", "length", "cut", "stub", "empty"])
def test_a_damaged_shard_is_computed_again(tmp_path, damage):
    filled(tmp_path, range(4))
    [shard] = shards(tmp_path)
    content = bytearray(shard.read_bytes())
    length = int.from_bytes(content[:8], "little")
    places = {"map": len(content) - 3, "header": 8 + length // 2, "length": 5}
    if damage in places:
        content[places[damage]] ^= 4
    elif damage == "key":
        content[content.index(key(2))] ^= 1
    elif damage == "feature":
        content[content.index(next(made([2]))[1].tobytes())] ^= 1
    shard.write_bytes(content[: {"cut": -5, "stub": 5, "empty": 0}.get(damage)])

    found = store(tmp_path, range(4))

    assert found.missing == {key(n) for n in range(4)}
    found.fill(made(range(4)))
    holds(found, range(4))
    holds(store(tmp_path, range(4)), range(4))


def test_a_damaged_header_is_never_believed(tmp_path):
    """One bit of every byte of it."""
    filled(tmp_path, range(4))
    [shard] = shards(tmp_path)
    whole = shard.read_bytes()

    for place in range(8 + int.from_bytes(whole[:8], "little")):
        content = bytearray(whole)
        content[place] ^= 1 << place % 8
        shard.write_bytes(content)
        assert len(store(tmp_path, range(4)).missing) == 4


def test_a_vanished_shard_is_computed_again(tmp_path):
    filled(tmp_path, range(10))
    shards(tmp_path)[0].unlink()

    found = store(tmp_path, range(10))

    assert len(found.missing) in {2, 4}
    found.fill(made(n for n in range(10) if key(n) in found.missing))
    holds(found, range(10))


def test_a_shard_that_goes_before_it_is_open_is_written_again(tmp_path, monkeypatch):
    write, lost = maps.write_bytes, []

    def cleared(path, content):
        write(path, content)
        if not lost:
            path.unlink()
            lost.append(path)

    monkeypatch.setattr(maps, "write_bytes", cleared)

    found = filled(tmp_path, range(10))

    assert lost
    holds(found, range(10))


def test_what_is_open_can_be_read_after_it_was_cleared(tmp_path):
    found = filled(tmp_path, range(10))

    for shard in shards(tmp_path):
        shard.unlink()

    assert not shards(tmp_path)
    holds(found, range(10))


# --- how much -------------------------------------------------------------------------------------------


def test_the_least_recently_used_go_when_the_budget_is_reached(tmp_path):
    """Another recipe's shards go first, and those that a run reads never."""
    filled(tmp_path / "maps", range(8)).close()
    other = tmp_path / "maps" / "other"
    (tmp_path / "maps" / "recipe").rename(other)
    sizes = [path.stat().st_size for path in sorted(other.iterdir())]
    for age, path in enumerate(sorted(other.iterdir())):
        os.utime(path, (1e9 + age, 1e9 + age))
    oldest, newest = sorted(other.iterdir())

    filled(tmp_path / "maps", range(20, 24), budget=2.5 * max(sizes))

    assert not oldest.exists()
    assert newest.exists()
    with newest.open("rb") as read:
        cache.hold(read)
        filled(tmp_path / "maps", range(20, 36), budget=1.0)
        assert newest.exists()
    filled(tmp_path / "maps", range(20, 37), budget=1.0)
    assert not newest.exists()
    assert not store(tmp_path / "maps", range(20, 36)).missing


def disk(free):
    return lambda _: SimpleNamespace(free=free)


@pytest.mark.parametrize(
    ("budget", "free", "fits"),
    [
        (10 * ROW, 10**12, True),
        (10 * ROW - 1, 10**12, False),
        (PLENTY, maps.SPARE + 10 * ROW, True),
        (PLENTY, maps.SPARE + 10 * ROW - 1, False),
        (PLENTY, 5, False),
    ],
)
def test_what_fits_keeps_to_the_budget_and_leaves_room_on_the_disk(tmp_path, monkeypatch, budget, free, fits):
    monkeypatch.setattr(maps.shutil, "disk_usage", disk(free))

    assert store(tmp_path, range(10), budget).fits is fits


def test_what_is_there_already_needs_no_room(tmp_path, monkeypatch):
    filled(tmp_path, range(10))
    monkeypatch.setattr(maps.shutil, "disk_usage", disk(5))

    assert store(tmp_path, range(10)).fits
    assert not store(tmp_path, range(11)).fits


def test_maps_of_other_runs_make_room(tmp_path, monkeypatch):
    """As they go when the disk gets short, the oldest first, and no more of them than needed."""
    filled(tmp_path / "maps", range(8)).close()
    other = (tmp_path / "maps" / "recipe").rename(tmp_path / "maps" / "other")
    oldest, newest = sorted(other.iterdir())
    os.utime(oldest, (1e9, 1e9))
    many = (oldest.stat().st_size + newest.stat().st_size) // ROW
    monkeypatch.setattr(maps.shutil, "disk_usage", disk(maps.SPARE + 2 * ROW))

    assert store(tmp_path / "maps", range(20, 22 + many)).fits
    assert not store(tmp_path / "maps", range(20, 24 + many)).fits
    with newest.open("rb") as read:  # by another run: what is removed under it frees nothing
        cache.hold(read)
        assert not store(tmp_path / "maps", range(20, 22 + many)).fits

    monkeypatch.setattr(maps.shutil, "disk_usage", disk(maps.SPARE - 1))
    filled(tmp_path / "maps", range(20, 24))
    assert not oldest.exists()
    assert newest.exists()
    assert not store(tmp_path / "maps", range(20, 24)).missing


def test_memory_holds_features_and_no_maps(tmp_path, monkeypatch):
    """50 MB of maps, half a megabyte each, written in shards of a megabyte."""
    shape = (64, 64, 64)
    monkeypatch.setattr(maps, "SHARD", 2 * maps.row_bytes(shape, WIDTH))
    blank = np.zeros(shape, np.float32)
    wanted = [key(n) for n in range(96)]
    tracemalloc.start()
    try:
        found = MapStore(tmp_path / "recipe", wanted, shape, WIDTH, PLENTY)
        found.fill((name, np.full(5, i, np.float32), blank + i) for i, name in enumerate(wanted))
        kept, peak = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        again = MapStore(tmp_path / "recipe", wanted, shape, WIDTH, PLENTY)
        kept_again, peak_again = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert found.read(key(95))[0, 0, 0] == again.read(key(95))[0, 0, 0] == 95
    assert kept < 400_000
    assert kept_again < 800_000
    assert peak < 12_000_000
    assert peak_again < 2_000_000


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files in /proc")
def test_a_store_that_is_closed_or_forgotten_lets_go_of_its_files(tmp_path):
    before = open_files()
    found = filled(tmp_path, range(10))
    assert open_files() == before + 3

    found.close()
    assert open_files() == before
    assert len(found.missing) == 10

    found = store(tmp_path, range(10))
    assert open_files() == before + 3
    del found
    assert open_files() == before

    store(tmp_path / "other", range(4, 8)).fill(made([7, 6, 5, 4]))
    [shard] = shards(tmp_path / "other")
    shard.rename(tmp_path / "recipe" / shard.name)
    found = store(tmp_path, range(10))  # of four files one has nothing new
    assert open_files() == before + 3
    assert not found.missing


# --- as a source ----------------------------------------------------------------------------------------


def test_a_batch_is_maps_and_the_features_of_taps_below(tmp_path):
    """Rows in any order, the view asked for; of five features two and one belong to taps."""
    found = MapStore(tmp_path / "recipe", [key(n, v) for n in range(3) for v in (0, 1)], SHAPE, WIDTH, PLENTY)
    found.fill((key(n, v), *rest) for n in range(3) for v in (0, 1) for _, *rest in made([10 * n + v]))
    source = Maps(found, [[key(n, v) for v in (0, 1)] for n in range(3)], [2, 1])

    tensors, two, one = source.batch(np.array([2, 0, 2]), 1)

    expected = [next(made([n]))[1:] for n in (21, 1, 21)]
    assert tensors.dtype == two.dtype == one.dtype == np.float32
    np.testing.assert_array_equal(tensors, [m.astype(np.float16) for _, m in expected])
    np.testing.assert_array_equal(two, [f[:2] for f, _ in expected])
    np.testing.assert_array_equal(one, [f[2:3] for f, _ in expected])


def test_split_cuts_columns():
    assert [part.tolist() for part in split(np.arange(8.0).reshape(2, 4), np.array([0, 1, 3]))] == [
        [[0], [4]],
        [[1, 2], [5, 6]],
    ]


class Summing:
    """An engine of three images at a time: the sum of the pixels, and their first row."""

    batch, lanes = 3, 1

    def __init__(self):
        self.calls = 0

    def run_with_map(self, images):
        assert len(images) == 3
        self.calls += 1
        return images.reshape(3, -1).sum(axis=1, keepdims=True), images[:, :1]


@pytest.mark.parametrize("count", [0, 2, 3, 7])
def test_an_engine_is_asked_in_full_batches(count):
    engine = Summing()
    squares = [np.full((2, 2, 3), n) for n in range(count)]

    found = list(computed(engine, zip(map(key, range(count)), squares, strict=True)))

    assert engine.calls == -(-count // 3)
    assert [name for name, _, _ in found] == [key(n) for n in range(count)]
    assert [float(vector[0]) for _, vector, _ in found] == [12.0 * n for n in range(count)]
    assert all((tensor == n).all() for n, (_, _, tensor) in enumerate(found))
