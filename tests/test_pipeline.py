"""The whole line on real images with true weights: the demo itself, on 240 of its solar cells."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw, ImageFont
from sklearn.datasets import load_sample_images
from sklearn.metrics import roc_auc_score
from tests.report.browser import chromium, needs_chromium
from tests.serving.browsing import WINDOWS, choose, opened
from tests.serving.running import served

import headstart as hs
from headstart import pipeline, stages
from headstart.cli.demo import demo
from headstart.data.sources import elpv
from headstart.errors import InputError
from headstart.inference import bundle
from headstart.rundir import RunDir

EVERY = 11  # of 2,624 cells: 239, in the proportions of the whole


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The demo's run on 239 cells, and what it printed."""
    out = tmp_path_factory.mktemp("runs") / "demo"
    labels = elpv.read_labels().iloc[::EVERY]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(elpv, "read_labels", lambda: labels)
        demo(out=out)
    return RunDir(out)


def test_the_demo_learns(run):
    """Better than always saying "sound", by more than chance would give in one of twenty tries."""
    metrics = json.loads((run.evaluation("test") / "metrics.json").read_text())
    confusion = pd.read_csv(run.evaluation("test") / "confusion.csv", index_col=0).to_numpy()

    assert metrics["accuracy"]["n"] == confusion.sum() == 36
    assert metrics["accuracy"]["value"] == pytest.approx(np.trace(confusion) / 36)
    assert metrics["roc_auc"]["low"] > 0.5
    assert metrics["accuracy"]["value"] > confusion.sum(axis=1).max() / 36


def test_the_saved_model_answers_as_keras_does(run):
    certificate = json.loads(run.parity.read_text())

    assert certificate["passed"] is True
    assert certificate["images"] == 32
    assert certificate["max_difference"] <= certificate["tolerance"]


def test_golden_answers_are_given_again_by_every_engine(run):
    """The bundle alone, with each engine, from the raw files in it."""
    from headstart.engines import ENGINES, TOLERANCE

    golden = bundle.load(run.model).golden()
    for name, spec in ENGINES.items():
        answers = hs.load(run, engine=name).predict(golden.images)
        found = np.array([list(answer.probabilities.values()) for answer in answers])
        assert np.abs(found - np.array(golden.probabilities)).max() <= TOLERANCE[spec.precision], name


def test_predictions_agree_with_the_saved_table(run):
    """Test images through the bundle from their files: the same probabilities as in predictions.parquet."""
    table = pd.read_parquet(run.evaluation("test") / "predictions.parquet")
    root = elpv.folder()

    answers = hs.load(run.root).predict([root / path for path in table["path"][:8]])

    for answer, row in zip(answers, table.itertuples(), strict=False):
        assert answer.label == row.predicted
        np.testing.assert_allclose(list(answer.probabilities.values()), row.probabilities, rtol=1e-4)


def test_the_reference_holds_the_training_images(run):
    reference = bundle.load(run.model).reference()
    table = pd.read_parquet(run.manifest).query("split == 'train'")

    assert reference.paths == tuple(table["path"])
    assert [row.tobytes().hex() for row in reference.sha256] == list(table["sha256"])
    assert reference.embeddings.shape == (len(table), 512)
    np.testing.assert_allclose(reference.embeddings.mean(axis=0), reference.mean, rtol=0.01, atol=0.05)


def test_pictures_of_something_else_are_called_unfamiliar(run):
    """Photographs, noise and pages of text beside the cells; `make bench-unfamiliar` asks 180 of them."""
    rng = np.random.default_rng(0)
    strange = [
        photograph[:300, i : i + 300] for photograph in load_sample_images().images for i in (0, 150, 300)
    ]
    strange += [rng.integers(0, 256, (300, 300), dtype=np.uint8) for _ in range(3)]
    strange += [np.full((300, 300), level, np.uint8) for level in (0, 128, 255)]
    for size in (12, 20, 30):
        page = Image.new("L", (300, 300), 255)
        words = "\n".join(["Words of a page that is no solar cell"] * 20)
        ImageDraw.Draw(page).text((5, 5), words, font=ImageFont.load_default(size))
        strange.append(np.asarray(page))
    answers = hs.load(run).predict(strange)
    own = pd.read_parquet(run.evaluation("test") / "predictions.parquet")

    distances = np.r_[own["distance"], [answer.distance for answer in answers]]
    assert roc_auc_score(np.arange(len(distances)) >= len(own), distances) >= 0.99
    assert [answer.decision for answer in answers].count("unfamiliar") >= 0.9 * len(strange)
    assert (own["decision"] == "unfamiliar").mean() <= 0.05


@needs_chromium
@WINDOWS
def test_the_page_answers_for_real_cells(run, tmp_path, settings):
    """Three cells of the test split: what the report says of them, why, and a correction that is found."""
    table = pd.read_parquet(run.evaluation("test") / "predictions.parquet").iloc[:3]
    files = [elpv.folder() / path for path in table["path"]]
    history = ("--history", str(tmp_path / "history"))
    with served(run.root, *history) as (port, _), chromium() as browser:
        page = opened(browser, f"http://localhost:{port}/", **settings)
        choose(page, *files)

        assert page.locator(".answer h2").all_inner_texts() == list(table["predicted"])
        for answer, row in zip(page.locator(".answer").all(), table.itertuples(), strict=True):
            shown = float(answer.locator(".bars .value").first.inner_text().removesuffix(" %"))
            assert shown == pytest.approx(100 * max(row.probabilities), abs=0.06)
        page.locator(".why").first.click()
        page.wait_for_selector(".explained")
        assert page.locator(".near img").count() == 5
        assert page.locator(".heat img").last.evaluate("image => image.naturalWidth") > 0
        page.get_by_text("Wrong?").first.click()
        right = page.locator(".wrong button").first.inner_text()
        page.locator(".wrong button").first.click()
        page.wait_for_selector(".corrected")
        page.goto(f"http://localhost:{port}/history?corrected=yes")
        (row,) = page.locator("tbody tr").all()
        assert [cell.inner_text() for cell in row.locator("td").all()][-1] == right
        assert files[0].name in row.inner_text()
        assert page.said == []


@pytest.fixture
def trained(tmp_path):
    """Trains a small network on 24 drawn images of three classes: name of a run → the run."""
    for i in range(24):
        colour = [(200, 0, 0), (0, 200, 0), (0, 0, 200)][i % 3]
        folder = tmp_path / "data" / f"class {i % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), tuple(c + i for c in colour)).save(folder / f"{i}.png")
    options = {"backbone": "vgg-tiny", "image_size": 32, "engine": "ncnn", "top_k": 2}
    return lambda name: hs.train(tmp_path / "data", tmp_path / name, **options)


def test_the_features_are_those_of_the_cache(trained, monkeypatch):
    """A second training opens no engine for features: only the parity check computes."""
    from headstart.training import features

    run = trained("run")
    monkeypatch.setattr(features, "open_engine", lambda *_: pytest.fail("an engine was opened"))

    again = trained("again")

    first, second = (bundle.load(r.model).folder / bundle.MANIFEST for r in (run, again))
    assert first.read_bytes() == second.read_bytes()


def test_a_config_and_options_are_the_same(tmp_path):
    from headstart.config import RunConfig

    by_option = RunConfig.from_options(fit="crop", seed=7)
    by_config = replace(RunConfig(seed=7), data=replace(RunConfig().data, fit="crop"))

    assert by_option == by_config
    with pytest.raises(InputError, match="There is no option fits"):
        hs.train(tmp_path, fits="crop")


def test_a_report_that_a_finished_run_lacks_is_made_again(trained, monkeypatch):
    """Killed before it, or an evaluation by other options was: the model stays, and the rule that it got."""

    def killed(*_):
        raise KeyboardInterrupt

    run = trained("run")
    with monkeypatch.context() as patch:
        patch.setattr(stages, "assess", killed)
        with pytest.raises(KeyboardInterrupt):
            hs.evaluate(run, cost=("class 0:class 1=5",))
    kept = (run.run_json, run.model / bundle.MANIFEST)
    before = [path.read_bytes() for path in kept]
    assert not run.report.exists()

    trained("run")

    assert [path.read_bytes() for path in kept] == before
    assert bundle.load(run.model).spec.rule.costs == ((0, 1, 5.0),)
    assert "class 0:class 1=5" in run.report.read_text()


def test_a_bundle_is_not_taken_for_a_run(run):
    with pytest.raises(InputError, match="This is a bundle, not a run"):
        hs.evaluate(run.model)
    bundle.load(run.model)  # as whole as before


def test_an_evaluation_waits_for_no_other(trained):
    """Its numbers and the rule that another gives the model would not belong together."""
    from headstart import resume

    run = trained("run")
    before = (run.evaluation("test") / "metrics.json").stat()
    with resume.locked(run.root):
        for data in (None, run.root.parent / "data"):
            with pytest.raises(InputError, match="Another command is writing there"):
                hs.evaluate(run, data)
    assert (run.evaluation("test") / "metrics.json").stat() == before
    with pytest.raises(InputError, match="There is no trained model here"):
        hs.evaluate(run.root.parent / "nowhere")
    assert not (run.root.parent / "nowhere").exists()
    assert hs.load(run, "auto").engine_name == "ncnn"
    hs.evaluate(run, engine="auto")


def test_all_evaluations_follow_another_rule(trained):
    """Those of other images and engines, too: compared with another run they would mix two rules."""
    from headstart.evaluation.predictions import load

    run = trained("run")
    hs.evaluate(run, run.root.parent / "data")
    hs.evaluate(run, engine="openvino")

    hs.evaluate(run, cost=("class 0:class 1=5",))

    for split in ("val", "test", "test-openvino", "data"):
        assert load(run.evaluation(split) / "predictions.parquet").rule.costs == ((0, 1, 5.0),), split


def test_groups_count_with_other_images_too(trained, tmp_path, capsys):
    """By the pattern that the run was told; where nothing fits it, that is said."""
    from headstart.evaluation.predictions import load
    from headstart.progress import shown

    trained("plain")
    options = {"backbone": "vgg-tiny", "image_size": 32, "engine": "ncnn", "group_regex": r"/(\d+)\.png"}
    run = hs.train(tmp_path / "data", tmp_path / "grouped", **options)
    for name in ("else 7.png", "else 8.png"):
        for kind in ("class 0", "class 1"):
            for folder in ("there", "elsewhere"):
                place = tmp_path / folder / kind / (name if folder == "elsewhere" else name.split()[1])
                place.parent.mkdir(parents=True, exist_ok=True)
                noise = np.random.default_rng([ord(letter) for letter in str(place)]).integers(
                    0, 256, (32, 32, 3)
                )
                Image.fromarray(noise.astype(np.uint8)).save(place)

    hs.evaluate(run, tmp_path / "there")
    with shown():
        hs.evaluate(run, tmp_path / "elsewhere")

    assert load(run.evaluation("there") / "predictions.parquet").grouped.tolist() == [0, 1, 0, 1]
    assert load(run.evaluation("elsewhere") / "predictions.parquet").grouped is None
    assert "no path here fits the run's --group-regex" in capsys.readouterr().err


def test_a_name_that_no_bundle_holds_is_refused_before_the_work(tmp_path):
    for i in range(24):
        Image.new("RGB", (32, 32), (10 * i, 0, 0)).save(tmp_path / f"{i}.png")
    rows = [f"{i}.png,{'x' * (256 if i % 2 else 1)}" for i in range(24)]
    (tmp_path / "table.csv").write_text("path,label\n" + "\n".join(rows))

    with pytest.raises(InputError, match=r"name of a class is too long.*255 letters.*256 letters"):
        hs.train(tmp_path / "table.csv", tmp_path / "run", backbone="vgg-tiny", image_size=32, engine="ncnn")
    assert not (tmp_path / "run" / "history.csv").exists()


def test_another_engine_leaves_the_run_s_own_numbers_alone(trained):
    run = trained("run")
    before = {path: path.read_bytes() for path in (run.evaluation("test") / "metrics.json", run.report)}

    hs.evaluate(run, engine="openvino")

    assert {path: path.read_bytes() for path in before} == before
    assert (run.evaluation("test-openvino") / "metrics.json").exists()
    assert hs.compare([run, run], split="test-openvino")


def test_an_unfinished_run_is_not_evaluated(trained):
    """Taken over by force and killed, its model has seen what are test images by now."""
    run = trained("run")
    facts = json.loads(run.run_json.read_text())
    run.run_json.write_text(json.dumps(facts | {"finished": False}))

    for verb in (hs.evaluate, pipeline.quantize):
        with pytest.raises(InputError, match="This run is not finished"):
            verb(run)


def test_top_k_is_obeyed_while_training(trained):
    """Three classes and k = 2: the number is there, and evaluating again changes nothing."""
    run = trained("run")

    before = json.loads((run.evaluation("test") / "metrics.json").read_text())
    assert before["top_2_accuracy"]["n"] == 3
    assert set(hs.evaluate(run).headline) == set(before)


def test_two_commands_do_not_write_one_run(tmp_path):
    from headstart import resume

    lock = resume.locked(tmp_path)
    with lock, pytest.raises(InputError, match="Another command"), resume.locked(tmp_path):
        pass
