"""Whether images from elsewhere are told from solar cells, by the distance that every answer comes with.

    python benchmarks/bench_unfamiliar.py

A frozen VGG16 on ELPV; its test cells beside photographs (crops of the photographs that scikit-learn and
Matplotlib carry), noise (white, blurred, of one colour) and text. Goals: AUROC of the distance at least 0.99,
at most 5 % of the test cells called unfamiliar. Beside it, without a goal, a model of monocrystalline cells
that is shown polycrystalline ones: those are cells too, of another kind.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont
from sklearn.datasets import load_sample_images
from sklearn.metrics import roc_auc_score

import headstart as hs
from headstart.data.sources import elpv
from headstart.inference.predictor import Predictor
from headstart.progress import shown
from headstart.provenance import hardware, versions
from headstart.rundir import RunDir, write_json

LOG = Path(__file__).parent / "results" / "unfamiliar.json"
EACH = 60  # images of each kind


def main() -> None:
    """Prints the table, and logs it."""
    with tempfile.TemporaryDirectory() as folder, shown():
        log = {"hardware": hardware(), "versions": versions(), **measured(Path(folder))}
    write_json(LOG, log)
    met = {name: row["auroc"] >= 0.99 for name, row in log["kinds"].items()}
    for name, row in log["kinds"].items():
        print(
            f"{name:<12} AUROC {row['auroc']:.4f} (goal 0.99: {'met' if met[name] else 'MISSED'}), "
            f"{row['unfamiliar']:.1%} called unfamiliar"
        )
    share = log["test_unfamiliar"]
    outcome = "met" if share <= 0.05 else "MISSED"
    print(f"test cells   {share:.1%} called unfamiliar (goal at most 5 %: {outcome})")
    mono = log["mono_shown_poly"]
    print(
        f"A model of mono cells shown poly cells: AUROC {mono['auroc']:.4f}, {mono['unfamiliar']:.1%} called"
        f" unfamiliar (of its own test cells {mono['own_unfamiliar']:.1%})"
    )


def measured(folder: Path) -> dict[str, Any]:
    """Trains both models, and asks them."""
    run = hs.train("elpv", folder / "elpv", engine="ncnn")
    predictor, own = hs.load(run), distances_of_test(run)
    kinds = {}
    for name, pictures in (("photographs", photographs()), ("noise", noise()), ("text", text())):
        found = distances(predictor, pictures)
        kinds[name] = {"auroc": auroc(own, found), "unfamiliar": beyond(predictor, found), "n": len(found)}
    cells = elpv.read()
    table = pd.DataFrame(cells.rows)
    table["path"] = [f"{cells.root}/{path}" for path in table["path"]]
    mono = (elpv.read_labels()["type"] == "mono").to_numpy()
    table.loc[mono, ["path", "label"]].to_csv(folder / "mono.csv", index=False)
    other = hs.train(str(folder / "mono.csv"), folder / "mono", engine="ncnn")
    narrow, mono_own = hs.load(other), distances_of_test(other)
    poly = distances(narrow, (np.asarray(Image.open(path)) for path in table.loc[~mono, "path"][::10]))
    return {
        "kinds": kinds,
        "test_unfamiliar": beyond(predictor, own),
        "mono_shown_poly": {
            "auroc": auroc(mono_own, poly),
            "unfamiliar": beyond(narrow, poly),
            "own_unfamiliar": beyond(narrow, mono_own),
        },
    }


def beyond(predictor: Predictor, found: np.ndarray) -> float:
    """The share of distances beyond the model's limit."""
    assert predictor.rule.distance is not None
    return float((found > predictor.rule.distance).mean())


def distances_of_test(run: RunDir) -> np.ndarray:
    """(N,) of the run's test images."""
    return pd.read_parquet(run.evaluation("test") / "predictions.parquet")["distance"].to_numpy()


def distances(predictor: Predictor, pictures: Iterator[np.ndarray]) -> np.ndarray:
    """(N,) of pictures, as the predictor answers."""
    return np.array([answer.distance for answer in predictor.predict(pictures)])


def auroc(own: np.ndarray, others: np.ndarray) -> float:
    """How well the distance tells others from its own images."""
    truth = np.r_[np.zeros(len(own)), np.ones(len(others))]
    return float(roc_auc_score(truth, np.r_[own, others]))


def photographs() -> Iterator[np.ndarray]:
    """Crops of real photographs, in colour and in grey, of different sizes."""
    whole = list(load_sample_images().images)
    whole.append(np.asarray(Image.open(Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg")))
    rng = np.random.default_rng(0)
    for i in range(EACH):
        pixels = whole[i % len(whole)]
        side = int(rng.integers(120, min(pixels.shape[:2])))
        top, left = (int(rng.integers(0, length - side + 1)) for length in pixels.shape[:2])
        crop = pixels[top : top + side, left : left + side]
        yield np.asarray(Image.fromarray(crop).convert("L")) if i % 2 else crop


def noise() -> Iterator[np.ndarray]:
    """White noise in grey and in colour, the same blurred, and single colours."""
    rng = np.random.default_rng(1)
    for i in range(EACH):
        shape = (300, 300) if i % 2 else (300, 300, 3)
        pixels = rng.integers(0, 256, shape, dtype=np.uint8)
        if i % 3 == 1:
            small = Image.fromarray(pixels[:: 2 + i % 20, :: 2 + i % 20])
            pixels = np.asarray(small.resize((300, 300), Image.Resampling.BICUBIC))
        elif i % 3 == 2:
            pixels = np.full_like(pixels, rng.integers(0, 256))
        yield pixels


def text() -> Iterator[np.ndarray]:
    """Lines of words, dark on light and light on dark."""
    words = Path(__file__).read_text("utf-8").split()
    rng = np.random.default_rng(2)
    for i in range(EACH):
        page = Image.new("L", (300, 300), 255 * (i % 2))
        size = int(rng.integers(10, 40))
        draw, font = ImageDraw.Draw(page), ImageFont.load_default(size)
        for y in range(5, 300, size + 4):
            draw.text((5, y), " ".join(rng.choice(words, 12)), fill=255 - 255 * (i % 2), font=font)
        yield np.asarray(page)


if __name__ == "__main__":
    main()
