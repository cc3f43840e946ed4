"""`headstart evaluate`."""

from __future__ import annotations

from pathlib import Path

from headstart.config import AnyEngine


def evaluate(
    run: Path,
    data: str | None = None,
    /,
    *,
    cost: tuple[str, ...] = (),
    max_error: float | None = None,
    engine: AnyEngine = "auto",
) -> None:
    """Evaluate a trained model on its own test split, or on other labelled images.

    Of other images those are left out that the model was trained or chosen on.
    With --cost or --max-error the saved model decides by them from then on. With another --engine the numbers
    go to a folder of their own, `evaluation/test-ENGINE`, and the report stays as it is.

    Args:
        run: Run directory.
        data: Other labelled images with the same class names, in the forms that `train` takes.
        cost: `TRUE:ANSWER=N`: this mistake costs N, others 1; may be repeated.
        max_error: Share of accepted answers that may be wrong, by the validation images. 0: all are accepted.
        engine: Another engine than the one the model was trained with.
    """
    from headstart import pipeline
    from headstart.cli.tables import print_metrics
    from headstart.progress import shown

    options: dict[str, object] = {"max_error": max_error} if max_error is not None else {}
    if cost:
        options["cost"] = cost
    other = "" if engine == "auto" else engine
    with shown():
        evaluation = pipeline.evaluate(run, data, other, **options)
    print_metrics(evaluation, pipeline.place_of_evaluation(run, data, other))
