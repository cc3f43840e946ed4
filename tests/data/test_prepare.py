"""From a real, messy folder to a manifest: every file accounted for, once."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from headstart.config import DataConfig
from headstart.data import ledger, prepare, sources
from headstart.data.sources import Source, elpv
from headstart.errors import InputError

CONFIG = DataConfig()


def picture(path, seed, kind="PNG", size=(8, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, kind)


def photos(root, **counts):
    for number, (label, count) in enumerate(counts.items()):
        for i in range(count):
            picture(root / label / f"{i}.png", 1000 * number + i)
    return root


def messy(root):
    """Two sound classes, and everything that the world adds to them."""
    photos(root, cat=7, dog=7)
    picture(root / "cat" / "deep" / "er" / "7.jpg", 50, "JPEG")
    picture(root / "dog" / "Grüße aus Ærø (1).png", 51)
    picture(root / "dog" / "日本 1.webp", 52, "WEBP")
    picture(root / "dog" / "jpeg in disguise.gif", 53, "JPEG")
    (root / "dog" / "copy of 0.png").write_bytes((root / "dog" / "0.png").read_bytes())
    (root / "cat" / "mislabelled.png").write_bytes((root / "dog" / "1.png").read_bytes())
    (root / "cat" / "text.jpg").write_text("not an image at all")
    (root / "cat" / "notes.txt").write_text("nor is this")
    (root / "cat" / "empty.png").touch()
    (root / "cat" / "gone.png").symlink_to("nowhere.png")
    cut = BytesIO()
    Image.new("RGB", (64, 64), "teal").save(cut, "JPEG")
    (root / "dog" / "cut.jpg").write_bytes(cut.getvalue()[:-30])
    (root / "dog" / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (root / "list.csv").write_text("a,b")
    (root / "bird").mkdir()
    os.close(os.open(os.fsencode(root) + b"/cat/caf\xe9.png", os.O_CREAT))
    return root


LEFT_OUT = {
    "bird/": "empty-class",
    r"cat/caf\udce9.png": "undecodable-name",
    "cat/empty.png": "empty",
    "cat/gone.png": "unreadable",
    "cat/mislabelled.png": "two-labels",
    "cat/notes.txt": "not-an-image",
    "cat/text.jpg": "not-an-image",
    "dog/1.png": "two-labels",
    "dog/cut.jpg": "truncated",
    "list.csv": "no-class",
}


def test_every_file_of_a_messy_folder_is_accounted_for_once(tmp_path):
    images, report = prepare.prepare(str(messy(tmp_path)), CONFIG, seed=0)
    out = report[report["action"] == "left out"]
    assert dict(zip(out["path"], out["check"], strict=True)) == LEFT_OUT
    assert report.loc[report["action"] == "ignored", "path"].tolist() == ["dog/.DS_Store"]
    kept = report[report["action"] == "kept"]
    assert kept[["path", "check"]].to_numpy().tolist() == [
        ["dog/copy of 0.png", "exact-duplicate"],
        ["dog/jpeg in disguise.gif", "wrong-extension"],
    ]

    on_disk = {os.fsencode(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if not path.is_dir()}
    names = [*images.table["path"], *report.loc[report["action"] != "kept", "path"]]
    accounted = [os.fsencode(name.replace(r"\udce9", "\udce9")) for name in names if not name.endswith("/")]
    assert len(accounted) == len(set(accounted))
    assert set(accounted) == on_disk


def test_the_manifest_of_a_messy_folder(tmp_path):
    images, _ = prepare.prepare(str(messy(tmp_path)), CONFIG, seed=0)
    assert images.class_names == ("cat", "dog")
    assert images.root == tmp_path
    table = images.table.set_index("path")
    assert list(table.loc["cat/deep/er/7.jpg", ["label", "width", "height"]]) == ["cat", 8, 6]
    assert {"dog/Grüße aus Ærø (1).png", "dog/日本 1.webp", "dog/jpeg in disguise.gif"} <= set(table.index)
    assert table["split"]["dog/0.png"] == table["split"]["dog/copy of 0.png"]
    digest = hashlib.sha256((tmp_path / "cat" / "3.png").read_bytes()).hexdigest()
    assert table["sha256"]["cat/3.png"] == digest
    assert images.counts().to_numpy().tolist() == [[6, 1, 1], [6, 2, 2]]


def test_a_class_of_one_image_is_refused(tmp_path):
    messy(tmp_path)
    picture(tmp_path / "solo" / "1.png", 99)
    with pytest.raises(InputError, match="The class 'solo' has too few usable images") as caught:
        prepare.prepare(str(tmp_path), CONFIG, seed=0)
    assert "Allowed: 3 or more. Received: '1'. Add images to it, or remove the class." in str(caught.value)
    assert "Left out: " in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_class_that_lost_every_file_does_not_vanish(tmp_path):
    photos(tmp_path, cat=5, dog=5)
    (tmp_path / "eel").mkdir()
    (tmp_path / "eel" / "a.heic").write_bytes(b"<svg></svg>")
    with pytest.raises(InputError, match="The class 'eel' has no usable image") as caught:
        prepare.prepare(str(tmp_path), CONFIG, seed=0)
    assert str(caught.value).endswith("Left out: eel/a.heic (not-an-image).")


def test_many_bad_files_are_named_in_part(tmp_path):
    photos(tmp_path, cat=5)
    (tmp_path / "eel").mkdir()
    for i in range(8):
        (tmp_path / "eel" / f"{i}.png").touch()
    with pytest.raises(InputError, match=r"eel/4\.png \(empty\) and 3 more\.$"):
        prepare.prepare(str(tmp_path), CONFIG, seed=0)


def test_given_splits_are_kept_and_a_leak_is_reported(tmp_path):
    for split, start in (("train", 0), ("test", 500)):
        for label, offset in (("cat", 0), ("dog", 100)):
            for i in range(8):
                picture(tmp_path / split / label / f"{i}.png", start + offset + i)
    (tmp_path / "test" / "cat" / "leak.png").write_bytes((tmp_path / "train" / "cat" / "0.png").read_bytes())
    images, report = prepare.prepare(str(tmp_path), DataConfig(val=0.25), seed=0)
    assert images.where("test").table["path"].tolist() == [
        f"test/{c}/{i}.png" for c in ("cat", "dog") for i in range(8)
    ]
    assert set(images.table.loc[images.table["path"].str.startswith("train/"), "split"]) == {"train", "val"}
    same = images.table.set_index("path")["split"]
    assert same["test/cat/leak.png"] == same["train/cat/0.png"] != "test"
    found = report.set_index("check")["path"]
    assert found["crosses-splits"] == "test/cat/leak.png"
    assert found["exact-duplicate"] == "train/cat/0.png"


def test_it_is_the_same_again_and_another_with_another_seed(tmp_path):
    photos(tmp_path, cat=20, dog=20)
    one, report = prepare.prepare(str(tmp_path), CONFIG, seed=1)
    again, _ = prepare.prepare(str(tmp_path), CONFIG, seed=1)
    other, _ = prepare.prepare(str(tmp_path), CONFIG, seed=2)
    assert one.table.equals(again.table)
    assert not one.table["split"].equals(other.table["split"])
    assert report.empty
    assert one.counts().to_numpy().tolist() == [[14, 3, 3], [14, 3, 3]]


def test_reading_without_splitting(tmp_path):
    photos(tmp_path, cat=1, dog=2)
    images, report = prepare.read(str(tmp_path), DataConfig())
    assert images.table["split"].tolist() == ["", "", ""]
    assert images.table["sha256"].str.len().tolist() == [64, 64, 64]
    assert report.columns.tolist() == list(ledger.COLUMNS)


def test_the_fingerprint_is_of_content_label_and_split(tmp_path):
    photos(tmp_path / "a", cat=4, dog=4)
    images, _ = prepare.prepare(str(tmp_path / "a"), CONFIG, seed=0)
    lines = sorted(f"{row.sha256}\t{row.label}\t{row.split}" for row in images.table.itertuples())
    assert prepare.fingerprint(images) == hashlib.sha256("\n".join(lines).encode()).hexdigest()

    (tmp_path / "a").rename(tmp_path / "b")
    (tmp_path / "b" / "cat" / "0.png").rename(tmp_path / "b" / "cat" / "zzz.png")
    renamed, _ = prepare.prepare(str(tmp_path / "b"), CONFIG, seed=0)
    assert prepare.fingerprint(renamed) == prepare.fingerprint(images)

    picture(tmp_path / "b" / "cat" / "1.png", 777)
    changed, _ = prepare.prepare(str(tmp_path / "b"), CONFIG, seed=0)
    assert prepare.fingerprint(changed) != prepare.fingerprint(images)


def test_the_fingerprint_counts_weights_that_say_something(tmp_path):
    images, _ = prepare.prepare(str(photos(tmp_path, cat=4, dog=4)), CONFIG, seed=0)
    weight = np.where(np.arange(8) == 2, 1 / 3, 1.0)
    weighed = replace(images, table=images.table.assign(weight=weight))
    columns = zip(*(images.table[name] for name in ("sha256", "label", "split")), weight, strict=True)
    lines = sorted(f"{sha256}\t{label}\t{split}\t{w:.17g}" for sha256, label, split, w in columns)
    assert prepare.fingerprint(weighed) == hashlib.sha256("\n".join(lines).encode()).hexdigest()


def test_the_fingerprint_notices_a_new_split(tmp_path):
    images, _ = prepare.prepare(str(photos(tmp_path, cat=9, dog=9)), CONFIG, seed=0)
    other, _ = prepare.prepare(str(tmp_path), CONFIG, seed=1)
    assert prepare.fingerprint(images) != prepare.fingerprint(other)


def test_240_solar_cells(monkeypatch):
    every = elpv.read()
    some = Source(every.rows[:: len(every.rows) // 240][:240], every.root)
    monkeypatch.setattr(sources, "read", lambda *_: some)
    images, report = prepare.prepare("elpv", CONFIG, seed=0)
    assert len(images) == 240
    assert report.empty
    table = images.table
    assert set(zip(table["width"], table["height"], strict=True)) == {(300, 300)}
    for label, counts in images.counts().iterrows():
        total = (table["label"] == label).sum()
        assert counts.sum() == total
        assert abs(counts["test"] - 0.15 * total) <= 0.5
        assert abs(counts["val"] - 0.15 * total) <= 0.5


def test_the_fingerprint_is_of_groups_too_and_not_of_what_they_are_called(tmp_path):
    photos(tmp_path, cat=4, dog=4)
    images, _ = prepare.prepare(str(tmp_path), CONFIG, seed=0)
    pairs = images.table["path"].str.extract(r"(\d)")[0].astype(int) % 2

    def told(*names):
        return prepare.fingerprint(
            replace(images, table=images.table.assign(group=pairs.map(names.__getitem__)))
        )

    assert told("a", "b") == told("y", "x") != prepare.fingerprint(images)
    assert told("a", "") != told("a", "b")
    assert told("", "") == prepare.fingerprint(images)


def test_a_class_that_the_split_leaves_without_weight_is_refused(tmp_path):
    """Two images of twenty have one: where both are to validate or test by, none would teach the class."""
    photos(tmp_path, cat=20, dog=20)
    rows = [
        f"{kind}/{i}.png,{kind},{int(kind == 'cat' or i < 2)}" for kind in ("cat", "dog") for i in range(20)
    ]
    (tmp_path / "cells.csv").write_text("path,label,weight\n" + "\n".join(rows))
    said, least = set(), []
    for seed in range(40):
        try:
            table = prepare.prepare(str(tmp_path / "cells.csv"), CONFIG, seed)[0].table
            least.append(table.loc[(table["split"] == "train") & (table["label"] == "dog"), "weight"].sum())
        except InputError as error:
            said.add(str(error))
    assert len(said) == 1
    assert "class 'dog' that the split leaves to train on weigh 0" in said.pop()
    assert 20 < len(least) < 40
    assert min(least) > 0
