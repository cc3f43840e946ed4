"""From what a person has to a Manifest that can be trusted, and a ledger of everything that isn't in it."""

from __future__ import annotations

import hashlib

import pandas as pd

from headstart.config import DataConfig
from headstart.data import ledger, manifest, quality, sources, split
from headstart.data.ledger import Row
from headstart.data.manifest import Manifest
from headstart.errors import InputError, printable, sentence


def prepare(data: str, config: DataConfig, seed: int) -> tuple[Manifest, pd.DataFrame]:
    """Reads a source, checks every file, and splits.

    Args:
        data: a folder, or a word of `sources.READERS`.
        config: `val` and `test` are used here.
        seed: of the split.

    Returns:
        The images, each with its split, and the ledger (columns as in `ledger.COLUMNS`).

    Raises:
        InputError: no such data, fewer than two classes, or a class with too few usable images.
    """
    found, entries = _read(data)
    try:
        assigned = split.assign(found, config.val, config.test, seed)
    except InputError as error:
        raise InputError(f"{error}{_left_out(entries)}") from error
    return assigned, ledger.table([*entries, *split.moved(found, assigned)])


def read(data: str) -> tuple[Manifest, pd.DataFrame]:
    """As `prepare`, less the splitting: for images that are all to be used alike."""
    found, entries = _read(data)
    return found, ledger.table(entries)


def fingerprint(images: Manifest) -> str:
    """SHA-256 of what the images are, how they are labelled and split; not of what the files are called."""
    table = images.table
    lines = sorted(map("\t".join, zip(table["sha256"], table["label"], table["split"], strict=True)))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _read(data: str) -> tuple[Manifest, list[Row]]:
    source = sources.read(data)
    rows, doubtful = quality.check(source.rows, source.root)
    # A class whose every file was left out must not vanish without a word.
    lost = {str(row["label"]) for row in source.rows} - {str(row["label"]) for row in rows}
    if lost:
        raise InputError(
            sentence(
                f"The class '{printable(min(lost))}' has no usable image.",
                remedy="Replace its files, or remove its folder.",
            )
            + _left_out(doubtful)
        )
    return manifest.from_rows(rows, source.root), [*source.ledger, *doubtful]


def _left_out(entries: list[Row], shown: int = 5) -> str:
    """Which files could not be used, as the end of an error's line: there is no ledger to look into yet."""
    names = [f"{printable(e['path'])} ({e['check']})" for e in entries if e["action"] == "left out"]
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return f" Left out: {', '.join(names[:shown])}{more}." if names else ""
