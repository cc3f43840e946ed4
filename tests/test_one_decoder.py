"""R10: training, evaluation, prediction by path and by bytes, parity and exports see the very same pixels."""

import hashlib
import io
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests import models

import headstart as hs
from headstart.data import images
from headstart.exports import plain, settings
from headstart.inference.predictor import Predictor
from headstart.training.features import Image as Known

KINDS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
WRITTEN = {
    "JPEG": ("RGB", "L", "CMYK"), "PNG": ("RGB", "L", "RGBA", "P", "I;16", "1", "LA"),
    "GIF": ("P", "L", "1"), "WEBP": ("RGB", "RGBA"), "BMP": ("RGB", "L", "P", "1"),
    "TIFF": ("RGB", "L", "RGBA", "CMYK", "I;16", "LA"),
}  # fmt: skip


def file(number: int) -> bytes:
    """One of many: kind, mode, size and orientation change at different paces."""
    kind = KINDS[number % len(KINDS)]
    mode = WRITTEN[kind][number // len(KINDS) % len(WRITTEN[kind])]
    large = number % 5 == 0  # scaled down while a JPEG is decoded
    width, height = (300 + number, 200) if large else (40 + number % 90, 30 + number % 70)
    picture = Image.open(io.BytesIO(models.picture(number, width, height)))
    if mode == "I;16":
        wide = np.asarray(picture.convert("L")).astype(np.uint16) * 257
        picture = Image.fromarray(wide)
    else:
        picture = picture.convert(mode)
    options: dict[str, object] = {}
    if kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        exif = Image.Exif()
        exif[0x0112] = number % 8 + 1
        options["exif"] = exif
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """60 in two classes, and 440 more."""
    root = tmp_path_factory.mktemp("files")
    found = []
    for i in range(500):
        folder = root / ("other" if i >= 60 else "even" if i % 2 == 0 else "odd")
        folder.mkdir(exist_ok=True)
        found.append(folder / f"{i:03}")  # the name says nothing of the kind
        found[-1].write_bytes(file(i))
    return found


@pytest.mark.parametrize("fit", ["letterbox", "crop", "stretch"])
def test_every_path_has_the_same_pixels(files, tmp_path, fit):
    predictor = Predictor(models.saved(tmp_path / "model", models.spec(fit=fit)))
    differences = 0
    for path in files if fit == "letterbox" else files[::7]:
        content = path.read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        expected = images.square(content, models.SIZE, fit)  # as the parity check has it
        found = {
            "training": Known(sha256, path).square(models.SIZE, fit),
            "evaluation": predictor.square_of(path, sha256),
            "prediction by path": predictor.square(path),
            "prediction by name": predictor.square(str(path)),
            "prediction by bytes": predictor.square(content),
        }
        for way, square in found.items():
            assert square.dtype == np.uint8
            assert np.array_equal(square, expected), (way, path)
        differences += len(np.unique(expected)) > 2
    assert differences > 0.9 * len(files if fit == "letterbox" else files[::7])  # they are pictures


def test_every_path_has_the_same_answer(files, tmp_path):
    """60 images: evaluation, command line, Python by path and by bytes, and an export."""
    learned, asked = data_of(tmp_path / "learned", files[60:120]), data_of(tmp_path / "asked", files[:60])
    run = hs.train(learned, tmp_path / "run", backbone="vgg-tiny", image_size=64, engine="ncnn")
    hs.evaluate(run, asked)
    chosen = files[:60]

    predictor = hs.load(run)
    by_path, by_bytes = predictor.predict(chosen), predictor.predict([path.read_bytes() for path in chosen])
    command = [sys.executable, "-m", "headstart", "predict", str(run.root), *map(str, chosen)]
    command += ["--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (evaluated,) = (path for path in (run.root / "evaluation").iterdir() if path.name not in ("test", "val"))
    table = pd.read_parquet(evaluated / "predictions.parquet").set_index("path")
    hs.export(run, "onnx", tmp_path / "onnx")
    exported = plain.ask(tmp_path / "onnx", np.stack([predictor.square(path) for path in chosen]))
    labels = (tmp_path / "onnx" / settings.LABELS).read_text().splitlines()

    rows = zip(chosen, by_path, by_bytes, json.loads(done.stdout), exported, strict=True)
    for path, one, two, three, row in rows:
        four = table.loc[f"{path.parent.name}/{path.name}"]
        assert one.label == two.label == three["label"] == four["predicted"] == labels[row.argmax()]
        scores = list(one.probabilities.values())
        assert list(two.probabilities.values()) == scores
        np.testing.assert_allclose(list(three["probabilities"].values()), scores, atol=5e-7)
        np.testing.assert_allclose(four["probabilities"], scores, atol=1e-6)
        np.testing.assert_allclose(row, scores, atol=1e-5)


def data_of(folder, files):
    """A folder of these files, by class."""
    for path in files:
        place = folder / ("odd" if int(path.name) % 2 else "even") / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes())
    return folder
