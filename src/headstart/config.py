"""Every option, declared once.

The command line, the TOML file, the Python arguments and ``run.json`` are derived from these fields.
Precedence: default < file < command line. A config describes; it does not act.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Annotated, Any, Literal, NoReturn, get_args, get_type_hints

from cyclopts import Parameter, Token

from headstart.errors import InputError, sentence


def _whole(kind: type, tokens: Sequence[Token]) -> int:  # noqa: ARG001 - as cyclopts calls it
    """Of one word; left to itself, cyclopts rounds 2.5."""
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError(f"it is no whole number. Received: {tokens[0].value!r}.") from None


Whole = Annotated[int, Parameter(converter=_whole)]
"""A whole number on the command line, or in a file of options."""

Fit = Literal["letterbox", "crop", "stretch"]
NearDuplicates = Literal["together", "ignore"]
TrainedHead = Literal["taps", "gap", "vgg"]
Head = Literal["auto", "taps", "gap", "vgg"]
Pixels = Literal["imagenet", "unit"]
Strategy = Literal["frozen", "finetune", "scratch"]
Solver = Literal["lbfgs", "keras"]
Optimizer = Literal["adamw", "adam", "sgd"]
Loss = Literal["crossentropy", "focal"]
Augmentation = Literal["auto", "none", "flip", "photo", "dihedral", "strong"]
Mix = Literal["none", "mixup", "cutmix"]
Precision = Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"]
ClassWeight = Literal["none", "balanced"]
Engine = Literal["auto", "keras", "openvino", "openvino-bf16", "ncnn"]
AnyEngine = Literal["auto", "keras", "openvino", "openvino-bf16", "openvino-int8", "ncnn"]
ExportFormat = Literal["keras", "onnx", "openvino", "litert", "saved-model"]
Backbone = Literal["vgg16", "vgg-tiny"]
Colours = Literal["bgr", "rgb"]
Views = Literal[1, 8]


@Parameter(name="*", group="Data")
@dataclass(frozen=True)
class DataConfig:
    """What is read, and how it is split."""

    val: float = 0.15
    """Share of the images for validation, which chooses the regularisation."""
    test: float = 0.15
    """Share of the images for the final test, untouched until then."""
    near_duplicates: NearDuplicates = "together"
    """`together`: files that show one picture share a split. `ignore`: they are not looked for."""
    group_column: str = ""
    """Column of a table: images of one group share a split. A column `group` is used without asking."""
    group_regex: str = ""
    """Regular expression on the paths, such as `(patient[0-9]+)`: what it matches is the group."""
    extend: str = ""
    """Earlier run whose split is kept; only images it does not know are placed."""
    fit: Fit = "letterbox"
    """How an image becomes a square: padded, centre-cropped (ImageNet's protocol) or stretched."""
    image_size: Whole = 224
    """Side of that square in pixels."""


@Parameter(name="*", group="Model")
@dataclass(frozen=True)
class ModelConfig:
    """What is built."""

    backbone: Backbone = "vgg16"
    """Pretrained network. `vgg-tiny` has random weights and serves smoke tests."""
    blocks: Whole = 0
    """Blocks of the backbone that are kept: fewer are faster and see less (docs/speed.md). 0: all."""
    weights: str = ""
    """File with the backbone's weights, or a name that `headstart weights list` shows; found or downloaded
    when empty."""
    head: Head = "auto"
    """`taps`: mean and max of three depths. `gap`: of the last map. `vgg`: dense 4096, 4096, as in the paper.
    `auto`: `taps` for a frozen backbone, else `gap`."""
    views: Views = 1
    """1, or 8: the rotations and mirror images of each picture are averaged."""
    engine: Engine = "auto"
    """Runs the frozen network. `auto`: the fastest here within the parity table."""


@Parameter(name="*", group="Training")
@dataclass(frozen=True)
class TrainConfig:
    """How it is trained. What says how steps are taken is for training in steps only."""

    strategy: Strategy = "frozen"
    """`frozen`: the head alone. `finetune`: then the top blocks with it. `scratch`: all, from nothing."""
    unfreeze: str = "auto"
    """What `finetune` trains: `block5`, `block4` and what follows, a number of convolutions, or `all`."""
    solver: Solver = "lbfgs"
    """Of the head: `lbfgs`: exact, regularisation chosen on validation. `keras`: epochs."""
    epochs: Whole = 0
    """Most epochs of the last phase; early stopping ends sooner. 0: as many as the strategy usually needs."""
    batch_size: Whole = 32
    """Images in a step."""
    optimizer: Optimizer = "adamw"
    """Takes the steps. `adam` has no weight decay, `sgd` has Nesterov's momentum."""
    learning_rate: float = 0.0
    """At its highest, after the warm-up; a cosine then leads to zero. 0: what the strategy usually needs."""
    warmup: float = 0.1
    """Share of the steps in which the rate rises."""
    weight_decay: float = 0.01
    """Of kernels, as AdamW counts it."""
    clip_norm: float = 1.0
    """Longest gradient of a step; 0: none."""
    label_smoothing: float = 0.0
    """Share of the target that is spread over all classes."""
    dropout: float = 0.0
    """Share of the inputs that each dense layer loses in training."""
    patience: Whole = 5
    """Epochs clearly worse on validation before it stops; the best epoch's weights are kept. 0: never."""
    average: float = 0.0
    """Momentum of an average of the weights over the steps, such as 0.99, which is then used. 0: none."""
    loss: Loss = "crossentropy"
    """`focal` looks harder at what is hard (Lin et al. 2017)."""
    class_weight: ClassWeight = "none"
    """`balanced` weighs classes inversely to their number of images."""
    augment: Augmentation = "auto"
    """How training images are varied (docs/augmentation.md). `auto`: `dihedral` with --views 8, else none."""
    augment_views: Whole = 0
    """Variants of each image, one an epoch in turn, cached where they are frozen. 0: 1 to 8 by preset."""
    mix: Mix = "none"
    """Blends images and their labels above the frozen part."""
    precision: Precision = "auto"
    """Of the steps. `auto`: half precision where the hardware gains by it."""
    time_limit: str = ""
    """Such as `10m` or `2h`: as many epochs as fit, and the best model so far on validation."""


@Parameter(name="*", group="Running")
@dataclass(frozen=True)
class RunningConfig:
    """What changes nothing about the result; not part of what a run is compared by."""

    cache_gb: float = 20.0
    """Most disk (10⁹ bytes) for tensors at the frozen boundary; beyond it they are computed every epoch."""
    tensorboard: bool = False
    """Also write the curves for TensorBoard, into the run's folder `tensorboard`."""
    force: bool = False
    """Begin anew where the run holds other options or data, without what was evaluated and exported of it;
    go on where it is of other versions."""


@Parameter(name="*", group="Evaluation")
@dataclass(frozen=True)
class EvalConfig:
    """What is counted."""

    top_k: Whole = 5
    """An answer counts for top-k accuracy if the truth is among the k most probable."""
    cost: tuple[str, ...] = ()
    """`TRUE:ANSWER=N`: this mistake costs N, others 1; may be repeated. The least expected cost is
    answered."""
    max_error: float = 0.0
    """Share of accepted answers that may be wrong; surer answers only are accepted. 0: all are."""


@Parameter(name="*")
@dataclass(frozen=True)
class RunConfig:
    """All options of a run; `seed` settles every random choice."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainConfig = field(default_factory=TrainConfig)
    evaluation: EvalConfig = field(default_factory=EvalConfig)
    running: RunningConfig = field(default_factory=RunningConfig)
    seed: Whole = 0
    """Settles the split, the initial weights and the order of training."""

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values, as in ``run.json``: all that decides the result."""
        plain = asdict(self, dict_factory=_plain)
        return {name: value for name, value in plain.items() if name != "running"}

    @classmethod
    def from_options(cls, **options: Any) -> RunConfig:
        """Builds a config from flat option names, as the Python functions take them.

        >>> RunConfig.from_options(fit="crop", seed=3).data.fit
        'crop'

        Raises:
            InputError: an option is unknown.
        """
        sections = {name: value for name, value in vars(cls()).items() if name != "seed"}
        known = {f.name: section for section, v in sections.items() for f in fields(v)}
        if unknown := sorted(set(options) - set(known) - {"seed"}):
            raise InputError(
                sentence(
                    f"There is no option {unknown[0]}.",
                    allowed=", ".join(sorted([*known, "seed"])),
                    received=unknown[0],
                    remedy="See `headstart train --help`.",
                )
            )
        seed = options.pop("seed", 0)
        for name, value in options.items():
            plain = tuple(value) if isinstance(value, list) else _number(value)
            sections[known[name]] = replace(sections[known[name]], **{name: plain})
        return validated(cls(seed=_number(seed), **sections))


def _number(value: Any) -> Any:
    """One of NumPy's, as grids of values hold them, as one of Python's; all else as it is."""
    return value.item() if getattr(value, "shape", None) == () and hasattr(value, "item") else value


def _plain(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """As JSON has them: lists, no tuples."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in pairs}


LIMITS: dict[str, tuple[float, float]] = {
    "image_size": (32, 1024), "blocks": (0, 5),
    "epochs": (0, 10_000), "batch_size": (1, 4096), "learning_rate": (0, 1e12),
    "warmup": (0, 0.9), "weight_decay": (0, 10), "clip_norm": (0, 1e6), "label_smoothing": (0, 0.5),
    "dropout": (0, 0.9), "patience": (0, 10_000), "average": (0, 0.99999), "augment_views": (0, 255),
    "top_k": (1, 1_000_000), "max_error": (0, 0.5), "cache_gb": (0, 1e6), "seed": (0, 2**32 - 1),
}  # fmt: skip
"""Lowest and highest value of each number."""


def validated(config: RunConfig) -> RunConfig:
    """Returns `config`, or raises InputError with the first value that cannot be used."""
    sections = (config.data, config.model, config.training, config.evaluation, config.running)
    for section in sections:
        _check_choices(section)
    data = config.data
    for name in ("val", "test"):
        if not 0 < getattr(data, name) < 1:
            _refuse(name, "a share between 0 and 1", getattr(data, name))
    if data.val + data.test >= 1:
        _refuse("val + --test", "less than 1, so that something is left to train on", data.val + data.test)
    if type(config.seed) is not int:
        _refuse("seed", "0 to 4294967295", config.seed)
    values = {name: value for part in (*sections, config) for name, value in vars(part).items()}
    for name, (low, high) in LIMITS.items():
        if not low <= values[name] <= high:
            _refuse(name, f"{low:.15g} to {high:.15g}", values[name])
    seconds(config.training.time_limit)
    for text in config.evaluation.cost:
        mistake(text)
    if config.evaluation.cost and config.evaluation.max_error:
        _refuse("max-error", "either --cost, which says what to answer, or --max-error", "both")
    return config


def mistake(text: str) -> tuple[str, float]:
    """What ``--cost`` means: the pair of classes, as it is written, and the cost.

    >>> mistake("defective:sound=50")
    ('defective:sound', 50.0)
    """
    pair, _, number = text.rpartition("=")
    if ":" not in pair or not re.fullmatch(r"\d{1,9}(?:\.\d{1,6})?", number):
        _refuse("cost", "a true class, an answer and a number from 0, such as defective:sound=50", text)
    return pair, float(number)


def seconds(limit: str) -> float:
    """What ``--time-limit`` means; infinity where it is empty.

    >>> seconds("90"), seconds("10m"), seconds("1.5h")
    (90.0, 600.0, 5400.0)
    """
    if not limit:
        return math.inf
    found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([smh]?)", limit)
    value = float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]] if found else 0.0
    if not value:
        _refuse("time-limit", "a number with s, m or h, such as 90s, 10m or 1.5h", limit)
    return value


Section = DataConfig | ModelConfig | TrainConfig | EvalConfig | RunningConfig


def _check_choices(section: Section) -> None:
    types = get_type_hints(type(section))
    for item in fields(section):
        value = getattr(section, item.name)
        whole = type(item.default)
        if type(value) is not whole and not (whole is float and type(value) is int):
            _refuse(item.name, f"a value of type {whole.__name__}", value)
        choices = get_args(types[item.name]) if whole is not tuple else ()
        if choices and value not in choices:
            _refuse(item.name, ", ".join(map(str, choices)), value)


def _refuse(name: str, allowed: str, received: object) -> NoReturn:
    option = "--" + name.replace("_", "-")
    raise InputError(
        sentence(
            f"{option} cannot be used like this.",
            allowed=allowed,
            received=received,
            remedy="Change it and run the same command again.",
        )
    )
