"""The table of backbones and of the taps each head reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from headstart.errors import InputError, sentence


class Part(NamedTuple):
    """A stretch of a feature vector: ``mean`` or ``max`` of one tap, a number a channel."""

    kind: str
    length: int


@dataclass(frozen=True)
class Backbone:
    """A VGG-shaped network (Simonyan and Zisserman 2014, arXiv:1409.1556, Table 1).

    Attributes:
        name: as on the command line.
        depths: 3×3 convolutions in each block.
        widths: filters of each block's convolutions.
        mean: RGB values (0 to 255) taken from the pixels before the first convolution.
        weights_sha256: of the pretrained arrays as `weights.digest` counts; empty for random weights.
    """

    name: str
    depths: tuple[int, ...]
    widths: tuple[int, ...]
    mean: tuple[float, float, float]
    weights_sha256: str = ""

    @property
    def last_map(self) -> str:
        """Name of the last convolution, the tensor that Grad-CAM and neighbours read."""
        return f"block{len(self.depths)}_conv{self.depths[-1]}"

    def taps(self, head: str) -> tuple[str, ...]:
        """Names of the tensors whose mean and max are the features of `head`."""
        inner = tuple(f"block{block}_pool" for block in range(3, len(self.depths)))
        return {"taps": (*inner, self.last_map), "gap": (self.last_map,)}[head]

    def channels(self, tensor: str) -> int:
        """Channels of a named tensor: ``block3_pool`` and ``block3_conv1`` both have block 3's width."""
        return self.widths[int(tensor.removeprefix("block").split("_")[0]) - 1]

    def parts(self, head: str) -> tuple[Part, ...]:
        """What the feature vector of `head` is joined of: each tap's mean and max, in this order."""
        return tuple(Part(kind, self.channels(tap)) for tap in self.taps(head) for kind in ("mean", "max"))

    def width(self, head: str) -> int:
        """Length D of the feature vector of `head`."""
        return sum(part.length for part in self.parts(head))


IMAGENET_MEAN = (123.68, 116.779, 103.939)  # RGB; the Caffe weights' own mean, published as BGR

BACKBONES = {
    spec.name: spec
    for spec in (
        Backbone(
            name="vgg16",
            depths=(2, 2, 3, 3, 3),
            widths=(64, 128, 256, 512, 512),
            mean=IMAGENET_MEAN,
            weights_sha256="d9a27cc1fc7f975ef8cff49180e794ccd7c4bc868ebb49740803b3bbaa8dbefd",
        ),
        Backbone(name="vgg-tiny", depths=(1, 1, 1, 1, 1), widths=(4, 4, 8, 8, 16), mean=IMAGENET_MEAN),
    )
}


def backbone(name: str) -> Backbone:
    """Looks a backbone up by name.

    Raises:
        InputError: there is none of that name.
    """
    if name not in BACKBONES:
        raise InputError(sentence("There is no such backbone.", allowed=", ".join(BACKBONES), received=name))
    return BACKBONES[name]
