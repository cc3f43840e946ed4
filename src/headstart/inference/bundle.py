"""The bundle: the trained model on disk, read in three verbs: parse → audit → construct.

Members of the folder ``model/``:

- ``model.json``: a closed spec (`BundleSpec`), at most 64 KiB.
- ``weights.safetensors``: the convolutions (HWIO) and biases, and the head's: ``head/kernel`` (D, C),
  ``head/bias`` (C,), before them ``fc1`` and ``fc2`` of the head ``vgg``.
- ``reference.safetensors``: what the training images looked like to the network (`Reference`).
- ``golden/``: a few held-out images as they came, and ``answers.json`` with Keras's float32 answers.
- ``MANIFEST.sha256``: SHA-256, size and name of every other member.

Nothing in it is code, and nothing is trusted before it was checked against the manifest and the spec.
To change the format: add the field to `BundleSpec`, raise `FORMAT`, and say in the CHANGELOG how old bundles
are brought forward (`_brought_forward`); a reader refuses a format that it does not know.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import stat
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_args

import numpy as np

from headstart.backbones import heads, vgg
from headstart.backbones.specs import BACKBONES, Backbone
from headstart.backbones.weights import Arrays
from headstart.config import Fit, Pixels, TrainedHead
from headstart.engines import ENGINES
from headstart.errors import BundleError, sentence
from headstart.inference.decision import Cost, Rule
from headstart.inference.familiarity import Familiarity
from headstart.rundir import to_json, write_tensors

FORMAT = 3
SPEC_LIMIT = 64 * 1024
HEADER_LIMIT = 1024 * 1024  # of a safetensors file, in bytes
MANIFEST = "MANIFEST.sha256"
LINE = re.compile(r"([0-9a-f]{64}) (0|[1-9][0-9]{0,12}) ((?:golden/)?[0-9a-z_.]{1,64})")


@dataclass(frozen=True)
class Thresholds:
    """Least probability of an accepted answer, and greatest distance of a familiar image; None: not known."""

    confidence: float = 0.0
    distance: float | None = None


@dataclass(frozen=True)
class BundleSpec:
    """``model.json``: all that is needed to build the model around its weights.

    Attributes:
        backbone, head, taps: which features; `taps` repeats what the head's table says.
        pixels: `imagenet`: the mean of ImageNet is taken from them. `unit`: they are scaled to 0–1.
        boundary: the tensor below which nothing was trained; ``image`` where all of it was.
        image_size, fit, views: how a picture becomes the network's input; 1 or 8 dihedral views averaged.
        class_names: in the order of the logits.
        temperature: logits are divided by it before softmax.
        thresholds, costs: when an answer is accepted, and which is given, see `Rule`.
        engine, precision: what computed the features that the head was trained on.
    """

    backbone: str
    head: str
    taps: tuple[str, ...]
    pixels: Pixels
    boundary: str
    image_size: int
    fit: Fit
    views: int
    class_names: tuple[str, ...]
    temperature: float
    engine: str
    precision: str
    thresholds: Thresholds = Thresholds()
    costs: tuple[Cost, ...] = ()
    format: int = FORMAT

    @property
    def rule(self) -> Rule:
        """By which an answer is given."""
        return Rule(self.thresholds.confidence, self.thresholds.distance, self.costs)

    @property
    def network(self) -> Backbone:
        """The row of the table of backbones, with the preprocessing that it was trained with."""
        row = BACKBONES[self.backbone]
        return row.blank if self.pixels == "unit" else row

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of all tensors in ``weights.safetensors``; all are float32."""
        shapes: dict[str, tuple[int, ...]] = {}
        for name, fan, channels in vgg.conv_names(self.network):
            shapes |= {f"{name}/kernel": (3, 3, fan, channels), f"{name}/bias": (channels,)}
        return shapes | heads.shapes(self.network, self.head, self.image_size, len(self.class_names))


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
    (folder / "model.json").write_text(to_json(asdict(spec)), encoding="utf-8")
    write_tensors(folder / "weights.safetensors", {name: arrays[name] for name in spec.shapes()})
    write_tensors(folder / "reference.safetensors", reference.tensors())
    for i, content in enumerate(golden.images):
        (folder / "golden" / f"{i}.image").write_bytes(content)
    (folder / "golden" / "answers.json").write_text(to_json(golden.probabilities), encoding="utf-8")
    _seal(folder)


def rewrite(bundle: Bundle, folder: Path, spec: BundleSpec) -> None:
    """Writes the bundle with another spec, for the same weights, into the existing empty `folder`."""
    shutil.copytree(bundle.folder, folder, dirs_exist_ok=True)
    (folder / MANIFEST).unlink()
    (folder / "model.json").write_text(to_json(asdict(spec)), encoding="utf-8")
    _seal(folder)


def _seal(folder: Path) -> None:
    """Writes the manifest of all members."""
    lines = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        content = path.read_bytes()
        name = path.relative_to(folder).as_posix()
        lines.append(f"{hashlib.sha256(content).hexdigest()} {len(content)} {name}\n")
    (folder / MANIFEST).write_text("".join(lines), encoding="ascii")


@dataclass(frozen=True)
class Bundle:
    """An audited bundle: its spec, and its members, which are read when asked for."""

    folder: Path
    spec: BundleSpec

    def arrays(self) -> Arrays:
        """The weights, in the order of the spec."""
        return _load_tensors(self.folder / "weights.safetensors", list(self.spec.shapes()))

    def reference(self) -> Reference:
        """What the training images looked like."""
        names = ["mean", "covariance", "embeddings", "classes", "sha256", "paths"]
        tensors = _load_tensors(self.folder / "reference.safetensors", names, {"classes": _unknown})
        _audit_reference(tensors, self.spec)
        text = tensors.pop("paths").tobytes().decode("utf-8", "surrogateescape")
        return Reference(**tensors, paths=tuple(text.split("\0")))

    def familiarity(self) -> Familiarity:
        """How far an image is from the training images."""
        tensors = _load_tensors(self.folder / "reference.safetensors", ["mean", "covariance"])
        width = self.spec.network.channels(self.spec.network.last_map)
        if (tensors["mean"].shape, tensors["covariance"].shape) != ((width,), (width, width)):
            raise _damaged("reference.safetensors does not hold what the spec calls for")
        return Familiarity.of(tensors["mean"], tensors["covariance"])

    def golden(self) -> Golden:
        """The held-out images and their answers."""
        answers = json.loads(_read(self.folder / "golden" / "answers.json"))
        images = tuple(_read(self.folder / "golden" / f"{i}.image") for i in range(len(answers)))
        return Golden(images, tuple(map(tuple, answers)))


def load(folder: Path) -> Bundle:
    """Parses and audits a bundle.

    Raises:
        BundleError: a member is missing, damaged, changed or too much, or the spec is not understood.
    """
    if not (folder / MANIFEST).is_file():
        raise BundleError(
            sentence(
                "There is no trained model here.",
                allowed="a run directory or its model/ folder",
                received=str(folder),
                remedy="Train one with `headstart train DATA`, or let the training finish.",
            )
        )
    try:
        _audit_members(folder)
        spec = parse(_read(folder / "model.json", SPEC_LIMIT))
        _audit_tensors(folder / "weights.safetensors", spec.shapes())
    except OSError as error:
        raise _damaged(f"{error.strerror}: {error.filename}") from error
    return Bundle(folder, spec)


def parse(content: bytes) -> BundleSpec:
    """Reads ``model.json`` and accepts nothing unknown."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _damaged("model.json is not JSON") from error
    if isinstance(values, dict):
        values = _brought_forward(values)
    if not isinstance(values, dict) or set(values) != {item.name for item in fields(BundleSpec)}:
        raise _damaged("model.json has missing or unknown fields")
    if values["format"] != FORMAT:
        raise BundleError(
            sentence(
                "This bundle has a format that this version does not read.",
                allowed=FORMAT,
                received=values["format"],
                remedy="Install the version that wrote it, or train again.",
            )
        )
    _check_values(values)
    values |= {"taps": tuple(values["taps"]), "class_names": tuple(values["class_names"])}
    values["thresholds"] = Thresholds(**values["thresholds"])
    values["costs"] = tuple((i, j, cost) for i, j, cost in values["costs"])
    return BundleSpec(**values)


def _brought_forward(values: dict[str, Any]) -> dict[str, Any]:
    """What earlier formats say, as this one does.

    Format 1 had no `pixels`, since all backbones came from ImageNet; format 2 accepted every answer.
    """
    if values.get("format") == 1 and "pixels" not in values:
        values = values | {"format": 2, "pixels": "imagenet"}
    if values.get("format") == 2 and not {"thresholds", "costs"} & set(values):
        values = values | {"format": 3, "thresholds": asdict(Thresholds()), "costs": []}
    return values


def _check_values(values: dict[str, Any]) -> None:
    names, size, temperature = values["class_names"], values["image_size"], values["temperature"]
    checks = {
        "backbone": isinstance(values["backbone"], str) and values["backbone"] in BACKBONES,
        "head": values["head"] in get_args(TrainedHead),
        "pixels": values["pixels"] in get_args(Pixels),
        "fit": values["fit"] in get_args(Fit),
        "views": type(values["views"]) is int and values["views"] in (1, 8),
        "image_size": type(size) is int and 32 <= size <= 1024,
        "class_names": isinstance(names, list)
        and 2 <= len(names) == len({n for n in names if isinstance(n, str)})
        and all(0 < len(name) <= 255 for name in names),
        "temperature": type(temperature) is float and 1e-3 <= temperature <= 1e3,
        "engine": isinstance(values["engine"], str) and values["engine"] in ENGINES,
        "thresholds": _are_thresholds(values["thresholds"]),
    }
    if not all(checks.values()):
        raise _damaged(f"model.json: {next(name for name, good in checks.items() if not good)}")
    backbone = BACKBONES[values["backbone"]]
    boundaries = ("image", *backbone.layers)
    if values["taps"] != list(backbone.taps(values["head"])) or values["boundary"] not in boundaries:
        raise _damaged("model.json: taps or boundary")
    if values["precision"] != ENGINES[values["engine"]].precision:
        raise _damaged("model.json: precision")
    if not isinstance(values["costs"], list) or not all(_is_cost(c, len(names)) for c in values["costs"]):
        raise _damaged("model.json: costs")


def _are_thresholds(values: Any) -> bool:
    if not isinstance(values, dict) or set(values) != {"confidence", "distance"}:
        return False
    confidence, distance = values["confidence"], values["distance"]
    far = distance is None or (type(distance) is float and 0 <= distance < math.inf)
    return far and type(confidence) is float and 0 <= confidence <= 1


def _is_cost(value: Any, classes: int) -> bool:
    if not isinstance(value, list) or [type(item) for item in value] != [int, int, float]:
        return False
    true, answer, cost = value
    known = 0 <= min(true, answer) <= max(true, answer) < classes
    return bool(known and true != answer and 0 <= cost < math.inf)


def _audit_members(folder: Path) -> None:
    """Compares every member with the manifest: the same names, sizes and hashes, regular files only."""
    text = _read(folder / MANIFEST, SPEC_LIMIT)
    matches = [LINE.fullmatch(line) for line in text.decode("latin-1").split("\n")[:-1]]
    if not matches or not all(matches) or not text.endswith(b"\n"):
        raise _damaged(f"{MANIFEST} is not readable")
    listed = {m[3]: (m[1], int(m[2])) for m in matches if m}
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir() or p.is_symlink()}
    if len(listed) != len(matches) or found != {*listed, MANIFEST}:
        odd = sorted(found ^ {*listed, MANIFEST})
        raise _damaged(f"members missing or too many: {', '.join(odd[:3])}")
    if not {"model.json", "weights.safetensors", "reference.safetensors", "golden/answers.json"} <= found:
        raise _damaged("a member is missing")
    for name, (sha256, size) in listed.items():
        with _open(folder / name) as file:
            if (
                os.fstat(file.fileno()).st_size != size
                or hashlib.file_digest(file, "sha256").hexdigest() != sha256
            ):
                raise _damaged(f"{name} has changed since it was written")


def _audit_tensors(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """Compares a safetensors header with the expected tensors before anything is allocated."""
    from safetensors import SafetensorError, safe_open

    with _open(path) as file:
        if int.from_bytes(file.read(8), "little") > HEADER_LIMIT:
            raise _damaged(f"{path.name} has an oversized header")
    try:
        with safe_open(path, framework="numpy") as tensors:
            slices = {name: tensors.get_slice(name) for name in tensors.keys()}  # noqa: SIM118 - not a dict
            found = {name: (tuple(s.get_shape()), s.get_dtype()) for name, s in slices.items()}
    except SafetensorError as error:
        raise _damaged(f"{path.name}: {error}") from error
    if found != {name: (shape, "F32") for name, shape in shapes.items()}:
        raise _damaged(f"{path.name} does not hold the tensors that model.json calls for")


def _audit_reference(tensors: Arrays, spec: BundleSpec) -> None:
    count, width = len(tensors["sha256"]), spec.network.channels(spec.network.last_map)
    expected = {
        "mean": ((width,), np.float32),
        "covariance": ((width, width), np.float32),
        "embeddings": ((count, width), np.float16),
        "classes": ((count,), np.int32),
        "sha256": ((count, 32), np.uint8),
        "paths": (tensors["paths"].shape, np.uint8),
    }
    if any(tensors[name].shape != shape or tensors[name].dtype != d for name, (shape, d) in expected.items()):
        raise _damaged("reference.safetensors does not hold what the spec calls for")
    if not np.isin(tensors["classes"], np.arange(-1, len(spec.class_names))).all():
        raise _damaged("reference.safetensors has classes that the spec lacks")


def _unknown(tensors: Arrays) -> np.ndarray:
    return np.full(len(tensors["sha256"]), -1, np.int32)


def _open(path: Path) -> Any:
    """Opens a regular file for reading; a link, a pipe or a device is refused."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    file = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise _damaged(f"{path.name} is not a regular file")
    return file


def _read(path: Path, limit: int = 1 << 30) -> bytes:
    with _open(path) as file:
        content: bytes = file.read(limit + 1)
    if len(content) > limit:
        raise _damaged(f"{path.name} is larger than {limit} bytes")
    return content


def _load_tensors(
    path: Path, names: list[str], lacking: dict[str, Callable[[Arrays], np.ndarray]] | None = None
) -> Arrays:
    """The named tensors; those that earlier formats lack may be made of the others."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as tensors:
            there = set(tensors.keys())
            absent = [name for name in lacking or {} if name not in there]
            found = {name: tensors.get_tensor(name) for name in names if name not in absent}
            return found | {name: (lacking or {})[name](found) for name in absent}
    except SafetensorError as error:
        raise _damaged(f"{path.name}: {error}") from error


def _damaged(what: str) -> BundleError:
    return BundleError(
        sentence(
            f"The bundle is damaged or was changed: {what}.", remedy="Restore it from a copy, or train again."
        )
    )
