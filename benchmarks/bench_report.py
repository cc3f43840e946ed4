"""Seconds and memory of the numbers and the report of 1,000 classes and 50,000 predictions.

    python benchmarks/bench_report.py [FOLDER]      the report is left in FOLDER, to be looked at

Goals: 60 seconds, 2 GB (10⁹ bytes), a page of at most 20 MB. The answers are drawn: right in about 70 % of
cases, and wrong mostly among ten neighbouring classes. The pictures that the page shows are drawn files.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from headstart.data import manifest as manifests
from headstart.evaluation import evaluate, explain
from headstart.evaluation.explain import Heatmaps
from headstart.evaluation.predictions import Predictions, Surroundings
from headstart.inference.decision import Rule
from headstart.provenance import hardware, versions
from headstart.report.render import render
from headstart.rundir import RunDir, write_json

CLASSES, IMAGES = 1000, 50_000
LOG = Path(__file__).parent / "results" / "report.json"


def main() -> None:
    """Prints and logs what it took."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(sys.argv[1] if len(sys.argv) > 1 else folder)
        run = RunDir(root / "run")
        begin = evaluated(run, root / "photos")
        counted = time.perf_counter()
        render(run)
        done = time.perf_counter()
        size = run.report.stat().st_size
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    log = {
        "seconds": round(done - begin, 1),
        "of them numbers": round(counted - begin, 1),
        "peak_gb": round(peak / 1e9, 2),
        "page_mb": round(size / 1e6, 2),
        "hardware": hardware(),
        "versions": versions(),
    }
    write_json(LOG, log)
    for name, goal in (("seconds", 60), ("peak_gb", 2), ("page_mb", 20)):
        value = log[name]
        assert isinstance(value, int | float)
        print(f"{name:<8} {value:8.2f} (goal at most {goal}: {'met' if value <= goal else 'MISSED'})")
    print(f"of them numbers {log['of them numbers']}")


def evaluated(run: RunDir, photos: Path) -> float:
    """Draws answers and pictures, and evaluates; when that began."""
    said = drawn()
    rows = explain.worth(said)
    pictures(photos, [said.paths[row] for row in rows])
    heats = np.random.default_rng(1).integers(0, 256, (len(rows), 2, 14, 14), dtype=np.uint8)
    begin = time.perf_counter()
    manifest(said, photos).save(run.manifest)
    evaluate.write(run, "test", said, 5)
    Heatmaps(rows, heats).save(run.evaluation("test") / evaluate.HEATMAPS)
    return begin


def drawn() -> Predictions:
    """Predictions ordered by path."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(CLASSES), IMAGES // CLASSES)
    logits = rng.normal(size=(IMAGES, CLASSES)).astype(np.float32)
    logits[np.arange(IMAGES), y] += 4.6
    near = np.clip(y + rng.integers(-5, 6, IMAGES), 0, CLASSES - 1)
    logits[np.arange(IMAGES), near] += rng.exponential(1.5, IMAGES).astype(np.float32)
    names = tuple(f"class {c:04d}" for c in range(CLASSES))
    paths = tuple(f"{names[c]}/{i:05d}.jpg" for i, c in enumerate(y))
    around = Surroundings(
        rng.gamma(50, 0.02, IMAGES),
        tuple(paths[i] for i in near),
        tuple(names[c] for c in near),
        rng.random(IMAGES),
    )
    return Predictions(paths, y, logits, names, 1.1, Rule(0.3, 1.5), around)


def manifest(said: Predictions, root: Path) -> manifests.Manifest:
    """Of the test images, and ten training images a class."""
    names = said.class_names
    rows = [
        {"path": path, "label": names[y], "split": "test"}
        for path, y in zip(said.paths, said.y_true, strict=True)
    ]
    rows += [
        {"path": f"{name}/t{i}.jpg", "label": name, "split": "train"} for name in names for i in range(10)
    ]
    return manifests.from_rows(rows, root)


def pictures(root: Path, paths: list[str]) -> None:
    """Files of 300 by 200 pixels of smooth noise, as heavy as photographs."""
    rng = np.random.default_rng(2)
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        small = Image.fromarray(rng.integers(0, 256, (50, 75, 3), dtype=np.uint8))
        small.resize((300, 200), Image.Resampling.BICUBIC).save(root / path)


if __name__ == "__main__":
    main()
