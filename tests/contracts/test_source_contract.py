"""What every source promises, whoever made it."""

from __future__ import annotations

import math
from pathlib import PurePosixPath

import pandas as pd
import pytest
from PIL import Image

from headstart.data import ledger, manifest, sources
from headstart.data.sources import ARCHIVES, READERS

ARCHIVE = [f"{word} {form}" for word in ARCHIVES for form in ("binary", "python")]
NAMES = ["path", "label", "split", "group", "weight"]
TABLE = ["cells.csv", "cells.tsv", "cells.parquet"]


@pytest.fixture(params=["folder", "split folders", *TABLE, *ARCHIVE, *READERS])
def data(request, tmp_path, tmp_path_factory, cifar, monkeypatch) -> str:
    """What a person would give `headstart train`, one of each kind."""
    if request.param in READERS:
        return str(request.param)
    if request.param in ARCHIVE:
        monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path_factory.getbasetemp() / "cifar-cache"))
        word, form = request.param.split()
        return f"{word}:{cifar(word, form)}"
    for part in ("train", "test") if request.param == "split folders" else ("",):
        for label in ("ant", "bee", "ünïcode"):
            (tmp_path / part / label / "deep").mkdir(parents=True)
            for name in ("2.png", "deep/10 (1).png", ".hidden"):
                Image.new("RGB", (4, 4)).save(tmp_path / part / label / name, "PNG")
    (tmp_path / "loose.png").touch()
    return str(table(tmp_path / request.param) if request.param in TABLE else tmp_path)


def table(path):
    """Lists the images beside it, and what a table may get wrong."""
    found = [p.relative_to(path.parent).as_posix() for p in sorted(path.parent.rglob("*g"), reverse=True)]
    rows = [(name, name.split("/")[0], "", "g", "0.5") for name in found if "/" in name]
    rows += [("gone.png", "ant", "train", "", ""), ("loose.png", "", "", "", ""), ("", "bee", "", "", "")]
    rows += [rows[0], (rows[1][0], "bee", "", "", "")]
    frame = pd.DataFrame([*rows, ("./loose.png", "ant", "test", "", "")], columns=NAMES)
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def test_rows_name_existing_images_once_and_in_order(data):
    source = sources.read(data)
    assert source.root.is_absolute()
    paths = [str(row["path"]) for row in source.rows]
    assert paths == sorted(set(paths))
    for path in paths:
        pure = PurePosixPath(path)
        assert not pure.is_absolute()
        assert ".." not in pure.parts
        assert (source.root / path).is_file()


def test_rows_are_what_a_manifest_takes(data):
    source = sources.read(data)
    for row in source.rows:
        assert {"path", "label", "source"} <= row.keys() <= manifest.COLUMNS.keys()
        assert row["label"]
        assert row.get("split", "") in ("", *manifest.SPLITS)
        weight = row.get("weight", 1.0)
        assert isinstance(weight, float)
        assert 0 <= weight < math.inf
    images = manifest.from_rows(source.rows, source.root)
    assert len(images.class_names) >= 2
    assert len(images) == len(source.rows)


def test_the_ledger_has_its_columns_and_no_row_twice(data):
    source = sources.read(data)
    assert all(row.keys() == ledger.COLUMNS.keys() for row in source.ledger)
    assert all(row["action"] in ("left out", "ignored") for row in source.ledger)
    listed = [row["path"] for row in source.ledger]
    assert len(listed) == len(set(listed))
    assert not set(listed) & {row["path"] for row in source.rows}


def test_reading_again_gives_the_same(data):
    one, other = sources.read(data), sources.read(data)
    assert (one.rows, one.root) == (other.rows, other.root)
    assert ledger.table(one.ledger).equals(ledger.table(other.ledger))


def test_the_data_has_a_name_for_its_run(data):
    name = sources.name(data)
    assert name
    assert name == PurePosixPath(name).name
    assert ":" not in name
