"""The wrong answers that the model was surest of, with what speaks for the answer and for the truth."""

from __future__ import annotations

import numpy as np

from headstart.data import images
from headstart.errors import ImageError
from headstart.evaluation.explain import A_CLASS, MISTAKES, shown_mistakes
from headstart.evaluation.predictions import Predictions
from headstart.report.files import RunFiles
from headstart.report.heat import coloured
from headstart.report.parts import Card, Section
from headstart.report.run.confusion import cell_name
from headstart.report.thumbnails import THUMBNAIL, Album, data_uri, resized
from headstart.report.wording import many, percent

ROOM = 15_000_000
"""Bytes that the pictures may take, as text."""


def mistakes(files: RunFiles) -> Section:
    """The gallery: mistakes, the surest first, and behind them some right answers for the matrix."""
    said = files.predictions.by_path()
    wrong = int((~said.right).sum())
    if not wrong:
        caption = "There is none among these images. Shown are some that are right."
    else:
        caption = f"{wrong:,} of {len(said):,} images are wrong. "
        taken = len(shown_mistakes(said))
        if wrong > taken:
            caption += (
                f"Shown are the {taken:,} the model was surest of, at most {A_CLASS} of a class "
                f"and {MISTAKES} in all; "
                f"{wrong - taken:,} are left out. "
            )
        caption += (
            "The surest come first: they point to wrong labels, odd pictures, or something the model has not "
            "learned. "
        )
    caption += f" Every prediction is in evaluation/{files.split}/predictions.parquet."
    cards, refused = _cards(files, said)
    if any(card.heats for card in cards):
        caption += " Heat shows what speaks for a class (Grad-CAM on the last map): yellow some, red most."
    if refused:
        caption += f" {many(refused, 'picture')} found no room on this page."
    return Section("mistakes", "Mistakes", caption, cards=cards)


def _cards(files: RunFiles, said: Predictions) -> tuple[tuple[Card, ...], int]:
    album = Album(ROOM)
    found = files.heatmaps
    heats = {} if found is None else dict(zip(found.rows.tolist(), found.heats, strict=True))
    wrong = shown_mistakes(said)
    right = [row for row in heats if said.right[row]]
    return tuple(_card(files, said, row, heats.get(row), album) for row in (*wrong, *right)), album.refused


def _card(files: RunFiles, said: Predictions, row: int, heat: np.ndarray | None, album: Album) -> Card:
    true, answer, names = int(said.y_true[row]), int(said.y_pred[row]), said.class_names
    picture = _square(files, said.paths[row])
    layers = [] if heat is None or picture is None else [_layer(one) for one in heat[: 1 + (true != answer)]]
    near = said.around
    return Card(
        src="" if picture is None else album.uri(picture),
        path=said.paths[row],
        true=names[true],
        answer=names[answer],
        confidence=percent(float(said.probabilities[row, answer])),
        truth=percent(float(said.probabilities[row, true])),
        heats=tuple(layers),
        cell=cell_name(true, answer),
        right=true == answer,
        decision=str(said.decisions[row]),
        nearest=near.label[row] if near else "",
    )


def _layer(heat: np.ndarray) -> str:
    """(H, W) uint8 as a transparent picture, which a browser smooths as it enlarges it."""
    return data_uri(coloured(heat / 255), "PNG")


def _square(files: RunFiles, path: str) -> np.ndarray | None:
    """The image as the network sees it, small; None where it isn't there any more.

    It is fitted at the network's size: at another, a crop leaves out other parts, or none.
    """
    if files.manifest is None:
        return None
    data = files.info.get("config", {}).get("data", {})
    size, fit = data.get("image_size", THUMBNAIL), data.get("fit", "letterbox")
    try:
        return resized(images.load(files.manifest.root / path, size, fit), THUMBNAIL)
    except ImageError:
        return None
