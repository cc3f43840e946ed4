"""A power cut at any point of a save, whatever was not forced to disk, leaves the old or the new one (R15).

What five saves ask of the system is written down, and then replayed up to every point. A file's bytes are on
disk for certain once the file was fsynced; a name (made, renamed or removed) once its folder was. Whatever
wasn't may be there or not, a file also empty or cut in half, in every combination.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from headstart.training.checkpoint import Checkpoints, State

Names = dict[str, int | None]
"""Path → number of a file, or None for a folder."""
Change = tuple[str, str, str, int | None]
"""What happens to a name: ``add`` or ``remove``, its folder, the path, and what it then names."""


@dataclass
class Disk:
    """A file system: what a running system sees of it, and what is on disk for certain."""

    seen: Names = field(default_factory=dict)
    certain: Names = field(default_factory=dict)
    pending: list[Change] = field(default_factory=list)
    written: dict[int, bytes] = field(default_factory=dict)
    forced: dict[int, bytes] = field(default_factory=dict)

    def take(self, kind: str, path: str, new: str | bytes = "") -> None:
        """One step of a recording."""
        if isinstance(new, bytes):
            self.written[self.seen[path] or 0] = new
        elif kind == "sync" and self.seen.get(path) is not None:
            self.forced[self.seen[path] or 0] = self.written[self.seen[path] or 0]
        elif kind == "sync":
            for change in self.pending:
                if change[1] == path:
                    _change(self.certain, change)
            self.pending = [change for change in self.pending if change[1] != path]
        elif kind == "rename":
            number = self.seen[path]
            self._change("remove", path, None)
            self._change("add", new, number)
        else:
            number = len(self.written) + 1 if kind == "create" else None
            if number:
                self.written[number] = self.forced[number] = b""
            self._change("remove" if kind == "remove" else "add", path, number)

    def _change(self, kind: str, path: str, number: int | None) -> None:
        change = kind, str(Path(path).parent), path, number
        self.pending.append(change)
        _change(self.seen, change)

    def after_a_cut(self) -> Iterator[dict[str, bytes | None]]:
        """All that may be found when the power is back: path → content, None for a folder."""
        for kept in product((True, False), repeat=len(self.pending)):
            names = dict(self.certain)
            for change, there in zip(self.pending, kept, strict=True):
                if there:
                    _change(names, change)
            names = {p: n for p, n in names.items() if set(map(str, Path(p).parents)) <= {*names, "."}}
            unsure = [n for n in names.values() if n and self.written[n] != self.forced[n]]
            for share in product((1.0, 0.5, 0.0, None), repeat=len(unsure)):
                yield {p: self._content(n, dict(zip(unsure, share, strict=True))) for p, n in names.items()}

    def _content(self, number: int | None, shares: dict[int, float | None]) -> bytes | None:
        if number is None:
            return None
        share, whole = shares.get(number), self.written[number]
        return self.forced[number] if share is None else whole[: int(len(whole) * share)]


def _change(names: Names, change: Change) -> None:
    kind, _, path, number = change
    if kind == "add":
        names[path] = number
    else:
        names.pop(path, None)


def recorded(root: Path, patch: pytest.MonkeyPatch) -> list[tuple]:
    """A list that grows by what is asked of the system below a folder."""
    steps: list[tuple] = []

    def note(kind, *paths) -> None:
        if all(Path(path).is_relative_to(root) for path in paths):
            steps.append((kind, *(str(Path(path).relative_to(root)) for path in paths)))

    def around(name, kind, paths):
        inner = getattr(os, name)

        def outer(*arguments, **options):
            places = paths(*arguments)
            found = inner(*arguments, **options)
            if places:
                note(kind, *places)
            return found

        patch.setattr(os, name, outer)

    around("open", "create", lambda path, flags, *_: [path] if flags & os.O_CREAT else [])
    around("fsync", "sync", lambda descriptor: [Path(f"/proc/self/fd/{descriptor}").readlink()])
    around("replace", "rename", lambda old, new: [old, new])
    around("unlink", "remove", lambda path: [path])
    around("mkdir", "folder", lambda path, *_: [path])
    whole = Path.write_bytes

    def write_bytes(path, content):
        steps.append(("write", str(path.relative_to(root)), content))
        return whole(path, content)

    patch.setattr(Path, "write_bytes", write_bytes)
    return steps


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="names of open files are read from /proc")
def test_after_a_power_cut_there_is_the_old_checkpoint_or_the_new_one(tmp_path):
    root = tmp_path / "disk"
    root.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        steps, ends = recorded(root, patch), []
        checkpoints = Checkpoints(root / "runs" / "run" / "checkpoints")
        for number, best in enumerate((0, 0, 2, 3, 3)):
            state = State(epoch=number, step=7, best_epoch=best, best_loss=1 / (number + 1))
            if best == number:
                checkpoints.save_best(state, tensors_of(100 + best))
            checkpoints.save(state, tensors_of(number))
            ends.append(len(steps))
    disk, tried = Disk(), 0

    for point, step in enumerate(steps, start=1):
        disk.take(*step)
        old = sum(end <= point for end in ends) - 1
        new = sum(end < point for end in ends)
        for found in disk.after_a_cut():
            assert old <= loaded(found, tmp_path / "found" / str(tried)) <= new, (point, step)
            tried += 1

    assert disk.seen.keys() == {path.relative_to(root).as_posix() for path in root.rglob("*")}
    assert {p: disk.written[n] for p, n in disk.seen.items() if n} == {
        path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.*")
    }
    assert loaded(next(disk.after_a_cut()), tmp_path / "whole") == 4
    assert tried > 150


def loaded(found: dict[str, bytes | None], folder: Path) -> int:
    """Which save is found there, whole and with its best weights; -1 where there is none."""
    folder.mkdir(parents=True)
    for path in sorted(found):
        content = found[path]
        (folder / path).mkdir() if content is None else (folder / path).write_bytes(content)
    checkpoints = Checkpoints(folder / "runs" / "run" / "checkpoints")
    saved = checkpoints.load()
    if saved is None:
        return -1
    state, tensors = saved
    best = checkpoints.load_best(state)
    for one, other in ((tensors, tensors_of(state.epoch)), (best, tensors_of(100 + state.best_epoch))):
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[name], other[name]) for name in one)
    return state.epoch


def tensors_of(number: int) -> dict[str, np.ndarray]:
    kernel = np.random.default_rng(number).normal(size=(3, 5)).astype(np.float32)
    return {"model/0000": kernel, "optimizer/0000": np.array([number])}
