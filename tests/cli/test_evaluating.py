"""What evaluating, comparing and explaining a trained model must not do: mislead, or destroy anything."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests import models
from tests.cli.test_model_cli import headstart

import headstart as hs
from headstart import stages
from headstart.config import EvalConfig
from headstart.data import manifest as manifests
from headstart.errors import InputError
from headstart.evaluation import predictions
from headstart.inference import bundle
from headstart.report import overlay
from headstart.rundir import RunDir


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    return models.pets(tmp_path_factory.mktemp("data"), 30)


@pytest.fixture(scope="module")
def trained(pets, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "pets"
    return hs.train(pets, out, backbone="vgg-tiny", image_size=64, engine="ncnn").root


@pytest.fixture
def run(trained, tmp_path):
    """A copy that a test may change."""
    return RunDir(shutil.copytree(trained, tmp_path / "run"))


def test_an_image_is_not_replaced_by_the_picture_of_it(trained, pets, tmp_path):
    own, other = tmp_path / "own.png", tmp_path / "new.png"
    shutil.copy(next((pets / "cat").iterdir()), own)
    other.write_text("mine")
    before = own.read_bytes()
    shutil.copy(own, tmp_path / "new.jpg")

    for source in ("own.png", "new.jpg"):
        done = headstart("explain", trained, source, "--out", ".", cwd=tmp_path)
        assert done.returncode == 2
        assert "would replace a file" in done.stderr
    assert (own.read_bytes(), other.read_text()) == (before, "mine")

    for _ in range(2):  # its own pictures it replaces
        assert headstart("explain", trained, "own.png", "--out", "why", cwd=tmp_path).returncode == 0
    with pytest.raises(InputError, match="would replace"):
        overlay.places([tmp_path / "why" / "own.png"], tmp_path / "why")


def test_a_long_error_widens_no_column(pets, trained, tmp_path):
    """Of the table that goes into a file or a pipe."""
    (tmp_path / "a.png").write_bytes(b"no image")
    done = headstart("explain", trained, tmp_path / "a.png", next(pets.rglob("*.png")), cwd=tmp_path)

    lines = done.stdout.splitlines()
    error = next(line for line in lines if "error: " in line)
    answer = next(line for line in lines if line.endswith(".png"))
    assert done.returncode == 2
    assert re.search(r"\.png  +(cat|dog)  +[0-9.]+%  ", answer)
    start = lines[0].index("answer")
    assert error[start:].startswith("error: ")
    assert lines[0].index("decision") - start < 20 < len(error[start:])


def test_too_many_neighbours_are_refused(trained, pets):
    with pytest.raises(InputError, match="1 to 50"):
        hs.explain(trained, [next((pets / "cat").iterdir())], neighbours=51)


def test_images_of_the_training_are_left_out(run, pets):
    """The folder that it was trained on: its test part is evaluated, and the ledger names the rest."""
    found = hs.evaluate(run, pets)

    table = pd.read_parquet(run.manifest)
    folder = run.evaluation(pets.name)
    assert found.headline["accuracy"].n == (table["split"] == "test").sum()
    ledger = pd.read_csv(folder / "data_report.csv").query("check == 'trained-on'")
    assert sorted(ledger["path"]) == sorted(table.loc[table["split"] != "test", "path"])

    taught = pets.parent / "taught"
    for path in table.loc[table["split"] == "train", "path"]:
        (taught / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(pets / path, taught / path)
    with pytest.raises(InputError, match="trained or chosen on all of these"):
        hs.evaluate(run, taught)


def test_other_data_of_the_same_name_is_not_mixed_up(run, tmp_path):
    for place, start in (("here", 0), ("there", 5000)):
        for name in ("cat", "dog"):
            for i, file in enumerate(models.pictures(tmp_path / place / "new" / name, 3)):
                file.write_bytes(models.picture(start + 100 * (name == "dog") + i, 60, 40))

    hs.evaluate(run, tmp_path / "here" / "new")
    shutil.move(tmp_path / "here", tmp_path / "moved")
    hs.evaluate(run, tmp_path / "moved" / "new")  # the same images at another place

    with pytest.raises(InputError, match="Other images were evaluated by this name"):
        hs.evaluate(run, tmp_path / "there" / "new")


def test_images_of_one_class_alone_are_evaluated(run, tmp_path):
    """How many of these does it find?"""
    for i, file in enumerate(models.pictures(tmp_path / "new" / "cat", 4)):
        file.write_bytes(models.picture(7000 + i, 60, 40))

    done = headstart("evaluate", run.root, tmp_path / "new")

    assert done.returncode == 0, done.stderr
    assert "All are cat: the accuracy is the share of them that is found." in done.stderr
    answers = hs.load(run).predict(sorted((tmp_path / "new").rglob("*.*g")))
    found = json.loads((run.evaluation("new") / "metrics.json").read_text())
    assert found["accuracy"]["value"] == sum(one.label == "cat" for one in answers) / 4
    assert "macro_f1" not in found


def test_an_interrupted_evaluation_leaves_no_answers_for_other_images(run, tmp_path, monkeypatch):
    for name in ("cat", "dog"):
        for i, file in enumerate(models.pictures(tmp_path / "new" / name, 3)):
            file.write_bytes(models.picture(7000 + 100 * (name == "dog") + i, 60, 40))
    hs.evaluate(run, tmp_path / "new")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stages, "assess", killed)
    with pytest.raises(KeyboardInterrupt):
        hs.evaluate(run, tmp_path / "new")
    assert not (run.evaluation("new") / "predictions.parquet").exists()


def test_costs_and_a_threshold_take_each_other_s_place(run):
    for options in ({"cost": ("cat:dog=3",)}, {"max_error": 0.2}, {"cost": ("dog:cat=2",)}):
        hs.evaluate(run, **options)
        settled = json.loads(run.run_json.read_text())["evaluation"]
        assert [name for name in ("cost", "max_error") if settled[name]] == list(options)
    with pytest.raises(InputError, match="no such option"):
        hs.evaluate(run, image_size=300)


def test_report_and_numbers_never_belong_to_the_rule_before(run):
    """Killed after the model has its new rule: no page speaks of the old one, and the numbers are the new."""
    stages.redecide(run, EvalConfig(cost=("cat:dog=1000",)))

    rule = bundle.load(run.model).spec.rule
    assert rule.costs == ((0, 1, 1000.0),)
    assert predictions.load(run.evaluation("test") / "predictions.parquet").rule == rule
    assert not run.report.exists()


def test_a_rule_whose_settling_was_cut_short_is_settled_by_the_next_command(run, monkeypatch):
    """Model, run and numbers never say different things for long."""

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    for name in ("write_json", "write"):  # before the run knows of it, and after
        with monkeypatch.context() as patched:
            patched.setattr(stages if name == "write_json" else stages.evaluate, name, cut)
            with pytest.raises(KeyboardInterrupt):
                hs.evaluate(run, cost=("cat:dog=3",))
        assert bundle.load(run.model).spec.rule.costs
        hs.evaluate(run)
        facts = json.loads(run.run_json.read_text())
        asked = facts.get("evaluation", facts["config"]["evaluation"])["cost"]
        rule = bundle.load(run.model).spec.rule
        said = {
            split: predictions.load(run.evaluation(split) / "predictions.parquet").rule
            for split in ("val", "test")
        }
        assert said == {"val": rule, "test": rule}
        assert bool(rule.costs) == bool(asked) == (name == "write")


def test_images_of_known_groups_are_named(tmp_path):
    """Other pictures of patients that it was trained on say little of new patients."""
    rows = []
    for i, file in enumerate(models.pictures(tmp_path / "data", 160)):
        file.write_bytes(models.picture(i, 60, 50 if i % 2 else 30))
        rows.append({"path": file.name, "label": "cat" if i % 2 else "dog", "patient": f"p{i // 4}"})
    pd.DataFrame(rows).to_csv(tmp_path / "data" / "table.csv", index=False)
    options = {"backbone": "vgg-tiny", "image_size": 64, "engine": "ncnn", "group_column": "patient"}
    run = hs.train(tmp_path / "data" / "table.csv", tmp_path / "run", **options)
    taught = manifests.load(run.manifest).table.query("split != 'test'")["group"]
    (tmp_path / "more").mkdir()
    more = []
    for i, patient in enumerate([taught.iloc[0], "new", taught.iloc[-1], "new"]):
        (tmp_path / "more" / f"{i}.png").write_bytes(models.picture(9000 + i, 60, 40))
        more.append({"path": f"{i}.png", "label": "cat" if i % 2 else "dog", "patient": patient})
    pd.DataFrame(more).to_csv(tmp_path / "more" / "more.csv", index=False)

    done = headstart("evaluate", run.root, tmp_path / "more" / "more.csv")

    assert "2 of 4 images are of groups that had a part in training" in done.stderr
    ledger = pd.read_csv(run.evaluation("more") / "data_report.csv").query("check == 'group-trained-on'")
    assert list(ledger["path"]) == ["0.png", "2.png"]
    assert set(ledger["action"]) == {"kept"}


def test_what_is_not_there_to_compare_is_named(trained, tmp_path):
    done = headstart("compare", trained, tmp_path / "nowhere")
    assert done.returncode == 2
    assert "There is no evaluated run here." in done.stderr
    done = headstart("compare", trained, trained, "--split", "fild")
    assert "has no evaluation of that name. Allowed: test, val. Received: 'fild'." in done.stderr


def test_a_finished_run_is_told_how_its_rule_is_changed(pets, trained):
    options = ("--backbone", "vgg-tiny", "--image-size", 64, "--engine", "ncnn", "--out", trained)
    done = headstart("train", pets, *options, "--max-error", 0.1)
    assert done.returncode == 2
    assert f"To change how the model decides, `headstart evaluate {trained} --max-error 0.1`." in done.stderr
    done = headstart("train", pets, *options, "--cost", "cat:dog=3", "--cost", "dog:cat=2")
    assert f"`headstart evaluate {trained} --cost cat:dog=3 --cost dog:cat=2`." in done.stderr
    for more in (("--seed", 3), ("--top-k", 3)):
        done = headstart("train", pets, *options, "--max-error", 0.1, *more)
        assert done.stderr.endswith("take it over with --force.\n")


def test_what_is_to_be_copied_is_quoted(run, tmp_path):
    place = shutil.copytree(run.root, tmp_path / "my run")
    printed = headstart("export", place, "--to", "keras").stdout
    assert f"python '{place}/export/keras/example.py' PICTURE" in printed


def test_pictures_do_not_go_into_a_file(trained, pets, tmp_path):
    (tmp_path / "file").touch()
    done = headstart("explain", trained, next(pets.rglob("*.png")), "--out", tmp_path / "file")
    assert done.returncode == 2
    assert "--out is a file, and the pictures need a folder." in done.stderr


def test_exports_that_decide_as_before_are_named(run):
    (run.exports / "onnx").mkdir(parents=True)
    done = headstart("evaluate", run.root, "--cost", "cat:dog=3")
    assert "Exports    decide as before: onnx; export again" in done.stderr
    assert "Exports" not in headstart("evaluate", run.root).stderr
    assert f"written to  {run.evaluation('test')}" in done.stdout


def test_only_images_that_are_compared_must_be_the_same(run, tmp_path):
    other = RunDir(shutil.copytree(run.root, tmp_path / "other"))
    changed = manifests.load(other.manifest)
    table = changed.table

    def with_other(split: str) -> manifests.Manifest:
        hashes = table["sha256"].where(table["split"] != split, "0" * 64)
        return replace(changed, table=table.assign(sha256=hashes))

    with_other("train").save(other.manifest)
    assert hs.compare([run, other])[0].outcome == "can't say"
    with_other("test").save(other.manifest)
    with pytest.raises(InputError, match="Images have changed"):
        hs.compare([run, other])


def test_answers_do_not_go_into_a_folder(trained, pets, tmp_path):
    for out in (".", tmp_path):
        done = headstart("predict", trained, pets, "--out", out)
        assert (done.returncode, "--out is a folder" in done.stderr) == (2, True)


def test_hidden_folders_are_passed_over_as_in_training(trained, pets, tmp_path):
    for place in ("", ".thumbnails", "@eaDir", "deep"):
        (tmp_path / place).mkdir(exist_ok=True)
        shutil.copy(next((pets / "cat").iterdir()), tmp_path / place / "a.png")
    done = headstart("predict", trained, tmp_path, "--format", "json")
    assert [row["path"] for row in json.loads(done.stdout)] == [f"{tmp_path}/a.png", f"{tmp_path}/deep/a.png"]


def test_a_folder_is_looked_through_without_pandas(pets):
    """Which takes half a second to import."""
    code = (
        "import sys; from pathlib import Path; from headstart.cli.listing import Listing;"
        f" print(Listing.of([Path({str(pets)!r})]).count, 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["60", "False"]


def test_the_card_counts_what_was_trained_on(trained):
    counts = manifests.load(RunDir(trained).manifest).counts()[["train", "val"]].sum()
    page = (trained / "report.html").read_text()
    assert f"{counts['train']} images from" in page
    assert f"chosen by {counts['val']} others" in page


def test_the_guide_names_every_field(trained):
    guide = (Path(__file__).parents[2] / "docs" / "guide.md").read_text(encoding="utf-8")
    test = RunDir(trained).evaluation("test")
    fields = {*json.loads((test / "metrics.json").read_text()), *pd.read_csv(test / "per_class.csv").columns}
    fields |= {
        *pd.read_parquet(test / "predictions.parquet").columns,
        *pd.read_csv(trained / "history.csv").columns,
    }
    assert {name for name in fields if f"`{name}`" not in guide} == set()


def test_groups_are_in_the_predictions_and_on_the_page(tmp_path):
    rows = []
    for i, file in enumerate(models.pictures(tmp_path / "data", 160)):
        file.write_bytes(models.picture(i, 60, 50 if i % 2 else 30))
        rows.append({"path": file.name, "label": "cat" if i % 2 else "dog", "group": f"p{i // 4}"})
    pd.DataFrame(rows).to_csv(tmp_path / "data" / "table.csv", index=False)
    run = hs.train(
        tmp_path / "data" / "table.csv", tmp_path / "run", backbone="vgg-tiny", image_size=64, engine="ncnn"
    )

    said = predictions.load(run.evaluation("test") / "predictions.parquet")
    assert set(np.bincount(said.grouped)) == {4}
    assert f"They come in {len(said) // 4} groups" in run.report.read_text()
