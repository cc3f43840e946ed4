"""The bundle: the trained model on disk, read in three verbs: parse → audit → construct.

Members of the folder ``model/``:

- ``model.json``: a closed spec (`BundleSpec`), at most 64 KiB.
- ``weights.safetensors``: the convolutions (HWIO) and biases, and the head's: ``head/kernel`` (D, C),
  ``head/bias`` (C,), before them ``fc1`` and ``fc2`` of the head ``vgg``.
- ``reference.safetensors``: what the training images looked like to the network (`Reference`).
- ``int8.safetensors``, where the spec has the proof for it: the ranges of 8-bit convolutions.
- ``golden/``: a few held-out images as they came, and ``answers.json`` with Keras's float32 answers.
- ``MANIFEST.sha256``: SHA-256, size and name of every other member.

Nothing in it is code, and nothing is trusted before it was checked against the manifest and the spec.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from headstart.backbones.weights import Arrays
from headstart.errors import BundleError, InputError, sentence
from headstart.inference import members
from headstart.inference.familiarity import Familiarity
from headstart.inference.members import ANSWERS, INT8, MANIFEST, REFERENCE, SPEC, WEIGHTS
from headstart.inference.spec import (
    FORMAT,
    NAME_LIMIT,
    SPEC_LIMIT,
    BundleSpec,
    Int8,
    Thresholds,
    damaged,
    parse,
)
from headstart.rundir import to_json, write_tensors

__all__ = [
    "FORMAT", "MANIFEST", "NAME_LIMIT", "SPEC_LIMIT", "Bundle", "BundleSpec", "Golden", "Int8", "Reference",
    "Thresholds", "load", "parse", "rewrite", "write",
]  # fmt: skip


@dataclass(frozen=True)
class Reference:
    """What the training images looked like to the network, for distances and neighbours.

    Attributes:
        mean: (E,) float32 mean of the embeddings, see `reference.embedding`.
        covariance: (E, E) float32, shrunk.
        embeddings: (N, E) float16, at most 50,000.
        classes: (N,) int32 indices of the images' classes; −1 in bundles of earlier formats, which lack them.
        sha256: (N, 32) uint8 hashes of the images.
        paths: N paths, relative to the data's root.
    """

    mean: np.ndarray
    covariance: np.ndarray
    embeddings: np.ndarray
    classes: np.ndarray
    sha256: np.ndarray
    paths: tuple[str, ...]

    def tensors(self) -> Arrays:
        """As stored; the paths become one array of UTF-8 bytes with a zero byte between them."""
        paths = np.frombuffer("\0".join(self.paths).encode("utf-8", "surrogateescape"), np.uint8)
        return {
            "mean": self.mean,
            "covariance": self.covariance,
            "embeddings": self.embeddings,
            "classes": self.classes,
            "sha256": self.sha256,
            "paths": paths,
        }


@dataclass(frozen=True)
class Golden:
    """Held-out images and the answers Keras gave in float32, to be asked again wherever the model runs."""

    images: tuple[bytes, ...]
    probabilities: tuple[tuple[float, ...], ...]


def write(folder: Path, spec: BundleSpec, arrays: Arrays, reference: Reference, golden: Golden) -> None:
    """Writes all members into the existing empty `folder`; the same model gives the same bytes."""
    (folder / "golden").mkdir()
    (folder / SPEC).write_text(to_json(asdict(spec)), encoding="utf-8")
    write_tensors(folder / WEIGHTS, {name: arrays[name] for name in spec.shapes()})
    write_tensors(folder / REFERENCE, reference.tensors())
    for i, content in enumerate(golden.images):
        (folder / "golden" / f"{i}.image").write_bytes(content)
    (folder / ANSWERS).write_text(to_json(golden.probabilities), encoding="utf-8")
    seal(folder)


def rewrite(bundle: Bundle, folder: Path, spec: BundleSpec, int8: Arrays | None = None) -> None:
    """Writes the bundle with another spec, for the same weights, into the existing empty `folder`.

    Args:
        bundle: as it is.
        folder: for the new one.
        spec: as it shall be.
        int8: ranges of 8-bit convolutions, where the spec calls for others than there are.

    Raises:
        InputError: the spec is too large.
    """
    text = to_json(asdict(spec))
    if (size := len(text.encode())) > SPEC_LIMIT:
        raise InputError(
            sentence(
                "The costs and the names of the classes are more than a bundle holds.",
                allowed=f"{SPEC_LIMIT} bytes in all",
                received=f"{size} bytes",
                remedy="Name fewer mistakes with --cost.",
            )
        )
    shutil.copytree(bundle.folder, folder, dirs_exist_ok=True)
    (folder / MANIFEST).unlink()
    (folder / SPEC).write_text(text, encoding="utf-8")
    if int8 is not None:
        write_tensors(folder / INT8, {name: int8[name] for name in spec.int8_shapes()})
    seal(folder)


def seal(folder: Path) -> None:
    """Writes the manifest of all members, and lets everybody read them, as anything that headstart writes."""
    lines = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        content = path.read_bytes()
        name = path.relative_to(folder).as_posix()
        lines.append(f"{hashlib.sha256(content).hexdigest()} {len(content)} {name}\n")
    (folder / MANIFEST).write_text("".join(lines), encoding="ascii")
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


@dataclass(frozen=True)
class Bundle:
    """An audited bundle: its spec, and its members, which are read when asked for."""

    folder: Path
    spec: BundleSpec

    @property
    def digest(self) -> str:
        """SHA-256 of its manifest, and so of all that is in it."""
        return hashlib.sha256(members.read(self.folder / MANIFEST, SPEC_LIMIT)).hexdigest()

    def arrays(self) -> Arrays:
        """The weights, in the order of the spec."""
        return members.tensors(self.folder / WEIGHTS, list(self.spec.shapes()))

    def lazy(self) -> Mapping[str, np.ndarray]:
        """The weights, each read from the file when it is asked for."""
        return members.Lazy(self.folder / WEIGHTS, list(self.spec.shapes()))

    def int8(self) -> Arrays:
        """The ranges of 8-bit convolutions.

        Raises:
            InputError: it has none.
        """
        if self.spec.int8 is None:
            raise InputError(
                sentence(
                    "This model has not been made to run in 8-bit integers.",
                    received="openvino-int8",
                    remedy="Run `headstart quantize RUN` first, or choose another --engine.",
                )
            )
        return members.tensors(self.folder / INT8, list(self.spec.int8_shapes()))

    def reference(self) -> Reference:
        """What the training images looked like."""
        names = ["mean", "covariance", "embeddings", "classes", "sha256", "paths"]
        found = members.tensors(self.folder / REFERENCE, names)
        if "classes" not in found:  # of earlier formats
            found["classes"] = np.full(len(found["sha256"]), -1, np.int32)
        if not np.isin(found["classes"], np.arange(-1, len(self.spec.class_names))).all():
            raise damaged(f"{REFERENCE} has classes that the spec lacks")
        paths = tuple(found.pop("paths").tobytes().decode("utf-8", "surrogateescape").split("\0"))
        if len(paths) != len(found["sha256"]):
            raise damaged(f"{REFERENCE} has more paths than images, or fewer")
        if any(path.startswith("/") or ".." in path.split("/") for path in paths):  # others are shown images
            raise damaged(f"{REFERENCE} names a file outside of its images")
        return Reference(**found, paths=paths)

    def familiarity(self) -> Familiarity:
        """How far an image is from the training images."""
        found = members.tensors(self.folder / REFERENCE, ["mean", "covariance"])
        try:
            return Familiarity.of(found["mean"], found["covariance"])
        except (np.linalg.LinAlgError, ValueError) as error:
            raise damaged(f"{REFERENCE} holds no covariance") from error

    def golden(self) -> Golden:
        """The held-out images and their answers."""
        answers = _parsed(members.read(self.folder / ANSWERS, members.ANSWERS_LIMIT), self.spec)
        files = [self.folder / "golden" / f"{i}.image" for i in range(len(answers))]
        images = tuple(members.read(file, members.IMAGE_LIMIT) for file in files)
        return Golden(images, answers)


def load(folder: Path) -> Bundle:
    """Parses and audits a bundle.

    Raises:
        BundleError: a member is missing, damaged, changed or too much, or the spec is not understood.
        InputError: it may not be read.
    """
    try:
        _require_model(folder)
        return Bundle(folder, _audited(folder))
    except PermissionError as error:
        where, remedy = str(error.filename or folder), "Ask its owner, or take a copy of your own."
        raise InputError(sentence("You may not read this model.", received=where, remedy=remedy)) from error


def _require_model(folder: Path) -> None:
    if not (folder / MANIFEST).is_file():
        raise BundleError(
            sentence(
                "There is no trained model here.",
                allowed="a run directory or its model/ folder",
                received=str(folder),
                remedy="Train one with `headstart train DATA`, or let the training finish.",
            )
        )


def _audited(folder: Path) -> BundleSpec:
    try:
        spec = members.audit(folder)
        members.check_tensors(folder / WEIGHTS, spec.shapes())
        members.check_reference(folder / REFERENCE, spec)
        if spec.int8:
            members.check_tensors(folder / INT8, spec.int8_shapes())
    except PermissionError:
        raise
    except OSError as error:
        raise damaged(f"{error.strerror}: {error.filename}") from error
    return spec


def _parsed(content: bytes, spec: BundleSpec) -> tuple[tuple[float, ...], ...]:
    """Rows of probabilities, one of each class."""
    try:
        rows = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise damaged(f"{ANSWERS} is not JSON") from error
    if not isinstance(rows, list) or len(rows) > 10 or not all(_is_row(row, spec) for row in rows):
        raise damaged(f"{ANSWERS} does not hold what the spec calls for")
    return tuple(map(tuple, rows))


def _is_row(row: object, spec: BundleSpec) -> bool:
    same = isinstance(row, list) and len(row) == len(spec.class_names)
    return same and all(type(value) is float and math.isfinite(value) for value in row)  # type: ignore[attr-defined]
