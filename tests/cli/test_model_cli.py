"""What the command line does with a trained model: describe, predict in parts, quantize, export, weights."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import h5py
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests import models

import headstart as hs
from headstart.backbones import specs, vgg, weights
from headstart.inference import bundle
from headstart.rundir import atomic_dir


def headstart(*arguments, **options):
    command = [sys.executable, "-m", "headstart", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return models.pets(tmp_path_factory.mktemp("data"), 24)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "pets"
    return hs.train(data, out, backbone="vgg-tiny", image_size=64, engine="ncnn", blocks=4, views=1).root


@pytest.fixture
def run(trained, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(trained, tmp_path / "run")


def test_describe_names_the_layers_of_what_was_kept(trained):
    done = headstart("describe", trained)

    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "vgg-tiny, head taps, 2 classes: cat, dog"
    assert not [line for line in lines if line.startswith("block5")]
    assert [line for line in lines if line.startswith("head ") and line.endswith("trained")]
    found = json.loads(headstart("describe", trained, "--format", "json").stdout)
    assert found["model"]["blocks"] == 4
    assert found["total"]["parameters"] == sum(layer["parameters"] for layer in found["layers"])


def test_predict_takes_the_form_from_the_name_of_the_file(trained, data, tmp_path):
    for suffix in ("parquet", "csv", "tsv", "json", "txt"):
        done = headstart("predict", trained, data, "--out", tmp_path / f"a.{suffix}")
        assert done.returncode == 0, done.stderr

    table = pd.read_parquet(tmp_path / "a.parquet")
    assert list(table) == ["path", "label", "confidence", "decision", "distance", "error", "p_cat", "p_dog"]
    assert list(table["path"]) == sorted(map(str, data.rglob("*.*g")))
    for name, between in {"a.csv": ",", "a.tsv": "\t"}.items():
        assert list(pd.read_csv(tmp_path / name, sep=between)["label"]) == list(table["label"])
    rows = json.loads((tmp_path / "a.json").read_text())
    assert [row["probabilities"]["cat"] for row in rows] == pytest.approx(list(table["p_cat"]), abs=1e-6)
    assert len((tmp_path / "a.txt").read_text().splitlines()) == len(table)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a.csv", "a.json", "a.parquet", "a.tsv", "a.txt",
    ]  # fmt: skip


def test_an_ending_of_no_form_is_refused(trained, data, tmp_path):
    done = headstart("predict", trained, data, "--out", tmp_path / "a.xlsx")

    assert done.returncode == 2
    assert "There is no form of answers for .xlsx. Allowed: .json, .csv, .tsv, .parquet, or" in done.stderr
    assert not list(tmp_path.iterdir())
    assert headstart("predict", trained, data, "--out", tmp_path / "a.x", "--format", "csv").returncode == 0
    assert len(pd.read_csv(tmp_path / "a.x")) == 48


@pytest.mark.parametrize("form", ["csv", "json"])
def test_a_pipe_is_written_to_and_stays_one(trained, data, tmp_path, form):
    """So do /dev/null and /dev/stdout, which a renamed file would take the place of."""
    pipe, got = tmp_path / f"pipe.{form}", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()), daemon=True)
    reader.start()

    done = headstart("predict", trained, data, "--out", pipe)
    reader.join(10)

    assert done.returncode == 0, done.stderr
    assert got == [headstart("predict", trained, data, "--format", form).stdout]
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]
    refused = headstart("predict", trained, data, "--out", pipe, "--format", "parquet")
    assert refused.returncode == 2
    assert "Parquet is not for the screen, a pipe or a device." in refused.stderr


def test_a_link_stays_and_what_it_leads_to_is_replaced(trained, data, tmp_path):
    """As /dev/stdout is one, to a file where the shell says so."""
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "a.csv").write_text("path,label,confidence\nold.png,cat,1\n")
    (tmp_path / "link.csv").symlink_to("far/a.csv")

    headstart("predict", trained, data, "--out", tmp_path / "link.csv")

    assert (tmp_path / "link.csv").is_symlink()
    assert len(pd.read_csv(tmp_path / "far" / "a.csv")) == 48
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.csv", "far", "link.csv"]


def test_answers_are_not_written_over_images(trained, data, tmp_path):
    """As where `--out photos/*.png` was typed, and the shell made several names of it."""
    images = sorted(data.rglob("*.png"))[:2]
    copies = [
        shutil.copy(image, tmp_path / name) for image, name in zip(images, ("a.png", "b.dat"), strict=True)
    ]
    before = [path.read_bytes() for path in copies]
    for out in (tmp_path / "a.png", tmp_path / "b.dat", tmp_path / "new.jpg"):
        done = headstart("predict", trained, *images, "--out", out)
        assert done.returncode == 2
        assert "answers are not written over images" in done.stderr
    (tmp_path / "text.csv").write_text("no image")
    done = headstart("predict", trained, tmp_path / "text.csv", "--out", tmp_path / "text.csv")
    assert "answers are not written over images" in done.stderr

    assert [path.read_bytes() for path in copies] == before
    assert (tmp_path / "text.csv").read_text() == "no image"


@pytest.mark.parametrize("suffix", ["csv", "tsv", "json", "parquet", "txt"])
def test_answers_take_the_place_of_answers_alone(trained, data, tmp_path, suffix):
    """Not that of a table of labels, of a run's own files, or of anything else."""
    image, out = next(data.rglob("*.png")), tmp_path / f"a.{suffix}"
    for _ in range(2):
        assert headstart("predict", trained, image, "--out", out).returncode == 0
    labels = tmp_path / "labels.csv"
    labels.write_text("path,label\na.png,cat\n")
    run = shutil.copytree(trained, tmp_path / "run")
    for other in (
        labels,
        run / "run.json",
        run / "manifest.parquet",
        run / "evaluation/test/predictions.parquet",
    ):
        before = other.read_bytes()
        done = headstart("predict", trained, image, "--out", other, "--format", "csv")
        assert done.returncode == 2
        assert "--out is a file that `headstart predict` did not write." in done.stderr
        assert other.read_bytes() == before


def test_a_reader_that_ends_too_soon_is_said(trained, data, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = subprocess.Popen(["head", "-c", "1", str(tmp_path / "pipe")], stdout=subprocess.DEVNULL)
    many = [path for path in sorted(data.rglob("*.png")) for _ in range(40)]

    done = headstart("predict", trained, *many, "--format", "json", "--out", tmp_path / "pipe")

    reader.wait()
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("headstart: What reads the answers ended before")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_are_no_fault(trained, closed):
    done = subprocess.run(
        ["sh", "-c", f'"$0" -m headstart describe "$1" {closed}', sys.executable, str(trained)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


def test_the_screen_gets_the_same_answers(trained, data, tmp_path):
    headstart("predict", trained, data, "--out", tmp_path / "a.json")
    done = headstart("predict", trained, data, "--format", "json")

    assert json.loads(done.stdout) == json.loads((tmp_path / "a.json").read_text())


def test_a_killed_prediction_goes_on(trained, tmp_path):
    """Killed twice, by kill -9 and by SIGTERM; the same rows as in one go, each file once."""
    files = models.pictures(tmp_path / "many", 2500)
    files[600].write_text("no image")
    out = tmp_path / "a.parquet"
    command = [sys.executable, "-m", "headstart", "predict", str(trained), str(tmp_path / "many")]
    parts = tmp_path / ".a.parquet.parts"
    for sign, code in [(signal.SIGKILL, -9), (signal.SIGTERM, 143)]:
        done_before = len(list(parts.glob("*.parquet")))
        process = subprocess.Popen([*command, "--out", str(out)], stderr=subprocess.DEVNULL)
        until = time.monotonic() + 60
        while len(list(parts.glob("*.parquet"))) < done_before + 2 and time.monotonic() < until:
            time.sleep(0.005)
        process.send_signal(sign)
        assert process.wait() == code
        assert not out.exists()
    before = {path.name: path.stat().st_mtime_ns for path in parts.glob("*.parquet")}
    assert len(before) >= 3

    done = headstart("predict", trained, tmp_path / "many", "--out", out)

    assert done.returncode == 2  # one file is no image
    table = pd.read_parquet(out)
    assert list(table["path"]) == list(map(str, files))
    assert table["error"].ne("").sum() == 1
    headstart("predict", trained, tmp_path / "many", "--out", tmp_path / "b.parquet")
    pd.testing.assert_frame_equal(table, pd.read_parquet(tmp_path / "b.parquet"))
    assert not parts.exists()


def test_two_commands_do_not_write_one_file(trained, data, tmp_path):
    import fcntl

    parts = tmp_path / ".a.csv.parts"
    parts.mkdir()
    with (parts / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = headstart("predict", trained, data, "--out", tmp_path / "a.csv")

    assert done.returncode == 2
    assert "Another command is writing there" in done.stderr


def test_quantize_export_and_predict_in_8_bits(run, data):
    first = headstart("quantize", run, "--max-drop", 100, "--time-limit", "1m")
    exported = headstart("export", run, "--to", "openvino", "--int8")
    rounded = headstart("predict", run, data, "--format", "json", "--engine", "openvino-int8")
    exact = headstart("predict", run, data, "--format", "json")

    assert first.returncode == exported.returncode == rounded.returncode == 0, first.stderr + exported.stderr
    assert "validation images: accuracy" in first.stdout
    assert json.loads((run / "model" / "model.json").read_text())["int8"]["max_drop"] == 1.0
    assert rounded.stdout != exact.stdout
    certificate = json.loads((run / "export" / "openvino" / "parity.json").read_text())
    assert {route["precision"] for route in certificate["routes"]} == {"int8"}
    assert certificate["passed"]

    for name in ("app.py", ".git"):
        (run / "export" / "openvino" / name).write_text("mine")
        again = headstart("export", run, "--to", "openvino", "--int8")
        assert again.returncode == 2
        assert "replace something that is none" in again.stderr
        assert name in again.stderr
        assert (run / "export" / "openvino" / name).read_text() == "mine"
        (run / "export" / "openvino" / name).unlink()


def test_an_export_allows_no_more_loss_than_it_is_told(run):
    """A proof that allowed more is not taken for one: here one that says that 4 points were lost."""
    assert headstart("quantize", run, "--max-drop", 100, "--time-limit", "1m").returncode == 0
    loaded = bundle.load(run / "model")
    lossy = replace(loaded.spec.int8, accuracy=1.0, accuracy_int8=0.96)
    with atomic_dir(run / "model") as folder:
        bundle.rewrite(loaded, folder, replace(loaded.spec, int8=lossy))

    as_it_is = headstart("export", run, "--to", "openvino", "--int8", "--out", run / "one")
    stricter = headstart("export", run, "--to", "openvino", "--int8", "--max-drop", 3, "--out", run / "two")

    assert as_it_is.returncode == 0, as_it_is.stderr
    found = bundle.load(run / "model").spec.int8
    assert stricter.returncode in (0, 1)
    assert found == lossy if stricter.returncode else 100 * (found.accuracy - found.accuracy_int8) <= 3


def test_a_gate_that_says_no_is_1_and_one_line(run):
    """The validation answers say that it was always right, and sure of what is wrong now."""
    table = pd.read_parquet(run / "evaluation" / "val" / "predictions.parquet")
    turned = pq.read_table(run / "evaluation" / "val" / "predictions.parquet")
    assert len(table) == turned.num_rows
    logits = pa.array(
        [[-9.0, 9.0] if row[0] > row[1] else [9.0, -9.0] for row in table["logits"]], pa.list_(pa.float32())
    )
    column = turned.schema.get_field_index("logits")
    pq.write_table(turned.set_column(column, turned.schema.field(column), logits), run / "x.parquet")
    (run / "x.parquet").replace(run / "evaluation" / "val" / "predictions.parquet")
    before = (run / "model" / "MANIFEST.sha256").read_bytes()

    done = headstart("quantize", run, "--max-drop", 0, "--time-limit", "1s")

    assert done.returncode == 1
    assert "In 8-bit integers the model is not as good" in done.stderr
    assert "Traceback" not in done.stderr
    assert (run / "model" / "MANIFEST.sha256").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["export", "RUN", "--to", "pb"], "--to"),
        (["export", "RUN"], "--to"),
        (["export", "RUN", "--to", "onnx", "--int8"], "not written in 8-bit integers"),
        (["export", "RUN/model", "--to", "onnx"], "doesn't go into a bundle"),
        (["export", "nowhere", "--to", "onnx"], "There is no trained model here"),
        (["predict", "RUN", "DATA", "--engine", "openvino-int8"], "has not been made to run in 8-bit"),
        (["quantize", "RUN", "--max-drop", "-1"], "--max-drop is a number of points"),
        (["export", "RUN", "--to", "onnx", "--max-drop", "1"], "--max-drop is about 8-bit integers"),
        (["quantize", "RUN/model"], "run"),
        (["describe", "nowhere"], "There is no trained model here"),
        (["weights", "import", "nowhere.h5"], "There is no such weights file"),
        (["train", "DATA", "--blocks", "9"], "--blocks"),
    ],
)
def test_wrong_input_is_one_line_and_2(trained, data, arguments, said):
    given = [str(a).replace("RUN", str(trained)).replace("DATA", str(data)) for a in arguments]
    done = headstart(*given)

    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_exported_without_its_images_by_what_the_bundle_carries(run, tmp_path):
    """The bundle alone, as one would copy it to another machine: golden images and Keras's answers."""
    done = headstart("export", run / "model", "--to", "onnx", "--out", tmp_path / "onnx")

    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "onnx" / "parity.json").read_text())
    assert found["images"] == 4
    assert found["passed"]


def test_without_any_images_there_is_no_export(run, tmp_path):
    """A large golden image is left out of a bundle; copied without its run it has none."""
    (model := tmp_path / "model").mkdir()
    loaded = bundle.load(run / "model")
    bundle.write(model, loaded.spec, loaded.arrays(), loaded.reference(), bundle.Golden((), ()))

    done = headstart("export", model, "--to", "onnx", "--out", tmp_path / "onnx")

    assert done.returncode == 2
    assert "There is no image to prove the export by." in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "onnx").exists()


def test_weights_are_imported_listed_and_trained_on(data, tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    tiny = specs.backbone("vgg-tiny")
    drawn = weights.random(tiny, 7)
    with h5py.File(tmp_path / "w.h5", "w") as file:
        for name, _, _ in vgg.conv_names(tiny):
            file[f"{name}/kernel"], file[f"{name}/bias"] = drawn[f"{name}/kernel"], drawn[f"{name}/bias"]

    empty = headstart("weights", "list").stdout
    imported = headstart("weights", "import", tmp_path / "w.h5", "--backbone", "vgg-tiny").stdout
    name = imported.split()[-1]
    listed = headstart("weights", "list").stdout

    assert "There are none yet" in empty
    assert name.startswith("vgg-tiny-")
    assert name in listed
    run = hs.train(data, tmp_path / "run", backbone="vgg-tiny", image_size=64, engine="ncnn", weights=name)
    kept = hs.load(run).bundle.arrays()["block3_conv1/kernel"]
    assert (kept == drawn["block3_conv1/kernel"]).all()
