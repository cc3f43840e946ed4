"""Layers, shapes, parameters and operations, against Keras's own count and the published one."""

import numpy as np
import pytest
from tests import models

from headstart.backbones.classifier import build_classifier
from headstart.backbones.specs import BACKBONES
from headstart.inference.description import layers

VGG16 = BACKBONES["vgg16"]


def vgg16(**changes):
    spec = models.spec(backbone="vgg16", image_size=224, blocks=0, **changes)
    return {layer.name: layer for layer in layers(spec)}


def test_vgg16_has_its_published_numbers():
    """14,714,688 parameters without the top; 15.35 · 10⁹ multiplications in its convolutions."""
    found = vgg16(head="gap")
    convolutions = [layer for name, layer in found.items() if "conv" in name]

    assert len(convolutions) == 13
    assert sum(layer.parameters for layer in convolutions) == 14_714_688
    assert sum(layer.operations for layer in convolutions) == pytest.approx(15.35e9, rel=1e-3)
    assert found["block5_conv3"].shape == (14, 14, 512)
    assert found["block1_conv1"].parameters == 3 * 3 * 3 * 64 + 64
    assert found["head"].parameters == 1024 * 3 + 3


def test_the_paper_s_top_has_123_million_more():
    spec = models.spec(backbone="vgg16", image_size=224, blocks=0, head="vgg",
                       class_names=tuple(map(str, range(1000))))  # fmt: skip
    assert sum(layer.parameters for layer in layers(spec)) == 138_357_544


@pytest.mark.parametrize("changes", [{}, {"head": "gap", "blocks": 4}, {"head": "vgg", "views": 8}])
def test_shapes_and_parameters_are_keras_s(changes):
    spec = models.spec(**changes)
    model = build_classifier(spec.network, spec.head, spec.image_size, models.arrays(spec))
    keras = {layer.name: layer for layer in model.layers}

    for layer in layers(spec):
        name = {"head": "logits"}.get(layer.name, layer.name)
        if name in keras and name not in ("image", "features"):
            assert layer.parameters == keras[name].count_params()
            assert (None, *layer.shape) == tuple(keras[name].output.shape)
    assert sum(layer.parameters for layer in layers(spec)) == model.count_params()


def test_what_lies_above_the_boundary_was_trained():
    spec = models.spec(head="gap")
    frozen = {layer.name for layer in layers(spec) if layer.trained}
    tuned = {layer.name for layer in layers(_bounded(spec, "block4_pool")) if layer.trained}
    everything = {layer.name for layer in layers(_bounded(spec, "image")) if layer.trained}

    assert frozen == {"head"}
    assert tuned == {"head", "block5_conv1"}
    assert everything == {"head", *(f"block{i}_conv1" for i in range(1, 6))}


def _bounded(spec, boundary):
    from dataclasses import replace

    return replace(spec, boundary=boundary)


def test_the_output_is_a_class_each():
    last = layers(models.spec(views=8))[-1]
    assert last.shape == (3,)
    assert "8 views" in last.kind
    assert np.isclose(models.SPEC.temperature, 1.5)
    assert "temperature 1.5" in last.kind
