"""The stages behind the verbs: prepare → train → save and prove → evaluate."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.backbones import specs, weights
from headstart.config import Precision, RunConfig, seconds
from headstart.data import images
from headstart.data import ledger as ledgers
from headstart.engines import ENGINES
from headstart.engines.choice import fastest
from headstart.engines.precision import training_precision
from headstart.errors import InputError, sentence
from headstart.evaluation.metrics import Evaluation
from headstart.evaluation.metrics import evaluate as measure
from headstart.evaluation.predictions import Predictions
from headstart.export import parity
from headstart.inference import bundle
from headstart.inference.predictor import Predictor
from headstart.inference.reference import reference
from headstart.progress import note, track
from headstart.rundir import RunDir, atomic_dir, to_json, write_json
from headstart.training import estimate, features, strategy
from headstart.training.journal import Journal
from headstart.training.strategy import Task, Trained

if TYPE_CHECKING:
    import pandas as pd

    from headstart.data.manifest import Manifest

PARITY_IMAGES = 32
GOLDEN_IMAGES = 4


def describe(data: Manifest, ledger: pd.DataFrame) -> None:
    """Says how many images there are, of which kinds."""
    left_out = int((ledger["action"] == "left out").sum())
    sizes = data.table["split"].value_counts()
    note(
        f"Images     {len(data):,} in {len(data.class_names)} classes"
        f" (train {sizes['train']:,}, val {sizes['val']:,}, test {sizes['test']:,}),"
        f" {left_out:,} left out"
    )


def save_data(run: RunDir, data: Manifest, ledger: pd.DataFrame) -> None:
    """Writes ``manifest.parquet`` and ``data_report.csv``."""
    data.save(run.manifest)
    ledgers.save(ledger, run.data_report)


def task_of(config: RunConfig, data: Manifest, decided: dict[str, Any]) -> Task:
    """The network, its weights and the engine, for the images of a manifest.

    What was left to the machine (engine, precision, variants in the time limit) is decided here, or taken
    from what `decided` said before the run was killed: a cache that was cleared meanwhile changes nothing.
    """
    model, training = config.model, config.training
    scratch = config.training.strategy == "scratch"
    backbone = specs.backbone(model.backbone)
    backbone = backbone.blank if scratch else backbone
    arrays = (
        weights.random(backbone, config.seed)
        if scratch
        else weights.find(backbone, model.weights, config.seed)
    )
    size = config.data.image_size
    engine = decided.get("engine") or model.engine
    engine = engine if engine != "auto" else fastest(backbone, model.head, size, arrays)
    if training.strategy != "frozen" or training.solver == "keras":
        precision: Precision = decided.get("precision") or training_precision(training.precision)
        training = replace(training, precision=precision)
    views = decided.get("augment_views", training.augment_views)
    table = data.table
    task = Task(
        config=replace(config, training=replace(training, augment_views=views)),
        backbone=backbone,
        arrays=arrays,
        engine=engine,
        images=list(map(features.Image, table["sha256"], data.files)),
        y=data.y,
        weight=table["weight"].to_numpy(),
        split=table["split"].to_numpy(),
        classes=len(data.class_names),
    )
    return task if decided else estimate.within(task, seconds(training.time_limit))


def decided(task: Task) -> dict[str, Any]:
    """What `task_of` has decided, for ``run.json``."""
    training = task.config.training
    return {
        "engine": task.engine,
        "precision": training.precision,
        "augment_views": training.augment_views,
    }


def require_small_enough(task: Task, data: Manifest) -> None:
    """Refuses names of classes that no bundle holds, before the long work."""
    size = len(to_json(asdict(_spec(task, data, "image"))).encode())
    if size > bundle.SPEC_LIMIT:
        raise InputError(
            sentence(
                "The names of the classes are too long for a bundle.",
                allowed=f"{bundle.SPEC_LIMIT} bytes in all",
                received=f"{size} bytes",
                remedy="Shorten the names of the folders.",
            )
        )


def _spec(task: Task, data: Manifest, boundary: str) -> bundle.BundleSpec:
    """What ``model.json`` will say."""
    config, backbone = task.config, task.backbone
    return bundle.BundleSpec(
        backbone=backbone.name,
        head=config.model.head,
        taps=backbone.taps(config.model.head),
        pixels="unit" if config.training.strategy == "scratch" else "imagenet",
        boundary=boundary,
        image_size=config.data.image_size,
        fit=config.data.fit,
        views=config.model.views,
        class_names=data.class_names,
        temperature=1.0,
        engine=task.engine,
        precision=ENGINES[task.engine].precision,
    )


def learn(task: Task, run: RunDir, clock: dict[str, float]) -> Trained:
    """Trains, or goes on with what the run's checkpoint holds."""
    estimate.say(task)
    running = task.config.running
    deadline = time.monotonic() + seconds(task.config.training.time_limit)
    return strategy.fit(task, Journal(run, clock, running.tensorboard, deadline))


def save_model(run: RunDir, task: Task, data: Manifest, trained: Trained) -> Predictor:
    """Writes the bundle beside its place, proves it there, and only then moves it into the run.

    Raises:
        GateError: the saved model would not answer as Keras does.
    """
    spec = _spec(task, data, trained.boundary)
    contents = _held_out(data)
    note("Parity     asking Keras and the saved model the same held-out images")
    answers = parity.keras_probabilities(spec, trained.arrays, contents)
    golden = bundle.Golden(contents[:GOLDEN_IMAGES], tuple(map(tuple, answers[:GOLDEN_IMAGES].tolist())))
    known = reference(spec.network, data.where("train"), trained.reference)
    with atomic_dir(run.model) as folder:
        bundle.write(folder, spec, trained.arrays, known, golden)
        predictor = Predictor(bundle.load(folder))
        certificate = parity.certify(predictor, contents, answers)
        write_json(run.parity, asdict(certificate))
        parity.require(certificate)
    return predictor


def _held_out(data: Manifest) -> tuple[bytes, ...]:
    """Raw files of the test split, in the order of their hashes, so that any name would give the same."""
    table = data.where("test").table.sort_values("sha256")
    pairs = zip(table["path"][:PARITY_IMAGES], table["sha256"], strict=False)
    return tuple(images.read_known(data.root / path, sha256) for path, sha256 in pairs)


def answers(predictor: Predictor, data: Manifest, name: str) -> np.ndarray:
    """(N, C) logits of all images of a manifest, by the saved model in its engine."""
    squares = (predictor.square_of(*image) for image in zip(data.files, data.table["sha256"], strict=True))
    found = track(predictor.features(squares), f"Evaluating {name}", len(data))
    return np.concatenate([predictor.logits(row[None]) for row in found])


def write_evaluation(
    run: RunDir, split: str, data: Manifest, logits: np.ndarray, predictor: Predictor, top_k: int
) -> Evaluation:
    """Measures the answers, and writes ``evaluation/<split>/``."""
    names = predictor.spec.class_names
    index = {name: i for i, name in enumerate(names)}
    predictions = Predictions(
        paths=tuple(data.table["path"]),
        y_true=np.array([index[label] for label in data.table["label"]], np.int64),
        logits=logits.astype(np.float32),
        class_names=names,
        temperature=predictor.spec.temperature,
    )
    evaluation = measure(predictions, top_k)
    folder = run.evaluation(split)
    predictions.save(folder / "predictions.parquet")
    evaluation.save(folder)
    return evaluation


def labelled(data: str, predictor: Predictor) -> tuple[Manifest, pd.DataFrame]:
    """Other labelled images, all of them, whose classes the model knows, and their ledger.

    Raises:
        InputError: there is a class that it does not know.
    """
    from headstart.data.prepare import read

    found, ledger = read(data)
    unknown = sorted(set(found.class_names) - set(predictor.spec.class_names))
    if unknown:
        raise InputError(
            sentence(
                "These images have classes that the model does not know.",
                allowed=", ".join(predictor.spec.class_names),
                received=", ".join(unknown),
                remedy="Rename the folders, or train on these classes.",
            )
        )
    if len(left_out := ledger[ledger["action"] == "left out"]):
        note(f"{len(left_out)} files are not usable images and were left out.")
    return found, ledger


def dataset(data: Manifest, fingerprint: str) -> dict[str, Any]:
    """What the data is, wherever it lies: the folder's name may change, its content may not."""
    return {"fingerprint": fingerprint, "images": len(data), "classes": len(data.class_names)}
