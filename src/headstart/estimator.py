"""`ImageClassifier`: the linear probe as a scikit-learn estimator, on paths or arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, column_or_1d

from headstart.backbones import specs, weights
from headstart.config import RunConfig
from headstart.data import images
from headstart.engines.choice import fastest
from headstart.errors import ImageError, InputError, sentence
from headstart.inference.softmax import softmax
from headstart.training import features, probe

Images = Sequence[str | Path] | np.ndarray

LINEAR = ("taps", "gap")
"""Heads that are one dense layer."""


class ImageClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Classifies images by a linear probe on the frozen features of a pretrained network.

    Features are cached by content, so cross-validation computes each image once. The regularisation is
    chosen on a stratified part of the training images; the probe is then refitted on all of them.

    Args:
        backbone: `vgg16`, or `vgg-tiny` for smoke tests.
        head: `taps` or `gap`.
        views: 1, or 8 dihedral views averaged.
        image_size: side in pixels of the square that the network sees.
        fit_mode: `letterbox`, `crop` or `stretch`.
        engine: `auto`, or an engine's name.
        class_weight: None, `balanced`, or a dict from label to weight.
        validation_fraction: share of the training images that chooses the regularisation.
        random_state: seed of that choice, None or a `RandomState` to draw one by.

    Attributes:
        classes_: (C,) the labels, sorted.
        penalty_: the chosen λ.
        head_: the linear layer on raw features.
        config_, engine_: the options by which it was fitted, and what runs the network.

    >>> from headstart import ImageClassifier
    >>> ImageClassifier(views=8)
    ImageClassifier(views=8)
    """

    def __init__(
        self,
        backbone: str = "vgg16",
        *,
        head: str = "taps",
        views: int = 1,
        image_size: int = 224,
        fit_mode: str = "letterbox",
        engine: str = "auto",
        class_weight: str | dict[Any, float] | None = None,
        validation_fraction: float = 0.15,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.backbone = backbone
        self.head = head
        self.views = views
        self.image_size = image_size
        self.fit_mode = fit_mode
        self.engine = engine
        self.class_weight = class_weight
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def fit(self, X: Images, y: Any, sample_weight: Any = None) -> ImageClassifier:
        """Trains on images and their labels.

        Args:
            X: N paths, or (N, H, W, 3) or (N, H, W) integers from 0 to 255.
            y: (N,) labels of any kind.
            sample_weight: (N,) weights in the loss, or None; images of weight 0 are as if they weren't there.

        Raises:
            InputError: (a ValueError) images, labels or options cannot be used.
        """
        config = self._config()
        pictures = np.array(_pictures(X), object)
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        if len(y) != len(pictures):
            raise InputError(sentence("X and y differ in length.", allowed=len(pictures), received=len(y)))
        weight = _check_sample_weight(sample_weight, y, dtype=np.float64, ensure_non_negative=True)
        pictures, y, weight = pictures[weight > 0], y[weight > 0], weight[weight > 0]
        classes = unique_labels(y) if len(y) else y
        if len(classes) < 2:
            raise InputError(
                sentence("A classifier needs at least two classes.", received=f"{len(classes)} class")
            )
        target = np.searchsorted(classes, y)
        weight *= compute_sample_weight(self.class_weight, y)
        engine = self._engine(config)
        x = _features(pictures.tolist(), config, engine)
        penalty = self._choose(x, target, weight, config.seed)
        parts = specs.backbone(self.backbone).parts(self.head)
        *_, head = probe.path(x, target, weight, parts, (penalty,))
        # All of it or nothing: a fit that fails leaves the one before.
        self.config_, self.engine_, self.classes_ = config, engine, classes
        self.penalty_, self.head_ = penalty, head
        return self

    def predict_proba(self, X: Images) -> np.ndarray:
        """(N, C) probabilities, columns in the order of `classes_`."""
        return softmax(self.decision_logits(X))

    def decision_logits(self, X: Images) -> np.ndarray:
        """(N, C) logits, averaged over the views."""
        check_is_fitted(self)
        return self.head_.logits(_features(_pictures(X), self.config_, self.engine_))

    def predict(self, X: Images) -> np.ndarray:
        """(N,) the most probable labels."""
        best = self.decision_logits(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        return tags

    def _config(self) -> RunConfig:
        if self.head not in LINEAR:
            raise InputError(
                sentence("This estimator has no such head.", allowed=", ".join(LINEAR), received=self.head)
            )
        return RunConfig.from_options(
            backbone=self.backbone,
            head=self.head,
            views=self.views,
            image_size=self.image_size,
            fit=self.fit_mode,
            engine=self.engine,
            val=self.validation_fraction,
            seed=self._seed(),
        )

    def _seed(self) -> Any:
        """`random_state` where it is a number, whatever it is worth; or one drawn by it, of 31 bits."""
        if isinstance(self.random_state, np.random.RandomState) or self.random_state is None:
            return check_random_state(self.random_state).randint(2**31)
        return self.random_state

    def _engine(self, config: RunConfig) -> str:
        backbone, model = specs.backbone(self.backbone), config.model
        if model.engine != "auto":
            return model.engine
        arrays = weights.find(backbone, seed=config.seed)
        return fastest(backbone, model.head, config.data.image_size, arrays)

    def _choose(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray, seed: int) -> float:
        """The λ that a stratified part chooses; where classes are too small for one, the middle."""
        from sklearn.model_selection import train_test_split

        classes = len(np.unique(y))
        held = max(classes, round(self.validation_fraction * len(y)))
        if np.bincount(y).min() < 2 or len(y) - held < classes:
            return probe.PENALTIES[len(probe.PENALTIES) // 2]
        train, val = train_test_split(np.arange(len(y)), test_size=held, stratify=y, random_state=seed)
        if len(np.unique(y[train])) < classes:
            return probe.PENALTIES[len(probe.PENALTIES) // 2]
        parts = specs.backbone(self.backbone).parts(self.head)
        tried = probe.candidates((x[train], y[train]), (x[val], y[val]), weight[train], parts)
        return min(tried, key=lambda candidate: candidate.calibrated).penalty


def _features(pictures: list[features.Image], config: RunConfig, engine: str) -> np.ndarray:
    """(N, views, D); the weights are found anew: the estimator stays small."""
    data, model = config.data, config.model
    backbone = specs.backbone(model.backbone)
    arrays = weights.find(backbone, seed=config.seed)
    recipe = features.recipe(backbone, arrays, model.head, data.image_size, data.fit, engine)
    return features.extract(pictures, backbone, arrays, model.head, recipe, model.views)


def _pictures(X: Images) -> list[features.Image]:
    """Paths or arrays with the hash of their content."""
    if isinstance(X, np.ndarray) and X.dtype.kind in "iu" and X.ndim in (3, 4) and not images.is_one(X):
        return [_from_pixels(pixels) for pixels in X]
    paths = [X] if isinstance(X, str | Path) else list(X)
    if not paths or not all(isinstance(path, str | Path) for path in paths):
        raise InputError(
            sentence(
                "X cannot be used as images.",
                allowed="a list of paths, or an array (N, H, W, 3) of integers from 0 to 255",
                received=f"{type(X).__name__} {getattr(X, 'shape', '')} {getattr(X, 'dtype', '')}".strip(),
            )
        )
    return [_from_file(Path(path)) for path in paths]


def _from_pixels(pixels: np.ndarray) -> features.Image:
    rgb = images.from_array(pixels)
    content = hashlib.sha256(repr(rgb.shape).encode() + rgb.tobytes()).hexdigest()
    return features.Image(content, rgb)


def _from_file(path: Path) -> features.Image:
    try:
        return features.Image(hashlib.sha256(images.read(path)).hexdigest(), path)
    except ImageError as error:
        raise InputError(f"{path}: {error}") from error
