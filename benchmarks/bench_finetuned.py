"""Fine-tuned VGG16 on ELPV over the splits of `bench_elpv.py`, beside the frozen one on the same splits.

    python benchmarks/bench_finetuned.py                     seeds 100-104, the figure, logged
    python benchmarks/bench_finetuned.py --seeds 100-109     all of them, where there is time or a GPU
    python benchmarks/bench_finetuned.py --develop --seeds 0-1    nothing is written

Three tasks: binary (a probability above ½ is defective), binary with whole modules kept together, and the
four levels of probability as classes. Each split is 75/25; of the 75 %, 15 % are validation: it chooses the
head's penalty, the epoch and the threshold; the test part is used once. Rater confidence and balanced class
weights weigh the images. Training is the product's own path (`strategy.fit`); the test is over eight views.

Beside it the frozen network on the same images and views: the head that fine-tuning begins with.

A log that exists is continued split by split, and a split that was interrupted goes on at its checkpoint.
Published: Deitsch et al. 2019 (arXiv:1807.02894), VGG19 fine-tuned at 300 px: 88.42 %, AUC 0.944, one split.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bench_elpv
import numpy as np
from bench_elpv import VGG16
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.model_selection import GroupShuffleSplit, StratifiedShuffleSplit

from headstart.backbones import heads, weights
from headstart.config import RunConfig
from headstart.data.sources import elpv
from headstart.progress import shown
from headstart.rundir import RunDir, cache_dir, write_json
from headstart.training import boundary, probe, strategy
from headstart.training.journal import Journal
from headstart.training.phases import resolved
from headstart.training.strategy import Task, Trained

VIEWS = 8
LOG = Path(__file__).parent / "results" / "elpv-finetuned.json"
OPTIONS = {
    "strategy": "finetune", "unfreeze": "block5", "head": "taps", "views": VIEWS, "augment": "dihedral",
    "learning_rate": 1e-4, "epochs": 8, "patience": 0, "class_weight": "balanced",
}  # fmt: skip
"""As `headstart train elpv` takes them."""

Log = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """A task, with its goals."""

    name: str
    levels: int
    whole_modules: bool = False
    accuracy: float = 0.0
    auc: float = 0.0


SETTINGS = (
    Setting("binary", 2, accuracy=0.8842, auc=0.945),
    Setting("binary, whole modules", 2, whole_modules=True),
    Setting("4 classes", 4, accuracy=0.80),
)


def main() -> None:
    """Runs what the log does not hold yet, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--develop", action="store_true", help="nothing is written")
    parser.add_argument("--seeds", default="100-104", help="first-last")
    parser.add_argument("--setting", default="", help="one of them by name")
    parser.add_argument(
        "--options", default="{}", help="JSON: other options than the figure's; with --develop"
    )
    asked = parser.parse_args()
    first, last = map(int, asked.seeds.split("-"))
    options = OPTIONS | (json.loads(asked.options) if asked.develop else {})
    log: Log = {"splits": {}} if asked.develop else bench_elpv.opened(LOG)
    if log.setdefault("options", options) != options:
        raise SystemExit(f"{LOG.name} was begun with other options: {log['options']}. Move it away first.")
    settings = [setting for setting in SETTINGS if asked.setting in ("", setting.name)]
    for setting in settings:
        for seed in range(first, last + 1):
            key = f"{setting.name}, seed {seed}"
            if key not in log["splits"]:
                with shown():
                    log["splits"][key] = one_split(setting, seed, options)
                print(key, json.dumps(log["splits"][key]), flush=True)
                if not asked.develop:
                    write_json(LOG, log)
        print_rows(setting, [log["splits"][f"{setting.name}, seed {s}"] for s in range(first, last + 1)])


def one_split(setting: Setting, seed: int, options: dict[str, Any]) -> dict[str, Any]:
    """Figures of the fine-tuned network, and of the head alone, on the 25 % that nothing was chosen on."""
    start = time.perf_counter()
    task = make_task(setting, seed, options)
    asked = hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:8]
    folder = cache_dir() / "benchmarks" / f"{setting.name} {seed} {asked}"
    found = {"frozen": frozen(task)}
    trained = strategy.fit(task, Journal(RunDir(folder)))
    logits = {split: answers(task, trained, split) for split in ("val", "test")}
    found["finetuned"] = figures(task, logits) | {"chosen": trained.chosen}
    shutil.rmtree(folder)
    return found | {"seconds": round(time.perf_counter() - start)}


def frozen(task: Task) -> dict[str, Any]:
    """Figures of the head alone: solved exactly on the very features that fine-tuning begins with."""
    read = {split: opened(task, split).features for split in ("train", "val", "test")}
    x = {split: features for split, features in read.items() if features is not None}
    labelled = [(x[split], task.y[task.split == split]) for split in ("train", "val")]
    parts = VGG16.parts(task.config.model.head)
    fitted = probe.fit_path(labelled[0], labelled[1], task.training_weight(), parts)
    logits = {split: fitted.head.logits(x[split]) for split in ("val", "test")}
    return figures(task, logits) | {"chosen": fitted.chosen}


def opened(task: Task, split: str) -> boundary.Read:
    """The maps of a split below what is trained, and the features of the network as it came."""
    tensor = VGG16.boundary(task.config.training.unfreeze)
    whole = boundary.Frozen(VGG16, task.config.model.head, task.arrays, tensor)
    return boundary.read(whole, task.of(split)[0], VIEWS, task.recipe("dihedral", tensor), 1e12)


def make_task(setting: Setting, seed: int, options: dict[str, Any]) -> Task:
    """The images with the classes and the split of a setting and seed."""
    cells, pictures = bench_elpv.cells()
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
    config = resolved(RunConfig.from_options(seed=seed, **options))
    return Task(config, VGG16, weights.find(VGG16), "ncnn", pictures, y, cells.weight, split, setting.levels)


def answers(task: Task, trained: Trained, split: str) -> np.ndarray:
    """(N, C) logits over the views to serve with: the cached maps, and what was trained above them.

    The product asks the saved bundle, from raw files, for every test image; `parity.json` says how near the
    two are. Here that would take eight passes through the whole network for each of fifteen splits.
    """
    tensor, rows = trained.boundary, np.arange((task.split == split).sum())
    source = opened(task, split).source
    x = strategy.features_above(task, trained.arrays, tensor, source, rows, VIEWS)
    return heads.from_arrays(VGG16, task.config.model.head, trained.arrays).logits(x)


def figures(task: Task, logits: dict[str, np.ndarray]) -> dict[str, float]:
    """Accuracy by the most probable class; for two classes also at validation's threshold, and AUC."""
    y = task.y[task.split == "test"]
    predicted = logits["test"].argmax(axis=1)
    found = {
        "accuracy": float((predicted == y).mean()),
        "macro_f1": float(f1_score(y, predicted, average="macro")),
    }
    if task.classes == 2:
        margin = {name: z[:, 1] - z[:, 0] for name, z in logits.items()}
        threshold = best_threshold(margin["val"], task.y[task.split == "val"])
        found["accuracy_at_threshold"] = float(((margin["test"] > threshold) == y).mean())
        found["auc"] = float(roc_auc_score(y, margin["test"]))
    return {name: round(value, 5) for name, value in found.items()}


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
