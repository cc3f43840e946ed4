"""Weights arrive as arrays, in RGB, from each of their sources, or with a clear refusal."""

import h5py
import numpy as np
import pytest

from headstart.backbones import specs, vgg, weights
from headstart.errors import InputError

TINY = specs.backbone("vgg-tiny")
VGG16 = specs.backbone("vgg16")


def write_h5(path, arrays, spec):
    """The layout of Keras Applications: a group a layer, datasets named after it."""
    with h5py.File(path, "w") as file:
        for name, _, _ in vgg.conv_names(spec):
            group = file.create_group(name)
            group[f"{name}_W_1:0"] = arrays[f"{name}/kernel"]
            group[f"{name}_b_1:0"] = arrays[f"{name}/bias"]


def test_h5_comes_in_as_rgb(tmp_path):
    published = weights.random(TINY, seed=3)
    write_h5(tmp_path / "w.h5", published, TINY)

    found = weights.find(TINY, str(tmp_path / "w.h5"))

    red_of_ours = found["block1_conv1/kernel"][:, :, 0, :]
    np.testing.assert_array_equal(red_of_ours, published["block1_conv1/kernel"][:, :, 2, :])
    np.testing.assert_array_equal(found["block5_conv1/kernel"], published["block5_conv1/kernel"])
    assert list(found) == list(published)


def test_published_weights_have_the_published_hash():
    """Read by way of the cache the second time; a damaged cache is not trusted."""
    first = weights.find(VGG16)
    cached = weights.cache_dir() / "weights" / "vgg16.safetensors"
    content = bytearray(cached.read_bytes())
    content[-1000] ^= 1
    cached.write_bytes(content)

    again = weights.find(VGG16)

    published = weights._from_bgr(again)
    assert weights.digest(published) == VGG16.weights_sha256
    assert weights.digest(first) == weights.digest(again) != VGG16.weights_sha256


def test_the_name_that_the_list_shows_stands_for_the_published_ones(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.testing.assert_equal(weights.find(VGG16, "vgg16"), weights.find(VGG16))

    (tmp_path / "vgg16").write_bytes(b"not weights")  # a file is still a file
    with pytest.raises(InputError):
        weights.find(VGG16, "vgg16")


def test_random_weights_repeat_and_differ_by_seed():
    assert weights.digest(weights.random(TINY, 1)) == weights.digest(weights.random(TINY, 1))
    assert weights.digest(weights.random(TINY, 1)) != weights.digest(weights.random(TINY, 2))
