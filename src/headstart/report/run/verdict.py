"""The head of the page: the answer to the first question, and what was done in four lines."""

from __future__ import annotations

from headstart.evaluation.intervals import FEW
from headstart.report.files import RunFiles
from headstart.report.parts import Verdict
from headstart.report.wording import duration, interval, percent, quoted

NBSP = "\N{NO-BREAK SPACE}"

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
    settled = "" if low is None or high is None else f" (95 % interval {interval(low, high)})"
    if low is None and accuracy.n >= FEW:
        comparison = "one group of images alone cannot show which is better"
    elif low is None:
        comparison = f"fewer than {FEW} images are too few to say which is better"
    elif files.predictions.rule.costs:
        comparison = "it answers by the least expected cost, for which fewer may be right"
    elif low > share:
        comparison = "the whole interval lies above that"
    else:
        comparison = "the interval reaches down to that, so these images do not show that the model is better"
    if files.predictions.grouped is not None:
        count = int(files.predictions.grouped.max()) + 1
        if count > 1:
            caution += f" They come in {count:,} groups, by which the interval is reckoned."
    subject = "image is" if accuracy.n == 1 else "images are"
    return Verdict(
        value=percent(accuracy.value),
        claim=f"of {accuracy.n:,} {kind} {subject} right{settled}.",
        baseline=f"Always answering {quoted(matrix.index[commonest])} would be right for {percent(share)}; "
        f"{comparison}.",
        caution=caution,
        place=tuple(100 * (accuracy.value if end is None else end) for end in (low, accuracy.value, high)),
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
