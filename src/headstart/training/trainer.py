"""The step loop: one phase of training, resumable at every step with the same bits.

Order, variant and blend of the images are functions of (seed, phase, epoch, step); all else that changes is
in `model.variables` and `optimizer.variables` (Keras's own savers leave out the state of Dropout), and in the
lowest losses so far. Only `train_on_batch` and `predict_on_batch` are asked of Keras, so any of its backends
will do.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from headstart.backbones.framework import keras
from headstart.data.loader import ahead
from headstart.errors import GateError, sentence
from headstart.progress import Bar, bar
from headstart.training import optimizer as optimizers
from headstart.training.checkpoint import Checkpoints, State, Tensors, misfit
from headstart.training.head import clearly_worse
from headstart.training.interrupt import Asked, deferred
from headstart.training.mixing import mix
from headstart.training.phases import Phase
from headstart.training.sources import Examples, fed
from headstart.training.temperature import calibrated_losses, cross_entropy

SAVE_EVERY = 30.0  # seconds between two checkpoints inside an epoch
JUDGED = 64  # images in a batch of validation
WINDOW = 4  # batches that are prepared ahead


@dataclass(frozen=True)
class Stage:
    """All that a phase is given.

    Attributes:
        model: the Keras model above the boundary, inputs as `Examples.source` gives them, logits out.
        phase: how it is trained.
        train, val: what it learns from, and what judges it.
        seed: settles order, blends and dropout.
        deadline: on the clock of `time.monotonic`, when the last epoch should have ended.
        on_epoch: called with all rows of the history, and the last one again, after every epoch.
        readers: threads that prepare batches meanwhile.
        last: whether no phase follows, so that ``--learning-rate`` is that of this one.
        kept: tensors that every checkpoint holds beside those of the model.
    """

    model: Any
    phase: Phase
    train: Examples
    val: Examples
    seed: int
    deadline: float = math.inf
    on_epoch: Callable[[list[dict[str, Any]]], None] = lambda history: None  # noqa: ARG005
    readers: int = 2
    last: bool = True
    kept: Tensors = field(default_factory=dict)


def fit(stage: Stage, state: State, tensors: Tensors, checkpoints: Checkpoints) -> State:
    """Trains until the epochs are over, patience or time is; the model has the best epoch's weights then.

    Args:
        stage: what to train.
        state: of this phase's beginning, or of a checkpoint.
        tensors: of that checkpoint; empty at the beginning.
        checkpoints: where they are kept.

    Raises:
        GateError: the loss is no number any more.
        InputError: the checkpoint is damaged, or of other versions.
        KeyboardInterrupt, SystemExit: Ctrl-C or SIGTERM; the step that was under way is saved.
    """
    with deferred() as asked:
        loop = _Loop(stage, state, checkpoints, asked)
        loop.begin(tensors)
        loop.run()
        loop.end()
        asked.heed()
    return loop.state


class _Loop:
    """A phase under way."""

    def __init__(self, stage: Stage, state: State, checkpoints: Checkpoints, asked: Asked) -> None:
        self.stage, self.state, self.checkpoints, self.asked = stage, state, checkpoints, asked
        self.model, self.phase = stage.model, stage.phase
        self.classes = self.model.output.shape[-1]
        self.steps = math.ceil(len(stage.train.rows) / self.phase.batch_size)
        self.lowest: np.ndarray | None = None  # (N,) losses of the epoch where their mean was lowest
        self.saved = time.monotonic()

    def begin(self, tensors: Tensors) -> None:
        """Compiles, and restores a checkpoint, or judges the model as it came: that is epoch 0."""
        if not tensors:
            self.state.epochs = self.phase.epochs
        self._compile()
        if tensors:
            self._restore(tensors)
        elif math.isfinite(self.stage.deadline):
            self.state.epochs = self._affordable()
            self._compile()
        if not self.state.epoch:
            self._judge(None)
            self.state.epoch = 1
            self.save()

    def run(self) -> None:
        """Trains step by step until no further epoch is to begin."""
        state, images = self.state, len(self.stage.train.rows)
        done = max(0, state.epoch - 1) * images + state.step * self.phase.batch_size
        with bar(self._title(), state.epochs * images, done, narrow=True) as progress:
            while not self._over():
                self._epoch(progress)

    def _over(self) -> bool:
        state, patience = self.state, self.phase.patience
        if state.done or state.epoch > state.epochs:
            return True
        tired = 0 < patience <= state.waited
        late = time.monotonic() > self.stage.deadline and state.epoch > 1
        return state.step == 0 and (tired or late)

    def _title(self) -> str:
        return f"Epoch {min(self.state.epoch, self.state.epochs)}/{self.state.epochs}"

    def _epoch(self, progress: Bar) -> None:
        """The steps that this epoch still lacks, and validation at its end."""
        state = self.state
        start = time.monotonic() - state.seconds
        for x, y, weight in ahead(self._batch, range(state.step, self.steps), self.stage.readers, WINDOW):
            logs = self.model.train_on_batch(x, y, sample_weight=weight, return_dict=True)
            state.step += 1
            state.seconds = time.monotonic() - start
            self._require_finite(float(logs["loss"]), x)
            self._require_finite(self._sum(), x, "the sum of the weights")
            self._count(logs, weight)
            progress.advance(len(y), _words("", self._means()), self._title())
            if self.asked.signal or time.monotonic() - self.saved > SAVE_EVERY:
                self.save()
            self.asked.heed()
        self.save()  # validation may take long, and hears signals too
        row = self._judge(self._means())
        if self.phase.boundary != "features":  # a head's epochs are over too soon to be read
            progress.line(
                f"{self._title():<12} {_words('', row)}  {_words('val_', row)}  {row['seconds']:.0f} s"
            )
        state.epoch, state.step, state.seconds, state.sums = state.epoch + 1, 0, 0.0, [0.0] * 4
        self.save()
        self.asked.heed()

    def _count(self, logs: dict[str, Any], weight: np.ndarray) -> None:
        """Adds a step's loss, a mean over images, and its accuracy, one over their weights."""
        images, total = len(weight), float(weight.sum())
        step = (float(logs["loss"]) * images, images, float(logs["accuracy"]) * total, total)
        self.state.sums = [before + more for before, more in zip(self.state.sums, step, strict=True)]

    def _means(self) -> dict[str, float]:
        """Loss and accuracy over the steps of this epoch."""
        loss, images, right, weight = self.state.sums
        return {"loss": loss / images, "accuracy": right / (weight or 1.0)}

    def save(self) -> None:
        """Writes a checkpoint; one that holds no numbers is never written."""
        tensors = {f"{kind}/{i:04}": _array(v) for kind, i, v in self._variables()}
        if self.lowest is not None:
            tensors["lowest"] = self.lowest
        for name, tensor in tensors.items():
            if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
                raise self._diverged(f"{name} holds a value that is no number")
        self.checkpoints.save(self.state, tensors | self.stage.kept)
        self.saved = time.monotonic()

    def end(self) -> None:
        """Puts the best epoch's weights back."""
        best = self.checkpoints.load_best(self.state)
        for i, variable in enumerate(self.model.trainable_variables):
            variable.assign(best[f"{i:04}"].reshape(variable.shape))
        if not self.state.done:
            self.state.done = True
            self.save()

    # --- one step ----------------------------------------------------------------------------------

    def _batch(self, step: int) -> tuple[Any, np.ndarray, np.ndarray]:
        """Inputs, targets and weights of a step."""
        train, phase = self.stage.train, self.phase
        epoch = self.state.epoch
        order = self._rng(epoch).permutation(len(train.rows))
        chosen = order[step * phase.batch_size : (step + 1) * phase.batch_size]
        x = train.source.batch(train.rows[chosen], (epoch - 1) % train.views)
        y = np.eye(self.classes, dtype=np.float32)[train.y[chosen]]
        weight = (train.weight[chosen] / train.weight.mean()).astype(np.float32)
        if phase.mix != "none":
            blended, y, weight = mix(phase.mix, x[0], y, weight, self._rng(epoch, step + 1))
            x = (blended, *x[1:])
        return fed(x), y, weight

    def _rng(self, *place: int) -> np.random.Generator:
        return np.random.default_rng([self.stage.seed, self.state.phase, *place])

    def _sum(self) -> float:
        """Of all weights: no number where one of them isn't, which ReLU may hide from the loss."""
        ops = keras().ops
        sums = [ops.sum(variable) for variable in self.model.trainable_variables]
        return float(np.sum(ops.convert_to_numpy(ops.stack(sums)), dtype=np.float64))  # asks a GPU once

    def _require_finite(self, value: float, x: Any = (), what: str = "the loss") -> None:
        if not math.isfinite(value):
            raise self._diverged(f"{what} is {value}", x)

    def _diverged(self, what: str, x: Any = ()) -> GateError:
        where = f"epoch {self.state.epoch}, step {self.state.step}"
        return GateError(f"Training came to nothing in {where}: {what}. {self._likely_cause(x)}")

    def _likely_cause(self, x: Any) -> str:
        """The inputs `x` of the step, the weights at the start, or else the steps."""
        if not all(np.isfinite(part).all() for part in (x if isinstance(x, list) else [x])):
            return "The features of an image hold one: run `headstart cache clear`."
        if not self.state.epoch:
            return "It was so before the first step: check the weights that it began with."
        rate, clip = self.phase.learning_rate, self.phase.clip_norm
        if not self.stage.last:  # the head's own rate, which is no option
            received = f"--optimizer {self.phase.optimizer} --clip-norm {clip:g}"
            remedy = "Try --optimizer adamw and --clip-norm 1, or another --solver or --head"
        else:
            received = f"--learning-rate {rate:g} --clip-norm {clip:g}"
            remedy = f"Try --learning-rate {rate / 10:g} and --clip-norm 1"
        remedy += ", with another --out or with --force."
        return sentence("Most often the steps are too long.", received=received, remedy=remedy)

    # --- judging -----------------------------------------------------------------------------------

    def _judge(self, logs: dict[str, float] | None) -> dict[str, Any]:
        """Scores the validation images, adds a row to the history, and keeps the weights if they are best.

        As for the frozen head, what counts is the loss at the best temperature: how boldly answers are put
        is set right later (docs/decisions/0004-probe.md). The best epoch is the last one that isn't clearly
        worse than the one with the lowest loss: a few hundred images cannot tell two good epochs apart,
        and the later one had the smaller steps (docs/decisions/0007-training.md).
        """
        state, raw, start = self.state, None, time.monotonic()
        if self.phase.average and state.epoch:
            raw = [_array(variable) for variable in self.model.trainable_variables]
            self.model.optimizer.finalize_variable_values(self.model.trainable_variables)
        logits = self._answers()
        val = self.stage.val
        self._require_finite(float(logits.sum()))
        losses = calibrated_losses(logits, val.y)
        loss = float(losses.mean())
        row: dict[str, Any] = {
            "phase": self.phase.name,
            "epoch": state.epoch,
            **(logs or {"loss": None, "accuracy": None}),
            "val_loss": cross_entropy(logits, val.y),
            "val_accuracy": float((logits.argmax(axis=1) == val.y).mean()),
            "learning_rate": float(keras().ops.convert_to_numpy(self.model.optimizer.learning_rate)),
            "seconds": round(state.seconds + time.monotonic() - start, 3),  # steps and validation
            "val_calibrated_loss": loss,
        }
        state.history = [*state.history, row]
        state.waited += 1
        if self.lowest is None or loss < self.lowest.mean():
            self.lowest = losses
        if not clearly_worse(losses, self.lowest):
            state.best_loss, state.best_epoch, state.waited = loss, state.epoch, 0
            weights = {f"{i:04}": _array(v) for i, v in enumerate(self.model.trainable_variables)}
            self.checkpoints.save_best(state, weights)
        for variable, value in zip(self.model.trainable_variables, raw or [], strict=False):
            variable.assign(value.reshape(variable.shape))
        self.stage.on_epoch(state.history)
        return row

    def _answers(self) -> np.ndarray:
        """(N, C) logits of the validation images, the mean over their views."""
        val = self.stage.val
        total = np.zeros((len(val.rows), self.classes))
        jobs = self._questions()
        inputs = ahead(self._asked, jobs, self.stage.readers, WINDOW)
        for (start, _), x in zip(jobs, inputs, strict=True):
            self.asked.heed()
            total[start : start + JUDGED] += np.asarray(self.model.predict_on_batch(x), np.float64)
        return total / val.views

    def _questions(self) -> list[tuple[int, int]]:
        """Where the batches of validation begin, in each view."""
        val = self.stage.val
        return [(start, view) for start in range(0, len(val.rows), JUDGED) for view in range(val.views)]

    def _asked(self, question: tuple[int, int]) -> Any:
        start, view = question
        val = self.stage.val
        return fed(val.source.batch(val.rows[start : start + JUDGED], view))

    # --- Keras -------------------------------------------------------------------------------------

    def _compile(self) -> None:
        optimizer = optimizers.optimizer(self.phase, self.state.epochs * self.steps)
        self.model.compile(optimizer, optimizers.loss(self.phase), weighted_metrics=["accuracy"])
        # Not `optimizer` itself: for float16 Keras has wrapped it in one that scales the loss.
        self.model.optimizer.build(self.model.trainable_variables)
        one = np.eye(self.classes, dtype=np.float32)[:1]  # with metrics built, TensorFlow traces a step once
        self.model.compute_metrics(None, one, one, np.ones(1, np.float32))

    def _variables(self) -> Iterator[tuple[str, int, Any]]:
        model = self.model
        for kind, variables in (
            ("model", model.variables),
            ("optimizer", model.optimizer.variables),
        ):
            yield from ((kind, i, variable) for i, variable in enumerate(variables))

    def _restore(self, tensors: Tensors) -> None:
        """Puts a checkpoint's numbers in their places.

        Raises:
            InputError: it has others, as another version of Keras may keep them.
        """
        places = {f"{kind}/{i:04}": variable for kind, i, variable in self._variables()}
        wanted = {name: tuple(variable.shape) or (1,) for name, variable in places.items()}
        beside = {"lowest", *self.stage.kept}
        if {name: tensor.shape for name, tensor in tensors.items() if name not in beside} != wanted:
            raise misfit(self.checkpoints.last)
        for name, variable in places.items():
            variable.assign(tensors[name].reshape(variable.shape))
        self.lowest = tensors["lowest"]

    def _affordable(self) -> int:
        """Epochs that the time left allows, by a step and a batch of validation, timed and undone.

        None are enough for what begins from a trained head; what begins at random needs one.
        """
        before = [(variable, _array(variable)) for _, _, variable in self._variables()]
        questions = self._questions()
        step = question = 0.0
        for _ in range(2):  # the first time compiles
            start = time.monotonic()
            x, y, weight = self._batch(0)
            self.model.train_on_batch(x, y, sample_weight=weight)
            step = time.monotonic() - start
            self.model.predict_on_batch(self._asked(questions[0]))
            question = time.monotonic() - start - step
        for variable, value in before:
            variable.assign(value.reshape(variable.shape))
        left = self.stage.deadline - time.monotonic()
        fitting = int(left / (step * self.steps + question * len(questions)))
        return max(0 if self.state.history else 1, min(self.phase.epochs, fitting))


def _words(prefix: str, logs: dict[str, Any]) -> str:
    name, loss, accuracy = prefix.replace("_", " "), logs[f"{prefix}loss"], logs[f"{prefix}accuracy"]
    return f"{name}loss {loss:.4f} accuracy {accuracy:.1%}"


def _array(variable: Any) -> np.ndarray:
    """A copy with at least one dimension, as it is stored."""
    return np.atleast_1d(np.array(variable.numpy()))
