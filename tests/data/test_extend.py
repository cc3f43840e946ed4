"""More images for an earlier split."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from headstart.data import manifest, split
from headstart.data.extend import extend
from headstart.errors import InputError


def made(*rows):
    """A manifest of (content, label, group), each at a path of its own."""
    table = [
        {
            "path": f"{i:04}",
            "label": label,
            "group": group,
            "sha256": hashlib.sha256(content.encode()).hexdigest(),
        }
        for i, (content, label, group) in enumerate(rows)
    ]
    return manifest.from_rows(table, Path("/data"))


def plain(label, count, start=0):
    return [(f"{label}{i}", label, "") for i in range(start, start + count)]


def by_hash(images):
    return dict(zip(images.table["sha256"], images.table["split"], strict=True))


def test_old_images_stay_and_new_ones_meet_the_shares():
    before = split.assign(made(*plain("a", 100), *plain("b", 40)), 0.15, 0.15, seed=0)
    images = made(*plain("a", 200), *plain("b", 40), *plain("b", 60, 100))
    after, entries = extend(images, before, 0.15, 0.15, seed=3)
    old, new = by_hash(before), by_hash(after)
    assert {sha: new[sha] for sha in old} == old
    assert after.counts().to_numpy().tolist() == [[140, 30, 30], [70, 15, 15]]
    assert entries == []


def test_new_groups_of_several_classes_meet_the_shares():
    """Patients with one ill picture of ten: each class counts its own."""

    def patients(start, count):
        rows = range(start, start + count)
        return [(f"{p}-{i}", "ill" if not i else "ok", f"p{p}") for p in rows for i in range(10)]

    before = split.assign(made(*patients(0, 40)), 0.15, 0.15, seed=0)
    after, _ = extend(made(*patients(0, 80)), before, 0.15, 0.15, seed=1)
    assert after.counts().to_numpy().tolist() == [[56, 12, 12], [504, 108, 108]]


def test_a_new_image_joins_the_old_ones_it_belongs_to():
    before = split.assign(
        made(*[(c, la, c) for c, la, _ in plain("a", 20) + plain("b", 20)]), 0.2, 0.2, seed=1
    )
    groups = dict(zip(before.table["group"], before.table["split"], strict=True))
    images = made(
        *[(c, la, c) for c, la, _ in plain("a", 20) + plain("b", 20)],
        *[(f"new {g}", g[0], g) for g in groups],
    )
    after, entries = extend(images, before, 0.2, 0.2, seed=0)
    for group, part in groups.items():
        assert set(after.table.loc[after.table["group"] == group, "split"]) == {part}
    assert entries == []


def test_a_bridge_goes_to_train_and_is_reported():
    before = split.assign(made(*plain("a", 20), *plain("b", 20)), 0.2, 0.2, seed=0)
    images = made(*plain("a", 20), *plain("b", 20), ("bridge", "a", ""))
    table = before.table
    ends = [
        int(table.index[(table["split"] == part) & (table["label"] == "a")][0]) for part in ("val", "test")
    ]
    guesses = np.array([[ends[0], 40], [40, ends[1]]])
    after, (entry,) = extend(images, before, 0.2, 0.2, 0, guesses)
    assert after.table["split"].iloc[40] == "train"
    assert after.table["split"].iloc[:40].tolist() == table["split"].tolist()
    assert (entry["path"], entry["check"], entry["action"]) == ("0040", "bridges-splits", "kept")
    assert "test and val" in str(entry["reason"])


def test_new_clusters_stay_together():
    before = split.assign(made(*plain("a", 20), *plain("b", 20)), 0.2, 0.2, seed=0)
    fresh = [(f"new{i}", "ab"[i // 30], f"g{i // 3}") for i in range(60)]
    after, _ = extend(made(*plain("a", 20), *plain("b", 20), *fresh), before, 0.2, 0.2, seed=0)
    new = after.table[after.table["group"] != ""]
    assert new.groupby("group")["split"].nunique().max() == 1
    assert Counter(new["split"]).keys() == {"train", "val", "test"}


def test_the_seed_settles_the_order_and_names_play_no_part():
    before = split.assign(made(*plain("a", 20), *plain("b", 20)), 0.2, 0.2, seed=0)
    rows = [*plain("a", 50), *plain("b", 50)]
    one, _ = extend(made(*rows), before, 0.2, 0.2, seed=0)
    other, _ = extend(made(*rows[::-1]), before, 0.2, 0.2, seed=0)
    assert by_hash(one) == by_hash(other)


def test_a_new_class_that_is_too_small_is_refused():
    before = split.assign(made(*plain("a", 20), *plain("b", 20)), 0.2, 0.2, seed=0)
    with pytest.raises(InputError, match="part has no image of the class 'c'"):
        extend(made(*plain("a", 20), *plain("b", 20), ("c0", "c", "")), before, 0.2, 0.2, seed=0)


def test_a_new_class_of_three_is_in_every_part():
    before = split.assign(made(*plain("a", 20), *plain("b", 20)), 0.2, 0.2, seed=0)
    after, _ = extend(made(*plain("a", 20), *plain("b", 20), *plain("c", 3)), before, 0.05, 0.05, seed=0)
    assert after.counts().loc["c"].tolist() == [1, 1, 1]


def test_new_images_of_two_given_splits_go_to_train():
    before = split.assign(made(*plain("a", 20), *plain("b", 20)), 0.2, 0.2, seed=0)
    images = made(*plain("a", 20), *plain("b", 20), ("one", "a", "g"), ("other", "a", "g"))
    images.table.loc[[40, 41], "split"] = ["val", "test"]
    after, _ = extend(images, before, 0.4, 0.4, seed=0)  # by the shares they would go elsewhere
    assert after.table["split"].iloc[40:].tolist() == ["train", "train"]
