"""Smaller and faster: VGG16 on fewer pixels and with fewer blocks, accuracy on ELPV beside images a second.

    python benchmarks/bench_pareto.py            what the log does not hold, and docs/pictures/speed.png
    python benchmarks/bench_pareto.py --draw     the picture only

Accuracy is that of `bench_elpv.py`: frozen features, ten 75/25 splits (seeds 100-109), everything chosen
inside the 75 %. The rate is that of ncnn and of OpenVINO in bfloat16 on images that are ready, the best of
three goes.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bench_elpv
import numpy as np
from joblib import Parallel, delayed

from headstart.backbones import specs, weights
from headstart.backbones.specs import Backbone
from headstart.backbones.weights import Arrays
from headstart.engines import open_engine, threads
from headstart.progress import shown
from headstart.provenance import hardware, versions
from headstart.rundir import write_json
from headstart.training import features

HERE = Path(__file__).parent
LOG = HERE / "results" / "pareto.json"
PICTURE = HERE.parent / "docs" / "pictures" / "speed.png"
SIZES, BLOCKS = (96, 128, 160, 224), (3, 4, 5)
ENGINES = ("ncnn", "openvino-bf16")
SEEDS = range(100, 110)
TIMED = 24  # images of one go
BESIDE = {3: (-36, 4), 4: (-5, -35), 5: (-5, 30)}
"""Where in the picture the name of a point stands, in points from it, by the number of blocks."""

Log = dict[str, Any]


@dataclass(frozen=True)
class Choice:
    """One way to be smaller."""

    size: int
    blocks: int

    @property
    def name(self) -> str:
        """As in the log."""
        return f"{self.size} px, {self.blocks} blocks"


def main() -> None:
    """Measures, prints the table, and draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draw", action="store_true", help="from the log as it is")
    if not parser.parse_args().draw:
        measure()
    log = json.loads(LOG.read_text(encoding="utf-8"))
    print_table(log["choices"])
    draw(log["choices"])


def measure() -> None:
    """Adds what the log lacks, a choice after the other."""
    fresh: Log = {"hardware": hardware(), "versions": versions(), "choices": {}}
    log: Log = json.loads(LOG.read_text(encoding="utf-8")) if LOG.exists() else fresh
    task, pictures = bench_elpv.cells()
    whole = specs.backbone("vgg16")
    published = weights.find(whole)
    for choice in (Choice(size, blocks) for size in SIZES for blocks in BLOCKS):
        if choice.name in log["choices"]:
            continue
        backbone = whole.first(choice.blocks)
        arrays = weights.part(published, backbone)
        recipe = features.recipe(backbone, arrays, "taps", choice.size, "letterbox", "ncnn")
        rates = {name: rate(name, backbone, choice.size, arrays) for name in ENGINES}
        with shown():
            x = features.extract(pictures, backbone, arrays, "taps", recipe, 1)
        split = delayed(bench_elpv.one_split)
        rows = Parallel(threads())(split(x, task, seed, False, backbone.parts("taps")) for seed in SEEDS)
        found = {
            "accuracy": [row["accuracy"] for row in rows], "auc": [row["auc"] for row in rows],
            "rates": rates, "megabytes": sum(array.nbytes for array in arrays.values()) / 1e6,
        }  # fmt: skip
        log["choices"][choice.name] = found
        write_json(LOG, log)
        print(choice.name, found, flush=True)


def rate(engine: str, backbone: Backbone, size: int, arrays: Arrays) -> float:
    """Images a second, ready ones, the best of three goes."""
    opened = open_engine(engine, backbone, "taps", size, arrays)
    images = np.random.default_rng(0).integers(0, 256, (TIMED, size, size, 3), dtype=np.uint8)
    opened.run(images[:1])
    best = 0.0
    for _ in range(3):
        start = time.perf_counter()
        for image in images:
            opened.run(image[None])
        best = max(best, TIMED / (time.perf_counter() - start))
    return round(best, 1)


def print_table(choices: Log) -> None:
    """A line for each, with a star where nothing is both faster and better."""
    best = frontier(choices)
    print(f"{'':<22}{'accuracy':>16}{'AUC':>8}{'ncnn':>9}{'bfloat16':>10}{'MB':>7}")
    for name, row in choices.items():
        accuracy, auc = np.array(row["accuracy"]), np.mean(row["auc"])
        spread = f"{100 * accuracy.mean():.1f} ± {100 * accuracy.std(ddof=1):.1f} %"
        star = " *" if name in best else ""
        rates = row["rates"]
        print(f"{name:<22}{spread:>16}{auc:8.3f}{rates['ncnn']:9.1f}{rates['openvino-bf16']:10.1f}"
              f"{row['megabytes']:7.1f}{star}")  # fmt: skip


def frontier(choices: Log) -> set[str]:
    """Names of those that none is faster than and at least as accurate."""
    points = {name: (fastest(row), float(np.mean(row["accuracy"]))) for name, row in choices.items()}
    return {
        name
        for name, (rate, accuracy) in points.items()
        if not any(r > rate and a >= accuracy for r, a in points.values())
    }


def fastest(row: Log) -> float:
    """Images a second with the faster engine."""
    return float(max(row["rates"].values()))


def draw(choices: Log) -> None:
    """Accuracy by images a second; what is on the frontier is filled and named."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    best = sorted(frontier(choices), key=lambda name: fastest(choices[name]))
    figure, axes = plt.subplots(figsize=(7.2, 4.4), dpi=160, layout="constrained")
    colours = {3: "#b8732c", 4: "#3b7a57", 5: "#2b5c8a"}
    for name, row in choices.items():
        blocks = int(name.split(", ")[1][0])
        accuracy = 100 * np.array(row["accuracy"])
        error = accuracy.std(ddof=1) / np.sqrt(len(accuracy))
        axes.errorbar(
            fastest(row), accuracy.mean(), error, fmt="o", markersize=7, color=colours[blocks],
            markerfacecolor=colours[blocks] if name in best else "white", elinewidth=1, capsize=2, zorder=3,
        )  # fmt: skip
        axes.annotate(name.split(",")[0], (fastest(row), accuracy.mean()), BESIDE[blocks],
                      textcoords="offset points", fontsize=8, color=colours[blocks])  # fmt: skip
    x = [fastest(choices[name]) for name in best]
    y = [100 * np.mean(choices[name]["accuracy"]) for name in best]
    axes.plot(x, y, color="#999", linewidth=1, linestyle="--", zorder=1)
    for blocks, colour in colours.items():
        axes.plot([], [], "o", color=colour, label=f"{blocks} blocks")
    axes.set_xscale("log")
    ticks = [25, 50, 100, 200, 400]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xlim(ticks[0], ticks[-1])
    axes.margins(y=0.1)
    axes.minorticks_off()
    axes.set_xlabel("images a second on two cores (the faster of ncnn and OpenVINO bfloat16)")
    axes.set_ylabel("accuracy on ELPV, %")
    axes.set_title(
        "160 instead of 224 pixels: nearly twice the rate for half a point", loc="left", fontsize=11
    )
    axes.annotate(
        "bars: standard error of ten splits; dashed: nothing is both faster and better",
        (0.99, 0.97), xycoords="axes fraction", ha="right", va="top", fontsize=8, color="#666",
    )  # fmt: skip
    axes.grid(color="#e6e6e6", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower left")
    figure.savefig(PICTURE)
    plt.close(figure)


if __name__ == "__main__":
    main()
