from __future__ import annotations

import numpy as np
import pytest

from headstart.backbones import heads, specs, weights
from headstart.backbones.framework import keras
from headstart.engines import open_engine
from headstart.evaluation.saliency import border_share, channel_weights, grad_cam

SIZE = 64


def test_grad_cam_by_hand():
    """One pixel row of two, two channels: mean and maximum of each read with weights of our choice."""
    last = np.array([[[1.0, 4.0], [3.0, 2.0]]])  # (1, 2, 2)
    # Rows of the kernel: something else, the means of both channels, their maxima. One class.
    kernel = np.array([[9.0], [2.0], [-1.0], [0.5], [0.25]], np.float32)
    head = heads.LinearHead(kernel, np.zeros(1, np.float32))
    features = np.array([7.0, 2.0, 3.0, 3.0, 4.0])
    # α = (mean's weight + maximum's weight) / 2 pixels: (2 + 0.5) / 2 and (−1 + 0.25) / 2.
    found = channel_weights(head, features, area=2, channels=2)
    assert found.tolist() == [[1.25, -0.375]]
    # 1.25 · 1 − 0.375 · 4 < 0 and 1.25 · 3 − 0.375 · 2 = 3
    assert grad_cam(last, found[0]).tolist() == [[0.0, 1.0]]


def test_nothing_speaks_for_it():
    assert grad_cam(np.ones((2, 2, 1)), np.array([-1.0])).tolist() == [[0, 0], [0, 0]]


def test_border_share_by_hand():
    heat = np.zeros((4, 4))
    heat[0, 0] = 1.0  # a cell of a quarter: half of it each way lies inside the frame's inner edge
    assert border_share(heat) == pytest.approx(1 - 0.25)
    heat[:] = 0
    heat[1, 1] = 1.0
    assert border_share(heat) == pytest.approx(0)
    assert border_share(np.ones((14, 14))) == pytest.approx(1 - 0.75**2)
    assert np.isnan(border_share(np.zeros((4, 4))))


@pytest.mark.parametrize("head", ["gap", "vgg", "taps"])
def test_equals_automatic_differentiation(head):
    """Each head, each of three classes, through an engine's map against the gradient of the Keras graph."""
    tf = pytest.importorskip("tensorflow")
    spec = specs.backbone("vgg-tiny")
    arrays = weights.random(spec, 0) | heads.random(spec, head, SIZE, 3, seed=1)
    image = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    engine = open_engine("keras", spec, head, SIZE, arrays, spec.last_map)
    batch = np.zeros((engine.batch, SIZE, SIZE, 3), np.uint8)
    batch[0] = image
    features, maps = engine.run_with_map(batch)
    height, width, channels = maps[0].shape
    found = channel_weights(heads.from_arrays(spec, head, arrays), features[0], height * width, channels)

    for c in range(3):
        expected = _reference(tf, spec, head, arrays, maps[0], features[0], c)
        np.testing.assert_allclose(grad_cam(maps[0], found[c]), expected, atol=1e-5)


def _reference(tf, spec, head, arrays, last, features, c) -> np.ndarray:
    """The logit as a function of the last map alone, all else constant, differentiated."""
    x = tf.Variable(last[None].astype(np.float32))
    layers = keras().layers
    with tf.GradientTape() as tape:
        if head == "vgg":
            y = layers.Flatten()(layers.MaxPooling2D(2)(x))
            for name in ("fc1", "fc2"):
                y = tf.nn.relu(y @ arrays[f"{name}/kernel"] + arrays[f"{name}/bias"])
        else:
            own = [tf.reduce_mean(x, axis=(1, 2)), tf.reduce_max(x, axis=(1, 2))]
            below = tf.constant(features[None, : -2 * x.shape[-1]])
            y = tf.concat([below, *own], axis=1)
        logits = y @ arrays["head/kernel"] + arrays["head/bias"]
        score = logits[0, c]
    gradient = tape.gradient(score, x)[0].numpy()
    expected = heads.from_arrays(spec, head, arrays).logits(features[None, None])[0, c]
    assert float(logits[0, c]) == pytest.approx(expected, rel=1e-4)
    heat = np.maximum((last * gradient.mean(axis=(0, 1))).sum(axis=-1), 0)
    return heat / (heat.max() or 1)
