"""The strategies: which phases are trained, one after the other, and what comes out of them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.backbones import classifier, heads, weights
from headstart.backbones.framework import keras, precision
from headstart.backbones.heads import Scaling
from headstart.backbones.specs import Backbone
from headstart.backbones.weights import Arrays
from headstart.config import RunConfig
from headstart.engines import threads
from headstart.engines.precision import training_precision
from headstart.errors import InputError, sentence
from headstart.progress import note, timed
from headstart.training import boundary, features, probe, trainer
from headstart.training.checkpoint import State, Tensors
from headstart.training.features import Image, Recipe
from headstart.training.head import scaling
from headstart.training.journal import History, Journal
from headstart.training.phases import Phase, phases
from headstart.training.sources import Examples, Source, Vectors, fed


@dataclass(frozen=True)
class Task:
    """What is to be learnt, and by what.

    Attributes:
        config: resolved, see `phases.resolved`.
        backbone, arrays: the network and its weights at the start.
        engine: that computes what is frozen.
        images, y, weight, split: (N,) each; the weight in the loss, and the names of the splits.
        classes: how many there are.
        streamed: what is frozen below the last phase is computed anew in every step, inside its graph, as
            suits a GPU; otherwise once, into the cache.
    """

    config: RunConfig
    backbone: Backbone
    arrays: Arrays
    engine: str
    images: list[Image]
    y: np.ndarray
    weight: np.ndarray
    split: np.ndarray
    classes: int
    streamed: bool = False

    def reads(self, boundary: str) -> str:
        """The tensor that is read to train what lies above `boundary`."""
        return "image" if self.streamed else boundary

    def recipe(self, preset: str = "dihedral", tensor: str = "") -> Recipe:
        """How the features, and the map at `tensor`, of views of a `preset` are computed."""
        data, model = self.config.data, self.config.model
        return features.recipe(
            self.backbone, self.arrays, model.head, data.image_size, data.fit, self.engine,
            preset, self.config.seed, tensor,
        )  # fmt: skip

    def of(self, split: str) -> tuple[list[Image], np.ndarray]:
        """Images and classes of a split."""
        rows = np.flatnonzero(self.split == split)
        return [self.images[row] for row in rows], self.y[rows]

    def training_weight(self) -> np.ndarray:
        """(N,) of each training image, its class's weight included.

        Raises:
            InputError: no training image weighs anything.
        """
        from sklearn.utils.class_weight import compute_sample_weight

        train = self.split == "train"
        kind = self.config.training.class_weight
        weight = self.weight[train] * compute_sample_weight(None if kind == "none" else kind, self.y[train])
        if not weight.any():
            line = "Every training image has the weight 0."
            raise InputError(sentence(line, allowed="weights above 0", remedy="Mend the column of weights."))
        return np.asarray(weight)


@dataclass(frozen=True)
class Trained:
    """What training leaves.

    Attributes:
        arrays: of backbone and head.
        boundary: the tensor below which nothing was trained.
        history: rows of ``history.csv``.
        chosen: what was chosen on validation.
        reference: (N, 1, D) features of the training images as they are, by the trained network.
        val: (N, views, D) features of the validation images, by the same.
        test: (N, views, D) features of the test images; None where only the saved model shall compute them.
        beginning: the head that the last phase began with; None where it was random, or in a checkpoint.
    """

    arrays: Arrays
    boundary: str
    history: History
    chosen: dict[str, float]
    reference: np.ndarray
    val: np.ndarray
    test: np.ndarray | None
    beginning: Arrays | None = None


def fit(task: Task, journal: Journal) -> Trained:
    """Trains by the strategy of the task's config, or goes on with what the journal's checkpoint holds."""
    return _frozen(task, journal) if task.config.training.strategy == "frozen" else _deep(task, journal)


def _frozen(task: Task, journal: Journal) -> Trained:
    """The head alone, on features of a network that stays as it is."""
    with timed(journal.clock, "features"):
        train, val, test = _features(task, "val", "test")
    with timed(journal.clock, "head"):
        head, state = _fit_head(task, train, val, journal)
    last = task.backbone.last_pool if task.config.model.head == "vgg" else task.backbone.last_map
    return Trained(task.arrays | head, last, state.history, state.chosen, train[:, :1], val, test)


def _features(task: Task, *served: str) -> list[np.ndarray]:
    """Of train in the views to train on, and of the splits `served` in those to serve with."""
    model, training = task.config.model, task.config.training
    counted = training.augment in ("none", "dihedral")
    recipe = task.recipe()
    if counted and training.augment_views == model.views:
        splits = ("train", *served)
        kept = np.isin(task.split.astype(str), splits)
        images = [image for image, wanted in zip(task.images, kept, strict=True) if wanted]
        x = _extract(task, images, recipe, model.views)
        return [x[task.split[kept] == name] for name in splits]
    varied = recipe if counted else task.recipe(training.augment)
    found = [_extract(task, task.of("train")[0], varied, training.augment_views)]
    rest = _extract(task, [image for name in served for image in task.of(name)[0]], recipe, model.views)
    ends = np.cumsum([int((task.split == name).sum()) for name in served])
    return [*found, *np.split(rest, ends[:-1])]


def _extract(task: Task, images: list[Image], recipe: Recipe, views: int) -> np.ndarray:
    return features.extract(images, task.backbone, task.arrays, task.config.model.head, recipe, views)


def _fit_head(task: Task, train: np.ndarray, val: np.ndarray, journal: Journal) -> tuple[Arrays, State]:
    """The head's arrays from (N, views, D) features, by the exact solver or by steps."""
    labelled = (train, task.of("train")[1]), (val, task.of("val")[1])
    weight, model = task.training_weight(), task.config.model
    if task.config.training.solver == "keras":
        return _fit_head_by_steps(task, train, val, weight, journal)
    fitted = probe.fit_path(*labelled, weight, task.backbone.parts(model.head))
    journal.write(fitted.history)
    return fitted.head.arrays(), State(history=fitted.history, chosen=fitted.chosen, done=True)


def _fit_head_by_steps(
    task: Task, train: np.ndarray, val: np.ndarray, weight: np.ndarray, journal: Journal
) -> tuple[Arrays, State]:
    """Dense layers on features."""
    model, phase = task.config.model, phases(task.config)[0]
    arrays, scale = _untrained_head(task, train, _kept_scaling(journal.checkpoints.load()))
    layer = heads.first(task.backbone, model.head)
    train, val = (x[..., : len(arrays[f"{layer}/kernel"])] for x in (train, val))
    with _built(task, phase):
        above = classifier.build_head(task.backbone, model.head, arrays, phase.dropout, scale)
    examples = (
        Examples(Vectors(train), np.arange(len(train)), task.of("train")[1], weight, train.shape[1]),
        Examples(Vectors(val), np.arange(len(val)), task.of("val")[1], np.ones(len(val)), val.shape[1]),
    )
    state = _run(task, above, phase, 0, examples, State(), journal, scale)
    state.chosen = {"epoch": float(state.best_epoch)}
    found = classifier.trained_arrays(above)
    return (scale.folded(found, layer) if scale else found), state


def _untrained_head(
    task: Task, features: np.ndarray | None, kept: Scaling | None
) -> tuple[Arrays, Scaling | None]:
    """Random, but for hidden layers that the user's file of weights holds; and the scaling of its features.

    The one `kept` in a checkpoint comes first: features that are computed anew may differ in the last bit.
    The hidden layers of a file, which are taken all or none, know raw features; from scratch there are none
    to go by.
    """
    model, size = task.config.model, task.config.data.image_size
    arrays = heads.random(task.backbone, model.head, size, task.classes, task.config.seed)
    if model.weights and heads.hidden(task.backbone, model.head):
        shapes = heads.shapes(task.backbone, model.head, size, task.classes)
        hidden = {name: shape for name, shape in shapes.items() if not name.startswith("head/")}
        found = weights.dense(model.weights, hidden)
        if found.keys() == hidden.keys():
            return arrays | found, None
        if found and not kept:  # else it was said when that was kept
            note("Head       begins at random: the file's layers are for another --image-size or --blocks")
    return arrays, kept or (None if features is None else _scaling(task, features))


def _kept_scaling(saved: tuple[State, Tensors] | None) -> Scaling | None:
    tensors = saved[1] if saved else {}
    return Scaling(tensors["scaling/mean"], tensors["scaling/scale"]) if "scaling/mean" in tensors else None


def _scaling(task: Task, features: np.ndarray) -> Scaling:
    """Of (N, views, D) training features for the first layer of the head.

    For a linear head their total variance becomes 1. With D numbers of variance 1 each, which mostly move
    together, a step that is right for a convolution would shift a logit by D times its rate.
    """
    spec, head = task.backbone, task.config.model.head
    if not heads.hidden(spec, head):
        found = scaling(features.reshape(-1, features.shape[-1]), spec.parts(head))
        return Scaling(found.mean, found.scale * np.sqrt(features.shape[-1]))
    width = heads.shapes(spec, head, task.config.data.image_size, task.classes)["fc1/kernel"][0]
    root = float(np.sqrt(np.square(features[..., :width], dtype=np.float64).mean())) or 1.0
    return Scaling(np.zeros(width), np.full(width, root))  # most of a pooled map is zero: it isn't centred


def _deep(task: Task, journal: Journal) -> Trained:
    """The head, and then the network above the boundary with it; or all of it from nothing."""
    phase = phases(task.config)[-1]
    model, training = task.config.model, task.config.training
    tensor, layer = task.reads(phase.boundary), heads.first(task.backbone, model.head)
    frozen = boundary.Frozen(task.backbone, model.head, task.arrays, tensor)
    budget = task.config.running.cache_gb * 1e9
    preset = training.augment if training.augment != "none" else "dihedral"
    (train, y), (val, y_val) = task.of("train"), task.of("val")
    with timed(journal.clock, "features"):  # validation first: it is read in every epoch
        judged = boundary.read(frozen, val, model.views, task.recipe("dihedral", tensor), budget)
        kept = len(val) * model.views if judged.features is not None else 0
        taken = frozen.bytes(kept, task.config.data.image_size)
        read = boundary.read(frozen, train, phase.views, task.recipe(preset, tensor), budget, taken)
    examples = (
        Examples(read.source, np.arange(len(train)), y, task.training_weight(), phase.views),
        Examples(judged.source, np.arange(len(val)), y_val, np.ones(len(val)), model.views),
    )
    with timed(journal.clock, "head"):
        head, scale, state = _beginning(task, read.features, judged.features, journal)
        beginning = (scale.folded(head, layer) if scale else head) if state.history else None
    with _built(task, phase):
        size, arrays = task.config.data.image_size, task.arrays | head
        whole = classifier.build_classifier(task.backbone, model.head, size, arrays, phase.dropout, scale)
        classifier.freeze(whole, task.backbone, phase.boundary)
        above = classifier.cut(whole, tensor, frozen.taps)[1]
    number = len(phases(task.config)) - 1
    begun = State(phase=number, history=state.history, chosen=state.chosen)
    with timed(journal.clock, phase.name):
        state = _run(task, above, phase, number, examples, begun, journal, scale)
    _say_if_vain(state, phase)
    spent = sum(row["seconds"] for row in state.history if row["phase"] == phase.name)
    journal.clock[phase.name] = max(journal.clock[phase.name], spent)  # before an interruption, too
    found = classifier.trained_arrays(above)
    arrays |= scale.folded(found, layer) if scale else found
    reference = features_above(task, arrays, tensor, read.source, examples[0].rows, 1)
    judged_by = features_above(task, arrays, tensor, judged.source, examples[1].rows, model.views)
    chosen = {
        "epoch": float(state.best_epoch),
        **{f"head {name}": value for name, value in state.chosen.items()},
    }
    return Trained(arrays, phase.boundary, state.history, chosen, reference, judged_by, None, beginning)


def _say_if_vain(state: State, phase: Phase) -> None:
    if not any(row["phase"] == phase.name and row["epoch"] for row in state.history):
        note("Epochs     the time limit left none: what is kept is what training began with")
    elif not state.best_epoch:
        note("Epochs     none was better than what training began with, which is kept")


def _beginning(
    task: Task, train: np.ndarray | None, val: np.ndarray | None, journal: Journal
) -> tuple[Arrays, Scaling | None, State]:
    """The head to begin with, in terms of its scaling, and where that leaves the training.

    It is trained on the frozen network; from scratch it is random, and where a checkpoint is going to take
    its place.
    """
    plan = phases(task.config)
    if len(plan) == 1:
        return *_untrained_head(task, None, None), State()
    saved = journal.checkpoints.load()
    begun, kept = saved is not None and saved[0].phase == len(plan) - 1, _kept_scaling(saved)
    del saved  # it may take gigabytes
    if begun and kept:
        return *_untrained_head(task, None, kept), State()
    if train is None or val is None:
        train, val = _features(task, "val")
    if begun:
        return *_untrained_head(task, train, None), State()
    head, state = _fit_head(task, train, val, journal)
    _, scale = _untrained_head(task, train, _kept_scaling(journal.checkpoints.load()))
    layer = heads.first(task.backbone, task.config.model.head)
    return (scale.unfolded(head, layer) if scale else head), scale, state


def _run(
    task: Task, above: Any, phase: Phase, number: int, examples: tuple[Examples, Examples], begun: State,
    journal: Journal, scale: Scaling | None,
) -> State:  # fmt: skip
    """Runs one phase in steps, from its beginning or from the checkpoint that was left in it."""
    saved = journal.checkpoints.load()
    state, tensors = saved if saved and saved[0].phase == number else (begun, {})
    last = number == len(phases(task.config)) - 1
    deadline = journal.deadline if last else journal.share(0.2)  # a head alone needs few seconds
    readers = min(trainer.WINDOW, threads()) if task.streamed else 2  # a GPU leaves the cores to them
    kept = {"scaling/mean": scale.mean, "scaling/scale": scale.scale} if scale else {}
    stage = trainer.Stage(
        above, phase, *examples, task.config.seed, deadline, journal.write, readers, last, kept
    )
    return trainer.fit(stage, state, tensors, journal.checkpoints)


def features_above(
    task: Task, arrays: Arrays, tensor: str, source: Source, rows: np.ndarray, views: int
) -> np.ndarray:
    """(N, views, D) features by a network with other `arrays` above the boundary `tensor`; in float32."""
    head = task.config.model.head
    with precision("float32"):
        model = classifier.build_features(task.backbone, head, task.config.data.image_size, arrays)
        above = classifier.cut(model, tensor, task.backbone.frozen_taps(head, tensor))[1]
    found = []
    for view in range(views):
        parts = []
        for start in range(0, len(rows), trainer.JUDGED):
            x = source.batch(rows[start : start + trainer.JUDGED], view)
            parts.append(np.asarray(above.predict_on_batch(fed(x)), np.float32))
        found.append(np.concatenate(parts))
    return np.stack(found, axis=1)


@contextmanager
def _built(task: Task, phase: Phase) -> Iterator[None]:
    """Models that are built inside compute in the phase's precision, and drop what the seed says.

    What the program around draws at random goes on where it was.
    """
    drawn, drawn_by_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - Keras sets the old one
    keras().utils.set_random_seed(task.config.seed)
    try:
        with precision(training_precision(phase.precision)):
            yield
    finally:
        random.setstate(drawn)
        np.random.set_state(drawn_by_numpy)  # noqa: NPY002
