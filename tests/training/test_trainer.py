"""The step loop: its arithmetic, its order, when it ends, and that an interruption changes no bit."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace

import numpy as np
import pytest

from headstart.backbones.framework import keras
from headstart.config import RunConfig
from headstart.errors import GateError, InputError
from headstart.training import trainer
from headstart.training.checkpoint import Checkpoints, State
from headstart.training.interrupt import Asked
from headstart.training.phases import phases, resolved
from headstart.training.sources import Examples, Vectors

SHOWN = (
    "phase",
    "epoch",
    "loss",
    "accuracy",
    "val_loss",
    "val_accuracy",
    "learning_rate",
    "val_calibrated_loss",
)
PLAIN = {
    "optimizer": "sgd", "learning_rate": 0.1, "warmup": 0.0, "weight_decay": 0.0, "clip_norm": 0.0,
    "batch_size": 4, "epochs": 3, "patience": 0, "precision": "float32",
}  # fmt: skip


def phase(**changes):
    """SGD at a rate of 0.1 without any extras."""
    return replace(phases(resolved(RunConfig()))[0], **PLAIN | changes)


def linear(features=3, classes=2):
    layer = keras().layers.Dense(classes, name="logits")
    x = keras().Input((features,))
    model = keras().Model(x, layer(x))
    layer.set_weights([np.zeros((features, classes), np.float32), np.zeros(classes, np.float32)])
    return model


def deep(features=3, classes=2, dropout=0.5):
    """Two layers with Dropout before each, whose masks the seed settles."""
    k = keras()
    k.utils.set_random_seed(5)
    x = k.Input((features,))
    h = k.layers.Dense(4, "relu")(k.layers.Dropout(dropout)(x))
    return k.Model(x, k.layers.Dense(classes, dtype="float32")(k.layers.Dropout(dropout)(h)))


def examples(x, y, weight=None):
    x = np.asarray(x, np.float32)
    weight = np.ones(len(x)) if weight is None else np.asarray(weight)
    return Examples(Vectors(x), np.arange(len(x)), np.asarray(y), weight, x.shape[1])


def blobs(n=10, views=1, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    return rng.normal(size=(n, views, 3)) + 2 * y[:, None, None], y


def fit(folder, model, train, val=None, seed=0, on_epoch=len, deadline=np.inf, **changes):
    """From the beginning, or from the checkpoint in the folder."""
    checkpoints = Checkpoints(folder)
    stage = trainer.Stage(model, phase(**changes), train, val or train, seed, deadline, on_epoch)
    return trainer.fit(stage, *(checkpoints.load() or (State(), {})), checkpoints)


def loop(folder, train, seed=0, state=None, model=None, deadline=np.inf, **changes):
    stage = trainer.Stage(model or linear(), phase(**changes), train, train, seed, deadline)
    return trainer._Loop(stage, state or State(epoch=1), Checkpoints(folder), Asked())


def test_the_advice_after_a_divergence_can_be_followed(tmp_path):
    """Before the last phase the rate is the head's own, which no option changes."""
    diverged = loop(tmp_path, examples(*blobs()), learning_rate=0.5, clip_norm=0.0)
    said = diverged._likely_cause([X])
    assert "Received: '--learning-rate 0.5 --clip-norm 0'" in said
    assert said.endswith("Try --learning-rate 0.05 and --clip-norm 1, with another --out or with --force.")

    diverged.stage = replace(diverged.stage, last=False)
    said = diverged._likely_cause([X])
    assert "--learning-rate" not in said
    assert "Try --optimizer adamw and --clip-norm 1, or another --solver or --head" in said


# --- one step -------------------------------------------------------------------------------------------


def softmax(z):
    z = np.exp(z - z.max(axis=1, keepdims=True))
    return z / z.sum(axis=1, keepdims=True)


X = np.array([[1.0, 0, 2], [0, 1, -1], [3, -1, 0], [0.5, 2, 1]])
Y = np.array([0, 1, 1, 0])
WEIGHT = np.array([1.0, 3.0, 0.0, 2.0])


class Numpy:
    """A linear layer that learns by Nesterov's SGD, written out."""

    def __init__(self):
        self.values = [np.zeros((3, 2)), np.zeros(2)]
        self.speed = [0.0, 0.0]

    def step(self, rate):
        """On all of X; weights have the mean 1. Returns the loss before it."""
        weight = WEIGHT / WEIGHT.mean()
        p = softmax(X @ self.values[0] + self.values[1])
        error = weight[:, None] * (p - np.eye(2)[Y]) / len(X)
        for i, gradient in enumerate([X.T @ error, error.sum(axis=0)]):
            self.speed[i] = 0.9 * self.speed[i] - rate * gradient
            self.values[i] = self.values[i] + 0.9 * self.speed[i] - rate * gradient
        return -(weight * np.log(p[np.arange(4), Y])).mean()

    def loss(self, values):
        """On all of X, each image counting the same, as in validation."""
        return -np.log(softmax(X @ values[0] + values[1])[np.arange(4), Y]).mean()


def test_a_step_is_numpy_s(tmp_path):
    model, expected = linear(), Numpy()
    train = examples(X[:, None], Y, WEIGHT)

    state = fit(tmp_path, model, train, epochs=1)

    assert expected.step(0.1) == pytest.approx(state.history[1]["loss"], rel=1e-6)
    assert state.best_epoch == 1
    for found, value in zip(model.get_weights(), expected.values, strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-7)
    assert state.history[1]["val_loss"] == pytest.approx(expected.loss(expected.values), rel=1e-5)


def test_the_row_of_an_epoch_sums_up_all_its_steps(tmp_path):
    """At a rate of zero nothing moves: zero logits, ln 2 and half of the weight right (class 0 of ties)."""
    x, y = np.ones((10, 1, 3)), np.array([0] * 3 + [1] * 7)
    weight = np.array([4.0] * 3 + [1] * 7)

    state = fit(tmp_path, linear(), examples(x, y, weight), learning_rate=0.0, epochs=1)

    before, row = state.history
    assert (before["epoch"], before["loss"], before["accuracy"]) == (0, None, None)
    assert tuple(row) == (*SHOWN[:7], "seconds", SHOWN[7])
    assert row["loss"] == pytest.approx(np.log(2), rel=1e-5)
    assert row["accuracy"] == pytest.approx(12 / 19, rel=1e-5)
    assert row["val_accuracy"] == pytest.approx(0.3)
    assert row["val_loss"] == pytest.approx(np.log(2), rel=1e-5)


def test_an_average_is_judged_and_kept_while_training_goes_on_from_the_weights_themselves(tmp_path):
    model, expected = linear(), Numpy()
    train = examples(X[:, None], Y)

    state = fit(tmp_path, model, examples(X[:, None], Y, WEIGHT), train, average=0.75)

    averages = []
    for step in range(3):  # one an epoch; the rate follows the cosine of three steps
        loss = expected.step(0.1 * (1 + np.cos(np.pi * step / 3)) / 2)
        assert state.history[step + 1]["loss"] == pytest.approx(loss, rel=1e-5)
        pairs = zip(averages[-1] if averages else expected.values, expected.values, strict=True)
        averages.append([0.75 * old + 0.25 * new for old, new in pairs])
    found = [row["val_loss"] for row in state.history[1:]]
    np.testing.assert_allclose(found, [expected.loss(values) for values in averages], rtol=1e-5)
    assert state.best_epoch == 3
    for value, average in zip(model.get_weights(), averages[2], strict=True):
        np.testing.assert_allclose(value, average, rtol=1e-5, atol=1e-7)


# --- which images, when ---------------------------------------------------------------------------------


def numbered(n=10, views=2):
    """Image i in view v is (i, v, 0); its rows in the source are not its place in the list."""
    x = np.stack(np.broadcast_arrays(np.arange(n)[:, None], np.arange(views), 0), axis=-1)
    rows = np.arange(n)[::-1].copy()
    return Examples(Vectors(x.astype(np.float32)), rows, rows % 2, 1.0 + rows, views)


def epoch_of(folder, number, seed=0, phase_number=0, **changes):
    state = State(phase=phase_number, epoch=number)
    found = loop(folder, numbered(), seed, state, **changes)
    return [np.concatenate(part) for part in zip(*map(found._batch, range(found.steps)), strict=True)]


def test_every_image_once_an_epoch_with_its_own_class_and_weight(tmp_path):
    x, y, weight = epoch_of(tmp_path, 1)

    assert sorted(x[:, 0]) == list(range(10))
    np.testing.assert_array_equal(y.argmax(axis=1), x[:, 0] % 2)
    np.testing.assert_allclose(weight, (1 + x[:, 0]) / 5.5)


def test_the_order_follows_from_seed_phase_and_epoch(tmp_path):
    def order(*place, **changes):
        return tuple(epoch_of(tmp_path, *place, **changes)[0][:, 0])

    assert order(1) == order(1) == order(1, batch_size=3)
    assert len({order(1), order(2), order(3), order(1, 1), order(1, 0, 1)}) == 5


def test_views_take_turns(tmp_path):
    assert [set(epoch_of(tmp_path, epoch)[0][:, 1]) for epoch in (1, 2, 3)] == [{0}, {1}, {0}]


def test_a_blend_follows_from_the_place_too_and_differs_from_step_to_step(tmp_path):
    """Four images are blended with each other: what a step mixes, its targets say."""
    found = loop(tmp_path, numbered(), mix="mixup")

    (x, y, weight), again, other = found._batch(0), found._batch(0), found._batch(1)

    np.testing.assert_array_equal(x, again[0])
    np.testing.assert_array_equal(weight, again[2])
    assert not np.array_equal(x, np.rint(x))
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-6)
    assert not np.array_equal(y[:, 0], other[1][:, 0])


def test_pixels_are_blended_too(tmp_path):
    """Bytes, where nothing is frozen: in between the two pictures, as the targets are."""
    pixels = np.zeros((8, 1, 2, 2, 3), np.uint8)
    pixels[1::2] = 200
    train = Examples(Vectors(pixels), np.arange(8), np.arange(8) % 2, np.ones(8), 1)

    x, y, _ = loop(tmp_path, train, mix="mixup", batch_size=8)._batch(0)

    assert x.dtype == np.uint8
    np.testing.assert_allclose(x[:, 0, 0, 0], 200 * y[:, 1], atol=0.51)
    assert ((x > 0) & (x < 200)).any()


# --- when it ends ---------------------------------------------------------------------------------------


def test_of_what_only_gets_worse_the_beginning_is_kept(tmp_path):
    """Validation's labels are the other way round: after three epochs without a better one it stops."""
    y = np.arange(10) % 2
    x = np.ones((10, 1, 3)) * (2 * y - 1)[:, None, None]
    model = linear()
    model.set_weights([np.array([[1, -1.0]] * 3, np.float32), np.zeros(2, np.float32)])
    before = model.get_weights()

    state = fit(tmp_path, model, examples(x, y), examples(x, 1 - y), patience=3, epochs=50)

    assert state.best_epoch == 0
    assert [row["epoch"] for row in state.history] == [0, 1, 2, 3]
    for value, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, old)


def rising_and_falling(copies):
    """A large feature that always helps, and a small one, learnt later, that helps in training only.

    Validation has 16 images, each of them so many times: the same mean, known the better.
    """
    rng = np.random.default_rng(23)
    y = np.arange(40) % 2
    x = np.zeros((40, 1, 3))
    x[:, 0, 0] = 1.5 * (2 * y - 1) + rng.normal(size=40)
    x[:, 0, 1] = 0.3 * (2 * y - 1)
    judged = np.zeros((16, 1, 3))
    judged[:, 0, 0] = 2 * y[:16] - 1 + rng.normal(size=16)
    judged[:, 0, 1] = 0.5 * rng.normal(size=16)
    return examples(x, y), examples(np.tile(judged, (copies, 1, 1)), np.tile(y[:16], copies))


def honest_losses(logits, y):
    """(N,) cross-entropies at the best of many temperatures."""
    scaled = logits * np.exp(np.linspace(-3, 3, 6001))[:, None, None]
    losses = np.log(np.exp(scaled).sum(axis=2)) - scaled[:, np.arange(len(y)), y]
    return losses[losses.mean(axis=1).argmin()]


@pytest.mark.parametrize(("copies", "clear"), [(5, True), (1, False)])
def test_the_last_epoch_that_is_not_clearly_worse_comes_back(tmp_path, copies, clear):
    """Clearly: by more than a standard error of the paired differences. That of 16 images is too large."""
    train, val = rising_and_falling(copies)
    model, told, kept = linear(), [], []

    def listen(history):
        told.append(len(history))
        kept.append([model.predict_on_batch(val.source.features[:, 0]), model.get_weights()])

    state = fit(tmp_path, model, train, val, 0, listen, patience=4, epochs=20, batch_size=40)

    losses = np.array([honest_losses(logits.astype(float), val.y) for logits, _ in kept])
    lowest = int(losses.mean(axis=1).argmin())
    more = losses - losses[lowest]
    worse = more.mean(axis=1) > more.std(axis=1, ddof=1) / np.sqrt(len(val.y))
    assert 0 < lowest < 10
    assert np.flatnonzero(~worse)[-1] == state.best_epoch == (lowest if clear else 20)
    assert state.history[-1]["epoch"] == (lowest + 4 if clear else 20)
    assert told == list(range(1, len(kept) + 1))
    found = [row["val_calibrated_loss"] for row in state.history]
    np.testing.assert_allclose(found, losses.mean(axis=1), rtol=1e-5)
    assert state.best_loss == found[state.best_epoch]
    for value, old in zip(model.get_weights(), kept[state.best_epoch][1], strict=True):
        np.testing.assert_array_equal(value, old)


def test_without_patience_all_epochs_are_run(tmp_path):
    x, y = blobs()

    state = fit(tmp_path, linear(), examples(x, y), examples(x, 1 - y), patience=0, epochs=7)

    assert [row["epoch"] for row in state.history] == list(range(8))


# --- a limit of time ------------------------------------------------------------------------------------


class Slow(Vectors):
    """Each batch takes 20 ms to read."""

    def batch(self, rows, view):
        time.sleep(0.02)
        return super().batch(rows, view)


@pytest.mark.parametrize(("left", "least", "most"), [(1e6, 50, 50), (-1.0, 1, 1), (3.0, 1, 30)])
def test_what_is_affordable_is_tried_and_undone(tmp_path, left, least, most):
    """Five batches of 20 ms an epoch: no more than 30 of them in 3 s. Weights, momenta, masks stay."""
    x, y = blobs(16)
    train = replace(examples(x, y), source=Slow(np.float32(x)))
    found = loop(tmp_path, train, state=State(epochs=50), model=deep(), average=0.9, epochs=50)
    found._compile()
    before = [(kind, variable.numpy()) for kind, _, variable in found._variables()]
    found.stage = replace(found.stage, deadline=time.monotonic() + left)

    epochs = found._affordable()

    assert least <= epochs <= most
    assert {kind for kind, _ in before} == {"model", "optimizer"}
    for (_, old), (_, _, variable) in zip(before, found._variables(), strict=True):
        np.testing.assert_array_equal(variable.numpy(), old)


class Clock:
    """Seconds that pass as batches are read."""

    now = 0.0

    def monotonic(self):
        return self.now


class Ticking(Vectors):
    """Each batch takes 20 ms to read, by a clock of the test's own: no other work makes it slower."""

    clock = Clock()

    def batch(self, rows, view):
        self.clock.now += 0.02
        return super().batch(rows, view)


def test_epochs_end_with_the_time_and_the_rate_with_the_epochs(tmp_path, monkeypatch):
    x, y = blobs(16)
    train = replace(examples(x, y), source=Ticking(np.float32(x)))
    ended, clock = [], Ticking.clock
    deadline = clock.now + 3
    monkeypatch.setattr(trainer, "time", clock)

    state = fit(
        tmp_path, linear(), train, None, 0, lambda _: ended.append(clock.now), deadline, epochs=10_000
    )

    assert 0 < state.epochs < 200
    assert sum(moment > deadline for moment in ended) <= 1
    assert state.done
    assert state.history[-1]["learning_rate"] < 0.1 / 4  # nearly 0, as far as seconds can be foreseen


# --- numbers that are none ------------------------------------------------------------------------------


def finite(path):
    tensors = Checkpoints(path.parent).load()[1]
    return all(np.isfinite(tensor).all() for tensor in tensors.values() if tensor.dtype.kind == "f")


def test_a_value_that_is_none_among_the_inputs_stops_it_at_once(tmp_path):
    x, y = blobs(12)
    x[7, 0, 1] = np.nan
    val = examples(*blobs(6))

    with pytest.raises(GateError, match=r"in epoch 1, step [123]: .*features of an image") as stopped:
        fit(tmp_path, linear(), examples(x, y), val)

    order = np.random.default_rng([0, 0, 1]).permutation(12)
    assert f"step {list(order).index(7) // 4 + 1}:" in str(stopped.value)
    assert "\n" not in str(stopped.value)
    assert finite(tmp_path / "last.safetensors")


def test_weights_that_are_none_from_the_beginning_are_named(tmp_path):
    model = linear()
    model.set_weights([np.full((3, 2), np.nan, np.float32), np.zeros(2, np.float32)])

    with pytest.raises(GateError, match=r"epoch 0, step 0: .*weights"):
        fit(tmp_path, model, examples(*blobs()))
    assert not list(tmp_path.iterdir())


def test_far_too_long_steps_are_stopped_one_after_the_first_number_is_lost(tmp_path):
    """Weight decay alone multiplies kernels by 10 million a step, and float32 ends at 3e38."""
    train, options = examples(*blobs(32)), {"optimizer": "adamw", "weight_decay": 0.01, "learning_rate": 1e9}

    with pytest.raises(GateError, match=r"Try --learning-rate 1e\+08") as stopped:
        fit(tmp_path, deep(dropout=0.0), train, epochs=9, **options)

    reference = loop(tmp_path, train, state=State(epoch=1, epochs=9), model=deep(dropout=0.0), **options)
    reference._compile()
    taken = 0
    while all(np.isfinite(value).all() for value in reference.model.get_weights()):
        x, y, weight = reference._batch(taken)
        reference.model.train_on_batch(x, y, sample_weight=weight)
        taken += 1
    assert 0 < taken < 8
    assert any(f"epoch 1, step {step}:" in str(stopped.value) for step in (taken, taken + 1))
    assert finite(tmp_path / "last.safetensors")


def test_a_weight_that_is_no_number_never_reaches_a_checkpoint(tmp_path):
    """It is lost while the second epoch is judged: the checkpoint of the first stays."""
    model = linear()

    def spoil(history):
        if len(history) == 3:
            model.layers[-1].kernel.assign(np.full((3, 2), np.inf, np.float32))

    with pytest.raises(GateError, match="holds a value that is no number"):
        fit(tmp_path, model, examples(*blobs()), on_epoch=spoil)

    assert Checkpoints(tmp_path).load()[0].epoch == 2
    assert finite(tmp_path / "last.safetensors")


# --- interruption ---------------------------------------------------------------------------------------


class Terminating(Vectors):
    """Asks for the end once, by a signal, as soon as the loop first reads."""

    number = signal.SIGTERM

    def batch(self, rows, view):
        if not vars(self).get("asked"):
            vars(self)["asked"] = True
            os.kill(os.getpid(), self.number)
        return super().batch(rows, view)


class Failing(Vectors):
    """Breaks when it is read for the n-th time: nothing can be saved any more."""

    left = 0

    def batch(self, rows, view):
        vars(self)["left"] = vars(self)["left"] - 1
        if vars(self)["left"] < 0:
            raise OSError("gone")
        return super().batch(rows, view)


HARD = {
    "optimizer": "adamw", "learning_rate": 0.05, "warmup": 0.2, "weight_decay": 0.1, "clip_norm": 1.0,
    "average": 0.8, "mix": "mixup", "label_smoothing": 0.1, "epochs": 2,
}  # fmt: skip


def hard(source=Vectors):
    """Dropout, moments, averages, blends, views: all that has a state. Three steps an epoch."""
    x, y = blobs(10, views=2)
    train = examples(x, y, np.linspace(1, 2, 10))
    return replace(train, source=source(train.source.features))


def left(folder):
    """What a finished training leaves: state less seconds, and all tensors."""
    state, tensors = Checkpoints(folder).load()
    history = [{name: row[name] for name in SHOWN} for row in state.history]
    return replace(state, history=history, seconds=0.0), tensors


def same(one, other):
    assert one[0] == other[0]
    assert one[1].keys() == other[1].keys()
    for name, tensor in one[1].items():
        np.testing.assert_array_equal(tensor, other[1][name], name)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder of checkpoints, and the model as it is then."""
    folder, model = tmp_path_factory.mktemp("unbroken"), deep()
    fit(folder, model, hard(), **HARD)
    return folder, model


@pytest.fixture
def unbroken(finished):
    return left(finished[0])


def test_stopped_after_every_single_step_it_ends_with_the_same_bits(tmp_path, unbroken):
    """Two epochs of three steps each: asked to end in each of these six."""
    places = []
    for _ in range(6):
        with pytest.raises(SystemExit) as ended:
            fit(tmp_path, deep(), hard(Terminating), hard(), **HARD)
        assert ended.value.code == 143
        state = Checkpoints(tmp_path).load()[0]
        places.append((state.epoch, state.step))

    fit(tmp_path, deep(), hard(), **HARD)

    assert places == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)]
    same(left(tmp_path), unbroken)


def test_asked_in_validation_it_ends_before_the_answers_are_there(tmp_path, unbroken):
    """With what the steps before it came to: nothing at first, the whole first epoch then."""
    with pytest.raises(SystemExit):
        fit(tmp_path, deep(), hard(), hard(Terminating), **HARD)
    assert Checkpoints(tmp_path).load() is None

    late = hard(Terminating)
    vars(late.source)["asked"] = True
    with pytest.raises(SystemExit):
        fit(tmp_path, deep(), hard(), late, 0, lambda _: vars(late.source).pop("asked", None), **HARD)
    state, _ = Checkpoints(tmp_path).load()
    assert (state.epoch, state.step, [row["epoch"] for row in state.history]) == (1, 3, [0])

    fit(tmp_path, deep(), hard(), **HARD)
    same(left(tmp_path), unbroken)


@pytest.mark.parametrize(("reads", "every"), [(0, 30.0), (4, 30.0), (8, -1.0), (11, 30.0)])
def test_broken_off_anywhere_it_ends_with_the_same_bits(tmp_path, unbroken, monkeypatch, reads, every):
    """With checkpoints between epochs only, or after every step."""
    monkeypatch.setattr(trainer, "SAVE_EVERY", every)
    train = hard(Failing)
    vars(train.source)["left"] = reads
    with pytest.raises(OSError, match="gone"):
        fit(tmp_path, deep(), train, **HARD)

    fit(tmp_path, deep(), hard(), **HARD)

    same(left(tmp_path), unbroken)


def test_ctrl_c_is_keyboard_interrupt_and_handlers_come_back(tmp_path, monkeypatch):
    monkeypatch.setattr(Terminating, "number", signal.SIGINT)
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, linear(), hard(Terminating), hard(), epochs=1)

    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert Checkpoints(tmp_path).load()[0].step == 1


def test_a_finished_phase_is_only_put_back(finished, unbroken):
    """Its best weights, without reading an image."""
    folder, first = finished
    again, train = deep(), hard(Failing)

    state = fit(folder, again, train, **HARD)

    assert state.done
    same(left(folder), unbroken)
    for value, old in zip(again.get_weights(), first.get_weights(), strict=True):
        np.testing.assert_array_equal(value, old)


def test_a_checkpoint_of_other_variables_is_refused(tmp_path):
    """As another version of Keras may leave one: AdamW keeps two moments of each weight, SGD here one."""
    train = examples(*blobs())
    before = loop(tmp_path, train)
    before._compile()
    before.lowest = np.zeros(len(train.rows))
    before.save()
    begun, tensors = before.checkpoints.load()

    now = loop(tmp_path, train, state=begun, optimizer="adamw")
    now._compile()
    with pytest.raises(InputError, match=r"other versions.*Received: .*last\.safetensors.*begins anew"):
        now._restore(tensors)

    wider = loop(tmp_path, examples(*blobs()), state=begun, model=linear(classes=3))
    wider._compile()
    with pytest.raises(InputError, match="other versions"):
        wider._restore(tensors)
    with pytest.raises(InputError, match="other versions"):
        before._restore({name: tensor for name, tensor in tensors.items() if name != "optimizer/0000"})

    before._restore(tensors)


def test_the_scale_of_half_precision_is_part_of_a_checkpoint(tmp_path):
    """float16 loses small gradients unless the loss is scaled, by a factor that changes as it goes on."""
    keras().config.set_dtype_policy("mixed_float16")
    try:
        fit(tmp_path / "unbroken", deep(), hard(), **HARD)
        with pytest.raises(SystemExit):
            fit(tmp_path / "broken", deep(), hard(Terminating), **HARD)
        fit(tmp_path / "broken", deep(), hard(), **HARD)
    finally:
        keras().config.set_dtype_policy("float32")

    whole = left(tmp_path / "unbroken")
    assert any((tensor == 32768).all() for tensor in whole[1].values())  # Keras begins with 2 ** 15
    same(left(tmp_path / "broken"), whole)
