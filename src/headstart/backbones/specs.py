"""The table of backbones and of the taps each head reads."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
        scale: what the pixels are multiplied by after that.
        dense: widths of the hidden layers of the head ``vgg``.
        weights_sha256: of the pretrained arrays as `weights.digest` counts; empty for random weights.
    """

    name: str
    depths: tuple[int, ...]
    widths: tuple[int, ...]
    mean: tuple[float, float, float]
    scale: float = 1.0
    dense: tuple[int, ...] = (4096, 4096)
    weights_sha256: str = ""

    @property
    def blank(self) -> Backbone:
        """The same network to be trained from random weights: its pixels are scaled to 0–1."""
        return replace(self, mean=(0.0, 0.0, 0.0), scale=1 / 255, weights_sha256="")

    def first(self, blocks: int) -> Backbone:
        """The same network without the blocks behind the first `blocks`, 1 or more; 0 is all of it.

        Raises:
            InputError: it has not so many.
        """
        if not 0 <= blocks <= len(self.depths):
            raise InputError(
                sentence(
                    f"{self.name} has not so many blocks.",
                    allowed=f"1 to {len(self.depths)}, or 0 for all of them",
                    received=blocks,
                    remedy="Change --blocks.",
                )
            )
        kept = blocks or len(self.depths)
        return replace(self, depths=self.depths[:kept], widths=self.widths[:kept])

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of all convolutions and poolings in order, the last pooling included."""
        blocks = enumerate(self.depths, start=1)
        return tuple(
            f"block{block}_{layer}"
            for block, depth in blocks
            for layer in (*(f"conv{i}" for i in range(1, depth + 1)), "pool")
        )

    @property
    def last_map(self) -> str:
        """Name of the last convolution, the tensor that Grad-CAM and neighbours read."""
        return f"block{len(self.depths)}_conv{self.depths[-1]}"

    @property
    def last_pool(self) -> str:
        """Name of the pooling behind it, which the head ``vgg`` reads."""
        return f"block{len(self.depths)}_pool"

    def taps(self, head: str) -> tuple[str, ...]:
        """Names of the tensors whose mean and max are the features of `head`."""
        inner = tuple(f"block{block}_pool" for block in range(3, len(self.depths)))
        return (*inner, self.last_map) if head == "taps" else (self.last_map,)

    def boundary(self, unfreeze: str) -> str:
        """The tensor below which nothing is trained: ``block4_pool`` for ``block5``, ``image`` for ``all``.

        `unfreeze` may also be a number: of the last convolutions.

        Raises:
            InputError: this network has no such part.
        """
        names = ("image", *self.layers)
        convolutions = [name for name in names if "conv" in name]
        trained = {"all": convolutions[0]}
        trained |= {name.split("_")[0]: name for name in convolutions if name.endswith("conv1")}
        trained |= {str(n): convolutions[-n] for n in range(1, len(convolutions) + 1)}
        if unfreeze not in trained:
            blocks = ", ".join(f"block{block}" for block in range(len(self.depths), 0, -1))
            raise InputError(
                sentence(
                    f"{self.name} has no such part to train.",
                    allowed=f"{blocks}, all, or a number of convolutions from 1 to {len(convolutions)}",
                    received=unfreeze,
                    remedy="Change --unfreeze.",
                )
            )
        return names[names.index(trained[unfreeze]) - 1]

    def above(self, boundary: str) -> tuple[str, ...]:
        """Names of the layers above the tensor `boundary`."""
        return self.layers[self.layers.index(boundary) + 1 :] if boundary != "image" else self.layers

    def side(self, tensor: str, size: int) -> int:
        """Height and width of a named tensor for images of `size` pixels."""
        below = self.layers[: self.layers.index(tensor) + 1]
        return size >> sum(name.endswith("pool") for name in below)

    def frozen_taps(self, head: str, boundary: str) -> tuple[str, ...]:
        """Those taps of `head` that lie at the tensor `boundary` or below it."""
        return tuple(tap for tap in self.taps(head) if tap not in self.above(boundary))

    def channels(self, tensor: str) -> int:
        """Channels of a named tensor: ``block3_pool`` and ``block3_conv1`` both have block 3's width."""
        return self.widths[int(tensor.removeprefix("block").split("_")[0]) - 1]

    def parts(self, head: str) -> tuple[Part, ...]:
        """What the feature vector of `head` is joined of: each tap's mean and max, in this order."""
        return tuple(Part(kind, self.channels(tap)) for tap in self.taps(head) for kind in ("mean", "max"))

    def width(self, head: str, size: int) -> int:
        """Length D of the feature vector of `head` for images of `size` pixels."""
        flat = self.side(self.last_pool, size) ** 2 * self.widths[-1] if head == "vgg" else 0
        return flat + sum(part.length for part in self.parts(head))


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
        Backbone(
            name="vgg-tiny",
            depths=(1, 1, 1, 1, 1),
            widths=(4, 4, 8, 8, 16),
            mean=IMAGENET_MEAN,
            dense=(16, 16),
        ),
    )
}


def backbone(name: str, blocks: int = 0) -> Backbone:
    """Looks a backbone up by name; its first `blocks`, or all of it.

    Raises:
        InputError: there is none of that name, or it has not so many blocks.
    """
    if name not in BACKBONES:
        raise InputError(sentence("There is no such backbone.", allowed=", ".join(BACKBONES), received=name))
    return BACKBONES[name].first(blocks)
