"""The reference computes in float32, whatever the program around it has told Keras."""

import numpy as np
import pytest

from headstart.backbones import specs, weights
from headstart.backbones.framework import keras
from headstart.engines import open_engine

TINY = specs.backbone("vgg-tiny")


@pytest.fixture
def mixed():
    config = keras().config
    config.set_dtype_policy("mixed_bfloat16")
    yield
    config.set_dtype_policy("float32")


def features():
    engine = open_engine("keras", TINY, "taps", 32, weights.random(TINY, 0))
    return engine.run(np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8))


def test_features_are_those_of_float32(request):
    expected = features()

    request.getfixturevalue("mixed")

    np.testing.assert_array_equal(features(), expected)
    assert keras().config.dtype_policy().name == "mixed_bfloat16"
