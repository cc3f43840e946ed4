"""From predictions to numbers, each headline number with its 95 % interval.

scikit-learn and scipy do the arithmetic. Two conventions hold everywhere:

- A ratio with an empty denominator is 0: the precision of a class that was never predicted, say.
- Macro means are over the classes that occur among the true or the predicted labels.

How the intervals are found stands in `intervals`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from headstart.errors import InputError, harmless, sentence
from headstart.evaluation import averages
from headstart.evaluation.calibration import bin_gaps, expected_calibration_error
from headstart.evaluation.intervals import (
    FEW,
    QUANTILES,
    Metric,
    bounded,
    deviations,
    draws,
    mean,
    metric,
    moves,
    proportion,
    share,
)  # fmt: skip
from headstart.evaluation.predictions import Predictions
from headstart.evaluation.ranking import Ranking, ranking
from headstart.rundir import write_json, write_text

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
            coverage, and accepted_accuracy among those that are.
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
    headline = {"accuracy": proportion(said.right)} | _resampled(said, matrix, ranked, seed)
    headline["weighted_recall"] = headline["accuracy"]  # the same number, so the same interval
    if top_k < len(names):
        headline[f"top_{top_k}_accuracy"] = proportion(_rank_of_truth(said.y_true, said.logits) < top_k)
    headline |= _baselines(said) | _accepted(said)
    return Evaluation(headline, _per_class(said, names, ranked), _confusion_table(matrix, names))


def _resampled(said: Predictions, matrix: np.ndarray, ranked: Ranking, seed: int) -> dict[str, Metric]:
    """The numbers whose intervals are found by resampling the images."""
    n, losses, scores = len(said), said.losses, _brier(said)
    terms = np.stack([losses, scores, ranked.auc_terms, ranked.precision_terms], axis=1)
    gaps = bin_gaps(said.confidence, said.right)
    counter, drawn, deviation, errors = averages.Counter(said.y_true, said.y_pred, len(matrix)), [], [], []
    for weights in draws(n, seed):
        drawn.append(counter.counts(weights))
        deviation.append(deviations(terms, weights))
        errors.append(np.abs(weights @ gaps).sum(axis=1) / n)
    spread = averages.averages(averages.Counts.joined(drawn))
    fewest = int(min(count for count in matrix.sum(axis=1) if count))
    found = {
        name: bounded(float(value[0]), _about_mean(spread[name]), n, fewest, averages.LEAST.get(name, 0.0))
        for name, value in averages.averages(averages.Counts.of(matrix)).items()
    }
    moved = moves(terms, np.concatenate(deviation))
    found["log_loss"], found["brier"] = mean(losses.mean(), moved[0], n), mean(scores.mean(), moved[1], n)
    if not np.isnan(auc := ranked.mean(ranked.auc)):
        found["roc_auc"] = bounded(auc, moved[2], n, fewest)
        precision = ranked.mean(ranked.average_precision)
        found["average_precision"] = bounded(precision, moved[3], n, fewest)
    ece = expected_calibration_error(said.confidence, said.right)
    low, high = ece + _about_mean(np.concatenate(errors))
    return found | {"ece": metric(ece, max(low, 0.0), high, n)}


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
    n = len(said)
    found = {"majority_accuracy": share(int(np.bincount(said.y_true).max()), n)}
    if said.around and all(said.around.label):
        truth = [said.class_names[i] for i in said.y_true]
        same = [one == other for one, other in zip(truth, said.around.label, strict=True)]
        found["nearest_accuracy"] = proportion(np.array(same))
    return found


def _accepted(said: Predictions) -> dict[str, Metric]:
    accepted = said.decisions == "accept"
    if accepted.all() and said.rule.confidence == 0 and said.rule.distance is None:
        return {}
    found = {"coverage": proportion(accepted)}
    return found | ({"accepted_accuracy": proportion(said.right[accepted])} if accepted.any() else {})


def _per_class(said: Predictions, names: tuple[str, ...], ranked: Ranking) -> pd.DataFrame:
    from sklearn.metrics import precision_recall_fscore_support

    classes = range(len(names))
    precision, recall, f1, n = precision_recall_fscore_support(
        said.y_true, said.y_pred, labels=classes, zero_division=0.0
    )
    hits = np.bincount(said.y_true[said.right], minlength=len(names))
    predicted = np.bincount(said.y_pred, minlength=len(names))
    columns = {"class": names, "n": n, "predicted": predicted}
    columns |= {"precision": precision, **_ends("precision", hits, predicted)}
    columns |= {"recall": recall, **_ends("recall", hits, n)}
    areas = {"roc_auc": ranked.auc, "average_precision": ranked.average_precision}
    return pd.DataFrame(columns | {"f1": f1} | areas)


def _ends(name: str, hits: np.ndarray, counts: np.ndarray) -> dict[str, list[float]]:
    """Intervals of shares of `counts`; NaN where there are fewer than `FEW`."""
    found = [share(int(k), int(n)) if n >= FEW else None for k, n in zip(hits, counts, strict=True)]
    nan = float("nan")
    lows = [nan if one is None or one.low is None else one.low for one in found]
    highs = [nan if one is None or one.high is None else one.high for one in found]
    return {f"{name}_low": lows, f"{name}_high": highs}


def _rank_of_truth(y_true: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """(N,) how many classes come before the true one; of equal logits the first class comes first."""
    truth = logits[np.arange(len(y_true)), y_true][:, None]
    earlier = np.arange(logits.shape[1]) < y_true[:, None]
    return np.asarray(((logits > truth) | ((logits == truth) & earlier)).sum(axis=1))


def _confusion_table(matrix: np.ndarray, names: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame(matrix, index=pd.Index(names, name="true"), columns=pd.Index(names, name="predicted"))
