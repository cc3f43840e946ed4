"""The fastest engine is measured once, remembered, and only taken if it gains enough."""

import json

import pytest

from headstart.backbones import specs, weights
from headstart.engines import choice

TINY = specs.backbone("vgg-tiny")


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
        ({"ncnn": 1.0, "openvino": 1.0, "openvino-bf16": 0.8}, "ncnn"),  # 1.25 times: not enough
        ({"ncnn": 1.0, "openvino": 1.0, "openvino-bf16": 0.7}, "openvino-bf16"),
        ({"ncnn": 3.0, "openvino": 1.0, "openvino-bf16": 0.9}, "openvino"),
    ],
)
def test_a_later_candidate_must_gain(monkeypatch, seconds, expected):
    monkeypatch.setattr(choice, "open_engine", lambda name, *_: name)
    monkeypatch.setattr(choice, "_seconds", lambda name, _: seconds[name])

    assert fastest() == expected
