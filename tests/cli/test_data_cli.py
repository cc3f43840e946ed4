"""`headstart data`, and `headstart train` on what each source reads."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from headstart import cli

COLOURS = {"blue": (40, 60, 220), "007": (30, 180, 40), "=red": (210, 30, 30)}
FAST = ["--backbone", "vgg-tiny", "--image-size", "32", "--engine", "ncnn"]


def headstart(*arguments) -> int:
    """The real command, in this process: TensorFlow is loaded once for all trainings."""
    return cli._run([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """36 images of 3 colours, 3 images a group, and the table of them in all forms."""
    root = tmp_path_factory.mktemp("my cells")
    rng = np.random.default_rng(0)
    rows = []
    (root / "images").mkdir()
    for label, colour in COLOURS.items():
        for i in range(12):
            noise = rng.integers(-25, 25, (40, 50, 3))
            path = root / "images" / f"{label} {i}.png"
            Image.fromarray(np.clip(noise + colour, 0, 255).astype(np.uint8)).save(path)
            rows.append((f"images/{path.name}", label, f"{label}-{i // 3}"))
    frame = pd.DataFrame(rows, columns=["path", "label", "group"])
    frame.to_csv(root / "cells.csv", index=False)
    frame.to_parquet(root / "cells.parquet")
    split = (["train"] * 6 + ["valid"] * 3 + ["Testing"] * 3) * 3
    frame.assign(split=split).to_csv(root / "given.tsv", index=False, sep="\t")
    return root


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """The folder in which all commands here are given: runs come to lie in its runs/."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture(autouse=True)
def _in_it(monkeypatch, work):
    monkeypatch.chdir(work)


@pytest.mark.parametrize("name", ["cells.csv", "cells.parquet"])
def test_a_table_keeps_its_groups_on_one_side(cells, work, name):
    out = [] if name == "cells.csv" else ["--out", "runs/parquet"]
    assert headstart("train", cells / name, *out, *FAST) == 0
    run = work / "runs" / ("parquet" if out else "cells")
    table = pd.read_parquet(run / "manifest.parquet")
    assert len(table) == 36
    assert set(table["label"]) == set(COLOURS)
    assert table.groupby("group")["split"].nunique().tolist() == [1] * 12
    # 12 images a class in groups of 3, 15 % of them wanted in val and in test: 1.8 is nearer to 3 than to 0.
    assert Counter(zip(table["label"], table["split"], strict=True)) == {
        (label, split): count for label in COLOURS for split, count in (("train", 6), ("val", 3), ("test", 3))
    }
    facts = json.loads((run / "run.json").read_text())
    assert facts["dataset"]["data"] == str(cells / name)
    assert json.loads((run / "evaluation/test/metrics.json").read_text())["accuracy"]["value"] == 1.0


def test_the_same_table_again_changes_nothing(cells, work, capsys):
    run = work / "runs" / "cells"
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert headstart("train", cells / "cells.csv", *FAST) == 0
    assert "finished" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_a_changed_label_is_another_data_set(cells, capsys):
    changed = cells / "changed.csv"
    changed.write_text((cells / "cells.csv").read_text().replace("blue 3.png,blue", "blue 3.png,007"))
    assert headstart("train", changed, "--out", "runs/cells", *FAST) == 2
    assert "holds a run with other options or data: dataset.fingerprint" in capsys.readouterr().err


def test_splits_of_a_table_are_kept(cells, work):
    assert headstart("train", cells / "given.tsv", *FAST) == 0
    table = pd.read_parquet(work / "runs/given/manifest.parquet")
    expected = dict(zip(range(12), ["train"] * 6 + ["val"] * 3 + ["test"] * 3, strict=True))
    for path, split in zip(table["path"], table["split"], strict=True):
        assert split == expected[int(path.removesuffix(".png").split()[-1])]


def test_other_images_of_a_table_are_evaluated(cells, work):
    assert headstart("evaluate", "runs/cells", cells / "given.tsv") == 0
    metrics = json.loads((work / "runs/cells/evaluation/given/metrics.json").read_text())
    assert metrics["accuracy"] == metrics["accuracy"] | {"value": 1.0, "n": 36}


@pytest.mark.parametrize(
    ("dataset", "version"), [("cifar10", "binary"), ("cifar10", "python"), ("cifar100", "binary")]
)
def test_cifar_keeps_its_test_part(cifar, work, dataset, version):
    path = cifar(dataset, version, classes=3)
    out = [] if version == "binary" else ["--out", "runs/python"]
    assert headstart("train", f"{dataset}:{path}", *out, *FAST) == 0
    run = work / "runs" / ("python" if out else dataset)
    table = pd.read_parquet(run / "manifest.parquet")
    official = [path.split("/")[0] for path in table["path"]]
    counts = Counter(zip(official, table["split"], strict=True))
    train = {"cifar10": 30, "cifar100": 18}[dataset]
    assert counts["test", "test"] == 6
    assert counts["train", "train"] + counts["train", "val"] == train
    assert counts["train", "val"] >= 3
    assert counts.total() == train + 6
    assert json.loads((run / "evaluation/test/metrics.json").read_text())["accuracy"]["n"] == 6
    if out:  # the same images as in the binary version: the same model
        models = [work / "runs" / name / "model" / "MANIFEST.sha256" for name in ("cifar10", "python")]
        assert models[0].read_bytes() == models[1].read_bytes()


def test_prepare(cifar, work, capsys):
    path = cifar("cifar10", "python")
    assert headstart("data", "prepare", "cifar10", path, "out") == 0
    assert "120 in out" in capsys.readouterr().out
    assert {folder.name for folder in (work / "out").iterdir()} == {"test", "train"}
    assert len(list((work / "out").rglob("*.png"))) == 120
    assert headstart("data", "prepare", "cifar10", path, "out") == 2
    assert "The output is there already." in capsys.readouterr().err
    assert headstart("data", "prepare", "cifar100", path, "other") == 2
    assert "it lacks cifar-100-binary/train.bin" in capsys.readouterr().err
    assert not (work / "other").exists()


def test_download_says_what_it_does_and_what_goes_wrong(work):
    """The true command, without a server: one line, and exit code 2."""
    command = [
        sys.executable,
        "-m",
        "headstart",
        "data",
        "download",
        "cifar10",
        "--url",
        "http://127.0.0.1:9/x",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=work)
    assert done.returncode == 2
    said, *_, refused = done.stderr.splitlines()
    assert said == "Fetching http://127.0.0.1:9/x (170 MB) to ."
    assert refused.startswith("headstart: The server cannot be reached: ")
    assert not list(work.glob("cifar*"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["download", "mnist"], '"cifar10", "cifar100"'),
        (["download", "cifar10", "--url", "http://example.org/x"], "not one to fetch from"),
        (["prepare", "cifar10", "nowhere", "out2"], "no such archive of cifar10"),
        (["prepare", "cifar10"], "headstart data prepare --help"),
    ],
)
def test_wrong_words_get_one_line(capsys, arguments, said):
    assert headstart("data", *arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
