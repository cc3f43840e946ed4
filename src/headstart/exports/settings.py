"""What stands beside an exported model: its classes, how pictures are made to fit, and when to believe it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from headstart.data.images import PADDING
from headstart.errors import printable
from headstart.exports import graph
from headstart.inference.bundle import BundleSpec
from headstart.rundir import write_json, write_text

LABELS, SETTINGS = "labels.txt", "settings.json"


def settings(spec: BundleSpec) -> dict[str, Any]:
    """As in ``settings.json``.

    ``fit`` is how a picture becomes the input; ``padding`` is its colour beside the picture. Answers less
    probable than ``thresholds.confidence`` are to be abstained from; the distance is measured by headstart
    alone. With ``costs`` [true, answer, cost] the answer is the class of the least expected cost.
    """
    return {
        "input": {"name": graph.IMAGE, "shape": [None, spec.image_size, spec.image_size, 3],
                  "dtype": "uint8", "colours": "RGB, as displayed"},
        "output": {"name": graph.PROBABILITIES, "shape": [None, len(spec.class_names)], "dtype": "float32"},
        "class_names": list(spec.class_names),
        "fit": spec.fit,
        "interpolation": "bicubic, antialiased",
        "padding": list(PADDING),
        "views": spec.views,
        "thresholds": asdict(spec.thresholds),
        "costs": [list(cost) for cost in spec.costs],
        "model": {"backbone": spec.backbone, "head": spec.head, "boundary": spec.boundary},
    }  # fmt: skip


def save(spec: BundleSpec, folder: Path) -> None:
    """Writes ``labels.txt``, a class a line in the order of the output, and ``settings.json``."""
    write_text(folder / LABELS, "".join(f"{printable(name)}\n" for name in spec.class_names))
    write_json(folder / SETTINGS, settings(spec))
