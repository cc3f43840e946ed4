"""Every option, declared once.

The command line, the TOML file, the Python arguments and ``run.json`` are derived from these fields.
Precedence: default < file < command line. A config describes; it does not act.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args, get_type_hints

from cyclopts import Parameter

from headstart.errors import InputError, sentence

Fit = Literal["letterbox", "crop", "stretch"]
NearDuplicates = Literal["together", "ignore"]
Head = Literal["taps", "gap"]
Strategy = Literal["frozen"]
Solver = Literal["lbfgs", "keras"]
ClassWeight = Literal["none", "balanced"]
Engine = Literal["auto", "keras", "openvino", "openvino-bf16", "ncnn"]
Backbone = Literal["vgg16", "vgg-tiny"]
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
    image_size: int = 224
    """Side of that square in pixels."""


@Parameter(name="*", group="Model")
@dataclass(frozen=True)
class ModelConfig:
    """What is built."""

    backbone: Backbone = "vgg16"
    """Pretrained network. `vgg-tiny` has random weights and serves smoke tests."""
    weights: str = ""
    """File with the backbone's weights in Keras's .h5 layout; found or downloaded when empty."""
    head: Head = "taps"
    """`taps`: mean and max of three depths. `gap`: mean and max of the last map."""
    views: Views = 1
    """1, or 8: the rotations and mirror images of each picture are averaged."""
    engine: Engine = "auto"
    """Runs the frozen network. `auto`: the fastest here within the parity table."""


@Parameter(name="*", group="Training")
@dataclass(frozen=True)
class TrainConfig:
    """How the head is trained."""

    strategy: Strategy = "frozen"
    """`frozen`: the backbone stays as it is, the head is trained on its features."""
    solver: Solver = "lbfgs"
    """`lbfgs`: exact, regularisation chosen on validation. `keras`: epochs with early stopping."""
    epochs: int = 100
    """Most epochs of `--solver keras`; early stopping ends sooner."""
    class_weight: ClassWeight = "none"
    """`balanced` weighs classes inversely to their number of images."""


@Parameter(name="*", group="Evaluation")
@dataclass(frozen=True)
class EvalConfig:
    """What is counted."""

    top_k: int = 5
    """An answer counts for top-k accuracy if the truth is among the k most probable."""


@Parameter(name="*")
@dataclass(frozen=True)
class RunConfig:
    """All options of a run; `seed` settles every random choice."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainConfig = field(default_factory=TrainConfig)
    evaluation: EvalConfig = field(default_factory=EvalConfig)
    seed: int = 0
    """Settles the split, the initial weights and the order of training."""

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values, as in ``run.json``."""
        return asdict(self)

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
            sections[known[name]] = replace(sections[known[name]], **{name: value})
        return validated(cls(seed=seed, **sections))


def validated(config: RunConfig) -> RunConfig:
    """Returns `config`, or raises InputError with the first value that cannot be used."""
    for section in (config.data, config.model, config.training, config.evaluation):
        _check_choices(section)
    data = config.data
    for name in ("val", "test"):
        if not 0 < getattr(data, name) < 1:
            _refuse(name, "a share between 0 and 1", getattr(data, name))
    if data.val + data.test >= 1:
        _refuse("val + --test", "less than 1, so that something is left to train on", data.val + data.test)
    if not 32 <= data.image_size <= 1024:
        _refuse("image-size", "32 to 1024 pixels", data.image_size)
    for name, value in (("epochs", config.training.epochs), ("top-k", config.evaluation.top_k)):
        if value < 1:
            _refuse(name, "1 or more", value)
    if type(config.seed) is not int or not 0 <= config.seed < 2**32:
        _refuse("seed", "0 to 4294967295", config.seed)
    return config


def _check_choices(section: DataConfig | ModelConfig | TrainConfig | EvalConfig) -> None:
    types = get_type_hints(type(section))
    for item in fields(section):
        value = getattr(section, item.name)
        whole = type(item.default)
        if type(value) is not whole and not (whole is float and type(value) is int):
            _refuse(item.name, f"a value of type {whole.__name__}", value)
        choices = get_args(types[item.name])
        if choices and value not in choices:
            _refuse(item.name, ", ".join(map(str, choices)), value)


def _refuse(name: str, allowed: str, received: object) -> None:
    option = "--" + name.replace("_", "-")
    raise InputError(
        sentence(
            f"{option} cannot be used like this.",
            allowed=allowed,
            received=received,
            remedy="Change it and run the same command again.",
        )
    )
