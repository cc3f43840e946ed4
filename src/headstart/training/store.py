"""Where frozen features are kept.

A store holds the vectors of one way of computing them: backbone and weights, taps, size, fit, decoder,
engine with precision and version. Inside it a vector is found by the image's SHA-256 and view. Shards are
written whole, so a killed run continues where it stopped and several runs can share the store.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from headstart.rundir import cache_dir, serialised, write_bytes

SHARD = 256  # vectors in a file: what a killed run loses at most
LOOSE = 32  # smaller files, as single predictions leave them, that are too many


class Store:
    """The vectors of one recipe: a folder of safetensors shards, each named by its content's SHA-256.

    Of all that was ever kept, only what is wanted stays in memory.

    Args:
        key: names the recipe.
        wanted: what names the vectors to find, see `features.keys_of`.
    """

    def __init__(self, key: str, wanted: set[bytes]) -> None:
        self.folder = cache_dir() / "features" / key
        self.wanted = wanted
        self.vectors: dict[bytes, np.ndarray] = {}
        loose = []
        for shard in sorted(self.folder.glob("*.safetensors")):
            found = _read(shard)
            self.vectors |= {key: vector.copy() for key, vector in found.items() if key in wanted}
            if len(found) < SHARD:
                loose.append(shard)
        if len(loose) > LOOSE:
            with suppress(OSError):  # a cache that is read-only, or a full disk, stays as it is
                self._gather(loose)

    def add(self, keys: Sequence[bytes], vectors: Sequence[np.ndarray]) -> None:
        """Writes one shard."""
        self._write(keys, vectors)
        self.vectors |= dict(zip(keys, vectors, strict=True))

    def _write(self, keys: Sequence[bytes], vectors: Sequence[np.ndarray]) -> Path:
        """Writers never clash, as a name belongs to a content."""
        packed = np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), -1)
        content = serialised({"keys": packed, "features": np.stack(vectors)})
        shard = self.folder / f"{hashlib.sha256(content).hexdigest()[:32]}.safetensors"
        write_bytes(shard, content)
        return shard

    def _gather(self, shards: Sequence[Path]) -> None:
        """Many small shards become few; another run that misses one of them computes its vectors again."""
        found = {key: vector for shard in shards for key, vector in _read(shard).items()}
        keys = sorted(found)
        written = set()
        for start in range(0, len(keys), SHARD):
            some = keys[start : start + SHARD]
            written.add(self._write(some, [found[key] for key in some]))
        for shard in set(shards) - written:
            shard.unlink(missing_ok=True)


def _read(shard: Path) -> dict[bytes, np.ndarray]:
    """The vectors by their keys; none of a shard that is damaged, or has gone."""
    from safetensors.numpy import load

    try:
        content = shard.read_bytes()
    except FileNotFoundError:
        return {}  # the cache was cleared a moment ago
    if hashlib.sha256(content).hexdigest()[:32] != shard.stem:
        return {}
    tensors = load(content)
    return {key.tobytes(): vector for key, vector in zip(tensors["keys"], tensors["features"], strict=True)}
