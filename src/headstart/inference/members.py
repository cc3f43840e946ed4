"""The files of a bundle, read with care: regular, no larger than the spec allows, and unchanged."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from io import BufferedReader
from pathlib import Path

import numpy as np

from headstart.backbones.weights import Arrays
from headstart.inference.spec import SPEC_LIMIT, BundleSpec, Shapes, damaged, parse

MANIFEST = "MANIFEST.sha256"
SPEC, WEIGHTS, REFERENCE, INT8, ANSWERS = (
    "model.json", "weights.safetensors", "reference.safetensors", "int8.safetensors", "golden/answers.json",
)  # fmt: skip
LINE = re.compile(r"([0-9a-f]{64}) (0|[1-9][0-9]{0,12}) ((?:golden/)?[0-9a-z_.]{1,64})")
GOLDEN = re.compile(r"golden/[0-9]\.image")
MOST = 32
"""Files and folders in a bundle."""

HEADER_LIMIT = 1024 * 1024
"""Bytes of a safetensors header."""

ANSWERS_LIMIT = 1024 * 1024
IMAGE_LIMIT = 2**26
EMBEDDINGS, PATH_LENGTH = 50_000, 4096
"""Of a reference: most of them, and most bytes of a path."""

GOLDEN_LIMIT = 2**24
"""Bytes of an image that is written into a bundle."""


def audit(folder: Path) -> BundleSpec:
    """Reads the spec and compares every member with the manifest: names, sizes and hashes.

    Sizes come first: nothing is read to its end that is larger than the spec calls for.

    Args:
        folder: of the bundle.

    Raises:
        BundleError: something is missing, too much, no regular file, or changed.
    """
    listed = _listed(folder)
    if SPEC not in listed:
        raise damaged("a member is missing")
    _check_hash(folder, SPEC, listed[SPEC], SPEC_LIMIT)
    spec = parse(read(folder / SPEC, SPEC_LIMIT))
    limits = _limits(spec)
    golden = {name for name in listed if GOLDEN.fullmatch(name)}
    if set(listed) - golden != {*limits, SPEC}:
        raise damaged("members that the spec does not call for, or too few")
    for name in listed.keys() - {SPEC}:
        _check_hash(folder, name, listed[name], limits.get(name, IMAGE_LIMIT))
    return spec


def _limits(spec: BundleSpec) -> dict[str, int]:
    """Most bytes of each member but the spec and the golden images."""
    width = spec.network.channels(spec.network.last_map)
    each = width * 2 + 32 + 4 + PATH_LENGTH
    limits = {
        WEIGHTS: _bytes(spec.shapes()),
        REFERENCE: 4 * width * (width + 1) + EMBEDDINGS * each + HEADER_LIMIT,
        ANSWERS: ANSWERS_LIMIT,
    }
    return limits | ({INT8: _bytes(spec.int8_shapes())} if spec.int8 else {})


def _bytes(shapes: Shapes) -> int:
    return sum(4 * int(np.prod(shape)) for shape in shapes.values()) + HEADER_LIMIT


def _listed(folder: Path) -> dict[str, tuple[str, int]]:
    """SHA-256 and size of each member by the manifest, which must name all that is there."""
    text = read(folder / MANIFEST, SPEC_LIMIT)
    matches = [LINE.fullmatch(line) for line in text.decode("latin-1").split("\n")[:-1]]
    if not matches or not all(matches) or not text.endswith(b"\n"):
        raise damaged(f"{MANIFEST} is not readable")
    listed = {m[3]: (m[1], int(m[2])) for m in matches if m}
    found = _found(folder)
    if len(listed) != len(matches) or found != {*listed, MANIFEST}:
        odd = sorted(found ^ {*listed, MANIFEST})
        raise damaged(f"members missing or too many: {', '.join(odd[:3])}")
    return listed


def _found(folder: Path) -> set[str]:
    """Names of all that lies there, links included, however many there are."""
    found: set[str] = set()
    for place in (folder, folder / "golden"):
        if place.is_symlink():
            raise damaged(f"{place.name} is a link")
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.name != "golden" or place != folder or not entry.is_dir(follow_symlinks=False):
                    found.add(Path(entry.path).relative_to(folder).as_posix())
                if len(found) > MOST:
                    raise damaged(f"more than {MOST} members")
    return found


def _check_hash(folder: Path, name: str, entry: tuple[str, int], limit: int) -> None:
    sha256, size = entry
    with opened(folder / name) as file:
        actual = os.fstat(file.fileno()).st_size
        if actual > limit:
            raise damaged(f"{name} is larger than {limit} bytes")
        if actual != size or hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            raise damaged(f"{name} has changed since it was written")


def opened(path: Path) -> BufferedReader:
    """Opens a regular file for reading; a link, a pipe or a device is refused."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    file = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise damaged(f"{path.name} is not a regular file")
    return file


def read(path: Path, limit: int) -> bytes:
    """A file of at most `limit` bytes."""
    with opened(path) as file:
        content: bytes = file.read(limit + 1)
    if len(content) > limit:
        raise damaged(f"{path.name} is larger than {limit} bytes")
    return content


def check_tensors(path: Path, shapes: Shapes) -> None:
    """Compares a safetensors header with the expected float32 tensors before anything is allocated."""
    if _header(path) != {name: (shape, "F32") for name, shape in shapes.items()}:
        raise damaged(f"{path.name} does not hold the tensors that model.json calls for")


def check_reference(path: Path, spec: BundleSpec) -> None:
    """As `check_tensors`, for a reference of any number of images; earlier formats lack their classes."""
    width, found = spec.network.channels(spec.network.last_map), _header(path)
    count = found.get("sha256", ((), ""))[0][:1]
    expected = {
        "mean": ((width,), "F32"),
        "covariance": ((width, width), "F32"),
        "embeddings": ((*count, width), "F16"),
        "classes": (count, "I32"),
        "sha256": ((*count, 32), "U8"),
        "paths": (found.get("paths", ((), ""))[0][:1], "U8"),
    }
    if {"classes": expected["classes"]} | found != expected:
        raise damaged(f"{path.name} does not hold the tensors that model.json calls for")


def _header(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and type of each tensor."""
    from safetensors import SafetensorError, safe_open

    with opened(path) as file:
        if int.from_bytes(file.read(8), "little") > HEADER_LIMIT:
            raise damaged(f"{path.name} has an oversized header")
    try:
        with safe_open(path, framework="numpy") as tensors:
            slices = {name: tensors.get_slice(name) for name in tensors.keys()}  # noqa: SIM118 - not a dict
            return {name: (tuple(s.get_shape()), s.get_dtype()) for name, s in slices.items()}
    except SafetensorError as error:
        raise damaged(f"{path.name}: {error}") from error


class Lazy(Mapping[str, np.ndarray]):
    """The named tensors of a file, each read whenever it is asked for, and held by nobody.

    An engine takes one after the other: together they would be in memory twice.
    """

    def __init__(self, path: Path, names: Collection[str]) -> None:
        self.path, self.names = path, tuple(names)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.names:
            raise KeyError(name)
        return tensors(self.path, [name])[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def tensors(path: Path, names: Collection[str]) -> Arrays:
    """The named tensors of a file."""
    from safetensors import SafetensorError, safe_open

    there = _header(path)
    try:
        with safe_open(path, framework="numpy") as found:
            return {name: found.get_tensor(name) for name in names if name in there}
    except SafetensorError as error:
        raise damaged(f"{path.name}: {error}") from error
