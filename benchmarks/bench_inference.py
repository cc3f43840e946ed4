"""From the bytes of pictures to labels: each engine and precision, Keras, ONNX Runtime and PyTorch.

    python benchmarks/bench_inference.py              all of it, logged
    python benchmarks/bench_inference.py --develop    one short round, nothing is written

One run of frozen VGG16 on ELPV (300 × 300 pixels, PNG), the same weights and files for everyone, each in a
process of its own, by turns in three rounds. Accuracy is on all test images. Beside each rate is the limit:
the same engine on tensors that are ready. Then everything again with AVX-512 switched off, as on a laptop,
where a library lets itself be told; what a cold start takes; and the latency of one picture. It takes half an
hour on two cores; every measurement is logged when it ends, and an interrupted benchmark goes on.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from headstart.machine import instructions
from headstart.provenance import alike, hardware, versions
from headstart.rundir import cache_dir, write_json

HERE = Path(__file__).parent
LOG = HERE / "results" / f"inference-{instructions()[-1].lower()}.json"  # of the best instructions here
REFERENCE = "Keras predict"
OURS = ("ncnn", "openvino", "openvino-bf16", "openvino-int8", "keras")
PEERS = (REFERENCE, "Keras, compiled call", "ONNX Runtime", "PyTorch", "PyTorch bfloat16")
ROUNDS = 3
AVX512 = "AVX-512"
HERE_AND_NOW, LAPTOP = "this machine", f"without {AVX512}"
PARTS: dict[str, dict[str, str]] = {
    HERE_AND_NOW: {},
    LAPTOP: {"ONEDNN_MAX_CPU_ISA": "AVX2", "DNNL_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
}
"""What is measured, and the environment that it is measured in."""

DEAF = ("headstart ncnn", "ONNX Runtime")  # they choose instructions by themselves
BFLOAT16 = ("headstart openvino-bf16", "PyTorch bfloat16")
"""Nothing to be gained without AVX-512; OpenVINO ends where oneDNN may not use what it sees."""

GAINS = {"headstart openvino-int8": 4.0, "headstart openvino-bf16": 2.1, "headstart ncnn": 2.1}
POINTS = {"headstart ncnn": 0.2, "headstart openvino-bf16": 0.2, "headstart openvino-int8": 0.5}
END_TO_END = 0.9
COLD_SECONDS, COLD_MB = 2.0, 400.0

Log = dict[str, Any]


def main() -> None:
    """Measures what the log does not hold yet, prints the tables, and says which goals are met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--develop", action="store_true", help="one short round, nothing is written")
    develop = parser.parse_args().develop
    run = prepared("taps")
    quantised(run)
    log: Log = {"hardware": hardware(), "versions": versions(), "measured": {}, "cold": {}}
    if LOG.exists() and not develop:
        log = json.loads(LOG.read_text(encoding="utf-8"))
        if not alike(log["hardware"], hardware()):
            raise SystemExit(f"{LOG} is of another machine: move it away to begin anew.")
    with tempfile.TemporaryDirectory() as folder:
        files, truth = listed(run, Path(folder))
        bench = Bench(run, files, truth, 16 if develop else 48)
        for part, number, name in wanted(1 if develop else ROUNDS):
            key = f"{part}, {name}, round {number}"
            if key not in log["measured"]:
                log["measured"][key] = row = bench.measure(name, part, number)
                print(f"{key}: {row['rate']:.1f} a second, {row['limit']:.1f} on tensors", flush=True)
                _keep(log, develop)
        for head in ("taps", "gap"):
            if head not in log["cold"]:
                log["cold"][head] = cold(prepared(head), files)
                _keep(log, develop)
    for part in PARTS:
        if found := by_name(log["measured"], part):
            print_table(part, found)
    log["goals"] = goals(log)
    _keep(log, develop)


def _keep(log: Log, develop: bool) -> None:
    if not develop:
        write_json(LOG, log)


def wanted(rounds: int) -> Iterator[tuple[str, int, str]]:
    """Part, round and name of each measurement, in their order; a laptop's once, where this isn't one."""
    names = [f"headstart {engine}" for engine in OURS] + [name for name in PEERS if _there(name)]
    yield from ((HERE_AND_NOW, number, name) for number in range(1, rounds + 1) for name in names)
    if AVX512 in instructions():
        yield from ((LAPTOP, 1, name) for name in names if name not in DEAF + BFLOAT16)


def _there(name: str) -> bool:
    """PyTorch may not be installed, and without instructions for it its bfloat16 takes minutes."""
    if name.startswith("PyTorch") and importlib.util.find_spec("torch") is None:
        return False
    return "bfloat16" not in name or "bfloat16" in instructions()


def prepared(head: str) -> Path:
    """A run on all of ELPV, trained if it is not there yet."""
    run = cache_dir() / "benchmarks" / f"inference-{head}"
    subprocess.run(  # noqa: S603
        [sys.executable, "-m", "headstart", "train", "elpv", "--out", str(run), "--head", head], check=True
    )
    return run


def quantised(run: Path) -> None:
    """Gives it 8-bit integers."""
    if json.loads((run / "model" / "model.json").read_text())["int8"] is None:
        subprocess.run([sys.executable, "-m", "headstart", "quantize", str(run)], check=True)  # noqa: S603


def listed(run: Path, folder: Path) -> tuple[Path, list[int]]:
    """A list of the test images, and their classes."""
    from headstart.data import manifest
    from headstart.rundir import RunDir

    test = manifest.load(RunDir(run).manifest).where("test")
    (folder / "files.txt").write_text("\n".join(map(str, test.files)))
    return folder / "files.txt", [int(y) for y in test.y]


@dataclass(frozen=True)
class Bench:
    """What every one of them is asked: a run, a list of its test images, their classes, and how many a go."""

    run: Path
    files: Path
    truth: list[int]
    count: int

    def measure(self, name: str, part: str, number: int) -> Log:
        """Rate and limit; in the first round also accuracy on all images, and latencies."""
        command = [sys.executable, str(HERE / "contestants.py"), name, str(self.run), str(self.files)]
        command += ["--rate", str(self.count), *(["--all"] if number == 1 else [])]
        load = round(os.getloadavg()[0], 2)
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, check=True,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | PARTS[part],
        )  # fmt: skip
        row = json.loads(done.stdout.splitlines()[-1])
        found: Log = {"rate": round(row["rate"], 2), "limit": round(row["limit"], 2), "load_average": load}
        if "answers" in row:
            right = sum(a == y for a, y in zip(row["answers"], self.truth, strict=True))
            latencies = [round(1000 * seconds, 2) for seconds in sorted(row["latency"])]
            found |= {"accuracy": right / len(self.truth), "latency_ms": latencies}
        return found


def by_name(measured: Log, part: str) -> Log:
    """All rounds of each, together."""
    found: Log = {}
    for key, row in measured.items():
        name = key.removeprefix(f"{part}, ").rpartition(", round ")[0]
        if key.startswith(f"{part}, "):
            kept = found.setdefault(name, {"rates": [], "limits": []})
            kept["rates"].append(row["rate"])
            kept["limits"].append(row["limit"])
            kept |= {what: row[what] for what in ("accuracy", "latency_ms") if what in row}
    return found


def cold(run: Path, files: Path) -> Log:
    """Seconds and megabytes (10⁶) of `headstart predict` for one picture, of five starts."""
    picture = files.read_text().splitlines()[0]
    rows = []
    for _ in range(5):
        start = time.perf_counter()
        with open(os.devnull, "w") as null:  # noqa: PTH123
            command = [sys.executable, "-m", "headstart", "predict", str(run), picture]
            process = subprocess.Popen(command, stdout=null)  # noqa: S603
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        rows.append((time.perf_counter() - start, usage.ru_maxrss * 1024 / 1e6))
    return {"seconds": [round(s, 3) for s, _ in rows], "megabytes": [round(m) for _, m in rows]}


def print_table(title: str, found: Log) -> None:
    """A line for each way, with its rate beside Keras's."""
    base = median(found[REFERENCE]["rates"])
    print(f"\n{title}")
    print(f"{'':<26}{'images/s':>9}  {'(spread)':<16}{'× predict':>9}{'limit':>8}{'of it':>7}{'accuracy':>10}"
          f"{'p50 ms':>8}{'p99 ms':>8}")  # fmt: skip
    for name, row in found.items():
        rate, limit = median(row["rates"]), median(row["limits"])
        spread = f"({min(row['rates']):.1f} to {max(row['rates']):.1f})"
        p50, p99 = quantiles(row["latency_ms"])
        print(
            f"{name:<26}{rate:9.1f}  {spread:<16}{rate / base:9.2f}{limit:8.1f}{rate / limit:7.2f}"
            f"{row['accuracy']:10.4f}{p50:8.1f}{p99:8.1f}"
        )


def quantiles(values: list[float]) -> tuple[float, float]:
    """The median, and what one in a hundred exceeds."""
    return values[len(values) // 2], values[min(len(values) - 1, round(0.99 * len(values)))]


def goals(log: Log) -> Log:
    """Each number beside what was asked for."""
    here = by_name(log["measured"], HERE_AND_NOW)
    base, exact = median(here[REFERENCE]["rates"]), here["headstart keras"]["accuracy"]
    found: dict[str, tuple[float, float, str]] = {}
    for name, gain in GAINS.items():
        found[f"{name}: times Keras's predict"] = median(here[name]["rates"]) / base, gain, "at least"
        limit = median(here[name]["limits"])
        found[f"{name}: of its limit"] = median(here[name]["rates"]) / limit, END_TO_END, "at least"
    for name, points in POINTS.items():
        lost = 100 * (exact - here[name]["accuracy"])
        found[f"{name}: points below float32"] = lost, points, "at most"
    for head, row in log["cold"].items():
        found[f"cold start, head {head}: seconds"] = median(row["seconds"]), COLD_SECONDS, "at most"
        found[f"cold start, head {head}: megabytes"] = median(row["megabytes"]), COLD_MB, "at most"
    result: Log = {}
    print()
    for title, (value, goal, kind) in found.items():
        met = value <= goal + 1e-9 if kind == "at most" else value >= goal
        print(f"{title}: {value:.3g} (goal {kind} {goal:g}: {'met' if met else 'MISSED'})")
        result[title] = {"value": round(value, 4), "goal": f"{kind} {goal:g}", "met": met}
    return result


if __name__ == "__main__":
    main()
