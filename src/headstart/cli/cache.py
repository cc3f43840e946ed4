"""`headstart cache`: what is kept between runs."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import cyclopts

from headstart.errors import printable

app = cyclopts.App(name="cache", help="See and clear what is kept between runs.")

Name = Literal["features", "maps", "scans", "near", "engines", "data", "weights", "all"]


@app.command
def info() -> None:
    """Show what the cache holds: files, size, and when any of it was last used."""
    from headstart import cache
    from headstart.cli.tables import print_table
    from headstart.rundir import cache_dir

    entries = cache.info()
    rows = [
        (entry.name, f"{entry.files:,}", size(entry.bytes), _when(entry.last_used), entry.what)
        for entry in entries
    ]
    print(f"{printable(cache_dir())} holds {size(sum(entry.bytes for entry in entries))}.\n")
    print_table(("part", "files", "size", "last used", "what"), rows, right=("files", "size"))


@app.command
def clear(*names: Name) -> None:
    """Remove parts of the cache. What runs need of it later is computed again.

    Args:
        names: Parts, or `all`; without a name all but `weights` and `data`, which may have been fetched.
    """
    from headstart import cache

    print(f"freed {size(cache.clear(names))}")


def size(count: float) -> str:
    """Bytes for people, in powers of ten.

    >>> size(0), size(999), size(1_500), size(2.5e12)
    ('0 B', '999 B', '1.5 kB', '2.5 TB')
    """
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.95:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:.1f} TB"


def _when(seconds: float | None) -> str:
    return "–" if seconds is None else f"{datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M}"
