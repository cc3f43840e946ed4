"""The ways to train that `bench_training.py` stands ours beside, each as people write it.

    python benchmarks/peers_training.py NAME DATA WEIGHTS OUT --size 224 --epochs 10 --seed 0

DATA holds train/<class> and val/<class>; WEIGHTS the true VGG16 base as ``vgg16.weights.h5``, and as
``vgg16.safetensors`` for PyTorch. Writes the trained model and ``result.json`` into OUT. Nothing of
headstart is imported: what it costs to start is the library's own.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 32
DROPOUT = 0.2
MEAN = (103.939, 116.779, 123.68)  # of BGR pixels, as these weights want them


@dataclass(frozen=True)
class Job:
    """Folders, side of an image in pixels, epochs, and the seed of weights, order and dropout."""

    data: Path
    weights: Path
    out: Path
    size: int
    epochs: int
    seed: int


@dataclass(frozen=True)
class Result:
    """Of each epoch: validation accuracy, and seconds with its validation."""

    accuracy: list[float]
    seconds: list[float]


# --- Keras ---------------------------------------------------------------------------------------------


def keras_frozen(job: Job) -> Result:
    """The tutorial: `image_dataset_from_directory`, a frozen VGG16 with a dense layer, `fit`."""
    import keras

    base = _vgg16(job)
    base.trainable = False
    return _fit(job, base, keras.optimizers.Adam(1e-3))


def keras_block5(job: Job) -> Result:
    """The same with block5 trained too, at a low rate."""
    import keras

    base = _vgg16(job)
    for layer in base.layers:
        layer.trainable = layer.name.startswith("block5")
    return _fit(job, base, keras.optimizers.Adam(1e-5))


def keras_cached(job: Job) -> Result:
    """The base's answers by `predict`, once; a dense layer is trained on them and put on top of the base."""
    import keras

    train, val = (_images(job, split) for split in ("train", "val"))
    base = _vgg16(job)
    inputs = keras.Input((job.size, job.size, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(base(keras.applications.vgg16.preprocess_input(inputs)))
    features = keras.Model(inputs, pooled)
    found = [_predicted(features, images) for images in (train, val)]
    vector = keras.Input((512,))
    top = keras.Model(vector, _head(vector, len(train.class_names)))
    result = _run(job, top, keras.optimizers.Adam(1e-3), found[0], found[1])
    keras.Model(inputs, top(pooled)).save(job.out / "model.keras")
    return result


def _images(job: Job, split: str) -> Any:
    import keras

    return keras.utils.image_dataset_from_directory(
        job.data / split, image_size=(job.size, job.size), batch_size=BATCH, seed=job.seed
    )


def _vgg16(job: Job) -> Any:
    import keras

    keras.utils.set_random_seed(job.seed)
    file = str(job.weights / "vgg16.weights.h5")
    return keras.applications.VGG16(include_top=False, weights=file, input_shape=(job.size, job.size, 3))


def _fit(job: Job, base: Any, optimizer: Any) -> Result:
    import keras

    train, val = (_images(job, split) for split in ("train", "val"))
    inputs = keras.Input((job.size, job.size, 3))
    maps = base(keras.applications.vgg16.preprocess_input(inputs), training=False)
    pooled = keras.layers.GlobalAveragePooling2D()(maps)
    model = keras.Model(inputs, _head(pooled, len(train.class_names)))
    result = _run(job, model, optimizer, (train,), val)
    model.save(job.out / "model.keras")
    return result


def _head(x: Any, classes: int) -> Any:
    import keras

    return keras.layers.Dense(classes, activation="softmax")(keras.layers.Dropout(DROPOUT)(x))


def _run(job: Job, model: Any, optimizer: Any, train: tuple[Any, ...], val: Any) -> Result:
    """`train` is a dataset, or features and classes."""
    import keras

    began: list[float] = []
    seconds: list[float] = []
    clock = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: began.append(time.perf_counter()),  # noqa: ARG005
        on_epoch_end=lambda epoch, logs: seconds.append(time.perf_counter() - began[-1]),  # noqa: ARG005
    )
    model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(*train, validation_data=val, epochs=job.epochs, verbose=2, callbacks=[clock])
    return Result(history.history["val_accuracy"], seconds)


def _predicted(features: Any, images: Any) -> tuple[np.ndarray, np.ndarray]:
    """(N, 512) features and (N,) classes."""
    rows = [(features.predict(batch, verbose=0), np.asarray(labels)) for batch, labels in images]
    return np.concatenate([x for x, _ in rows]), np.concatenate([y for _, y in rows])


# --- PyTorch -------------------------------------------------------------------------------------------


def pytorch_frozen(job: Job) -> Result:
    """PyTorch's transfer learning: a `DataLoader` over the files, a base without gradients, Adam."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(job.seed)
    train, val = (_loader(job, split) for split in ("train", "val"))
    base = _torch_base(job).eval()
    classes = len(list((job.data / "train").iterdir()))
    top = torch.nn.Sequential(torch.nn.Dropout(DROPOUT), torch.nn.Linear(512, classes))
    optimizer = torch.optim.Adam(top.parameters(), 1e-3)
    accuracy, seconds = [], []
    for epoch in range(job.epochs):
        start = time.perf_counter()
        top.train()
        for x, y in train:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(top(_pooled(base, x)), y).backward()
            optimizer.step()
        accuracy.append(_torch_accuracy(base, top.eval(), val))
        seconds.append(time.perf_counter() - start)
        print(f"Epoch {epoch + 1}: {seconds[-1]:.1f} s, validation accuracy {accuracy[-1]:.4f}", flush=True)
    save_file(torch.nn.Sequential(base, top).state_dict(), job.out / "model.safetensors")
    return Result(accuracy, seconds)


def _loader(job: Job, split: str) -> Any:
    import torch
    from PIL import Image

    classes = sorted(path.name for path in (job.data / split).iterdir())
    files = [
        (path, y) for y, name in enumerate(classes) for path in sorted((job.data / split / name).iterdir())
    ]
    size, mean = job.size, torch.tensor(MEAN)

    class Files(torch.utils.data.Dataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return len(files)

        def __getitem__(self, row: int) -> tuple[Any, int]:
            path, y = files[row]
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))
            bgr = torch.from_numpy(pixels[..., ::-1].astype(np.float32)) - mean
            return bgr.permute(2, 0, 1), y

    return torch.utils.data.DataLoader(Files(), BATCH, shuffle=split == "train", num_workers=2)


def _torch_base(job: Job) -> Any:
    """Convolutions 3×3 with ReLU, and a pooling after each block."""
    import torch
    from safetensors.torch import load_file

    arrays = load_file(job.weights / "vgg16.safetensors")
    names = sorted({name.partition("/")[0] for name in arrays})
    layers: list[Any] = []
    for name, following in zip(names, [*names[1:], ""], strict=True):
        kernel = arrays[f"{name}/kernel"].permute(3, 2, 0, 1).contiguous()  # HWIO → OIHW
        conv = torch.nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding=1)
        conv.weight.data, conv.bias.data = kernel, arrays[f"{name}/bias"]
        layers += [conv, torch.nn.ReLU(inplace=True)]
        if following.partition("_")[0] != name.partition("_")[0]:
            layers.append(torch.nn.MaxPool2d(2))
    return torch.nn.Sequential(*layers).requires_grad_(False)


def _pooled(base: Any, x: Any) -> Any:
    import torch

    with torch.no_grad():
        return base(x).mean(dim=(2, 3))


def _torch_accuracy(base: Any, top: Any, loader: Any) -> float:
    import torch

    def right() -> Iterator[tuple[int, int]]:
        with torch.no_grad():
            for x, y in loader:
                yield int((top(_pooled(base, x)).argmax(dim=1) == y).sum()), len(y)

    counts = list(right())
    return sum(hit for hit, _ in counts) / sum(count for _, count in counts)


# --- command -------------------------------------------------------------------------------------------

PEERS: dict[str, Callable[[Job], Result]] = {
    peer.__name__: peer for peer in (keras_frozen, keras_cached, keras_block5, pytorch_frozen)
}


def main() -> None:
    """Trains one way, and writes what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=PEERS)
    for folder in ("data", "weights", "out"):
        parser.add_argument(folder, type=Path)
    for number in ("size", "epochs", "seed"):
        parser.add_argument(f"--{number}", type=int, required=True)
    chosen = vars(parser.parse_args())
    peer = PEERS[chosen.pop("name")]
    job = Job(**chosen)
    job.out.mkdir(parents=True)
    result = peer(job)
    last, best = result.accuracy[-1], max(result.accuracy)
    print(f"Validation accuracy of the last epoch {last:.4f}, of the best {best:.4f}")
    content = {"last_accuracy": last, "best_accuracy": best, "epoch_seconds": result.seconds}
    (job.out / "result.json").write_text(json.dumps(content))


if __name__ == "__main__":
    main()
