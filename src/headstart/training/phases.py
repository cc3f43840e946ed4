"""Strategies as lists of phases; a phase is one stage of training as a value."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from headstart.backbones import specs
from headstart.config import Precision, RunConfig, Solver, TrainConfig
from headstart.errors import InputError, sentence
from headstart.training.augment import distinct

EPOCHS = {"frozen": 100, "finetune": 12, "scratch": 60}
LEARNING_RATES = {"finetune": 1e-4, "scratch": 1e-3}
HEAD_RATES = {"taps": 1e-2, "gap": 1e-2, "vgg": 1e-3}
STEPWISE = (
    "time_limit", "epochs", "batch_size", "optimizer", "learning_rate", "warmup", "weight_decay", "clip_norm",
    "label_smoothing", "dropout", "patience", "average", "loss", "mix", "precision",
)  # fmt: skip
"""Options that say how steps are taken."""

VIEWS = {"none": 1, "flip": 2, "photo": 4, "dihedral": 8, "strong": 8}
"""Variants of an image where nobody asked for a number: what a cache holds and training makes use of."""


@dataclass(frozen=True)
class Phase:
    """What is trained, on what, and how; the other fields are the options of the same name.

    Attributes:
        name: in ``history.csv``.
        boundary: the tensor below which nothing is trained; ``features`` trains the head alone.
        views: variants of each image, one an epoch in turn.
    """

    name: str
    boundary: str
    views: int
    epochs: int
    batch_size: int
    optimizer: str
    learning_rate: float
    warmup: float
    weight_decay: float
    clip_norm: float
    label_smoothing: float
    dropout: float
    patience: int
    average: float
    loss: str
    augment: str
    mix: str
    precision: Precision


def resolved(config: RunConfig) -> RunConfig:
    """Every choice that was left to us is made, from the strategy and the other options.

    Raises:
        InputError: two options contradict each other.
    """
    training, model = config.training, config.model
    strategy = training.strategy
    if strategy == "frozen" and training.unfreeze not in ("auto", ""):
        _contradiction("--unfreeze trains a part of the backbone, which --strategy frozen leaves as it is.")
    if strategy == "scratch" and training.unfreeze not in ("auto", "all"):
        _contradiction("--strategy scratch trains everything, and --unfreeze less.")
    if strategy == "scratch" and model.weights:
        _contradiction("--strategy scratch begins without weights, and --weights names some.")
    if strategy == "frozen" and training.mix == "cutmix":
        _contradiction("--mix cutmix cuts maps, of which --strategy frozen trains none.")
    if training.optimizer == "adam" and training.weight_decay not in (0, TrainConfig().weight_decay):
        _contradiction("--optimizer adam has no weight decay, which adamw and sgd have.")
    backbone = specs.backbone(model.backbone, model.blocks)
    head = model.head if model.head != "auto" else "taps" if strategy == "frozen" else "gap"
    solver: Solver = "keras" if head == "vgg" else training.solver
    augment = training.augment
    if augment == "auto":
        augment = "dihedral" if model.views == 8 else "none"
    exact = strategy == "frozen" and solver == "lbfgs"
    if exact:
        _require_steps(training)
    training = replace(
        training,
        unfreeze=training.unfreeze if training.unfreeze != "auto" else _unfreeze(strategy, backbone),
        epochs=0 if exact else training.epochs or EPOCHS[strategy],
        learning_rate=0.0 if exact else training.learning_rate or _rate(strategy, head),
        augment=augment,
        augment_views=_views(augment, training.augment_views),
        solver=solver,
    )
    config = replace(config, model=replace(model, head=head), training=training)
    if strategy != "frozen":
        taps = backbone.frozen_taps(head, backbone.boundary(training.unfreeze))
        if taps and training.mix != "none":
            _contradiction(
                "--mix blends the maps that are trained on, and --head taps reads frozen ones too."
            )
    return config


def _unfreeze(strategy: str, backbone: specs.Backbone) -> str:
    """What is trained by default: of a network to be fine-tuned the last block."""
    return {"frozen": "", "finetune": f"block{len(backbone.depths)}", "scratch": "all"}[strategy]


def _require_steps(training: TrainConfig) -> None:
    """Refuses what only training in steps could honour, where the head is solved exactly."""
    for name in STEPWISE:
        if getattr(training, name) != getattr(TrainConfig(), name):
            option = "--" + name.replace("_", "-")
            line = f"{option} is for training in steps, and this head is solved exactly."
            remedy = "Leave it out, or add --solver keras or --strategy finetune."
            raise InputError(sentence(line, received=getattr(training, name), remedy=remedy))


def _rate(strategy: str, head: str) -> float:
    return LEARNING_RATES.get(strategy, HEAD_RATES[head])


def _views(preset: str, asked: int) -> int:
    """Variants of each image: as asked, where the preset has so many."""
    views = distinct(preset, asked or VIEWS[preset])
    if asked > views:
        allowed = f"1 to {views} with --augment {preset}"
        raise InputError(sentence("There are no more variants.", allowed=allowed, received=asked))
    return views


def phases(config: RunConfig) -> tuple[Phase, ...]:
    """The phases of a resolved config that train in steps; the exact solver of the head is none of them.

    `finetune` begins with the head (LP-FT, Kumar et al. 2022, arXiv:2202.10054): features that a random
    head pulls at would be spoilt before it points anywhere.
    """
    training = config.training
    mix = "none" if training.mix == "cutmix" else training.mix  # features are no maps
    head = replace(_phase("head", "features", training), mix=mix, epochs=EPOCHS["frozen"])
    head = replace(head, learning_rate=HEAD_RATES[config.model.head])
    if training.strategy == "frozen":
        return (replace(head, epochs=training.epochs, learning_rate=training.learning_rate),)
    backbone = specs.backbone(config.model.backbone, config.model.blocks)
    boundary = backbone.boundary(training.unfreeze)
    top = _phase("all" if boundary == "image" else "top", boundary, training)
    return (top,) if training.strategy == "scratch" else (head, top)


def _phase(name: str, boundary: str, training: TrainConfig) -> Phase:
    own = {item.name: getattr(training, item.name) for item in fields(Phase) if hasattr(training, item.name)}
    return Phase(name=name, boundary=boundary, views=training.augment_views, **own)


def _contradiction(line: str) -> None:
    raise InputError(sentence(line, remedy="Leave one of them out."))
