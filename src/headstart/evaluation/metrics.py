"""From predictions to numbers, each headline number with its 95 % interval.

scikit-learn and scipy do the arithmetic. Two conventions hold everywhere:

- A ratio with an empty denominator is 0: the precision of a class that was never predicted, say.
- Macro means are over the classes that occur among the true or the predicted labels.

How the intervals are found stands in `intervals`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from headstart.errors import InputError, harmless, sentence
from headstart.evaluation import averages, classwise
from headstart.evaluation.calibration import bin_gaps, expected_calibration_error
from headstart.evaluation.grouped import wider
from headstart.evaluation.intervals import (
    QUANTILES,
    Metric,
    bounded,
    deviations,
    draws,
    mean,
    metric,
    moves,
    proportion,
)
from headstart.evaluation.predictions import Predictions
from headstart.evaluation.ranking import Ranking, ranking
from headstart.rundir import write_json, write_text

OF_SEVERAL = (
    "macro_precision", "macro_recall", "macro_f1", "weighted_precision", "weighted_f1", "mcc",
)  # fmt: skip
"""What says nothing where all images are of one class."""

MAYBE = ["roc_auc", "average_precision", "precision_low", "precision_high", "recall_low", "recall_high"]
"""Columns that may be empty."""


@dataclass(frozen=True)
class Evaluation:
    """Numbers only.

    Attributes:
        headline: accuracy, balanced_accuracy, {macro,weighted}_{precision,recall,f1}, mcc, top_{k}_accuracy
            (not when k ≥ the number of classes), roc_auc and average_precision (means over the classes, of
            two the second's; not when a class has no image), log_loss, brier, ece; majority_accuracy and,
            where the training images are known, nearest_accuracy: what always giving the commonest class, or
            the class of the most similar training image, would reach; where answers are not always accepted,
            coverage, and accepted_accuracy among those that are. Of `OF_SEVERAL` none where all images are of
            one class.
        per_class: a row a class: class, n, predicted (images that were given this answer), precision, recall
            (with _low and _high), f1, roc_auc and average_precision (against the rest; NaN where the class
            has no image, or all).
        confusion: (C, C) counts, rows the true class and columns the answer.
    """

    headline: dict[str, Metric]
    per_class: pd.DataFrame
    confusion: pd.DataFrame

    def save(self, folder: Path) -> None:
        """Writes metrics.json, per_class.csv and confusion.csv; the CSVs are safe in a spreadsheet."""
        write_json(folder / "metrics.json", {name: asdict(m) for name, m in self.headline.items()})
        names = [harmless(name) for name in self.per_class["class"]]
        write_text(folder / "per_class.csv", self.per_class.assign(**{"class": names}).to_csv(index=False))
        confusion = self.confusion.set_axis(names, axis=0).set_axis(names, axis=1)
        write_text(folder / "confusion.csv", confusion.to_csv(index_label="true \\ predicted"))


def load(folder: Path, class_names: tuple[str, ...]) -> Evaluation:
    """Reads what `Evaluation.save` wrote; the names come from the predictions, unescaped.

    Raises:
        InputError: a file is missing, or isn't of these classes.
    """
    try:
        numbers = json.loads((folder / "metrics.json").read_text("utf-8"))
        empty: dict[Any, Any] = {name: [""] for name in MAYBE}
        per_class = pd.read_csv(
            folder / "per_class.csv", dtype={"class": str}, keep_default_na=False, na_values=empty
        )
        confusion = pd.read_csv(folder / "confusion.csv", index_col=0, keep_default_na=False)
        return Evaluation(
            {name: Metric(**number) for name, number in numbers.items()},
            per_class.assign(**{"class": list(class_names)}),
            _confusion_table(confusion.to_numpy(dtype=np.int64), class_names),
        )
    except (OSError, TypeError, ValueError) as error:
        raise InputError(
            sentence(
                "This evaluation cannot be read.",
                allowed="the evaluation folder of a run",
                received=str(folder),
                remedy="Run `headstart evaluate` again.",
            )
        ) from error


def evaluate(predictions: Predictions, top_k: int = 5, seed: int = 0) -> Evaluation:
    """All numbers of `predictions`; the order of its rows does not matter.

    Args:
        predictions: at least one image.
        top_k: the k of top-k accuracy.
        seed: settles the bootstrap.

    Raises:
        InputError: there is no image.
    """
    from sklearn.metrics import confusion_matrix

    if not len(predictions):
        raise InputError(
            sentence(
                "There is nothing to evaluate.",
                allowed="at least one labelled image",
                received="0 images",
                remedy="Check the split.",
            )
        )
    said = predictions.by_path()
    names, counts = said.class_names, range(len(said.class_names))
    matrix = np.asarray(confusion_matrix(said.y_true, said.y_pred, labels=counts), dtype=np.int64)
    ranked = ranking(said.y_true, said.probabilities)
    headline = {"accuracy": proportion(said.right, said.grouped)} | _resampled(said, matrix, ranked, seed)
    headline["weighted_recall"] = headline["accuracy"]  # the same number, so the same interval
    if top_k < len(names):
        within = _rank_of_truth(said.y_true, said.logits) < top_k
        headline[f"top_{top_k}_accuracy"] = proportion(within, said.grouped)
    headline |= _baselines(said) | _accepted(said)
    if len(np.unique(said.y_true)) == 1:
        headline = {name: number for name, number in headline.items() if name not in OF_SEVERAL}
    return Evaluation(headline, _per_class(said, names, ranked), _confusion_table(matrix, names))


def _resampled(said: Predictions, matrix: np.ndarray, ranked: Ranking, seed: int) -> dict[str, Metric]:
    """The numbers whose intervals are found by resampling the images, or their groups."""
    groups = said.grouped
    if groups is not None and not groups.max():  # one group says nothing of others
        found = _resampled(replace(said, groups=()), matrix, ranked, seed)
        return {name: replace(one, low=None, high=None) for name, one in found.items()}
    n, losses, scores = len(said), said.losses, _brier(said)
    terms = np.stack([losses, scores, ranked.auc_terms, ranked.precision_terms], axis=1)
    gaps = bin_gaps(said.confidence, said.right)
    counter, drawn, deviation, errors = averages.Counter(said.y_true, said.y_pred, len(matrix)), [], [], []
    for weights in draws(n, seed, groups):
        drawn.append(counter.counts(weights))
        deviation.append(deviations(terms, weights, groups))
        errors.append(np.abs(weights @ gaps).sum(axis=1) / weights.sum(axis=1))
    spread = averages.averages(averages.Counts.joined(drawn))
    fewest, stretch = _fewest(said), wider(groups)
    by_class, found = classwise.moves(said), {}
    for name, (value,) in averages.averages(averages.Counts.of(matrix)).items():
        least = averages.LEAST.get(name, 0.0)
        one = bounded(float(value), stretch * _about_mean(spread[name]), n, fewest, least)
        found[name] = _reaching(one, by_class.get(name, np.zeros(2)), spread[name].mean() - value, least)
    moved = moves(terms, np.concatenate(deviation), groups)
    if groups is None and len(matrix) > 2:  # the draws know it of one area, and lose it in a mean of areas
        for column in (2, 3):
            moved[column] *= classwise.stretch(terms[:, column], said.y_true)
    found["log_loss"], found["brier"] = mean(losses.mean(), moved[0], n), mean(scores.mean(), moved[1], n)
    if not np.isnan(auc := ranked.mean(ranked.auc)):
        found["roc_auc"] = bounded(auc, moved[2], n, fewest)
        precision = ranked.mean(ranked.average_precision)
        found["average_precision"] = bounded(precision, moved[3], n, fewest)
    ece = expected_calibration_error(said.confidence, said.right)
    low, high = ece + stretch * _about_mean(np.concatenate(errors))
    return found | {"ece": metric(ece, max(low, 0.0), high, n)}


def _fewest(said: Predictions) -> int:
    """Images of the smallest class that has any; where images come in groups, groups that have one."""
    groups = np.arange(len(said)) if said.grouped is None else said.grouped
    pairs = np.unique(np.stack([said.y_true, groups]), axis=1)
    return int(np.unique(pairs[0], return_counts=True)[1].min())


def _reaching(one: Metric, move: np.ndarray, bias: float, least: float) -> Metric:
    """Further out, if that is where the classes' own intervals lead, or what the draws are off by."""
    if one.low is None or one.high is None:
        return one
    low = min(one.low, one.value + move[0]) - max(bias, 0.0)
    high = max(one.high, one.value + move[1]) - min(bias, 0.0)
    return replace(one, low=max(float(low), least), high=min(float(high), 1.0))


def _about_mean(drawn: np.ndarray) -> np.ndarray:
    """(2,) moves to the ends: percentiles of (R,) draws about their own mean."""
    return np.asarray(np.quantile(drawn - drawn.mean(), QUANTILES))


def _brier(said: Predictions) -> np.ndarray:
    """(N,) squared distance of the probabilities from the truth; of two classes half, as scikit-learn's."""
    probabilities = said.probabilities
    truth = probabilities[np.arange(len(said)), said.y_true]
    squares = np.einsum("ij,ij->i", probabilities, probabilities) - 2 * truth + 1
    return np.asarray(squares / (2 if probabilities.shape[1] == 2 else 1))


def _baselines(said: Predictions) -> dict[str, Metric]:
    commonest = said.y_true == np.bincount(said.y_true).argmax()
    found = {"majority_accuracy": proportion(commonest, said.grouped)}
    if said.around and all(said.around.label):
        truth = [said.class_names[i] for i in said.y_true]
        same = [one == other for one, other in zip(truth, said.around.label, strict=True)]
        found["nearest_accuracy"] = proportion(np.array(same), said.grouped)
    return found


def _accepted(said: Predictions) -> dict[str, Metric]:
    accepted = said.decisions == "accept"
    if accepted.all() and said.rule.confidence == 0 and said.rule.distance is None:
        return {}
    found = {"coverage": proportion(accepted, said.grouped)}
    return found | ({"accepted_accuracy": _share(said, accepted)} if accepted.any() else {})


def _per_class(said: Predictions, names: tuple[str, ...], ranked: Ranking) -> pd.DataFrame:
    from sklearn.metrics import precision_recall_fscore_support

    classes = range(len(names))
    precision, recall, f1, n = precision_recall_fscore_support(
        said.y_true, said.y_pred, labels=classes, zero_division=0.0
    )
    predicted = np.bincount(said.y_pred, minlength=len(names))
    columns = {"class": names, "n": n, "predicted": predicted}
    columns |= {"precision": precision, **_ends("precision", said, said.y_pred)}
    columns |= {"recall": recall, **_ends("recall", said, said.y_true)}
    areas = {"roc_auc": ranked.auc, "average_precision": ranked.average_precision}
    return pd.DataFrame(columns | {"f1": f1} | areas)


def _ends(name: str, said: Predictions, y: np.ndarray) -> dict[str, list[float]]:
    """Intervals of the share that is right of each class in `y`; NaN where there are too few images."""
    order = np.argsort(y, kind="stable")
    parts = np.split(order, np.searchsorted(y[order], range(1, len(said.class_names))))
    found = [_share(said, rows) if len(rows) else None for rows in parts]
    nan = float("nan")
    lows = [nan if one is None or one.low is None else one.low for one in found]
    highs = [nan if one is None or one.high is None else one.high for one in found]
    return {f"{name}_low": lows, f"{name}_high": highs}


def _share(said: Predictions, rows: np.ndarray) -> Metric:
    """Of some rows, the share that is right."""
    return proportion(said.right[rows], None if said.grouped is None else said.grouped[rows])


def _rank_of_truth(y_true: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """(N,) how many classes come before the true one; of equal logits the first class comes first."""
    truth = logits[np.arange(len(y_true)), y_true][:, None]
    earlier = np.arange(logits.shape[1]) < y_true[:, None]
    return np.asarray(((logits > truth) | ((logits == truth) & earlier)).sum(axis=1))


def _confusion_table(matrix: np.ndarray, names: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame(matrix, index=pd.Index(names, name="true"), columns=pd.Index(names, name="predicted"))
