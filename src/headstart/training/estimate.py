"""What a training will take in time, memory and disk, said before it starts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from headstart.backbones import vgg
from headstart.backbones.heads import shapes
from headstart.backbones.specs import Backbone
from headstart.engines.choice import measured
from headstart.progress import note
from headstart.training.boundary import HELD, Frozen
from headstart.training.phases import Phase, phases
from headstart.training.strategy import Task

FLOPS = 1e11  # a second, where no engine was timed here: two cores of a laptop
GPU = 1e13  # and a small GPU
STEP = 3  # a step computes its layers forwards, and backwards for inputs and for kernels
BASE = 1.2e9  # bytes: Python, TensorFlow and the frozen network


@dataclass(frozen=True)
class Estimate:
    """Rough, for a person who wonders whether to wait.

    Attributes:
        features: seconds for what lies below the boundary, with an empty cache.
        test: seconds of the saved model's answers for the test images.
        epochs: how many.
        epoch: seconds of one of them, validation included.
        memory: bytes at the peak.
        disk: bytes of the cache.
    """

    features: float
    test: float
    epochs: int
    epoch: float
    memory: float
    disk: float

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.features + self.epochs * self.epoch + self.test


def macs(spec: Backbone, size: int, boundary: str = "image") -> float:
    """Multiplications of the convolutions above `boundary` for one image of `size` pixels.

    >>> from headstart.backbones.specs import backbone
    >>> [round(macs(backbone("vgg16"), 224, tensor) / 1e9, 2) for tensor in ("image", "block4_pool")]
    [15.35, 1.39]
    """
    return sum(
        9.0 * fan * channels * spec.side(name, size) ** 2
        for name, fan, channels in vgg.conv_names(spec)
        if name in spec.above(boundary)
    )


def estimate(task: Task) -> Estimate:
    """Of a task, from what its engines were timed at here."""
    config, spec = task.config, task.backbone
    size, head, served = config.data.image_size, config.model.head, config.model.views
    train, val, test = (int((task.split == name).sum()) for name in ("train", "val", "test"))
    shown = train * config.training.augment_views + val * served
    whole = macs(spec, size)
    times = measured(spec, head, size)
    guess = 2 * whole / (GPU if task.streamed else FLOPS)
    seconds = times.get(task.engine, guess)
    vectors = 4.0 * spec.width(head, size) * (shown + test * served)
    held = 2 * vectors  # beside them what they are read from, and later what is scaled
    if config.training.strategy == "frozen":
        return Estimate(shown * seconds, test * served * seconds, 0, 0.0, BASE + held, vectors)
    phase = phases(config)[-1]
    cached = task.reads(phase.boundary) != "image"
    frozen = Frozen(spec, head, {}, task.reads(phase.boundary))
    begun = config.training.strategy != "scratch"  # from features of the frozen network
    direct = (
        times.get("keras" if task.streamed else "openvino", guess) / whole
    )  # Keras has no Winograd either
    above = macs(spec, size, phase.boundary)
    below = whole - above if task.streamed else 0.0
    return Estimate(
        features=shown * begun * seconds,
        test=test * served * seconds,
        epochs=phase.epochs,
        epoch=(train * (STEP * above + below) + val * served * (above + below)) * direct,
        memory=BASE + _trained(task, phase) + begun * held + (0.0 if cached else _held(size, train + val)),
        disk=float(frozen.bytes(shown, size)),
    )


def _held(size: int, images: int) -> float:
    """Bytes of pixels that stay in memory."""
    return min(2.0 * HELD, 3.0 * size**2 * images)


def _trained(task: Task, phase: Phase) -> float:
    """Bytes of weights, gradients and two moments, and of a batch's maps with their gradients."""
    spec, config = task.backbone, task.config
    size, above = config.data.image_size, task.backbone.above(phase.boundary)
    kernels = sum(9 * fan * channels for name, fan, channels in vgg.conv_names(spec) if name in above)
    dense = sum(prod(shape) for shape in shapes(spec, config.model.head, size, task.classes).values())
    maps = sum(spec.side(name, size) ** 2 * spec.channels(name) for name in above)
    return 16.0 * (kernels + dense) + 12.0 * maps * phase.batch_size


def within(task: Task, limit: float) -> Task:
    """The task with as few views of each image as let the frozen part be computed in 60 % of `limit` seconds.

    The steps get the rest. A killed run goes on with the number that ``run.json`` holds.
    """
    training = task.config.training
    if training.strategy == "frozen" or estimate(task).features <= 0.6 * limit or training.augment_views == 1:
        return task
    fewer = replace(training, augment_views=training.augment_views // 2)
    return within(replace(task, config=replace(task.config, training=fewer)), limit)


def say(task: Task) -> None:
    """Writes down what is going to be done, and what it will take."""
    found, training = estimate(task), task.config.training
    views = training.augment_views
    phase = phases(task.config)[-1]
    what = "the head" if training.strategy == "frozen" else f"what lies above {phase.boundary}"
    what += f", {found.epochs} epochs" if found.epochs else ""
    varied = f", {views} views of each image ({training.augment})" if views > 1 else ""
    note(f"Plan       {training.strategy}: {what}{varied}")
    if phase.boundary != "features":
        where = "; what is frozen is computed with each step, on the GPU" if task.streamed else ""
        rate = f"{phase.optimizer} at {phase.learning_rate:g}"
        note(f"Steps      {phase.batch_size} images, {rate}, {phase.precision}{where}")
        _say_if_late(phase, int((task.split == "train").sum()))
    disk = f", {found.disk / 1e9:.1f} GB of cache" if found.disk > 5e7 else ""
    need = f"{found.memory / 1e9:.1f} GB of memory{disk}"
    note(f"Estimate   {_duration(found.seconds)}, {need}, if nothing is cached")


def _say_if_late(phase: Phase, images: int) -> None:
    """An average begins with the first step, which it must have time to forget."""
    steps, span = phase.epochs * -(-images // phase.batch_size), 1 / (1 - phase.average)
    if phase.average and span > steps / 4:
        note(
            f"Average    over some {span:.0f} steps of {steps} in all: the first ones will count for much;"
            " take a lower --average, or more --epochs"
        )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"about {max(10, round(seconds, -1)):.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"
