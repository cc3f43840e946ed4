"""Whole trainings, each in a process of its own, beside Keras's and PyTorch's on the same files.

    python benchmarks/bench_training.py                    three repeats; three hours on two cores
    python benchmarks/bench_training.py --only a           frozen VGG16; `--only b`: fine-tuning of block5
    python benchmarks/bench_training.py --memory           also the peak memory of all of ELPV in eight views
    python benchmarks/bench_training.py --develop          few small images, nothing is written

512 training and 128 validation images of ELPV, as many sound as defective, lie as files in class folders, and
everyone begins with the same ImageNet weights. Ours also evaluates 32 test images, proves the saved model
and writes a report: that is extra work. Its cache is empty but for the weights, except in the second run. The
ways take turns, repeat by repeat; PyTorch and eight views, which have no goal, run once. Seconds are from the
start of the process to its end, and memory is the most that the system counted for it. What others do is in
`peers_training.py`.

Every measurement is logged when it ends, and an interrupted benchmark goes on. Run it on an idle machine:
each one keeps the load average that it began with, how many cores it kept busy, and the commit. The log has a
part for each kind of machine; ratios are of one machine.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from headstart.provenance import alike, hardware, versions
from headstart.rundir import write_json

HERE = Path(__file__).parent
LOG = HERE / "results" / "training.json"
PARITY = 32  # images that ours asks Keras too, before it trusts what it saved
BASE, BLOCK5 = 15.35, 1.39  # 10⁹ multiplications and additions of one image forward, at 224 px
BLOCK5_STEP = BLOCK5 * 8 / 3  # and the gradients of three kernels and of two inputs

Log = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """How much is trained: side in pixels, images in each split, epochs of the ways that have them."""

    size: int
    images: dict[str, int]
    epochs: int


FIGURE = Setting(224, {"train": 512, "val": 128, "test": 32}, 10)
DEVELOP = Setting(64, {"train": 32, "val": 16, "test": 8}, 2)


@dataclass(frozen=True)
class Way:
    """One way to train: a function of `peers_training.py`, or options of `headstart train`."""

    part: str
    peer: str = ""
    options: str = ""
    second: bool = False
    once: bool = False


BLOCK5_OPTIONS = "--strategy finetune --unfreeze block5 --epochs {epochs} --patience 0"
VIEWS_OPTIONS = "--augment dihedral --augment-views 8"
WAYS = {
    "Keras's tutorial": Way("a", peer="keras_frozen"),
    "headstart, frozen": Way("a", options="--strategy frozen"),
    "headstart, frozen, second run": Way("a", options="--strategy frozen", second=True),
    "headstart, frozen, bfloat16": Way("a", options="--strategy frozen --engine openvino-bf16"),
    "Keras, features by predict": Way("a", peer="keras_cached"),
    "PyTorch, frozen": Way("a", peer="pytorch_frozen", once=True),
    "Keras, block5": Way("b", peer="keras_block5"),
    "headstart, block5": Way("b", options=BLOCK5_OPTIONS),
    "headstart, block5, 8 views": Way("b", options=f"{BLOCK5_OPTIONS} {VIEWS_OPTIONS}", once=True),
    "headstart, all of ELPV, 8 views": Way(
        "memory", options=f"--strategy finetune --epochs 1 {VIEWS_OPTIONS}", once=True
    ),
}


def main() -> None:
    """Measures what the log does not hold yet, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("a", "b"), help="one part; both by default")
    parser.add_argument("--repeats", type=int, help="3 by default, 1 with --develop")
    parser.add_argument("--memory", action="store_true", help="also all of ELPV in eight views, once")
    parser.add_argument("--develop", action="store_true", help="few small images, nothing is written")
    chosen = parser.parse_args()
    setting = DEVELOP if chosen.develop else FIGURE
    machines: list[Log] = [] if chosen.develop else _opened()
    log: Log = {"measurements": {}} if chosen.develop else _here(machines)
    repeats = chosen.repeats or (1 if chosen.develop else 3)
    parts = {"a", "b"} if chosen.only is None else {chosen.only}
    wanted = _wanted(parts | ({"memory"} if chosen.memory else set()), repeats)
    missing = [(name, repeat) for name, repeat in wanted if key(name, repeat) not in log["measurements"]]
    if missing:
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(Path(folder), setting)
            bench.begin()
            for name, repeat in missing:
                log["measurements"][key(name, repeat)] = row = bench.measure(WAYS[name], repeat)
                print(f"{key(name, repeat)}: {row['seconds']:.1f} s, {row['peak_gb']:.2f} GB", flush=True)
                if not chosen.develop:
                    write_json(LOG, machines)
    print_table(log["measurements"])
    log["limits"], log["goals"] = limits(log["measurements"], setting), goals(log["measurements"])
    if not chosen.develop:
        write_json(LOG, machines)


def key(name: str, repeat: int) -> str:
    """What a measurement is called in the log."""
    return f"{name}, repeat {repeat}"


def _wanted(parts: set[str], repeats: int) -> Iterator[tuple[str, int]]:
    """The measurements in their order: by turns, and last what is done once."""
    ways = {name: way for name, way in WAYS.items() if way.part in parts}
    for repeat in range(1, repeats + 1):
        yield from ((name, repeat) for name, way in ways.items() if not way.once)
    for name, way in ways.items():
        if way.once and way.peer.startswith("pytorch") and not importlib.util.find_spec("torch"):
            print(f"{name}: PyTorch is not installed")
        elif way.once:
            yield name, 1


# --- one process ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bench:
    """A folder with data and weights, in which processes are run and measured.

    The system counts what this process holds when it starts another as that one's: so it stays small.
    """

    folder: Path
    setting: Setting

    def begin(self) -> None:
        """Writes data and weights."""
        counts = [str(count) for count in self.setting.images.values()]
        script = str(HERE / "prepare_training.py")
        self._run([sys.executable, script, str(self.folder), *counts], dict(os.environ))

    def measure(self, way: Way, repeat: int) -> Log:
        """Seconds, how many cores they kept busy, gigabytes (10⁹) at most, and what came out."""
        if way.second:
            if not self._cache.exists():  # an interrupted benchmark goes on here
                self.measure(Way(way.part, options=way.options), repeat)
        else:
            shutil.rmtree(self._cache, ignore_errors=True)
            self._cache.mkdir()
            shutil.copytree(self.folder / "weights", self._cache / "weights")
        out = self.folder / "run"
        shutil.rmtree(out, ignore_errors=True)
        load = round(os.getloadavg()[0], 2)
        found = self._run(*self._command(way, out, repeat))
        found |= _result(out) if way.peer else _our_result(out)
        return found | {"load_average": load, "commit": _git("rev-parse", "HEAD")}

    @property
    def _cache(self) -> Path:
        return self.folder / "cache"

    def _command(self, way: Way, out: Path, repeat: int) -> tuple[list[str], dict[str, str]]:
        environment = os.environ | {"KERAS_BACKEND": "tensorflow"}
        data, size, epochs = str(self.folder / "data"), str(self.setting.size), str(self.setting.epochs)
        if way.peer:
            script = [str(HERE / "peers_training.py"), way.peer, data, str(self.folder / "weights"), str(out)]
            options = ["--size", size, "--epochs", epochs, "--seed", str(repeat)]
            return [sys.executable, *script, *options], environment
        if way.part == "memory" and self.setting is FIGURE:  # with the maps that are kept, if they are
            data = "elpv"
        else:
            environment["HEADSTART_CACHE"] = str(self._cache)
        options = ["--out", str(out), "--image-size", size, "--seed", str(repeat)]
        options += way.options.format(epochs=epochs).split()
        return [sys.executable, "-m", "headstart", "train", data, *options], environment

    def _run(self, command: list[str], environment: dict[str, str]) -> Log:
        said = self.folder / "said.txt"
        with said.open("w") as file:
            start = time.perf_counter()
            process = subprocess.Popen(command, stdout=file, stderr=file, env=environment)  # noqa: S603
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(
                f"{' '.join(command)}\nended with {process.returncode}:\n{said.read_text()[-3000:]}"
            )
        cores = (usage.ru_utime + usage.ru_stime) / seconds
        peak = usage.ru_maxrss * 1024 / 1e9
        return {"seconds": round(seconds, 2), "cores_busy": round(cores, 2), "peak_gb": round(peak, 3)}


def _result(out: Path) -> Log:
    found = json.loads((out / "result.json").read_text())
    return {
        "val_accuracy": round(found["best_accuracy"], 4),
        "last_val_accuracy": round(found["last_accuracy"], 4),
        "epoch_seconds": [round(value, 3) for value in found["epoch_seconds"]],
    }


def _our_result(out: Path) -> Log:
    """The row of ``history.csv`` that was chosen: of the path, that with the lowest calibrated loss."""
    with (out / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    last = [row for row in rows if row["phase"] == rows[-1]["phase"]]
    facts = json.loads((out / "run.json").read_text())
    best = min(last, key=lambda row: float(row["val_calibrated_loss"]))
    if "epoch" in facts["head"]:
        best = next(row for row in last if int(row["epoch"]) == int(facts["head"]["epoch"]))
    epochs = [float(row["seconds"]) for row in last if row["phase"] == "top" and int(row["epoch"])]
    return {
        "val_accuracy": round(float(best["val_accuracy"]), 4),
        "engine": facts["engine"]["name"],
        "stage_seconds": facts["seconds"],
        **({"epoch_seconds": epochs} if epochs else {}),
    }


# --- what came out -------------------------------------------------------------------------------------


def _of(measurements: Log, name: str) -> list[Log]:
    """All repeats of a way."""
    return [row for found, row in measurements.items() if found.rpartition(", repeat ")[0] == name]


def _median(rows: list[Log], what: str) -> float:
    return float(median(row[what] for row in rows))


def _warm(rows: list[Log]) -> float:
    """Seconds of an epoch with its validation, once everything is compiled and read."""
    return float(median(median(row["epoch_seconds"][1:]) for row in rows))


def print_table(measurements: Log) -> None:
    """A line for each way."""
    columns = f"{'peak GB':>8}{'cores':>7}{'val. accuracy':>15}{'warm epoch':>12}"
    print(f"{'':<33}{'seconds':>8}  {'(spread)':<18}{columns}")
    for name in WAYS:
        if not (rows := _of(measurements, name)):
            continue
        seconds = [row["seconds"] for row in rows]
        spread = f"({min(seconds):.1f} to {max(seconds):.1f})"
        warm = f"{_warm(rows):10.1f} s" if len(rows[0].get("epoch_seconds", [])) > 1 else ""
        peak, accuracy = max(row["peak_gb"] for row in rows), _median(rows, "val_accuracy")
        shown = f"{peak:8.2f}{_median(rows, 'cores_busy'):7.2f}{accuracy:15.3f}{warm:>12}"
        print(f"{name:<33}{median(seconds):8.1f}  {spread:<18}{shown}")
    busy = max((row["load_average"] for row in measurements.values()), default=0.0)
    print(
        f"Accuracy is the best epoch's; ours is that of what was chosen. Load average at most {busy}."
        " A way that kept few cores busy waited, for itself or for the machine."
    )
    machine, found = hardware(), versions()
    names = ("headstart", "keras", "tensorflow-cpu", "torch", "ncnn", "openvino")
    print(f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB")
    print(", ".join(f"{name} {found[name]}" for name in names if name in found))


def limits(measurements: Log, setting: Setting) -> Log:
    """What the operations allow: those of the ways, and how fast the engine gets through them here.

    Ours also asks Keras for `PARITY` answers and evaluates the test images. Start-up, the solver and the
    report are left out, so that the true ratio must be lower, unless the machine changes meanwhile.
    """
    train, val, test = (setting.images[name] for name in ("train", "val", "test"))
    found: Log = {}
    a = _of(measurements, "Keras's tutorial"), _of(measurements, "headstart, frozen")
    if not all(a):
        return found
    passes = setting.epochs * (train + val)
    keras = passes / _median(a[0], "seconds")
    features = [{"rate": (train + val + test) / row["stage_seconds"]["features"]} for row in a[1]]
    engine = _median(features, "rate")
    gain = engine / keras
    ours = (train + val + test) / gain + min(PARITY, test)
    found["keras_images_per_second"], found["engine_images_per_second"] = round(keras, 2), round(engine, 2)
    found["frozen"] = round(passes / ours, 1)
    theirs = train * (BASE - BLOCK5 + BLOCK5_STEP) + val * BASE
    epoch = train * BLOCK5_STEP + val * BLOCK5
    found["warm_epoch"] = round(theirs / epoch, 2)
    once = (train + val + test) * BASE / gain + min(PARITY, test) * BASE + (train + val) * BLOCK5
    found["ten_epochs"] = round(setting.epochs * theirs / (setting.epochs * epoch + once), 2)
    work = BASE * (setting.size / 224) ** 2
    name = a[1][0]["engine"]
    print(
        f"An image is {work:.2f} GMAC forward: Keras's tutorial gets through {keras:.1f} images a second"
        f" ({keras * work:.0f} GMAC/s), {name} through {engine:.1f} ({engine * work:.0f} GMAC/s), all told."
    )
    print(
        f"By operations and these rates at most: frozen {found['frozen']}×, a warm epoch"
        f" {found['warm_epoch']}× (both by Keras), all epochs {found['ten_epochs']}×."
    )
    return found


def goals(measurements: Log) -> Log:
    """Ratios of medians beside what was asked for; of accuracies the difference."""
    frozen = [_of(measurements, name) for name in ("Keras's tutorial", "headstart, frozen")]
    tuned = [_of(measurements, name) for name in ("Keras, block5", "headstart, block5")]
    found: dict[str, tuple[float, float, str]] = {}
    if all(frozen):
        one, other = frozen
        found["frozen: whole training"] = _median(one, "seconds") / _median(other, "seconds"), 15, "at least"
        gap = _median(other, "val_accuracy") - _median(one, "val_accuracy")
        found["frozen: validation accuracy less the tutorial's best"] = gap, 0, "at least"
    if all(tuned):
        one, other = tuned
        found["block5: warm epoch"] = _warm(one) / _warm(other), 4, "at least"
        found["block5: all epochs"] = _median(one, "seconds") / _median(other, "seconds"), 3, "at least"
    if rows := _of(measurements, "headstart, all of ELPV, 8 views"):
        found["all of ELPV in eight views: peak GB"] = max(row["peak_gb"] for row in rows), 4, "below"
    result: Log = {}
    for title, (value, goal, kind) in found.items():
        met = value < goal if kind == "below" else value >= goal
        print(f"{title}: {value:.3g} (goal {kind} {goal}: {'met' if met else 'MISSED'})")
        result[title] = {"value": round(value, 4), "goal": f"{kind} {goal}", "met": met}
    return result


# --- log -----------------------------------------------------------------------------------------------


def _opened() -> list[Log]:
    """The log so far. Only committed code is measured, so that each commit in it says what ran."""
    if _git("status", "--porcelain", "--", "src", "benchmarks/*_training.py"):
        raise SystemExit("Commit src/ and benchmarks/ first: the log names the commit that was measured.")
    found: list[Log] = json.loads(LOG.read_text(encoding="utf-8")) if LOG.exists() else []
    return found


def _here(machines: list[Log]) -> Log:
    """The part of the log that is of a machine like this one; a new one, where there is none."""
    here = hardware()
    for log in machines:
        if alike(log["hardware"], here):
            return log
    machines.append({"hardware": here, "versions": versions(), "measurements": {}})
    return machines[-1]


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)  # noqa: S603, S607
    return done.stdout.strip()


if __name__ == "__main__":
    main()
