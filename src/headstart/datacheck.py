"""The verb behind `headstart data check`: all that is wrong with a data set, as a page and a ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headstart import resume
from headstart.config import DataConfig, RunConfig, validated
from headstart.data import ledger, sources
from headstart.data.check import DataCheck
from headstart.data.examine import examine
from headstart.data.prepare import fingerprint
from headstart.errors import InputError, sentence
from headstart.report.data_page import render
from headstart.rundir import RunDir


def check(
    data: str | Path,
    out: str | Path | None = None,
    config: DataConfig | None = None,
    seed: int = 0,
    **options: Any,
) -> tuple[DataCheck, Path]:
    """Looks for all that is wrong with a data set, and leaves page, ledger and manifest in a folder.

    Args:
        data: as for `train`.
        out: the folder; ``runs/<name of data>-check`` by default.
        config: how the images would be grouped and split, all options at once; as `train` does by default.
        seed: of that split.
        **options: single options by name instead, as on the command line (``near_duplicates="ignore"``).

    Returns:
        What was found, and the folder.

    Raises:
        InputError: the data cannot be read at all, or `out` holds something else.
    """
    name = sources.name(str(data))
    run = RunDir(Path(out) if out else Path("runs") / f"{name}-check")
    resume.require_outside(run, data)
    resume.require_no_other(run)
    if unknown := sorted(options.keys() - vars(DataConfig()).keys()):
        allowed = ", ".join(vars(DataConfig()))
        raise InputError(
            sentence("There is no such option of data.", allowed=allowed, received=", ".join(unknown))
        )
    if config and options:
        raise InputError(sentence("Give a config or single options, not both.", received=", ".join(options)))
    asked = RunConfig(data=config, seed=seed) if config else RunConfig.from_options(seed=seed, **options)
    config = validated(asked).data
    found = examine(str(data), config, seed)
    found.manifest.save(run.manifest)
    ledger.save(found.ledger, run.data_report)
    render(found, run.data_page, name, fingerprint(found.manifest))
    return found, run.root
