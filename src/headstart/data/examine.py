"""`headstart data check`: all that can be said about a data set before anything is trained on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from headstart.config import DataConfig
from headstart.data import ledger, near, prepare, properties
from headstart.data.check import DataCheck
from headstart.data.ledger import Row
from headstart.data.manifest import Manifest
from headstart.errors import InputError, printable

TINY = 10  # images: below it a class has nothing to be tested on
IMBALANCE = 10.0  # times as many images in the largest class as in the smallest


def examine(data: str, config: DataConfig, seed: int) -> DataCheck:
    """Looks at every file, compares all pictures, judges them, and tries the split.

    Raises:
        InputError: no such data, or fewer than two classes, or no such run to extend.
    """
    if config.extend:
        prepare.earlier(Path(config.extend))
    found = prepare.look(data, config)
    entries = [*found.entries, *properties.entries(found.manifest, found.thumbs), *_classes(found.manifest)]
    images = found.manifest
    try:
        images, rows = prepare.divide(found, config, seed)
    except InputError as error:
        rows = [ledger.row("./", "no-split", str(error), "kept")]
    return DataCheck(
        images, ledger.table([*entries, *rows]), near.pairs(found.manifest, found.matches), config.image_size
    )


def _classes(images: Manifest) -> Iterator[Row]:
    counts = images.table["label"].value_counts()
    for name, count in counts.items():
        if count < TINY:
            reason = f"The class '{printable(name)}' has {count} usable images: too few to be tested on."
            yield ledger.row(f"{name}/", "tiny-class", reason, "kept", float(count))
    if counts.max() > IMBALANCE * counts.min():
        most, least = printable(counts.idxmax()), printable(counts.idxmin())
        reason = (
            f"'{most}' has {counts.max():,} images and '{least}' {counts.min():,}: accuracy will speak of the"
            " first alone. Read recall class by class, and try --class-weight balanced."
        )
        yield ledger.row("./", "imbalance", reason, "kept", float(counts.max() / counts.min()))
