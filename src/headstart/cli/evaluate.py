"""`headstart evaluate`."""

from __future__ import annotations

from pathlib import Path

from headstart.config import Engine


def evaluate(run: Path, data: str | None = None, /, *, engine: Engine = "auto") -> None:
    """Evaluate a trained model on its own test split, or on other labelled images.

    Args:
        run: Run directory.
        data: Other labelled images with the same class names, in the forms that `train` takes.
        engine: Another engine than the one the model was trained with.
    """
    from headstart import pipeline
    from headstart.cli.tables import print_metrics
    from headstart.progress import shown

    with shown():
        evaluation = pipeline.evaluate(run, data, "" if engine == "auto" else engine)
    print_metrics(evaluation)
