"""Each strategy learns an easy task, changes only what it may, and looks only where it may."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from headstart.backbones import classifier, heads, specs, weights
from headstart.config import RunConfig
from headstart.engines import open_engine, run_batches
from headstart.errors import InputError
from headstart.progress import shown
from headstart.rundir import RunDir
from headstart.training import maps, strategy
from headstart.training.checkpoint import State
from headstart.training.features import Image
from headstart.training.journal import Journal
from headstart.training.phases import EPOCHS, phases, resolved
from headstart.training.strategy import Task

TINY = specs.backbone("vgg-tiny")
SIZE = 32
SPLIT = np.array(["train"] * 36 + ["val"] * 12 + ["test"] * 12)


def drawn(label, seed):
    """Red, green or blue under a bright or dark veil of noise."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 90, (SIZE, SIZE, 3)) + rng.integers(0, 60)
    pixels[..., label] += 100
    return pixels.astype(np.uint8)


def image(pixels):
    return Image(hashlib.sha256(pixels.tobytes()).hexdigest(), pixels)


def task(y=None, **options):
    """60 images of three classes; options as on the command line."""
    plain = {"backbone": "vgg-tiny", "image_size": SIZE}
    if {"strategy", "solver"} & options.keys() or options.get("head") == "vgg":
        plain |= {"precision": "float32", "batch_size": 12}
    config = resolved(RunConfig.from_options(**plain | options))
    y = np.arange(60) % 3 if y is None else y
    scratch = config.training.strategy == "scratch"
    return Task(
        config=config,
        backbone=TINY.blank if scratch else TINY,
        arrays=weights.random(TINY, 4),
        engine="ncnn",
        images=[image(drawn(i % 3, i)) for i in range(60)],
        y=y,
        weight=np.ones(60),
        split=SPLIT,
        classes=3,
    )


@pytest.fixture
def fit(tmp_path, monkeypatch):
    """Trains in a folder with a cache of its own."""

    def train(what, name="run", journal=Journal):
        monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / f"cache of {name}"))
        return strategy.fit(what, journal(RunDir(tmp_path / name)))

    return train


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """Task and outcome of a row of LEARN; each is trained once."""
    found = {}

    def train(name):
        if name not in found:
            what = task(**LEARN[name])
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("HEADSTART_CACHE", str(tmp_path_factory.mktemp("cache")))
                found[name] = what, strategy.fit(what, Journal(RunDir(tmp_path_factory.mktemp("run"))))
        return found[name]

    return train


def network(what, arrays):
    """Keras's own answer, with the arrays that came out."""
    return classifier.build_classifier(what.backbone, what.config.model.head, SIZE, arrays)


def accuracy(what, trained, split="test"):
    """Of the whole network on plain pixels, images as they are."""
    images, y = what.of(split)
    answers = network(what, trained.arrays).predict_on_batch(np.stack([i.content for i in images]))
    return (answers.argmax(axis=1) == y).mean()


def same(one, other):
    assert one.arrays.keys() == other.arrays.keys()
    for name, array in one.arrays.items():
        np.testing.assert_array_equal(array, other.arrays[name], name)


# --- learning -------------------------------------------------------------------------------------------

LEARN = {
    "exact solver": {},
    "steps": {"solver": "keras", "epochs": 40, "dropout": 0.2},
    "the paper's head": {"head": "vgg", "epochs": 40, "augment": "flip", "learning_rate": 0.01},
    "finetune": {"strategy": "finetune", "epochs": 3, "views": 8, "learning_rate": 0.003},
    "finetune with taps": {
        "strategy": "finetune", "epochs": 3, "unfreeze": "block4", "head": "taps", "dropout": 0.2,
    },
    "finetune the paper's head": {"strategy": "finetune", "epochs": 2, "head": "vgg", "mix": "cutmix"},
    "scratch": {"strategy": "scratch", "epochs": 20, "learning_rate": 0.01, "augment": "flip"},
}  # fmt: skip
CHANGED = {"finetune": {"block5_conv1"}, "finetune with taps": {"block4_conv1", "block5_conv1"}}
CHANGED |= {"finetune the paper's head": {"block5_conv1"}}
CHANGED |= {"scratch": {layer for layer in TINY.layers if "conv" in layer}}


@pytest.mark.parametrize("name", LEARN)
def test_an_easy_task_is_learnt(learnt, name):
    """Eleven of twelve test images at least, by the arrays on plain pixels; what is frozen keeps its bits."""
    what, trained = learnt(name)

    assert accuracy(what, trained) >= 11 / 12
    before = weights.random(TINY, 4)
    kept = {n for n, array in trained.arrays.items() if np.array_equal(array, before.get(n))}
    head = {name for name, _ in heads.hidden(TINY, what.config.model.head)} | {"head"}
    assert {n.split("/")[0] for n in trained.arrays.keys() - kept} == CHANGED.get(name, set()) | head
    assert all(np.array_equal(array, before[n]) for n, array in what.arrays.items())


@pytest.mark.parametrize(
    ("name", "boundary"),
    [("finetune with taps", "block3_pool"), ("scratch", "image"), ("exact solver", "block5_conv1")],
)
def test_what_comes_out_fits_together(learnt, name, boundary):
    """History and reference are those of the network that the arrays make."""
    what, trained = learnt(name)

    pixels = [i.content for i in what.of("train")[0]]
    engine = open_engine("keras", what.backbone, what.config.model.head, SIZE, trained.arrays)
    expected = np.array(list(run_batches(engine, pixels)))
    assert trained.reference.shape == (36, 1, TINY.width(what.config.model.head, SIZE))
    tolerance = 2e-3 * np.abs(expected).max()  # ncnn's Winograd and float16
    np.testing.assert_allclose(trained.reference[:, 0], expected, atol=tolerance)
    assert trained.boundary == boundary
    number = "epoch" if "epoch" in trained.chosen else "C"
    rows = [row for row in trained.history if row["phase"] == trained.history[-1]["phase"]]
    [kept] = [row for row in rows if row[number] == trained.chosen[number]]
    assert accuracy(what, trained, "val") == pytest.approx(kept["val_accuracy"])


def test_fine_tuning_begins_where_the_head_ended(learnt):
    """Epoch 0 of the top is the frozen network with its head, to float16's rounding of the maps."""
    _, trained = learnt("finetune")

    phases = [row["phase"] for row in trained.history]
    assert sorted(set(phases), key=phases.index) == ["lbfgs", "top"]
    top = trained.history[phases.index("top")]
    chosen = next(row for row in trained.history if row.get("C") == trained.chosen["head C"])
    assert (top["epoch"], top["loss"]) == (0, None)
    assert top["val_loss"] == pytest.approx(chosen["val_loss"], rel=0.01)


def test_streamed_the_frozen_part_is_computed_with_each_step(fit, learnt, tmp_path):
    """As on a GPU: nothing is cached, what is frozen keeps its bits, and the steps are those of the maps."""
    what, cached = learnt("finetune with taps")
    streamed = fit(replace(what, streamed=True))

    assert not (tmp_path / "cache of run" / "maps").exists()
    before = weights.random(TINY, 4)
    changed = {n.split("/")[0] for n, a in streamed.arrays.items() if not np.array_equal(a, before.get(n))}
    assert changed == CHANGED["finetune with taps"] | {"head"}
    top = [[row["val_loss"] for row in t.history if row["phase"] == "top"] for t in (cached, streamed)]
    assert top[0][:2] == pytest.approx(top[1][:2], rel=0.05)  # later epochs amplify float16's rounding
    assert accuracy(what, streamed) >= 11 / 12


def test_the_head_that_fine_tuning_began_with_is_handed_out(learnt):
    """Its logits on the frozen features give the validation loss that was chosen by."""
    what, trained = learnt("finetune")

    engine = open_engine("keras", what.backbone, "gap", SIZE, what.arrays)
    images, y = what.of("val")
    pixels = [what.recipe().view(image, view) for image in images for view in range(8)]
    x = np.array(list(run_batches(engine, pixels))).reshape(len(images), 8, -1)
    logits = heads.from_arrays(TINY, "gap", trained.beginning).logits(x)
    shifted = logits - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(y)), y]
    chosen = next(row for row in trained.history if row.get("C") == trained.chosen["head C"])
    assert losses.mean() == pytest.approx(chosen["val_loss"], rel=0.01)
    assert learnt("scratch")[1].beginning is None


# --- one seed, and the test split -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["steps", "finetune with taps"])
def test_one_seed_one_model_whatever_the_test_images_are(fit, learnt, name):
    """Other test images with other labels, another cache: the same bits."""
    what, trained = learnt(name)
    noise = np.random.default_rng(0).integers(0, 256, (12, SIZE, SIZE, 3), dtype=np.uint8)
    images, y = [*what.images[:48], *map(image, noise)], np.r_[what.y[:48], np.zeros(12, int)]

    again = fit(replace(what, images=images, y=y))

    same(again, trained)
    np.testing.assert_array_equal(again.reference, trained.reference)


@pytest.mark.parametrize(
    ("epochs", "best", "said"),
    [([0], 0, "the time limit left none"), ([0, 1], 0, "none was better"), ([0, 1], 1, "")],
)
def test_epochs_in_vain_are_said(epochs, best, said, capsys):
    phase = phases(task(strategy="finetune", unfreeze="block5").config)[-1]
    history = [{"phase": "head", "epoch": 5}, *({"phase": phase.name, "epoch": epoch} for epoch in epochs)]

    with shown():
        strategy._say_if_vain(State(history=history, best_epoch=best), phase)

    assert said in (line := capsys.readouterr().err)
    assert bool(line) == bool(said)


def test_what_the_program_around_draws_at_random_goes_on(fit):
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002 - what Keras would set
    expected = random.Random(7).random(), np.random.RandomState(7).rand()  # noqa: S311

    fit(task(solver="keras", epochs=1))

    assert (random.random(), np.random.rand()) == expected  # noqa: NPY002, S311


@pytest.mark.parametrize("size", [SIZE, 2 * SIZE])
def test_hidden_layers_of_a_file_are_taken_all_or_none(size, tmp_path, capsys):
    """With pictures of another size the first one doesn't fit, and the second means nothing by itself."""
    shapes = heads.shapes(TINY, "vgg", SIZE, 3)
    rng = np.random.default_rng(0)
    file = tmp_path / "w.safetensors"
    save_file({name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}, file)
    what = task(head="vgg", weights=str(file), image_size=size)
    random_ones = heads.random(TINY, "vgg", size, 3, 0)

    with shown():
        arrays, _ = strategy._untrained_head(what, None, None)

    same = {name.partition("/")[0] for name in arrays if np.array_equal(arrays[name], random_ones[name])}
    assert same == ({"head"} if size == SIZE else {"fc1", "fc2", "head"})
    assert ("begins at random" in capsys.readouterr().err) == (size != SIZE)


# --- weights --------------------------------------------------------------------------------------------


def test_weights_of_classes_and_images_multiply():
    """18, 12 and 6 of 36 images: 36 / 3 / n is 2/3, 1 and 2."""
    y = np.repeat([0, 1, 2, 0, 1], [18, 12, 6, 12, 12])
    weight = np.linspace(0.1, 6, 60)

    plain = replace(task(y), weight=weight).training_weight()
    balanced = replace(task(y, class_weight="balanced"), weight=weight).training_weight()

    np.testing.assert_array_equal(plain, weight[:36])
    np.testing.assert_allclose(balanced / weight[:36], np.repeat([2 / 3, 1, 2], [18, 12, 6]))


def test_images_that_all_weigh_nothing_are_refused(fit):
    """What validation and test weigh plays no part."""
    weight = np.r_[np.zeros(36), np.ones(24)]
    for options in ({}, LEARN["scratch"]):
        with pytest.raises(
            InputError, match=r"^Every training image has the weight 0\. .* column of weights"
        ):
            fit(replace(task(**options), weight=weight))


def mistaken():
    """Labels of which two thirds are wrong in training, and which images that is."""
    y = np.arange(60) % 3
    wrong = (SPLIT == "train") & (np.arange(60) % 9 >= 3)
    return np.where(wrong, (y + 1) % 3, y), wrong


@pytest.mark.parametrize("name", ["exact solver", "scratch"])
def test_images_without_weight_teach_nothing(fit, name):
    y, wrong = mistaken()
    what = replace(task(y, **LEARN[name]), weight=np.where(wrong, 0.0, 1.0))

    assert accuracy(what, fit(what)) >= 11 / 12


def test_where_only_the_mistaken_ones_have_weight_they_are_believed(fit):
    y, wrong = mistaken()
    y = np.where(SPLIT == "val", (y + 1) % 3, y)
    what = replace(task(y), weight=np.where(wrong, 1.0, 0.0))

    assert accuracy(what, fit(what)) <= 1 / 12


# --- interruption, from phase to phase ------------------------------------------------------------------


class Stopping(Journal):
    """Asks for the end when so many rows have been written."""

    after = 0

    def write(self, history):
        super().write(history)
        if len(history) == self.after:
            os.kill(os.getpid(), signal.SIGTERM)


def test_stopped_in_either_phase_it_ends_with_the_same_bits(fit, monkeypatch):
    """In the head's third epoch, and in the first of the top, whose head then comes from the checkpoint."""
    monkeypatch.setitem(EPOCHS, "frozen", 4)
    what = task(strategy="finetune", epochs=2, solver="keras", dropout=0.3)
    whole = fit(what, "whole")
    begins = [row["phase"] for row in whole.history].index("top")

    for rows in (4, begins + 2):
        monkeypatch.setattr(Stopping, "after", rows)
        with pytest.raises(SystemExit) as ended:
            fit(what, "broken", Stopping)
        assert ended.value.code == 143
    again = fit(what, "broken")

    same(again, whole)
    np.testing.assert_array_equal(again.reference, whole.reference)
    assert again.chosen == whole.chosen
    for one, other in zip(again.history, whole.history, strict=True):
        assert one | {"seconds": 0} == other | {"seconds": 0}


@pytest.mark.parametrize("options", [{}, {"solver": "keras"}], ids=["exact solver", "steps"])
def test_where_the_disk_is_full_meanwhile_it_ends_with_the_same_bits(fit, tmp_path, monkeypatch, options):
    """The head's scaling, which is reckoned from features, is part of the checkpoint."""
    monkeypatch.setitem(EPOCHS, "frozen", 2)
    what = task(strategy="finetune", epochs=2, head="taps", **options)
    whole = fit(what, "whole")
    begins = [row["phase"] for row in whole.history].index("top")
    monkeypatch.setattr(Stopping, "after", begins + 2)
    with pytest.raises(SystemExit):
        fit(what, "broken", Stopping)

    shutil.rmtree(tmp_path / "cache of broken")
    monkeypatch.setattr(maps, "SPARE", 1e18)
    monkeypatch.setattr(strategy, "_features", refused)  # what they say may differ in the last bit

    same(fit(what, "broken"), whole)


def refused(*_):
    raise AssertionError("features were computed for a head that is there")
