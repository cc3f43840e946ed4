"""The near duplicates of a manifest, found once and then kept in the cache."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headstart.data import images, ledger, thumbs
from headstart.data.check import Pair
from headstart.data.duplicates import VERSION, Match, find
from headstart.data.ledger import Row
from headstart.data.manifest import Manifest
from headstart.rundir import atomic_file, cache_dir

SCHEMA = pa.schema(
    [("first", pa.int64()), ("second", pa.int64()), ("difference", pa.float64()), ("how", pa.string())]
)


def near_duplicates(manifest: Manifest, pictures: np.ndarray) -> list[Match]:
    """All pairs of near duplicates; positions are rows of the manifest.

    Of files with the same bytes only the first is compared.

    Args:
        manifest: with its hashes.
        pictures: (N, SIDE, SIDE) uint8, its thumbnails.
    """
    hashes = manifest.table["sha256"]
    unique = np.flatnonzero(~hashes.duplicated().to_numpy())
    content = "\n".join(sorted(hashes.iloc[unique]))
    order = unique[np.argsort(hashes.iloc[unique].to_numpy())]  # by content, so that names play no part
    key = f"{VERSION} {images.decoder()}\n{content}"
    kept = cache_dir() / "near" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.parquet"
    try:
        matches = [Match(**row) for row in pq.read_table(kept).to_pylist()]
    except (OSError, pa.ArrowException):  # not there, or damaged
        files, known = manifest.files, hashes.to_numpy()
        matches = find(pictures[order], lambda at, side: _larger(files[order[at]], known[order[at]], side))
        with atomic_file(kept) as temporary:
            pq.write_table(pa.Table.from_pylist(list(map(vars, matches)), schema=SCHEMA), temporary)
    at = order.tolist()
    return [replace(match, first=at[match.first], second=at[match.second]) for match in matches]


def _larger(file: Path, sha256: str, side: int) -> np.ndarray:
    return thumbs.thumb(images.decode(images.read_known(file, sha256), thumbs.NEEDED), side)


def pairs(manifest: Manifest, matches: list[Match]) -> tuple[Pair, ...]:
    """The matches, with paths instead of positions."""
    paths = manifest.table["path"]
    return tuple(Pair(paths[m.first], paths[m.second], m.difference, m.how) for m in matches)


def entries(manifest: Manifest, matches: list[Match]) -> list[Row]:
    """A row of the ledger for each pair, at the second file; pairs with two labels are named as such."""
    paths, labels = manifest.table["path"].to_numpy(), manifest.table["label"].to_numpy()
    rows = []
    for match in matches:
        check, advice = "near-duplicate", ""
        if labels[match.first] != labels[match.second]:
            check, advice = "near-duplicate-two-labels", f" That is {labels[match.first]}: one may be wrong."
        reason = f"The same picture as {paths[match.first]}, {match.how}.{advice}"
        rows.append(ledger.row(paths[match.second], check, reason, "kept", match.difference))
    return rows
