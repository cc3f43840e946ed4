"""What a training is said to take, by the operations of VGG16's published layers and rates that are given."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.backbones import specs
from headstart.config import RunConfig
from headstart.progress import shown
from headstart.training import estimate
from headstart.training.phases import resolved
from headstart.training.strategy import Task

TRAIN, VAL, TEST = 100, 20, 30
WHOLE, BLOCK5, ABOVE2 = 15.35, 1.39, 10.63  # 10⁹ multiplications at 224 px, of blocks 3 to 5 the last
RATES = {"ncnn": 0.05, "openvino": 0.1, "keras": 0.01}


@pytest.fixture(autouse=True)
def timed(monkeypatch):
    monkeypatch.setattr(estimate, "measured", lambda *_: RATES)


def task(streamed=False, engine="ncnn", **options):
    config = resolved(RunConfig.from_options(precision="float32", **options))
    split = np.array(["train"] * TRAIN + ["val"] * VAL + ["test"] * TEST)
    vgg16 = specs.backbone("vgg16")
    return Task(config, vgg16, {}, engine, [], np.zeros(150, int), np.ones(150), split, 2, streamed)


def estimated(*args, **options):
    return estimate.estimate(task(*args, **options))


def test_maps_are_computed_once_and_what_is_above_in_each_step():
    found = estimated(strategy="finetune", unfreeze="block5", views=8, epochs=4)

    assert found.features == pytest.approx(8 * (TRAIN + VAL) * 0.05)
    assert found.epoch == pytest.approx((3 * TRAIN + 8 * VAL) * BLOCK5 / WHOLE * 0.1, rel=0.01)
    assert found.test == pytest.approx(8 * TEST * 0.05)
    row = 2 * 14 * 14 * 512 + 4 * 2 * 512 + 33  # the map, mean and maximum of the last one, and their key
    assert found.disk == 8 * (TRAIN + VAL) * row
    assert found.seconds == found.features + 4 * found.epoch + found.test


def test_a_gpu_computes_what_is_frozen_with_each_step_and_keeps_no_maps():
    found = estimated(True, "keras", strategy="finetune", unfreeze="block3", views=8, epochs=4)

    work = TRAIN * (3 * ABOVE2 + WHOLE - ABOVE2) + 8 * VAL * WHOLE
    assert found.epoch == pytest.approx(work / WHOLE * 0.01, rel=0.01)
    assert found.features == pytest.approx(8 * (TRAIN + VAL) * 0.01)  # the head begins with these
    assert found.disk == 0


@pytest.mark.parametrize(("strategy", "views"), [("finetune", 8 * (TRAIN + VAL)), ("scratch", 0)])
def test_all_is_trained_from_features_or_from_nothing(strategy, views):
    found = estimated(strategy=strategy, unfreeze="all", views=8)

    assert found.features == pytest.approx(views * 0.05)
    assert found.memory > estimated(strategy="finetune", unfreeze="block5", views=8).memory


def test_a_time_limit_buys_fewer_views_where_all_is_trained_too():
    """960 pictures in eight views are 48 s, of which 60 % of 40 s allow half."""
    config = resolved(
        RunConfig.from_options(precision="float32", strategy="finetune", unfreeze="all", views=8)
    )
    split = np.array(["train"] * TRAIN + ["val"] * VAL)
    task = Task(config, specs.backbone("vgg16"), {}, "ncnn", [], np.zeros(120, int), np.ones(120), split, 2)

    assert estimate.within(task, 60).config.training.augment_views == 4
    assert estimate.within(task, 100).config.training.augment_views == 8


@pytest.mark.parametrize(("epochs", "late"), [(40, False), (39, True)])
def test_an_average_that_cannot_forget_its_beginning_is_said(epochs, late, capsys):
    """Momentum 0.9 looks back ten steps, of which there shall be four times as many; a step is all images."""
    with shown():
        estimate.say(task(strategy="finetune", average=0.9, batch_size=100, epochs=epochs))

    assert ("Average    over some 10 steps of 39 in all" in capsys.readouterr().err) == late
