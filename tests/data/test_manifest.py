"""What became of the images between two readings."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from headstart.data import manifest
from headstart.errors import InputError


def made(*rows):
    names = ("path", "sha256", "label", "split", "weight")
    return manifest.from_rows([dict(zip(names, row, strict=False)) for row in rows], Path("/data"))


def test_changes_are_told_image_by_image():
    before = made(
        ("a", "1", "x", "train"), ("b", "2", "x", "val"), ("c", "3", "x", "test"), ("d", "4", "x", "train"),
        ("f", "6", "x", "train", 0.5),
    )  # fmt: skip
    now = made(
        ("a", "9", "x", "train"), ("b", "2", "y", "val"), ("c", "3", "x", "val"), ("e", "5", "x", "train"),
        ("f", "6", "x", "train", 0.25),
    )  # fmt: skip
    assert manifest.changes(before, before) == []
    assert manifest.changes(before, now) == [
        "a has changed",
        "b was x, is y",
        "d is gone or no longer usable",
        "e is new",
        "f weighed 0.5, weighs 0.25",
        "c was in test, is in val",  # last: it may follow from the others
    ]


def test_it_comes_back_and_damage_is_said(tmp_path):
    """The root need not be UTF-8: no path is."""
    root = Path(os.fsdecode(b"/data/caf\xe9"))
    images = replace(made(("a", "1", "x", "train")), root=root)
    images.save(tmp_path / "m.parquet")
    found = manifest.load(tmp_path / "m.parquet")
    assert found.root == root
    assert found.table.equals(images.table)

    whole = (tmp_path / "m.parquet").read_bytes()
    for damaged in (whole[:100], b"", b"PAR1" + bytes(90) + b"PAR1"):
        (tmp_path / "m.parquet").write_bytes(damaged)
        with pytest.raises(InputError, match="This manifest is damaged"):
            manifest.load(tmp_path / "m.parquet")
    pd.DataFrame({"path": ["a"]}).to_parquet(tmp_path / "m.parquet")
    with pytest.raises(InputError, match="This manifest is damaged"):
        manifest.load(tmp_path / "m.parquet")
