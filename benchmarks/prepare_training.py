"""The files that `bench_training.py` and its peers train on.

    python benchmarks/prepare_training.py OUT 512 128 32

OUT gets ``data/{train,val,test}/<class>``, that many cells of ELPV, as many sound as defective, and
``weights`` with the base of VGG16 for each side. A process of its own, as it imports what would make a
process large.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from headstart.backbones import specs, weights
from headstart.backbones.framework import keras
from headstart.data.sources import elpv
from headstart.rundir import cache_dir

CLASSES = ("sound", "defective")


def images(folder: Path, counts: dict[str, int]) -> None:
    """Copies cells into ``<split>/<class>``, always the same ones."""
    cells = elpv.read()
    rng = np.random.default_rng(0)
    for label in CLASSES:
        paths = iter(rng.permutation([str(row["path"]) for row in cells.rows if row["label"] == label]))
        for split, count in counts.items():
            target = folder / split / label
            target.mkdir(parents=True)
            for _ in range(count // len(CLASSES)):
                shutil.copy(cells.root / next(paths), target)


def base(folder: Path) -> None:
    """``vgg16.safetensors``, as in headstart's cache (BGR, HWIO), and ``vgg16.weights.h5`` for Keras."""
    folder.mkdir(parents=True)
    weights.find(specs.backbone("vgg16"))
    copied = Path(shutil.copy(cache_dir() / "weights" / "vgg16.safetensors", folder))
    arrays = load_file(copied)
    model = keras().applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3))
    for layer in model.layers:
        if layer.weights:
            layer.set_weights([arrays[f"{layer.name}/{kind}"] for kind in ("kernel", "bias")])
    model.save_weights(folder / "vgg16.weights.h5")


if __name__ == "__main__":
    out, *numbers = sys.argv[1:]
    images(Path(out) / "data", dict(zip(("train", "val", "test"), map(int, numbers), strict=True)))
    base(Path(out) / "weights")
