"""The verbs train, evaluate, compare, explain, load: what command line and ``import headstart`` share."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart import resume
from headstart.config import EvalConfig, RunConfig, seconds, validated
from headstart.errors import InputError, printable, sentence
from headstart.inference.bundle import Bundle, BundleSpec, Int8
from headstart.inference.bundle import load as load_bundle
from headstart.inference.predictor import Predictor, Source
from headstart.progress import note, timed
from headstart.rundir import RunDir, sweep, write_json

MOST_NEIGHBOURS = 50
DROP = 0.5  # percentage points of accuracy that 8-bit integers may cost

if TYPE_CHECKING:
    import pandas as pd

    from headstart.data.manifest import Manifest
    from headstart.evaluation.comparison import Comparison
    from headstart.evaluation.explain import Explanation
    from headstart.evaluation.metrics import Evaluation
    from headstart.training.strategy import Task


def train(
    data: str | Path, out: str | Path | None = None, config: RunConfig | None = None, **options: Any
) -> RunDir:
    """Trains, checks and evaluates a classifier, and leaves all of it in a run directory.

    Args:
        data: a folder of class folders, a table, ``cifar10:FILE``, or ``elpv``.
        out: the run directory; ``runs/<name of data>`` by default.
        config: all options at once, or
        **options: single ones by name, as on the command line (``seed=3, views=8``).

    Returns:
        The run. The same call on a finished run changes nothing; on a killed one it goes on.

    Raises:
        InputError: data or options cannot be used, or `out` holds another run.
        GateError: training diverged, or the saved model would not answer as Keras does.
    """
    if config and options:
        raise InputError(sentence("Give a config or single options, not both.", received=", ".join(options)))
    config = validated(config) if config else RunConfig.from_options(**options)
    run = RunDir(Path(out) if out else Path("runs") / _name(data))
    resume.require_free(run, data)
    from headstart import stages
    from headstart.backbones.framework import require_backend
    from headstart.data import manifest as manifests
    from headstart.data.prepare import fingerprint, prepare
    from headstart.provenance import files, hardware, versions
    from headstart.training.journal import require_tensorboard
    from headstart.training.phases import resolved

    require_backend()
    config = resolved(config)
    if config.running.tensorboard:
        require_tensorboard()
    clock: dict[str, float] = {}
    with timed(clock, "prepare"):
        manifest, ledger = prepare(str(data), config.data, config.seed)
    facts: dict[str, Any] = {
        "config": config.to_dict(),
        "dataset": stages.dataset(manifest, fingerprint(manifest)),
        "files": files(config.model.weights),
        "versions": versions(),
        "hardware": hardware(),
    }
    before = manifests.load(run.manifest) if run.manifest.exists() else manifest
    changes = manifests.changes(before, manifest)
    standing = resume.standing(run, facts, changes, config.running.force)
    if standing == "finished":
        shutil.rmtree(run.checkpoints, ignore_errors=True)  # it may have been killed just before that
        if run.report.exists():
            note(f"{printable(run.root)} is finished with these options and data; nothing to do.")
            return run
        note(f"{printable(run.root)} is finished with these options and data, but for its report.")
        with resume.locked(run.root):
            _evaluate(run)  # an evaluation by other options may have been cut short, too
        return run
    stages.describe(manifest, ledger)
    if standing == "unfinished":
        note(f"Goes on    with what {printable(run.root)} and the cache hold")
    with resume.locked(run.root):
        sweep(run.root)
        decided = resume.read_facts(run).get("decided", {}) if standing == "unfinished" else {}
        task = stages.task_of(config, manifest, decided)
        stages.require_small_enough(task, manifest)
        if standing == "new":  # nothing is lost to options that are refused
            resume.begin_anew(run)
        _train(run, manifest, ledger, task, facts | {"data": str(data)}, clock)
    return run


def _train(
    run: RunDir, manifest: Manifest, ledger: pd.DataFrame, task: Task, facts: dict[str, Any],
    clock: dict[str, float],
) -> None:  # fmt: skip
    from headstart import stages
    from headstart.engines import ENGINES
    from headstart.report.render import render

    facts["dataset"]["data"] = facts.pop("data")
    facts |= {
        "format": 1,
        "command": sys.argv if sys.argv[0].endswith("headstart") else ["python", *sys.argv],
        "finished": False,
        "decided": stages.decided(task),
    }
    stages.save_data(run, manifest, ledger)
    write_json(run.run_json, facts)
    config, row = task.config, ENGINES[task.engine]
    note(f"Model      {task.backbone.name}, head {config.model.head}, {row.name} ({row.precision})")
    trained = stages.learn(task, run, clock)
    with timed(clock, "parity"):
        predictor = stages.save_model(run, task, manifest, trained)
    with timed(clock, "evaluate"):
        test = manifest.where("test")
        stages.assess(run, "test", test, predictor, config.evaluation.top_k, trained.test)
    facts |= {
        "engine": {"name": row.name, "precision": row.precision, "version": row.version},
        "head": {
            "solver": config.training.solver,
            "features": int(trained.reference.shape[-1]),
            **trained.chosen,
        },
        "seconds": {name: round(seconds, 2) for name, seconds in clock.items()},
        "finished": True,
    }
    write_json(run.run_json, facts)
    render(run)
    shutil.rmtree(run.checkpoints, ignore_errors=True)


def evaluate(
    run: RunDir | str | Path, data: str | Path | None = None, engine: str = "", **options: Any
) -> Evaluation:
    """Evaluates the saved model on its own test split, or on other labelled images.

    Writes ``evaluation/<split>/`` and, for the test split, the report again; what another engine says goes to
    ``evaluation/<split>-<engine>/``, and the report stays. Of other images those are left out that the model
    was trained or chosen on.

    Args:
        run: a run directory.
        data: other labelled images with the same class names; the run's own test split by default.
        engine: another engine than the one the model was trained with.
        **options: `cost`, `max_error` or `top_k`, as for training. From then on the saved model decides by
            them; a cost takes the place of a `max_error` that was settled before, and the other way round.

    Raises:
        InputError: this is no run, or data or options cannot be used, or other data was evaluated by that
            name, or another command is writing there.
    """
    run = _run(run)
    spec(run)  # where there is no model, there shall be no lock
    with resume.locked(run.root):
        return _evaluate(run, data, "" if engine == "auto" else engine, options)


def _evaluate(
    run: RunDir, data: str | Path | None = None, engine: str = "", options: dict[str, Any] | None = None
) -> Evaluation:
    """As `evaluate`, in a run that is locked: numbers and rule are of one command."""
    from headstart import stages
    from headstart.data import manifest as manifests
    from headstart.report.render import render

    options = options or {}
    predictor = load(run, engine)
    split = _called(data, engine, predictor.spec)
    own = split == _split(data)
    facts = resume.finished_facts(run)
    before = facts.get("evaluation", facts["config"]["evaluation"])
    asked = RunConfig.from_options(**before | _replacing(options)).evaluation
    if options and data is not None:
        raise InputError(
            sentence(
                "How the model decides is set on its own images.",
                allowed="options, or other images",
                received=", ".join(options),
                remedy="Evaluate with the options first, and then the other images.",
            )
        )
    if options or not stages.is_decided(run, predictor):
        stages.redecide(run, asked)
        if not own:
            _evaluate(run)  # its own numbers follow, too
        predictor = load(run, engine)
    if data is None:
        images = manifests.load(run.manifest).where("test")
    else:
        images, ledger = stages.labelled(str(data), predictor, run)
        stages.begin_evaluation(run.evaluation(split), images, ledger)
    evaluation = stages.assess(run, split, images, predictor, asked.top_k)
    if split == "test":
        render(run)
    return evaluation


def place_of_evaluation(run: RunDir | str | Path, data: str | Path | None = None, engine: str = "") -> Path:
    """The folder that `evaluate` writes: of the run's own test split, of other images, by another engine."""
    run = run if isinstance(run, RunDir) else RunDir(Path(run))
    return run.evaluation(_called(data, engine, spec(run)) if engine else _split(data))


def _called(data: str | Path | None, engine: str, spec: BundleSpec) -> str:
    """The name of an evaluation, by another engine than the model's own with that engine's."""
    return _split(data) + ("" if engine in ("", spec.engine) else f"-{engine}")


def _replacing(options: dict[str, Any]) -> dict[str, Any]:
    """The options, and the end of what they take the place of; both together are refused, as by `train`."""
    if unknown := sorted(options.keys() - vars(EvalConfig()).keys()):
        allowed = ", ".join(vars(EvalConfig()))
        raise InputError(
            sentence("A trained model has no such option.", allowed=allowed, received=unknown[0])
        )
    if options.get("cost"):
        return {"max_error": 0.0} | options
    return {"cost": ()} | options if "max_error" in options else options


def compare(runs: Sequence[RunDir | str | Path], split: str = "test", seed: int = 0) -> list[Comparison]:
    """Each run beside the first, by what they say of the same images.

    Raises:
        InputError: a run was not evaluated on that split, or they were on different images.
    """
    from headstart.evaluation import comparison, predictions

    places = [run if isinstance(run, RunDir) else RunDir(Path(run)) for run in runs]
    for run in places:
        _require_evaluation(run, split)
    first, *others = [predictions.load(run.evaluation(split) / "predictions.parquet") for run in places]
    known = [_contents(run, split) for run in places]
    for contents in known[1:]:
        shared = {path: contents[path] for path in contents.keys() & set(first.paths)}
        comparison.require_same_contents(known[0], shared)
    return comparison.compare(first, others, seed)


def _require_evaluation(run: RunDir, split: str) -> None:
    there = sorted(place.parent.name for place in run.evaluation(split).parent.glob("*/predictions.parquet"))
    if not there:
        raise InputError(
            sentence(
                "There is no evaluated run here.",
                allowed="run directories",
                received=str(run.root),
                remedy="Check the path, or train one.",
            )
        )
    if split not in there:
        raise InputError(
            sentence(
                f"{printable(run.root)} has no evaluation of that name.",
                allowed=", ".join(there),
                received=split,
                remedy="Choose one by --split, or make it by `headstart evaluate RUN DATA`.",
            )
        )


def _contents(run: RunDir, split: str) -> dict[str, str]:
    """SHA-256 of each image of a split by its path, as far as a manifest knows."""
    from headstart.data import manifest as manifests

    place = run.evaluation(split) / "manifest.parquet"
    place = place if place.exists() else run.manifest
    if not place.exists():
        return {}
    table = manifests.load(place).table
    return dict(zip(table["path"], table["sha256"], strict=True))


def explain(
    run: RunDir | str | Path,
    sources: Iterable[Source],
    classes: Sequence[str] = (),
    neighbours: int = 5,
    engine: str = "",
) -> Iterator[Explanation]:
    """What the answers for images rest on, one by one; a file that is no image gets its error.

    Args:
        run: a run directory, or a bundle.
        sources: images, as `Predictor.predict` takes them.
        classes: names of classes whose heat is wanted beside that of the answer.
        neighbours: how many of the most similar training images.
        engine: another engine than the one the model was trained with.

    Raises:
        InputError: the model does not know a class, or `neighbours` is not 1 to 50.
    """
    from headstart.evaluation.explain import Explainer

    predictor = load(run, engine)
    if unknown := [name for name in classes if name not in predictor.spec.class_names]:
        raise InputError(
            sentence(
                "The model does not know this class.",
                allowed=", ".join(predictor.spec.class_names),
                received=unknown[0],
            )
        )
    if not 1 <= neighbours <= MOST_NEIGHBOURS:
        allowed = f"1 to {MOST_NEIGHBOURS}"
        raise InputError(sentence("Too few neighbours, or too many.", allowed=allowed, received=neighbours))
    explainer = Explainer(predictor)
    return (explainer.explain(source, classes, neighbours) for source in sources)


def quantize(run: RunDir | str | Path, max_drop: float = DROP, time_limit: str = "10m") -> Int8:
    """Makes a model ready for the engine ``openvino-int8``, if validation images prove that it does no harm.

    Args:
        run: a run directory, whose images are still there.
        max_drop: percentage points of accuracy that may be lost on the validation images, 0 to 100.
        time_limit: after which nothing further is tried, such as ``10m``.

    Returns:
        The proof, which is from now on part of the bundle.

    Raises:
        InputError: the run, its images or a library are not there.
        GateError: more than that is lost, whatever was tried; the model is as it was.
    """
    from headstart import stages
    from headstart.exports import int8

    int8.require()
    if not 0 <= max_drop <= 100:
        raise InputError(sentence("--max-drop is a number of points.", allowed="0 to 100", received=max_drop))
    run = _run(run)
    predictor = load(run)
    resume.finished_facts(run)
    with resume.locked(run.root):
        return stages.quantize(run, predictor, max_drop / 100, seconds(time_limit))


def export(
    run: RunDir | str | Path,
    to: str,
    out: str | Path | None = None,
    int8: bool = False,
    max_drop: float | None = None,
) -> Path:
    """Exports a trained model for other programs, and proves that it answers as it did here.

    Args:
        run: a run directory, or a bundle.
        to: `keras`, `onnx`, `openvino`, `litert` or `saved-model`.
        out: folder for the model and what belongs to it; ``export/<to>`` in the run by default.
        int8: in 8-bit integers, which `openvino` alone takes; see `quantize`, which is done first if need be.
        max_drop: as `quantize` takes it; a model that lost more when it was quantized is quantized anew.

    Returns:
        The file or folder of the model.

    Raises:
        InputError: there is no such format, a library is missing, or `out` holds something else.
        GateError: the export would not answer as Keras does; nothing is kept.
    """
    from headstart import stages
    from headstart.exports import write

    write.known(to, int8).require()
    run = run if isinstance(run, RunDir) else RunDir(Path(run))
    if max_drop is not None and not int8:
        raise InputError(
            sentence("--max-drop is about 8-bit integers.", remedy="Add --int8, or leave it out.")
        )
    if int8:
        _quantized(run, max_drop)
    predictor = load(run, "openvino-int8" if int8 else "")
    if out is None and not run.model.is_dir():
        raise InputError(
            sentence(
                "An export doesn't go into a bundle, which must stay as it is.",
                received=str(run.root),
                remedy="Name a folder with --out.",
            )
        )
    contents, reference = stages.proof(run, predictor)
    return write.export(predictor, to, Path(out) if out else run.exports / to, contents, reference)


def _quantized(run: RunDir, max_drop: float | None) -> None:
    """Quantizes a model that is not, or lost more than is allowed now."""
    proof = spec(run).int8
    if proof is None or (
        max_drop is not None and not 100 * (proof.accuracy - proof.accuracy_int8) <= max_drop <= 100
    ):
        quantize(run, DROP if max_drop is None else max_drop)


def image_root(run: RunDir | str | Path) -> Path | None:
    """The folder that the paths of a run's images start from; None for a bundle alone."""
    from headstart.data import manifest as manifests

    place = (run if isinstance(run, RunDir) else RunDir(Path(run))).manifest
    return manifests.load(place).root if place.exists() else None


def load(run: RunDir | str | Path, engine: str = "") -> Predictor:
    """Opens the trained model of a run directory, or of a bundle copied out of one.

    `engine` is another than the one it was trained with; empty, or ``auto``, for that one.

    >>> load("nowhere")
    Traceback (most recent call last):
    headstart.errors.BundleError: There is no trained model here. ...
    """
    return Predictor(_bundle(run), "" if engine == "auto" else engine)


def spec(run: RunDir | str | Path) -> BundleSpec:
    """What the model of a run, or a bundle, says of itself; its weights are checked, but not loaded."""
    return _bundle(run).spec


def _run(run: RunDir | str | Path) -> RunDir:
    """The run directory, refused where it is a bundle alone."""
    run = run if isinstance(run, RunDir) else RunDir(Path(run))
    if not run.model.is_dir() and (run.root / "model.json").is_file():
        raise InputError(
            sentence("This is a bundle, not a run.", received=str(run.root), remedy="Give the run around it.")
        )
    return run


def _bundle(run: RunDir | str | Path) -> Bundle:
    run = run if isinstance(run, RunDir) else RunDir(Path(run))
    return load_bundle(run.model if run.model.is_dir() else run.root)


def _split(data: str | Path | None) -> str:
    """What an evaluation is called: by its images, but never as a split of a run's own."""
    from headstart.data import manifest as manifests

    if data is None:
        return "test"
    return f"other-{_name(data)}" if _name(data) in manifests.SPLITS else _name(data)


def _name(data: str | Path) -> str:
    from headstart.data import sources

    return sources.name(str(data))
