"""The headline metrics, each with its interval, and the metrics of each class."""

from __future__ import annotations

from collections.abc import Iterator
from math import isnan
from typing import Any

from headstart.evaluation.intervals import FEW, Metric
from headstart.report import curves, figures
from headstart.report.files import RunFiles
from headstart.report.parts import Bar, Drawing, Section, Table
from headstart.report.wording import interval, percent, plain, quoted

METRICS = {  # in the order of the page
    "accuracy": ("Accuracy", "share of images that are right"),
    "majority_accuracy": ("… of one answer for all", "always the commonest class"),
    "nearest_accuracy": ("… of the nearest image", "the class of the most similar training image"),
    "coverage": ("Accepted", "share of images whose answer is sure enough, and which look familiar"),
    "accepted_accuracy": ("Accuracy of those", "share of accepted answers that are right"),
    "top_k": ("Top-{k} accuracy", "share of images whose class is among the {k} most probable"),
    "balanced_accuracy": ("Balanced accuracy", "mean of the classes' recall: each class counts the same"),
    "macro_f1": ("F1, macro", "mean of the classes' F1: each class counts the same"),
    "macro_precision": ("Precision, macro", "how often an answer is right, mean of the classes"),
    "macro_recall": ("Recall, macro", "how much of a class is found, mean of the classes"),
    "weighted_f1": ("F1, weighted", "mean of the classes, weighted by their images"),
    "weighted_precision": ("Precision, weighted", "mean of the classes, weighted by their images"),
    "weighted_recall": ("Recall, weighted", "the same number as the accuracy"),
    "roc_auc": ("ROC AUC", "1 tells the classes apart without error, 0.5 is chance"),
    "average_precision": ("Average precision", "area under precision by recall; by chance the class's share"),
    "mcc": ("MCC", "correlation of answer and truth: 1 is perfect, 0 is chance"),
    "log_loss": ("Log loss", "0 is sure and right; sure and wrong costs most"),
    "brier": ("Brier score", "squared distance of the probabilities from the truth; 0 is best"),
    "ece": ("Calibration error", "mean gap between confidence and accuracy (ECE); 0 is best"),
}
UNITLESS = ("roc_auc", "average_precision", "mcc", "log_loss", "brier")
UNPLACED = ("log_loss", "mcc")
"""Not on a scale from 0 to 1."""


def numbers(files: RunFiles) -> Section:
    """The headline metrics, each with its interval."""
    headline = files.evaluation.headline
    caption = (
        f"Measured on {headline['accuracy'].n:,} images. The dot is what was measured; the band is where the "
        "number for all such images plausibly lies (95 % interval), on a scale from 0 to 1."
    )
    if "roc_auc" not in headline:
        caption += " There is no ROC AUC, as a class has no image here."
    order = list(METRICS)
    names = sorted(headline, key=lambda name: order.index(_kind(name)))
    grouped = files.predictions.grouped
    lacking = "" if grouped is None or grouped.max() else "one group alone"
    bars = tuple(_bar(name, headline[name], lacking or f"too few to say (below {FEW})") for name in names)
    return Section("numbers", "Numbers", caption, bars=bars)


def _kind(name: str) -> str:
    return "top_k" if name.startswith("top_") else name


def _bar(name: str, metric: Metric, lacking: str) -> Bar:
    k = name.removeprefix("top_").removesuffix("_accuracy")
    label, note = (text.replace("{k}", k) for text in METRICS[_kind(name)])
    shown = plain if name in UNITLESS else percent
    if metric.low is None or metric.high is None:
        return Bar(label, note, shown(metric.value), lacking, None)
    place = None if name in UNPLACED else (100 * metric.low, 100 * metric.value, 100 * metric.high)
    return Bar(label, note, shown(metric.value), interval(metric.low, metric.high, shown), place)


def classes(files: RunFiles) -> Section:
    """Precision, recall, F1 and areas of each class."""
    table = files.evaluation.per_class
    occurring = table[table["n"] + table["predicted"] > 0]
    weakest = occurring.iloc[int(occurring["f1"].to_numpy().argmin())]
    caption = (
        "Precision: of the images given this answer, the share that is right. Recall: of the images of this "
        "class, the share that is found. F1 is their harmonic mean; 0 stands where nothing can be divided. "
        f"The weakest class by F1 is {quoted(weakest['class'])} with {percent(weakest['f1'])}. "
        f"Intervals are for 95 %, where there are at least {FEW} images."
    )
    seen = "A line a class, its number of images in brackets, the lowest F1 at the top. Right is better."
    if len(table) > figures.SHOWN:
        seen += f" Shown are the {figures.SHOWN} lowest of {len(table):,}."
    header = ("Class", "Images", "Precision", "", "Recall", "", "F1", "AUC", "AP")
    rows = tuple(_row(row) for row in table.to_dict("records"))
    return Section(
        "classes",
        "Classes",
        caption,
        figures=(Drawing.of("per_class", figures.per_class(table), seen), *_curves(files)),
        tables=(Table("Each class", header, rows, sortable=True, full=True),),
    )


def _curves(files: RunFiles) -> Iterator[Drawing]:
    """ROC and precision by recall; of two classes the second, else those with the smallest areas."""
    said, table = files.predictions, files.evaluation.per_class
    known = table[table["roc_auc"].notna()]
    if known.empty:
        return
    shown = (
        [1] if len(table) == 2 else known.sort_values("roc_auc", kind="stable").index[: curves.LINES].tolist()
    )
    which = (
        ""
        if len(table) <= curves.LINES
        else f" Shown are the {curves.LINES} classes with the smallest areas."
    )
    given = (said.y_true, said.probabilities, said.class_names, shown)
    seen = "By the probability from which an image is called so; each class against the rest."
    yield Drawing.of(
        "roc", curves.roc(*given), f"{seen} The nearer to the upper left corner, the better.{which}"
    )
    best = f"{seen} The nearer to the upper right corner, the better.{which}"
    yield Drawing.of("precision_recall", curves.precision_recall(*given), best)


def _row(row: dict[Any, Any]) -> tuple[str, ...]:
    def ends(name: str) -> str:
        low, high = row[f"{name}_low"], row[f"{name}_high"]
        return "too few" if isnan(low) else interval(low, high)

    return (
        str(row["class"]),
        f"{row['n']:,}",
        percent(row["precision"]),
        ends("precision"),
        percent(row["recall"]),
        ends("recall"),
        percent(row["f1"]),
        plain(row["roc_auc"]),
        plain(row["average_precision"]),
    )
