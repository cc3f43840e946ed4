"""The model card: what the model is for, by what it can be trusted, and where it can't."""

from __future__ import annotations

from typing import Any

from headstart.evaluation.intervals import Metric
from headstart.report.files import RunFiles
from headstart.report.parts import Section, Table
from headstart.report.wording import interval, many, percent

LICENCES = {"vgg16": "ImageNet weights of VGG16: Visual Geometry Group, Oxford, CC BY 4.0"}


def card(files: RunFiles) -> Section:
    """After Mitchell et al. 2019, arXiv:1810.03993."""
    info, said = files.info, files.predictions
    data, config = info.get("dataset", {}), info.get("config", {})
    model, training = config.get("model", {}), config.get("training", {})
    classes = ", ".join(said.class_names[:20]) + (" …" if len(said.class_names) > 20 else "")
    rows = {
        "Answers": f"one of {many(len(said.class_names), 'class')}: {classes}",
        "For": "images like those that it was trained on, taken in the same way",
        "Not for": "other kinds of images (they should come out as unfamiliar), several objects "
        "at once, or decisions "
        "that nobody looks at",
        "Trained on": _taught(files) if data else "",
        "Network": _network(model, training, files.info.get("head", {}).get("epoch", 1)),
        "Accuracy": _measured(files.evaluation.headline["accuracy"]),
        "Known weakness": _weakness(files),
        "Weights": _weights(model) if training.get("strategy") != "scratch" else "",
    }
    table = Table(
        "Model card", ("", ""), tuple((k, v) for k, v in rows.items() if v), text_columns=2, full=True
    )
    return Section("card", "Model card", "What to know before using this model.", tables=(table,))


def _weights(model: dict[str, Any]) -> str:
    """Where those that training began with came from."""
    own, name = str(model.get("weights") or ""), str(model.get("backbone"))
    return (
        f"{own}; under which licence is not known here" if own not in ("", name) else LICENCES.get(name, "")
    )


def _taught(files: RunFiles) -> str:
    if files.manifest is None:
        return str(files.info["dataset"]["data"])
    train, val = files.manifest.counts()[["train", "val"]].sum()
    chosen = f"chosen by {val:,} others"
    return f"{many(int(train), 'image')} from {files.info['dataset']['data']}, {chosen}"


def _network(model: dict[str, str], training: dict[str, str], epoch: float) -> str:
    """`epoch` is the one whose weights are kept, 0 for those that training began with."""
    if not model:
        return ""
    how = {
        "frozen": "pretrained and frozen, its head trained",
        "finetune": f"pretrained, its head trained and then {training.get('unfreeze')} with it"
        if epoch
        else "pretrained and frozen, its head trained: no epoch of fine-tuning was better",
        "scratch": "trained from random weights",
    }
    return f"{model['backbone']} with head {model['head']}, {how.get(str(training.get('strategy')), '')}"


def _measured(accuracy: Metric) -> str:
    known = (
        ""
        if accuracy.low is None or accuracy.high is None
        else f" ({interval(accuracy.low, accuracy.high)}, 95 %)"
    )
    return f"{percent(accuracy.value)}{known} on {many(accuracy.n, 'image')} that took no part in training"


def _weakness(files: RunFiles) -> str:
    table = files.evaluation.per_class
    table = table[table["n"] > 0]
    worst = table.sort_values("recall", kind="stable").iloc[0]
    if worst["recall"] == 1:
        return ""
    return f"{worst['class']}: {percent(worst['recall'])} of {many(int(worst['n']), 'image')} are found"
