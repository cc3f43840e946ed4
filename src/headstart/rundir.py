"""The names of the files in a run, and how anything is written: whole or not at all."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import InputError, sentence

MARK, ASIDE = ".headstart", ".headstart-old"
"""Ends of the names of what is on its way, and of a folder that has stepped aside for a new one."""
_TEMPORARY = re.compile(rf"\..+\.[a-z0-9_]{{8}}{re.escape(MARK)}(-old)?")


@dataclass(frozen=True)
class RunDir:
    """A run directory: where each stage leaves what the next one reads.

    A ``~`` that no shell has replaced, as in ``--out=~/run``, is the home directory.
    """

    root: Path

    def __post_init__(self) -> None:
        """Once and for all, since some libraries that are given paths do it, too."""
        object.__setattr__(self, "root", Path(os.path.expanduser(self.root)))  # noqa: PTH111 - ~unknown stays

    @property
    def run_json(self) -> Path:
        """Command, resolved config, versions, hardware, fingerprint, seconds a stage."""
        return self.root / "run.json"

    @property
    def manifest(self) -> Path:
        """The data as used, with its split."""
        return self.root / "manifest.parquet"

    @property
    def data_report(self) -> Path:
        """The ledger: every file left out or doubtful."""
        return self.root / "data_report.csv"

    @property
    def data_page(self) -> Path:
        """The page about the data, of `headstart data check`."""
        return self.root / "data.html"

    @property
    def history(self) -> Path:
        """One row an epoch, or a step of the regularisation path."""
        return self.root / "history.csv"

    @property
    def checkpoints(self) -> Path:
        """What resume needs; gone when the run is finished."""
        return self.root / "checkpoints"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's files, where they were asked for."""
        return self.root / "tensorboard"

    @property
    def model(self) -> Path:
        """The bundle."""
        return self.root / "model"

    @property
    def parity(self) -> Path:
        """The parity certificate."""
        return self.root / "parity.json"

    @property
    def exports(self) -> Path:
        """Folders of exports, by format."""
        return self.root / "export"

    @property
    def report(self) -> Path:
        """One self-contained page."""
        return self.root / "report.html"

    def evaluation(self, split: str) -> Path:
        """Folder of the metrics, tables and figures of one split."""
        return self.root / "evaluation" / split


def cache_dir() -> Path:
    """`HEADSTART_CACHE`, or ``~/.cache/headstart`` (XDG_CACHE_HOME is obeyed).

    Raises:
        InputError: the system does not say where home is, and it is asked for.
    """
    try:
        if chosen := os.environ.get("HEADSTART_CACHE"):
            return Path(chosen).expanduser()
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headstart"
    except RuntimeError as error:
        raise InputError(
            sentence(
                "The system does not say where your home is, so the cache has no place.",
                remedy="Name one: export HEADSTART_CACHE=/a/folder/that/can/be/written",
            )
        ) from error


def write_bytes(path: Path, data: bytes) -> None:
    """Writes `data` to `path` atomically: temporary file, fsync, rename."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically."""
    write_bytes(path, text.encode("utf-8"))


def write_tensors(path: Path, tensors: dict[str, np.ndarray]) -> None:
    """Writes safetensors atomically.

    They are serialised first and written here, so that a full disk is an OSError like any other.
    """
    write_bytes(path, serialised(tensors))


def serialised(tensors: dict[str, np.ndarray]) -> bytes:
    """Tensors in safetensors' format, each in C order: the library writes memory as it lies."""
    from safetensors.numpy import save

    return save({name: np.ascontiguousarray(array) for name, array in tensors.items()})


def write_json(path: Path, value: Any) -> None:
    """Writes JSON atomically: sorted keys, two spaces, NaN refused."""
    write_text(path, to_json(value))


def to_json(value: Any) -> str:
    """The one JSON style of the project; the same value gives the same bytes.

    What is no text, as in a path that is not UTF-8, is written as JSON's escapes, and read as it was.
    """
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    return re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`, which replaces it when the block ends well."""
    _make(path.parent)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=MARK)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        _fsync(temporary)
        temporary.replace(path)
        _fsync(path.parent)
    except OSError as error:
        error.filename = error.filename or str(path)  # a full disk does not say whose
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_dir(path: Path) -> Iterator[Path]:
    """Yields a temporary folder beside `path`, which replaces it when the block ends well."""
    _make(path.parent)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=MARK))
    try:
        yield temporary
        temporary.chmod(0o755)
        for member in [*temporary.rglob("*"), temporary]:
            _fsync(member)
        if not _new(temporary, path) and not _exchange(temporary, path):
            _step_aside(path, temporary)
        _fsync(path.parent)
    finally:
        _remove(temporary)


def _new(temporary: Path, path: Path) -> bool:
    """Gives a folder its name; False where there is one, which another process may just have made."""
    if path.exists():
        return False
    try:
        temporary.rename(path)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


def _exchange(one: Path, other: Path) -> bool:
    """Lets two names change places, so that neither is missing at any time; False where that can't be done.

    Linux can, with glibc 2.28 or later, on most file systems (renameat2(2), RENAME_EXCHANGE).
    """
    here, exchange = -100, 2  # AT_FDCWD: relative paths begin where we are
    try:
        rename = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):
        return False
    return bool(rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


def _step_aside(path: Path, new: Path) -> None:
    """Puts a new folder in the place of another in two calls; killed between them, `sweep` undoes one."""
    aside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=ASIDE))
    old = path.rename(aside / path.name)
    try:
        new.rename(path)
    except BaseException:
        old.rename(path)
        aside.rmdir()
        raise
    shutil.rmtree(aside, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Removes what a killed process left half-written below `folder`, where nobody else may be writing.

    What has stepped aside for something that never came goes back to its place.
    """
    for path in list(folder.rglob(".*")):
        if _TEMPORARY.fullmatch(path.name):
            if path.name.endswith(ASIDE) and _is_folder(path):
                _put_back(path)
            _remove(path)


def _put_back(aside: Path) -> None:
    for old in list(aside.iterdir()):
        place = aside.parent / old.name
        if not place.exists():
            old.rename(place)


def _remove(path: Path) -> None:
    if _is_folder(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _make(folder: Path) -> None:
    """Makes a folder and those above it, which a power cut doesn't take away again."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(exist_ok=True)
        _fsync(folder.parent)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:  # some file systems do this with files, and know no such thing for folders
        if error.errno not in (errno.EINVAL, errno.ENOTSUP) or not path.is_dir():
            raise
    finally:
        os.close(descriptor)
