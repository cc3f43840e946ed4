"""What a model consists of, layer by layer, worked out from its spec alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from headstart.backbones import heads, vgg
from headstart.inference.bundle import BundleSpec


@dataclass(frozen=True)
class Layer:
    """A row of `layers`.

    Attributes:
        name: as in ``keras.applications``.
        kind: what it does, in words.
        shape: of its output for one image: (height, width, channels) or (numbers,).
        parameters: numbers that are learned.
        operations: multiplications, each with its addition, for one image and view.
        trained: whether it was trained on the user's images; False is as it was pretrained.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    operations: int
    trained: bool


def layers(spec: BundleSpec) -> list[Layer]:
    """All layers in order, from the image to the probabilities."""
    size = spec.image_size
    first = Layer("image", f"uint8 RGB, {spec.fit}", (size, size, 3), 0, 0, False)
    return [first, *_backbone(spec), *_head(spec)]


def _backbone(spec: BundleSpec) -> Iterator[Layer]:
    network, size = spec.network, spec.image_size
    fans = {name: (fan, channels) for name, fan, channels in vgg.conv_names(network)}
    above = network.above(spec.boundary)
    last = network.last_pool if spec.head == "vgg" else network.last_map
    for name in network.layers[: network.layers.index(last) + 1]:
        side = network.side(name, size)
        shape = (side, side, network.channels(name))
        if name in fans:
            kernel = 9 * fans[name][0] * fans[name][1]
            parameters, operations = kernel + fans[name][1], kernel * side * side
            yield Layer(name, "convolution 3×3, ReLU", shape, parameters, operations, name in above)
        else:
            yield Layer(name, "maximum 2×2", shape, 0, 0, False)


def _head(spec: BundleSpec) -> Iterator[Layer]:
    shapes = heads.shapes(spec.network, spec.head, spec.image_size, len(spec.class_names))
    kernels = {name: shape for name, shape in shapes.items() if name.endswith("/kernel")}
    fan = next(iter(kernels.values()))[0]
    what = "all of it in a row" if spec.head == "vgg" else f"mean and maximum of {', '.join(spec.taps)}"
    yield Layer("features", what, (fan,), 0, 0, False)
    for name, (rows, columns) in kernels.items():
        layer = name.removesuffix("/kernel")
        kind = "dense" if layer == "head" else "dense, ReLU"
        yield Layer(layer, kind, (columns,), rows * columns + columns, rows * columns, True)
    cooled = f"softmax at temperature {spec.temperature:.3g}"
    views = f"mean over {spec.views} views, " if spec.views > 1 else ""
    yield Layer("probabilities", views + cooled, (len(spec.class_names),), 0, 0, False)
