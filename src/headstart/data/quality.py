"""What the images are worth: each file is read once; nothing is dropped without a row in the ledger."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from headstart.data import images, ledger
from headstart.data.ledger import Row
from headstart.data.loader import ahead
from headstart.errors import ImageError
from headstart.progress import track


@dataclass(frozen=True)
class Facts:
    """What one reading of a file tells: the SHA-256 of its bytes, its size as displayed."""

    sha256: str
    width: int
    height: int


def inspect(path: Path) -> Facts | ImageError:
    """Reads, hashes and decodes one file; an image that can't be used is an answer, not an exception."""
    try:
        data = images.read(path)
        height, width, _ = images.decode(data).shape
    except ImageError as error:
        return error
    return Facts(hashlib.sha256(data).hexdigest(), width, height)


def check(rows: list[Row], root: Path, threads: int | None = None) -> tuple[list[Row], list[Row]]:
    """Looks into every file of `rows`, on all cores, with a progress bar; Ctrl-C stops it at once.

    Args:
        rows: an image each, with ``path`` and ``label``; they are not changed.
        root: the folder that the paths are relative to.
        threads: how many read and decode at the same time; as many as there are cores by default.

    Returns:
        The usable rows, with ``sha256``, ``width`` and ``height``, and rows for the ledger: files left out
        (what `images.decode` refuses; ``two-labels``: the same bytes in two classes) and kept ones that
        are an ``exact-duplicate``.
    """
    usable: list[Row] = []
    entries: list[Row] = []
    for row, facts in zip(rows, _inspected(rows, root, threads), strict=True):
        if isinstance(facts, ImageError):
            entries.append(ledger.row(str(row["path"]), facts.check, str(facts), "left out"))
        else:
            usable.append(row | vars(facts))
    kept, doubtful = _compared(usable)
    return kept, entries + doubtful


def _inspected(rows: list[Row], root: Path, threads: int | None) -> Iterator[Facts | ImageError]:
    workers = threads or len(os.sched_getaffinity(0))
    paths = (root / str(row["path"]) for row in rows)
    results = ahead(inspect, paths, workers, window=8 * workers)
    return track(results, "Checking images", len(rows))


def _compared(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """Rows less those whose bytes have two labels, and what to say about copies."""
    copies: dict[str, list[Row]] = {}
    for row in rows:
        copies.setdefault(str(row["sha256"]), []).append(row)
    two_labels = {sha for sha, same in copies.items() if len({row["label"] for row in same}) > 1}
    entries = [
        entry
        for sha, same in copies.items()
        if len(same) > 1
        for entry in (_contradiction(same) if sha in two_labels else _duplicates(same))
    ]
    return [row for row in rows if row["sha256"] not in two_labels], entries


def _contradiction(same: list[Row]) -> Iterator[Row]:
    for row in same:
        other = next(one for one in same if one["label"] != row["label"])
        reason = f"The same image is {other['label']} in {other['path']}. Remove the wrong one."
        yield ledger.row(str(row["path"]), "two-labels", reason, "left out")


def _duplicates(same: list[Row]) -> Iterator[Row]:
    first = same[0]["path"]
    for row in same[1:]:
        reason = f"Its bytes are those of {first}."
        yield ledger.row(str(row["path"]), "exact-duplicate", reason, "kept")
