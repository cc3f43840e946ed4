"""8-bit integers: what is computed, by hand; and the gate that lets them in or keeps them out."""

import numpy as np
import pytest
from tests import models

from headstart.backbones import vgg
from headstart.data import images
from headstart.engines import INT8, open_engine
from headstart.errors import GateError, InputError
from headstart.exports import gate, int8
from headstart.exports.gate import Labelled
from headstart.inference import bundle
from headstart.inference.predictor import Predictor

SQUARES = [images.square(models.picture(seed), models.SIZE, "letterbox") for seed in range(40)]
TRAINING, VALIDATION = SQUARES[:16], SQUARES[16:]
NAMES = [name for name, _, _ in vgg.conv_names(models.TINY)]


@pytest.fixture(scope="module")
def ranges():
    return int8.ranges(models.SPEC, models.arrays(models.SPEC), TRAINING)


@pytest.fixture
def predictor(tmp_path):
    return Predictor(models.saved(tmp_path / "model"))


def convolved(x, kernel):
    """(H, W, in) with (3, 3, in, out), zero padding, by its definition, in float64."""
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    height, width = x.shape[:2]
    shifted = [(i, j, padded[i : i + height, j : j + width]) for i in range(3) for j in range(3)]
    return sum(np.einsum("hwi,io->hwo", part, kernel[i, j]) for i, j, part in shifted)


def by_hand(square, arrays):
    """Features of the tiny VGG with inputs on 256 levels and kernels of 255, wherever there is a range."""
    x, taps = square.astype(np.float64) - np.array(models.TINY.mean), {}
    for name in models.TINY.layers:
        if "pool" in name:
            x = x.reshape(x.shape[0] // 2, 2, x.shape[1] // 2, 2, -1).max(axis=(1, 3))
        else:
            kernel, bias = arrays[f"{name}/kernel"].astype(np.float64), arrays[f"{name}/bias"]
            if f"{name}/int8_input" in arrays:
                low, high = arrays[f"{name}/int8_input"].astype(np.float64)
                step = (high - low) / 255
                x = low + np.rint((np.clip(x, low, high) - low) / step) * step
                scale = arrays[f"{name}/int8_kernel"].astype(np.float64) / 127
                kernel = np.clip(np.rint(kernel / scale), -127, 127) * scale
                bias = arrays[f"{name}/int8_bias"]
            x = np.maximum(convolved(x, kernel) + bias, 0)
        taps[name] = x
        if name == models.TINY.last_map:
            break
    maps = [taps[name] for name in models.SPEC.taps]
    return np.concatenate([part for tap in maps for part in (tap.mean(axis=(0, 1)), tap.max(axis=(0, 1)))])


@pytest.mark.parametrize(
    "rounded", [NAMES, NAMES[1:], NAMES[:1], []], ids=["all", "not first", "first", "none"]
)
def test_the_engine_computes_what_the_definition_says(ranges, rounded):
    """A value may lie on the edge between two levels, so single features may differ by a part of a step."""
    kept = {key: array for key, array in ranges.items() if key.partition("/")[0] in rounded}
    arrays = models.arrays(models.SPEC) | kept
    engine = open_engine(INT8.name, models.TINY, "taps", models.SIZE, arrays)

    for square in VALIDATION[:3]:
        expected = by_hand(square, arrays)
        found = engine.run(square[None])[0]
        assert np.abs(found - expected).max() <= (0.01 if rounded else 1e-5) * expected.max()
        if rounded:
            exact = by_hand(square, models.arrays(models.SPEC))
            assert np.abs(found - expected).mean() < 0.3 * np.abs(exact - expected).mean()


def test_ranges_hold_what_training_images_excite(ranges):
    assert sorted(ranges) == sorted(
        f"{name}/{kind}" for name in NAMES for kind in ("int8_input", "int8_kernel", "int8_bias")
    )
    low, high = ranges["block1_conv1/int8_input"]
    pixels = np.array(TRAINING).reshape(-1, 3) - np.array(models.TINY.mean)
    assert low <= 0.95 * pixels.min()  # as far down as up
    assert high == pytest.approx(-low * 127 / 128, rel=1e-4)
    assert high == pytest.approx(pixels.max(), rel=0.1)
    assert ranges["block3_conv1/int8_input"][0] == 0  # behind a ReLU
    largest = np.abs(models.arrays(models.SPEC)["block2_conv1/kernel"]).max(axis=(0, 1, 2))
    # at most 64 of 127 steps, so that sums of two products fit into 16 bits on processors without VNNI
    assert (largest / (ranges["block2_conv1/int8_kernel"] / 127) <= 64.5).all()


def validated(predictor, wrong=0):
    """What the model itself says of the validation images; of the first `wrong` the truth is another."""
    probabilities = np.array([list(one.probabilities.values()) for one in predictor.predict(VALIDATION)])
    y = probabilities.argmax(axis=1)
    y[:wrong] = (y[:wrong] + 1) % 3
    return Labelled(lambda: iter(VALIDATION), y, probabilities)


def test_a_model_that_passes_carries_the_proof(predictor, tmp_path):
    before = predictor.bundle.digest
    proof = gate.quantize(predictor, TRAINING, validated(predictor, wrong=6), max_drop=0.05)

    loaded = bundle.load(tmp_path / "model")
    assert loaded.spec.int8 == proof
    assert (proof.images, proof.calibration, proof.accuracy) == (24, 16, 0.75)
    assert proof.mean_difference <= gate.MOST_DIFFERENCE
    assert proof.library.startswith("nncf ")
    assert loaded.digest != before
    exact, rounded = (
        np.array([list(one.probabilities.values()) for one in Predictor(loaded, engine).predict(VALIDATION)])
        for engine in ("", INT8.name)
    )
    moved = np.maximum(exact - rounded, 0).sum(axis=1)  # from classes that lost some to those that won
    assert moved.mean() == pytest.approx(proof.mean_difference, abs=1e-6)
    assert (exact.argmax(axis=1) == rounded.argmax(axis=1)).mean() == proof.agreement
    assert not np.array_equal(exact, rounded)


def contradicted(predictor):
    """As if the model had been right and in 8 bits were always wrong."""
    said = validated(predictor)
    return Labelled(said.squares, (said.y + 1) % 3, np.roll(said.probabilities, 1, axis=1))


def test_a_model_that_loses_too_much_stays_as_it_was(predictor):
    before = predictor.bundle.digest

    with pytest.raises(GateError, match="In 8-bit integers the model is not as good") as caught:
        gate.quantize(predictor, TRAINING, contradicted(predictor))

    said = str(caught.value)
    assert said.count("instead of 100.00%") == 3  # all, and without the worst one and two of five
    assert "all but block" in said
    assert "Allowed: 0.5 points less accuracy on 24 validation images, and 0.01 mean difference" in said
    assert bundle.load(predictor.bundle.folder).digest == before
    with pytest.raises(InputError, match=r"has not been made to run in 8-bit integers.*headstart quantize"):
        Predictor(predictor.bundle, INT8.name)


def test_after_the_time_limit_nothing_further_is_tried(predictor):
    with pytest.raises(GateError) as caught:
        gate.quantize(predictor, TRAINING, contradicted(predictor), seconds=0)
    assert str(caught.value).count("instead of") == 1


def test_of_few_images_the_probabilities_must_be_near_too(predictor, monkeypatch):
    """The same classes, but probabilities that were surer: enough of 24 images only if 24 are not few."""
    said = validated(predictor)
    surer = Labelled(said.squares, said.y, np.eye(3)[said.y])
    with pytest.raises(GateError):
        gate.quantize(predictor, TRAINING, surer)

    monkeypatch.setattr(gate, "FEW", 24)
    assert gate.quantize(predictor, TRAINING, surer).mean_difference > gate.MOST_DIFFERENCE


def test_the_most_harmful_convolution_is_left_out_first(predictor, ranges):
    """One whose input is cut off at a tenth of what it is."""
    spoilt = ranges | {"block3_conv1/int8_input": ranges["block3_conv1/int8_input"] / 10}
    order = gate._by_harm(predictor, spoilt, TRAINING[:8])
    assert order[0] == "block3_conv1"
    assert sorted(order) == NAMES


def test_without_nncf_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(int8.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"no module nncf.*pip install 'headstart\[export\]'"):
        int8.require()
