"""Keras, GPUs and engines are judged by what their trials found."""

import os
import sys

import pytest

from headstart.backbones import framework
from headstart.doctor import compute
from headstart.doctor.processes import Trial
from headstart.engines import ENGINES
from headstart.engines.trial import CHOICE

KERAS = Trial({"backend_version": "2.21.0", "gpus": [], "precision": "float32"})


@pytest.fixture
def nvidia(tmp_path, monkeypatch):
    """A machine whose nvidia-smi lists a GPU."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho NVIDIA H200\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def backend(monkeypatch, name, installed):
    monkeypatch.setenv("KERAS_BACKEND", name)
    monkeypatch.setattr(compute.framework, "has_backend", lambda: installed)


def hide(monkeypatch, *names):
    """As if these had never been installed."""
    for name in names:
        monkeypatch.setitem(sys.modules, name, None)


def test_a_backend_that_runs_is_named_with_its_version():
    verdict = compute.backend(KERAS)

    assert verdict.state == "ok"
    assert verdict.what.endswith(" on tensorflow 2.21.0")


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("tensorflow", "pip install 'headstart[cpu]'"),
        ("jax", "pip install 'jax'"),
        ("torch", "pip install 'torch'"),
    ],
)
def test_a_missing_backend_comes_with_its_command(monkeypatch, name, remedy):
    backend(monkeypatch, name, installed=False)
    hide(monkeypatch, *framework.BACKENDS)

    assert compute.backend(Trial()) == ("missing", f"{name} is not installed", remedy)


def test_a_backend_that_is_there_is_proposed_instead_of_a_missing_one(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    hide(monkeypatch, "jax")

    assert compute.backend(Trial()).remedy == "pip install 'jax', or export KERAS_BACKEND=tensorflow"


@pytest.mark.usefixtures("nvidia")
def test_where_there_is_a_gpu_its_build_is_proposed(monkeypatch):
    backend(monkeypatch, "tensorflow", installed=False)
    hide(monkeypatch, *framework.BACKENDS)

    assert compute.backend(Trial()).remedy == "pip install 'headstart[gpu]'"


def test_an_unknown_backend_is_told(monkeypatch):
    backend(monkeypatch, "tensorfow", installed=False)

    verdict = compute.backend(Trial(error="?"))

    assert (verdict.state, verdict.remedy) == ("broken", "unset KERAS_BACKEND")


def test_a_broken_backend_is_installed_again_and_nothing_else():
    verdict = compute.backend(Trial(error="ended by SIGILL"))

    assert verdict.state == "broken"
    assert "ended by SIGILL" in verdict.what
    assert verdict.remedy.replace("_", "-") == "pip install --force-reinstall --no-deps tensorflow-cpu"


def test_no_gpu_is_no_fault(monkeypatch):
    monkeypatch.setattr(compute.machine, "nvidia_gpus", lambda: ())

    assert compute.gpu(KERAS).state == "ok"


def test_a_gpu_in_use_is_named():
    verdict = compute.gpu(Trial({"gpus": ["NVIDIA H200", "NVIDIA H200"]}))

    assert verdict == ("ok", "NVIDIA H200, NVIDIA H200, used by tensorflow", "")


@pytest.mark.usefixtures("nvidia")
@pytest.mark.parametrize(
    ("name", "word"), [("tensorflow", "'headstart[gpu]'"), ("jax", "'jax[cuda12]'"), ("torch", "torch")]
)
def test_a_gpu_that_is_not_used_comes_with_the_command(monkeypatch, name, word):
    backend(monkeypatch, name, installed=True)

    verdict = compute.gpu(KERAS)

    assert verdict.state == "slower"
    assert verdict.what == f"NVIDIA H200, which {name} cannot use"
    assert verdict.remedy.endswith(word)


@pytest.mark.usefixtures("nvidia")
def test_a_hidden_gpu_is_shown_again(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    assert compute.gpu(KERAS).remedy == "unset CUDA_VISIBLE_DEVICES"


def test_precision_is_that_of_training():
    assert compute.precision(KERAS).what.startswith("float32 for training")
    assert compute.precision(Trial({"precision": "mixed_bfloat16"})).what.startswith("mixed_bfloat16")
    assert compute.precision(Trial(error="?")).state == "missing"


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine(name):
    assert compute.engine(name, Trial({"images_per_second": 15.94})).what.startswith("15.9 images/s, ")
    assert compute.engine(name, Trial()).what.startswith("runs, ")  # not timed
    broken = compute.engine(name, Trial(error="ended by SIGILL"))
    assert (broken.state, broken.what) == ("broken", "ended by SIGILL")
    assert f"{ENGINES[name].library}=={ENGINES[name].version}" in broken.remedy


def test_an_engine_that_is_not_installed(monkeypatch):
    backend(monkeypatch, "jax", installed=False)
    hide(monkeypatch, *framework.BACKENDS)

    assert compute.engine("ncnn", None) == ("missing", "ncnn is not installed", "pip install ncnn")
    assert compute.engine("keras", None) == ("missing", "Keras has no backend", "pip install 'jax'")


def test_the_engine_in_use():
    good, bad = Trial(), Trial(error="ended by SIGILL")
    chosen = Trial({"engine": "ncnn"})

    assert compute.engine_in_use({"ncnn": good, CHOICE: chosen}).what.startswith("ncnn; ")
    untimed = compute.engine_in_use({"keras": good, "openvino": good})
    assert untimed.what.startswith("the fastest of openvino, keras")
    assert compute.engine_in_use({"ncnn": bad, "keras": good, CHOICE: bad}).remedy.endswith("--engine keras")
    assert compute.engine_in_use({"ncnn": bad}).state == "missing"
