"""The names of the files in a run, and how anything is written: whole or not at all."""

from __future__ import annotations

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


@dataclass(frozen=True)
class RunDir:
    """A run directory: where each stage leaves what the next one reads."""

    root: Path

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
    """`HEADSTART_CACHE`, or ``~/.cache/headstart`` (XDG_CACHE_HOME is obeyed)."""
    if chosen := os.environ.get("HEADSTART_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headstart"


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
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        _fsync(temporary)
        temporary.replace(path)
        _fsync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_dir(path: Path) -> Iterator[Path]:
    """Yields a temporary folder beside `path`, which replaces it when the block ends well."""
    _make(path.parent)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield temporary
        temporary.chmod(0o755)
        for member in [*temporary.rglob("*"), temporary]:
            _fsync(member)
        if path.exists():
            # A folder cannot be replaced in one call: the old one steps aside first.
            aside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.old."))
            path.rename(aside / path.name)
            try:
                temporary.rename(path)
            except BaseException:
                (aside / path.name).rename(path)
                raise
            finally:
                shutil.rmtree(aside, ignore_errors=True)
        else:
            temporary.rename(path)
        _fsync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Removes what a killed process left half-written below `folder`, where nobody else may be writing."""
    for path in list(folder.rglob(".*")):
        if re.fullmatch(r"\..+\.[a-z0-9_]{8}", path.name):  # as `tempfile` names it
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


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
    finally:
        os.close(descriptor)
