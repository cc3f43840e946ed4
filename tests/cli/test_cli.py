"""The command line as a person meets it: the real command, its screen, its exit code, what it leaves."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from headstart.cli import _ended, _explained

COLOURS = {"blue sky": (40, 60, 220), "grün": (30, 180, 40), "red": (210, 30, 30)}
FAST = ["--backbone", "vgg-tiny", "--image-size", "32", "--engine", "ncnn"]


def headstart(*arguments, cwd=None, **options):
    command = [sys.executable, "-m", "headstart", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, timeout=120, check=False, **options
    )


def picture(path, colour, seed):
    noise = np.random.default_rng(seed).integers(-25, 25, (40, 50, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(noise + colour, 0, 255).astype(np.uint8)).save(path)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Twelve images a class, with spaces, other scripts and a nested folder."""
    root = tmp_path_factory.mktemp("my photos")
    for c, (name, colour) in enumerate(COLOURS.items()):
        for i in range(12):
            inner = root / name / ("deeper/ещё" if i % 3 == 0 else ".")
            picture(inner / f"bild {i}.png", colour, 100 * c + i)
    return root


@pytest.fixture(scope="module")
def trained(photos, tmp_path_factory):
    """A run on the good folder and on what may lie around in it."""
    (photos / "red" / "notes.jpg").write_text("this is text")
    whole = photos / "red" / "whole.jpg"
    picture(whole, (210, 30, 30), 999)
    (photos / "red" / "cut.jpg").write_bytes(whole.read_bytes()[:-400])
    (photos / "red" / "gone.png").symlink_to(photos / "nowhere.png")
    (photos / "empty").mkdir()
    (photos / ".DS_Store").write_bytes(b"\0")
    out = tmp_path_factory.mktemp("runs") / "photos"
    return out, headstart("train", photos, "--out", out, *FAST)


def test_train_leaves_a_whole_run(trained):
    out, done = trained

    assert done.returncode == 0, done.stderr
    present = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    expected = {
        "run.json",
        "manifest.parquet",
        "data_report.csv",
        "history.csv",
        "parity.json",
        "report.html",
    }
    expected |= {f"evaluation/test/{n}" for n in ("metrics.json", "per_class.csv", "confusion.csv")}
    expected |= {f"evaluation/{split}/predictions.parquet" for split in ("val", "test")}
    expected |= {"evaluation/test/heatmaps.safetensors", "model/model.json", "model/MANIFEST.sha256"}
    assert expected <= present
    assert "accuracy" in done.stdout
    metric = json.loads((out / "evaluation/test/metrics.json").read_text())["accuracy"]
    assert metric == {"value": metric["value"], "low": None, "high": None, "n": 6}  # too few to say
    assert metric["value"] == 1.0  # plain colours


def test_every_file_is_accounted_for(trained, photos):
    import pandas as pd

    out, _ = trained
    used = set(pd.read_parquet(out / "manifest.parquet")["path"])
    ledger = pd.read_csv(out / "data_report.csv").set_index("path")
    files = {p.relative_to(photos).as_posix() for p in photos.rglob("*") if p.is_symlink() or p.is_file()}

    left_out = set(ledger.index[ledger["action"] != "kept"])
    assert used | left_out >= files
    assert not used & left_out
    assert ledger.loc["red/notes.jpg", "check"] == "not-an-image"
    assert ledger.loc["red/cut.jpg", "check"] == "truncated"
    assert ledger.loc["red/gone.png", "action"] == "left out"
    assert "empty-class" in set(ledger["check"])
    assert "red/whole.jpg" in used


def test_run_json_says_how_it_came_about(trained):
    facts = json.loads((trained[0] / "run.json").read_text())

    assert facts["config"]["model"]["backbone"] == "vgg-tiny"
    assert facts["engine"]["name"] == "ncnn"
    assert facts["dataset"]["images"] == 37
    assert facts["finished"] is True
    assert {"prepare", "features", "head", "parity", "evaluate"} <= set(facts["seconds"])


def test_the_same_command_again_changes_nothing(trained, photos):
    out, _ = trained
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}

    again = headstart("train", photos, "--out", out, *FAST)

    assert again.returncode == 0
    assert "finished" in again.stderr
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_other_options_on_a_finished_run_are_refused_with_the_difference(trained, photos):
    refused = headstart("train", photos, "--out", trained[0], *FAST, "--seed", "5")

    assert refused.returncode == 2
    assert "seed was 0, is 5" in refused.stderr


def test_one_seed_gives_a_byte_identical_model(trained, photos, tmp_path):
    again = headstart("train", photos, "--out", tmp_path / "again", *FAST)

    assert again.returncode == 0, again.stderr
    first, second = trained[0] / "model", tmp_path / "again" / "model"
    assert (first / "MANIFEST.sha256").read_bytes() == (second / "MANIFEST.sha256").read_bytes()


@pytest.mark.parametrize("form", ["json", "csv", "table"])
def test_predict(trained, photos, form):
    done = headstart("predict", trained[0], photos / "grün" / "bild 1.png", photos / "red", "--format", form)

    assert done.returncode == 2  # three files in red are no images, and have rows that say so
    assert "grün" in done.stdout
    assert done.stdout.count("bild") == 13
    if form == "json":
        rows = json.loads(done.stdout)
        assert rows[0]["label"] == "grün"
        assert sum(rows[0]["probabilities"].values()) == pytest.approx(1, abs=3e-6)
        bad = [row for row in rows if row["path"].endswith(("cut.jpg", "notes.jpg", "gone.png"))]
        assert [row["error"] != "" for row in bad] == [True, True, True]


def test_predict_to_parquet(trained, photos, tmp_path):
    done = headstart(
        "predict", trained[0], photos / "grün", "--format", "parquet", "--out", tmp_path / "p.parquet"
    )

    assert done.returncode == 0, done.stderr
    table = pd.read_parquet(tmp_path / "p.parquet")
    assert list(table["label"]) == ["grün"] * 12
    columns = ["path", "label", "confidence", "decision", "distance", "error"]
    assert list(table.columns) == [*columns, "p_blue sky", "p_grün", "p_red"]
    assert set(table["decision"]) <= {"accept", "unfamiliar"}
    assert (table["distance"] > 0).all()


def test_evaluate_equals_what_training_wrote(trained):
    out, _ = trained
    before = (out / "evaluation/test/metrics.json").read_bytes()

    done = headstart("evaluate", out)

    assert done.returncode == 0, done.stderr
    assert (out / "evaluation/test/metrics.json").read_bytes() == before


def test_evaluate_other_images(trained, tmp_path):
    for i in range(3):
        picture(tmp_path / "fresh" / "red" / f"{i}.png", COLOURS["red"], 5000 + i)
        picture(tmp_path / "fresh" / "grün" / f"{i}.png", COLOURS["grün"], 6000 + i)

    done = headstart("evaluate", trained[0], tmp_path / "fresh")
    (tmp_path / "fresh" / "red").rename(tmp_path / "fresh" / "purple")
    refused = headstart("evaluate", trained[0], tmp_path / "fresh")

    assert done.returncode == 0, done.stderr
    assert json.loads((trained[0] / "evaluation/fresh/metrics.json").read_text())["accuracy"]["n"] == 6
    assert refused.returncode == 2
    assert "Received: 'purple'" in refused.stderr


def test_costs_and_error_rates_change_how_the_saved_model_decides(trained, photos, tmp_path):
    run = shutil.copytree(trained[0], tmp_path / "run")
    careful = headstart("evaluate", run, "--cost", "grün:red=1000", "--cost", "blue sky:red=1000")
    assert careful.returncode == 0, careful.stderr
    spec = json.loads((run / "model/model.json").read_text())
    assert spec["class_names"] == ["blue sky", "grün", "red"]
    assert sorted(spec["costs"]) == [[0, 2, 1000.0], [1, 2, 1000.0]]
    table = pd.read_parquet(run / "evaluation/test/predictions.parquet")
    sure = np.array(table["probabilities"].tolist())[:, 2] > 0.999
    assert (table["predicted"] == "red").tolist() == sure.tolist()

    unsure = headstart("evaluate", run, "--max-error", "0.4")
    assert unsure.returncode == 0, unsure.stderr
    spec = json.loads((run / "model/model.json").read_text())
    assert spec["costs"] == []
    assert 0 < spec["thresholds"]["confidence"] <= 1
    assert "coverage" in json.loads((run / "evaluation/test/metrics.json").read_text())

    again = headstart("train", photos, "--out", run, *FAST)
    assert "finished" in again.stderr
    both = headstart("evaluate", run, photos, "--max-error", "0.4")
    assert both.returncode == 2
    assert "Evaluate with the options first" in both.stderr
    either = headstart("evaluate", run, "--max-error", "0.4", "--cost", "grün:red=5")
    assert either.returncode == 2
    assert "either --cost, which says what to answer, or --max-error" in either.stderr
    refused = headstart("evaluate", run, "--cost", "grün:pink=5")
    assert refused.returncode == 2
    assert "Received: 'grün:pink=5'" in refused.stderr


def test_explain_writes_pictures(trained, photos, tmp_path):
    done = headstart(
        "explain", trained[0], photos / "grün" / "bild 1.png", photos / "red" / "notes.jpg",
        "--out", tmp_path / "why", "--of", "red", "--neighbours", "3",
    )  # fmt: skip
    assert done.returncode == 2  # one file is no image, and its row says so
    assert "error:" in done.stdout
    (written,) = (tmp_path / "why").iterdir()
    assert written.name == "bild 1.png"
    with Image.open(written) as panel:
        assert panel.width > 600
        assert np.asarray(panel.convert("RGB")).std() > 20
    refused = headstart("explain", trained[0], photos / "grün", "--of", "pink", "--out", tmp_path / "no")
    assert refused.returncode == 2
    assert "Received: 'pink'" in refused.stderr
    none = headstart("explain", trained[0], photos / "grün", "--neighbours", "0", "--out", tmp_path / "no")
    assert none.returncode == 2
    assert "Received: 0" in none.stderr
    assert not (tmp_path / "no").exists()


def test_compare_says_that_a_run_is_not_better_than_itself(trained, tmp_path):
    shutil.copytree(trained[0], tmp_path / "copy")
    done = headstart("compare", trained[0], tmp_path / "copy")
    assert done.returncode == 0, done.stderr
    assert "can't say" in done.stdout
    assert "+0.0 points" in done.stdout
    missing = headstart("compare", trained[0], tmp_path)
    assert missing.returncode == 2
    assert missing.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "nowhere"], ["Received: 'nowhere'"]),
        (["train", "PHOTOS", "--fit", "zoom"], ["--fit", "letterbox, crop, stretch", "Received: 'zoom'"]),
        (["train", "PHOTOS", "--strategy", "finetun"], ["'finetun'. Did you mean finetune? See `headstart"]),
        (["train", "PHOTOS", "--val", "1.5"], ["--val", "Received: 1.5"]),
        (["train", "PHOTOS", "--val", "much"], ["--val", "much"]),
        (["train", "PHOTOS", "--wings", "2"], ["--wings"]),
        (["train", "PHOTOS", "--epochs", "2.5"], ["--epochs", "no whole number", "Received: '2.5'"]),
        (["train", "PHOTOS", "--out", "PHOTOS/run"], ["--out"]),
        (["train", "PHOTOS", "--config", "nowhere.toml"], ["nowhere.toml"]),
        (["train"], ["DATA", "--help"]),
        (["tarin", "PHOTOS"], ["tarin"]),
        (["predict", "nowhere", "x.png"], ["There is no trained model here", "Received: 'nowhere'"]),
        (["predict", "nowhere"], ["no image to look at"]),
        (["evaluate", "nowhere"], ["There is no trained model here"]),
        (["predict", "x", "y.png", "--format", "parquet"], ["--out FILE.parquet"]),
    ],
)
def test_wrong_input_is_one_clear_line(photos, tmp_path, arguments, words):
    arguments = [a.replace("PHOTOS", str(photos)) for a in arguments]

    done = headstart(*arguments, cwd=tmp_path)

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_class_of_one_image_is_refused(tmp_path):
    for i in range(5):
        picture(tmp_path / "d" / "many" / f"{i}.png", (10, 200, 10), i)
    picture(tmp_path / "d" / "lone" / "0.png", (200, 10, 10), 9)

    done = headstart("train", tmp_path / "d", *FAST, cwd=tmp_path)

    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("headstart: The class 'lone'")  # a bar stands above it
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_it_and_the_same_command_goes_on(photos, tmp_path, number, code):
    command = [sys.executable, "-m", "headstart", "train", str(photos), "--out", "run", *FAST]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (tmp_path / "run" / "run.json").exists():
        time.sleep(0.01)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)

    assert process.returncode == code, stderr
    assert code != 130 or "The same command goes on where it stopped" in stderr
    assert "Traceback" not in stderr
    assert json.loads((tmp_path / "run" / "run.json").read_text())["finished"] is False
    assert [p.name for p in (tmp_path / "run").rglob(".*")] == [".lock"]  # nothing half-written
    assert headstart("train", photos, "--out", "run", *FAST, cwd=tmp_path).returncode == 0


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk(photos, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24k", "none", disk], check=False)
    if mounted.returncode != 0:
        pytest.skip("no mount in this container")
    try:
        done = headstart("train", photos, "--out", disk / "run", *FAST)
        left = [path.name for path in disk.rglob(".*")]
    finally:
        subprocess.run(["umount", disk], check=True)

    assert done.returncode == 2
    assert done.stderr.rstrip().splitlines()[-1].startswith("headstart: The disk is full")
    assert "Traceback" not in done.stderr
    assert left == [".lock"]  # nothing half-written


def test_a_file_of_options_is_obeyed_and_what_is_typed_wins(photos, tmp_path):
    (tmp_path / "options.toml").write_text('seed = 3\nhead = "gap"\nbackbone = "vgg-tiny"\nimage_size = 32\n')

    done = headstart("train", photos, "--out", "run", "--config", "options.toml", "--seed", "4", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    config = json.loads((tmp_path / "run" / "run.json").read_text())["config"]
    assert (config["seed"], config["model"]["head"], config["data"]["image_size"]) == (4, "gap", 32)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("weights = 'nowhere.h5'", "There is no such weights file"),  # `weights` is a command, too
        ("cache = 3", '"[cache]"'),
        ("seed = ", "is not TOML"),
        ("epochs = 3.7", "no whole number"),
        ("config = 'other.toml'", "cannot name another"),
        (None, "There is no such file of options"),
    ],
)
def test_nothing_in_a_file_of_options_is_passed_over(photos, tmp_path, content, words):
    if content is not None:
        (tmp_path / "options.toml").write_text(content)

    done = headstart("train", photos, "--config", "options.toml", *FAST, cwd=tmp_path)

    assert done.returncode == 2
    assert words in done.stderr.splitlines()[-1]


def test_help_is_no_failure_where_its_reader_ends_sooner():
    command = f"{sys.executable} -m headstart train --help | head -1 > /dev/null; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_help_is_complete():
    done = headstart("train", "--help")

    assert done.returncode == 0
    for option in ("--out", "--seed", "--backbone", "--head", "--views", "--fit", "--val", "--test"):
        assert option in done.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["predict", "RUN", "IMAGE"]])
def test_what_must_start_without_tensorflow_does(trained, photos, arguments):
    places = {"RUN": str(trained[0]), "IMAGE": str(photos / "red" / "whole.jpg")}
    arguments = [places.get(a, a) for a in arguments]
    code = (
        "import sys; from headstart.cli import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        f"for_help = {{'numpy', 'PIL', 'cv2'}} if {arguments == ['--help']} else set()\n"
        "heavy = {'tensorflow', 'keras', 'sklearn', 'pandas', 'matplotlib', *for_help} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["predict", "RUN", "IMAGE"], 0, "red"),
        (["predict", "RUN", "IMAGE", "--engine", "keras"], 2, "This engine cannot run here."),
        (["train", "PHOTOS", "--out", "OUT", *FAST], 2, "Run `pip install 'headstart[cpu]'`"),
    ],
)
def test_without_tensorflow_prediction_works_and_training_says_what_to_install(
    trained, photos, tmp_path, arguments, code, words
):
    """As where TensorFlow was never installed: Python neither finds nor imports it."""
    places = {"RUN": str(trained[0]), "IMAGE": str(photos / "red" / "whole.jpg"), "PHOTOS": str(photos)}
    arguments = [places.get(a, str(tmp_path / "run") if a == "OUT" else a) for a in arguments]
    program = "import sys; sys.modules['tensorflow'] = None; from headstart.cli import main\n"

    done = subprocess.run(
        [sys.executable, "-c", f"{program}main({arguments!r})"], capture_output=True, text=True, check=False
    )

    assert done.returncode == code, done.stderr
    assert words in (done.stdout or done.stderr.splitlines()[-1])
    assert "Traceback" not in done.stderr


def test_too_little_memory_is_one_line(capsys):
    assert _explained(MemoryError()) == 2
    assert capsys.readouterr().err.startswith("headstart: There is not enough memory.")


def test_refused_options_cost_nothing(trained, photos, tmp_path):
    """Neither a finished run, nor the folder in which the mended command then trains."""
    run = tmp_path / "run"
    shutil.copytree(trained[0], run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"}
    wrong = (["--cost", "redd:grün=3"], ["--weights", tmp_path / "nowhere.h5"])
    for options in wrong:
        done = headstart("train", photos, "--out", run, *FAST, "--force", *options)
        assert done.returncode == 2, done.stderr
        assert {path: path.read_bytes() for path in before} == before

        assert headstart("train", photos, "--out", tmp_path / "new", *FAST, *options).returncode == 2
    done = headstart("train", photos, "--out", tmp_path / "new", *FAST, "--cost", "red:grün=3")

    assert done.returncode == 0, done.stderr


def test_classes_and_lost_folders_are_named(photos, tmp_path):
    shutil.copytree(photos, tmp_path / "in", symlinks=True)
    (tmp_path / "in" / "yellow").symlink_to(photos / "red")

    done = headstart("train", tmp_path / "in", "--out", tmp_path / "run", *FAST)

    assert "Classes    blue sky, grün, red\n" in done.stderr
    assert "Left out   with all that is in them: yellow/; the ledger says why\n" in done.stderr


@pytest.mark.parametrize("form", ["--out=~/run", "--out ~/run"])
def test_home_is_home_however_it_is_written(photos, tmp_path, form):
    """As no shell has replaced it."""
    environment = {**os.environ, "HOME": str(tmp_path)}
    (tmp_path / "here").mkdir()

    done = headstart("train", photos, *form.split(), *FAST, cwd=tmp_path / "here", env=environment)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "report.html").exists()
    assert list((tmp_path / "here").iterdir()) == []


def test_with_all_streams_closed_a_run_is_whole(photos, tmp_path):
    """The first files that are opened must not be taken for them."""
    command = f'"$0" -m headstart train "$1" --out "$2" {" ".join(FAST)} <&- >&- 2>&-'
    done = subprocess.run(
        ["sh", "-c", command, sys.executable, str(photos), str(tmp_path / "run")], timeout=120, check=False
    )

    assert done.returncode == 0
    assert (tmp_path / "run" / "report.html").exists()


def test_no_data_is_not_the_folder_one_is_in(tmp_path):
    """As where a variable is empty."""
    done = headstart("train", "", *FAST, cwd=tmp_path)

    assert done.returncode == 2
    assert "Received: ''" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_work_goes_on_when_nobody_reads_what_is_said_of_it(photos, tmp_path):
    command = f'"$0" -m headstart train "$1" --out "$2" {" ".join(FAST)} 2>&1 >/dev/null | head -n 1'
    subprocess.run(
        ["sh", "-c", command, sys.executable, str(photos), str(tmp_path / "run")], timeout=120, check=False,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip

    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "goes_on"),
    [
        (["train", "photos"], True),
        (["predict", "run", "photos", "--out=a.csv"], True),
        (["predict", "run", "photos"], False),
        (["explain", "run", "photos", "--out", "a"], False),
    ],
)
def test_an_interrupted_command_says_whether_it_goes_on(arguments, goes_on, capsys):
    assert _ended(signal.SIGINT, arguments) == 130

    said = "Interrupted. The same command goes on where it stopped." if goes_on else "Interrupted."
    assert capsys.readouterr().err == f"headstart: {said}\n"
