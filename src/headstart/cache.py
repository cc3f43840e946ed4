"""The cache as a whole: what it holds, what may be thrown away, and what was used last.

Any file of it may go at any time, also while another run reads it: readers take a file that is gone for
one that was never there, and compute it again. Folders stay, as a writer may be about to use them.
Symbolic links are not followed, so nothing outside the cache is counted or removed: but for one that stands
in the place of a whole part, `maps` say, which somebody has put on a larger disk.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, NamedTuple

from headstart.errors import InputError, sentence
from headstart.rundir import cache_dir

BEING_WRITTEN = 3600.0
"""Seconds after which something half-written is what a killed run left, see `rundir.atomic_file`."""


@dataclass(frozen=True)
class Part:
    """A folder of the cache.

    Attributes:
        what: its content, in words.
        pattern: of our names there; whatever else lies around is not ours to count or to remove.
        remade: whether headstart makes it again from the images, without asking anyone.
        folders: whether the names are those of folders, each of which is only good as a whole.
    """

    what: str
    pattern: str
    remade: bool = True
    folders: bool = False


PARTS = {
    "features": Part("features of images, for training the head", "*.safetensors"),
    "maps": Part("maps at the freeze boundary, for fine-tuning", "*.safetensors"),
    "scans": Part("what was read of each file: hash, size, thumbnail", "*.arrow"),
    "near": Part("near duplicates that were found", "*.parquet"),
    "engines": Part("which engine was the fastest here", "*.json"),
    "data": Part("images unpacked from CIFAR's archives", "cifar*-*", remade=False, folders=True),
    "weights": Part("pretrained weights", "*.safetensors", remade=False),
}
ALL = "all"


@dataclass(frozen=True)
class Entry:
    """What one part holds: files, their size in bytes, and when one of them was last written or read."""

    name: str
    what: str
    files: int
    bytes: int
    last_used: float | None
    """Seconds since 1970; None where there is no file. Many systems note a reading once a day only."""


class File(NamedTuple):
    """A file of the cache; `used` is the later of its times of access and modification, in seconds."""

    used: float
    path: Path
    bytes: int


def info() -> tuple[Entry, ...]:
    """An entry for each of `PARTS`, whether or not there is something in it."""
    entries = []
    for name, part in PARTS.items():
        files = _files_of(name)
        last = max((file.used for file in files), default=None)
        entries.append(Entry(name, part.what, len(files), sum(file.bytes for file in files), last))
    return tuple(entries)


def clear(names: Collection[str] = ()) -> int:
    """Removes parts of the cache: those named, ``all``, or all that headstart makes again by itself.

    Weights may have been downloaded, and the images unpacked from an archive belong to runs that were
    trained on them: these two go only when they are named.

    Returns:
        The bytes that were freed.

    Raises:
        InputError: there is no part of that name.
    """
    if unknown := [name for name in names if name not in (*PARTS, ALL)]:
        allowed = ", ".join((*PARTS, ALL))
        raise InputError(
            sentence("The cache has no such part.", allowed=allowed, received=", ".join(unknown))
        )
    remade = [name for name, part in PARTS.items() if part.remade]
    chosen = set(PARTS) if ALL in names else set(names or remade)
    return sum(_clear_folders(name) if PARTS[name].folders else _clear_files(name) for name in chosen)


def hold(file: IO[bytes]) -> None:
    """Marks an open file as being read, until it and all its duplicates are closed: see `trim`."""
    with suppress(OSError):  # the file system knows no locks
        fcntl.flock(file, fcntl.LOCK_SH)


def unused(folder: Path) -> int:
    """Bytes of the ``*.safetensors`` below `folder`, which may be missing, that nobody holds."""
    return sum(file.bytes for file in _files(folder, "*.safetensors") if not _held(file.path))


def trim(folder: Path, budget_bytes: float, short: int = 0) -> int:
    """Removes the least recently used ``*.safetensors`` below `folder`, until there is room.

    Those that a run holds stay, even if that goes over the budget: removing them would free nothing.

    Args:
        folder: of the cache; it may be missing.
        budget_bytes: what all files there may have together, 0 or more.
        short: bytes that the disk lacks.

    Returns:
        The bytes that were freed.
    """
    files = sorted(_files(folder, "*.safetensors"))
    surplus = max(short, sum(file.bytes for file in files) - budget_bytes)
    freed = 0
    for file in files:
        if freed >= surplus:
            break
        if not _held(file.path):
            freed += _remove(file)
    return freed


def touch(path: Path) -> None:
    """Notes that a file was used now; that it is gone or read-only is no matter."""
    with suppress(OSError):
        os.utime(path)


def _files_of(name: str) -> list[File]:
    place, part = cache_dir() / name, PARTS[name]
    if part.folders:
        return [file for folder in _folders(place, part.pattern) for file in _files(folder, "*")]
    return list(_files(place, part.pattern))


def _files(folder: Path, pattern: str) -> Iterator[File]:
    """Our regular files below `folder`, which may be a link, half-written ones among them."""
    for root, _, names in os.walk(folder):
        for name in names:
            if _is_ours(name, pattern):
                with suppress(FileNotFoundError):  # another command was quicker
                    path = Path(root, name)
                    status = path.lstat()
                    if stat.S_ISREG(status.st_mode):
                        yield File(max(status.st_atime, status.st_mtime), path, status.st_size)


def _folders(place: Path, pattern: str) -> list[Path]:
    if not place.is_dir():
        return []
    return [
        p for p in sorted(place.iterdir()) if _is_ours(p.name, pattern) and p.is_dir() and not p.is_symlink()
    ]


def _is_ours(name: str, pattern: str) -> bool:
    """Whether it is a name of that pattern, or of something on its way there, see `rundir.atomic_file`."""
    return fnmatchcase(name, pattern) or fnmatchcase(name, f".{pattern}.*")


def _clear_files(name: str) -> int:
    return sum(_remove(file) for file in _files_of(name))


def _clear_folders(name: str) -> int:
    """Each vanishes at once, by its name, so that nobody takes half of it for the whole."""
    freed = 0
    for folder in _folders(cache_dir() / name, PARTS[name].pattern):
        if not _is_being_written(folder):
            size = sum(file.bytes for file in _files(folder, "*"))
            aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name.lstrip('.')}.removed."))
            try:
                folder.replace(aside)  # a folder may take the place of an empty one
            except FileNotFoundError:  # another command was quicker
                aside.rmdir()
            else:
                shutil.rmtree(aside)
                freed += size
    return freed


def _remove(file: File) -> int:
    """Bytes freed: none if the file is being written, or somebody was quicker."""
    if _is_being_written(file.path):
        return 0
    try:
        file.path.unlink()
    except FileNotFoundError:
        return 0
    return file.bytes


def _held(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # it has just gone, or see `hold`
        pass
    return False


def _is_being_written(path: Path) -> bool:
    with suppress(FileNotFoundError):
        return path.name.startswith(".") and time.time() - path.lstat().st_mtime < BEING_WRITTEN
    return False
