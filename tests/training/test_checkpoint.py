"""Checkpoints come back as they were, or are refused in one line."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.errors import InputError
from headstart.training.checkpoint import Checkpoints, State

ROW = {"phase": "top", "epoch": 1, "loss": 0.1 + 0.2, "accuracy": None, "val_loss": 1e-300}


def state(**changes):
    plain = {"phase": 1, "epoch": 3, "step": 2, "epochs": 9, "best_epoch": 2, "best_loss": 1 / 3, "waited": 1}
    rest = {"history": [ROW], "chosen": {"C": 0.1}, "sums": [0.1, 8.0, 0.7, 8.0], "seconds": 1.5}
    return State(**plain | rest | changes)


def tensors():
    """A matrix in the other memory order, a counter, a seed and a value that no decimal number gives."""
    rng = np.random.default_rng(0)
    return {
        "model/0000": np.asfortranarray(rng.normal(size=(3, 2)).astype(np.float32)),
        "model/0001": np.array([1, 2**32 - 1], np.uint32),
        "optimizer/0000": np.array([7], np.int64),
        "optimizer/0001": np.array([np.nextafter(np.float32(1), np.float32(2))]),
    }


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(tmp_path / "checkpoints")


def test_where_nothing_was_saved_there_is_nothing(checkpoints):
    assert checkpoints.load() is None


def test_state_and_tensors_come_back_bit_for_bit(checkpoints):
    checkpoints.save(state(), tensors())

    found, loaded = checkpoints.load()

    assert found == state()
    assert loaded.keys() == tensors().keys()
    for name, tensor in tensors().items():
        np.testing.assert_array_equal(loaded[name], tensor)
        assert loaded[name].dtype == tensor.dtype


@pytest.mark.parametrize("begun", [State(), state(best_loss=None, history=[], done=True)])
def test_a_state_of_the_beginning_or_the_end_comes_back(checkpoints, begun):
    checkpoints.save(begun, {})

    assert checkpoints.load() == (begun, {})


def test_a_save_replaces_the_one_before(checkpoints):
    checkpoints.save(state(), tensors())
    checkpoints.save(state(step=3), {"model/0000": np.zeros(1)})

    found, loaded = checkpoints.load()

    assert (found.step, list(loaded)) == (3, ["model/0000"])
    assert [path.name for path in checkpoints.folder.iterdir()] == ["last.safetensors"]


def test_best_weights_stay_as_long_as_a_saved_state_names_them(checkpoints):
    """A new best is written before the state that names it, and the old one goes only after that."""
    first, second = state(best_epoch=1), state(best_epoch=2)
    checkpoints.save_best(first, {"0000": np.ones(2)})
    checkpoints.save(first, tensors())
    checkpoints.save_best(second, {"0000": np.full(2, 2.0)})

    assert checkpoints.best(first).exists()  # killed here, the last state still finds its own
    np.testing.assert_array_equal(checkpoints.load_best(checkpoints.load()[0])["0000"], [1, 1])

    checkpoints.save(second, tensors())

    assert sorted(path.name for path in checkpoints.folder.iterdir()) == [
        "best-1-2.safetensors",
        "last.safetensors",
    ]
    np.testing.assert_array_equal(checkpoints.load_best(checkpoints.load()[0])["0000"], [2, 2])


def refused(read, path):
    with pytest.raises(
        InputError, match=r"damaged\. Received: .* remove the folder `checkpoints`: "
    ) as error:
        read()
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_any_changed_bit_is_found(checkpoints):
    """One bit of every third byte: of the header, of the tensors, and of the state itself."""
    checkpoints.save(state(), tensors())
    whole = checkpoints.last.read_bytes()

    for place in range(0, len(whole), 3):
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        checkpoints.last.write_bytes(changed)
        refused(checkpoints.load, checkpoints.last)


@pytest.mark.parametrize("kept", [0, 4, 8, 100, -1])
def test_a_cut_checkpoint_is_refused(checkpoints, kept):
    checkpoints.save(state(), tensors())
    checkpoints.last.write_bytes(checkpoints.last.read_bytes()[:kept])

    refused(checkpoints.load, checkpoints.last)


@pytest.mark.parametrize("damage", ["bit", "cut", "gone"])
def test_damaged_best_weights_are_refused(checkpoints, damage):
    found = state()
    checkpoints.save_best(found, {"0000": np.ones(5)})
    checkpoints.save(found, tensors())
    path = checkpoints.best(found)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content if damage == "bit" else content[:-3])

    refused(lambda: checkpoints.load_best(checkpoints.load()[0]), path)
