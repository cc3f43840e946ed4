"""The predictions, the metrics, the confusion matrix and the page say the same, to the last digit."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk
from tests.report.pages import Page
from tests.report.test_render import add_the_rest, make_run

from headstart.report.render import render


@pytest.fixture(scope="module")
def agreed(tmp_path_factory):
    """(predictions, metrics.json, confusion.csv, per_class.csv, the page)."""
    run = make_run(tmp_path_factory.mktemp("agreed"), wrong=9, right=31)
    add_the_rest(run)
    render(run)
    folder = run.evaluation("test")
    return (
        pd.read_parquet(folder / "predictions.parquet"),
        json.loads((folder / "metrics.json").read_text("utf-8")),
        pd.read_csv(folder / "confusion.csv", index_col=0),
        pd.read_csv(folder / "per_class.csv"),
        run.report.read_text("utf-8"),
    )


def test_metrics_follow_from_the_predictions(agreed):
    table, numbers, *_ = agreed
    y, answer = table["label"] == "dog", table["predicted"] == "dog"
    p = np.array(table["probabilities"].tolist())[:, 1]
    expected = {
        "accuracy": (y == answer).mean(),
        "balanced_accuracy": sk.balanced_accuracy_score(y, answer),
        "macro_f1": sk.f1_score(y, answer, average="macro"),
        "mcc": sk.matthews_corrcoef(y, answer),
        "roc_auc": sk.roc_auc_score(y, p),
        "average_precision": sk.average_precision_score(y, p),
        "log_loss": sk.log_loss(y, p),
        "brier": sk.brier_score_loss(y, p),
    }
    assert {name: numbers[name]["value"] for name in expected} == pytest.approx(expected, rel=1e-12)
    assert {row["n"] for row in numbers.values()} == {len(table)}


def test_the_matrix_follows_from_the_predictions_and_the_page_shows_it(agreed):
    table, _, confusion, per_class, page = agreed
    counted = sk.confusion_matrix(table["label"], table["predicted"], labels=["cat", "dog"])
    assert confusion.to_numpy().tolist() == counted.tolist()
    assert per_class["n"].tolist() == counted.sum(axis=1).tolist()
    assert per_class["predicted"].tolist() == counted.sum(axis=0).tolist()
    start = page.index('<table class="matrix')
    body = page[start : page.index("</table>", start)]
    cells = re.findall(r"<td style=[^>]*>(?:<(?:a|span)[^>]*>([\d,]+)</(?:a|span)>)?</td>", body)
    assert [int(cell.replace(",", "") or 0) for cell in cells] == counted.ravel().tolist()


def test_the_page_shows_every_number_of_metrics_json(agreed):
    _, numbers, _, per_class, page = agreed
    parsed = Page(page)
    shown = parsed.text("numbers")
    for name, metric in numbers.items():
        low, high = metric["low"], metric["high"]
        plain = name in ("roc_auc", "average_precision", "mcc", "log_loss", "brier")
        words = [f"{v:.3f}" if plain else f"{100 * v:.1f}" for v in (metric["value"], low, high)]
        unit = "" if plain else " %"
        assert f"{words[0]}{unit} {words[1]} to {words[2]}{unit}" in shown, name
    for row in per_class.to_dict("records"):
        assert f"{row['class']} {row['n']} {100 * row['precision']:.1f} %" in parsed.text("classes")
