"""Where images go: shares, clusters, given splits, and what the order depends on."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headstart.data import manifest, split
from headstart.errors import InputError


def sha(name) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


def made(*rows):
    """A manifest of (path, label, content, group, split); the later ones may be left out."""
    names = ("path", "label", "sha256", "group", "split")
    table = [dict(zip(names, row, strict=False)) for row in rows]
    return manifest.from_rows([row | {"sha256": sha(row["sha256"])} for row in table], Path("/data"))


def plain(counts):
    """A manifest with so many different images of each label."""
    return made(*((f"{label}/{i}", label, f"{label}{i}") for label, n in counts.items() for i in range(n)))


def placed(images) -> dict[str, str]:
    return dict(zip(images.table["path"], images.table["split"], strict=True))


def test_shares_are_met_class_by_class():
    counts = split.assign(plain({"a": 100, "b": 40, "c": 10}), 0.15, 0.15, seed=0).counts()
    assert counts.to_numpy().tolist() == [[70, 15, 15], [28, 6, 6], [6, 2, 2]]  # of 10: 1.5, rounded up


def test_val_and_test_have_their_own_share():
    counts = split.assign(plain({"a": 100, "b": 50}), val=0.1, test=0.3, seed=3).counts()
    assert counts.loc["a"].to_dict() == {"train": 60, "val": 10, "test": 30}
    assert counts.loc["b"].to_dict() == {"train": 30, "val": 5, "test": 15}


@pytest.mark.parametrize(("val", "test"), [(0.15, 0.15), (0.01, 0.01), (0.49, 0.5)])
def test_three_images_are_enough_for_a_class(val, test):
    counts = split.assign(plain({"a": 3, "b": 5}), val, test, seed=1).counts()
    assert list(counts.loc["a"]) == [1, 1, 1]
    assert min(counts.loc["b"]) >= 1


def test_too_few_images_are_refused_in_one_line():
    with pytest.raises(InputError) as caught:
        split.assign(plain({"cats": 9, "do\ngs": 2}), 0.15, 0.15, seed=0)
    message = str(caught.value)
    assert r"class 'do\ngs'" in message
    assert "Allowed: 3 or more. Received: '2'." in message
    assert message.isprintable()


def test_copies_count_once_towards_what_a_class_needs():
    copies = made(*((f"a/{i}", "a", "same") for i in range(5)), *((f"b/{i}", "b", i) for i in range(5)))
    with pytest.raises(InputError, match="Received: '5, of which 1 can be placed independently'"):
        split.assign(copies, 0.15, 0.15, seed=0)


def test_what_shares_bytes_or_group_stays_together():
    # Pairs of copies up to 99, groups of five from 80 on: between them both at once.
    rows = [
        (f"{i:03}", "ab"[i % 2], i // 2 if i < 100 else i, f"g{i // 5}" if i >= 80 else "")
        for i in range(300)
    ]
    images = split.assign(made(*rows), 0.2, 0.2, seed=5)
    table = images.table
    assert set(table["split"]) == {"train", "val", "test"}
    assert table.groupby("sha256")["split"].nunique().max() == 1
    assert table[table["group"] != ""].groupby("group")["split"].nunique().max() == 1


def test_bytes_and_groups_join_into_one_cluster():
    # 1 and 2 share a group, 2 and 3 share bytes: all three belong together.
    chain = [("1", "a", "x", "g"), ("2", "a", "y", "g"), ("3", "a", "y", "h")]
    others = [(f"{label}{i}", label, f"{label}{i}") for label in "ab" for i in range(6)]
    for seed in range(20):
        where = placed(split.assign(made(*chain, *others), 0.3, 0.3, seed))
        assert len({where[name] for name in "123"}) == 1


def test_clusters_of_different_sizes_meet_the_share_to_half_a_cluster():
    rows = [(f"{g}-{i}", "a", f"{g}-{i}", f"g{g}") for g in range(40) for i in range(1 + g % 5)]
    images = split.assign(made(*rows), 0.15, 0.15, seed=2)
    counts = images.counts().loc["a"]
    assert len(rows) == 120
    assert abs(counts["test"] - 18) <= 2.5
    assert abs(counts["val"] - 18) <= 2.5


def test_a_class_that_is_a_minority_in_all_its_groups_is_in_every_part():
    """As a lesion on one of a patient's ten pictures: by the commonest label it would fall anywhere."""
    rows = [
        (f"{p}-{i}", "lesion" if p < 5 and not i else "healthy", f"{p}-{i}", f"patient {p}")
        for p in range(30) for i in range(10)
    ]  # fmt: skip
    for seed in range(20):
        counts = split.assign(made(*rows), 0.15, 0.15, seed).counts()
        assert counts.loc["lesion"].tolist() == [3, 1, 1]
        assert abs(counts.loc["healthy", "test"] - 44) <= 10


@pytest.mark.parametrize(
    ("classes", "groups", "each"), [(3, 3, 1), (3, 9, 4), (3, 10, 1), (6, 20, 1), (6, 27, 1)]
)
def test_groups_that_hold_every_class_are_spread_like_images(classes, groups, each):
    """As leaves of plants that are photographed sound and ill: no group belongs to one class."""
    rows = [
        (f"{g}-{c}-{i}", f"c{c}", f"{g}-{c}-{i}", f"leaf {g}")
        for g in range(groups) for c in range(classes) for i in range(each)
    ]  # fmt: skip
    for seed in range(5):
        images = split.assign(made(*rows), 0.15, 0.15, seed)
        counts = images.counts() / (each * groups)
        assert images.table.groupby("group")["split"].nunique().max() == 1
        assert (counts["test"] - max(0.15, 1 / groups)).abs().max() < 1 / groups
        assert (counts["val"] - max(0.15, 1 / groups)).abs().max() < 1 / groups


def test_groups_of_some_classes_each_are_spread_like_images():
    """60 patients with two of five findings each, and single images beside them."""
    rng = np.random.default_rng(0)
    rows = [
        (f"{p}-{i}", f"c{c}", f"{p}-{i}", f"patient {p}")
        for p in range(60) for i, c in enumerate(rng.choice(5, 2, replace=False).repeat(3))
    ]  # fmt: skip
    rows += [(f"s{i}", f"c{i % 5}", f"s{i}") for i in range(50)]
    for seed in range(5):
        counts = split.assign(made(*rows), 0.15, 0.15, seed).counts()
        share = counts.div(counts.sum(axis=1), axis=0)
        assert (
            share[["val", "test"]] - 0.15
        ).abs().to_numpy().max() < 0.07  # a group is 4 to 5 %, and others are in the way


def test_a_large_group_goes_to_train_also_beside_a_mixed_pair():
    rows = [(f"a{i}", "a", f"a{i}", "large" if i < 60 else "") for i in range(100)]
    rows += [(f"b{i}", "b", f"b{i}", "wide" if i < 60 else "") for i in range(100)]
    rows += [("m1", "a", "m1", "pair"), ("m2", "b", "m2", "pair")]
    for seed in range(30):
        counts = split.assign(made(*rows), 0.15, 0.15, seed).counts()
        assert counts["train"].min() >= 70
        assert counts[["val", "test"]].max(axis=None) <= 17


def test_what_a_class_lacks_is_counted_by_itself():
    """Not with the other classes of its groups."""
    rows = [(f"{g}-{c}", f"c{c}", f"{g}-{c}", f"g{g}") for g in range(9) for c in range(2)]
    rows += [(f"x{i}", "rare", f"x{i}", f"g{i % 2}") for i in range(6)]
    with pytest.raises(
        InputError, match=r"class 'rare'.*Received: '6, of which 2 can be placed independently'"
    ) as said:
        split.assign(made(*rows), 0.15, 0.15, seed=0)
    assert "Add images to it that belong to no others" in str(said.value)


def test_folds_of_groups_that_hold_every_class():
    rows = [(f"{g}-{c}", f"c{c}", f"{g}-{c}", f"g{g}") for g in range(20) for c in range(3)]
    images = made(*rows)
    table = images.table.assign(fold=split.folds(images, 5, 0))
    assert (table.groupby(["label", "fold"]).size() == 4).all()
    assert table.groupby("group")["fold"].nunique().max() == 1


def test_a_group_with_two_labels_stays_together():
    mixed = [("m1", "a", "m1", "g"), ("m2", "a", "m2", "g"), ("m3", "b", "m3", "g")]
    others = [(f"{label}{i}", label, f"{label}{i}") for label in "ab" for i in range(4)]
    where = placed(split.assign(made(*mixed, *others), 0.3, 0.3, seed=0))
    assert len({where["m1"], where["m2"], where["m3"]}) == 1
    assert len(where) == 11


# --- the order -----------------------------------------------------------------------------------------


def test_the_split_depends_on_content_alone():
    names = [f"image {i}" for i in range(60)]
    one = made(*((name, "ab"[i % 2], i) for i, name in enumerate(names)))
    renamed = made(
        *((f"{59 - i:03}.png", "zy"[i % 2], i) for i in range(60))
    )  # other names, order and labels
    first, second = split.assign(one, 0.2, 0.2, 7).table, split.assign(renamed, 0.2, 0.2, 7).table
    assert dict(zip(first["sha256"], first["split"], strict=True)) == dict(
        zip(second["sha256"], second["split"], strict=True)
    )


def test_the_order_is_that_of_seeded_hashes():
    images = plain({"a": 10, "b": 10})
    table = split.assign(images, 0.1, 0.2, seed=42).table
    mine = table[table["label"] == "a"]
    order = sorted(mine["sha256"], key=lambda key: hashlib.sha256(f"42:{key}".encode()).hexdigest())
    where = dict(zip(mine["sha256"], mine["split"], strict=True))
    assert [where[key] for key in order] == ["test"] * 2 + ["val"] + ["train"] * 7


def test_seeds_differ_and_repeat():
    images = plain({"a": 50, "b": 50})
    where = [tuple(split.assign(images, 0.15, 0.15, seed).table["split"]) for seed in (0, 1, 0)]
    assert where[0] == where[2]
    assert where[0] != where[1]


def test_the_given_manifest_is_not_changed():
    images = plain({"a": 5, "b": 5})
    assigned = split.assign(images, 0.2, 0.2, seed=0)
    assert set(images.table["split"]) == {""}
    assert assigned.table.drop(columns="split").equals(images.table.drop(columns="split"))
    assert assigned.table.dtypes.equals(images.table.dtypes)


# --- given splits --------------------------------------------------------------------------------------


def given(parts, per_class=10):
    return [(f"{p}/{c}/{i}", c, f"{p}{c}{i}", "", p) for p in parts for c in "ab" for i in range(per_class)]


def test_given_splits_are_kept():
    images = made(*given(["train", "val", "test"]))
    assigned = split.assign(images, 0.15, 0.15, seed=0)
    assert assigned.table.equals(images.table)
    assert split.moved(images, assigned) == []


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (["train", "test"], {"train": 8, "val": 2, "test": 10}),
        (["train", "val"], {"train": 8, "val": 10, "test": 2}),
        (["train"], {"train": 6, "val": 2, "test": 2}),
    ],
)
def test_missing_parts_are_cut_from_train(parts, expected):
    images = made(*given(parts))
    assigned = split.assign(images, 0.2, 0.2, seed=0)
    assert assigned.counts().loc["a"].to_dict() == expected
    for part in parts[1:]:
        assert assigned.where(part).table["path"].tolist() == images.where(part).table["path"].tolist()
    assert split.moved(images, assigned) == []


def test_a_copy_across_given_splits_goes_to_train_and_is_named():
    leaks = [("test/copy", "a", "traina0", "", "test"), ("val/copy", "b", "testb3", "", "val")]
    images = made(*given(["train", "val", "test"]), *leaks)
    assigned = split.assign(images, 0.15, 0.15, seed=0)
    where = placed(assigned)
    assert [where[path] for path in ("train/a/0", "test/copy", "val/copy", "test/b/3")] == ["train"] * 4
    moved = split.moved(images, assigned)
    assert sorted((row["path"], row["check"], row["action"]) for row in moved) == [
        ("test/b/3", "crosses-splits", "kept"),
        ("test/copy", "crosses-splits", "kept"),
        ("val/copy", "crosses-splits", "kept"),
    ]
    assert "from test to train" in str(next(row for row in moved if row["path"] == "test/b/3")["reason"])


def test_what_leaves_train_for_a_given_part_is_named_too():
    """val and test are copies of one another: what was given dissolves, and is cut anew from train."""
    rows = [(f"train/{c}/{i}", c, f"t{c}{i}", "", "train") for c in "ab" for i in range(20)]
    rows += [(f"{p}/{c}/{i}", c, f"{c}{i}", "", p) for p in ("val", "test") for c in "ab" for i in range(5)]
    before = made(*rows)
    after = split.assign(before, 0.15, 0.15, seed=0)
    where = placed(after)
    gone = {path for path, now in where.items() if path.startswith("train/") and now != "train"}
    assert gone
    assert gone <= {row["path"] for row in split.moved(before, after)}


def test_a_part_that_loses_a_class_to_train_is_told_so():
    rows = given(["train", "val"]) + [(f"test/b/{i}", "b", f"x{i}", "", "test") for i in range(4)]
    rows += [(f"test/a/{i}", "a", f"traina{i}", "", "test") for i in range(4)]
    with pytest.raises(InputError) as said:
        split.assign(made(*rows), 0.15, 0.15, seed=0)
    assert "The test part has no image of the class 'a'." in str(said.value)
    assert "Received: '4 that belong to others, such as test/a/0'. Put others there" in str(said.value)


def test_images_without_a_split_beside_given_ones_go_to_train():
    images = made(*given(["train", "val", "test"]), ("new", "a", "new"), ("twin", "a", "testa0"))
    where = placed(split.assign(images, 0.15, 0.15, seed=0))
    assert where["new"] == "train"
    assert where["twin"] == "test"  # with its copy


def test_a_given_part_without_a_class_is_refused():
    rows = [row for row in given(["train", "val", "test"]) if row[0][:6] != "test/b"]
    with pytest.raises(InputError, match="The test part has no image of the class 'b'"):
        split.assign(made(*rows), 0.15, 0.15, seed=0)


def test_too_few_images_in_train_to_cut_from():
    rows = given(["test"], 5) + given(["train"], 1)
    with pytest.raises(InputError, match="class 'a' has too few usable images for train, val"):
        split.assign(made(*rows), 0.15, 0.15, seed=0)


def test_many_images_in_many_classes():
    images = made(*((f"{i:06}", str(i % 1000), i) for i in range(50_000)))
    counts = split.assign(images, 0.15, 0.15, seed=0).counts()
    assert (counts == [34, 8, 8]).all(axis=None)  # of 50: 7.5, rounded up


# --- guesses and folds ---------------------------------------------------------------------------------


def test_guessed_pairs_stay_together():
    images = plain({"a": 50, "b": 50})
    pairs = np.array([[i, i + 1] for i in range(0, 100, 2)])
    for seed in range(5):
        splits = split.assign(images, 0.2, 0.2, seed, pairs).table["split"].to_numpy()
        assert (splits[pairs[:, 0]] == splits[pairs[:, 1]]).all()
        assert set(splits) == {"train", "val", "test"}


def test_folds_keep_groups_and_spread_each_class():
    rows = [(f"{i:03}", "ab"[i // 3 % 5 == 0], i, f"g{i // 3}" if i < 90 else "") for i in range(200)]
    images = made(*rows)
    for seed in (0, 1):
        folds = split.folds(images, 5, seed)
        table = images.table.assign(fold=folds)
        assert set(folds) == set(range(5))
        assert table[table["group"] != ""].groupby("group")["fold"].nunique().max() == 1
        spread = table.groupby(["label", "fold"]).size().unstack()
        assert (spread.max(axis=1) - spread.min(axis=1) <= 3).all()  # of clusters of up to three
    assert not np.array_equal(split.folds(images, 5, 0), split.folds(images, 5, 1))


def test_too_many_folds_are_refused():
    with pytest.raises(
        InputError, match=r"class 'b' has too few usable images for 5 folds\. Allowed: 5 or more"
    ):
        split.folds(plain({"a": 10, "b": 4}), 5, seed=0)


def test_a_published_test_part_stays_what_it_is():
    contents = {"train": range(40), "test": range(20, 60)}  # half of the images are in both parts
    images = made(*((f"{part}/{i}", "ab"[i % 2], i, "", part) for part, of in contents.items() for i in of))
    published = replace(images, table=images.table.assign(source="cifar10"))
    pairs = np.array([[0, 79], [41, 2]])  # rows are ordered by path: test first
    after = split.assign(published, 0.2, 0.2, 0, pairs)
    assert after.table.loc[images.table["split"] == "test", "split"].tolist() == ["test"] * 40
    assert set(after.table.loc[images.table["split"] == "train", "split"]) == {"train", "val"}
    assert split.moved(published, after) == []
    assert len(split.moved(images, split.assign(images, 0.2, 0.2, 0, pairs))) >= 20
