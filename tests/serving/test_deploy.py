"""The container's files: what they name is there, and their steps give a server in a fresh environment."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
import yaml  # noqa: TID251 - `safe_load` alone
from tests import models
from tests.serving.running import asked, served

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text(encoding="utf-8"))
PICTURE = models.picture(3)
OF_THE_IMAGE = set(
    "ld-linux-x86-64 libc libdl libgcc_s libm libmvec libpthread libresolv librt libstdc++ libz".split()
)
"""Libraries that Debian's slim image has."""


def instructions(name):
    """What follows an instruction, each time, its lines joined."""
    joined = DOCKERFILE.replace("\\\n", " ")
    return re.findall(rf"^ *{name} (.*)$", joined, re.MULTILINE)


def options(words):
    return {word.partition("=")[0] for word in words if word.startswith("--")}


def test_options_of_container_and_compose_exist():
    command = [sys.executable, "-m", "headstart", "serve", "--help"]
    wide = os.environ | {"COLUMNS": "200"}
    known = set(re.findall(r"--[a-z-]+", subprocess.check_output(command, env=wide, text=True)))
    given = [*json.loads(instructions("ENTRYPOINT")[0]), *json.loads(instructions("CMD")[-1])]

    assert options(given) == {"--host", "--history"}
    assert options(given) | options(COMPOSE["services"]["model"]["command"]) <= known


def test_the_container_is_nobody_with_nothing_to_write():
    model = COMPOSE["services"]["model"]

    assert instructions("USER") == ["10001"]
    assert (model["read_only"], model["cap_drop"]) == (True, ["ALL"])
    assert model["volumes"][0].endswith(":ro")
    assert all(port.startswith("127.0.0.1:") for port in model["ports"])


def test_only_this_machine_is_taken_for_a_proxy():
    (network,) = COMPOSE["networks"]["default"]["ipam"]["config"]

    assert f"--proxy={network['gateway']}" in COMPOSE["services"]["model"]["command"]
    assert ip_address(network["gateway"]) in ip_network(network["subnet"])


def test_every_file_that_is_copied_is_there_and_gets_into_the_context():
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [word for line in instructions("COPY") if "--from" not in line for word in line.split()[:-1]]

    assert copied
    for path in copied:
        assert (ROOT / path).exists()
        assert path in allowed


def test_secrets_are_asked_for_and_never_written_down():
    for name in ("HEADSTART_TOKEN", "PGPASSWORD"):
        assert COMPOSE["services"]["model"]["environment"][name].startswith(f"${{{name}:?")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The environment that the Dockerfile's first stage makes, somewhere else."""
    folder = tmp_path_factory.mktemp("image")
    source, venv = folder / "source", folder / "venv"
    for path in ("deploy/constraints.txt", "LICENSE.txt", "README.md", "pyproject.toml"):
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, source / path)
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__"))
    python = Path(sys.executable).resolve().parent
    for step in instructions("RUN"):
        if "/venv" in step:
            environment = os.environ | {"PATH": f"{python}:{os.environ['PATH']}"}
            command = ["sh", "-c", step.replace("/venv", str(venv))]
            subprocess.run(command, check=True, cwd=source, env=environment)
    return venv


@pytest.mark.serving
def test_the_steps_of_the_dockerfile_give_a_server(built, model, tmp_path):
    """Nothing but what the image will hold: another Python, an empty home, no path to this source."""
    clean = {"HOME": str(tmp_path), "PYTHONPATH": "", "HEADSTART_CACHE": str(tmp_path / "cache")}
    with served(model, "--history", str(tmp_path / "answers"), python=built / "bin/python", **clean) as (
        port,
        _,
    ):
        assert asked(port, "POST", "/v1/predict", PICTURE, Content_Type="image/png")[0] == 200
        assert asked(port, "POST", "/v1/explain", PICTURE, Content_Type="image/png")[0] == 200
        for page in ("/", "/api", "/history", "/history/answers.csv", "/metrics", "/openapi.json"):
            assert asked(port, "GET", page)[0] == 200, page


@pytest.mark.serving
def test_its_libraries_need_no_others_than_the_image_has(built):
    own = {path.name for path in built.rglob("*.so*")}
    missing = set()
    for library in built.rglob("*.so*"):
        if "intel_gpu" in library.name:
            continue  # OpenVINO loads this plugin where there is a GPU with its own libraries
        found = subprocess.run(["ldd", library], capture_output=True, text=True, check=False).stdout
        needed = re.findall(r"^\s+(?:/lib64/)?(\S+?)(?: =>| \()", found, re.MULTILINE)
        missing |= {n for n in needed if n not in own and n.partition(".so")[0] not in OF_THE_IMAGE}

    assert missing - {"linux-vdso.so.1"} == set()
