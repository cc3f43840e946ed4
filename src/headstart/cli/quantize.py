"""`headstart quantize`."""

from __future__ import annotations

from pathlib import Path


def quantize(run: Path, /, *, max_drop: float = 0.5, time_limit: str = "10m") -> None:
    """Make a model ready to run in 8-bit integers, if validation images prove that it does no harm.

    From then on `--engine openvino-int8` and `headstart export --int8` can be
    chosen. What does most harm stays in float32. If more accuracy is lost than
    allowed, the model stays as it was, and the exit code is 1.

    Args:
        run: Run directory, with its images still in their place.
        max_drop: Percentage points of accuracy that may be lost on the validation images.
        time_limit: Such as `10m`; after it nothing further is tried.
    """
    from headstart import pipeline
    from headstart.progress import shown

    with shown():
        proof = pipeline.quantize(run, max_drop, time_limit)
    kept = f", {len(proof.left_out)} convolutions in float32" if proof.left_out else ""
    print(f"{proof.images:,} validation images: accuracy {proof.accuracy_int8:.2%} in 8-bit integers{kept},")
    print(f"{proof.accuracy:.2%} before; the same class on {proof.agreement:.1%}.")
    print("Use it with --engine openvino-int8, or export it with --to openvino --int8.")
