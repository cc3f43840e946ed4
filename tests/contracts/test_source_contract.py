"""What every source promises, whoever made it."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from PIL import Image

from headstart.data import ledger, manifest, sources
from headstart.data.sources import READERS


@pytest.fixture(params=["folder", "split folders", *READERS])
def data(request, tmp_path) -> str:
    if request.param in READERS:
        return str(request.param)
    for part in ("", "train", "test")[slice(0, 1) if request.param == "folder" else slice(1, 3)]:
        for label in ("ant", "bee", "ünïcode"):
            (tmp_path / part / label / "deep").mkdir(parents=True)
            for name in ("2.png", "deep/10 (1).png", ".hidden"):
                Image.new("RGB", (4, 4)).save(tmp_path / part / label / name, "PNG")
    (tmp_path / "loose.png").touch()
    return str(tmp_path)


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
        assert 0 < weight <= 1
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
