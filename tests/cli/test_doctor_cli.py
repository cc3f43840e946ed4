"""`headstart doctor` as a person meets it, on this machine and on one with something missing."""

import importlib.util
import json
import os

import pytest
from tests.cli.test_cli import headstart

STATES = {"ok", "missing", "broken", "slower"}


@pytest.fixture(scope="module")
def answer():
    done = headstart("doctor", "--quick", "--format", "json")
    return done, json.loads(done.stdout)


def test_everything_that_is_needed_works_here(answer):
    done, report = answer

    assert done.returncode == 0
    assert report["works"] is True
    needed = [check["name"] for check in report["checks"] if check["needed"]]
    assert needed == ["Python", "Cache", "Keras", "Engine in use"]


def test_every_check_says_what_it_found_and_what_would_change_it(answer):
    checks = answer[1]["checks"]

    assert len(checks) == len({check["name"] for check in checks}) >= 16
    for check in checks:
        assert set(check) == {"name", "state", "what", "remedy", "needed"}
        assert check["state"] in STATES
        assert check["what"]
        assert (check["state"] == "ok") == (check["remedy"] == ""), check


def test_every_engine_was_tried(answer):
    states = {check["name"]: check for check in answer[1]["checks"]}

    for name in ("keras", "openvino", "openvino-bf16", "ncnn"):
        assert states[f"Engine {name}"]["state"] == "ok"
        assert states[f"Engine {name}"]["what"].startswith("runs, ")


def test_without_what_is_needed_it_exits_with_1(tmp_path):
    if importlib.util.find_spec("jax"):
        pytest.skip("jax is installed here")
    (tmp_path / "file").write_text("")
    env = os.environ | {"KERAS_BACKEND": "jax", "HEADSTART_CACHE": str(tmp_path / "file")}

    done = headstart("doctor", "--quick", env=env)

    assert done.returncode == 1
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[-1] == "Needed, and does not work: Cache, Keras."
    at = next(i for i, line in enumerate(lines) if line.startswith("missing  Keras"))
    assert lines[at].endswith("jax is not installed")
    assert lines[at + 1].strip() == "→ pip install 'jax', or export KERAS_BACKEND=tensorflow"
    assert any(line.startswith("broken   Cache") for line in lines)
