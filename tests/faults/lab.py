"""Runs the command in children that are killed, refused and interrupted, and compares what they leave."""

from __future__ import annotations

import hashlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import h5py
import numpy as np
from PIL import Image
from tests.faults.events import Fault

from headstart.backbones import specs, vgg, weights

ROOT = Path(__file__).parents[2]
TINY = "--backbone vgg-tiny --image-size 32 --engine keras".split()
PLANS = {
    "finetune": "--strategy finetune --solver keras --views 8 --dropout 0.2 --average 0.9 --epochs 4"
    " --patience 0 --batch-size 16",
    "exact head": "--strategy finetune --augment photo --augment-views 2 --mix mixup --epochs 4 --patience 0"
    " --batch-size 16 --unfreeze block4 --loss focal",
    "dense head": "--head vgg --dropout 0.3 --epochs 8 --patience 0 --batch-size 8 --class-weight balanced"
    " --label-smoothing 0.1",
    "scratch": "--strategy scratch --augment flip --mix cutmix --epochs 4 --patience 0 --batch-size 8"
    " --optimizer sgd --learning-rate 0.01",
    "bfloat16": "--strategy finetune --precision mixed_bfloat16 --optimizer adam --epochs 4 --patience 0"
    " --batch-size 16 --average 0.5 --dropout 0.1",
    "early": "--strategy finetune --unfreeze all --solver keras --epochs 60 --patience 3 --batch-size 16"
    " --learning-rate 0.02 --dropout 0.1 --val 0.4 --seed 1",
}
"""Ways to train, that between them use every part that resuming must restore."""
HEAD_EPOCHS = 5  # of the head in `finetune`, which would have a hundred


@dataclass
class Ended:
    """How a child ended: exit code, or less a signal's number; what it wrote to stderr; how long it took."""

    code: int
    screen: str
    seconds: float

    @property
    def line(self) -> str:
        """The last line on the screen."""
        return self.screen.rstrip().splitlines()[-1] if self.screen.strip() else ""


@dataclass
class Place:
    """Where one run takes place: its directory, a cache of its own, and what its processes went through."""

    folder: Path
    data: Path
    plan: str
    more: tuple[str, ...] = ()
    cache: Path | None = None
    disk: Path | None = None

    @property
    def run(self) -> Path:
        return (self.disk or self.folder) / "run"

    @property
    def kept(self) -> Path:
        """Where a fault keeps a copy of the checkpoints."""
        return self.folder / "kept"

    @property
    def arguments(self) -> list[str]:
        """The command; what `more` says takes the place of what the plan says."""
        words = [*TINY, *PLANS[self.plan].split()]
        options = dict(zip(words[::2], words[1::2], strict=True))
        more = [word for word in self.more if word != "--force"]
        options |= dict(zip(more[::2], more[1::2], strict=True))
        force = ["--force"] if "--force" in self.more else []
        return [
            "train",
            str(self.data),
            "--out",
            str(self.run),
            *(w for o in options.items() for w in o),
            *force,
        ]

    @property
    def moments(self) -> Counter[str]:
        """How often each moment came, in all processes so far."""
        trace = self.folder / "trace"
        return Counter(trace.read_text().splitlines()) if trace.exists() else Counter()


class Zygote:
    """A process of `tests.faults.zygote`."""

    def __init__(self) -> None:
        paths = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        # OpenMP's threads must not spin while they wait: two children share the cores.
        environment = {**os.environ, "PYTHONPATH": paths, "OMP_WAIT_POLICY": "passive"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.zygote"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=environment,
        )  # fmt: skip

    def obey(self, order: dict[str, object], meanwhile: Callable[[int], None]) -> int:
        """Returns the child's exit code; `meanwhile` is called with its process number."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(order) + "\n")
        meanwhile(int(self.process.stdout.readline()))
        return int(self.process.stdout.readline())

    def close(self) -> None:
        self.process.communicate()


def send(
    child: int, plan: Iterable[tuple[Callable[[], object], int]], sent: list[float] | None = None
) -> None:
    """Sends signals to a child, each when its wait is over; never to another that has its number since.

    When they were sent is noted in `sent`; what comes too late is not.
    """
    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(child)
        try:
            for wait, number in plan:
                wait()
                signal.pidfd_send_signal(descriptor, number)
                if sent is not None:
                    sent.append(time.monotonic())
        finally:
            os.close(descriptor)


@dataclass
class Lab:
    """Runs commands, two at once, and knows what each plan gives when nothing goes wrong."""

    folder: Path
    data: Path
    zygotes: queue.Queue[Zygote]
    known: dict[tuple[str, ...], Place] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    places: int = 0

    def place(self, plan: str, *more: str, data: Path | None = None, disk: Path | None = None) -> Place:
        """A new one."""
        with self.lock:
            self.places += 1
            folder = self.folder / f"{self.places:03}"
        folder.mkdir()
        return Place(folder, data or self.data, plan, more, disk=disk)

    def train(
        self,
        place: Place,
        *faults: Fault,
        save_every: float = 0.0,
        meanwhile: Callable[[int], None] = lambda _: None,
        program: str = "headstart.cli",
        arguments: Sequence[str] = (),
    ) -> Ended:
        """Runs the command of a place, or another one; as a rule a checkpoint is written after every step."""
        screen = place.folder / "screen"
        screen.unlink(missing_ok=True)
        order = {
            "program": program,
            "arguments": list(arguments) or place.arguments,
            "cache": str(place.cache or place.folder / "cache"),
            "screen": str(screen),
            "kept": str(place.kept),
            "trace": str(place.folder / "trace"),
            "save_every": save_every,
            "head_epochs": HEAD_EPOCHS,
            "faults": [asdict(fault) for fault in faults],
        }
        zygote = self.zygotes.get()
        try:
            start = time.monotonic()
            code = zygote.obey(order, meanwhile)
            return Ended(code, screen.read_text(errors="replace"), time.monotonic() - start)
        finally:
            self.zygotes.put(zygote)

    def unbroken(self, plan: str, *more: str) -> tuple[dict[str, str], Place, Ended]:
        """What the plan leaves, where, and how it ended; trained once."""
        with self.lock:
            place = self.known.get((plan, *more))
        if place is None:
            place = self.place(plan, *more)
            ended = self.train(place, save_every=30)
            assert ended.code == 0, ended.screen
            (place.folder / "seconds").write_text(str(ended.seconds))
            self.known[plan, *more] = place
        return outcome(place.run), place, Ended(0, "", float((place.folder / "seconds").read_text()))

    def each(self, work: Callable[..., None], items: Iterable[object]) -> None:
        """Does the work for each item, two at once; the first failure is raised when all have ended."""
        with ThreadPoolExecutor(self.zygotes.maxsize) as pool:
            for done in [pool.submit(work, item) for item in items]:
                done.result()


def outcome(run: Path) -> dict[str, str]:
    """All that must be the same to the bit: the bundle, what was measured, and the history less its clock."""
    rows = [line.split(",") for line in (run / "history.csv").read_text().splitlines()]
    clock = rows[0].index("seconds") if "seconds" in rows[0] else len(rows[0])
    history = "\n".join(",".join(row[:clock] + row[clock + 1 :]) for row in rows)
    files = [*(run / "model").rglob("*"), run / "evaluation/test/predictions.parquet", run / "parity.json"]
    hashes = {
        path.relative_to(run).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.is_file()
    }
    return hashes | {"history": history}


def leftovers(place: Place) -> list[str]:
    """What a finished run has no use for."""
    hidden = [p.name for p in place.run.rglob(".*") if p.name != ".lock"]
    return sorted(hidden) + (["checkpoints"] if (place.run / "checkpoints").exists() else [])


def draw(folder: Path, each: int = 20) -> Path:
    """Three classes of small noisy pictures that are hard enough to keep a tiny network learning."""
    rng = np.random.default_rng(0)
    for c, name in enumerate(("blue", "green", "red")):
        (folder / name).mkdir(parents=True)
        for i in range(each):
            colour = 120 + 25 * np.eye(3)[2 - c]
            pixels = np.clip(rng.normal(colour, 60, (36, 40, 3)), 0, 255)
            # Without compression all files are of one size.
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{i:02}.png", compress_level=0)
    return folder


def write_weights(path: Path, seed: int = 0, **changes: float) -> None:
    """Those of vgg-tiny in Keras's layout; `changes` puts a number into the kernel of a layer."""
    spec = specs.backbone("vgg-tiny")
    arrays = weights.random(spec, seed)
    with h5py.File(path, "w") as file:
        for name, _, _ in vgg.conv_names(spec):
            kernel = arrays[f"{name}/kernel"]
            kernel[1, 1, 0, 0] = changes.get(name, kernel[1, 1, 0, 0])
            file[f"{name}/{name}/kernel:0"] = kernel
            file[f"{name}/{name}/bias:0"] = arrays[f"{name}/bias"]
