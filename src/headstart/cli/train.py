"""`headstart train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from headstart.config import RunConfig


def train(
    data: str,
    /,
    *,
    out: Path | None = None,
    config: Path | None = None,  # noqa: ARG001 - the command line has read it before it called this
    options: Annotated[RunConfig | None, Parameter(name="*")] = None,
) -> None:
    """Train a classifier on labelled images, evaluate it, and save all of it in a run directory.

    The same command on a killed run goes on, and on a finished one changes nothing.

    Args:
        data: A folder of class folders, a table (CSV, TSV, Parquet), cifar10:FILE, cifar100:FILE or elpv.
        out: Run directory; `runs/<name of data>` by default.
        config: TOML file of options by name, such as `seed = 3`; what is typed wins over it.
    """
    from headstart import pipeline
    from headstart.cli.tables import print_result
    from headstart.progress import shown

    with shown():
        run = pipeline.train(data, out, options or RunConfig())
    print_result(run)
