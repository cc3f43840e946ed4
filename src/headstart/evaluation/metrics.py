"""From predictions to numbers, each headline number with its 95 % interval.

scikit-learn and scipy do the arithmetic. Two conventions hold everywhere:

- A ratio with an empty denominator is 0: the precision of a class that was never predicted, say.
- Macro means are over the classes that occur among the true or the predicted labels.

Intervals: Wilson's for proportions of images; for the others the bootstrap over images (`RESAMPLES`
draws, settled by a seed), as percentiles of the draws about their own mean, taken on the logit scale
where the number lies between 0 and 1. In simulations that covers the truth more often than plain
percentiles, which fall short near 1 (an AUC of 0.94 from 100 images: 93 % of intervals instead of
90 %) and where many classes have few images (macro F1, 20 classes, 200 images: 95 % instead of 91 %).
A number of exactly 0 or 1 has no spread to resample: its interval is that one point.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from headstart.errors import InputError, harmless, sentence
from headstart.evaluation.predictions import Predictions
from headstart.rundir import write_json, write_text

RESAMPLES = 1000
QUANTILES = (0.025, 0.975)
SMALLEST = float(np.finfo(np.float64).eps)  # log loss is of probabilities no smaller, as in scikit-learn
CHUNK = 5_000_000  # image weights held at once while resampling


@dataclass(frozen=True)
class Metric:
    """A number, the ends of its 95 % interval (low ≤ value ≤ high), and how many images it is from."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Evaluation:
    """Numbers only.

    Attributes:
        headline: accuracy, balanced_accuracy, {macro,weighted}_{precision,recall,f1}, top_{k}_accuracy
            (not when k ≥ the number of classes), roc_auc (not when a class has no image), log_loss.
        per_class: a row a class: class, n, precision, recall, f1, roc_auc (against the rest; NaN where
            the class has no image, or all).
        confusion: (C, C) counts, rows the true class and columns the predicted one.
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
        per_class = pd.read_csv(
            folder / "per_class.csv", dtype={"class": str}, keep_default_na=False, na_values={"roc_auc": [""]}
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
    predictions = predictions.by_path()
    y_true, y_pred, names = predictions.y_true, predictions.y_pred, predictions.class_names
    probabilities, n = predictions.probabilities, len(predictions)
    matrix = np.asarray(confusion_matrix(y_true, y_pred, labels=range(len(names))), dtype=np.int64)
    aucs, auc, auc_terms = _one_against_rest(y_true, probabilities)
    losses = -np.log(np.maximum(probabilities[np.arange(n), y_true], SMALLEST))
    averages = _averages(np.diag(matrix)[None], matrix.sum(axis=1)[None], matrix.sum(axis=0)[None])
    drawn, means = _bootstrap(y_true, y_pred, len(names), np.stack([losses, auc_terms], axis=1), seed)

    headline = {"accuracy": proportion(y_true == y_pred)}
    headline |= {name: _interval(value[0], drawn[name], n) for name, value in averages.items()}
    headline["weighted_recall"] = headline["accuracy"]  # the same number, so the same interval
    if top_k < len(names):
        headline[f"top_{top_k}_accuracy"] = proportion(_rank_of_truth(y_true, predictions.logits) < top_k)
    if not np.isnan(auc):
        headline["roc_auc"] = _interval(auc, auc + means[:, 1], n)
    low, high = np.quantile(means[:, 0], QUANTILES)
    headline["log_loss"] = _metric(losses.mean(), low, high, n)
    return Evaluation(headline, _per_class(y_true, y_pred, names, aucs), _confusion_table(matrix, names))


def proportion(successes: np.ndarray) -> Metric:
    """The share of True among N booleans, with Wilson's 95 % interval.

    >>> round(proportion(np.array([True, True])).low, 4)
    0.3424
    """
    from scipy.stats import binomtest

    k, n = int(successes.sum()), len(successes)
    interval = binomtest(k, n).proportion_ci(0.95, method="wilson")
    return _metric(k / n, interval.low, interval.high, n)


def _per_class(
    y_true: np.ndarray, y_pred: np.ndarray, names: tuple[str, ...], aucs: np.ndarray
) -> pd.DataFrame:
    from sklearn.metrics import precision_recall_fscore_support

    precision, recall, f1, n = precision_recall_fscore_support(
        y_true, y_pred, labels=range(len(names)), zero_division=0.0
    )
    return pd.DataFrame(
        {"class": names, "n": n, "precision": precision, "recall": recall, "f1": f1, "roc_auc": aucs}
    )


def _averages(hits: np.ndarray, support: np.ndarray, predicted: np.ndarray) -> dict[str, np.ndarray]:
    """The averages over classes of R samples at once, each an (R,) array.

    The (R, C) arguments count images by class: rightly predicted, truly of it, predicted as it.
    """
    ratios = {
        "precision": _ratio(hits, predicted),
        "recall": _ratio(hits, support),
        "f1": _ratio(2 * hits, support + predicted),
    }
    occurring = (support + predicted > 0).sum(axis=1)
    averages = {"balanced_accuracy": ratios["recall"].sum(axis=1) / (support > 0).sum(axis=1)}
    averages |= {f"macro_{name}": ratio.sum(axis=1) / occurring for name, ratio in ratios.items()}
    share = support / support.sum(axis=1, keepdims=True)
    return averages | {f"weighted_{name}": (ratio * share).sum(axis=1) for name, ratio in ratios.items()}


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.asarray(numerator / np.maximum(denominator, 1))  # counts: 0 / 1 where the denominator is 0


def _bootstrap(
    y_true: np.ndarray, y_pred: np.ndarray, classes: int, terms: np.ndarray, seed: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Averages, and means of `terms` (N, K), over `RESAMPLES` draws of N images with replacement."""
    from scipy.sparse import csr_array

    n, right = len(y_true), y_true == y_pred

    def member(y: np.ndarray, counted: np.ndarray) -> csr_array:
        return csr_array((counted.astype(np.float64), (np.arange(n), y)), shape=(n, classes))

    everyone = np.ones(n)
    masks = (member(y_true, right), member(y_true, everyone), member(y_pred, everyone))
    chunks, means = [], []
    for weights in _draws(n, seed):
        chunks.append([weights @ mask for mask in masks])
        means.append(weights @ terms / n)
    hits, support, predicted = (np.concatenate(parts) for parts in zip(*chunks, strict=True))
    return _averages(hits, support, predicted), np.concatenate(means)


def _draws(n: int, seed: int) -> Iterator[np.ndarray]:
    """(R, N) times that each image is drawn, in chunks; the chunk's size doesn't change the numbers."""
    rng = np.random.default_rng(seed)
    rows = max(1, CHUNK // n)
    for start in range(0, RESAMPLES, rows):
        size = min(rows, RESAMPLES - start)
        yield np.array([np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(size)], np.float64)


def _one_against_rest(y_true: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """(C,) AUCs, the headline AUC (NaN where a class has no image) and its (N,) first-order terms.

    The headline is the second class's AUC where there are two, else the mean over classes.
    """
    n, classes = probabilities.shape
    counted = [1] if classes == 2 else list(range(classes))
    aucs, terms = np.full(classes, np.nan), np.zeros(n)
    for c in range(classes):
        positive = y_true == c
        if positive.any() and not positive.all():
            aucs[c], own = _auc(positive, probabilities[:, c])
            terms += own / len(counted) if c in counted else 0.0
    return aucs, float(np.nan if np.isnan(aucs).any() else aucs[counted].mean()), terms


def _auc(positive: np.ndarray, score: np.ndarray) -> tuple[float, np.ndarray]:
    """The AUC, and each image's first-order effect on it.

    Let V_i be the share of the other group that image i is on the right side of (ties count half).
    The mean of V over either group is the AUC A; weighing the images by w (mean 1) moves A by about
    Σ w_i ψ_i / N with ψ_i = (V_i - A) · N / (size of i's group). Reference: DeLong et al. 1988.
    """
    from scipy.stats import rankdata

    n, own = len(score), np.empty(len(score))
    ranks = rankdata(score)
    for group in (positive, ~positive):
        own[group] = (ranks[group] - rankdata(score[group])) / (n - group.sum())
    own[~positive] = 1 - own[~positive]
    value = float(own[positive].mean())
    return value, (own - value) * n / np.where(positive, positive.sum(), n - positive.sum())


def _rank_of_truth(y_true: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """(N,) how many classes come before the true one; of equal logits the first class comes first."""
    truth = logits[np.arange(len(y_true)), y_true][:, None]
    earlier = np.arange(logits.shape[1]) < y_true[:, None]
    return np.asarray(((logits > truth) | ((logits == truth) & earlier)).sum(axis=1))


def _interval(value: float, drawn: np.ndarray, n: int) -> Metric:
    """The interval of a number between 0 and 1 from its bootstrap draws."""
    from scipy.special import expit, logit

    if value in (0.0, 1.0):
        return Metric(float(value), float(value), float(value), n)
    low, high = np.quantile(drawn - drawn.mean(), QUANTILES) / (value * (1 - value))
    return _metric(value, expit(logit(value) + low), expit(logit(value) + high), n)


def _metric(value: float, low: float, high: float, n: int) -> Metric:
    """Widens the interval to hold the value, where rounding or skew put it outside."""
    return Metric(float(value), float(min(low, value)), float(max(high, value)), n)


def _confusion_table(matrix: np.ndarray, names: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame(matrix, index=pd.Index(names, name="true"), columns=pd.Index(names, name="predicted"))
