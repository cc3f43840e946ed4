"""Twenty steps above the boundary of a network on random maps: writes the hash of all that comes out of them.

Run as `python -m tests.faults.repeat BACKBONE PRECISION FOLDER`; the hash is left in the folder.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

CLASSES = 3


@dataclass(frozen=True)
class Drawn:
    """A source of maps in memory."""

    maps: np.ndarray

    def batch(self, rows: np.ndarray, view: int) -> tuple[np.ndarray, ...]:
        return (np.roll(self.maps[rows], view, axis=1),)


def main(arguments: list[str]) -> None:
    from headstart.backbones import classifier, heads, specs, weights
    from headstart.backbones.framework import keras
    from headstart.training import trainer
    from headstart.training.checkpoint import Checkpoints, State
    from headstart.training.sources import Examples

    name, precision, folder = arguments[0], arguments[1], Path(arguments[2])
    spec, size = specs.backbone(name), 224 if arguments[0] == "vgg16" else 64
    arrays = weights.random(spec, 0) | heads.random(spec, "gap", size, CLASSES, 0)
    k = keras()
    k.utils.set_random_seed(0)
    k.config.set_dtype_policy(precision)
    whole = classifier.build_classifier(spec, "gap", size, arrays, dropout=0.2)
    above = classifier.cut(whole, "block4_pool")[1]
    rng = np.random.default_rng(0)
    side, channels = size // 16, spec.channels("block4_pool")
    train, val = (
        Examples(
            Drawn(rng.exponential(size=(count, side, side, channels)).astype(np.float32)),
            np.arange(count), np.arange(count) % CLASSES, rng.uniform(0.5, 1, count), views,
        )
        for count, views in ((64, 2), (16, 1))
    )  # fmt: skip
    checkpoints = Checkpoints(folder)
    state = trainer.fit(trainer.Stage(above, phase(precision), train, val, 0), State(), {}, checkpoints)
    saved = checkpoints.load()
    assert saved
    assert len(state.history) == 6  # before the first epoch, and after each of five of four steps
    total = hashlib.sha256()
    for key, tensor in sorted(saved[1].items()):
        total.update(key.encode() + tensor.tobytes())
    for row in state.history:
        total.update(repr([value for column, value in row.items() if column != "seconds"]).encode())
    (folder / "hash").write_text(total.hexdigest())


def phase(precision: str):
    from headstart.config import RunConfig
    from headstart.training.phases import phases, resolved

    options = RunConfig.from_options(
        strategy="finetune", epochs=5, batch_size=16, dropout=0.2, average=0.9, patience=0, mix="mixup",
        precision=precision,
    )  # fmt: skip
    return phases(resolved(options))[-1]


if __name__ == "__main__":
    main(sys.argv[1:])
