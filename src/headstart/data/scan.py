"""Reading every file once: its hash, its size, a thumbnail, or what is wrong with it.

What was read is kept in the cache, so an interrupted scan goes on where it stopped, and another one reads
only what has changed. The bytes are hashed again whenever they are used: see `images.load_known`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.data import seen, thumbs
from headstart.data.facts import Facts, inspect
from headstart.data.loader import ahead
from headstart.errors import ImageError
from headstart.progress import track

RELEASE = 16_384  # files, after which the memory of their thumbnails is given back
SHARD = 512  # files that are kept at a time: what a killed scan loses at most


@dataclass(frozen=True)
class Scan:
    """The files of a data set, in the order they were asked for.

    Attributes:
        sha256: of each file, "" where it is not a usable image.
        width: (N,) int32 pixels, as displayed.
        height: (N,) int32.
        kind: of each file, see `Facts`.
        phash: of each file, see `Facts`.
        thumbs: (N, SIDE, SIDE) uint8, see `thumbs.mapped`.
        errors: what is wrong, by position.
    """

    sha256: list[str]
    width: np.ndarray
    height: np.ndarray
    kind: list[str]
    phash: list[str]
    thumbs: np.ndarray
    errors: dict[int, ImageError]


def scan(paths: Sequence[str], root: Path, threads: int | None = None) -> Scan:
    """Looks into every file, on all cores, with a progress bar; Ctrl-C stops it at once.

    Args:
        paths: relative to `root`, each once.
        root: an absolute folder.
        threads: how many read and decode at the same time; as many as there are cores by default.
    """
    folder = seen.folder_of(root)
    keys = [seen.key(root / path, path) for path in paths]
    result = _empty(len(paths))
    missing = dict(enumerate(keys))
    known = seen.read(folder, {key: at for at, key in missing.items()})
    for done, (at, facts) in enumerate(known):
        _put(result, at, facts, done)
        missing.pop(at, None)
    workers = threads or len(os.sched_getaffinity(0))
    found = ahead(inspect, (root / paths[at] for at in missing), workers, window=8 * workers)
    bar = track(found, "Checking images", len(paths), done=len(paths) - len(missing))
    for done, (at, facts) in enumerate(_kept(folder, missing, bar)):
        _put(result, at, facts, done)
    return result


def _kept(
    folder: Path, missing: dict[int, bytes], found: Iterator[Facts | ImageError]
) -> Iterator[tuple[int, Facts | ImageError]]:
    """Passes on what is found, and writes it shard by shard; what an interrupt cuts short is written too."""
    held: dict[bytes, Facts | ImageError] = {}
    try:
        for (at, key), facts in zip(missing.items(), found, strict=True):
            yield at, facts
            if key and not (isinstance(facts, ImageError) and not facts.lasting):
                held[key] = facts
            if len(held) == SHARD:
                seen.write(folder, held)
                held = {}
    finally:
        if held:
            seen.write(folder, held)


def _empty(count: int) -> Scan:
    width, height = np.zeros((2, count), np.int32)
    return Scan([""] * count, width, height, [""] * count, [""] * count, thumbs.mapped(count), {})


def _put(result: Scan, at: int, facts: Facts | ImageError, done: int) -> None:
    if done % RELEASE == 0:
        thumbs.release(result.thumbs)
    if isinstance(facts, ImageError):
        result.errors[at] = facts
        return
    result.sha256[at], result.kind[at], result.phash[at] = facts.sha256, facts.kind, facts.phash
    result.width[at], result.height[at] = facts.width, facts.height
    result.thumbs[at] = facts.thumb
