"""VGG's features as one loop over the table; each engine brings the operations.

Keras, OpenVINO and ncnn all run the graph that `features` writes here, so they cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeVar

from headstart.backbones.specs import Backbone

T = TypeVar("T")


class Operations(Protocol[T]):
    """What a graph of VGG needs; T is the engine's own kind of tensor, shown as (B, H, W, C)."""

    def image(self) -> T:
        """The input: uint8 RGB, values 0 to 255."""

    def centre(self, x: T, mean: tuple[float, float, float], scale: float) -> T:
        """(x − mean) · scale, per channel, in float32."""

    def conv(self, x: T, name: str, channels: int) -> T:
        """3×3 convolution, stride 1, zero padding to the same size, bias, ReLU."""

    def pool(self, x: T, name: str) -> T:
        """2×2 maximum, stride 2; an odd last row or column is dropped."""

    def summary(self, x: T, name: str) -> list[T]:
        """Mean and maximum over height and width: two tensors (B, C)."""

    def flatten(self, x: T, name: str) -> T:
        """(B, H · W · C), row by row and pixel by pixel, as Keras's Flatten."""

    def join(self, parts: list[T]) -> T:
        """Concatenates along channels, and names the result ``features``."""


def conv_names(spec: Backbone) -> Iterator[tuple[str, int, int]]:
    """Yields (name, input channels, output channels) of each convolution in order."""
    channels = 3
    for name in spec.layers:
        if "conv" in name:
            yield name, channels, spec.channels(name)
            channels = spec.channels(name)


def graph(spec: Backbone, head: str, ops: Operations[T]) -> dict[str, T]:
    """Writes the graph from uint8 images to the (B, D) ``features`` that `head` reads; all tensors by name.

    The features are the mean and maximum of each of its taps. The head ``vgg`` reads the last pooling, row by
    row; the last map's mean and maximum follow it, for Grad-CAM and neighbours.
    """
    x = ops.image()
    tensors = {"image": x}
    x = ops.centre(x, spec.mean, spec.scale)
    last = spec.last_pool if head == "vgg" else spec.last_map
    for name in spec.layers:
        x = tensors[name] = ops.conv(x, name, spec.channels(name)) if "conv" in name else ops.pool(x, name)
        if name == last:
            break
    flat = {"flatten": ops.flatten(x, "flatten")} if head == "vgg" else {}
    summaries = [part for tap in spec.taps(head) for part in ops.summary(tensors[tap], tap)]
    return tensors | flat | {"features": ops.join([*flat.values(), *summaries])}
