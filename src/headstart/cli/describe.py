"""`headstart describe`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from headstart.errors import printable

if TYPE_CHECKING:
    from headstart.inference.bundle import BundleSpec
    from headstart.inference.description import Layer


def describe(run: Path, /, *, format: Literal["table", "json"] = "table") -> None:
    """Describe a trained model: its layers, their shapes and parameters, and what was trained.

    Args:
        run: Run directory, or its model folder.
        format: Form of the answer.
    """
    from headstart import pipeline
    from headstart.inference.description import layers

    spec = pipeline.spec(run)
    rows = layers(spec)
    if format == "json":
        print(_as_json(spec, rows), end="")
    else:
        _print(spec, rows)


def _as_json(spec: BundleSpec, rows: list[Layer]) -> str:
    from dataclasses import asdict

    from headstart.rundir import to_json

    return to_json({"model": asdict(spec), "layers": [asdict(row) for row in rows], "total": _total(rows)})


def _total(rows: list[Layer]) -> dict[str, int]:
    parameters = sum(row.parameters for row in rows)
    trained = sum(row.parameters for row in rows if row.trained)
    return {
        "parameters": parameters, "trained": trained, "operations": sum(row.operations for row in rows),
    }  # fmt: skip


def _print(spec: BundleSpec, rows: list[Layer]) -> None:
    from headstart.cli.tables import print_table

    total = _total(rows)
    names = ", ".join(map(printable, spec.class_names[:8]))
    more = f" and {len(spec.class_names) - 8} more" if len(spec.class_names) > 8 else ""
    views = "1 view" if spec.views == 1 else f"{spec.views} views"
    engine = f"{spec.engine} ({spec.precision})"
    print(f"{spec.backbone}, head {spec.head}, {len(spec.class_names)} classes: {names}{more}")
    print(f"{spec.image_size} × {spec.image_size} pixels ({spec.fit}), {views}, {engine}\n")
    header = ("layer", "what it does", "output", "parameters", "million operations", "")
    print_table(header, [_row(row) for row in rows], ("output", *header[3:5]), {"trained": "green"})
    parameters, trained = total["parameters"], total["trained"]
    print(
        f"\n{parameters:,} parameters ({parameters * 4 / 1e6:,.1f} MB), {trained:,} of them trained here;"
        f" {total['operations'] * spec.views / 1e9:,.2f} billion multiplications an image"
    )


def _row(row: Layer) -> tuple[str, ...]:
    shape = " × ".join(map(str, row.shape))
    operations = f"{row.operations / 1e6:,.1f}" if row.operations else ""
    parameters = f"{row.parameters:,}" if row.parameters else ""
    return row.name, row.kind, shape, parameters, operations, "trained" if row.trained else ""
