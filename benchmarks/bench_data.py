"""Images per second of decode + fit, beside others in the same run; and what scaled decoding changes.

    python benchmarks/bench_data.py                 every number, logged in benchmarks/results/data.json
    python benchmarks/bench_data.py --develop       the same, nothing is written

Every contender makes a (224, 224, 3) letterboxed square of the same files, which are drawn here: noise at
many scales, edges and sensor noise, so that the small JPEGs take about 100 kB, as ImageNet's do, and the
large ones 5 MB. Contenders take turns, round by round; medians and spreads of the rounds. OpenCV resizes by
area, Pillow and TensorFlow bicubic and antialiased, Keras as its loader does by default (bilinear, not
antialiased).

Run it on an idle machine: the log keeps the load average that it began with.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from headstart.data import images, jpeg
from headstart.data.loader import ahead
from headstart.data.sources import elpv
from headstart.provenance import hardware, versions
from headstart.rundir import write_json

LOG = Path(__file__).parent / "results" / "data.json"
SIZE = 224
CORES = len(os.sched_getaffinity(0))
ROUNDS = 7
SETS = {  # name: (width, height, kind, files)
    "JPEG 500x400": (500, 400, "jpg", 256),
    "JPEG 4000x3000": (4000, 3000, "jpg", 6),
    "PNG 500x400": (500, 400, "png", 64),
}
Log = dict[str, Any]
Load = Callable[[Path], np.ndarray]


def main() -> None:
    """Measures, prints, and writes the log."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--develop", action="store_true", help="nothing is written")
    develop = parser.parse_args().develop
    log: Log = {} if develop else _opened()
    cv2.setNumThreads(1)  # it is one thread of several, as every other
    log["load_average"] = round(os.getloadavg()[0], 2)
    log["rates"] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in SETS:
            files = draw(Path(folder), name)
            log["rates"][name] = rates(files)
            print_rates(name, files, log["rates"][name])
    log["goals"] = goals(log["rates"])
    log["scaled"] = scaled()
    if not develop:
        write_json(LOG, log)


# --- pictures ------------------------------------------------------------------------------------------


def draw(folder: Path, name: str) -> list[Path]:
    """The files of a set, in two class folders."""
    width, height, suffix, count = SETS[name]
    files = []
    for number in range(count):
        path = folder / name / "ab"[number % 2] / f"{number:03}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(width, height, number)).save(path, quality=93)
        files.append(path)
    return files


def picture(width: int, height: int, seed: int) -> np.ndarray:
    """(height, width, 3): a spectrum that falls as photographs' does, some shapes, and sensor noise."""
    rng = np.random.default_rng(seed)
    total = np.full((height, width, 3), 115, np.float32)
    for octave in range(1, 10):
        cell = 2**octave
        shape = (height // cell + 2, width // cell + 2)  # mostly of light, a little of colour
        coarse = (rng.normal(size=(*shape, 1)) + 0.3 * rng.normal(size=(*shape, 3))).astype(np.float32)
        total += 7 * cell**0.25 * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(12):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        shade = tuple(int(value) for value in rng.integers(30, 220, 3))
        cv2.circle(total, centre, int(rng.integers(10, height // 4)), shade, int(rng.integers(2, 12)))
    total += rng.normal(scale=6, size=total.shape).astype(np.float32)
    return total.clip(0, 255).astype(np.uint8)


# --- contenders ----------------------------------------------------------------------------------------


def by_headstart(path: Path) -> np.ndarray:
    return images.load(path, SIZE, "letterbox")


def by_opencv(path: Path) -> np.ndarray:
    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    height, width = inner(pixels.shape[1], pixels.shape[0])
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    top, left = (SIZE - height) // 2, (SIZE - width) // 2
    square: np.ndarray = cv2.copyMakeBorder(
        small, top, SIZE - height - top, left, SIZE - width - left, cv2.BORDER_CONSTANT, value=images.PADDING
    )
    return square


def by_pillow(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        height, width = inner(*image.size)
        small = image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    square = Image.new("RGB", (SIZE, SIZE), images.PADDING)
    square.paste(small, ((SIZE - width) // 2, (SIZE - height) // 2))
    return np.array(square)


def by_tensorflow(path: Path) -> np.ndarray:
    import tensorflow as tf

    decode = tf.io.decode_png if path.suffix == ".png" else tf.io.decode_jpeg
    pixels = decode(path.read_bytes(), channels=3)
    square = tf.image.resize_with_pad(pixels, SIZE, SIZE, tf.image.ResizeMethod.BICUBIC, antialias=True)
    return np.asarray(square)


def by_keras(files: list[Path]) -> int:
    """All of them by `image_dataset_from_directory`, on as many threads as it likes."""
    import keras

    batches = keras.utils.image_dataset_from_directory(
        files[0].parent.parent,
        image_size=(SIZE, SIZE),
        pad_to_aspect_ratio=True,
        shuffle=False,
        verbose=False,
    )
    return sum(len(labels) for _, labels in batches)


def inner(width: int, height: int) -> tuple[int, int]:
    """(height, width) inside the square."""
    scale = SIZE / max(width, height)
    return round(height * scale), round(width * scale)


LOADS = {"headstart": by_headstart, "OpenCV": by_opencv, "Pillow": by_pillow, "TensorFlow": by_tensorflow}


# --- rates ---------------------------------------------------------------------------------------------


def rates(files: list[Path]) -> dict[str, dict[str, list[float]]]:
    """Contender → what → one number a round: images per second, by the clock or of CPU time."""
    runs: dict[str, Callable[[], int]] = {
        f"{name}, {workers} thread{'s' * (workers > 1)}": partial(count_on_threads, load, files, workers)
        for name, load in LOADS.items()
        for workers in sorted({1, CORES})
    }
    runs["Keras's loader"] = partial(by_keras, files)
    found: dict[str, dict[str, list[float]]] = {name: {"clock": [], "cpu": []} for name in runs}
    for number in range(ROUNDS + 1):
        for name, run in runs.items():
            clock, cpu = time.perf_counter(), time.process_time()
            count = run()
            clock, cpu = time.perf_counter() - clock, time.process_time() - cpu
            if number:  # the first round warms up
                found[name]["clock"].append(round(count / clock, 1))
                found[name]["cpu"].append(round(count / cpu, 1))
    return found


def count_on_threads(load: Load, files: list[Path], workers: int) -> int:
    return sum(1 for _ in ahead(load, files, workers))


def print_rates(name: str, files: list[Path], found: dict[str, dict[str, list[float]]]) -> None:
    mean = sum(path.stat().st_size for path in files) / len(files) / 1000
    print(f"{name}: {len(files)} files of {mean:,.0f} kB; images a second (spread), and a second of CPU time")
    for contender, values in found.items():
        low, high = min(values["clock"]), max(values["clock"])
        clock, cpu = np.median(values["clock"]), np.median(values["cpu"])
        print(f"  {contender:<22} {clock:8.1f}  ({low:.1f} to {high:.1f})  {cpu:8.1f}", flush=True)


def goals(found: dict[str, Any]) -> dict[str, Any]:
    """Ratios of medians by the clock, and of CPU time, which others on the machine disturb less."""
    small, large, _ = SETS
    all_cores = f"{CORES} threads" if CORES > 1 else "1 thread"
    wanted = [
        (f"{small}: one thread beside OpenCV's", small, "headstart, 1 thread", "OpenCV, 1 thread", 0.9),
        (f"{large}: one thread beside OpenCV's", large, "headstart, 1 thread", "OpenCV, 1 thread", 1.5),
        (f"{small}: {all_cores} beside one", small, f"headstart, {all_cores}", "headstart, 1 thread", 1.7),
        *(
            (f"{name}: beside Keras's loader", name, f"headstart, {all_cores}", "Keras's loader", 1.0)
            for name in SETS
        ),
    ]
    result = {}
    for title, name, ours, theirs, goal in wanted:
        one, other = found[name][ours], found[name][theirs]
        ratio = float(np.median(one["clock"]) / np.median(other["clock"]))
        cpu = float(np.median(one["cpu"]) / np.median(other["cpu"]))
        result[title] = {"ratio": round(ratio, 3), "cpu_ratio": round(cpu, 3), "goal": goal}
        verdict = "met" if ratio >= goal else "MISSED"
        print(f"{title}: {ratio:.2f} (goal {goal}: {verdict}; by CPU time {cpu:.2f})")
    return result


# --- scaled decoding -----------------------------------------------------------------------------------


def scaled() -> dict[str, Any]:
    """What decoding at a fraction changes: in the square's pixels, and in VGG16's features of it."""
    contents = large_jpegs()
    result = {}
    for mode in ("letterbox", "crop", "stretch"):
        small = [images.square(data, SIZE, mode) for data in contents]
        whole = [images.fit(images.decode(data), SIZE, mode) for data in contents]
        gap = np.abs(np.stack(small).astype(int) - np.stack(whole))
        one, other = vgg16(small), vgg16(whole)
        cosine = (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
        by = [jpeg.denominator(*images.dimensions(data), images.needed(SIZE, mode)) for data in contents]
        row = {
            "largest": int(gap.max()),
            "mean": round(float(gap.mean()), 3),
            "least_cosine": round(float(cosine.min()), 6),
        }
        result[mode] = row | {"denominators": by}
        print(
            f"{mode}, decoded at 1/{by}: pixels of the square differ by {row['mean']:.2f} levels in the mean,"
            f" {row['largest']} at most; cosine of VGG16's features at least {row['least_cosine']:.5f}"
        )
    return result


def large_jpegs() -> list[bytes]:
    """Two photographs that scikit-learn brings along and four solar cells, made as large as a camera's."""
    from sklearn.datasets import load_sample_images

    rows = elpv.read()
    cells = [images.decode(images.read(rows.root / path)) for path in elpv.read_labels()["path"][:2400:600]]
    contents = []
    for pixels in (*load_sample_images().images, *cells):
        height, width = (round(side * 3000 / max(pixels.shape)) for side in pixels.shape[:2])
        file = BytesIO()
        Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC).save(
            file, "JPEG", quality=92
        )
        contents.append(file.getvalue())
    return contents


def vgg16(squares: list[np.ndarray]) -> np.ndarray:
    """(N, D) features of the last map."""
    from headstart.backbones import specs, weights
    from headstart.engines import open_engine, run_batches

    backbone = specs.backbone("vgg16")
    engine = open_engine("ncnn", backbone, "gap", SIZE, weights.find(backbone))
    return np.stack(list(run_batches(engine, squares)))


# --- log -----------------------------------------------------------------------------------------------


def _opened() -> Log:
    """A new log. It starts from committed code only, so that its commit says what ran."""
    if _git("status", "--porcelain", "--", "src", "benchmarks/bench_data.py"):
        raise SystemExit("Commit src/ and benchmarks/ first: the log names the commit that was measured.")
    return {
        "commit": _git("rev-parse", "HEAD"),
        "hardware": hardware(),
        "versions": versions() | _more_versions(),
    }


def _more_versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("opencv-python-headless", "simplejpeg", "scipy")}


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)  # noqa: S603, S607
    return done.stdout.strip()


if __name__ == "__main__":
    main()
