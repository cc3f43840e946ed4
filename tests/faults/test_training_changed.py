"""What has changed between a killed run and its resumption is named, and nothing is touched (R19)."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.faults.events import Fault
from tests.faults.lab import Lab, Place, outcome, write_weights
from tests.faults.test_training_kill import goes_on

OPTIONS = {  # of the plan `finetune`: what it is there, and what it is changed to
    "seed": ("0", "5"),
    "batch-size": ("16", "8"),
    "epochs": ("4", "5"),
    "learning-rate": ("0.0001", "0.001"),
    "optimizer": ("adamw", "sgd"),
    "warmup": ("0.1", "0.2"),
    "weight-decay": ("0.01", "0.02"),
    "clip-norm": ("1.0", "0.0"),
    "label-smoothing": ("0.0", "0.1"),
    "dropout": ("0.2", "0.3"),
    "patience": ("0", "3"),
    "average": ("0.9", "0.5"),
    "loss": ("crossentropy", "focal"),
    "class-weight": ("none", "balanced"),
    "augment": ("dihedral", "photo"),
    "augment-views": ("8", "3"),
    "mix": ("none", "mixup"),
    "precision": ("auto", "mixed_bfloat16"),
    "unfreeze": ("block5", "block4"),
    "strategy": ("finetune", "frozen"),
    "solver": ("keras", "lbfgs"),
    "time-limit": ("", "1h"),
    "head": ("gap", "taps"),
    "views": ("8", "1"),
    "engine": ("keras", "ncnn"),
    "image-size": ("32", "40"),
    "fit": ("letterbox", "crop"),
    "val": ("0.15", "0.2"),
    "near-duplicates": ("together", "ignore"),
    "top-k": ("5", "2"),
}


@pytest.fixture(scope="module")
def killed(lab: Lab) -> Place:
    """A run that was killed in the middle of its last phase."""
    place = lab.place("finetune")
    assert lab.train(place, Fault("after step", 20)).code == -signal.SIGKILL
    return place


def copied(lab: Lab, killed: Place) -> Place:
    """The same run on the same images, both at another place."""
    place = lab.place(killed.plan, *killed.more)
    place.data = shutil.copytree(killed.data, place.folder / "photos")
    shutil.copytree(killed.run, place.run)
    place.cache = killed.folder / "cache"
    return place


def refused(lab: Lab, place: Place, *words: str, more: tuple[str, ...] = ()) -> None:
    """One line with all the words, exit code 2, and not a byte of the run changed."""
    before, place.more = snapshot(place.run), (*place.more, *more)
    ended = lab.train(place)
    assert ended.code == 2, f"{words}: {ended.screen}"
    assert ended.line.startswith("headstart: "), ended.screen
    assert "Traceback" not in ended.screen
    for word in words:
        assert word in ended.line
    assert snapshot(place.run) == before


def snapshot(run: Path) -> dict[str, tuple[int, bytes]]:
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in run.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    "names",
    [["batch-size", "augment-views"], pytest.param(list(OPTIONS), marks=pytest.mark.faults)],
    ids=["sample", "all"],
)
def test_another_option_is_refused(lab, killed, names):
    def check(name):
        old, new = OPTIONS[name]
        refused(lab, copied(lab, killed), f"--{name} was {old or 'none'}, is {new}", more=(f"--{name}", new))

    lab.each(check, names)


# --- the images: what is done to them, and what is said ---------------------------------------------------


def added(photos: Path) -> str:
    drawn(photos / "red" / "new one.png")
    return "red/new one.png is new"


def removed(photos: Path) -> str:
    (photos / "green" / "03.png").unlink()
    return "green/03.png is gone or no longer usable"


def other_bytes_of_the_same_size(photos: Path) -> str:
    size = (photos / "blue" / "07.png").stat().st_size
    drawn(photos / "blue" / "07.png")
    assert (photos / "blue" / "07.png").stat().st_size == size
    return "blue/07.png has changed"


def one_bit_flipped(photos: Path) -> str:
    content = bytearray((photos / "blue" / "07.png").read_bytes())
    content[2000] ^= 1
    (photos / "blue" / "07.png").write_bytes(content)
    return "blue/07.png is gone or no longer usable"


def cut(photos: Path) -> str:
    path = photos / "red" / "11.png"
    path.write_bytes(path.read_bytes()[:-100])
    return "red/11.png is gone or no longer usable"


def two_of_a_class_swapped(photos: Path) -> str:
    swap(photos / "red" / "00.png", photos / "red" / "01.png")
    return "red/00.png has changed"


def two_of_other_classes_swapped(photos: Path) -> str:
    swap(photos / "red" / "00.png", photos / "blue" / "00.png")
    return "blue/00.png has changed, red/00.png has changed"


def renamed(photos: Path) -> str:
    (photos / "red" / "02.png").rename(photos / "red" / "zz.png")
    return "red/02.png is gone or no longer usable, red/zz.png is new"


def relabelled(photos: Path) -> str:
    (photos / "red" / "04.png").rename(photos / "green" / "red 04.png")
    return "green/red 04.png is new"


def class_added(photos: Path) -> str:
    for i in range(6):
        drawn(photos / "yellow" / f"{i}.png", i)
    return "dataset.classes was 3, is 4"


def class_renamed(photos: Path) -> str:
    (photos / "red" / "00.png").parent.rename(photos / "crimson")
    return "crimson/00.png is new"


def class_removed(photos: Path) -> str:
    shutil.rmtree(photos / "green")
    return "dataset.classes was 3, is 2"


IMAGES = [
    added, removed, other_bytes_of_the_same_size, one_bit_flipped, cut, two_of_a_class_swapped,
    two_of_other_classes_swapped, renamed, relabelled, class_added, class_renamed, class_removed,
]  # fmt: skip


def drawn(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(exist_ok=True)
    pixels = np.random.default_rng(100 + seed).integers(0, 256, (36, 40, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path, compress_level=0)


def swap(one: Path, other: Path) -> None:
    contents = one.read_bytes(), other.read_bytes()
    other.write_bytes(contents[0])
    one.write_bytes(contents[1])


@pytest.mark.parametrize(
    "edits", [[other_bytes_of_the_same_size, renamed], pytest.param(IMAGES, marks=pytest.mark.faults)],
    ids=["sample", "all"],
)  # fmt: skip
def test_other_images_are_refused(lab, killed, edits: list[Callable[[Path], str]]):
    def check(edit):
        place = copied(lab, killed)
        refused(lab, place, edit(place.data))

    lab.each(check, edits)


# --- versions, tables, weights ------------------------------------------------------------------------------


@pytest.mark.faults
@pytest.mark.parametrize(
    ("path", "now"),
    [("versions.keras", "3.14.0"), ("versions.python", "3.10.1"), ("versions.headstart", "0.0.9"),
     ("versions.numpy", "2.3.1"), ("versions.backend", "jax"), ("hardware.cores", 64)],
)  # fmt: skip
def test_other_versions_are_refused_and_with_force_it_goes_on(lab, killed, path, now):
    """As if the run had been begun with them."""
    place = copied(lab, killed)
    facts = json.loads((place.run / "run.json").read_text())
    section, name = path.split(".")
    is_now = facts[section][name]
    facts[section][name] = now
    (place.run / "run.json").write_text(json.dumps(facts))

    refused(lab, place, f"{path} was {now}, is {is_now}", "--force")
    place.more = ("--force",)
    done = lab.train(place)

    assert done.code == 0, done.screen
    whole, unbroken, _ = lab.unbroken("finetune")
    assert outcome(place.run) == whole
    assert place.moments["after step"] == unbroken.moments["after step"] - 19


@pytest.mark.faults
@pytest.mark.parametrize(
    ("column", "value", "words"),
    [("weight", "0.25", "red/05.png weighed 1, weighs 0.25"),
     ("label", "green", "red/05.png was red, is green"),
     ("split", "val", "red/05.png was in train, is in val")],
)  # fmt: skip
def test_another_row_of_a_table_is_refused(lab, column, value, words):
    place = lab.place("finetune")
    place.data = shutil.copytree(lab.data, place.folder / "photos") / "table.csv"
    rows = [
        {"path": path.relative_to(place.data.parent).as_posix(), "label": path.parent.name,
         "split": ("train", "train", "train", "val", "test")[i % 5], "weight": "1"}
        for i, path in enumerate(sorted(place.data.parent.glob("*/*.png")))
    ]  # fmt: skip
    row = next(row for row in rows if row["path"] == "red/05.png")
    row["split"] = "train"
    tabulate(place.data, rows)
    assert lab.train(place, Fault("after step", 20)).code == -signal.SIGKILL

    row[column] = value
    tabulate(place.data, rows)

    refused(lab, place, words)


def tabulate(path: Path, rows: list[dict[str, str]]) -> None:
    lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.faults
def test_another_file_of_weights_is_refused(lab, tmp_path):
    file = tmp_path / "weights.h5"
    write_weights(file, seed=1)
    place = lab.place("finetune", "--weights", str(file))
    assert lab.train(place, Fault("after step", 20)).code == -signal.SIGKILL

    write_weights(file, seed=2)

    refused(lab, place, "weights")


# --- what is taken over -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["seed", pytest.param("batch-size", marks=pytest.mark.faults)])
def test_forced_it_begins_anew_with_the_other_option(lab, killed, name):
    place, new = copied(lab, killed), OPTIONS[name][1]
    place.more = (f"--{name}", new, "--force")

    done = lab.train(place)

    assert done.code == 0, done.screen
    assert outcome(place.run) == lab.unbroken("finetune", f"--{name}", new)[0]


@pytest.mark.faults
@pytest.mark.parametrize("edit", IMAGES[:3])
def test_forced_it_begins_anew_with_other_images(lab, killed, edit):
    place = copied(lab, killed)
    edit(place.data)
    place.more = ("--force",)
    fresh = lab.place("finetune", data=place.data)

    assert lab.train(fresh).code == lab.train(place).code == 0

    assert outcome(place.run) == outcome(fresh.run)


@pytest.mark.faults
def test_a_forced_run_that_is_killed_goes_on_with_the_same_command(lab, killed):
    place = copied(lab, killed)
    place.more = ("--seed", "5", "--force")

    assert lab.train(place, Fault("after step", 22)).code == -signal.SIGKILL
    assert lab.train(place).code == 0

    whole, unbroken, _ = lab.unbroken("finetune", "--seed", "5")
    assert outcome(place.run) == whole
    assert place.moments["after step"] == unbroken.moments["after step"] + 1


@pytest.mark.faults
@pytest.mark.parametrize(
    "at", ["before remove checkpoints", "before write manifest.parquet", "half write run.json"]
)
def test_killed_while_it_is_taken_over_it_is_still_a_run_to_take_over(lab, killed, at):
    place = copied(lab, killed)
    place.more = ("--seed", "5", "--force")

    assert lab.train(place, Fault(at)).code == -signal.SIGKILL
    assert lab.train(place).code == 0

    assert outcome(place.run) == lab.unbroken("finetune", "--seed", "5")[0]


@pytest.mark.faults
def test_moved_with_its_images_it_goes_on(lab, killed):
    """Where the folders lie is none of the run's business."""
    goes_on(lab, copied(lab, killed), "moved")


# --- what is broken or gone ---------------------------------------------------------------------------------


@pytest.mark.faults
@pytest.mark.parametrize("name", ["last", "best"])
def test_a_damaged_checkpoint_is_refused_and_begins_anew_as_the_line_says(lab, name):
    place = lab.place("finetune")
    assert lab.train(place, Fault("before end", 2)).code == -signal.SIGKILL
    path = next((place.run / "checkpoints").glob(f"{name}*"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    ended = lab.train(place)

    assert ended.code == 2, ended.screen
    assert "The checkpoint is damaged." in ended.line
    assert "remove the folder `checkpoints`" in ended.line
    shutil.rmtree(place.run / "checkpoints")
    goes_on(lab, place, name)


@pytest.mark.faults
def test_it_goes_on_with_the_engine_it_began_with(lab):
    """Which one is the fastest is measured once and remembered; what is remembered may get lost."""
    place = lab.place("exact head", "--engine", "auto")
    assert lab.train(place, Fault("after lbfgs")).code == -signal.SIGKILL
    record = next((place.folder / "cache" / "engines").glob("*.json"))
    measured = json.loads(record.read_text())
    others = [name for name in measured["seconds_per_image"] if name != measured["engine"]]
    record.write_text(json.dumps(measured | {"engine": others[0]}))

    assert lab.train(place).code == 0

    assert json.loads((place.run / "run.json").read_text())["engine"]["name"] == measured["engine"]
