"""Which backend Keras gets; where there is none, one line that helps."""

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
