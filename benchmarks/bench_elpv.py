"""Frozen VGG16 on ELPV over repeated splits: accuracy, macro F1 and AUC, mean and standard deviation.

    python benchmarks/bench_elpv.py                 seeds 100-109, the figure, logged in benchmarks/results/
    python benchmarks/bench_elpv.py --develop       seeds 0-9, nothing is written

Each split is 75/25, stratified on probability level × cell type. The penalty is chosen by 5-fold
cross-validation inside the 75 % (lowest mean calibrated loss), and the head refitted on all of it: the
test part is used once. Rater confidence weighs the images, as in the published work. A log that exists is
continued split by split.

Beside it a split that keeps the cells of a module together, in the folds too: neighbours are alike, and 50
cells are in the set twice. No published work does so. A quarter of the modules is drawn without strata:
scikit-learn's stratified splitter of groups gives so few of them the same split for every seed.

Published: Deitsch et al. 2019 (arXiv:1807.02894), VGG19 fine-tuned: 88.42 % and AUC 0.944, on one split.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.model_selection import GroupKFold, GroupShuffleSplit, StratifiedKFold, StratifiedShuffleSplit

from headstart.backbones import specs, weights
from headstart.data.sources import elpv
from headstart.progress import shown
from headstart.provenance import hardware, versions
from headstart.rundir import write_json
from headstart.training import features, probe

RESULTS = Path(__file__).parent / "results"
LOGS = {False: RESULTS / "elpv-frozen.json", True: RESULTS / "elpv-modules.json"}
"""By whether modules are kept together."""

FOLDS = 5
VGG16 = specs.backbone("vgg16")
PARTS = VGG16.parts("taps")

Log = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """What is compared, with its goals."""

    name: str
    size: int
    views: int
    accuracy: float = 0.0
    auc: float = 0.0
    whole_modules: bool = False


SETTINGS = (
    Setting("one view, 224 px", 224, 1, 0.860),
    Setting("one view, 300 px", 300, 1, 0.865),
    Setting("eight views, 224 px", 224, 8, 0.875, 0.938),
    Setting("one view, 224 px, whole modules", 224, 1, whole_modules=True),
)


@dataclass(frozen=True)
class Task:
    """The labels of ELPV: (N,) classes (1 is defective), weights, strata and modules."""

    y: np.ndarray
    weight: np.ndarray
    strata: np.ndarray
    module: np.ndarray

    def at(self, rows: np.ndarray) -> Task:
        """The same of some images."""
        return Task(self.y[rows], self.weight[rows], self.strata[rows], self.module[rows])


def main() -> None:
    """Runs what the log does not hold yet, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--develop", action="store_true", help="seeds 0-9, nothing is written")
    figure = not parser.parse_args().develop
    seeds = range(100, 110) if figure else range(10)
    logs: dict[bool, Log] = {
        whole: opened(file) if figure else {"splits": {}} for whole, file in LOGS.items()
    }
    task, pictures = cells()
    for setting in SETTINGS:
        log = logs[setting.whole_modules]
        missing = [seed for seed in seeds if f"{setting.name}, seed {seed}" not in log["splits"]]
        x = _features(pictures, setting) if missing else np.empty(0)
        for seed in missing:
            key = f"{setting.name}, seed {seed}"
            log["splits"][key] = one_split(x, task, seed, setting.whole_modules)
            print(key, log["splits"][key], flush=True)
            if figure:
                write_json(LOGS[setting.whole_modules], log)
    rows = {
        s.name: [logs[s.whole_modules]["splits"][f"{s.name}, seed {seed}"] for seed in seeds]
        for s in SETTINGS
    }
    for setting in SETTINGS:
        _print_row(setting, rows[setting.name])
    for setting in SETTINGS:
        if setting.whole_modules:
            random = setting.name.removesuffix(", whole modules")
            _print_difference(random, rows[random], rows[setting.name])


def one_split(
    x: np.ndarray, task: Task, seed: int, whole_modules: bool, parts: tuple[specs.Part, ...] = PARTS
) -> dict[str, float]:
    """Accuracy, macro F1 and AUC on the 25 % that choosing and fitting never saw."""
    start = time.perf_counter()
    train, test = halves(task, seed, whole_modules)
    penalty = _penalty(x[train], task.at(train), seed, whole_modules, parts)
    *_, head = probe.path(x[train], task.y[train], task.weight[train], parts, _down_to(penalty))
    logits = head.logits(x[test])
    predicted = logits.argmax(axis=1)
    return {
        "accuracy": round(float((predicted == task.y[test]).mean()), 5),
        "macro_f1": round(float(f1_score(task.y[test], predicted, average="macro")), 5),
        "auc": round(float(roc_auc_score(task.y[test], logits[:, 1] - logits[:, 0])), 5),
        "penalty": round(penalty, 5),
        "seconds": round(time.perf_counter() - start, 1),
    }


def halves(task: Task, seed: int, whole_modules: bool) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the 75 % and of the 25 %."""
    splitter: Any = StratifiedShuffleSplit(1, test_size=0.25, random_state=seed)
    if whole_modules:
        splitter = GroupShuffleSplit(1, test_size=0.25, random_state=seed)
    train, test = next(splitter.split(task.y, task.strata, task.module if whole_modules else None))
    return train, test


def _penalty(
    x: np.ndarray, task: Task, seed: int, whole_modules: bool, parts: tuple[specs.Part, ...]
) -> float:
    """The λ with the lowest mean loss over five folds."""
    losses = np.zeros((FOLDS, len(probe.PENALTIES)))
    kind: Any = GroupKFold if whole_modules else StratifiedKFold
    groups = task.module if whole_modules else None
    folds = kind(FOLDS, shuffle=True, random_state=seed).split(task.y, task.strata, groups)
    for row, (fit, held) in zip(losses, folds, strict=True):
        row[:] = np.inf  # what a path does not reach, as its loss has risen, is not chosen
        y, weight = task.y, task.weight
        tried = list(probe.candidates((x[fit], y[fit]), (x[held], y[held]), weight[fit], parts))
        row[: len(tried)] = [candidate.calibrated for candidate in tried]
    return probe.PENALTIES[int(losses.sum(axis=0).argmin())]


def _down_to(penalty: float) -> tuple[float, ...]:
    return probe.PENALTIES[: probe.PENALTIES.index(penalty) + 1]


def cells() -> tuple[Task, list[features.Image]]:
    """The labels and the pictures of all cells."""
    labels = elpv.read_labels()
    rows = elpv.read()
    files = [rows.root / path for path in labels["path"]]
    pictures = [features.Image(hashlib.sha256(file.read_bytes()).hexdigest(), file) for file in files]
    strata = (labels["type"] + " " + labels["probability"].round(2).astype(str)).to_numpy()
    weight = np.array([elpv.confidence(p) for p in labels["probability"]])
    y = (labels["probability"] > 0.5).to_numpy().astype(int)
    return Task(y, weight, strata, elpv.pseudo_modules()), pictures


def _features(pictures: list[features.Image], setting: Setting) -> np.ndarray:
    """(N, views, D), by the product's own path and cache."""
    arrays = weights.find(VGG16)
    recipe = features.recipe(VGG16, arrays, "taps", setting.size, "letterbox", "ncnn")
    with shown():
        return features.extract(pictures, VGG16, arrays, "taps", recipe, setting.views)


def opened(file: Path) -> Log:
    """The log so far. A new figure starts from committed code only, so that its commit says what ran."""
    if file.exists():
        log: Log = json.loads(file.read_text(encoding="utf-8"))
        return log
    return {"commit": commit(), "hardware": hardware(), "versions": versions(), "splits": {}}


def commit() -> str:
    """What is going to be measured; `COMMIT` names it for a copy of the tree without its history."""
    if named := os.environ.get("COMMIT"):
        return named
    own = (f"benchmarks/bench_{name}.py" for name in ("elpv", "finetuned"))
    if _git("status", "--porcelain", "--", "src", *own):
        raise SystemExit("Commit src/ and benchmarks/ first: the log names the commit that was measured.")
    return _git("rev-parse", "HEAD")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)  # noqa: S603, S607
    return done.stdout.strip()


def _print_row(setting: Setting, results: list[dict[str, float]]) -> None:
    parts = []
    for name, goal in (("accuracy", setting.accuracy), ("macro_f1", 0.0), ("auc", setting.auc)):
        values = np.array([result[name] for result in results])
        wanted = f" (goal {goal:.3f}: {'met' if values.mean() >= goal else 'MISSED'})" if goal else ""
        parts.append(f"{name} {values.mean():.4f} ± {values.std(ddof=1):.4f}{wanted}")
    print(f"{setting.name:<20} {len(results)} splits  " + "  ".join(parts))


def _print_difference(name: str, random: list[dict[str, float]], whole: list[dict[str, float]]) -> None:
    parts = []
    for measure in ("accuracy", "macro_f1", "auc"):
        values = [np.array([result[measure] for result in results]) for results in (whole, random)]
        parts.append(f"{measure} {values[0].mean() - values[1].mean():+.4f}")
    print(f"{name}: whole modules instead of random cells  " + "  ".join(parts))


if __name__ == "__main__":
    main()
