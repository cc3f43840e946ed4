"""One way to answer for images, in a process of its own: ``python contestants.py NAME RUN FILES [options]``.

Prints JSON: images a second from the bytes of files to labels, the same on ready tensors, each answer's
class and seconds. Peers do what their users do: Pillow or Keras decodes, one batch of 16 after the other.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart.inference import bundle

BATCH = 16  # of peers, which gain by it
Answer = Callable[[np.ndarray], np.ndarray]
"""(N, size, size, 3) uint8 to (N, C) probabilities or logits."""


def main() -> None:
    """Measures one of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("run", type=Path)
    parser.add_argument("files", type=Path, help="a list, a path a line")
    parser.add_argument("--rate", type=int, default=48, help="images by which the rate is measured")
    parser.add_argument("--all", action="store_true", help="then answer for all of them")
    asked = parser.parse_args()
    files = [Path(line) for line in asked.files.read_text().splitlines()]
    some = [file.read_bytes() for file in files[: asked.rate]]
    kind, _, engine = asked.name.partition(" ")
    one = Ours(asked.run, engine) if kind == "headstart" else Peer(asked.name, asked.run)
    one.labels(some[:BATCH])  # a warm-up
    tensors = one.tensors(some)
    result: dict[str, Any] = {"rate": _rate(one.labels, some), "limit": _rate(one.run, tensors)}
    latencies = []
    for content in some[:32]:
        start = time.perf_counter()
        one.labels([content])
        latencies.append(time.perf_counter() - start)
    result["latency"] = latencies
    if asked.all:
        result["answers"] = one.labels([file.read_bytes() for file in files])
    sys.stdout.write("\n" + json.dumps(result) + "\n")


def _rate(ask: Callable[[Any], object], images: Any) -> float:
    """Images a second, in one go."""
    start = time.perf_counter()
    ask(images)
    return len(images) / (time.perf_counter() - start)


class Ours:
    """`Predictor`, and its engine alone."""

    def __init__(self, run: Path, engine: str) -> None:
        from headstart import pipeline

        self.predictor = pipeline.load(run, engine)
        self.names = list(self.predictor.spec.class_names)

    def labels(self, contents: Sequence[bytes]) -> list[int]:
        """Classes, as the command line asks for them."""
        return [self.names.index(answer.label) for answer in self.predictor.stream(contents)]

    def tensors(self, contents: Sequence[bytes]) -> np.ndarray:
        """Decoded and fitted."""
        return np.stack([self.predictor.square(content) for content in contents])

    def run(self, tensors: np.ndarray) -> None:
        """The engine alone, in its own batches."""
        engine = self.predictor.engine
        for start in range(0, len(tensors) - engine.batch + 1, engine.batch):
            engine.run(tensors[start : start + engine.batch])


class Peer:
    """Somebody else's way, with the same weights and the same picture."""

    def __init__(self, name: str, run: Path) -> None:
        loaded = bundle.load(run / "model")
        self.spec, self.arrays = loaded.spec, loaded.arrays()
        openers = {
            "Keras predict": self._keras_predict, "Keras, compiled call": self._keras_call,
            "ONNX Runtime": self._onnx, "PyTorch": self._torch, "PyTorch bfloat16": self._torch_bfloat16,
        }  # fmt: skip
        self.answer: Answer = openers[name]()

    def labels(self, contents: Sequence[bytes]) -> list[int]:
        """Decoded one by one, answered in batches."""
        found: list[int] = []
        for start in range(0, len(contents), BATCH):
            found += self._of(self.tensors(contents[start : start + BATCH]))
        return found

    def _of(self, batch: np.ndarray) -> list[int]:
        return [int(i) for i in self.answer(batch).argmax(axis=1)]

    def tensors(self, contents: Sequence[bytes]) -> np.ndarray:
        """By Pillow, to the square that the model was trained with (cells are square)."""
        from PIL import Image

        size = (self.spec.image_size, self.spec.image_size)
        resized = (
            Image.open(io.BytesIO(content)).convert("RGB").resize(size, Image.Resampling.BICUBIC)
            for content in contents
        )
        return np.stack([np.asarray(image) for image in resized])

    def run(self, tensors: np.ndarray) -> None:
        """The model alone."""
        for start in range(0, len(tensors), BATCH):
            self.answer(tensors[start : start + BATCH])

    def _keras_predict(self) -> Answer:
        from headstart.exports.keras_formats import whole

        model = whole(self.spec, self.arrays)
        return lambda images: np.asarray(model.predict(images, batch_size=BATCH, verbose=0))

    def _keras_call(self) -> Answer:
        """A `tf.function` of one shape, without the loop of `predict`."""
        import tensorflow as tf

        from headstart.exports.keras_formats import whole

        model = whole(self.spec, self.arrays)
        call = tf.function(lambda images: model(images, training=False), reduce_retracing=True)
        return lambda images: call(tf.constant(images)).numpy()

    def _onnx(self) -> Answer:
        import os
        import tempfile

        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        import onnxruntime

        from headstart.exports import onnx_format

        with tempfile.TemporaryDirectory() as folder:
            onnx_format.save(self.spec, self.arrays, Path(folder))
            session = onnxruntime.InferenceSession(Path(folder) / "model.onnx")
        return lambda images: session.run(["probabilities"], {"image": images})[0]

    def _torch(self) -> Answer:
        import torch

        return self._torch_as(torch.float32)

    def _torch_bfloat16(self) -> Answer:
        import torch

        return self._torch_as(torch.bfloat16)

    def _torch_as(self, dtype: Any) -> Answer:
        """Channels last, as PyTorch recommends for convolutions on CPUs."""
        import torch
        from torch.nn import functional

        spec, network = self.spec, self.spec.network
        tensors = {
            name: torch.tensor(
                np.ascontiguousarray(array.transpose(3, 2, 0, 1) if array.ndim == 4 else array)
            )
            for name, array in self.arrays.items()
        }
        weights = {
            name: value.to(dtype).to(memory_format=torch.channels_last)
            if value.ndim == 4
            else value.to(dtype)
            for name, value in tensors.items()
        }
        mean = torch.tensor(network.mean)

        def answer(images: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                x = (torch.from_numpy(images).float() - mean).permute(0, 3, 1, 2).to(dtype)
                parts = []
                for name in network.layers[: network.layers.index(network.last_map) + 1]:
                    if "pool" in name:
                        x = functional.max_pool2d(x, 2)
                    else:
                        x = functional.relu(
                            functional.conv2d(
                                x, weights[f"{name}/kernel"], weights[f"{name}/bias"], padding=1
                            )
                        )
                    if name in spec.taps:
                        parts += [x.float().mean((2, 3)), x.float().amax((2, 3))]
                logits = torch.cat(parts, 1) @ tensors["head/kernel"] + tensors["head/bias"]
                return np.asarray(logits.numpy())

        return answer


if __name__ == "__main__":
    main()
