"""From what a person has to a Manifest that can be trusted, and a ledger of everything that isn't in it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from headstart.config import DataConfig
from headstart.data import clusters, groups, ledger, manifest, near, quality, sources, split
from headstart.data.duplicates import Match
from headstart.data.extend import extend
from headstart.data.ledger import Row
from headstart.data.manifest import Manifest
from headstart.errors import InputError, printable, sentence
from headstart.progress import note
from headstart.rundir import RunDir


@dataclass(frozen=True)
class Found:
    """The usable images of a source, not yet split.

    Attributes:
        manifest: with hashes and groups.
        thumbs: (N, SIDE, SIDE) uint8.
        matches: its near duplicates.
        entries: rows for the ledger.
    """

    manifest: Manifest
    thumbs: np.ndarray
    matches: list[Match]
    entries: list[Row]

    @property
    def guesses(self) -> np.ndarray:
        """(M, 2) positions of images that seem to belong together: near duplicates and bursts."""
        near_pairs = [(match.first, match.second) for match in self.matches]
        pairs = np.array(near_pairs, np.int64).reshape(-1, 2)
        return np.concatenate([pairs, groups.bursts(self.manifest.table)])


def prepare(data: str, config: DataConfig, seed: int) -> tuple[Manifest, pd.DataFrame]:
    """Reads a source, checks every file, finds what belongs together, and splits.

    Args:
        data: a folder, a table, or a word as `sources.read` takes it.
        config: how to group and split.
        seed: of the split.

    Returns:
        The images, each with its split, and the ledger (columns as in `ledger.COLUMNS`).

    Raises:
        InputError: no such data, fewer than two classes, or a class with too few usable images.
    """
    found = look(data, config)
    try:
        assigned, entries = divide(found, config, seed)
        _refuse_weightless_classes(assigned)
    except InputError as error:
        raise InputError(f"{error}{_left_out(found.entries)}") from error
    return assigned, ledger.table([*found.entries, *entries])


def read(data: str, config: DataConfig) -> tuple[Manifest, pd.DataFrame]:
    """As `prepare`, less splitting: for images that are all to be used alike, in the groups that they have.

    Where they lack the column of groups, or no path fits the pattern, that is said, and each counts alone.
    """
    try:
        checked, entries = _read(data, config.group_column, 1)
    except InputError:
        if not config.group_column:
            raise
        checked, entries = _read(data, "", 1)
        note(f"Groups     no column {printable(config.group_column)} here: each image counts alone")
    images = checked.manifest
    if config.group_regex and not (images.table["group"] != "").any():
        try:
            found = groups.by_regex(images.table, config.group_regex)
            images = replace(images, table=images.table.assign(group=found))
        except InputError:
            note("Groups     no path here fits the run's --group-regex: each image counts alone")
    return images, ledger.table(entries)


def look(data: str, config: DataConfig) -> Found:
    """Reads a source, checks every file, and finds what belongs together."""
    checked, entries = _read(data, config.group_column, 2)
    images = checked.manifest
    if config.group_regex:
        if (images.table["group"] != "").any():
            raise InputError(
                sentence(
                    "The table says already which images belong together.",
                    allowed="groups by a column, or by --group-regex",
                    received=config.group_regex,
                    remedy="Write all groups into the column, or leave the column or --group-regex out.",
                )
            )
        images = replace(
            images, table=images.table.assign(group=groups.by_regex(images.table, config.group_regex))
        )
    wanted = config.near_duplicates == "together"
    matches = near.near_duplicates(images, checked.thumbs) if wanted else []
    return Found(images, checked.thumbs, matches, [*entries, *near.entries(images, matches)])


def divide(found: Found, config: DataConfig, seed: int) -> tuple[Manifest, list[Row]]:
    """Splits what was found, anew or as an earlier run did, and says what was noteworthy."""
    _, passed_over = clusters.clusters(found.manifest.table, found.guesses)
    entries = [_large(found.manifest, rows) for rows in passed_over]
    if config.extend:
        before = earlier(Path(config.extend))
        assigned, bridges = extend(found.manifest, before, config.val, config.test, seed, found.guesses)
        return assigned, [*entries, *bridges, *split.moved(found.manifest, assigned)]
    assigned = split.assign(found.manifest, config.val, config.test, seed, found.guesses)
    return assigned, [*entries, *split.moved(found.manifest, assigned)]


def _refuse_weightless_classes(images: Manifest) -> None:
    """A class that weighs nothing in training would never be answered; the split may have had it so."""
    train = images.table[images.table["split"] == "train"]
    weights = train.groupby("label", observed=True)["weight"].sum()
    if idle := sorted(str(name) for name in weights.index[weights == 0]):
        raise InputError(
            sentence(
                f"All images of the class '{printable(idle[0])}' that the split leaves to train on weigh 0.",
                allowed="a weight above 0 for some image of each class",
                remedy="Give more of them a weight, or try another --seed.",
            )
        )


def fingerprint(images: Manifest) -> str:
    """SHA-256 of the images, their labels, split, weights and groups, whatever files and groups are named."""
    table = images.table
    columns = [table["sha256"], table["label"], table["split"]]
    if (table["weight"] != 1).any():
        columns.append(table["weight"].map("{:.17g}".format))
    if (table["group"] != "").any():
        first = table.groupby("group", observed=True)["sha256"].transform("min")
        columns.append(first.where(table["group"] != "", ""))
    lines = sorted(map("\t".join, zip(*columns, strict=True)))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _read(data: str, group_column: str, classes: int) -> tuple[quality.Checked, list[Row]]:
    source = sources.read(data, group_column, classes)
    listed, entries = manifest.from_rows(source.rows, source.root), source.ledger
    del source  # of a million images its rows would take half a gigabyte
    checked = quality.check(listed)
    # A class whose every file was left out must not vanish without a word.
    if lost := set(listed.class_names) - set(checked.manifest.class_names):
        raise InputError(
            sentence(
                f"The class '{printable(min(lost))}' has no usable image.",
                remedy="Replace its files, or remove its folder.",
            )
            + _left_out(checked.entries)
        )
    return checked, [*entries, *checked.entries]


def earlier(run: Path) -> Manifest:
    """The images of an earlier run, with their split.

    Raises:
        InputError: there is none, or its manifest is damaged.
    """
    path = RunDir(run).manifest
    if not path.is_file():
        raise InputError(
            sentence(
                "--extend needs an earlier run, with its manifest.parquet.",
                received=str(run),
                remedy="Give the run whose split is to be kept.",
            )
        )
    return manifest.load(path)


def _large(images: Manifest, rows: np.ndarray) -> Row:
    first = images.table["path"].iloc[rows[0]]
    reason = (
        f"{len(rows):,} images seem to show one picture or moment, this one among them: too many to believe."
        " They are split as if they were different; if they aren't, say so with --group-regex."
    )
    return ledger.row(first, "large-cluster", reason, "kept", float(len(rows)))


def _left_out(entries: list[Row], shown: int = 5) -> str:
    """Which files could not be used, as the end of an error's line: there is no ledger to look into yet."""
    names = [f"{printable(e['path'])} ({e['check']})" for e in entries if e["action"] == "left out"]
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return f" Left out: {', '.join(names[:shown])}{more}." if names else ""
