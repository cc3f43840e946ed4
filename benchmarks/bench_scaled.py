"""What decoding JPEGs at a fraction of their size does to accuracy.

    python benchmarks/bench_scaled.py

Solar cells of ELPV are saved as JPEGs of 900 pixels and answered twice by one classifier
on frozen VGG16 features: from the fraction that `images.square` decodes, and from every pixel. Only the
decoding differs. Takes about two minutes.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from headstart.backbones import specs, weights
from headstart.data import images, jpeg
from headstart.data.sources import elpv
from headstart.engines import open_engine, run_batches
from headstart.progress import shown, track
from headstart.provenance import hardware, versions
from headstart.rundir import write_json

LOG = Path(__file__).parent / "results" / "scaled.json"
SIZE = 224
SIDE = 900  # of the JPEGs in pixels: a quarter is 225, the hardest case
TRAIN, TEST = 600, 300


def main() -> None:
    """Measures, prints, and writes the log."""
    labels = elpv.read_labels()
    chosen = np.linspace(0, len(labels) - 1, TRAIN + TEST).astype(int)
    rng = np.random.default_rng(0)
    rng.shuffle(chosen)
    y = (labels["probability"] > 0.5).to_numpy()[chosen]
    files = [elpv.folder() / labels["path"][at] for at in chosen]
    train = features([images.load(file, SIZE, "letterbox") for file in files[:TRAIN]], "Training cells")
    contents = [enlarged(file) for file in files[TRAIN:]]
    fraction = features([images.square(data, SIZE, "letterbox") for data in contents], "At a fraction")
    whole = [images.fit(images.decode(data), SIZE, "letterbox") for data in contents]
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=1000))
    classifier.fit(train, y[:TRAIN])
    answers = (
        classifier.predict_proba(fraction)[:, 1],
        classifier.predict_proba(features(whole, "Whole"))[:, 1],
    )
    by = {jpeg.denominator(*images.dimensions(data), images.needed(SIZE, "letterbox")) for data in contents}
    result = {
        "denominators": sorted(by),
        "images": TEST,
        "accuracy_at_a_fraction": float(((answers[0] > 0.5) == y[TRAIN:]).mean()),
        "accuracy_of_every_pixel": float(((answers[1] > 0.5) == y[TRAIN:]).mean()),
        "other_answers": int(((answers[0] > 0.5) != (answers[1] > 0.5)).sum()),
        "largest_difference_of_a_probability": float(np.abs(answers[0] - answers[1]).max()),
    }
    for name, value in result.items():
        print(f"{name.replace('_', ' '):<38}{value}")
    write_json(LOG, {"hardware": hardware(), "versions": versions()} | result)


def enlarged(file: Path) -> bytes:
    """A cell as a JPEG of `SIDE` pixels."""
    stream = BytesIO()
    Image.open(file).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(
        stream, "JPEG", quality=92
    )
    return stream.getvalue()


def features(squares: list[np.ndarray], title: str) -> np.ndarray:
    """(N, D) of the default head's taps."""
    backbone = specs.backbone("vgg16")
    engine = open_engine("ncnn", backbone, "taps", SIZE, weights.find(backbone))
    with shown():
        return np.stack(list(track(run_batches(engine, iter(squares)), title, len(squares))))


if __name__ == "__main__":
    main()
