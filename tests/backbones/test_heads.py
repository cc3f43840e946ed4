"""Heads by hand, and the paper's head against Keras's own VGG16."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.backbones import classifier, heads, specs, vgg, weights
from headstart.backbones.framework import keras
from headstart.backbones.heads import DenseHead, LinearHead, Scaling
from headstart.engines import ENGINES, open_engine, run_batches

VGG16 = specs.backbone("vgg16")
TINY = specs.backbone("vgg-tiny")


# --- shapes ---------------------------------------------------------------------------------------------


def test_the_papers_head_has_the_papers_size():
    """7 · 7 · 512 to 4096 to 4096 to 1000: 123,642,856 of VGG16's 138,357,544 parameters."""
    shapes = heads.shapes(VGG16, "vgg", 224, 1000)

    assert shapes == {
        "fc1/kernel": (25088, 4096),
        "fc1/bias": (4096,),
        "fc2/kernel": (4096, 4096),
        "fc2/bias": (4096,),
        "head/kernel": (4096, 1000),
        "head/bias": (1000,),
    }
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == 123_642_856


@pytest.mark.parametrize(
    ("head", "size", "width"),
    [("gap", 224, 2 * 512), ("taps", 224, 2 * (256 + 512 + 512)), ("vgg", 300, 9 * 9 * 512 + 2 * 512)],
)
def test_the_width_of_the_features_by_hand(head, size, width):
    """300 pixels are 9 after five halvings; means and maxima of the last map follow what `vgg` reads."""
    assert VGG16.width(head, size) == width
    first = heads.shapes(VGG16, head, size, 3)[f"{heads.first(VGG16, head)}/kernel"]
    assert first[0] == width - (2 * 512 if head == "vgg" else 0)


def test_a_linear_head_is_one_layer():
    assert heads.shapes(TINY, "gap", 64, 3) == {"head/kernel": (32, 3), "head/bias": (3,)}
    assert heads.hidden(TINY, "gap") == ()
    assert heads.first(TINY, "gap") == "head"
    assert heads.first(TINY, "vgg") == "fc1"


def test_a_random_head_begins_as_glorot_has_it():
    """Uniform up to √(6 / (32 + 3)), biases zero, the same for the same seed."""
    drawn = heads.random(TINY, "vgg", 64, 3, 5)

    assert {name: array.shape for name, array in drawn.items()} == heads.shapes(TINY, "vgg", 64, 3)
    kernel = drawn["fc1/kernel"]  # 2 · 2 · 16 to 16
    limit = np.sqrt(6 / (64 + 16))
    assert 0.9 * limit < np.abs(kernel).max() <= limit
    assert kernel.dtype == np.float32
    assert not drawn["fc2/bias"].any()
    np.testing.assert_array_equal(heads.random(TINY, "vgg", 64, 3, 5)["head/kernel"], drawn["head/kernel"])
    assert not np.array_equal(heads.random(TINY, "vgg", 64, 3, 6)["head/kernel"], drawn["head/kernel"])


# --- by hand --------------------------------------------------------------------------------------------

HIDDEN = (np.array([[1.0, -1], [2, 0], [0, 3]]), np.array([0.0, 1]))
LAST = (np.array([[1.0, 0, -1], [2, 1, 0]]), np.array([0.5, 0, 0]))


def test_dense_layers_by_hand():
    """(1, 2, 0) → relu(5, 0) → (5.5, 0, −5); (0, −1, 1) → relu(−2, 4) → (8.5, 4, 0). The rest isn't read."""
    head = DenseHead((HIDDEN, LAST))
    features = np.array([[1.0, 2, 0, 99], [0, -1, 1, -99]])

    np.testing.assert_array_equal(head.logits(features[:, None]), [[5.5, 0, -5], [8.5, 4, 0]])
    np.testing.assert_array_equal(head.logits(features[None]), [[7, 2, -2.5]])  # as two views of one image


def test_a_linear_head_by_hand():
    head = LinearHead(np.array([[1.0, 0], [2, -1]], np.float32), np.array([0.5, 0], np.float32))

    np.testing.assert_array_equal(head.logits(np.array([[[1.0, 1]], [[0, 2]]])), [[3.5, -1], [4.5, -2]])
    np.testing.assert_array_equal(head.logits(np.array([[[1.0, 1], [0, 2]]])), [[4, -1.5]])


@pytest.mark.parametrize("head", ["gap", "vgg"])
def test_an_answer_does_not_depend_on_how_many_are_asked_for(head):
    size = 64
    made = heads.from_arrays(TINY, head, heads.random(TINY, head, size, 3, 0))
    x = np.random.default_rng(0).normal(size=(9, 2, TINY.width(head, size))).astype(np.float32)

    together = made.logits(x)

    for i in range(9):
        alone = made.logits(x[i : i + 1])[0]
        np.testing.assert_array_equal(alone.astype(np.float32), together[i].astype(np.float32))


def test_a_layer_on_scaled_features_is_another_on_raw_ones():
    """(x − 10) / 2 times 4 and 1 more is 2 x − 19; and back."""
    scaling = Scaling(np.array([10.0]), np.array([2.0]))

    np.testing.assert_array_equal(scaling(np.array([[10.0], [14]], np.float32)), [[0], [2]])
    kernel, bias = scaling.fold(np.array([[4.0]]), np.array([1.0]))
    assert (kernel, bias) == (2.0, -19.0)
    assert scaling.unfold(kernel, bias) == (4.0, 1.0)


@pytest.mark.parametrize("head", ["gap", "vgg"])
def test_a_folded_head_answers_as_the_scaled_network_does(head):
    """Keras scales what the head reads; its arrays, folded, need no scaling. Only the first layer changes."""
    rng, arrays = np.random.default_rng(1), heads.random(TINY, head, 64, 3, 1)
    layer = heads.first(TINY, head)
    width = len(arrays[f"{layer}/kernel"])
    scaling = Scaling(rng.normal(size=width), rng.uniform(0.5, 50, width))
    x = rng.normal(size=(5, width)).astype(np.float32) * 30
    model = classifier.build_head(TINY, head, arrays, scaling=scaling)

    folded = scaling.folded(classifier.trained_arrays(model), layer)

    expected = model.predict_on_batch(x)
    found = heads.from_arrays(TINY, head, folded).logits(x[:, None])
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    back = scaling.unfolded(folded, layer)
    for name, array in arrays.items():
        np.testing.assert_allclose(back[name], array, rtol=1e-4, atol=1e-5)
        assert np.array_equal(folded[name], array) == (not name.startswith(layer))


# --- Keras's own ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def theirs():
    """`keras.applications.VGG16` with its top and random weights, and these in our layout.

    Of its own initial ones every class would get a thousandth, whatever the image: He's keep images apart,
    and a smaller last layer gives some classes a hundredth and others next to nothing.
    """
    model = keras().applications.VGG16(include_top=True, weights=None)
    arrays = weights.random(VGG16, 0) | heads.random(VGG16, "vgg", 224, 1000, 0)
    for name in ("fc1/kernel", "fc2/kernel"):
        arrays[name] *= np.float32(np.sqrt(2))
    arrays["head/kernel"] *= np.float32(0.006)
    arrays["fc1/bias"] += np.linspace(-1, 1, 4096, dtype=np.float32)
    for layer in model.layers:
        if layer.weights:
            ours = {"predictions": "head"}.get(layer.name, layer.name)
            kernel, bias = arrays[f"{ours}/kernel"], arrays[f"{ours}/bias"]
            layer.set_weights([kernel[:, :, ::-1] if layer.name == "block1_conv1" else kernel, bias])
    return model, arrays


@pytest.fixture(scope="module")
def answered(theirs):
    """Two images and what Keras says of them."""
    images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    images[1] //= 4
    prepared = keras().applications.vgg16.preprocess_input(images.astype(np.float32))
    return images, theirs[0].predict_on_batch(prepared)


def softmax(logits):
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def test_keras_s_answers_are_worth_comparing(answered):
    """Far from a thousandth for each class, and different for the two images."""
    _, probabilities = answered

    assert probabilities.shape == (2, 1000)
    assert probabilities.max(axis=1).min() > 0.05
    assert np.abs(probabilities[0] - probabilities[1]).max() > 0.1


def test_our_graph_answers_as_keras_s_vgg16(theirs, answered):
    images, expected = answered
    model = classifier.build_classifier(VGG16, "vgg", 224, theirs[1])

    found = softmax(model.predict_on_batch(images).astype(np.float64))

    assert np.abs(found - expected).max() <= 1e-5


@pytest.mark.parametrize("engine", [name for name, row in ENGINES.items() if row.precision == "f32"])
def test_an_engines_features_and_our_head_answer_as_keras_s_vgg16(theirs, answered, engine):
    images, expected = answered
    opened = open_engine(engine, VGG16, "vgg", 224, theirs[1])

    features = np.array(list(run_batches(opened, images)))

    found = softmax(heads.from_arrays(VGG16, "vgg", theirs[1]).logits(features[:, None]))
    assert features.shape == (2, 25088 + 1024)
    assert np.abs(found - expected).max() <= 1e-5


# --- pixels from 0 to 1 ---------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", list(ENGINES))
def test_one_red_pixel_of_a_network_from_scratch_by_hand(engine):
    """It is (1, 0, 0) on black zeros, in `blank`; each convolution hands its red through, so the maximum of
    the last map is 1 and its mean 1 / 4. As ImageNet has it, black is negative and red 131.32."""
    arrays = {name: np.zeros_like(array) for name, array in weights.random(TINY, 0).items()}
    for name, _, _ in vgg.conv_names(TINY):
        arrays[f"{name}/kernel"][1, 1, 0, 0] = 1.0
    image = np.zeros((64, 64, 3), np.uint8)
    image[5, 7] = (255, 0, 0)
    image[40, 40] = (0, 255, 255)  # no red

    for spec, red in ((TINY.blank, 1.0), (TINY, 255 - 123.68)):
        [features] = run_batches(open_engine(engine, spec, "gap", 64, arrays), [image])
        side = 64 // 2**4  # of the last map
        np.testing.assert_allclose(features[[0, 16]], [red / side**2, red], rtol=5e-3)
        np.testing.assert_array_equal(features[1:16], 0)
        np.testing.assert_array_equal(features[17:], 0)
