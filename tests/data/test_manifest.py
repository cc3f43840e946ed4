"""What became of the images between two readings."""

from __future__ import annotations

from pathlib import Path

from headstart.data import manifest


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
