"""`headstart export`."""

from __future__ import annotations

from pathlib import Path

from headstart.config import ExportFormat
from headstart.errors import printable, word


def export(
    run: Path,
    /,
    *,
    to: ExportFormat,
    out: Path | None = None,
    int8: bool = False,
    max_drop: float | None = None,
) -> None:
    """Export a trained model for other programs, with proof that it answers as it did here.

    Beside the model lie its labels, how a picture is made to fit
    (settings.json), a program that runs it without headstart (example.py),
    and the proof (parity.json).

    Args:
        run: Run directory, or its model folder.
        to: Format of the model.
        out: Folder for it; RUN/export/FORMAT by default.
        int8: In 8-bit integers, for OpenVINO; `headstart quantize` is done first if need be.
        max_drop: Points of accuracy that 8-bit integers may cost, 0.5 by default; a model that lost more is
            quantized anew.
    """
    from headstart import pipeline
    from headstart.progress import shown

    with shown():
        written = pipeline.export(run, to, out, int8, max_drop)
    print(f"{printable(written)}")
    print(f"Run it without headstart: python {word(written.parent / 'example.py')} PICTURE")
