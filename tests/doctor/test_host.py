"""The machine is judged by what the system says of it."""

import math
import shutil

import pytest

from headstart import machine
from headstart.doctor import host
from headstart.engines import threads


def test_python_is_one_that_can_run_this():
    assert host.python().state == "ok"


@pytest.mark.parametrize(("quota", "said"), [(math.inf, False), (1.5, True)])
def test_a_quota_is_told(monkeypatch, quota, said):
    monkeypatch.setattr(machine, "cpu_quota", lambda: quota)

    verdict = host.cores()

    assert (verdict.state, verdict.remedy) == ("ok", "")
    assert ("the time of 1.5 cores" in verdict.what) is said
    assert f", {threads()} cores" in verdict.what


@pytest.mark.parametrize(
    ("sizes", "state"), [((16e9, 8e9), "ok"), ((2e9, 64e9), "missing"), ((16e9, 1e9), "missing")]
)
def test_memory(monkeypatch, sizes, state):
    monkeypatch.setattr(machine, "memory", lambda: sizes)

    assert host.memory().state == state


def test_where_the_system_does_not_say_memory_is_not_known(monkeypatch):
    monkeypatch.setattr(machine, "memory", lambda: (0.0, 0.0))

    assert host.memory() == ("ok", "not known", "")


def test_the_cache_is_measured_and_not_made(tmp_path, monkeypatch):
    place = tmp_path / "a" / "b"
    monkeypatch.setenv("HEADSTART_CACHE", str(place))

    assert host.cache_folder().state == "ok"
    assert not place.exists()

    (place / "maps" / "x").mkdir(parents=True)
    (place / "maps" / "x" / "1.safetensors").write_bytes(bytes(160_000_000))
    assert f"{place}: 0.2 GB" in host.cache_folder().what


def test_a_cache_that_is_no_folder_is_broken(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "file" / "cache"))

    verdict = host.cache_folder()

    assert verdict.state == "broken"
    assert "export HEADSTART_CACHE=" in verdict.remedy


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))
    monkeypatch.setattr(host, "DISK", shutil.disk_usage(tmp_path).free * 2)

    assert "headstart cache clear" in host.cache_folder().remedy
