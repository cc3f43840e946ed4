"""`headstart compare`."""

from __future__ import annotations

from pathlib import Path


def compare(first: Path, second: Path, /, *others: Path, split: str = "test") -> None:
    """Compare trained models on the same images: is another one really better than the first?

    The verdict is by accuracy: mid-p McNemar at 5 %, adjusted (Holm) where there are several.

    Args:
        first: Run that the others are compared with.
        second: Another run, tested on the same images.
        others: More runs.
        split: Name of the evaluation: `test`, or of other images that all were evaluated on.
    """
    from headstart import pipeline
    from headstart.cli.tables import print_comparisons

    runs = [second, *others]
    print_comparisons(first, runs, pipeline.compare([first, *runs], split))
