"""The verbs train, evaluate and load: what the command line and ``import headstart`` share."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart import resume
from headstart.config import RunConfig, validated
from headstart.errors import InputError, printable, sentence
from headstart.inference.bundle import load as load_bundle
from headstart.inference.predictor import Predictor
from headstart.progress import note, timed
from headstart.rundir import RunDir, sweep, write_json

if TYPE_CHECKING:
    import pandas as pd

    from headstart.data.manifest import Manifest
    from headstart.evaluation.metrics import Evaluation


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
        note(f"{printable(run.root)} is finished with these options and data; nothing to do.")
        return run
    stages.describe(manifest, ledger)
    with resume.locked(run):
        sweep(run.root)
        facts["decided"] = resume.read_facts(run).get("decided", {}) if standing == "unfinished" else {}
        if standing == "new":
            resume.begin_anew(run)
        _train(run, manifest, ledger, config, facts | {"data": str(data)}, clock)
    return run


def _train(
    run: RunDir, manifest: Manifest, ledger: pd.DataFrame, config: RunConfig, facts: dict[str, Any],
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
    }
    stages.save_data(run, manifest, ledger)
    write_json(run.run_json, facts)
    task = stages.task_of(config, manifest, facts["decided"])
    write_json(run.run_json, facts | {"decided": stages.decided(task)})
    row = ENGINES[task.engine]
    note(f"Model      {task.backbone.name}, head {config.model.head}, {row.name} ({row.precision})")
    stages.require_small_enough(task, manifest)
    trained = stages.learn(task, run, clock)
    with timed(clock, "parity"):
        predictor = stages.save_model(run, task, manifest, trained)
    with timed(clock, "evaluate"):
        test = manifest.where("test")
        logits = (
            stages.answers(predictor, test, "test")
            if trained.test is None
            else predictor.logits(trained.test)
        )
        stages.write_evaluation(run, "test", test, logits, predictor, config.evaluation.top_k)
    facts |= {
        "decided": stages.decided(task),
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


def evaluate(run: RunDir | str | Path, data: str | Path | None = None, engine: str = "") -> Evaluation:
    """Evaluates the saved model on its own test split, or on other labelled images.

    Writes ``evaluation/<split>/`` and, for the test split, the report again.

    Args:
        run: a run directory.
        data: other labelled images with the same class names; the run's own test split by default.
        engine: another engine than the one the model was trained with.
    """
    from headstart import stages
    from headstart.data import ledger as ledgers
    from headstart.data import manifest as manifests
    from headstart.report.render import render

    run = run if isinstance(run, RunDir) else RunDir(Path(run))
    predictor = load(run, engine)
    if not run.model.is_dir():
        raise InputError(
            sentence("This is a bundle, not a run.", received=str(run.root), remedy="Give the run around it.")
        )
    top_k = resume.read_facts(run)["config"]["evaluation"]["top_k"]
    split, images = "test", manifests.load(run.manifest).where("test")
    if data is not None:
        split = f"other-{_name(data)}" if _name(data) in manifests.SPLITS else _name(data)
        images, ledger = stages.labelled(str(data), predictor)
        ledgers.save(ledger, run.evaluation(split) / "data_report.csv")
        images.save(run.evaluation(split) / "manifest.parquet")
    logits = stages.answers(predictor, images, split)
    evaluation = stages.write_evaluation(run, split, images, logits, predictor, top_k)
    if data is None:
        render(run)
    return evaluation


def load(run: RunDir | str | Path, engine: str = "") -> Predictor:
    """Opens the trained model of a run directory, or of a bundle copied out of one.

    >>> load("nowhere")
    Traceback (most recent call last):
    headstart.errors.BundleError: There is no trained model here. ...
    """
    root = run.root if isinstance(run, RunDir) else Path(run)
    model = RunDir(root).model
    return Predictor(load_bundle(model if model.is_dir() else root), engine)


def _name(data: str | Path) -> str:
    from headstart.data import sources

    return sources.name(str(data))
