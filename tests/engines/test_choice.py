"""The fastest engine is measured once, remembered, and only taken if it gains enough."""

import json
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import numpy as np
import pytest

from headstart.backbones import specs, weights
from headstart.engines import choice, open_engine
from headstart.errors import InputError
from headstart.progress import shown

TINY = specs.backbone("vgg-tiny")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cpu family\t: 26\nmodel\t\t: 2\nmodel name\t: AMD EPYC\n", "AMD EPYC (family 26, model 2)"),
        ("processor\t: 0\nmodel name\t: Neoverse\n", "Neoverse"),
    ],
)
def test_a_processor_is_told_from_others_of_its_name(text, expected, tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(choice, "Path", lambda _: tmp_path / "cpuinfo")

    assert choice.processor() == expected


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))
    return tmp_path


def fastest():
    return choice.fastest(TINY, "gap", 32, weights.random(TINY, 0))


def test_it_measures_here_and_remembers(fresh, monkeypatch):
    first = fastest()
    record = json.loads(next(fresh.rglob("*.json")).read_text())
    monkeypatch.setattr(choice, "open_engine", lambda *_: pytest.fail("measured again"))

    assert fastest() == first == record["engine"]
    assert set(record["seconds_per_image"]) == {"ncnn", "openvino", "openvino-bf16"}
    assert all(seconds > 0 for seconds in record["seconds_per_image"].values())


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({"ncnn": 1.0, "openvino": 1.0, "openvino-bf16": 0.7}, "ncnn"),  # 1.43 times: not enough
        ({"ncnn": 1.0, "openvino": 1.0, "openvino-bf16": 0.65}, "openvino-bf16"),
        ({"ncnn": 3.0, "openvino": 1.0, "openvino-bf16": 0.9}, "openvino"),
    ],
)
def test_a_later_candidate_must_gain(seconds, expected):
    features = np.ones((3, 8))

    assert choice._best({name: choice.Trial(s, features) for name, s in seconds.items()}) == expected


def test_a_fast_engine_with_wrong_features_is_not_taken():
    right, wrong = np.linspace(0, 1, 8), np.linspace(0, 1, 8) + 0.05
    trials = {"ncnn": choice.Trial(0.1, wrong), "openvino": choice.Trial(1.0, right)}

    assert choice._best(trials) == "openvino"


def test_of_features_that_are_no_numbers_it_takes_any():
    """What is wrong with the weights is said where features are computed."""
    nothing = np.full((1, 3), np.nan)
    assert (
        choice._best({"openvino": choice.Trial(1.0, nothing), "keras": choice.Trial(2.0, nothing)})
        == "openvino"
    )


@pytest.mark.parametrize("content", ["", "[]", '{"engine": "abacus"}'])
def test_a_damaged_record_is_measured_again(fresh, content):
    fastest()
    record = next(fresh.rglob("*.json"))
    record.write_text(content)

    assert fastest() == json.loads(record.read_text())["engine"] in choice.CANDIDATES


class Broken(ModuleType):
    """A library that is installed, but lacks one of its own."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        raise ImportError("libtbb.so.12: cannot open shared object file")


def spoil(monkeypatch, name):
    library = Broken(name)
    library.__spec__ = ModuleSpec(name, None)
    monkeypatch.setitem(sys.modules, name, library)


def test_an_engine_that_is_broken_is_left_out_and_named(fresh, monkeypatch, capsys):
    spoil(monkeypatch, "openvino")

    with shown():
        assert fastest() == "ncnn"

    said = capsys.readouterr().err
    assert "openvino does not run here and is left out" in said
    assert "openvino-bf16 does not run here" in said
    assert not list(fresh.rglob("*.json"))  # it may be mended
    with pytest.raises(InputError, match=r"openvino is installed, but cannot be loaded.*libtbb"):
        open_engine("openvino", TINY, "gap", 32, weights.random(TINY, 0))


def test_where_none_runs_keras_does_and_without_it_that_is_said(monkeypatch):
    spoil(monkeypatch, "openvino")
    spoil(monkeypatch, "ncnn")
    assert fastest() == "keras"

    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(InputError, match="No engine runs here"):
        fastest()
