"""Which backend Keras gets; where there is none, one line that helps."""

import os
import sys

import pytest

from headstart.backbones import framework
from headstart.engines import ENGINES
from headstart.errors import InputError


def test_the_backend_is_the_one_that_was_asked_for(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert framework.backend() == "jax"
    monkeypatch.setenv("KERAS_BACKEND", "")
    assert framework.backend() == "tensorflow"


@pytest.mark.parametrize("name", ["tensorfow", "openvino", "a.b"])
def test_an_unknown_backend_is_refused(monkeypatch, name):
    monkeypatch.setenv("KERAS_BACKEND", name)

    with pytest.raises(InputError, match=f"tensorflow, jax, torch.* Received: '{name}'"):
        framework.keras()
    assert not ENGINES["keras"].installed
    assert ENGINES["ncnn"].installed


@pytest.mark.parametrize(
    ("name", "package"), [("tensorflow", r"headstart\[cpu\]"), ("jax", "jax"), ("torch", "torch")]
)
def test_a_missing_backend_is_one_line_with_the_command(monkeypatch, name, package):
    monkeypatch.setenv("KERAS_BACKEND", name)
    monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(InputError, match=f"backend {name} is not installed. Run `pip install '{package}'`"):
        framework.keras()
    assert not ENGINES["keras"].installed


def test_a_gpu_is_left_to_others_unless_somebody_wants_it_otherwise(monkeypatch):
    monkeypatch.delenv("TF_FORCE_GPU_ALLOW_GROWTH", raising=False)
    framework.keras()
    assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"

    monkeypatch.setenv("TF_FORCE_GPU_ALLOW_GROWTH", "false")
    framework.keras()
    assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "false"


def test_a_keras_that_runs_on_another_backend_is_refused(monkeypatch, tmp_path):
    """As where somebody has imported it first, and its own file names another."""
    framework.keras()
    other = next(name for name in framework.BACKENDS if name != framework.backend())
    (tmp_path / f"{other}.py").touch()
    monkeypatch.syspath_prepend(tmp_path)  # now it seems to be installed
    received = framework.backend()
    monkeypatch.setenv("KERAS_BACKEND", other)

    with pytest.raises(
        InputError, match=f"Allowed: {other}. Received: '{received}'. Set KERAS_BACKEND before"
    ):
        framework.keras()
