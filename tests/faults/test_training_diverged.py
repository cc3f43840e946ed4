"""What is no number stops the training within a step, with its cause, and is never saved (R20)."""

from __future__ import annotations

import hashlib
import signal

import numpy as np
import pytest
from safetensors.numpy import load_file, save
from tests.faults.events import Fault
from tests.faults.lab import Ended, Place, write_weights
from tests.faults.test_training_changed import tabulate
from tests.faults.test_training_kill import goes_on

STEPS = [
    ("scratch", "--learning-rate 1e9"),
    ("scratch", "--learning-rate 1e12 --clip-norm 0"),
    ("scratch", "--learning-rate 1e9 --optimizer adamw"),
    ("finetune", "--learning-rate 1e12 --unfreeze all --clip-norm 0"),
    ("finetune", "--learning-rate 1e12 --unfreeze all --optimizer sgd"),
    ("bfloat16", "--learning-rate 1e12 --unfreeze all"),
    ("exact head", "--learning-rate 1e12 --unfreeze all --optimizer adam"),
    ("dense head", "--learning-rate 1e12 --optimizer sgd --clip-norm 0"),
]
"""Steps that are far too long; only through several layers do they leave the range of float32."""

POISONED = [
    ("finetune", "before step", 4), ("finetune", "after step", 7), ("finetune", "before step", 20),
    ("finetune", "after step", 24), ("finetune", "after step", 27), ("exact head", "before step", 2),
    ("dense head", "after step", 11), ("scratch", "before step", 16), ("bfloat16", "after step", 5),
]  # fmt: skip
"""When the weights become NaN by themselves, in the middle of an epoch and at its end."""


def stops(place: Place, ended: Ended, *words: str, codes: tuple[int, ...] = (1, 2)) -> None:
    """One line that says why, no model, and only numbers in what is saved."""
    assert ended.code in codes, ended.screen
    assert "Traceback" not in ended.screen
    assert ended.line.startswith("headstart: "), ended.screen
    for word in words:
        assert word in ended.line
    assert not (place.run / "model").exists()
    for path in (place.run / "checkpoints").glob("*"):
        numbers = [tensor for tensor in load_file(path).values() if tensor.dtype.kind == "f"]
        assert all(np.isfinite(tensor).all() for tensor in numbers), path
    assert place.moments["unsound step"] <= 2  # the one that made it so, and the one that noticed


@pytest.mark.parametrize(
    "cases", [STEPS[:1], pytest.param(STEPS, marks=pytest.mark.faults)], ids=["sample", "all"]
)
def test_steps_that_are_too_long(lab, cases):
    def check(case):
        plan, more = case
        place = lab.place(plan, *more.split())
        rate = more.split()[1]
        stops(place, lab.train(place), "--learning-rate", f"{float(rate):g}", "too long", codes=(1,))

    lab.each(check, cases)


@pytest.mark.parametrize(
    "cases", [POISONED[3:4], pytest.param(POISONED, marks=pytest.mark.faults)], ids=["sample", "all"]
)
def test_weights_that_become_nan_leave_the_checkpoint_before(lab, cases):
    def check(case):
        plan, at, nth = case
        place = lab.place(plan)
        ended = lab.train(place, Fault(at, nth, "poison"), save_every=30)
        stops(place, ended, "Training came to nothing", codes=(1,))
        assert place.moments["after step"] == nth
        goes_on(lab, place, case)

    lab.each(check, cases)


WEIGHTS = [
    (plan, {layer: value})
    for plan, layer, value in (
        ("finetune", "block1_conv1", np.nan), ("finetune", "block5_conv1", np.inf),
        ("dense head", "block3_conv1", np.nan), ("exact head", "block5_conv1", -np.inf),
        ("finetune", "block4_conv1", 3e38), ("exact head", "block2_conv1", 1e36),
        ("dense head", "block5_conv1", 3e38), ("bfloat16", "block4_conv1", 1e12),
    )
]  # fmt: skip
"""NaN, infinity, and numbers that are too large for what comes after them (maps are kept in float16)."""


@pytest.mark.parametrize(
    "cases", [WEIGHTS[:1], pytest.param(WEIGHTS, marks=pytest.mark.faults)], ids=["sample", "all"]
)
def test_a_file_of_weights_that_is_of_no_use(lab, cases):
    def check(case):
        plan, changes = case
        place = lab.place(plan)
        file = place.folder / "weights.h5"
        write_weights(file, **changes)
        place.more = ("--weights", str(file))
        stops(place, lab.train(place), "weights")

    lab.each(check, cases)


@pytest.mark.faults
@pytest.mark.parametrize(
    ("plan", "name"), [("dense head", "features"), ("finetune", "maps"), ("finetune", "features")]
)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_cache_that_holds_no_numbers(lab, plan, name, value):
    """As no bug of ours should ever leave it: the name fits the content."""
    place = lab.place(plan)
    shards = 1 if plan == "dense head" else 2
    assert lab.train(place, Fault("after rename shard.safetensors", shards)).code == -signal.SIGKILL
    for path in (place.folder / "cache").rglob("*.safetensors"):
        tensors = load_file(path)
        tensors[name][..., 0] = value
        content = save(tensors)
        path.with_name(f"{hashlib.sha256(content).hexdigest()[:32]}.safetensors").write_bytes(content)
        path.unlink()

    stops(place, lab.train(place), "headstart cache clear")

    for path in (place.folder / "cache").rglob("*.safetensors"):
        path.unlink()
    goes_on(lab, place, "cache")


@pytest.mark.parametrize(
    "weight", ["nan", *(pytest.param(w, marks=pytest.mark.faults) for w in ("inf", "-1", "1e400", "1e39"))]
)
def test_a_weight_that_is_no_number_is_refused_when_it_is_read(lab, weight):
    place = weighed(lab, weight)

    ended = lab.train(place)

    stops(place, ended, "weight", f"'{weight}'", codes=(2,))
    assert not place.run.exists()


@pytest.mark.faults
@pytest.mark.parametrize("plan", ["finetune", "exact head", "dense head", "scratch"])
@pytest.mark.parametrize("weight", ["1e6", "1e-6"])
def test_the_widest_range_of_weights_trains(lab, plan, weight):
    place = weighed(lab, weight, plan)

    ended = lab.train(place)

    assert ended.code == 0, ended.screen
    arrays = load_file(place.run / "model" / "weights.safetensors")
    assert all(np.isfinite(array).all() for array in arrays.values())


def weighed(lab, weight: str, plan: str = "finetune") -> Place:
    place = lab.place(plan)
    place.data = place.folder / "table.csv"
    paths = sorted(lab.data.glob("*/*.png"))
    rows = [{"path": str(path), "label": path.parent.name, "weight": "1"} for path in paths]
    rows[30]["weight"] = weight
    tabulate(place.data, rows)
    return place
