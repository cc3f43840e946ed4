"""What `headstart data check` finds: the images, the ledger, and the near duplicates as pairs."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from headstart.config import DataConfig
from headstart.data.manifest import Manifest


@dataclass(frozen=True)
class Pair:
    """Two files that show the same picture.

    Attributes:
        first: path of one, relative to the manifest's root.
        second: path of the other.
        difference: root mean square of what is left after aligning them, in grey levels (0 to 255).
        how: how `second` comes from `first`, in words: ``saved anew``, ``turned by 90°``,
            ``mirrored left to right``, ``cropped to 91% × 90%``, …
    """

    first: str
    second: str
    difference: float
    how: str


@dataclass(frozen=True)
class DataCheck:
    """All that is known about a data set before anything is trained on it.

    Attributes:
        manifest: the usable images, with sizes, hashes, and splits ("" where none could be assigned).
        ledger: columns as in `ledger.COLUMNS`; a row for everything left out, ignored or doubtful.
        pairs: the near duplicates, nearest first.
        image_size: side in pixels of what the network would see.
    """

    manifest: Manifest
    ledger: pd.DataFrame
    pairs: tuple[Pair, ...]
    image_size: int = DataConfig.image_size
