"""Rendered runs, and the browser to look at them with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.report.browser import HOSTILE, PAIR, chromium
from tests.report.test_render import add_the_rest, make_run, save_evaluation

from headstart.data import manifest as manifests
from headstart.evaluation.predictions import Predictions
from headstart.report.render import render
from headstart.rundir import RunDir


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="session")
def pair(tmp_path_factory) -> RunDir:
    """Two classes, 30 images, of which 7 cats are taken for dogs' tails."""
    run = make_run(tmp_path_factory.mktemp("pair"), wrong=7, right=23, names=PAIR)
    add_the_rest(run)
    render(run)
    return run


@pytest.fixture(scope="session")
def sixty(tmp_path_factory) -> RunDir:
    """Sixty classes; the last has no image, so no area."""
    rng = np.random.default_rng(5)
    y = np.append(np.arange(120) % 59, np.zeros(20, int))
    logits = rng.normal(size=(140, 60)) + 2 * np.eye(60)[y]
    return drawn(tmp_path_factory.mktemp("sixty"), tuple(f"class {i}" for i in range(60)), y, logits)


@pytest.fixture(scope="session")
def hostile(tmp_path_factory) -> RunDir:
    """Classes with hostile names; half of each class is taken for the next one."""
    y = np.arange(12) % 6
    logits = np.roll(np.eye(6), 1, axis=1)[y] + 2 * np.eye(6)[y] * (np.arange(12) < 6)[:, None]
    return drawn(tmp_path_factory.mktemp("hostile"), HOSTILE, y, logits)


def drawn(root: Path, names: tuple[str, ...], y: np.ndarray, logits: np.ndarray) -> RunDir:
    """A rendered run over pictures of these classes."""
    run, photos = RunDir(root / "run"), root / "photos"
    photos.mkdir()
    paths = [f"{i:03d}.png" for i in range(len(y))]
    for i, path in enumerate(paths):
        Image.new("RGB", (48, 32), (i % 256, 90, 160)).save(photos / path)
    rows = [{"path": p, "label": names[c], "split": "test"} for p, c in zip(paths, y, strict=True)]
    rows += [{"path": f"train{i}.png", "label": name, "split": "train"} for i, name in enumerate(names)]
    manifests.from_rows(rows, photos).save(run.manifest)
    save_evaluation(run, Predictions(tuple(paths), y, logits.astype(np.float32), names))
    render(run)
    return run
