"""What earlier scans found, in the cache: a folder of Arrow files, each named by its content's SHA-256.

A row belongs to a path with the file's size and times, so that a changed file is simply not found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from headstart.data import images, thumbs
from headstart.data.facts import Facts
from headstart.errors import ImageError
from headstart.rundir import cache_dir, write_bytes

SCHEMA = pa.schema(
    [
        ("key", pa.binary(16)),  # see `key`
        ("sha256", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("kind", pa.string()),
        ("phash", pa.string()),
        ("check", pa.string()),  # "" of a usable image; else what `ImageError` says
        ("reason", pa.string()),
        ("thumb", pa.binary()),
    ]
)


def folder_of(root: Path) -> Path:
    """Where scans of `root` are kept, as long as decoder and thumbnails are what they are."""
    name = f"{root} {images.decoder()} {thumbs.SIDE}"
    return cache_dir() / "scans" / hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:32]


def key(path: Path, relative: str) -> bytes:
    """16 bytes that change when the file does; b"" where it cannot be asked.

    No program can set the time of a change (ctime) back, unlike that of a modification.
    """
    try:
        status = path.stat()
    except (OSError, ValueError):
        return b""
    stamp = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino} {relative}"
    return hashlib.blake2b(stamp.encode(errors="surrogateescape"), digest_size=16).digest()


def read(folder: Path, wanted: Mapping[bytes, int]) -> Iterator[tuple[int, Facts | ImageError]]:
    """Yields what is known of the files in `wanted`, with their positions there."""
    for shard in sorted(folder.glob("*.arrow")):
        try:
            content = shard.read_bytes()
        except FileNotFoundError:
            continue  # the cache was cleared a moment ago
        if hashlib.sha256(content).hexdigest()[:32] != shard.stem:
            continue  # of a damaged shard everything is read again
        table = pa.ipc.open_file(pa.BufferReader(content)).read_all()
        if table.schema != SCHEMA:
            continue  # another version of headstart has written it
        for row in table.to_pylist():
            if row["key"] in wanted:
                yield wanted[row["key"]], _facts(row)


def write(folder: Path, rows: Mapping[bytes, Facts | ImageError]) -> None:
    """Keeps a shard; writers never clash, as a name belongs to a content."""
    table = pa.Table.from_pylist([_row(name, facts) for name, facts in rows.items()], schema=SCHEMA)
    buffer = pa.BufferOutputStream()
    with pa.ipc.new_file(buffer, SCHEMA) as file:
        file.write_table(table)
    content = buffer.getvalue().to_pybytes()
    write_bytes(folder / f"{hashlib.sha256(content).hexdigest()[:32]}.arrow", content)


def _row(name: bytes, facts: Facts | ImageError) -> dict[str, Any]:
    if isinstance(facts, ImageError):
        return {"key": name, "check": facts.check, "reason": str(facts)}
    return {"key": name, "check": "", **vars(facts), "thumb": facts.thumb.tobytes()}


def _facts(row: dict[str, Any]) -> Facts | ImageError:
    if row["check"]:
        return ImageError(row["reason"], row["check"])
    pixels = np.frombuffer(row["thumb"], np.uint8).reshape(thumbs.SIDE, thumbs.SIDE)
    return Facts(row["sha256"], row["width"], row["height"], row["kind"], row["phash"], pixels)
