from __future__ import annotations

import base64
import json
from dataclasses import replace
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.report.pages import Page

from headstart.config import RunConfig
from headstart.data import ledger as ledgers
from headstart.data import manifest as manifests
from headstart.errors import InputError
from headstart.evaluation import evaluate
from headstart.evaluation.explain import Heatmaps
from headstart.evaluation.predictions import Predictions
from headstart.report.files import read
from headstart.report.render import render
from headstart.report.run.mistakes import mistakes
from headstart.report.run.training import training
from headstart.report.run.verdict import verdict
from headstart.rundir import RunDir, write_json, write_text


def make_run(root, wrong: int = 5, right: int = 15, names=("cat", "dog")) -> RunDir:
    """A run on real files: first the mistakes, all of the first class, then both classes in turn."""
    run, photos = RunDir(root / "my run"), root / "photos"
    photos.mkdir()
    rows: list[dict[str, object]] = []
    for i in range(wrong + right):
        label, path = names[int(i >= wrong and (i - wrong) % 2 == 0)], f"{i:03d}.png"
        Image.new("RGB", (320, 200), (i % 256, 90, 160)).save(photos / path)
        rows.append({"path": path, "label": label, "split": "test"})
    rows.append({"path": "train.png", "label": names[0], "split": "train"})
    manifest = manifests.from_rows(rows, photos)
    manifest.save(run.manifest)
    test = manifest.where("test")
    y = np.array([names.index(label) for label in test.table["label"]])
    called_second = (y == 1) | (np.arange(len(y)) < wrong)
    margin = np.linspace(3, 1, len(y)) * np.where(called_second, 1, -1)  # the first image is the surest
    logits = np.stack([np.zeros(len(y)), margin], axis=1).astype(np.float32)
    save_evaluation(run, Predictions(tuple(test.table["path"]), y, logits, names))
    heats = np.zeros((len(y), 2, 5, 7), np.uint8)
    heats[:, :, 0] = 255  # the uppermost row
    Heatmaps(np.arange(len(y), dtype=np.int32), heats).save(run.evaluation("test") / "heatmaps.safetensors")
    return run


def save_evaluation(run: RunDir, predictions: Predictions, split: str = "test") -> None:
    evaluate.write(run, split, predictions, 5)


def add_the_rest(run: RunDir) -> None:
    """The files that a run may lack."""
    rows = [
        ledgers.row(f"x{i:02d}.jpg", "truncated", "The file is truncated.", "left out") for i in range(30)
    ]
    ledgers.save(ledgers.table(rows), run.data_report)
    history = pd.DataFrame(
        {
            "phase": "lbfgs",
            "epoch": [0, 1, 2],
            "loss": [0.6, 0.3, 0.1],
            "accuracy": [0.7, 0.9, 1.0],
            "val_loss": [0.6, 0.4, 0.5],
            "val_accuracy": [0.7, 0.8, 0.8],
            "learning_rate": None,
            "seconds": 0.1,
            "C": [0.01, 0.1, 1.0],
        }
    )
    write_text(run.history, history.to_csv(index=False))
    certificate = {"images": 32, "engine": "ncnn", "precision": "float32", "version": "1", "passed": True}
    certificate |= {"top1_agreement": 1.0, "max_difference": 0.000413, "tolerance": 0.002}
    write_json(run.parity, certificate)
    write_json(
        run.run_json,
        {
            "format": 1,
            "command": ["headstart", "train", "my photos", "--seed", "3"],
            "config": RunConfig(seed=3).to_dict(),
            "versions": {"headstart": "0.1.0", "numpy": "2.4.6"},
            "hardware": {"cpu": "A processor", "cores": 2, "memory_gb": 16.5, "system": "Linux"},
            "dataset": {"data": "my photos", "fingerprint": "abc123", "images": 21, "classes": 2},
            "engine": {"name": "ncnn", "precision": "float32", "version": "1"},
            "head": {"solver": "lbfgs", "C": 0.1, "features": 2560},
            "seconds": {"prepare": 1.5, "features": 60.0, "head": 2.0, "parity": 10.0, "evaluate": 0.5},
            "finished": True,
        },
    )


def rendered(run: RunDir, split: str = "test") -> Page:
    render(run, split)
    return Page(run.report.read_text("utf-8"))


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> RunDir:
    run = make_run(tmp_path_factory.mktemp("run"))
    add_the_rest(run)
    return run


@pytest.fixture(scope="module")
def page(run) -> Page:
    return rendered(run)


def test_the_verdict_comes_first(page):
    # Wilson, 15 of 20: 53.1 to 88.8 %. 12 of 20 are cats.
    assert page.text().startswith(
        "75.0 % right · my run · headstart Skip to the findings my run · test images"
    )
    assert "75.0 % of 20 unseen images are right (95 % interval 53.1 to 88.8 %)." in page.text()
    assert "Always answering “cat” would be right for 60.0 %; the interval reaches down" in page.text()


def test_the_page_has_all_sections_in_order(page):
    order = (
        "findings numbers confusion mistakes classes calibration decisions training data ledger parity card"
        " provenance"
    )
    assert list(page.sections) == ["", *order.split()]
    links = [value for value in page.attributes("href") if value.startswith("#")]
    assert set(links) <= {f"#{name}" for name in page.attributes("id")}


def test_the_numbers_are_those_of_metrics_json(run, page):
    saved = json.loads((run.evaluation("test") / "metrics.json").read_text())
    shown = page.text("numbers")
    for name, label in (("balanced_accuracy", "Balanced accuracy"), ("macro_f1", "F1, macro")):
        assert label in shown
        metric = saved[name]
        assert f"{100 * metric['value']:.1f} %" in shown
        assert f"{100 * metric['low']:.1f} to {100 * metric['high']:.1f} %" in shown
    for name in ("roc_auc", "log_loss"):
        assert f"{saved[name]['value']:.3f} {saved[name]['low']:.3f} to {saved[name]['high']:.3f}" in shown


def test_confusion_and_classes_say_what_to_see(page):
    assert "Its most frequent mistake: 5 of 12 images of “cat” are taken for “dog” (41.7 %)" in page.text(
        "confusion"
    )
    assert "The weakest class by F1 is “cat” with 73.7 %" in page.text("classes")
    # dog: 8 of 13 answers are right, all 8 are found: F1 = 2·8 / (13 + 8). Each of them is less sure than
    # the 5 cats taken for dogs and surer than the other 7: AUC = 7/12. The i-th hit is the (5 + i)-th answer.
    ap = sum(i / (5 + i) for i in range(1, 9)) / 8
    assert f"dog 8 61.5 % too few 100.0 % too few 76.2 % 0.583 {ap:.3f}" in page.text("classes")


def test_cells_of_the_matrix_lead_to_their_images(page):
    cells = {a["data-cell"]: a for tag, a in page.tags if tag == "a" and "data-cell" in a}
    assert cells["cell-0-1"]["aria-label"].replace("\N{NO-BREAK SPACE}", " ") == (
        "5 images of cat taken for dog, 41.7 % of them"
    )
    cards = [a["data-cell"] for tag, a in page.tags if tag == "li" and "data-cell" in a]
    assert set(cells) <= set(cards)
    assert cards.count("cell-0-1") == 5


def test_training_names_the_choice(page):
    assert "for 3 strengths of regularisation. C = 0.1 has the lowest loss" in page.text("training")


def test_data_ledger_parity_and_provenance_are_told(page):
    assert "21 images in 2 classes. Fingerprint of the data: abc123." in page.text("data")
    assert "cat 1 0 12 13" in page.text("data")
    assert "all classes 1 0 20 21" in page.text("data")
    assert "30 files are left out, ignored or doubtful." in page.text("ledger")
    assert "left out truncated 30" in page.text("ledger")
    assert "x19.jpg" in page.text("ledger")
    assert "x20.jpg" not in page.text("ledger")
    assert "Passed. 32 held-out images" in page.text("parity")
    assert "a probability differs by 0.00041 at most, where 0.002 is allowed" in page.text("parity")
    provenance = page.text("provenance")
    assert "headstart train 'my photos' --seed 3" in provenance
    for words in ("--image-size 224", "--seed 3", "numpy 2.4.6", "A processor", "total 74.0"):
        assert words in provenance


def test_mistakes_are_shown_the_surest_first(page):
    cards = [a for tag, a in page.tags if tag == "li" and a.get("class", "").split()[:1] == ["card"]]
    assert [("right" in card["class"], "hidden" in card) for card in cards[:6]] == [(False, False)] * 5 + [
        (True, True)
    ]
    views = [a["aria-label"] for tag, a in page.tags if tag == "div" and a.get("class") == "view"]
    assert views[:3] == ["000.png", "What speaks for dog", "What speaks for cat"]
    assert views[3] == "001.png"
    assert "5 of 20 images are wrong." in page.text("mistakes")
    assert "dog 95.3 % truly cat 4.7 % 000.png" in page.text("mistakes")  # 1 / (1 + e⁻³) = 0.9526


def test_the_page_is_complete_in_itself(page):
    tags = {tag for tag, _ in page.tags}
    assert not tags & {
        "link",
        "iframe",
        "object",
        "embed",
        "form",
        "base",
        "foreignobject",
        "image",
    }
    for name in ("src", "href", "xlink:href", "action", "poster", "srcset", "data"):
        assert all(value.startswith(("#", "data:image/")) for value in page.attributes(name)), name
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert [tag for tag, _ in page.tags].count("script") == 1  # our own, by its hash
    policy = next(a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a)
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")


def test_the_page_names_no_address_at_all(run, page):
    assert page
    html = run.report.read_text("utf-8")
    for scheme in ("http:", "https:", "//", "@import", "file:"):
        script = html[html.index("<script>") :]
        outside = html.replace(script, "" if scheme == "//" else script)  # its comments
        shown = [line for line in outside.splitlines() if scheme in line and "data:image/" not in line]
        assert shown == [], scheme


def test_the_page_can_be_read_by_machine_and_ear(page):
    assert page.open == []  # every tag is closed, in order
    ids = list(page.attributes("id"))
    assert len(ids) == len(set(ids))
    assert all(name in ids for name in page.attributes("aria-labelledby"))
    assert [tag for tag, _ in page.tags if tag in ("h1", "h2")] == ["h1"] + ["h2"] * 13
    assert all(attributes.get("aria-label") for tag, attributes in page.tags if tag == "svg")
    scrolled = [attributes for _, attributes in page.tags if attributes.get("class") == "scroll"]
    assert all(attributes["tabindex"] == "0" and attributes["aria-label"] for attributes in scrolled)


def test_figures_are_files_too(run, page):
    assert page
    folder = run.evaluation("test") / "figures"
    assert sorted(path.name for path in folder.iterdir()) == [
        "accuracy.svg", "class_counts.svg", "confusion.svg", "loss.svg", "per_class.svg",
        "precision_recall.svg", "reliability.svg", "risk_coverage.svg", "roc.svg",
    ]  # fmt: skip


def test_the_same_run_gives_the_same_bytes(run, page):
    assert page
    before = run.report.read_bytes()
    render(run)
    assert run.report.read_bytes() == before


def test_what_a_run_lacks_is_said_in_words(tmp_path):
    run = make_run(tmp_path)
    run.manifest.unlink()
    page = rendered(run)
    assert "no history" in page.text("training")
    assert "no manifest" in page.text("data")
    assert "no ledger" in page.text("ledger")
    assert "no parity certificate" in page.text("parity")
    assert "no run.json" in page.text("provenance")
    assert "The image is not there any more." in page.text("mistakes")
    assert "75.0 % of 20 unseen images" in page.text()


def test_a_clean_run_says_so(tmp_path):
    run = make_run(tmp_path, wrong=1, right=1)
    said = Predictions(("000.png", "001.png"), np.array([0, 1]), np.eye(2, dtype=np.float32), ("cat", "dog"))
    save_evaluation(run, said)
    ledgers.save(ledgers.table([]), run.data_report)
    page = rendered(run)
    assert "There is none among these images." in page.text("mistakes")
    assert "Every file was used, and none is doubtful." in page.text("ledger")
    assert "100.0 % of 2 unseen images are right. Always answering “cat”" in page.text()
    assert "fewer than 20 images are too few to say which is better" in page.text()
    assert "too few to say (below 20)" in page.text("numbers")


def test_of_many_mistakes_twenty_a_class_are_shown(tmp_path):
    section = mistakes(read(make_run(tmp_path, wrong=70, right=1)))
    wrong = [card.path for card in section.cards if not card.right]
    assert wrong == [f"{i:03d}.png" for i in range(20)]
    assert section.caption.startswith(
        "70 of 71 images are wrong. Shown are the 20 the model was surest of, at most 20 of a class and 300"
        " in all; 50 are left out."
    )


def test_cards_show_what_the_network_sees(tmp_path):
    """A picture of 320 by 200 in a square, with bars above and below; the heat lies over it."""
    card = mistakes(read(make_run(tmp_path))).cards[0]
    picture = Image.open(BytesIO(base64.b64decode(card.src.removeprefix("data:image/jpeg;base64,"))))
    assert picture.size == (160, 160)
    corner = np.asarray(picture)[4, 80].astype(int)
    assert np.abs(corner - np.asarray(picture)[80, 80]).max() > 30
    heats = [Image.open(BytesIO(base64.b64decode(heat.partition(",")[2]))) for heat in card.heats]
    assert [(heat.mode, heat.size) for heat in heats] == [("RGBA", (7, 5))] * 2
    assert np.asarray(heats[0])[..., 3].tolist() == [[205] * 7] + [[0] * 7] * 4


def test_a_crop_shows_what_the_network_saw(tmp_path):
    """An image of the network's own size is not cropped; at the page's size its border would be."""
    run = make_run(tmp_path)
    pixels = np.zeros((224, 224, 3), np.uint8)
    pixels[:8] = 255
    for place in (tmp_path / "photos").iterdir():
        Image.fromarray(pixels).save(place)
    files = replace(read(run), info={"config": {"data": {"fit": "crop", "image_size": 224}}})
    card = mistakes(files).cards[0]
    picture = Image.open(BytesIO(base64.b64decode(card.src.removeprefix("data:image/jpeg;base64,"))))
    assert picture.size == (160, 160)
    assert np.asarray(picture)[:3].min() > 200  # the white band is 5.7 rows high here
    assert np.asarray(picture)[10:].max() < 50


def test_an_image_that_cannot_be_read_any_more_is_said(tmp_path):
    run = make_run(tmp_path)
    (tmp_path / "photos" / "000.png").unlink()
    (tmp_path / "photos" / "001.png").write_text("no image")
    page = rendered(run)
    assert page.text("mistakes").count("The image is not there any more.") == 2


def test_hostile_names_are_shown_and_never_obeyed(tmp_path):
    hostile = (
        "</title><script>alert(1)</script>",
        "=cmd()|'/C calc'!A0",
        "$x_1$",
        "{{ 7 * 7 }}",
        "صورة",
        "a\u202e\x1b\n",
        "z" * 80,
        "~",
    )
    run = make_run(tmp_path)
    add_the_rest(run)
    paths = tuple(f"{i:03d}<b>.png" for i in range(8))
    logits = np.zeros((8, 8), np.float32)
    logits[:, 7] = 1  # all are called ~
    save_evaluation(run, Predictions(paths, np.arange(8), logits, hostile))
    run.manifest.unlink()  # it has other classes
    page = rendered(run)
    assert [tag for tag, _ in page.tags].count("script") == 1
    for i, name in enumerate(hostile[:7]):
        shown = name.replace("\u202e", "\\u202e").replace("\x1b", "\\x1b").replace("\n", "\\n")
        assert f"{shown} 1 0.0 % too few 0.0 % too few 0.0 %" in page.text("classes")
        assert f"truly {shown} 10.3 % 00{i}<b>.png" in page.text("mistakes")  # 1 / (7 + e)


def test_keras_epochs_are_told(tmp_path):
    run = make_run(tmp_path)
    add_the_rest(run)
    history = pd.read_csv(run.history).drop(columns="C").assign(phase="head")
    write_text(run.history, history.to_csv(index=False))
    info = json.loads(run.run_json.read_text())
    write_json(run.run_json, info | {"head": {"solver": "keras", "epoch": 1.0, "features": 2560}})
    section = training(read(run))
    assert "for 2 epochs; the weights are those of epoch 1." in section.caption
    assert [drawing.name for drawing in section.figures] == ["loss", "accuracy"]


def test_a_model_that_beats_one_answer_for_all_is_said_to(tmp_path):
    # Wilson, 20 of 20: 83.9 to 100 %; half are dogs.
    files = read(make_run(tmp_path, wrong=0, right=20))
    assert verdict(files).baseline.endswith(
        "for 50.0\N{NO-BREAK SPACE}%; the whole interval lies above that."
    )


def test_a_class_without_images_is_told(tmp_path):
    run = make_run(tmp_path)
    y = np.zeros(3, np.int64)
    said = Predictions(("000.png", "001.png", "002.png"), y, np.eye(3, 2, dtype=np.float32), ("cat", "dog"))
    save_evaluation(run, said)
    page = rendered(run)
    assert "There is no ROC AUC, as a class has no image here." in page.text("numbers")
    assert "dog 0 0.0 % too few 0.0 % too few 0.0 % – –" in page.text("classes")


def test_another_split_is_not_called_unseen(tmp_path):
    run = make_run(tmp_path)
    said = Predictions(("000.png",), np.array([0]), np.array([[1.0, 0.0]], np.float32), ("cat", "dog"))
    save_evaluation(run, said, "val")
    text = rendered(run, "val").text()
    assert "of 1 validation image is right" in text
    assert "the numbers flatter a little" in text


def test_a_run_without_an_evaluation_is_refused(tmp_path):
    with pytest.raises(InputError, match="There is no evaluation of test"):
        render(RunDir(tmp_path))


def test_a_damaged_file_of_the_run_is_named(tmp_path):
    run = make_run(tmp_path)
    write_text(run.run_json, "{")
    with pytest.raises(InputError, match=r"run\.json"):
        render(run)


def test_the_report_agrees_with_the_predictions(run, page):
    table = pd.read_parquet(run.evaluation("test") / "predictions.parquet")
    assert f"{100 * table['correct'].mean():.1f} % of {len(table)} unseen" in page.text()
    counts = pd.crosstab(table["label"], table["predicted"]).reindex(columns=["cat", "dog"], fill_value=0)
    saved = pd.read_csv(run.evaluation("test") / "confusion.csv", index_col=0)
    assert saved.to_numpy().tolist() == counts.to_numpy().tolist()
