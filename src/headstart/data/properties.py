"""What single pictures look like: dark, bright, blank, blurred, of an odd shape. cleanvision judges.

It looks at the thumbnails, and its own thresholds decide. Where more than one image in twenty is judged so,
that is what the set looks like, and one row says it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from headstart.data import ledger
from headstart.data.ledger import Row
from headstart.data.manifest import Manifest
from headstart.progress import track

COMMON = 0.05
NAMED = 20  # as many are named one by one, however small the set is


@dataclass(frozen=True)
class Look:
    """A check: cleanvision's name of it, its threshold and options there, and words."""

    check: str
    issue: str
    threshold: float
    options: dict[str, float]
    words: str


# Thresholds and options as in cleanvision 0.3.7 (ImagePropertyIssueManager.get_default_params).
LOOKS = (
    Look("dark", "dark", 0.32, {}, "very dark"),
    Look("bright", "light", 0.05, {}, "very bright"),
    Look("blank", "low_information", 0.3, {"normalizing_factor": 0.1}, "almost blank"),
    Look("blurred", "blurry", 0.29, {"normalizing_factor": 0.01, "color_threshold": 0.18}, "blurred"),
    Look("odd-shape", "odd_aspect_ratio", 0.35, {}, "long and narrow"),
)


def entries(manifest: Manifest, thumbs: np.ndarray) -> Iterator[Row]:
    """Yields rows for the ledger; `thumbs` are those of the manifest, in its order."""
    scores = _scores(manifest, thumbs)
    for look in LOOKS:
        score = scores[look.check].to_numpy()
        found = np.flatnonzero(score < look.threshold)
        if len(found) > max(NAMED, COMMON * len(score)):
            reason = f"{len(found):,} of {len(score):,} images are {look.words}: as they should be?"
            yield ledger.row("./", look.check, reason, "kept", len(found) / len(score))
            continue
        for at in found:
            path = manifest.table["path"].iloc[at]
            reason = f"The picture is {look.words}. Look whether it can be used."
            yield ledger.row(path, look.check, reason, "kept", round(float(score[at]), 4))


def _scores(manifest: Manifest, thumbs: np.ndarray) -> pd.DataFrame:
    """A row an image, a column a check: 0 (surely) to 1 (not at all)."""
    from cleanvision.issue_managers.image_property import (
        BlurrinessProperty,
        BrightnessProperty,
        EntropyProperty,
    )

    light = BrightnessProperty("light")
    judges: dict[str, Any] = {
        "dark": BrightnessProperty("dark"),
        "light": light,
        "low_information": EntropyProperty(),
        "blurry": BlurrinessProperty(),
    }
    measured = (light, judges["low_information"], judges["blurry"])
    pictures = map(Image.fromarray, thumbs)
    raw = pd.DataFrame(
        {name: value for judge in measured for name, value in judge.calculate(picture).items()}
        for picture in track(pictures, "Judging pictures", len(thumbs))
    )
    sizes = manifest.table[["width", "height"]].to_numpy()
    found = {"odd-shape": sizes.min(axis=1) / sizes.max(axis=1)}
    for look in LOOKS:
        if look.issue in judges:
            scores = judges[look.issue].get_scores(raw, look.issue, **look.options)
            found[look.check] = scores[f"{look.issue}_score"].to_numpy()
    return pd.DataFrame(found)
