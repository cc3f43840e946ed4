"""VGG16 is VGG16: the same maps as Keras's own, and the right preprocessing."""

import numpy as np
import pytest

from headstart.backbones import classifier, heads, specs, vgg, weights
from headstart.backbones.framework import keras
from headstart.errors import InputError

VGG16 = specs.backbone("vgg16")
TINY = specs.backbone("vgg-tiny")


@pytest.fixture(scope="module")
def imagenet():
    return weights.find(VGG16)


def test_the_table_has_the_paper_s_size():
    parameters = sum(9 * fan * channels + channels for _, fan, channels in vgg.conv_names(VGG16))

    assert parameters == 14_714_688  # without the top, as Keras counts it
    assert VGG16.last_map == "block5_conv3"
    assert VGG16.taps("taps") == ("block3_pool", "block4_pool", "block5_conv3")
    assert VGG16.width("taps", 224) == 2 * (256 + 512 + 512)
    assert VGG16.width("gap", 224) == 2 * 512


def test_last_map_equals_keras_applications(imagenet):
    """Same weights (given back as BGR), the published preprocessing: the same map to 1e-5 relative."""
    k = keras()
    theirs = k.applications.VGG16(include_top=False, weights=None, input_shape=(96, 96, 3))
    for name, _, _ in vgg.conv_names(VGG16):
        kernel, bias = imagenet[f"{name}/kernel"], imagenet[f"{name}/bias"]
        bgr = kernel[:, :, ::-1, :] if name == "block1_conv1" else kernel
        theirs.get_layer(name).set_weights([bgr, bias])
    images = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), dtype=np.uint8)
    expected = k.Model(theirs.input, theirs.get_layer("block5_conv3").output).predict(
        k.applications.vgg16.preprocess_input(images.astype(np.float32)), verbose=0
    )

    ours = classifier.build_features(VGG16, "gap", 96, imagenet)
    actual = k.Model(ours.input, ours.get_layer("block5_conv3").output).predict(images, verbose=0)

    assert np.abs(actual - expected).max() <= 1e-5 * np.abs(expected).max()


def test_one_red_pixel_by_hand(imagenet):
    """Red (255, 0, 0) is (131.32, −116.779, −103.939) to the network, and zero padding lies around it.

    Only the kernel's centre meets a single pixel, so the first convolution is a dot product of three.
    """
    model = classifier.build_features(VGG16, "gap", 32, imagenet)
    k = keras()
    first = k.Model(model.input, model.get_layer("block1_conv1").output)
    grey = np.array([123.68, 116.779, 103.939])
    image = np.zeros((1, 32, 32, 3), np.uint8)
    image[0, 0, 0] = (255, 0, 0)

    centred = k.Model(model.input, model.get_layer("centre").output).predict(image, verbose=0)[0]
    np.testing.assert_allclose(centred[0, 0], [131.32, -116.779, -103.939], rtol=1e-6)
    np.testing.assert_allclose(centred[9, 9], -grey, rtol=1e-6)

    kernel, bias = imagenet["block1_conv1/kernel"].astype(np.float64), imagenet["block1_conv1/bias"]
    red, black = np.array([131.32, -116.779, -103.939]), -grey
    # The corner's window: itself, and its right, lower and diagonal neighbours; the rest is padding.
    expected = red @ kernel[1, 1] + black @ kernel[1, 2] + black @ kernel[2, 1] + black @ kernel[2, 2] + bias
    actual = first.predict(image, verbose=0)[0, 0, 0]
    np.testing.assert_allclose(actual, np.maximum(expected, 0), rtol=1e-4, atol=1e-3)


def test_published_weights_start_as_published(imagenet):
    """The first numbers that Keras's file is known to hold; in BGR, so blue's come first there."""
    assert imagenet["block1_conv1/kernel"][0, 0, ::-1, 0][0] == pytest.approx(0.42947057)
    np.testing.assert_allclose(
        imagenet["block1_conv1/bias"][:3], [0.73429835, 0.09340367, 0.06775674], rtol=1e-6
    )


@pytest.mark.parametrize("head", ["taps", "gap", "vgg"])
@pytest.mark.parametrize("unfreeze", ["block5", "block4", "2", "all"])
def test_above_of_below_is_the_whole(unfreeze, head):
    model = classifier.build_classifier(TINY, head, 64, _tiny_classifier(head))
    images = np.random.default_rng(1).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    boundary = TINY.boundary(unfreeze)

    below, above = classifier.cut(model, boundary, TINY.frozen_taps(head, boundary))

    expected = model.predict(images, verbose=0)
    np.testing.assert_allclose(
        above.predict(below.predict(images, verbose=0), verbose=0), expected, rtol=1e-5
    )


def test_a_cut_that_the_head_goes_around_is_refused():
    model = classifier.build_classifier(TINY, "taps", 64, _tiny_classifier("taps"))

    with pytest.raises(InputError, match="cannot be cut there"):
        classifier.cut(model, "block4_pool")
    with pytest.raises(InputError, match="Received: 'block9_pool'"):
        classifier.cut(model, "block9_pool")


@pytest.mark.parametrize(
    ("unfreeze", "boundary"),
    [
        ("block5", "block4_pool"), ("block3", "block2_pool"), ("all", "image"), ("1", "block5_conv2"),
        ("3", "block4_pool"), ("4", "block4_conv2"), ("13", "image"),
    ],
)  # fmt: skip
def test_the_boundary_lies_below_what_is_trained(unfreeze, boundary):
    assert VGG16.boundary(unfreeze) == boundary


@pytest.mark.parametrize("unfreeze", ["block6", "0", "14", "top", ""])
def test_what_is_no_part_of_the_network_is_refused(unfreeze):
    with pytest.raises(InputError, match=r"from 1 to 13\. Received"):
        VGG16.boundary(unfreeze)


def _tiny_classifier(head):
    rng = np.random.default_rng(2)
    drawn = heads.random(TINY, head, 64, 3, 2)
    return weights.random(TINY, 0) | {
        k: v + rng.normal(size=v.shape).astype(v.dtype) for k, v in drawn.items()
    }
