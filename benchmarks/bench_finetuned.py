"""Fine-tuned VGG16 on ELPV over the splits of `bench_elpv.py`, beside the frozen one on the same splits.

    python benchmarks/bench_finetuned.py                     seeds 100-104, logged, and the table of the log
    python benchmarks/bench_finetuned.py --seeds 100-109     all of them, where there is time or a GPU
    python benchmarks/bench_finetuned.py --develop --seeds 0-1    nothing is written
    KERAS_BACKEND=torch python benchmarks/bench_finetuned.py --jobs 4    four splits at a time, on one GPU
    … --develop --seeds 0-0 --setting binary --options '{"unfreeze": "block4", "epochs": 12}'    a recipe

Three tasks: binary (a probability above ½ is defective), the four levels of probability as classes, and
binary with whole modules kept together. Each split is 75/25; of the 75 %, 15 % are validation: it chooses the
head's penalty, the epoch and the threshold; the test part is used once. Rater confidence weighs the images,
and for two classes balanced class weights, which the threshold is set against; four classes have no
threshold, so theirs are left alone. Training is the product's own path (`strategy.fit`); the test is over
eight views.

Beside it the frozen network on the same images and views: the head that fine-tuning begins with.

A log that exists is continued split by split, and a split that was interrupted goes on at its checkpoint.
Each split says what it ran on.
Published: Deitsch et al. 2019 (arXiv:1807.02894), VGG19 fine-tuned at 300 px: 88.42 %, AUC 0.944, one split.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import bench_elpv
import numpy as np
from bench_elpv import VGG16
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.model_selection import GroupShuffleSplit, StratifiedShuffleSplit

from headstart.backbones import heads, weights
from headstart.backbones.weights import Arrays
from headstart.config import RunConfig
from headstart.data.loader import ahead
from headstart.data.sources import elpv
from headstart.engines.precision import capabilities
from headstart.progress import shown
from headstart.provenance import hardware, versions
from headstart.rundir import RunDir, cache_dir, write_json
from headstart.training import boundary, features, probe, strategy
from headstart.training.features import Image
from headstart.training.journal import Journal
from headstart.training.phases import resolved
from headstart.training.strategy import Task, Trained

VIEWS = 8
LOG = Path(__file__).parent / "results" / "elpv-finetuned.json"
OPTIONS = {
    "strategy": "finetune", "unfreeze": "block3", "head": "taps", "views": VIEWS, "augment": "dihedral",
    "learning_rate": 1e-4, "epochs": 24, "patience": 0,
}  # fmt: skip
"""As `headstart train elpv` takes them."""

Log = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """A task, with its goals."""

    name: str
    levels: int
    class_weight: str = "balanced"
    whole_modules: bool = False
    accuracy: float = 0.0
    auc: float = 0.0


SETTINGS = (
    Setting("binary", 2, accuracy=0.8842, auc=0.945),
    Setting("4 classes", 4, class_weight="none", accuracy=0.80),
    Setting("binary, whole modules", 2, whole_modules=True),
)


def main() -> None:
    """Runs what the log does not hold yet, and prints the table of all that it holds then."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--develop", action="store_true", help="nothing is written")
    parser.add_argument("--seeds", default="100-104", help="first-last")
    parser.add_argument("--setting", default="", help="one of them by name")
    parser.add_argument(
        "--options", default="{}", help="JSON: other options than the figure's; with --develop"
    )
    parser.add_argument("--jobs", type=int, default=1, help="splits at a time, each in its own process")
    asked = parser.parse_args()
    first, last = map(int, asked.seeds.split("-"))
    options = OPTIONS | (json.loads(asked.options) if asked.develop else {})
    log: Log = {"splits": {}}
    if LOG.exists() and not asked.develop:
        log = json.loads(LOG.read_text(encoding="utf-8"))
    if log.setdefault("options", options) != options:
        raise SystemExit(f"{LOG.name} was begun with other options: {log['options']}. Move it away first.")
    settings = [setting for setting in SETTINGS if asked.setting in ("", setting.name)]
    seeds = range(first, last + 1)
    missing = [(s, seed) for s in settings for seed in seeds if f"{s.name}, seed {seed}" not in log["splits"]]
    new = missing and not asked.develop
    ran = {"commit": bench_elpv.commit(), "on": hardware(), "with": versions()} if new else {}
    for setting, seed, found in measured(missing, options, asked.jobs):
        key = f"{setting.name}, seed {seed}"
        log["splits"][key] = found | ran
        print(key, json.dumps(found), flush=True)
        if not asked.develop:
            write_json(LOG, log)
    for setting in settings:
        named = f"{setting.name}, seed "
        print_rows(setting, [found for key, found in log["splits"].items() if key.startswith(named)])


def measured(
    missing: list[tuple[Setting, int]], options: dict[str, Any], jobs: int
) -> Iterator[tuple[Setting, int, dict[str, Any]]]:
    """Yields (setting, seed, figures) as they come; several processes share what is cached."""
    if jobs == 1 or not missing:
        for setting, seed in missing:
            with shown():
                yield setting, seed, one_split(setting, seed, options)
        return
    first = make_task(*missing[0], options)
    for split in ("train", "val", "test"):
        frozen_features(first, split)  # of all images, so that the processes find them
    print("features of all images are there", flush=True)
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        under_way = {pool.submit(one_split, *split, options): split for split in missing}
        for done in as_completed(under_way):
            yield *under_way[done], done.result()


def one_split(setting: Setting, seed: int, options: dict[str, Any]) -> dict[str, Any]:
    """Figures of the fine-tuned network, and of the head alone, on the 25 % that nothing was chosen on."""
    start = time.perf_counter()
    task = make_task(setting, seed, options)
    asked = hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:8]
    folder = cache_dir() / "benchmarks" / f"{setting.name} {seed} {asked}"
    trained = strategy.fit(task, Journal(RunDir(folder)))
    found = {"frozen": frozen(task, trained.beginning)}
    logits = {
        "val": heads.from_arrays(VGG16, task.config.model.head, trained.arrays).logits(trained.val),
        "test": answers(task, trained),
    }
    found["finetuned"] = figures(task, logits) | {"chosen": trained.chosen}
    shutil.rmtree(folder)
    return found | {"seconds": round(time.perf_counter() - start)}


def frozen(task: Task, arrays: Arrays | None) -> dict[str, Any]:
    """Figures of the head that fine-tuning began with; solved again where a checkpoint had its place."""
    x = {split: frozen_features(task, split) for split in ("train", "val", "test")}
    name = task.config.model.head
    if arrays is None:
        labelled = [(x[split], task.y[task.split == split]) for split in ("train", "val")]
        fitted = probe.fit_path(labelled[0], labelled[1], task.training_weight(), VGG16.parts(name))
        arrays = fitted.head.arrays()
    head = heads.from_arrays(VGG16, name, arrays)
    return figures(task, {split: head.logits(x[split]) for split in ("val", "test")})


def frozen_features(task: Task, split: str) -> np.ndarray:
    """(N, views, D) by the network as it came."""
    found = opened(task, split).features
    if found is not None:
        return found
    images, head = task.of(split)[0], task.config.model.head
    return features.extract(images, VGG16, task.arrays, head, task.recipe(), VIEWS)


def opened(task: Task, split: str) -> boundary.Read:
    """What is read below what is trained: maps, with the features of the network as it came, or pixels."""
    tensor = task.reads(VGG16.boundary(task.config.training.unfreeze))
    whole = boundary.Frozen(VGG16, task.config.model.head, task.arrays, tensor)
    return boundary.read(whole, task.of(split)[0], VIEWS, task.recipe("dihedral", tensor), 1e12)


def make_task(setting: Setting, seed: int, options: dict[str, Any]) -> Task:
    """The images with the classes and the split of a setting and seed."""
    asked = {"class_weight": setting.class_weight} | options
    config = resolved(RunConfig.from_options(seed=seed, **asked))
    cells, pictures = squares(config.data.image_size)
    level = (elpv.read_labels()["probability"] * 3).round().to_numpy().astype(int)
    y = cells.y if setting.levels == 2 else level
    train, test = bench_elpv.halves(cells, seed, setting.whole_modules)
    splitter: Any = StratifiedShuffleSplit(1, test_size=0.15, random_state=seed)
    if setting.whole_modules:
        splitter = GroupShuffleSplit(1, test_size=0.15, random_state=seed)
    groups = cells.module[train] if setting.whole_modules else None
    _, inner = next(splitter.split(train, cells.strata[train], groups))
    split = np.full(len(y), "train", dtype=object)
    split[train[inner]], split[test] = "val", "test"
    gpu = bool(capabilities())
    return Task(
        config, VGG16, weights.find(VGG16), "keras" if gpu else "ncnn", pictures, y, cells.weight, split,
        setting.levels, streamed=gpu,
    )  # fmt: skip


@cache
def squares(size: int) -> tuple[bench_elpv.Task, list[Image]]:
    """The labels and the pictures of all cells, decoded once for all splits."""
    cells, pictures = bench_elpv.cells()
    decoded = ahead(lambda picture: picture.square(size, "letterbox"), pictures)
    return cells, [Image(p.sha256, square) for p, square in zip(pictures, decoded, strict=True)]


def answers(task: Task, trained: Trained) -> np.ndarray:
    """(N, C) logits of the test images over the views to serve with, by what was trained.

    The product asks the saved bundle, from raw files, for every test image; `parity.json` says how near the
    two are. Here that would take eight passes through the whole network for each split.
    """
    tensor, rows = task.reads(trained.boundary), np.arange((task.split == "test").sum())
    source = opened(task, "test").source
    x = strategy.features_above(task, trained.arrays, tensor, source, rows, VIEWS)
    return heads.from_arrays(VGG16, task.config.model.head, trained.arrays).logits(x)


def figures(task: Task, logits: dict[str, np.ndarray]) -> dict[str, float]:
    """Accuracy and F1; for two classes at validation's threshold, and beside it AUC and that at ½."""
    y = task.y[task.split == "test"]
    predicted = logits["test"].argmax(axis=1)
    more = {}
    if task.classes == 2:
        margin = {name: z[:, 1] - z[:, 0] for name, z in logits.items()}
        more = {"auc": roc_auc_score(y, margin["test"]), "accuracy_at_half": (predicted == y).mean()}
        predicted = margin["test"] > best_threshold(margin["val"], task.y[task.split == "val"])
    found = {"accuracy": (predicted == y).mean(), "macro_f1": f1_score(y, predicted, average="macro"), **more}
    return {name: round(float(value), 5) for name, value in found.items()}


def best_threshold(margin: np.ndarray, y: np.ndarray) -> float:
    """The margin that is most often right on validation; of equals, the middle one."""
    tried = np.sort(margin)
    tried = (tried[1:] + tried[:-1]) / 2
    right = ((margin > tried[:, None]) == y).mean(axis=1)
    best = np.flatnonzero(right == right.max())
    return float(tried[best[len(best) // 2]])


def _with_spread(values: np.ndarray) -> str:
    return f"{values.mean():.4f} ± {values.std(ddof=min(1, len(values) - 1)):.4f}"


def print_rows(setting: Setting, results: list[dict[str, Any]]) -> None:
    """Means and standard deviations over the splits, with the goals, and what fine-tuning adds."""
    means: dict[str, dict[str, float]] = {}
    for kind in ("frozen", "finetuned"):
        names = [name for name in results[0][kind] if name != "chosen"]
        values = {name: np.array([result[kind][name] for result in results]) for name in names}
        means[kind] = {name: float(found.mean()) for name, found in values.items()}
        parts = [f"{name} {_with_spread(found)}" for name, found in values.items()]
        print(f"{setting.name}, {kind:<10} {len(results)} splits  " + "  ".join(parts), flush=True)
    tuned = means["finetuned"]
    goals = {"accuracy": setting.accuracy, "auc": setting.auc}
    for name, goal in goals.items():
        if goal:
            print(f"  {name} at least {goal:.4f}: {'met' if tuned[name] >= goal else 'MISSED'}")
    gain = tuned["accuracy"] - means["frozen"]["accuracy"]
    if setting.auc:
        print(f"  1 point above frozen: {gain:+.4f}, {'met' if gain >= 0.01 else 'MISSED'}")


if __name__ == "__main__":
    main()
