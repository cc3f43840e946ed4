"""Findings: what a run's numbers say that a busy person should know, each with its code.

Each function looks at the files of a run and returns a `Finding`, or says that it does not apply and why.
docs/findings.md explains every code: what is measured, where the line is drawn, and what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from headstart.evaluation import classwise
from headstart.evaluation.calibration import expected_by_chance
from headstart.evaluation.comparison import SIGNIFICANT, paired
from headstart.evaluation.intervals import FEW, ends, proportion
from headstart.evaluation.predictions import Predictions
from headstart.evaluation.saliency import border_share
from headstart.inference.reference import LIMIT
from headstart.report.files import RunFiles
from headstart.report.wording import many, percent, plain, quoted

State = Literal["attention", "fine", "not applicable"]

WIDE = 0.1  # an interval of the accuracy wider than this leaves much open
GAP = 0.1  # between training and new images
RARE = 0.2  # of the commonest class's images
BORDER = 0.55  # of the heat; spread evenly, 0.44 of it lies there
SURE = 0.95
SAME = 0.9999  # cosine of embeddings of one and the same picture
UNFAMILIAR = 0.05
LEFT_OUT = 0.02
COSTLY = "it answers by the least expected cost, not by what is most probable."


@dataclass(frozen=True)
class Finding:
    """One finding: its code, a few words, how it stands, and a sentence with its numbers (and what to do)."""

    code: str
    title: str
    state: State
    sentence: str


Check = Callable[[RunFiles], Finding]


def few_images(files: RunFiles) -> Finding:
    """HS001: whether there are enough test images for the accuracy to say something."""
    accuracy = files.evaluation.headline["accuracy"]
    title = "Enough test images"
    if accuracy.n >= FEW and (accuracy.low is None or accuracy.high is None):
        return _attention(
            "HS001", "One group alone",
            f"All {many(accuracy.n, 'image')} are of one group, which says nothing of others. Test on more "
            "groups: a larger share for --test, and another --out.",
        )  # fmt: skip
    if accuracy.low is None or accuracy.high is None:
        return _attention(
            "HS001", "Too few test images",
            f"{many(accuracy.n, 'image')} cannot show how good the model is; from {FEW} on there "
            "is an interval. "
            "Collect more, or train anew with a larger share for --test and another --out.",
        )  # fmt: skip
    width, groups = accuracy.high - accuracy.low, files.predictions.grouped
    within = "" if groups is None else f" in {many(int(groups.max()) + 1, 'group')}"
    said = (
        f"{many(accuracy.n, 'image')}{within} settle the accuracy to {100 * width:.1f} points (95 % interval)"
    )
    if width > WIDE:
        return _attention(
            "HS001", "Few test images", f"{said}. A better and a worse model would look alike: collect more."
        )
    return Finding("HS001", title, "fine", f"{said}.")


def beats_majority(files: RunFiles) -> Finding:
    """HS002: whether the model is better than always giving the commonest class."""
    headline = files.evaluation.headline
    accuracy, baseline = headline["accuracy"], headline["majority_accuracy"].value
    if files.predictions.rule.costs:
        return _not_applicable("HS002", "Better than one answer for all", COSTLY)
    if accuracy.low is None:
        return _not_applicable("HS002", "Better than one answer for all", "there are too few images to say.")
    said = f"always the commonest class would be right for {percent(baseline)}"
    if accuracy.low <= baseline:
        return _attention(
            "HS002", "No better than one answer for all",
            f"The accuracy is {percent(accuracy.value)} and may be as low as "
            f"{percent(accuracy.low)}; {said}.",
        )  # fmt: skip
    return Finding(
        "HS002", "Better than one answer for all", "fine",
        f"The accuracy is at least {percent(accuracy.low)} (95 %); {said}.",
    )  # fmt: skip


def beats_nearest(files: RunFiles) -> Finding:
    """HS003: whether the model is better than giving the class of the most similar training image."""
    title, headline = "Better than the nearest training image", files.evaluation.headline
    accuracy, nearest = headline["accuracy"], headline.get("nearest_accuracy")
    if nearest is None:
        return _not_applicable(
            "HS003", title, "the classes of the training images are not known to this bundle."
        )
    if files.predictions.rule.costs:
        return _not_applicable("HS003", title, COSTLY)
    if accuracy.low is None:
        return _not_applicable("HS003", title, "there are too few images to say.")
    said = f"{percent(accuracy.value)} beside {percent(nearest.value)} by the class of the most similar one"
    if accuracy.value <= nearest.value:
        return _attention(
            "HS003", "No better than the nearest training image",
            f"The accuracy is {said}: training has added nothing, so look at the labels and at "
            "--strategy finetune.",
        )  # fmt: skip
    if (chance := _chance_beside_nearest(files.predictions)) >= SIGNIFICANT:
        return _attention(
            "HS003", "Hardly better than the nearest training image",
            f"The accuracy is {said}. Two equally good ones differ as much in {percent(chance)} of cases: "
            "more test images would tell, and --strategy finetune may add something.",
        )  # fmt: skip
    return Finding("HS003", title, "fine", f"The accuracy is {said}.")


def _chance_beside_nearest(said: Predictions) -> float:
    """Of so large a difference, were the model and the most similar training image equally good."""
    assert said.around is not None
    truth = [said.class_names[i] for i in said.y_true]
    nearest = np.array([one == other for one, other in zip(truth, said.around.label, strict=True)])
    return paired(nearest, said.right, said.grouped)


def overfitting(files: RunFiles) -> Finding:
    """HS004: whether the model is much better on the images that it was trained on."""
    title, headline = "Training and new images", files.evaluation.headline
    row = _chosen_row(files)
    if row is None or files.split != "test":
        return _not_applicable("HS004", title, "the run has no history of its training.")
    if files.predictions.rule.costs:
        return _not_applicable("HS004", title, COSTLY)
    if np.isnan(float(row["accuracy"])):
        return _not_applicable("HS004", title, "what was kept was not trained in steps.")
    gap = float(row["accuracy"]) - headline["accuracy"].value
    said = (
        f"{percent(float(row['accuracy']))} of the training images are right and "
        f"{percent(headline['accuracy'].value)} of new ones"
    )
    if gap > GAP:
        return _attention(
            "HS004", "It knows its training images by heart",
            f"{said}. More images, augmentation or a stronger regularisation would help.",
        )  # fmt: skip
    return Finding("HS004", title, "fine", f"{said}.")


def leak(files: RunFiles) -> Finding:
    """HS005: whether test images are also among the training images."""
    title, around = "Nothing leaks from training", files.predictions.around
    if around is None or files.split != "test":
        return _not_applicable("HS005", title, "the training images are not known here.")
    same = np.flatnonzero(around.similarity > SAME)
    if len(same):
        i = int(same[0])
        return _attention(
            "HS005", "Test images that were trained on",
            f"{many(len(same), 'test image')} look the same to the network as a training image, such as "
            f"{quoted(files.predictions.paths[i])} and {quoted(around.nearest[i])}: the accuracy flatters.",
        )  # fmt: skip
    train = 0 if files.manifest is None else int(files.manifest.counts()["train"].sum())
    some = f"; {LIMIT:,} of the {train:,} are known to the model" if train > LIMIT else ""
    return Finding(
        "HS005", title, "fine",
        "No test image looks the same to the network as a training image (the most alike: "
        f"{around.similarity.max():.4f}{some}).",
    )  # fmt: skip


def imbalance(files: RunFiles) -> Finding:
    """HS006: whether a class is so rare that it was hardly learned."""
    title = "Classes of like size"
    if files.manifest is None:
        return _not_applicable("HS006", title, "the run has no manifest.")
    counts = files.manifest.counts()["train"]
    rarest, commonest = str(counts.idxmin()), str(counts.idxmax())
    share = counts[rarest] / counts[commonest]
    said = (
        f"{quoted(rarest)} has {many(int(counts[rarest]), 'training image')}, {quoted(commonest)} "
        f"{int(counts[commonest]):,}"
    )
    if share == 1:
        each = many(int(counts[rarest]), "training image")
        return Finding("HS006", title, "fine", f"Every class has {each}.")
    if share >= RARE:
        return Finding("HS006", title, "fine", f"{said}.")
    rows = files.evaluation.per_class.set_index("class")
    weights = files.info.get("config", {}).get("training", {}).get("class_weight")
    advice = "" if weights == "balanced" else " Try --class-weight balanced."
    return _attention(
        "HS006", "A rare class",
        f"{said}; {_found(rows, rarest)}, {_found(rows, commonest)}.{advice}",
    )  # fmt: skip


def _found(rows: pd.DataFrame, name: str) -> str:
    if not rows["n"][name]:
        return f"none of {quoted(name)} is among these images"
    return f"{percent(float(rows['recall'][name]))} of {quoted(name)} are found"


def calibration(files: RunFiles) -> Finding:
    """HS007: whether the probabilities mean what they say."""
    said, ece = files.predictions, files.evaluation.headline["ece"]
    if ece.low is None:
        return _not_applicable("HS007", "Honest probabilities", "there are too few images to say.")
    if said.grouped is not None:
        return _not_applicable(
            "HS007",
            "Honest probabilities",
            "the images come in groups, of which chance makes more than of single ones.",
        )
    mean, highest = expected_by_chance(said.confidence)
    gap = float(said.confidence.mean() - said.right.mean())
    words = (
        f"Confidence and accuracy differ by {100 * ece.value:.1f} points on average; honest "
        "probabilities would show "
        f"{100 * mean:.1f} on so many images, and at most {100 * highest:.1f} in 95 % of cases"
    )
    if ece.value <= highest:
        return Finding("HS007", "Honest probabilities", "fine", f"{words}.")
    title = "Too sure of itself" if gap > 0 else "Surer than it says"
    return _attention("HS007", title, f"{words}. More validation images would settle the temperature better.")


def background(files: RunFiles) -> Finding:
    """HS008: whether answers rest on the border of the images rather than on what they show."""
    title, found = "Looks at what is in the picture", files.heatmaps
    if found is None or not len(found.rows):
        return _not_applicable("HS008", title, "no heatmap was made.")
    shares = np.array([border_share(heat[0].astype(np.float64)) for heat in found.heats])
    shares = shares[~np.isnan(shares)]
    if len(shares) < FEW:
        return _not_applicable("HS008", title, f"there are only {many(len(shares), 'heatmap')}.")
    share = float(np.median(shares))
    said = (
        f"{percent(share)} of the heat lies in the outer eighth of each side (median of "
        f"{len(shares):,} images); "
        "spread evenly it would be 43.8 %"
    )
    if share > BORDER:
        return _attention(
            "HS008", "Looks at the border",
            f"{said}. The answers may rest on the background or the frame: look at the heatmaps, and crop.",
        )  # fmt: skip
    return Finding("HS008", title, "fine", f"{said}.")


def weak_class(files: RunFiles) -> Finding:
    """HS009: whether a class is found much less often than the others."""
    from scipy.stats import norm

    table = files.evaluation.per_class
    known = table[table["n"] >= FEW]
    if len(known) < 2:
        return _not_applicable(
            "HS009", "No class is left behind", f"fewer than two classes have {FEW} images here."
        )
    overall, said = files.evaluation.headline["accuracy"].value, files.predictions
    # Of many classes chance alone leaves some behind: each is judged so that all are right in 95 %.
    z = -float(norm.ppf(0.025 / len(known)))
    high = [classwise.share(said, said.y_true == c, z)[2] for c in known.index]
    known = known.assign(recall_high=high)
    weak = known[known["recall_high"] < overall - GAP].sort_values("recall")
    if weak.empty:
        worst = known.sort_values("recall").iloc[0]
        return Finding(
            "HS009", "No class is left behind", "fine",
            f"The least is found of {quoted(worst['class'])}: {percent(worst['recall'])} of {worst['n']:,}.",
        )  # fmt: skip
    worst = weak.iloc[0]
    more = f", and {many(len(weak) - 1, 'class')} more" if len(weak) > 1 else ""
    return _attention(
        "HS009", "A weak class",
        f"Of {quoted(worst['class'])} only {percent(worst['recall'])} are found ({worst['n']:,} "
        "images; at most "
        f"{percent(worst['recall_high'])}), where {percent(overall)} of all are right{more}.",
    )  # fmt: skip


def unfamiliar(files: RunFiles) -> Finding:
    """HS010: whether many of the images are unlike the training images."""
    title, rule = "Like the training images", files.predictions.rule
    if rule.distance is None or files.predictions.around is None:
        return _not_applicable("HS010", title, "this bundle knows no limit of the distance.")
    found = proportion(files.predictions.decisions == "unfamiliar", files.predictions.grouped)
    said = (
        f"{percent(found.value)} of {many(found.n, 'image')} are farther from the training images "
        "than 99 % of the validation images are"
    )
    if found.low is not None and found.low > UNFAMILIAR:
        return _attention(
            "HS010",
            "Unlike the training images",
            f"{said}: they come from elsewhere, and were not trained for.",
        )
    return Finding("HS010", title, "fine", f"{said}.")


def odd_labels(files: RunFiles) -> Finding:
    """HS011: whether some mistakes look like wrong labels: more than such confidences announce."""
    from scipy.stats import poisson

    said, title = files.predictions, "Plausible labels"
    sure = ~said.right & (said.confidence >= SURE)
    agreeing = sure
    if said.around:
        answer = np.array([said.class_names[i] for i in said.y_pred])
        agreeing = sure & (np.array(said.around.label) == answer)
    announced = float((1 - said.confidence[said.confidence >= SURE]).sum())
    if count := int(agreeing.sum()):
        near = " and their most similar training image agrees with the model" if said.around else ""
        words = (
            f"{many(count, 'image')} got an answer of at least {percent(SURE)} against the label{near}; "
            f"by such confidences some {announced:.1f} would be wrong"
        )
        if count > poisson.ppf(0.95, announced):
            return _attention(
                "HS011", "Labels to look at", f"{words}: they are among the first of the mistakes."
            )
        return Finding("HS011", title, "fine", f"{words}.")
    if count := int(sure.sum()):
        return Finding(
            "HS011", title, "fine",
            f"{many(count, 'answer')} of at least {percent(SURE)} against the label, but the most similar "
            "training image is not on the model's side.",
        )  # fmt: skip
    return Finding("HS011", title, "fine", f"No answer of at least {percent(SURE)} contradicts its label.")


def flattering(files: RunFiles) -> Finding:
    """HS012: whether validation, on which things were chosen, looked better than the test does."""
    title, row = "Validation and test agree", _chosen_row(files)
    accuracy = files.evaluation.headline["accuracy"]
    if row is None or files.split != "test" or files.validation is None:
        return _not_applicable("HS012", title, "there is no validation accuracy to compare with.")
    if accuracy.high is None:
        return _not_applicable(
            "HS012", title, "there are too few test images, or groups of them, to compare."
        )
    if files.predictions.rule.costs:
        return _not_applicable("HS012", title, COSTLY)
    val = float(row["val_accuracy"])
    chosen = files.validation
    said = (
        f"{percent(val)} of the validation images are right and {percent(accuracy.value)} of the test images"
    )
    share, low, _ = ends(chosen.right, chosen.grouped)
    wide = np.hypot(share - low, accuracy.high - accuracy.value)
    if val - accuracy.value > wide:
        return _attention(
            "HS012", "Validation flattered",
            f"{said}; by chance alone they would hardly be {100 * wide:.1f} points apart: trust the test.",
        )  # fmt: skip
    return Finding("HS012", title, "fine", f"{said}.")


def left_out(files: RunFiles) -> Finding:
    """HS013: whether many files could not be used."""
    title = "Files that could be used"
    if files.ledger is None or files.manifest is None:
        return _not_applicable("HS013", title, "the run has no ledger.")
    out = files.ledger[files.ledger["action"] == "left out"]
    whole = out["path"].str.endswith("/")
    lost = int(out.loc[~whole, "path"].nunique())
    share = lost / (lost + len(files.manifest))
    said = f"{many(lost, 'file')} of {lost + len(files.manifest):,} were left out"
    if folders := int((whole & (out["check"] != "empty-class")).sum()):
        return _attention(
            "HS013", "Files were left out",
            f"{many(folders, 'folder')} with all in it, and of the rest {said}; the ledger says why.",
        )  # fmt: skip
    if share > LEFT_OUT:
        return _attention("HS013", "Files were left out", f"{said} ({percent(share)}); the ledger says why.")
    return Finding("HS013", title, "fine", f"{said}.")


def served(files: RunFiles) -> Finding:
    """HS014: whether the saved model answers as the one that was trained."""
    title, found = "What was trained is what answers", files.parity
    if found is None:
        return _not_applicable("HS014", title, "there is no parity certificate.")
    said = (
        f"On {many(int(found['images']), 'held-out image')} a probability differs by "
        f"{plain(found['max_difference'])} at most "
        f"from Keras's, where {found['tolerance']:g} is allowed"
    )
    if not found["passed"]:
        return _attention("HS014", "The saved model answers differently", f"{said}.")
    return Finding("HS014", title, "fine", f"{said}.")


CHECKS: tuple[Check, ...] = (
    few_images, beats_majority, beats_nearest, overfitting, leak, imbalance, calibration, background,
    weak_class, unfamiliar, odd_labels, flattering, left_out, served,
)  # fmt: skip
"""In the order of their codes, HS001 first."""


def findings(files: RunFiles) -> list[Finding]:
    """All of them; what calls for attention comes first, then by code."""
    order = {"attention": 0, "fine": 1, "not applicable": 2}
    return sorted((check(files) for check in CHECKS), key=lambda found: (order[found.state], found.code))


def _attention(code: str, title: str, sentence: str) -> Finding:
    return Finding(code, title, "attention", sentence)


def _not_applicable(code: str, title: str, reason: str) -> Finding:
    return Finding(code, title, "not applicable", f"Not applicable: {reason}")


def _chosen_row(files: RunFiles) -> Mapping[str, Any] | None:
    """The row of the history that the model was taken from."""
    if files.history is None or files.history.empty:
        return None
    rows = files.history[files.history["phase"] == files.history["phase"].iloc[-1]]
    head = files.info.get("head", {})
    for column in ("C", "epoch"):
        if column in head and column in rows:
            near = (rows[column] - float(head[column])).abs()
            if near.notna().any():
                return dict(rows.loc[near.idxmin()])
    return dict(rows.loc[rows["val_loss"].idxmin()])
