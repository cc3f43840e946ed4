"""What the report says: one short function a section, from the files of a run to text, tables, figures."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from headstart.data import manifest as manifests
from headstart.evaluation.metrics import Metric
from headstart.report import figures
from headstart.report.files import RunFiles
from headstart.report.parts import Bar, Drawing, Picture, Section, Table, Verdict, value_table
from headstart.report.thumbnails import data_uri, small
from headstart.report.wording import duration, interval, percent, plain, quoted

MISTAKES = 60
"""At most so many mistakes are shown."""

LEDGER_ROWS = 20
"""At most so many rows of the ledger are shown."""

METRICS = {  # in the order of the page
    "accuracy": ("Accuracy", "share of images that are right"),
    "top_k": ("Top-{k} accuracy", "share of images whose class is among the {k} most probable"),
    "balanced_accuracy": ("Balanced accuracy", "mean of the classes' recall: each class counts the same"),
    "macro_f1": ("F1, macro", "mean of the classes' F1: each class counts the same"),
    "macro_precision": ("Precision, macro", "how often an answer is right, mean of the classes"),
    "macro_recall": ("Recall, macro", "how much of a class is found, mean of the classes"),
    "weighted_f1": ("F1, weighted", "mean of the classes, weighted by their images"),
    "weighted_precision": ("Precision, weighted", "mean of the classes, weighted by their images"),
    "weighted_recall": ("Recall, weighted", "the same number as the accuracy"),
    "roc_auc": ("ROC AUC", "1 tells the classes apart without error, 0.5 is chance"),
    "log_loss": ("Log loss", "0 is sure and right; sure and wrong costs most"),
}
STAGES = ("prepare", "features", "head", "parity", "evaluate")
NBSP = "\N{NO-BREAK SPACE}"
UNITLESS = ("roc_auc", "log_loss")

SPLITS = {
    "test": ("unseen", "These images took no part in training or in choosing anything."),
    "val": ("validation", "Settings were chosen on these images, so the numbers flatter a little."),
    "train": ("training", "The model was trained on these images: the numbers say nothing about new ones."),
}


def verdict(files: RunFiles) -> Verdict:
    """The share of images that are right, its interval, and what always giving one answer would reach."""
    accuracy, matrix = files.evaluation.headline["accuracy"], files.evaluation.confusion
    kind, caution = SPLITS.get(files.split, ("labelled", f"The images are from {quoted(files.split)}."))
    sizes = matrix.sum(axis=1).to_numpy()
    commonest = int(sizes.argmax())
    share = float(sizes[commonest] / sizes.sum())
    low, high = accuracy.low, accuracy.high
    if low > share:
        comparison = "the whole interval lies above that"
    else:
        comparison = "the interval reaches down to that, so these images do not show that the model is better"
    subject = "image is" if accuracy.n == 1 else "images are"
    return Verdict(
        value=percent(accuracy.value),
        claim=f"of {accuracy.n:,} {kind} {subject} right (95 % interval {interval(low, high)}).",
        baseline=f"Always answering {quoted(matrix.index[commonest])} would be right for {percent(share)}; "
        f"{comparison}.",
        caution=caution,
        place=(100 * low, 100 * accuracy.value, 100 * high),
        baseline_place=100 * share,
    )


def facts(files: RunFiles) -> tuple[tuple[str, str], ...]:
    """What was done, in four lines for the head of the page; what isn't known is left out."""
    info = files.info
    data, model, engine = (
        info.get("dataset", {}),
        info.get("config", {}).get("model", {}),
        info.get("engine", {}),
    )
    lines = {
        "Data": data and f"{data['data']}: {data['images']:,}{NBSP}images, {data['classes']:,}{NBSP}classes",
        "Model": model and f"{model['backbone']}, head {model['head']}",
        "Engine": engine and f"{engine['name']}, {engine['precision']}",
        "Time": info.get("seconds") and duration(sum(info["seconds"].values())),
    }
    return tuple((name, str(line)) for name, line in lines.items() if line)


def sections(files: RunFiles) -> Iterator[Section]:
    """All sections in the order of the page."""
    for section in (numbers, confusion, classes, training, mistakes, data, ledger, parity, provenance):
        yield section(files)


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
    return Section("numbers", "Numbers", caption, bars=tuple(_bar(name, headline[name]) for name in names))


def _kind(name: str) -> str:
    return "top_k" if name.startswith("top_") else name


def _bar(name: str, metric: Metric) -> Bar:
    k = name.removeprefix("top_").removesuffix("_accuracy")
    label, note = (text.replace("{k}", k) for text in METRICS[_kind(name)])
    shown = plain if name in UNITLESS else percent
    place = None if name == "log_loss" else (100 * metric.low, 100 * metric.value, 100 * metric.high)
    return Bar(label, note, shown(metric.value), interval(metric.low, metric.high, shown), place)


def confusion(files: RunFiles) -> Section:
    """The confusion matrix, and the pairs that are confused most."""
    matrix = files.evaluation.confusion
    pairs = _confused_pairs(matrix)
    caption = "What the model takes each class for."
    if pairs:
        true, predicted, count, size = pairs[0]
        caption += (
            f" Its most frequent mistake: {count:,} of {size:,} images of {quoted(true)} are taken for "
            f"{quoted(predicted)} ({percent(count / size)})."
        )
    seen = (
        "Rows are true classes, columns predicted ones. The diagonal is right. "
        "The stronger the colour, the larger the share of its row."
    )
    if len(matrix) > figures.SHOWN:
        seen += f" Shown are the {figures.SHOWN} of {len(matrix):,} classes in the most mistakes."
    rows = tuple((t, p, f"{c:,}", f"{n:,}", percent(c / n)) for t, p, c, n in pairs[:10])
    header = ("True class", "Taken for", "Images", "of", "Share")
    table = Table("The most frequent confusions", header, rows, text_columns=2)
    return Section(
        "confusion",
        "Confusion matrix",
        caption,
        figures=(Drawing.of("confusion", figures.confusion(matrix), seen),),
        tables=(table,) if rows else (),
    )


def _confused_pairs(matrix: pd.DataFrame) -> list[tuple[str, str, int, int]]:
    """(true, predicted, images, images of the true class), the most frequent first."""
    counts, names = matrix.to_numpy(), [str(name) for name in matrix.index]
    wrong = np.argwhere(counts * (1 - np.eye(len(counts), dtype=np.int64)))
    pairs = [(names[i], names[j], int(counts[i, j]), int(counts[i].sum())) for i, j in wrong]
    return sorted(pairs, key=lambda pair: -pair[2])


def classes(files: RunFiles) -> Section:
    """Precision, recall, F1 and AUC of each class."""
    table = files.evaluation.per_class
    weakest = table.iloc[int(table["f1"].to_numpy().argmin())]
    caption = (
        "Precision: of the images given this answer, the share that is right. Recall: of the images of this "
        "class, the share that is found. F1 is their harmonic mean; 0 stands where nothing can be divided. "
        f"The weakest class by F1 is {quoted(weakest['class'])} with {percent(weakest['f1'])}."
    )
    seen = "A line a class, its number of images in brackets, the lowest F1 at the top. Right is better."
    if len(table) > figures.SHOWN:
        seen += f" Shown are the {figures.SHOWN} lowest of {len(table):,}."
    rows = tuple(
        (
            str(r["class"]),
            f"{r['n']:,}",
            percent(r["precision"]),
            percent(r["recall"]),
            percent(r["f1"]),
            plain(r["roc_auc"]),
        )
        for r in table.to_dict("records")
    )
    return Section(
        "classes",
        "Classes",
        caption,
        figures=(Drawing.of("per_class", figures.per_class(table), seen),),
        tables=(Table("Each class", ("Class", "Images", "Precision", "Recall", "F1", "AUC"), rows),),
    )


def training(files: RunFiles) -> Section:
    """Loss and accuracy over the regularisation path, or over the epochs."""
    title = "Training"
    if files.history is None or files.history.empty:
        return Section("training", title, "The run has no history of its training.")
    phase = files.history["phase"].iloc[-1]
    rows = files.history[files.history["phase"] == phase]
    head, best = files.info.get("head", {}), rows.iloc[int(rows["val_loss"].to_numpy().argmin())]
    path = phase == "lbfgs"
    chosen = float(head.get("C" if path else "epoch", best["C" if path else "epoch"]))
    if path:
        caption = (
            f"The head was fitted exactly for {len(rows):,} strengths of regularisation. "
            f"C = {chosen:.3g} has the lowest loss on the validation images once a temperature is fitted."
        )
    else:
        caption = f"{_trained(str(phase), rows)}; the weights are those of epoch {chosen:.0f}."
        if phase == "top" and chosen == 0:
            caption += " No epoch was better than the head alone."
    seen = "Where training goes on improving while validation turns back, it begins to learn by heart."
    curves = {
        "loss": f"Lower is better. {seen}",
        "accuracy": "Higher is better. The gap is what is known of the training images only.",
    }
    drawings = (Drawing.of(m, figures.training(rows, m, chosen), text) for m, text in curves.items())
    return Section("training", title, caption, figures=tuple(drawings))


def _trained(phase: str, rows: pd.DataFrame) -> str:
    epochs = int(rows["epoch"].max())
    many = f"{epochs:,} epoch{'s' * (epochs != 1)}"
    if phase == "top":
        return f"Upper layers and head were trained for {many}, beginning from the head alone (epoch 0)"
    what = "The whole network" if phase == "all" else "The head"
    return f"{what} was trained for {many}"


def mistakes(files: RunFiles) -> Section:
    """The wrong answers that the model was surest of, as pictures."""
    said = files.predictions
    y_pred, confidence = said.y_pred, said.confidence
    wrong = [int(i) for i in np.flatnonzero(y_pred != said.y_true)]
    wrong.sort(key=lambda i: (-confidence[i], said.paths[i]))
    pictures = tuple(
        Picture(
            src=_thumbnail(files.manifest, said.paths[i]),
            path=said.paths[i],
            true=said.class_names[said.y_true[i]],
            predicted=said.class_names[y_pred[i]],
            confidence=percent(float(confidence[i])),
        )
        for i in wrong[:MISTAKES]
    )
    if not wrong:
        return Section("mistakes", "Mistakes", "There is none among these images.")
    caption = f"{len(wrong):,} of {len(said):,} images are wrong. "
    if len(wrong) > MISTAKES:
        caption += (
            f"Shown are the {MISTAKES} the model was surest of, {len(wrong) - MISTAKES:,} are left out. "
        )
    caption += (
        "The surest come first: they point to wrong labels, odd pictures, or something the model has not "
        f"learned. Every prediction is in evaluation/{files.split}/predictions.parquet."
    )
    return Section("mistakes", "Mistakes", caption, pictures=pictures)


def _thumbnail(manifest: manifests.Manifest | None, path: str) -> str:
    """A small JPEG as a data URI, or "" where the image isn't there any more."""
    picture = None if manifest is None else small(manifest.root / path)
    return data_uri(picture) if isinstance(picture, np.ndarray) else ""


def data(files: RunFiles) -> Section:
    """Images by class and split."""
    if files.manifest is None:
        return Section("data", "Data", "The run has no manifest of its images.")
    counts = files.manifest.counts()
    caption = f"{len(files.manifest):,} images in {len(counts):,} classes."
    if fingerprint := files.info.get("dataset", {}).get("fingerprint"):
        caption += f" Fingerprint of the data: {fingerprint}."
    seen = "Images of each class by split."
    if len(counts) > figures.SHOWN:
        seen += f" Shown are the {figures.SHOWN} smallest of {len(counts):,}."
    counted = counts.assign(total=counts.sum(axis=1))
    rows = [
        (str(name), *(f"{n:,}" for n in row))
        for name, row in zip(counted.index, counted.to_numpy(), strict=True)
    ]
    rows.append(("all classes", *(f"{n:,}" for n in counted.sum(axis=0))))
    header = ("Class", *(str(name) for name in counted.columns))
    return Section(
        "data",
        "Data",
        caption,
        figures=(Drawing.of("class_counts", figures.class_counts(counts), seen),),
        tables=(Table("Images by class and split", header, tuple(rows)),),
    )


def ledger(files: RunFiles) -> Section:
    """Files left out, ignored, or kept although doubtful."""
    title, rows = "Ledger", files.ledger
    if rows is None:
        return Section("ledger", title, "The run has no ledger of its files.")
    if rows.empty:
        return Section("ledger", title, "Every file was used, and none is doubtful.")
    counts = Counter(zip(rows["action"], rows["check"], strict=True))
    total = "1 file is" if len(rows) == 1 else f"{len(rows):,} files are"
    caption = f"{total} left out, ignored or doubtful. Nothing was changed or replaced."
    if len(rows) > LEDGER_ROWS:
        caption += f" The first {LEDGER_ROWS} are shown; all are in data_report.csv."
    summary = tuple((action, check, f"{n:,}") for (action, check), n in counts.most_common())
    first = rows.head(LEDGER_ROWS)[["path", "check", "action", "reason"]]
    return Section(
        "ledger",
        title,
        caption,
        tables=(
            Table("Files by action and check", ("Action", "Check", "Files"), summary, text_columns=2),
            Table(
                "The first rows of the ledger",
                ("Path", "Check", "Action", "Reason"),
                tuple(first.itertuples(index=False, name=None)),
                text_columns=4,
            ),
        ),
    )


def parity(files: RunFiles) -> Section:
    """Whether the saved model, as it is run, answers as the one that was trained."""
    title, found = "Parity", files.parity
    if found is None:
        return Section(
            "parity",
            title,
            "The run has no parity certificate: whether the saved model answers "
            "as the trained one was not checked.",
        )
    outcome = "Passed" if found["passed"] else "Failed"
    caption = (
        f"{outcome}. {found['images']:,} held-out images went from their files through Keras and through the "
        "saved model as it is run. "
        f"The predicted class is the same on {percent(found['top1_agreement'])}; a probability differs by "
        f"{found['max_difference']:.2g} at most, where {found['tolerance']:g} is allowed."
    )
    return Section("parity", title, caption, tables=(value_table("Certificate", found),))


def provenance(files: RunFiles) -> Section:
    """The exact command, options, versions, hardware and seconds."""
    info = files.info
    if not info:
        return Section("provenance", "Provenance", "The run has no run.json.")
    caption = "The command, and all that is needed to get the same numbers again."
    if not info.get("finished"):
        caption += " The run is not finished."
    seconds = info.get("seconds", {})
    order = sorted(seconds, key=lambda stage: STAGES.index(stage) if stage in STAGES else len(STAGES))
    stages = [(stage, f"{seconds[stage]:,.1f}") for stage in order]
    if stages:
        stages.append(("total", f"{sum(seconds.values()):,.1f}"))
    tables = [
        value_table("Options", dict(_options(info.get("config", {})))),
        value_table("Head", info.get("head", {})),
        value_table("Engine", info.get("engine", {})),
        Table("Seconds", ("Stage", "Seconds"), tuple(stages)),
        value_table("Versions", info.get("versions", {})),
        value_table("Hardware", info.get("hardware", {})),
    ]
    return Section(
        "provenance",
        "Provenance",
        caption,
        code=shlex.join(str(word) for word in info.get("command", [])),
        tables=tuple(table for table in tables if table.rows),
    )


def _options(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every option as it is typed."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _options(value)
        else:
            yield "--" + name.replace("_", "-"), value
