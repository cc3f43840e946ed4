"""Whether a confidence means what it says, and what to do with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from headstart.evaluation.calibration import (
    expected_by_chance,
    expected_calibration_error,
    reliability,
    risk_coverage,
)
from headstart.evaluation.intervals import FEW
from headstart.evaluation.predictions import Predictions
from headstart.report import curves, figures
from headstart.report.files import RunFiles
from headstart.report.parts import Drawing, Section, Slider
from headstart.report.wording import percent

STEPS = 200
"""Thresholds of the slider; its counts are by this fine a grid."""


def calibration(files: RunFiles) -> Section:
    """Reliability before and after the temperature, and what is gained by answering less often."""
    said = files.predictions
    if len(said) < FEW:
        return Section("calibration", "Calibration", f"Too few images to say (below {FEW}).")
    raw = replace(said, temperature=1.0)
    before, after = (expected_calibration_error(one.confidence, one.right) for one in (raw, said))
    mean, highest = expected_by_chance(said.confidence)
    caption = (
        f"A temperature of {said.temperature:.2f}, fitted on the validation images, moved the "
        "mean gap between "
        f"confidence and accuracy (ECE) from {percent(before)} to {percent(after)}. Confidences "
        "that mean exactly "
        f"what they say would show {percent(mean)} on so many images, and at most "
        f"{percent(highest)} in 95 % of cases."
    )
    tables = {
        "as trained": reliability(raw.confidence, raw.right),
        "served": reliability(said.confidence, said.right),
    }
    seen = (
        "On the diagonal a confidence is the share that is right; below it the model is too sure. "
        "Bars are 95 % intervals; larger dots have more images."
    )
    curve = risk_coverage(said.confidence, said.right)
    kept = "Going left, only the surest answers are accepted, and fewer of those are wrong."
    if said.rule.confidence > 0:
        kept += " The line is where this model abstains."
    accepted = float((said.confidence >= said.rule.confidence).mean()) if said.rule.confidence else None
    return Section(
        "calibration",
        "Calibration",
        caption,
        figures=(
            Drawing.of("reliability", curves.reliability(tables), seen),
            Drawing.of("risk_coverage", curves.risk_coverage(curve, accepted), kept),
        ),
    )


def decisions(files: RunFiles) -> Section:
    """How this model decides, and a slider to try other thresholds and costs."""
    said = files.predictions
    counts = {name: int((said.decisions == name).sum()) for name in ("accept", "abstain", "unfamiliar")}
    caption = _rule(said) + (
        f" Of these {len(said):,} images {counts['accept']:,} are accepted, {counts['abstain']:,} "
        f"abstained from and {counts['unfamiliar']:,} unfamiliar."
    )
    return Section("decisions", "Decisions", caption, slider=_slider(files))


def _rule(said: Predictions) -> str:
    rule, parts = said.rule, []
    if rule.costs:
        words = [
            f"{said.class_names[i]} taken for {said.class_names[j]} costs {cost:g}"
            for i, j, cost in rule.costs
        ]
        parts.append(f"It answers what costs least: {', '.join(words)}; every other mistake costs 1.")
    if rule.confidence:
        parts.append(f"It abstains below a confidence of {percent(rule.confidence)}.")
    if rule.distance is not None:
        parts.append(
            f"An image farther than {rule.distance:.2f} from the training images is called unfamiliar (they "
            "themselves lie about 1 away)."
        )
    return " ".join(parts) or "It answers with the most probable class, always."


def _slider(files: RunFiles) -> Slider:
    """Of each class shown, how many images of it and of others reach each probability."""
    said, kept = files.predictions, figures.most_confused(files.evaluation.confusion)
    own, rest = [], []
    for c in kept:
        truly, grid = said.y_true == c, np.minimum((said.probabilities[:, c] * STEPS).astype(int), STEPS - 1)
        own.append(tuple(np.bincount(grid[truly], minlength=STEPS).tolist()))
        rest.append(tuple(np.bincount(grid[~truly], minlength=STEPS).tolist()))
    names = tuple(said.class_names[c] for c in kept)
    rarest = int(np.argmin([sum(counts) for counts in own]))
    start = rarest if len(said.class_names) == 2 else 0
    return Slider(names, tuple(own), tuple(rest), start=start, two=len(said.class_names) == 2)
