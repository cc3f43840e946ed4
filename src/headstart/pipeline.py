"""The verbs train, evaluate and load: what the command line and ``import headstart`` share."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart import resume
from headstart.config import RunConfig, validated
from headstart.errors import InputError, printable, sentence
from headstart.inference.bundle import load as load_bundle
from headstart.inference.predictor import Predictor
from headstart.progress import note
from headstart.rundir import RunDir, atomic_dir, write_json

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from headstart.data.manifest import Manifest
    from headstart.evaluation.metrics import Evaluation

PARITY_IMAGES = 32
GOLDEN_IMAGES = 4


def train(
    data: str | Path, out: str | Path | None = None, config: RunConfig | None = None, **options: Any
) -> RunDir:
    """Trains, checks and evaluates a classifier, and leaves all of it in a run directory.

    Args:
        data: a folder of class folders, or ``elpv``.
        out: the run directory; ``runs/<name of data>`` by default.
        config: all options at once, or
        **options: single ones by name, as on the command line (``seed=3, views=8``).

    Returns:
        The run. The same call on a finished run changes nothing; on a killed one it goes on.

    Raises:
        InputError: data or options cannot be used, or `out` holds another run.
        GateError: the saved model would not answer as Keras does.
    """
    config = validated(config) if config else RunConfig.from_options(**options)
    run = RunDir(Path(out) if out else Path("runs") / Path(data).resolve().name)
    resume.require_free(run, data)
    clock: dict[str, float] = {}
    with _timed(clock, "prepare"):
        from headstart.data.prepare import fingerprint, prepare

        manifest, ledger = prepare(str(data), config.data, config.seed)
    facts = {"config": config.to_dict(), "dataset": _dataset(manifest, fingerprint(manifest))}
    if resume.is_finished(run, facts):
        note(f"{printable(run.root)} is finished with these options and data; nothing to do.")
        return run
    _describe(manifest, ledger)
    _save_data(run, manifest, ledger)
    facts["dataset"]["data"] = str(data)
    _train(run, manifest, config, facts, clock)
    return run


def evaluate(run: RunDir | str | Path, data: str | Path | None = None, engine: str = "") -> Evaluation:
    """Evaluates the saved model on its own test split, or on other labelled images.

    Writes ``evaluation/<split>/`` and, for the test split, the report again.

    Args:
        run: a run directory.
        data: other labelled images with the same class names; the run's own test split by default.
        engine: another engine than the one the model was trained with.
    """
    import numpy as np

    from headstart.data import manifest as manifests
    from headstart.progress import track

    run = run if isinstance(run, RunDir) else RunDir(Path(run))
    predictor = load(run, engine)
    if data is None:
        split, images = "test", manifests.load(run.manifest).where("test")
    else:
        name = Path(data).resolve().name
        split = f"other-{name}" if name in manifests.SPLITS else name
        images = _labelled(str(data), predictor)
    squares = (predictor.square(path) for path in images.files)
    features = track(predictor.features(squares), f"Evaluating {split}", len(images))
    logits = np.concatenate([predictor.logits(row[None]) for row in features])
    return _evaluate(run, split, images, logits, predictor)


def load(run: RunDir | str | Path, engine: str = "") -> Predictor:
    """Opens the trained model of a run directory, or of a bundle copied out of one.

    >>> load("nowhere")
    Traceback (most recent call last):
    headstart.errors.BundleError: There is no trained model here. ...
    """
    root = run.root if isinstance(run, RunDir) else Path(run)
    model = RunDir(root).model
    return Predictor(load_bundle(model if model.is_dir() else root), engine)


def _train(
    run: RunDir, manifest: Manifest, config: RunConfig, facts: dict[str, Any], clock: dict[str, float]
) -> None:
    from headstart.backbones import specs, weights
    from headstart.engines import ENGINES
    from headstart.engines.choice import fastest
    from headstart.provenance import hardware, versions
    from headstart.report.render import render
    from headstart.training import features, solve

    model = config.model
    backbone = specs.backbone(model.backbone)
    arrays = weights.find(backbone, model.weights, config.seed)
    size = config.data.image_size
    engine = model.engine if model.engine != "auto" else fastest(backbone, model.head, size, arrays)
    note(f"Model      {model.backbone}, head {model.head}, {engine} ({ENGINES[engine].precision})")
    with _timed(clock, "features"):
        recipe = features.recipe(backbone, arrays, model.head, size, config.data.fit, engine)
        images = list(map(features.Image, manifest.table["sha256"], manifest.files))
        x = features.extract(images, backbone, arrays, model.head, recipe, model.views)
    with _timed(clock, "head"):
        split = manifest.table["split"].to_numpy()
        weight = manifest.table["weight"].to_numpy()
        fitted = solve.fit(x, manifest.y, weight, split, backbone.parts(model.head), config)
        _save_history(run, fitted.history)
    with _timed(clock, "parity"):
        arrays |= {"head/kernel": fitted.head.kernel, "head/bias": fitted.head.bias}
        predictor = _save_model(run, manifest, config, engine, arrays, x)
    with _timed(clock, "evaluate"):
        test = split == "test"
        _write_evaluation(run, "test", manifest.where("test"), predictor.logits(x[test]), predictor)
    facts |= {
        "format": 1,
        "command": sys.argv if sys.argv[0].endswith("headstart") else ["python", *sys.argv],
        "versions": versions(),
        "hardware": hardware(),
        "engine": {
            "name": engine,
            "precision": ENGINES[engine].precision,
            "version": ENGINES[engine].version,
        },
        "head": {"solver": config.training.solver, "features": int(x.shape[-1]), **fitted.chosen},
        "seconds": {name: round(seconds, 2) for name, seconds in clock.items()},
        "finished": True,
    }
    write_json(run.run_json, facts)
    render(run)


def _save_model(
    run: RunDir,
    manifest: Manifest,
    config: RunConfig,
    engine: str,
    arrays: dict[str, np.ndarray],
    x: np.ndarray,
) -> Predictor:
    """Writes the bundle beside its place, proves it there, and only then moves it into the run."""
    from headstart.backbones import specs
    from headstart.engines import ENGINES
    from headstart.export import parity
    from headstart.inference import bundle
    from headstart.inference.reference import reference

    backbone = specs.backbone(config.model.backbone)
    spec = bundle.BundleSpec(
        backbone=backbone.name,
        head=config.model.head,
        taps=backbone.taps(config.model.head),
        boundary=backbone.last_map,
        image_size=config.data.image_size,
        fit=config.data.fit,
        views=config.model.views,
        class_names=manifest.class_names,
        temperature=1.0,
        engine=engine,
        precision=ENGINES[engine].precision,
    )
    contents = _held_out(manifest)
    note("Parity     asking Keras and the saved model the same held-out images")
    answers = parity.keras_probabilities(spec, arrays, contents)
    golden = bundle.Golden(contents[:GOLDEN_IMAGES], tuple(map(tuple, answers[:GOLDEN_IMAGES].tolist())))
    train = (manifest.table["split"] == "train").to_numpy()
    with atomic_dir(run.model) as folder:
        bundle.write(folder, spec, arrays, reference(backbone, manifest.where("train"), x[train]), golden)
        predictor = Predictor(load_bundle(folder))
        certificate = parity.certify(predictor, contents, answers)
        write_json(run.parity, asdict(certificate))
        parity.require(certificate)
    return predictor


def _held_out(manifest: Manifest) -> tuple[bytes, ...]:
    """Raw files of the test split, in the order of their hashes, so that any name would give the same."""
    table = manifest.where("test").table.sort_values("sha256")
    return tuple((manifest.root / path).read_bytes() for path in table["path"][:PARITY_IMAGES])


def _evaluate(
    run: RunDir, split: str, images: Manifest, logits: np.ndarray, predictor: Predictor
) -> Evaluation:
    from headstart.report.render import render

    evaluation = _write_evaluation(run, split, images, logits, predictor)
    if split == "test" and run.run_json.exists():
        render(run)
    return evaluation


def _write_evaluation(
    run: RunDir, split: str, images: Manifest, logits: np.ndarray, predictor: Predictor
) -> Evaluation:
    import json

    from headstart.evaluation.metrics import evaluate as measure
    from headstart.evaluation.predictions import Predictions

    names = predictor.spec.class_names
    index = {name: i for i, name in enumerate(names)}
    import numpy as np

    predictions = Predictions(
        paths=tuple(images.table["path"]),
        y_true=np.array([index[label] for label in images.table["label"]], np.int64),
        logits=logits.astype(np.float32),
        class_names=names,
        temperature=predictor.spec.temperature,
    )
    top_k = 5
    if run.run_json.exists():
        top_k = json.loads(run.run_json.read_text(encoding="utf-8"))["config"]["evaluation"]["top_k"]
    evaluation = measure(predictions, top_k)
    folder = run.evaluation(split)
    predictions.save(folder / "predictions.parquet")
    evaluation.save(folder)
    return evaluation


def _labelled(data: str, predictor: Predictor) -> Manifest:
    """Other labelled images, all of them, whose classes the model knows."""
    from headstart.data.prepare import read

    manifest, ledger = read(data)
    unknown = sorted(set(manifest.class_names) - set(predictor.spec.class_names))
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
    return manifest


def _dataset(manifest: Manifest, fingerprint: str) -> dict[str, Any]:
    """What the data is, wherever it lies: the folder's name may change, its content may not."""
    classes = len(manifest.class_names)
    return {"fingerprint": fingerprint, "images": len(manifest), "classes": classes}


def _describe(manifest: Manifest, ledger: pd.DataFrame) -> None:
    left_out = int((ledger["action"] == "left out").sum())
    sizes = manifest.table["split"].value_counts()
    note(
        f"Images     {len(manifest):,} in {len(manifest.class_names)} classes"
        f" (train {sizes['train']:,}, val {sizes['val']:,}, test {sizes['test']:,}),"
        f" {left_out:,} left out"
    )


def _save_data(run: RunDir, manifest: Manifest, ledger: pd.DataFrame) -> None:
    from headstart.data import ledger as ledgers

    manifest.save(run.manifest)
    ledgers.save(ledger, run.data_report)


def _save_history(run: RunDir, history: list[dict[str, Any]]) -> None:
    import pandas as pd

    from headstart.rundir import write_text

    write_text(run.history, pd.DataFrame(history).to_csv(index=False))


@contextmanager
def _timed(clock: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    clock[stage] = time.perf_counter() - start
