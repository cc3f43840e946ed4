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

    def centre(self, x: T, mean: tuple[float, float, float]) -> T:
        """x − mean, per channel, in float32."""

    def conv(self, x: T, name: str, channels: int) -> T:
        """3×3 convolution, stride 1, zero padding to the same size, bias, ReLU."""

    def pool(self, x: T, name: str) -> T:
        """2×2 maximum, stride 2; an odd last row or column is dropped."""

    def summary(self, x: T, name: str) -> list[T]:
        """Mean and maximum over height and width: two tensors (B, C)."""

    def join(self, parts: list[T]) -> T:
        """Concatenates along channels, and names the result ``features``."""


def conv_names(spec: Backbone) -> Iterator[tuple[str, int, int]]:
    """Yields (name, input channels, output channels) of each convolution in order."""
    channels = 3
    for block, (depth, width) in enumerate(zip(spec.depths, spec.widths, strict=True), start=1):
        for i in range(1, depth + 1):
            yield f"block{block}_conv{i}", channels, width
            channels = width


def features(spec: Backbone, taps: tuple[str, ...], ops: Operations[T]) -> T:
    """Writes the graph from uint8 images to the (B, D) features of `taps`, in their order.

    It ends at the last map: the pooling after the last block belongs to the head ``vgg``.
    """
    tensors: dict[str, T] = {}
    x = ops.centre(ops.image(), spec.mean)
    for block, (depth, width) in enumerate(zip(spec.depths, spec.widths, strict=True), start=1):
        for i in range(1, depth + 1):
            x = tensors[f"block{block}_conv{i}"] = ops.conv(x, f"block{block}_conv{i}", width)
        if block < len(spec.depths):
            x = tensors[f"block{block}_pool"] = ops.pool(x, f"block{block}_pool")
    return ops.join([part for tap in taps for part in ops.summary(tensors[tap], tap)])
