"""What was done, by what, and whether the saved model answers as the trained one."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from headstart.report.files import RunFiles
from headstart.report.parts import Section, Table, value_table
from headstart.report.wording import percent

STAGES = ("prepare", "features", "head", "top", "all", "parity", "evaluate")


def parity(files: RunFiles) -> Section:
    """Whether the saved model, as it is run, answers as the one that was trained."""
    title, found = "Parity", files.parity
    if found is None:
        return Section(
            "parity",
            title,
            "The run has no parity certificate: whether the saved model answers "
            "as the trained one was not checked.",
        )
    outcome = "Passed" if found["passed"] else "Failed"
    caption = (
        f"{outcome}. {found['images']:,} held-out images went from their files through Keras and through the "
        "saved model as it is run. "
        f"The predicted class is the same on {percent(found['top1_agreement'])}; a probability differs by "
        f"{found['max_difference']:.2g} at most, where {found['tolerance']:g} is allowed."
    )
    plain = {name: value for name, value in found.items() if name != "routes"}
    tables = (value_table("Certificate", plain), *_routes(found.get("routes", ())))
    return Section("parity", title, caption, tables=tables)


def _routes(routes: Sequence[Mapping[str, Any]]) -> Iterator[Table]:
    """Each way to an answer by itself; runs of earlier versions have one, and no list."""
    rows = tuple(
        (
            str(one["route"]),
            f"{one['engine']} ({one['precision']})",
            f"{one['images']:,}",
            percent(one["top1_agreement"]),
            f"{one['max_difference']:.2g}",
            f"{one['tolerance']:.4g}",
        )
        for one in routes
    )
    header = ("Asked by", "Engine", "Images", "Same class", "Largest difference", "Allowed")
    if rows:
        yield Table("Beside Keras", header, rows, text_columns=2, full=True)


def provenance(files: RunFiles) -> Section:
    """The exact command, options, versions, hardware and seconds."""
    info = files.info
    if not info:
        return Section("provenance", "Provenance", "The run has no run.json.")
    caption = "The command, and all that is needed to get the same numbers again."
    if not info.get("finished"):
        caption += " The run is not finished."
    seconds = info.get("seconds", {})
    order = sorted(seconds, key=lambda stage: STAGES.index(stage) if stage in STAGES else len(STAGES))
    stages = [(stage, f"{seconds[stage]:,.1f}") for stage in order]
    if stages:
        stages.append(("total", f"{sum(seconds.values()):,.1f}"))
    tables = [
        value_table("Options", dict(_options(_config(info)))),
        value_table("Head", info.get("head", {})),
        value_table("Engine", info.get("engine", {})),
        Table("Seconds", ("Stage", "Seconds"), tuple(stages)),
        value_table("Versions", info.get("versions", {})),
        value_table("Hardware", info.get("hardware", {})),
    ]
    return Section(
        "provenance",
        "Provenance",
        caption,
        code=shlex.join(str(word) for word in info.get("command", [])),
        tables=tuple(table for table in tables if table.rows),
    )


def _config(info: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options, with what `headstart evaluate` has set since."""
    config: Mapping[str, Any] = info.get("config", {})
    since = info.get("evaluation")
    return {**config, "evaluation": since} if since else config


def _options(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every option as it is typed."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _options(value)
        else:
            yield "--" + name.replace("_", "-"), value
