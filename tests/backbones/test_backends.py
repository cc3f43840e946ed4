"""Keras on each of its backends gives the answers of an engine without Keras, and learns."""

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from headstart.backbones import framework, specs, weights
from headstart.engines import open_engine, run_batches

TINY = specs.backbone("vgg-tiny")
SIZE = 32

# Prints the logits of four images, and the losses of ten steps on sixteen, eight darker and eight brighter.
PROGRAM = """
import json, sys
import numpy as np
from safetensors.numpy import load_file
from headstart.backbones import specs
from headstart.backbones.classifier import build_classifier
from headstart.backbones.framework import keras
arrays = load_file(sys.argv[1])
model = build_classifier(specs.backbone("vgg-tiny"), "taps", 32, arrays)
logits = np.asarray(model.predict_on_batch(arrays["images"]))
k = keras()
loss = k.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(k.optimizers.Adam(1e-3), loss)
rng = np.random.default_rng(0)
labels = np.arange(16) % 2
images = rng.integers(0, 128, (16, 32, 32, 3)) + 127 * labels[:, None, None, None]
losses = [float(model.train_on_batch(images.astype(np.uint8), labels)) for _ in range(10)]
print(json.dumps({"backend": k.config.backend(), "logits": logits.tolist(), "losses": losses}))
"""


@pytest.fixture(scope="module")
def arrays():
    """The tiny network's, a head that gives logits near one, and images to answer."""
    rng = np.random.default_rng(1)
    head = rng.normal(0, 1e-3, (TINY.width("taps", SIZE), 2)).astype(np.float32)
    return weights.random(TINY, 2) | {
        "head/kernel": head,
        "head/bias": np.array([0.5, -0.5], np.float32),
        "images": rng.integers(0, 256, (4, SIZE, SIZE, 3), dtype=np.uint8),
    }


@pytest.mark.parametrize("backend", framework.BACKENDS)
def test_a_backend_answers_and_learns(backend, arrays, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    from headstart.rundir import write_tensors

    write_tensors(tmp_path / "arrays.safetensors", arrays)
    engine = open_engine("openvino", TINY, "taps", SIZE, arrays)
    features = np.array(list(run_batches(engine, arrays["images"])), np.float64)
    expected = features @ arrays["head/kernel"] + arrays["head/bias"]

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path / "arrays.safetensors"],
        env=os.environ | {"KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["backend"] == backend
    np.testing.assert_allclose(found["logits"], expected, rtol=1e-5, atol=1e-5)
    assert np.ptp(expected[:, 0]) > 0.01  # the images do get different answers
    assert found["losses"][-1] < 0.7 * found["losses"][0]
