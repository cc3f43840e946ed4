"""Every engine: the same features as Keras within its precision, whatever the neighbours."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from headstart.backbones import specs, weights
from headstart.engines import ENGINES, open_engine, run_batches
from headstart.errors import InputError
from headstart.training.maps import computed

TINY = specs.backbone("vgg-tiny")
RELATIVE = {"f32": 1e-5, "f32-winograd": 1e-3, "bf16": 2e-2}
SIZE = 70  # odd after two poolings: the dropped last row and column must agree

images = np.random.default_rng(0).integers(0, 256, (11, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="module", params=list(ENGINES))
def name(request):
    return request.param


def features(name, head, batch):
    engine = open_engine(name, TINY, head, SIZE, weights.random(TINY, 5))
    return np.array(list(run_batches(engine, batch)))


@cache
def features_of_all(name, head):
    return features(name, head, images)


@pytest.mark.parametrize("head", ["taps", "gap", "vgg"])
def test_equals_keras(name, head):
    expected = features_of_all("keras", head)

    actual = features_of_all(name, head)

    assert actual.dtype == np.float32
    assert actual.shape == (11, TINY.width(head, SIZE))
    assert np.abs(actual - expected).max() <= RELATIVE[ENGINES[name].precision] * np.abs(expected).max()


def test_an_answer_does_not_depend_on_its_neighbours(name):
    """Bit for bit, alone, in a padded batch, and in another order."""
    together = features(name, "taps", images)

    np.testing.assert_array_equal(features(name, "taps", images[:1])[0], together[0])
    np.testing.assert_array_equal(features(name, "taps", images[::-1])[::-1], together)


def test_one_core_gives_the_bits_of_all(name):
    """VGG16 at 224 pixels, where ncnn divides the larger convolutions among the cores."""
    vgg16 = specs.backbone("vgg16")
    engine = open_engine(name, vgg16, "taps", 224, weights.random(vgg16, 0))
    if name == "ncnn":
        engine.lanes = max(2, engine.lanes)  # where this process has one core, too
    large = np.random.default_rng(1).integers(0, 256, (engine.lanes, 224, 224, 3), dtype=np.uint8)

    alone = np.array([next(run_batches(engine, [image])) for image in large])

    np.testing.assert_array_equal(np.array(list(run_batches(engine, large))), alone)


@cache
def maps(name, tensor, head):
    """Features and maps of all images, one batch after the other."""
    engine = open_engine(name, TINY, head, SIZE, weights.random(TINY, 5), tensor)
    found = list(computed(engine, ((b"", image) for image in images)))
    return np.array([vector for _, vector, _ in found]), np.array([tensor for _, _, tensor in found])


@pytest.mark.parametrize(
    "tensor", ["block1_conv1", "block2_pool", "block4_pool", "block5_conv1", "block5_pool"]
)
def test_the_map_at_a_boundary_comes_with_the_same_features(name, tensor):
    """Bit for bit those of an engine that gives no map, and the map is Keras's within the precision.

    A head's tap (block4_pool), the last map, and tensors that no head reads.
    """
    head = "vgg" if tensor == "block5_pool" else "taps"
    expected = maps("keras", tensor, head)[1]

    vectors, found = maps(name, tensor, head)

    np.testing.assert_array_equal(vectors, features_of_all(name, head))
    assert found.shape == expected.shape == (11, *2 * (TINY.side(tensor, SIZE),), TINY.channels(tensor))
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() <= RELATIVE[ENGINES[name].precision] * np.abs(expected).max()


def test_pixels_from_0_to_1_are_what_a_network_from_scratch_is_fed(name):
    """Its features on pixels are those that a first kernel of a 255th gives on bytes."""
    arrays = weights.random(TINY, 5)
    smaller = arrays | {"block1_conv1/kernel": arrays["block1_conv1/kernel"] / np.float32(255)}
    raw = replace(TINY, mean=(0.0, 0.0, 0.0))

    scaled, by_hand = (
        np.array(list(run_batches(open_engine(name, spec, "taps", SIZE, kernels), images)))
        for spec, kernels in ((TINY.blank, arrays), (raw, smaller))
    )

    assert np.abs(scaled - by_hand).max() <= RELATIVE[ENGINES[name].precision] * np.abs(by_hand).max()


def test_black_and_white_by_hand(name):
    """A 1-pixel-deep check that input is RGB, 0 to 255: with all kernels a centre tap of red, weight 1,
    every map is relu(red − 123.68) on a uniform image, up to the first padding-free pixel."""
    arrays = {key: np.zeros_like(array) for key, array in weights.random(TINY, 0).items()}
    for key, array in arrays.items():
        if key.endswith("kernel"):
            array[1, 1, 0, 0] = 1.0
    engine = open_engine(name, TINY, "gap", 32, arrays)
    red = np.zeros((1, 32, 32, 3), np.uint8)
    red[..., 0] = 200
    blue = red[..., ::-1]

    vector = np.array(list(run_batches(engine, [red[0], np.ascontiguousarray(blue[0])])))

    channels = TINY.widths[-1]
    expected = np.zeros((2, 2 * channels))
    expected[0, [0, channels]] = 200 - 123.68
    np.testing.assert_allclose(vector, expected, rtol=5e-3)


def test_unknown_engine_is_refused():
    with pytest.raises(InputError, match="Received: 'abacus'"):
        open_engine("abacus", TINY, "gap", 32, {})
