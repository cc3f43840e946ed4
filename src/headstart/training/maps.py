"""The freeze-boundary cache: what lies below the boundary, once per image and variant.

As with `store.Store`, a folder holds the tensors of one recipe, in shards named by their content's hash
and written whole. Maps are kept in float16 and read from disk row by row, so memory stays free of them; the
features of the frozen network, which the head is first trained on, come from the same pass.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from headstart import cache
from headstart.engines import Engine, run_with_maps
from headstart.rundir import serialised, write_bytes
from headstart.training import interrupt
from headstart.training.features import sound
from headstart.training.sources import Inputs

SHARD = 64_000_000  # bytes in a file, about: what a killed run loses at most, and one open file
SPARE = 1_000_000_000  # bytes of disk that are left free


class MapStore:
    """The maps of one recipe that a run wants, and the features beside them.

    Args:
        folder: of the recipe.
        wanted: keys, (SHA-256, variant).
        shape: (H, W, C) of a map.
        width: numbers in the features beside it.
        budget: most bytes of all maps of all runs; the least recently used go first.
        reserved: bytes of it that other images of this run take.
    """

    def __init__(
        self,
        folder: Path,
        wanted: Iterable[bytes],
        shape: tuple[int, ...],
        width: int,
        budget: float,
        reserved: float = 0.0,
    ) -> None:
        _allow_open_files()
        self.folder, self.shape, self.budget, self.reserved = folder, shape, budget, reserved
        self.wanted = set(wanted)
        self.row = row_bytes(shape, width)
        self.features: dict[bytes, np.ndarray] = {}
        self.places: dict[bytes, tuple[int, int]] = {}  # descriptor and offset of each map
        for shard in sorted(self.folder.glob("*.safetensors")):
            # Another run may have removed it, or what it says of itself is damaged.
            with suppress(OSError, ValueError, LookupError, TypeError):
                self._open(shard)

    @property
    def missing(self) -> set[bytes]:
        """Keys that are wanted and not here."""
        return self.wanted - self.places.keys()

    @property
    def fits(self) -> bool:
        """Whether budget and disk hold what is wanted, where maps that nobody reads make room."""
        self.folder.mkdir(parents=True, exist_ok=True)
        room = max(0, self._spare) + cache.unused(self.folder.parent)
        whole = len(self.wanted) * self.row + self.reserved
        return whole <= self.budget and len(self.missing) * self.row <= room

    @property
    def _spare(self) -> int:
        """Bytes of disk that may be taken; below 0, that should be given back."""
        return shutil.disk_usage(self.folder).free - SPARE

    def fill(self, computed: Iterator[tuple[bytes, np.ndarray, np.ndarray]]) -> None:
        """Keeps (key, features, map) as they come.

        What an interrupt cuts short is written too, and not cut short again.
        """
        count = max(1, SHARD // self.row)
        held: list[tuple[bytes, np.ndarray, np.ndarray]] = []
        try:
            for key, features, tensor in computed:
                held.append((key, features, half(tensor)))
                if len(held) == count:
                    self._write(held)
                    held = []
        finally:
            if held:
                with interrupt.once():
                    self._write(held)

    def read(self, key: bytes) -> np.ndarray:
        """(H, W, C) float16."""
        descriptor, offset = self.places[key]
        content = os.pread(descriptor, 2 * int(np.prod(self.shape)), offset)
        return np.frombuffer(content, np.float16).reshape(self.shape)

    def close(self) -> None:
        """Lets go of the files."""
        for descriptor in {descriptor for descriptor, _ in self.places.values()}:
            os.close(descriptor)
        self.places.clear()

    def __del__(self) -> None:
        self.close()  # a process may train many models one after the other

    def _write(self, rows: list[tuple[bytes, np.ndarray, np.ndarray]]) -> None:
        keys, features, maps = zip(*rows, strict=True)
        packed = np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), -1)
        content = serialised({"keys": packed, "features": np.stack(features), "maps": np.stack(maps)})
        path = self.folder / f"{hashlib.sha256(content).hexdigest()[:32]}.safetensors"
        write_bytes(path, content)
        try:
            self._open(path, checked=True)
        except FileNotFoundError:  # another run made room, or the cache was cleared, before it was open
            self._write(rows)
        cache.trim(self.folder.parent, self.budget, short=-self._spare)

    def _open(self, shard: Path, checked: bool = False) -> None:
        """Notes where the wanted maps lie; a damaged shard counts as not there."""
        with shard.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, shard.stat().st_size)))
            start = file.tell()
            keys = _tensor(file, start, header["keys"]).tobytes()
            width = header["keys"]["shape"][1]
            found = [keys[i : i + width] for i in range(0, len(keys), width)]
            new = {k: row for row, k in enumerate(found) if k in self.wanted and k not in self.places}
            if not new:
                return
            file.seek(0)
            if not checked and hashlib.file_digest(file, "sha256").hexdigest()[:32] != shard.stem:
                return
            features = _tensor(file, start, header["features"])
            cache.hold(file)
            descriptor = os.dup(file.fileno())
        first = start + header["maps"]["data_offsets"][0]
        size = 2 * int(np.prod(self.shape))
        self.places |= {key: (descriptor, first + row * size) for key, row in new.items()}
        self.features |= {key: features[row] for key, row in new.items()}
        cache.touch(shard)


def row_bytes(shape: Sequence[int], width: int) -> int:
    """What an image's map and features take on disk, with its key: SHA-256 and variant."""
    return 2 * int(np.prod(shape)) + 4 * width + 33


def _allow_open_files() -> None:
    """As many as the system lets us: a shard stays open, so that no other run can take it away."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _tensor(file: Any, start: int, entry: dict[str, Any]) -> np.ndarray:
    dtype = {"U8": np.uint8, "F32": np.float32}[entry["dtype"]]
    begin, end = entry["data_offsets"]
    file.seek(start + begin)
    return np.frombuffer(file.read(end - begin), dtype).reshape(entry["shape"])


class Maps:
    """A source that reads maps, and the features of taps below the boundary, from a full store.

    Args:
        store: with nothing missing.
        keys: of each image, one a variant.
        lengths: of the inputs behind the map: means and maxima of the taps below, which begin the features.
    """

    def __init__(self, store: MapStore, keys: Sequence[Sequence[bytes]], lengths: Sequence[int]) -> None:
        self.store, self.keys = store, keys
        self.ends = np.cumsum([0, *lengths])

    def batch(self, rows: np.ndarray, view: int) -> Inputs:
        keys = [self.keys[row][view] for row in rows]
        maps = sound(np.stack([self.store.read(key) for key in keys]).astype(np.float32))
        features = np.stack([self.store.features[key] for key in keys])
        return (maps, *split(features, self.ends))


def half(maps: np.ndarray) -> np.ndarray:
    """Maps as they are kept, in float16.

    Raises:
        InputError: they hold values beyond its range, see `features.sound`.
    """
    with np.errstate(over="ignore"):
        return sound(maps.astype(np.float16))


def split(features: np.ndarray, ends: np.ndarray) -> list[np.ndarray]:
    """The stretches of (B, D) features between `ends`."""
    return [features[:, begin:end] for begin, end in pairwise(ends)]


def computed(
    engine: Engine, jobs: Iterable[tuple[bytes, np.ndarray]]
) -> Iterator[tuple[bytes, np.ndarray, np.ndarray]]:
    """Yields (key, (D,) features, (H, W, C) map) for (key, square) jobs, in order."""
    keys: deque[bytes] = deque()

    def squares() -> Iterator[np.ndarray]:
        for key, square in jobs:
            keys.append(key)
            yield square

    for features, tensor in run_with_maps(engine, squares()):
        yield keys.popleft(), features, tensor
