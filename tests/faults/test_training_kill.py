"""Killed anywhere, a training goes on with the same command and ends with the same bits (R14)."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from tests.faults.events import Fault
from tests.faults.lab import PLANS, Place, leftovers, outcome, send

MOMENTS = [
    # The checkpoint, in the middle of an epoch; the best weights; the history.
    ("finetune", "before write last.safetensors", 14),
    ("finetune", "half write last.safetensors", 31),
    ("finetune", "before sync last.safetensors", 40),
    ("finetune", "before rename last.safetensors", 35),
    ("finetune", "after rename last.safetensors", 45),
    ("finetune", "half write last.safetensors", 1),
    ("dense head", "before remove best-0.safetensors", 2),
    ("finetune", "before write best-1.safetensors", 2),
    ("finetune", "half write best-0.safetensors", 3),
    ("finetune", "before sync best-1.safetensors", 2),
    ("finetune", "before rename best-1.safetensors", 1),
    ("finetune", "after rename best-1.safetensors", 1),
    ("scratch", "half write history.csv", 3),
    ("scratch", "before sync history.csv", 2),
    ("finetune", "after rename history.csv", 9),
    # Between and inside the phases.
    ("finetune", "before step", 8),
    ("finetune", "after step", 24),
    ("scratch", "before judging", 3),
    ("finetune", "before judging", 9),
    ("bfloat16", "before answers", 20),
    ("finetune", "after end", 1),
    ("finetune", "before phase", 2),
    ("exact head", "before lbfgs", 1),
    ("exact head", "before phase", 1),
    ("finetune", "half write shard.safetensors", 2),
    ("exact head", "after rename shard.safetensors", 1),
    # What comes before training, and after it.
    ("finetune", "before write manifest.parquet", 1),
    ("finetune", "half write run.json", 1),
    ("finetune", "before parity", 1),
    ("finetune", "half write weights.safetensors", 1),
    ("bfloat16", "before sync golden", 1),
    ("scratch", "before move model", 1),
    ("finetune", "after move model", 1),
    ("dense head", "after rename parity.json", 1),
    ("finetune", "before evaluation", 1),
    ("scratch", "before write predictions.parquet", 1),
    ("finetune", "half write run.json", 2),
    ("exact head", "before rename run.json", 2),
    ("finetune", "after rename run.json", 2),
    ("finetune", "before report", 1),
    ("finetune", "before remove checkpoints", 1),
]
SAMPLE = [MOMENTS[i] for i in (1, 10, 21, 29)]


@pytest.mark.parametrize(
    "moments", [SAMPLE, pytest.param(MOMENTS, marks=pytest.mark.faults)], ids=["sample", "all"]
)
def test_killed_at_a_named_moment(lab, moments):
    def check(moment):
        plan, at, nth = moment
        place = lab.place(plan)
        killed = lab.train(place, Fault(at, nth))
        assert killed.code == -signal.SIGKILL, f"{moment}: {killed.screen}"
        goes_on(lab, place, moment)
        # A checkpoint follows every step: at most the one that was not kept is made again.
        assert place.moments["after step"] <= lab.unbroken(plan)[1].moments["after step"] + 1, moment

    lab.each(check, moments)


@pytest.mark.faults
def test_killed_at_100_random_times(lab):
    plans = [plan for plan in PLANS if plan != "early"]

    def check(number):
        rng = random.Random(number)  # noqa: S311 - not for secrets
        plan, kills = plans[number % len(plans)], 0
        expected = lab.unbroken(plan)[2].seconds
        place = lab.place(plan)
        for _ in range(20):
            moment = rng.uniform(0, expected)
            every = rng.choice((0.0, 0.0, 0.5, 30.0))
            killed = lab.train(place, save_every=every, meanwhile=after(moment, signal.SIGKILL))
            kills += killed.code != 0
            assert killed.code in (-signal.SIGKILL, 0), killed.screen
            if killed.code == 0 and not kills:  # it was quicker
                place, expected = lab.place(plan), expected * 0.8
            elif killed.code == 0 or number % 4 or kills == 4:  # every fourth is killed again and again
                break
        assert kills
        goes_on(lab, place, f"{number}: {plan}, {moment:.2f} s")

    lab.each(check, range(100))


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_the_real_command_killed_three_times(lab):
    """From the interpreter's start to its end, with nothing patched."""
    whole, _, _ = lab.unbroken("exact head")
    place = lab.place("exact head")
    command = [sys.executable, "-m", "headstart", *place.arguments]
    environment = {**os.environ, "HEADSTART_CACHE": str(place.folder / "cache")}
    written = ("run/history.csv", "run/checkpoints/last.safetensors", "run/parity.json")

    for name in written:
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        while process.poll() is None and not (place.folder / name).exists():
            time.sleep(0.005)
        process.kill()
        _, screen = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, screen
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr
    assert outcome(place.run) == whole
    assert leftovers(place) == []


def goes_on(lab, place: Place, what: object) -> None:
    """The same command ends well, with the bits of a run that nothing happened to."""
    done = lab.train(place, save_every=30)
    assert done.code == 0, f"{what}: {done.screen}"
    whole, _, _ = lab.unbroken(place.plan)
    found = outcome(place.run)
    assert {name for name in whole | found if whole.get(name) != found.get(name)} == set(), what
    assert leftovers(place) == [], what


def after(seconds: float, number: int) -> Callable[[int], None]:
    """Sends a signal to a child when so much time has gone by."""
    return lambda child: send(child, [(lambda: time.sleep(seconds), number)])
