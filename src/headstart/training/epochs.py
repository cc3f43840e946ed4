"""The probe by Keras epochs with early stopping, for those who want to see it learn."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from headstart.backbones.framework import keras
from headstart.backbones.specs import Part
from headstart.training.head import Fitted, Labelled, rows, scaling

PATIENCE = 10  # epochs without a lower validation loss before it stops
BATCH = 32
LEARNING_RATE = 1e-3


def fit_epochs(
    train: Labelled, val: Labelled, weight: np.ndarray, parts: Sequence[Part], epochs: int, seed: int
) -> Fitted:
    """Adam on a dense layer over scaled features; the epoch with the lowest validation loss is kept.

    Args:
        train: (N, views, D) features and (N,) class indices; every class occurs.
        val: the same, of the images that decide when to stop.
        weight: (N,) of each training image in the loss.
        parts: of a feature vector, see `Backbone.parts`.
        epochs: at most.
        seed: of the initial weights and the order of the images.
    """
    k = keras()
    k.utils.set_random_seed(seed)
    x, y, weight = rows(*train, weight)
    scale = scaling(x, parts)
    model = k.Sequential([k.Input((x.shape[1],)), k.layers.Dense(int(y.max()) + 1)])
    loss = k.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(k.optimizers.Adam(LEARNING_RATE), loss, weighted_metrics=["accuracy"])
    stop = k.callbacks.EarlyStopping("val_loss", patience=PATIENCE, restore_best_weights=True)
    clock = _clock(k)
    fitted = model.fit(
        scale(x),
        y,
        sample_weight=weight,
        validation_data=(scale(val[0].mean(axis=1)), val[1]),
        epochs=epochs,
        batch_size=BATCH,
        callbacks=[stop, clock],
        verbose=0,
    )
    kernel, bias = (np.asarray(array, np.float64) for array in model.layers[-1].get_weights())
    best = int(np.argmin(fitted.history["val_loss"]))
    return Fitted(scale.fold(kernel, bias), _rows(fitted.history, clock.seconds), {"epoch": float(best)})


def _clock(k: Any) -> Any:
    class Clock(k.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
        """Seconds of each epoch."""

        def __init__(self) -> None:
            super().__init__()
            self.seconds: list[float] = []

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.start = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.seconds.append(round(time.perf_counter() - self.start, 3))

    return Clock()


def _rows(history: dict[str, list[float]], seconds: list[float]) -> list[dict[str, Any]]:
    columns = ("loss", "accuracy", "val_loss", "val_accuracy")
    return [
        {"phase": "keras", "epoch": epoch}
        | {name: float(history[name][epoch]) for name in columns}
        | {"learning_rate": LEARNING_RATE, "seconds": seconds[epoch]}
        for epoch in range(len(seconds))
    ]
