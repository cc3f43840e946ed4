"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009) from the archives of their authors, binary or Python version.

https://www.cs.toronto.edu/~kriz/cifar.html describes the layouts. The 32-pixel images are written once as PNG
files, the official test part apart; from there on they are images like any others. CIFAR-100 has its 100 fine
labels.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from headstart.data import archive, pickled
from headstart.data.download import ARCHIVES
from headstart.data.sources import Source, folder
from headstart.errors import InputError, sentence
from headstart.progress import track
from headstart.rundir import atomic_dir, cache_dir, write_json

SIDE = 32
PIXELS = 3 * SIDE * SIDE  # all of red row by row, then green, then blue


@dataclass(frozen=True)
class Layout:
    """Where things are in one version of one data set.

    Attributes:
        folder: of all members.
        train: names of the batches for training, in order.
        test: name of the test batch.
        names: name of the list of class names.
        classes: how many there are.
        key: of the labels in a pickled batch, "" in the binary version.
        label_bytes: before the pixels of each image in a binary batch; the last one is the label.
    """

    folder: str
    train: tuple[str, ...]
    test: str
    names: str
    classes: int
    key: str = ""
    label_bytes: int = 1

    @property
    def members(self) -> tuple[str, ...]:
        """All that is read."""
        return (*self.train, self.test, self.names)


_FIVE = tuple(f"data_batch_{i}" for i in range(1, 6))
LAYOUTS = {
    "cifar10": (
        Layout(
            "cifar-10-batches-bin", tuple(f"{n}.bin" for n in _FIVE), "test_batch.bin", "batches.meta.txt", 10
        ),
        Layout("cifar-10-batches-py", _FIVE, "test_batch", "batches.meta", 10, key="labels"),
    ),
    "cifar100": (
        Layout("cifar-100-binary", ("train.bin",), "test.bin", "fine_label_names.txt", 100, label_bytes=2),
        Layout("cifar-100-python", ("train",), "test", "meta", 100, key="fine_labels"),
    ),
}
"""The versions of each data set."""


class Batch(NamedTuple):
    """Images of one part.

    Attributes:
        split: ``train`` or ``test``.
        pixels: (N, 3072) uint8.
        labels: (N,) positions in the list of class names.
    """

    split: str
    pixels: np.ndarray
    labels: np.ndarray


def read(data: str) -> Source:
    """The images of ``cifar10:FILE``, which are written into the cache unless they are there.

    Raises:
        InputError: FILE isn't there, or holds something else. It may be a folder, with what it unpacks to.
    """
    dataset, _, name = data.partition(":")
    path = Path(os.path.abspath(os.path.expanduser(name)))  # noqa: PTH100, PTH111 - an unknown ~user stays
    _require_path(dataset, path)
    place = cache_dir().absolute() / "data" / f"{dataset}-{_digest(dataset, path)[:16]}"
    if not _is_whole(place):
        with atomic_dir(place) as temporary:
            count = _write(dataset, path, temporary / "images")
            write_json(temporary / "complete.json", {"images": count})
    found = folder.read(str(place / "images"))
    return replace(found, rows=[row | {"source": dataset} for row in found.rows])


def prepare(dataset: str, path: Path, out: Path) -> int:
    """Writes the images as PNG files, ``train/cat/00017.png`` and ``test/…``, into the new folder `out`.

    Args:
        dataset: a key of `LAYOUTS`.
        path: an archive of it, or a folder with what it unpacks to.
        out: a new or empty folder.

    Returns:
        How many images they are.

    Raises:
        InputError: `path` holds something else, or `out` is not free.
    """
    _require_path(dataset, path)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        problem, remedy = "The output is there already.", "Choose another, or delete this one."
        raise InputError(sentence(problem, allowed="a new or empty folder", received=str(out), remedy=remedy))
    with atomic_dir(out) as temporary:
        return _write(dataset, path, temporary)


def _write(dataset: str, path: Path, out: Path) -> int:
    names, batches = _decoded(dataset, path)
    counts = dict.fromkeys(("train", "test"), 0)
    total = sum(len(batch.labels) for batch in batches)
    for batch, row in track(((b, i) for b in batches for i in range(len(b.labels))), "Writing images", total):
        file = out / batch.split / names[batch.labels[row]] / f"{counts[batch.split]:05d}.png"
        counts[batch.split] += 1
        file.parent.mkdir(parents=True, exist_ok=True)
        image = batch.pixels[row].reshape(3, SIDE, SIDE).transpose(1, 2, 0)
        Image.fromarray(np.ascontiguousarray(image)).save(file, "PNG")
    os.sync()  # all at once: `atomic_dir` would otherwise wait for the disk 60,000 times
    return total


# --- which archive -------------------------------------------------------------------------------------


def _require_path(dataset: str, path: Path) -> None:
    if not os.path.exists(path):  # noqa: PTH110 - Path.exists raises for a name too long
        raise InputError(
            sentence(
                f"There is no such archive of {dataset}.",
                allowed=", ".join(published.name for published in ARCHIVES[dataset]),
                received=str(path),
                remedy=f"`headstart data download {dataset}` fetches one.",
            )
        )


def _digest(dataset: str, path: Path) -> str:
    """SHA-256 of the archive's bytes, or of the unpacked members'."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    contents = _contents(dataset, path)
    hashes = (f"{name} {hashlib.sha256(contents[name]).hexdigest()}" for name in sorted(contents))
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def _is_whole(place: Path) -> bool:
    """Whether all images that were once written here still are."""
    try:
        expected = json.loads((place / "complete.json").read_text(encoding="utf-8"))["images"]
    except (OSError, ValueError, LookupError, TypeError):
        return False
    return bool(expected == sum(len(files) for _, _, files in os.walk(place / "images")))


def _contents(dataset: str, path: Path) -> dict[str, bytes]:
    """The members of a layout that are there, by their names in the archive."""
    wanted = [f"{layout.folder}/{name}" for layout in LAYOUTS[dataset] for name in layout.members]
    if path.is_file():
        return archive.members(path, wanted)
    files = {name: path.parent / name if path.name == name.split("/")[0] else path / name for name in wanted}
    return {name: _file(file) for name, file in files.items() if file.is_file()}


def _file(file: Path) -> bytes:
    if file.stat().st_size > archive.LIMIT:
        raise _unusable(f"it has more than {archive.LIMIT} bytes", file)
    return file.read_bytes()


# --- what is in it -------------------------------------------------------------------------------------


def _decoded(dataset: str, path: Path) -> tuple[list[str], list[Batch]]:
    """The class names, and the batches in their order."""
    contents = _contents(dataset, path)
    lacking = {
        layout: [name for name in layout.members if f"{layout.folder}/{name}" not in contents]
        for layout in LAYOUTS[dataset]
    }
    layout = min(lacking, key=lambda layout: len(lacking[layout]))
    if lacking[layout]:
        raise _unusable(f"it lacks {layout.folder}/{lacking[layout][0]}", path)
    decode = _pickled if layout.key else _binary
    try:
        names = _names(layout, contents.pop(f"{layout.folder}/{layout.names}"))
        parts = [("train", name) for name in layout.train] + [("test", layout.test)]
        batches = [Batch(split, *decode(layout, contents.pop(f"{layout.folder}/{n}"))) for split, n in parts]
        for batch, (_, name) in zip(batches, parts, strict=True):
            _check(layout, batch, name)
    except ValueError as error:
        raise _unusable(str(error), path) from error
    return names, batches


def _names(layout: Layout, content: bytes) -> list[str]:
    found: object = content.decode("ascii").split() if not layout.key else pickled.load(content)
    if isinstance(found, dict):
        found = found.get(layout.key.replace("labels", "label_names"))
    names = found if isinstance(found, list) else []
    # They become folders: nothing but a plain word may.
    plain = [name for name in names if re.fullmatch(r"[a-z][a-z0-9_-]{0,39}", str(name))]
    if plain != names or len(set(plain)) != layout.classes:
        raise ValueError(f"{layout.names} does not hold {layout.classes} plain class names")
    return plain


def _binary(layout: Layout, content: bytes) -> tuple[np.ndarray, np.ndarray]:
    records = np.frombuffer(content, np.uint8).reshape(-1, layout.label_bytes + PIXELS)
    return records[:, layout.label_bytes :], records[:, layout.label_bytes - 1]


def _pickled(layout: Layout, content: bytes) -> tuple[np.ndarray, np.ndarray]:
    batch = pickled.load(content)
    pixels, labels = (batch.get(key) for key in ("data", layout.key)) if isinstance(batch, dict) else (0, 0)
    if not isinstance(pixels, np.ndarray) or not isinstance(labels, list):
        raise ValueError(f"a batch has no data or no {layout.key}")  # noqa: TRY004 - a file's, not a caller's
    return pixels, np.array(labels)


def _check(layout: Layout, batch: Batch, name: str) -> None:
    count = len(batch.labels)
    if not count or batch.labels.shape != (count,) or batch.pixels.shape != (count, PIXELS):
        raise ValueError(f"{name} does not hold an image of {PIXELS} bytes for each label")
    if batch.labels.dtype.kind not in "iu" or not set(np.unique(batch.labels)) <= set(range(layout.classes)):
        raise ValueError(f"{name} has a label that is not 0 to {layout.classes - 1}")


def _unusable(reason: str, path: Path) -> InputError:
    remedy = "Fetch it anew: see `headstart data download --help`."
    return InputError(sentence(f"The archive cannot be used: {reason}.", received=str(path), remedy=remedy))
