"""The solar cells, as the installed package has them."""

from __future__ import annotations

import sys
from collections import Counter
from importlib.metadata import PackageNotFoundError

import pytest

from headstart.data import images
from headstart.data.sources import elpv
from headstart.errors import InputError


def test_the_labels_are_those_that_were_published():
    labels = elpv.read_labels()
    assert labels.columns.tolist() == ["path", "probability", "type"]
    assert len(labels) == 2624
    levels = Counter(round(3 * p) for p in labels["probability"])
    assert levels == {0: 1508, 1: 295, 2: 106, 3: 715}
    assert abs(3 * labels["probability"] - (3 * labels["probability"]).round()).max() < 1e-6
    assert Counter(labels["type"]) == {"mono": 1074, "poly": 1550}
    assert labels["path"].is_unique


def test_the_binary_task():
    source = elpv.read()
    assert Counter(row["label"] for row in source.rows) == {"defective": 821, "sound": 1803}
    counts = Counter((row["label"], row["weight"]) for row in source.rows)
    assert counts == {
        ("sound", 1.0): 1508,
        ("sound", 1 / 3): 295,
        ("defective", 2 / 3): 106,
        ("defective", 1.0): 715,
    }
    assert source.rows[0] == {
        "path": "images/cell0001.png",
        "label": "defective",
        "weight": 1.0,
        "source": "elpv",
    }
    assert source.ledger == []


def test_the_images_are_there():
    source = elpv.read()
    assert all((source.root / str(row["path"])).is_file() for row in source.rows)
    assert images.decode(images.read(source.root / "images/cell0001.png")).shape == (300, 300, 3)


def test_the_package_is_never_imported():
    elpv.read()
    assert "elpv_dataset" not in sys.modules


def test_without_the_package_it_says_what_to_install(monkeypatch):
    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(elpv, "distribution", absent)
    with pytest.raises(InputError, match=r"Run `pip install headstart\[demo\]`\.$"):
        elpv.read()


def test_an_installation_without_its_files_says_the_same(monkeypatch, tmp_path):
    class Bare:
        def locate_file(self, path):
            return tmp_path / path

    monkeypatch.setattr(elpv, "distribution", lambda _: Bare())
    with pytest.raises(InputError, match="not installed"):
        elpv.read_labels()


def test_cells_come_from_44_modules_one_of_which_is_there_twice():
    modules = elpv.pseudo_modules()
    counts = Counter(modules.tolist())
    assert sum(counts.values()) == 2624
    assert len(counts) == 44 - 1
    assert elpv.read_labels()["type"].groupby(modules).nunique().max() == 1
    assert set(modules[1734:1784]) == set(modules[2276:2326])
    assert counts.pop(int(modules[1734])) == 59 + 60
    assert min(counts.values()) == 48
    assert max(counts.values()) == 72  # runs of one type that are shorter and longer than a module
