"""Small models and pictures for several tests: random weights, answers that differ from image to image."""

from __future__ import annotations

import io
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from headstart.backbones import heads, specs, weights
from headstart.backbones.weights import Arrays
from headstart.inference import bundle
from headstart.inference.bundle import Bundle, BundleSpec, Golden, Reference
from headstart.inference.predictor import Predictor
from headstart.inference.spec import Thresholds

TINY = specs.backbone("vgg-tiny")
SIZE = 64

SPEC = BundleSpec(
    backbone="vgg-tiny",
    head="taps",
    taps=TINY.taps("taps"),
    pixels="imagenet",
    boundary=TINY.last_map,
    image_size=SIZE,
    fit="letterbox",
    views=1,
    class_names=("cat", "dög", "great ape"),
    temperature=1.5,
    engine="ncnn",
    precision="f32-winograd",
    thresholds=Thresholds(0.4, 3.0),
    blocks=5,
)


def spec(**changes: object) -> BundleSpec:
    """`SPEC` with other fields; the taps follow."""
    changed = replace(SPEC, **changes)  # type: ignore[arg-type]
    network = changed.network
    return replace(changed, taps=network.taps(changed.head), boundary=network.last_map)


def arrays(of: BundleSpec, seed: int = 0) -> Arrays:
    """Random weights, and a head that is as sure of some pictures as it is unsure of others."""
    drawn = weights.random(of.network, seed)
    head = heads.random(of.network, of.head, of.image_size, len(of.class_names), seed)
    reach = 1e-3 if of.pixels == "imagenet" else 1.0
    return drawn | {name: array * np.float32(reach) for name, array in head.items()}


def reference(of: BundleSpec, count: int = 4) -> Reference:
    """Of images that nobody has seen."""
    width = of.network.channels(of.network.last_map)
    rng = np.random.default_rng(1)
    return Reference(
        mean=np.full(width, width**-0.5, np.float32),
        covariance=np.eye(width, dtype=np.float32) * np.float32(0.1),
        embeddings=rng.random((count, width)).astype(np.float16),
        classes=np.arange(count, dtype=np.int32) % len(of.class_names),
        sha256=rng.integers(0, 256, (count, 32), dtype=np.uint8),
        paths=tuple(f"{i}.png" for i in range(count)),
    )


def saved(folder: Path, of: BundleSpec = SPEC, seed: int = 0) -> Bundle:
    """Writes a bundle into a new folder, and loads it."""
    folder.mkdir()
    answers = tuple(tuple(1 / len(of.class_names) for _ in of.class_names) for _ in range(2))
    golden = Golden((picture(1), picture(2)), answers)
    bundle.write(folder, of, arrays(of, seed), reference(of), golden)
    return bundle.load(folder)


def answering(folder: Path, of: BundleSpec = SPEC) -> Path:
    """Writes a bundle whose golden answers are those that it gives, as servers ask; returns its folder."""
    asked = (picture(1), picture(2))
    with tempfile.TemporaryDirectory() as other:
        predictor = Predictor(saved(Path(other) / "first", of))
        answers = tuple(tuple(one.probabilities.values()) for one in predictor.predict(asked))
    folder.mkdir()
    bundle.write(folder, of, arrays(of), reference(of), Golden(asked, answers))
    return folder


def picture(seed: int, width: int = 70, height: int = 50, kind: str = "PNG") -> bytes:
    """A file with large and small structures of some colour."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (3, 4, 3), dtype=np.uint8)
    pixels = np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), np.int64)
    pixels = np.clip(pixels + rng.integers(-30, 31, pixels.shape), 0, 255).astype(np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind)
    return content.getvalue()


def pets(folder: Path, count: int) -> Path:
    """So many pictures each of cats, which are higher, and dogs, by class."""
    for name, height, start in (("cat", 50, 0), ("dog", 30, 1000)):
        for i, file in enumerate(pictures(folder / name, count), start):
            file.write_bytes(picture(i, 60, height))
    return folder


def pictures(folder: Path, count: int) -> list[Path]:
    """Different PNG and JPEG files in a new folder, in the order of their names."""
    folder.mkdir(parents=True)
    files = [folder / f"{i:05}.{'png' if i % 2 else 'jpg'}" for i in range(count)]
    for i, file in enumerate(files):
        file.write_bytes(picture(i, 40 + i % 50, 40 + i % 37, "PNG" if i % 2 else "JPEG"))
    return files
