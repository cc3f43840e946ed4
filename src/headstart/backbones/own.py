"""Files of weights that headstart wrote itself: they expect RGB, and some of them pixels of another scale.

They are a bundle's ``weights.safetensors``, the exports ``model.onnx`` and ``model.keras``, and what Keras
makes of the latter.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

SPEC, CONFIG = "model.json", "config.json"
MOST = 2**23  # bytes of either

Wrote = Literal["", "imagenet", "unit", "unknown"]


def pixels(path: Path, names: Collection[str]) -> Wrote:
    """What pixels a file of ours expects; "" where somebody else wrote it.

    Args:
        path: a file that `foreign_reader` has found sound.
        names: of the arrays in it.
    """
    if {"block1_conv1/kernel", "head/kernel"} <= set(names):
        return _of_bundle(path.with_name(SPEC))
    if {"block1_conv1/kernel", "logits/kernel"} <= set(names):
        return "unit" if "scale" in names else "imagenet"
    with path.open("rb") as file:
        start = file.read(8)
    if start.startswith(b"PK\x03\x04"):
        return _of_keras(path)
    return _of_hdf5(path) if start == b"\x89HDF\r\n\x1a\n" else ""


def _of_bundle(spec: Path) -> Wrote:
    """As the spec beside the weights says; its first format knew one kind only."""
    try:
        with spec.open("rb") as file:
            said = json.loads(file.read(MOST)).get("pixels", "imagenet")
    except (OSError, ValueError, RecursionError, AttributeError):
        return "unknown"
    return said if said in ("imagenet", "unit") else "unknown"


def _of_keras(path: Path) -> Wrote:
    """By the scale of the layer that our networks begin with."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(CONFIG) as member:
            layers: list[Any] = json.loads(member.read(MOST))["config"]["layers"]
        scales = [layer["config"]["scale"] for layer in layers if layer["config"]["name"] == "centre"]
    except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError, ValueError,
            LookupError, TypeError):  # fmt: skip
        return ""  # whatever it is, it is none of ours
    return ("imagenet" if scales[0] == 1 else "unit") if scales else ""


def _of_hdf5(path: Path) -> Wrote:
    """Keras 3 notes the names of layers, of this one too; its scale it doesn't."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            layers = file["layers"]
            names = [
                layers[name]["vars"].attrs.get("name") for name in layers if name.startswith("rescaling")
            ]
    except (OSError, LookupError, RuntimeError, ValueError, TypeError, AttributeError):
        return ""  # as above
    return "unknown" if "centre" in names else ""
