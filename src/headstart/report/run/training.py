"""How training went."""

from __future__ import annotations

import pandas as pd

from headstart.report import figures
from headstart.report.files import RunFiles
from headstart.report.parts import Drawing, Section


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
    fitted = (
        " That of validation is with a fitted temperature." if path and "val_calibrated_loss" in rows else ""
    )
    curves = {
        "loss": f"Lower is better.{fitted} {seen}",
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
