"""Optimizer and loss of a phase, by Keras."""

from __future__ import annotations

from typing import Any

from headstart.backbones.framework import keras
from headstart.training.phases import Phase


def optimizer(phase: Phase, steps: int) -> Any:
    """The optimizer of `phase`, its rate rising and then falling by a cosine over so many steps.

    Reference: Loshchilov and Hutter 2017, arXiv:1608.03983 (cosine); 2019, arXiv:1711.05101 (AdamW).
    """
    optimizers = keras().optimizers
    rate = _rate(phase, steps)
    common: dict[str, Any] = {"global_clipnorm": phase.clip_norm or None}
    if phase.average:
        common |= {"use_ema": True, "ema_momentum": phase.average}
    if phase.optimizer == "adam":
        return optimizers.Adam(rate, **common)
    decay = phase.weight_decay or None
    if phase.optimizer == "sgd":
        made = optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=decay, **common)
    else:
        made = optimizers.AdamW(rate, weight_decay=decay or 0.0, **common)
    made.exclude_from_weight_decay(var_names=["bias"])
    return made


def _rate(phase: Phase, steps: int) -> Any:
    warmup = int(phase.warmup * steps)
    return keras().optimizers.schedules.CosineDecay(
        0.0 if warmup else phase.learning_rate,
        decay_steps=max(1, steps - warmup),
        warmup_target=phase.learning_rate if warmup else None,
        warmup_steps=warmup,
    )


def loss(phase: Phase) -> Any:
    """Cross-entropy of one-hot targets and logits, or the focal loss (Lin et al. 2017, arXiv:1708.02002)."""
    if phase.loss == "focal":
        return _focal(phase.label_smoothing)
    return keras().losses.CategoricalCrossentropy(from_logits=True, label_smoothing=phase.label_smoothing)


def _focal(smoothing: float) -> Any:
    """With the paper's exponent 2 and weight 0.25.

    Keras's own cuts probabilities off at 1e-7, so that the images that are most wrong have no gradient.
    """
    ops = keras().ops

    def focal(y: Any, logits: Any) -> Any:
        y = y * (1 - smoothing) + smoothing / y.shape[-1]
        logarithms = ops.log_softmax(logits)
        return -0.25 * ops.sum(y * ops.square(1 - ops.exp(logarithms)) * logarithms, axis=-1)

    return focal
