"""SIGTERM and Ctrl-C at any time: a quick end, one step lost at most, and exactly on from there (R17).

With them, that early stopping ends an interrupted run where it ends an unbroken one (R18).
"""

from __future__ import annotations

import json
import random
import signal
import time
from functools import partial

import pytest
from tests.faults.events import Fault
from tests.faults.lab import PLANS, Place, send
from tests.faults.test_training_kill import goes_on

GRACE = 10  # seconds that `docker stop` allows; most ends take well under one
CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}


@pytest.mark.parametrize("count", [2, pytest.param(50, marks=pytest.mark.faults)])
def test_a_signal_at_a_random_time(lab, count):
    plans = [plan for plan in PLANS if plan != "early"]

    def check(number):
        rng = random.Random(1000 + number)  # noqa: S311 - not for secrets
        plan, signalled = plans[number % len(plans)], (signal.SIGTERM, signal.SIGINT)[number % 2]
        _, whole, unbroken = lab.unbroken(plan)
        span = unbroken.seconds
        for _ in range(5):
            place, sent = lab.place(plan), []
            moment = rng.uniform(0, span)
            ended = lab.train(place, save_every=30, meanwhile=signals(place, [(moment, signalled)], sent))
            took = time.monotonic() - sent[0] if sent else 0.0
            if ended.code:
                break
            span *= 0.8  # it was quicker
        assert ended.code == CODES[signalled], f"{number}: {ended.code} {moment} {ended.screen}"
        assert "Traceback" not in ended.screen
        assert took < GRACE
        goes_on(lab, place, number)
        assert place.moments["after step"] <= whole.moments["after step"] + 1, number

    lab.each(check, range(count))


def test_a_signal_within_an_epoch_loses_one_step_at_most(lab):
    """In the fourth of six steps of the second epoch; a checkpoint was due at the end of the first."""
    place, sent = lab.place("scratch"), []

    slow = Fault("after step", 10, "stall", 1)
    meanwhile = signals(place, [(0.2, signal.SIGTERM)], sent, "after step", 10)
    ended = lab.train(place, slow, save_every=30, meanwhile=meanwhile)

    assert ended.code == 143
    goes_on(lab, place, "within an epoch")
    assert place.moments["after step"] <= lab.unbroken("scratch")[1].moments["after step"] + 1


@pytest.mark.parametrize("signalled", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.faults)])
def test_a_second_signal_ends_at_once(lab, signalled):
    """In the middle of a step that takes a minute."""
    place, sent = lab.place("finetune"), []
    both = [(0.5, signalled), (1.0, signalled)]

    slow = Fault("after step", 9, "stall", 60)
    ended = lab.train(place, slow, meanwhile=signals(place, both, sent, "after step", 9))

    assert ended.code == CODES[signalled]
    assert len(sent) == 2  # the first one had not ended it
    assert time.monotonic() - sent[1] < 1
    goes_on(lab, place, "second signal")


@pytest.mark.parametrize("count", [1, pytest.param(20, marks=pytest.mark.faults)])
def test_early_stopping_is_the_same_when_interrupted(lab, count):
    whole, known, _ = lab.unbroken("early")
    steps = known.moments["after step"]
    rows = [line.split(",")[:2] for line in whole["history"].splitlines()]
    assert int(rows[-1][1]) < 60  # patience ended it

    def check(number):
        rng = random.Random(2000 + number)  # noqa: S311 - not for secrets
        place = lab.place("early")
        killed = lab.train(
            place, Fault("after step", rng.randrange(1, steps)), save_every=rng.choice((0, 30))
        )
        assert killed.code == -signal.SIGKILL
        goes_on(lab, place, number)
        assert best_epoch(place) == best_epoch(known)

    lab.each(check, range(count))


def best_epoch(place: Place) -> float:
    return json.loads((place.run / "run.json").read_text())["head"]["epoch"]


def signals(place: Place, times, sent: list[float], moment: str = "before preparing", nth: int = 1):
    """Sends signals to a child, (seconds, signal) each after its last moment `moment`, and notes when."""

    def wait(seconds: float) -> None:
        latest = time.monotonic() + 60
        while place.moments[moment] < nth and time.monotonic() < latest:
            time.sleep(0.002)
        begun.append(time.monotonic())
        time.sleep(max(0, begun[0] + seconds - time.monotonic()))

    begun: list[float] = []
    return lambda child: send(child, [(partial(wait, seconds), number) for seconds, number in times], sent)
