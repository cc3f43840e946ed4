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
from headstart.inference.bundle import BundleSpec
from headstart.inference.bundle import load as load_bundle
from headstart.inference.predictor import Predictor
from headstart.progress import note
from headstart.rundir import RunDir, atomic_dir, to_json, write_json

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
        data: a folder of class folders, a table, ``cifar10:FILE``, or ``elpv``.
        out: the run directory; ``runs/<name of data>`` by default.
        config: all options at once, or
        **options: single ones by name, as on the command line (``seed=3, views=8``).

    Returns:
        The run. The same call on a finished run changes nothing; on a killed one it goes on.

    Raises:
        InputError: data or options cannot be used, or `out` holds another run.
        GateError: the saved model would not answer as Keras does.
    """
    if config and options:
        raise InputError(sentence("Give a config or single options, not both.", received=", ".join(options)))
    config = validated(config) if config else RunConfig.from_options(**options)
    run = RunDir(Path(out) if out else Path("runs") / _name(data))
    resume.require_free(run, data)
    clock: dict[str, float] = {}
    with _timed(clock, "prepare"):
        from headstart.data import manifest as manifests
        from headstart.data.prepare import fingerprint, prepare

        manifest, ledger = prepare(str(data), config.data, config.seed)
    facts = {"config": config.to_dict(), "dataset": _dataset(manifest, fingerprint(manifest))}
    before = manifests.load(run.manifest) if run.manifest.exists() else manifest
    if resume.is_finished(run, facts, manifests.changes(before, manifest)):
        note(f"{printable(run.root)} is finished with these options and data; nothing to do.")
        return run
    _describe(manifest, ledger)
    facts["dataset"]["data"] = str(data)
    with resume.locked(run):
        _save_data(run, manifest, ledger)
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

    from headstart.data import ledger as ledgers
    from headstart.data import manifest as manifests
    from headstart.progress import track
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
        images, ledger = _labelled(str(data), predictor)
        ledgers.save(ledger, run.evaluation(split) / "data_report.csv")
        images.save(run.evaluation(split) / "manifest.parquet")
    squares = (
        predictor.square_of(*image) for image in zip(images.files, images.table["sha256"], strict=True)
    )
    features = track(predictor.features(squares), f"Evaluating {split}", len(images))
    logits = np.concatenate([predictor.logits(row[None]) for row in features])
    evaluation = _write_evaluation(run, split, images, logits, predictor, top_k)
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
    spec = _spec(config, manifest, engine)
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
        predictor = _save_model(run, manifest, spec, arrays, x)
    with _timed(clock, "evaluate"):
        test = split == "test"
        top_k = config.evaluation.top_k
        _write_evaluation(run, "test", manifest.where("test"), predictor.logits(x[test]), predictor, top_k)
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


def _spec(config: RunConfig, manifest: Manifest, engine: str) -> BundleSpec:
    """What ``model.json`` will say; made before the long work, since there is a limit to its size."""
    from headstart.backbones import specs
    from headstart.engines import ENGINES
    from headstart.inference import bundle

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
    if (size := len(to_json(asdict(spec)).encode())) > bundle.SPEC_LIMIT:
        raise InputError(
            sentence(
                "The names of the classes are too long for a bundle.",
                allowed=f"{bundle.SPEC_LIMIT} bytes in all",
                received=f"{size} bytes",
                remedy="Shorten the names of the folders.",
            )
        )
    return spec


def _save_model(
    run: RunDir, manifest: Manifest, spec: BundleSpec, arrays: dict[str, np.ndarray], x: np.ndarray
) -> Predictor:
    """Writes the bundle beside its place, proves it there, and only then moves it into the run."""
    from headstart.export import parity
    from headstart.inference import bundle
    from headstart.inference.reference import reference

    contents = _held_out(manifest)
    note("Parity     asking Keras and the saved model the same held-out images")
    answers = parity.keras_probabilities(spec, arrays, contents)
    golden = bundle.Golden(contents[:GOLDEN_IMAGES], tuple(map(tuple, answers[:GOLDEN_IMAGES].tolist())))
    train = (manifest.table["split"] == "train").to_numpy()
    with atomic_dir(run.model) as folder:
        bundle.write(folder, spec, arrays, reference(spec.network, manifest.where("train"), x[train]), golden)
        predictor = Predictor(load_bundle(folder))
        certificate = parity.certify(predictor, contents, answers)
        write_json(run.parity, asdict(certificate))
        parity.require(certificate)
    return predictor


def _held_out(manifest: Manifest) -> tuple[bytes, ...]:
    """Raw files of the test split, in the order of their hashes, so that any name would give the same."""
    from headstart.data import images

    table = manifest.where("test").table.sort_values("sha256")
    pairs = zip(table["path"][:PARITY_IMAGES], table["sha256"], strict=False)
    return tuple(images.read_known(manifest.root / path, sha256) for path, sha256 in pairs)


def _write_evaluation(
    run: RunDir, split: str, images: Manifest, logits: np.ndarray, predictor: Predictor, top_k: int
) -> Evaluation:
    import numpy as np

    from headstart.evaluation.metrics import evaluate as measure
    from headstart.evaluation.predictions import Predictions

    names = predictor.spec.class_names
    index = {name: i for i, name in enumerate(names)}
    predictions = Predictions(
        paths=tuple(images.table["path"]),
        y_true=np.array([index[label] for label in images.table["label"]], np.int64),
        logits=logits.astype(np.float32),
        class_names=names,
        temperature=predictor.spec.temperature,
    )
    evaluation = measure(predictions, top_k)
    folder = run.evaluation(split)
    predictions.save(folder / "predictions.parquet")
    evaluation.save(folder)
    return evaluation


def _labelled(data: str, predictor: Predictor) -> tuple[Manifest, pd.DataFrame]:
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
    return manifest, ledger


def _name(data: str | Path) -> str:
    from headstart.data import sources

    return sources.name(str(data))


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
