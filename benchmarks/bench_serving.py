"""`headstart serve` under load, beside LitServe, and beside Flask that calls Keras's `predict`.

    python benchmarks/bench_serving.py              all of it, logged; half an hour on two cores
    python benchmarks/bench_serving.py --develop    one short round, nothing is written

All serve one run of frozen VGG16 on ELPV with headstart's decoder: headstart and LitServe (with batching and
without) on the same engine, Flask as the same graph in Keras. Another process sends the test cells (PNG,
300 × 300 pixels) as a form: half as many a second as `bench_inference.py` gets through from bytes to labels,
and one and a half times as many; that rate is measured in each round, too. Latencies count from when a
request was due, and are of answers; what was refused, or took half a minute, is counted beside them.
headstart notes every answer in its history, as it does by itself.

The servers take turns in five rounds (Flask, which has no goal, in three), and ratios are of the same round.
The 99th percentile of 375 latencies is among the four longest, so a round alone says little. Last, the memory
of headstart's worker over 20,000 requests to a tiny network. Every measurement is logged when it ends, and an
interrupted benchmark goes on. LitServe takes part where it is installed: ``pip install litserve
python-multipart``.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import bench_inference
from served import Server, served

from headstart.provenance import alike, hardware, versions
from headstart.rundir import cache_dir, write_json

HERE = Path(__file__).parent
LOG = HERE / "results" / "serving.json"
LIMIT, OURS, FLASK, MEMORY = "bytes to labels", "headstart", "Flask, Keras predict", "memory"
LITSERVE = ("LitServe", "LitServe, batching")
HALF, FULL = "half load", "saturation"
LOADS = {HALF: 0.5, FULL: 1.5}
"""Of the rate from bytes to labels."""

PICTURES = 48  # those by which that rate is measured, too
STEADY = 100.0  # requests a second to the tiny network
END_TO_END, OF_LITSERVE, GROWTH = 0.9, 0.97, 1.05

Log = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """How much: rounds, seconds of each load, requests to the tiny network."""

    rounds: int
    seconds: dict[str, float]
    requests: int


FIGURE = Setting(5, {HALF: 30.0, FULL: 20.0}, 20_000)
DEVELOP = Setting(1, {HALF: 8.0, FULL: 6.0}, 1000)


def main() -> None:
    """Measures what the log does not hold yet, prints the tables, and says which goals are met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--develop", action="store_true", help="one short round, nothing is written")
    develop = parser.parse_args().develop
    setting = DEVELOP if develop else FIGURE
    log: Log = {"hardware": hardware(), "versions": _versions(), "measured": {}}
    if LOG.exists() and not develop:
        log = json.loads(LOG.read_text(encoding="utf-8"))
        if not alike(log["hardware"], hardware()):
            raise SystemExit(f"{LOG} is of another machine: move it away to begin anew.")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(setting, Path(folder), bench_inference.prepared("taps"), tiny())
        for name, number in wanted(setting.rounds):
            key = _key(name, number)
            if key not in log["measured"]:
                log["measured"][key] = row = bench.measure(name, number, log["measured"])
                print(f"{key}: {json.dumps(row)}", flush=True)
                _keep(log, develop)
    for load in LOADS:
        print_table(load, log["measured"])
    log["goals"] = goals(log["measured"])
    _keep(log, develop)


def _keep(log: Log, develop: bool) -> None:
    if not develop:
        write_json(LOG, log)


def _key(name: str, number: int) -> str:
    return f"{name}, round {number}"


def _versions() -> dict[str, str]:
    there = [name for name in ("flask", "granian", "litserve") if importlib.util.find_spec(name)]
    return versions() | {name: importlib.metadata.version(name) for name in there}


def wanted(rounds: int) -> Iterator[tuple[str, int]]:
    """Name and round of each measurement, in their order, which turns around with each round."""
    servers = [OURS, *LITSERVE, FLASK]
    if not importlib.util.find_spec("litserve"):
        print("LitServe is not installed, and left out.")
        servers = [OURS, FLASK]
    for number in range(1, rounds + 1):
        turn = [name for name in servers[:: 1 if number % 2 else -1] if name != FLASK or number <= 3]
        yield from ((name, number) for name in (LIMIT, *turn))
    yield MEMORY, 1


def tiny() -> Path:
    """A run with a tiny network, trained if it is not there yet."""
    run = cache_dir() / "benchmarks" / "serving-tiny"
    command = [sys.executable, "-m", "headstart", "train", "elpv", "--out", str(run)]
    subprocess.run([*command, "--backbone", "vgg-tiny", "--image-size", "64"], check=True)  # noqa: S603
    return run


class Bench:
    """Runs and pictures, and what the first server answered for some of them."""

    def __init__(self, setting: Setting, folder: Path, run: Path, small: Path) -> None:
        self.setting, self.folder, self.run, self.small = setting, folder, run, small
        listed, _ = bench_inference.listed(run, folder)
        paths = listed.read_text().splitlines()[:PICTURES]
        self.files = folder / "some.txt"
        self.files.write_text("\n".join(paths))
        self.pictures = [Path(path).read_bytes() for path in paths[:8]]
        self.labels: list[str] = []

    def measure(self, name: str, number: int, before: Log) -> Log:
        """The rate from bytes to labels, the memory, or what a server shows under both loads."""
        if name == LIMIT:
            bench = bench_inference.Bench(self.run, self.files, [], PICTURES)
            return bench.measure("headstart ncnn", bench_inference.HERE_AND_NOW, 2)
        if name == MEMORY:
            return self._memory()
        base = before[_key(LIMIT, 1)]["rate"]
        with self._served(name, self.run) as server:
            labels = [server.label(picture) for picture in self.pictures]
            self.labels = self.labels or labels
            if labels != self.labels:
                raise SystemExit(f"{name} answers {labels}, and others {self.labels}.")
            return {
                load: server.under(self.files, share * base, self.setting.seconds[load], number)
                for load, share in LOADS.items()
            }

    def _memory(self) -> Log:
        """Megabytes of headstart's worker after each tenth of the requests.

        Before them come more at once than it takes: it starts threads as it needs them, and keeps them.
        """
        tenth, rows, sizes = self.setting.requests // 10, [], []
        with self._served(OURS, self.small) as server:
            server.under(self.files, 10 * STEADY, 1.0, 0)
            for number in range(1, 11):
                rows.append(server.under(self.files, STEADY, tenth / STEADY, number))
                sizes.append(round(server.megabytes(), 1))
        cpu = median(row["cpu_seconds"] for row in rows)
        return {"answers": sum(row["answers"] for row in rows), "megabytes": sizes, "cpu_seconds": cpu}

    def _served(self, name: str, run: Path) -> AbstractContextManager[Server]:
        history = str(self.folder / "served.sqlite3")
        commands = {
            OURS: ["-m", "headstart", "serve", str(run), "--port", "PORT", "--history", history],
            LITSERVE[0]: [str(HERE / "peer_litserve.py"), str(run), "PORT", "1"],
            LITSERVE[1]: [str(HERE / "peer_litserve.py"), str(run), "PORT", "8"],
            FLASK: [str(HERE / "peer_flask.py"), str(run), "PORT"],
        }
        return served(commands[name], self.folder / "said.txt", self.pictures[0])


# --- what came out -------------------------------------------------------------------------------------


def each(measured: Log, name: str, load: str, what: str) -> list[float]:
    """A number of a server, of every round."""
    return [row[load][what] for key, row in measured.items() if key.rpartition(", round ")[0] == name]


def print_table(load: str, measured: Log) -> None:
    """A line for each server."""
    print(f"\n{load}")
    print(f"{'':<24}{'answers/s':>9}  {'(spread)':<15}{'p50 ms':>8}{'p95 ms':>8}{'p99 ms':>8}"
          f"  {'(spread)':<17}{'CPU s each':>10}{'answered':>10}")  # fmt: skip
    for name in (OURS, *LITSERVE, FLASK):
        if rates := each(measured, name, load, "rate"):
            p50, p95, p99, cpu, share = (
                each(measured, name, load, what)
                for what in ("p50_ms", "p95_ms", "p99_ms", "cpu_seconds", "answered")
            )
            print(
                f"{name:<24}{median(rates):9.2f}  {_spread(rates, 1):<15}{median(p50):8.0f}{median(p95):8.0f}"
                f"{median(p99):8.0f}  {_spread(p99, 0):<17}{median(cpu):10.3f}{median(share):10.1%}"
            )


def _spread(values: list[float], digits: int) -> str:
    return f"({min(values):.{digits}f} to {max(values):.{digits}f})"


def goals(measured: Log) -> Log:
    """Ratios beside what was asked for, each the median of the rounds; of LitServe the better way counts."""
    rates = each(measured, OURS, FULL, "rate")
    limits = [row["rate"] for key, row in measured.items() if key.startswith(LIMIT)]
    found = {f"throughput, of {LIMIT}": (_ratio(rates, limits), END_TO_END, "at least")}
    if best := _best(max, measured, FULL, "rate"):
        found["throughput, of LitServe's"] = _ratio(rates, best), OF_LITSERVE, "at least"
        for load in LOADS:
            ratio = _ratio(each(measured, OURS, load, "p99_ms"), _best(min, measured, load, "p99_ms"))
            found[f"p99 at {load}, of LitServe's"] = ratio, 1.0, "at most"
    sizes = measured[_key(MEMORY, 1)]["megabytes"]
    found["memory after all requests, of that after a tenth"] = sizes[-1] / sizes[0], GROWTH, "at most"
    result: Log = {}
    print()
    for title, (value, goal, kind) in found.items():
        met = value <= goal if kind == "at most" else value >= goal
        print(f"{title}: {value:.3g} (goal {kind} {goal:g}: {'met' if met else 'MISSED'})")
        result[title] = {"value": round(value, 4), "goal": f"{kind} {goal:g}", "met": met}
    return result


def _best(better: Callable[[Iterable[float]], float], measured: Log, load: str, what: str) -> list[float]:
    """Of each round the better of LitServe's two."""
    return [better(pair) for pair in zip(*(each(measured, n, load, what) for n in LITSERVE), strict=True)]


def _ratio(ours: list[float], theirs: list[float]) -> float:
    return median(a / b for a, b in zip(ours, theirs, strict=True))


if __name__ == "__main__":
    main()
