from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from headstart import data
from headstart.data import ledger as ledgers
from headstart.data import manifest as manifests
from headstart.data.check import DataCheck, Pair
from headstart.report import data_numbers as numbers
from headstart.report.data_checks import CHECKS


def manifest(**labels: str) -> manifests.Manifest:
    """A file a letter of each class: manifest(cat="ab") has cat/a and cat/b."""
    rows: list[dict[str, object]] = [
        {"path": f"{label}/{name}", "label": label, "sha256": f"{ord(name):064x}"}
        for label, names in labels.items()
        for name in names
    ]
    return manifests.from_rows(rows, Path("data"))


def check(images: manifests.Manifest, *rows: tuple[str, str, str], pairs: tuple[Pair, ...] = ()) -> DataCheck:
    ledger = ledgers.table(ledgers.row(path, name, "Why.", action) for path, name, action in rows)  # type: ignore[arg-type]
    return DataCheck(images, ledger, pairs)


def test_every_image_is_counted_once():
    found = numbers.standing(
        check(
            manifest(cat="abc", dog="de"),
            ("cat/a", "dark", "kept"),
            ("cat/a", "blurred", "kept"),
            ("dog/d", "near-duplicate", "kept"),
            ("dog/", "tiny-class", "kept"),  # a class is no image
            ("cat/x", "truncated", "left out"),
            ("cat/x", "wrong-extension", "left out"),
            ("void/", "empty-class", "left out"),
            ("Thumbs.db", "system-file", "ignored"),
        )
    )
    assert (found.sound, found.doubtful, found.left_out) == (3, 2, 1)
    assert (found.used, found.all) == (5, 6)


def test_findings_come_the_worst_first():
    rows = [
        ("Thumbs.db", "system-file", "ignored"),
        ("cat/a", "blurred", "kept"),
        ("cat/b", "brand-new", "kept"),
        ("cat/c", "truncated", "left out"),
        ("cat/d", "two-labels", "left out"),
    ]
    found = numbers.findings(check(manifest(cat="ab"), *rows).ledger)
    assert [one.check for one in found] == ["two-labels", "truncated", "brand-new", "blurred", "system-file"]


def test_one_check_with_two_actions_is_two_findings():
    rows = [("a", "near-duplicate", "kept"), ("b", "near-duplicate", "ignored"), ("c", "dark", "kept")]
    found = numbers.findings(check(manifest(cat="a"), *rows).ledger)
    assert [(one.check, one.action) for one in found] == [
        ("near-duplicate", "kept"),
        ("dark", "kept"),
        ("near-duplicate", "ignored"),
    ]


def test_the_lowest_score_comes_first_in_a_finding():
    scores = {"a": 0.2, "b": float("nan"), "c": 0.1, "d": 0.1}
    ledger = ledgers.table(
        ledgers.row(path, "dark", "Dark.", "kept", score) for path, score in scores.items()
    )
    found = numbers.findings(ledger)[0]
    assert found.rows["path"].tolist() == ["c", "d", "a", "b"]
    assert found.reason == "Dark."


def test_what_is_said_of_the_whole_set_has_no_number():
    rows = [("./", "imbalance", "kept"), ("cat/", "tiny-class", "kept"), ("dog/", "tiny-class", "kept")]
    found = numbers.findings(check(manifest(cat="ab"), *rows, ("cat/a", "dark", "kept")).ledger)
    shown = [(one.check, one.number) for one in found]
    assert shown == [("tiny-class", "2 classes"), ("imbalance", ""), ("dark", "1 file")]


def test_reasons_that_differ_are_no_common_one():
    ledger = ledgers.table(ledgers.row(path, "dark", f"{path}.", "kept") for path in "ab")
    assert numbers.findings(ledger)[0].reason == ""


def test_every_check_has_words_that_end_as_sentences():
    assert all(check.title and check.remedy.endswith(".") for check in CHECKS.values())


def test_counts_have_the_splits_that_occur_and_tell_what_is_not_split():
    images = manifest(cat="abc", dog="d")
    counts = numbers.counts(images)
    assert counts.to_dict() == {"not split": {"cat": 3, "dog": 1}}
    images.table["split"] = ["train", "test", "", "train"]
    counts = numbers.counts(images)
    assert list(counts.columns) == ["train", "test", "not split"]
    assert counts.to_numpy().tolist() == [[1, 1, 1], [1, 0, 0]]


def test_imbalance_of_nothing_is_no_number():
    assert np.isnan(numbers.imbalance(pd.Series([], dtype=int)))
    assert np.isnan(numbers.imbalance(pd.Series([3, 0])))
    assert numbers.imbalance(pd.Series([3, 2])) == 1.5


def test_sizes_are_counted_the_commonest_first():
    images = manifest(cat="abcde")
    images.table["width"] = [10, 20, 10, 0, 20]
    images.table["height"] = [5, 5, 6, 0, 5]
    assert numbers.sizes(images).to_numpy().tolist() == [[20, 5, 2], [10, 5, 1], [10, 6, 1]]


@pytest.mark.parametrize(("q", "value"), [(0, 1), (0.05, 1), (0.25, 1), (0.5, 2), (0.95, 9), (1, 9)])
def test_quantiles_count_images(q, value):
    # 1 1 2 2 2 2 9 9: a quarter of the images have 1, three quarters at most 2.
    values, weights = np.array([9.0, 1.0, 2.0]), np.array([2, 2, 4])
    assert numbers.weighted_quantile(values, weights, q) == value


def test_the_sample_is_the_same_whatever_the_files_are_called():
    images = manifest(cat="cab", dog="xy")
    renamed = manifests.from_rows(
        [
            {"path": f"new/{9 - i}", "label": row.label, "sha256": row.sha256}
            for i, row in enumerate(images.table.itertuples())
        ],
        Path("data"),
    )
    drawn = []
    for one in (images, renamed):
        sha = one.table.set_index("path")["sha256"]
        drawn.append({label: [sha[path] for path in paths] for label, paths in numbers.sample(one).items()})
    assert drawn[0] == drawn[1]
    assert drawn[0]["cat"] == [f"{ord(name):064x}" for name in "abc"]


def test_the_sample_shows_no_copy_twice():
    images = manifest(cat="abc")
    images.table["sha256"] = ["same", "same", "other"]
    assert len(numbers.sample(images)["cat"]) == 2
    images.table["sha256"] = ""  # unknown is not the same
    assert len(numbers.sample(images)["cat"]) == 3


def test_of_many_classes_the_largest_share_the_sample():
    rows: list[dict[str, object]] = [
        {"path": f"{label:02d}/{i}", "label": f"{label:02d}", "sha256": f"{i:064x}"}
        for label in range(25)
        for i in range(10 + label)
    ]
    drawn = numbers.sample(manifests.from_rows(rows, Path("data")))
    assert list(drawn) == [f"{label:02d}" for label in range(24, 4, -1)]
    assert {len(paths) for paths in drawn.values()} == {15}  # 300 images, 20 classes


def test_pairs_that_contradict_come_first():
    images = manifest(cat="abcd", dog="e")
    images.table["split"] = ["train", "train", "test", "train", "train"]
    pairs = (
        Pair("cat/a", "cat/b", 0.1, "the same picture"),
        Pair("cat/a", "gone", 0.2, "the same picture"),
        Pair("cat/a", "cat/c", 0.3, "mirrored"),
        Pair("cat/d", "dog/e", 0.4, "mirrored"),
    )
    found = numbers.telling(check(images, pairs=pairs))
    assert [both.pair.difference for both in found] == [0.4, 0.3, 0.1, 0.2]
    assert found[0].labels == ("cat", "dog")
    assert found[1].splits == ("train", "test")
    assert found[3].labels == ("cat", "")


def test_hundreds_of_thousands_of_images_are_no_trouble():
    n = 300_000
    i = np.arange(n)
    columns = {
        "path": pd.Series(i).astype(str), "label": pd.Series(i % 1000).astype(str),
        "sha256": pd.Series(i * 7919 % n).astype(str), "split": "train",
        "width": 100 + i % 300, "height": 200,
    }  # fmt: skip
    table = pd.DataFrame(columns)
    images = manifests.Manifest(table, tuple(sorted(table["label"].unique())), Path("data"))
    assert int(numbers.sizes(images)["n"].sum()) == n
    assert sum(map(len, numbers.sample(images).values())) == 300
    assert numbers.counts(images).to_numpy().sum() == n


def words_of_checks() -> set[str]:
    """What the code of the data stage writes into the ledger's column `check`, by its syntax trees."""
    found = set()
    for path in Path(data.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"ledger.row", "ImageError"}:
                found |= {a.value for a in node.args[1:2] if isinstance(a, ast.Constant)}
    return found - {"changed"}  # of a file that was sound when it was checked


def test_every_check_that_the_data_stage_makes_has_words_here():
    assert {"truncated", "two-labels", "system-file"} <= words_of_checks()
    assert words_of_checks() <= set(CHECKS)
