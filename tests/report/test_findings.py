"""Each finding on files in which it must speak, on files in which it must not, and where it cannot."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from headstart.data import ledger as ledgers
from headstart.data import manifest as manifests
from headstart.evaluation.explain import Heatmaps
from headstart.evaluation.metrics import evaluate
from headstart.evaluation.predictions import Predictions, Surroundings
from headstart.inference.decision import Rule
from headstart.report import findings as found
from headstart.report.files import RunFiles
from headstart.report.run.numbers import classes, numbers
from headstart.report.run.verdict import verdict
from headstart.report.wording import quoted
from headstart.rundir import RunDir

DOCS = Path(__file__).parents[2] / "docs" / "findings.md"


def said(n: int = 400, right: float = 0.9, sure: float | None = None, seed: int = 0) -> Predictions:
    """Two classes in turn, answered rightly in a share of cases, with honest confidence unless told."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    answer = np.where(rng.random(n) < right, y, 1 - y)
    p = right if sure is None else sure
    logits = np.zeros((n, 2), np.float32)
    logits[np.arange(n), answer] = np.log(p / (1 - p))
    around = Surroundings(
        np.ones(n), ("t.png",) * n, tuple("ab"[i] for i in rng.integers(2, size=n)), np.full(n, 0.9)
    )
    paths = tuple(f"{i:05d}.png" for i in range(n))
    return Predictions(paths, y, logits, ("a", "b"), rule=Rule(distance=2.0), around=around)


def files(predictions: Predictions | None = None, **parts) -> RunFiles:
    """Files of a run in which nothing calls for attention."""
    predictions = predictions or said()
    rows = [{"path": path, "label": "ab"[i % 2], "split": "test"} for i, path in enumerate(predictions.paths)]
    rows += [{"path": f"t{i}.png", "label": "ab"[i % 2], "split": "train"} for i in range(100)]
    rows += [{"path": f"v{i}.png", "label": "ab"[i % 2], "split": "val"} for i in range(400)]
    history = {"phase": "lbfgs", "epoch": [0, 1], "C": [0.1, 1.0], "val_loss": [0.3, 0.5]}
    history |= {"accuracy": [0.92, 1.0], "val_accuracy": [0.89, 0.99]}
    middle = np.zeros((60, 2, 8, 8), np.uint8)
    middle[:, :, 3:5, 3:5] = 255
    plain = {
        "run": RunDir(Path("nowhere")),
        "split": "test",
        "info": {"head": {"C": 0.1}, "config": {"training": {"class_weight": "none"}}},
        "evaluation": evaluate(predictions),
        "predictions": predictions,
        "manifest": manifests.from_rows(rows, Path()),
        "ledger": ledgers.table([]),
        "history": pd.DataFrame(history),
        "parity": {"passed": True, "images": 32, "max_difference": 0.0004, "tolerance": 0.002},
        "heatmaps": Heatmaps(np.arange(60, dtype=np.int32), middle),
        "validation": said(),
    }
    return RunFiles(**(plain | parts))


def skewed() -> manifests.Manifest:
    rows = [{"path": f"{i}.png", "label": "a" if i < 90 else "b", "split": "train"} for i in range(100)]
    rows += [{"path": f"x{c}.png", "label": c, "split": "test"} for c in "ab"]
    return manifests.from_rows(rows, Path())


def weak() -> Predictions:
    """b is found in 6 of 10 cases, a always."""
    one = said(right=0.999999)
    logits = one.logits.copy()
    flipped = np.flatnonzero(one.y_true == 1)[::5]
    flipped = np.union1d(flipped, np.flatnonzero(one.y_true == 1)[1::5])
    logits[flipped] = logits[flipped][:, ::-1]
    return replace(one, logits=logits)


def surrounded(**columns) -> Predictions:
    one = said()
    assert one.around
    return replace(one, around=replace(one.around, **columns))


def on_the_border() -> Heatmaps:
    heats = np.zeros((60, 2, 8, 8), np.uint8)
    heats[:, :, 0] = 255
    return Heatmaps(np.arange(60, dtype=np.int32), heats)


def lost(count: int) -> pd.DataFrame:
    return ledgers.table([ledgers.row(f"x{i}", "truncated", "cut", "left out") for i in range(count)])


SPEAKS = {
    "HS001": lambda: files(said(100)),
    "HS002": lambda: files(said(right=0.52)),
    "HS003": lambda: files(surrounded(label=tuple("ab"[i % 2] for i in range(400)))),
    "HS004": lambda: files(info={"head": {"C": 1.0}}, predictions=said(right=0.8)),
    "HS005": lambda: files(surrounded(similarity=np.r_[0.99999, np.full(399, 0.9)])),
    "HS006": lambda: files(manifest=skewed()),
    "HS007": lambda: files(said(right=0.85, sure=0.99)),
    "HS008": lambda: files(heatmaps=on_the_border()),
    "HS009": lambda: files(weak()),
    "HS010": lambda: files(surrounded(distance=np.r_[np.full(60, 9.0), np.ones(340)])),
    "HS011": lambda: files(said(sure=0.97)),
    "HS012": lambda: files(info={"head": {"C": 1.0}}),
    "HS013": lambda: files(ledger=lost(60)),
    "HS014": lambda: files(parity={"passed": False, "images": 32, "max_difference": 0.3, "tolerance": 0.002}),
}

CANNOT = {
    "HS002": lambda: files(said(10)),
    "HS003": lambda: files(replace(said(), around=None)),
    "HS004": lambda: files(history=None),
    "HS005": lambda: files(replace(said(), around=None)),
    "HS006": lambda: files(manifest=None),
    "HS007": lambda: files(said(10)),
    "HS008": lambda: files(heatmaps=None),
    "HS009": lambda: files(said(30)),
    "HS010": lambda: files(replace(said(), rule=Rule())),
    "HS012": lambda: files(validation=None),
    "HS013": lambda: files(ledger=None),
    "HS014": lambda: files(parity=None),
}


def by_code(run: RunFiles) -> dict[str, found.Finding]:
    return {one.code: one for one in found.findings(run)}


def test_a_good_run_has_nothing_to_look_at():
    assert {code: one for code, one in by_code(files()).items() if one.state != "fine"} == {}


@pytest.mark.parametrize("code", SPEAKS)
def test_it_speaks_where_it_must(code):
    one = by_code(SPEAKS[code]())[code]
    assert one.state == "attention"
    assert re.search(r"\d", one.sentence)


@pytest.mark.parametrize("code", CANNOT)
def test_it_says_why_it_cannot_tell(code):
    one = by_code(CANNOT[code]())[code]
    assert one.state == "not applicable"
    assert one.sentence.startswith("Not applicable: ")


def test_what_calls_for_attention_comes_first():
    states = [one.state for one in found.findings(SPEAKS["HS014"]())]
    assert states[0] == "attention"
    assert "attention" not in states[states.index("fine") :]


def test_sentences_have_their_numbers():
    few = by_code(SPEAKS["HS001"]())["HS001"].sentence
    accuracy = evaluate(said(100)).headline["accuracy"]
    assert f"{100 * (accuracy.high - accuracy.low):.1f} points" in few
    assert "“b” has 10 training images, “a” 90" in re.sub(
        "[\u2068\u2069]", "", by_code(SPEAKS["HS006"]())["HS006"].sentence
    )
    border = by_code(SPEAKS["HS008"]())["HS008"].sentence
    assert border.startswith("100.0\N{NO-BREAK SPACE}% of the heat")
    assert "60 files of 960" in by_code(SPEAKS["HS013"]())["HS013"].sentence


def test_one_group_alone_is_not_called_too_few_images():
    alone = files(replace(said(), groups=("one site",) * 400))
    assert "All 400 images are of one group" in by_code(alone)["HS001"].sentence
    assert "groups" in by_code(alone)["HS012"].sentence
    assert "one group of images alone cannot show" in verdict(alone).baseline
    assert {bar.interval for bar in numbers(alone).bars} == {"one group alone"}
    few = files(said(10))
    assert "from 20 on there is an interval" in by_code(few)["HS001"].sentence
    assert {bar.interval for bar in numbers(few).bars} == {"too few to say (below 20)"}


def test_where_every_class_has_as_many_none_is_called_rare():
    rows = [{"path": f"{kind}{i}.png", "label": kind, "split": "train"} for kind in "ab" for i in range(30)]
    even = files(manifest=manifests.from_rows(rows, Path()))
    assert by_code(even)["HS006"].sentence == "Every class has 30 training images."


def test_a_lead_over_the_nearest_must_be_more_than_chance():
    """Of 400 images 360 or so right, and the nearest right in 4 fewer: that may be chance."""
    one = said()
    truth = np.array([one.class_names[i] for i in one.y_true])
    nearest = np.where(one.right, truth, "?")
    nearest[np.flatnonzero(one.right)[:4]] = "?"
    close = by_code(files(surrounded(label=tuple(nearest))))["HS003"]
    nearest[np.flatnonzero(one.right)[4:8]] = "?"
    far = by_code(files(surrounded(label=tuple(nearest))))["HS003"]
    assert (close.state, far.state) == ("attention", "fine")  # 2 · ½⁴ − ½⁴ = 0.0625 and 0.0039


def test_sure_answers_against_the_label_are_named_though_no_neighbour_agrees():
    sure = said(sure=0.97)
    away = replace(sure, around=replace(sure.around, label=("?",) * len(sure)))
    one = by_code(files(away))["HS011"]
    assert (one.state, one.sentence.split()[0]) == ("fine", str((~sure.right).sum()))


def test_as_many_sure_mistakes_as_such_confidences_announce_are_no_wrong_labels():
    """Of answers at 96 % one in 25 is wrong, whoever has labelled them."""
    honest = by_code(files(said(2000, right=0.96, sure=0.96)))["HS011"]
    doubtful = by_code(files(said(2000, right=0.9, sure=0.96)))["HS011"]
    assert (honest.state, doubtful.state) == ("fine", "attention")
    assert re.match(r"\d+ images got .* by such confidences some \d+\.\d would be wrong", honest.sentence)


def test_a_rare_class_that_is_not_among_the_images_has_no_recall():
    rare = replace(said(), class_names=("a", "b", "c"), logits=np.pad(said().logits, ((0, 0), (0, 1))) - 9)
    rows = [{"path": f"{i}.png", "label": "a" if i < 90 else "c", "split": "train"} for i in range(100)]
    rows += [{"path": "b.png", "label": "b", "split": "train"}]
    run = files(replace(rare, around=None), manifest=manifests.from_rows(rows, Path()))
    table = run.evaluation.per_class.set_index("class")
    assert table["n"]["c"] == 0
    assert found._found(table, "c") == f"none of {quoted('c')} is among these images"
    assert "“c”" not in re.sub("[\u2068\u2069]", "", classes(run).caption)  # which names the weakest


def test_of_many_classes_chance_alone_leaves_none_behind():
    """300 alike, 20 images each of which half are found: one of them has 3."""
    rng = np.random.default_rng(8)
    y = np.repeat(np.arange(300), 20)
    answer = np.where(rng.random(6000) < 0.5, y, (y + 1) % 300)
    logits = np.zeros((6000, 300), np.float32)
    logits[np.arange(6000), answer] = 3
    paths = tuple(f"{i:04d}" for i in range(6000))
    many = Predictions(paths, y, logits, tuple(f"{c:03d}" for c in range(300)))
    assert (evaluate(many).per_class["recall_high"] < 0.4).any()  # one by one they would be called weak
    assert by_code(files(many))["HS009"].state == "fine"


def test_a_folder_that_was_left_out_calls_for_attention():
    rows = [ledgers.row("dogs/", "linked-folder", "a link", "left out")]
    rows += [ledgers.row("cats/", "empty-class", "nothing", "left out")]
    one = by_code(files(ledger=ledgers.table(rows)))["HS013"]
    assert one.state == "attention"
    assert one.sentence.startswith("1 folder with all in it, and of the rest 0 files of 900 were left out")


def test_validation_a_little_better_is_chance():
    """94 % of 400 beside 90 % of 400: 4 points, where chance may give 3.9; 93 % is within it."""
    accuracy = evaluate(said()).headline["accuracy"].value
    history = files().history
    states = []
    for lead in (0.03, 0.06):
        changed = history.assign(val_accuracy=accuracy + lead)
        states.append(by_code(files(history=changed))["HS012"].state)
    assert states == ["fine", "attention"]


def test_answers_by_costs_are_not_judged_by_what_is_most_probable():
    costly = files(replace(said(), rule=Rule(distance=2.0, costs=((1, 0, 1000.0),))))
    assert "least expected cost" in verdict(costly).baseline
    for code in ("HS002", "HS003", "HS004", "HS012"):
        assert by_code(costly)[code].state == "not applicable"
        assert "least expected cost" in by_code(costly)[code].sentence


def test_a_head_that_was_kept_has_no_accuracy_in_training():
    history = pd.DataFrame(
        {
            "phase": "top",
            "epoch": [0, 1],
            "val_loss": [0.3, 0.5],
            "accuracy": [None, 1.0],
            "val_accuracy": 0.9,
        }
    )
    kept = files(history=history, info={"head": {"epoch": 0.0}, "config": {"training": {}}})
    assert by_code(kept)["HS004"].state == "not applicable"
    assert "nan" not in by_code(kept)["HS004"].sentence


def test_every_finding_is_documented_once():
    codes = [one.__doc__.partition(":")[0] for one in found.CHECKS]
    assert codes == [f"HS{i:03d}" for i in range(1, len(codes) + 1)]
    assert re.findall(r"^## (HS\d{3}) ", DOCS.read_text("utf-8"), re.MULTILINE) == codes
    assert sorted(by_code(files())) == codes
    assert set(SPEAKS) == set(codes)
