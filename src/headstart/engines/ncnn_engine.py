"""ncnn on the CPU: float32 with Winograd convolutions (Lavin and Gray 2015, arXiv:1509.09308).

VGG is all 3×3 stride 1, Winograd's best case: more than twice the rate of direct convolution, at the
price of rounding that the parity table allows for. Graph and weights are written in ncnn's own formats
(param: text, one layer a line; bin: arrays in the order of the lines).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from tempfile import TemporaryFile
from typing import IO

import numpy as np

from headstart.backbones import vgg
from headstart.backbones.specs import Backbone
from headstart.engines import one_core, threads

MAGIC = 7767517  # first line of every ncnn param file
SMALL = 14  # pixels
MOST_LANES = 8  # images under way at once, each of which takes some 70 MB
WAITING = {"OMP_WAIT_POLICY": "ACTIVE", "GOMP_SPINCOUNT": "1000"}
FLOAT32 = np.uint32(0).tobytes()  # flag before a weight array: what follows is raw float32


class NcnnOperations:
    """VGG's operations as lines of an ncnn param file, the arrays going to a bin file as they come.

    A tensor is the name of its blob.
    """

    def __init__(
        self, backbone: Backbone, size: int, arrays: Mapping[str, np.ndarray], data: IO[bytes]
    ) -> None:
        self.backbone, self.size, self.arrays, self.data = backbone, size, arrays, data
        self.layers: list[tuple[str, str, list[str], list[str], str]] = []

    def image(self) -> str:
        return self._layer("Input", "image", [])

    def centre(self, x: str, mean: tuple[float, float, float], scale: float) -> str:
        if scale == 1:
            self.data.write((-np.array(mean, "<f4")).tobytes())
            return self._layer("Bias", "centre", [x], "0=3")
        factor = np.full(3, scale, "<f4")
        self.data.write(factor.tobytes() + (-np.array(mean, "<f4") * factor).tobytes())
        return self._layer("Scale", "centre", [x], "0=3 1=1")  # channels, has bias

    def conv(self, x: str, name: str, channels: int) -> str:
        kernel = np.ascontiguousarray(self.arrays[f"{name}/kernel"].transpose(3, 2, 0, 1), "<f4")
        bias = self.arrays[f"{name}/bias"].astype("<f4")
        for part in (FLOAT32, kernel.data, bias.data):  # one by one: no copies of nine megabytes
            self.data.write(part)
        # outputs, kernel side, padding, has bias, number of weights, activation (1 is ReLU)
        numbers = f"0={channels} 1=3 4=1 5=1 6={kernel.size} 9=1"
        return self._layer("Convolution", name, [x], numbers + self._hint(name, channels))

    def _hint(self, name: str, channels: int) -> str:
        """On small maps the shape, by which ncnn takes Winograd's F(2×2) there instead of F(4×4).

        That is as fast, since hardly any tile hangs over the edge, and needs 16 numbers a kernel instead of
        36: 58 MB less for VGG16. ncnn's table of what it measured ends at 14, and counts the padding in.
        """
        side = self.backbone.side(name, self.size)
        if side > SMALL:
            return ""
        side = min(side, SMALL - 2)
        return f" -23330=4,3,{side},{side},{channels}"  # four numbers: dimensions, width, height, channels

    def pool(self, x: str, name: str) -> str:
        return self._layer("Pooling", name, [x], "0=0 1=2 2=2 5=1")  # maximum, side 2, stride 2, no padding

    def summary(self, x: str, name: str) -> list[str]:
        mean = self._layer("Pooling", f"{name}_mean", [x], "0=1 4=1")  # average, global
        return [mean, self._layer("Pooling", f"{name}_max", [x], "0=0 4=1")]  # maximum, global

    def flatten(self, x: str, name: str) -> str:
        rows = self._layer("Permute", f"{name}_rows", [x], "0=3")  # channels last, as in NHWC
        return self._layer("Reshape", name, [rows], "0=-1")

    def join(self, parts: list[str]) -> str:
        return self._layer("Concat", "features", parts, "0=0")

    def _layer(self, kind: str, name: str, inputs: list[str], parameters: str = "") -> str:
        self.layers.append((kind, name, inputs, [name], parameters))
        return name

    def param(self) -> str:
        """The param file. A blob may have one reader only, so those with more get a Split layer."""
        layers = _split_shared(self.layers)
        blobs = sum(len(outputs) for _, _, _, outputs, _ in layers)
        lines = [
            " ".join([kind, name, str(len(ins)), str(len(outs)), *ins, *outs, parameters])
            for kind, name, ins, outs, parameters in layers
        ]
        return "\n".join([str(MAGIC), f"{len(lines)} {blobs}", *lines]) + "\n"


def _split_shared(
    layers: list[tuple[str, str, list[str], list[str], str]],
) -> list[tuple[str, str, list[str], list[str], str]]:
    readers: dict[str, int] = {}
    for _, _, inputs, _, _ in layers:
        for blob in inputs:
            readers[blob] = readers.get(blob, 0) + 1
    written, taken = [], dict.fromkeys(readers, 0)
    for kind, name, inputs, outputs, parameters in layers:
        renamed = []
        for blob in inputs:
            renamed.append(f"{blob}.{taken[blob]}" if readers[blob] > 1 else blob)
            taken[blob] += 1
        written.append((kind, name, renamed, outputs, parameters))
        if (count := readers.get(name, 0)) > 1:
            copies = [f"{name}.{i}" for i in range(count)]
            written.append(("Split", f"{name}_split", [name], copies, ""))
    return written


class NcnnEngine:
    """One image a call: an answer cannot depend on its neighbours.

    A single image is computed on all cores. Where many come, each has a core of its own and waits for nobody
    at a layer's end: some 5 % faster alone, and 10 to 20 % beside other work. How ncnn divides a convolution
    among threads changes no sum, so the bits are the same (the contract test compares them).
    """

    batch = 1
    side_by_side = staticmethod(one_core.held)

    def __init__(self, param: str, data: str, boundary: str) -> None:
        with _short_waits():
            import ncnn

        self.ncnn, self.net, self.boundary = ncnn, ncnn.Net(), boundary
        options = self.net.opt
        options.num_threads = threads()
        options.use_vulkan_compute = False
        # float32 throughout: half precision is a choice to be made with proof, not by default
        options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
        options.use_bf16_storage = False
        if self.net.load_param_mem(param) != 0 or self.net.load_model(data) != 0:
            raise RuntimeError("ncnn refused the graph that headstart wrote")
        _give_back()
        self.lanes = threads() if threads() <= MOST_LANES and one_core.possible() else 1

    def run(self, images: np.ndarray) -> np.ndarray:
        return self._extract(images, "features")[0].reshape(1, -1)

    def run_with_map(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        maps, features = self._extract(images, self.boundary, "features")
        return features.reshape(1, -1), maps.transpose(1, 2, 0)[None]

    def _extract(self, images: np.ndarray, *blobs: str) -> list[np.ndarray]:
        """Copies of the blobs of one image, in the order of the graph: (C, H, W), or (D,)."""
        height, width = images.shape[1:3]
        pixels = np.ascontiguousarray(images[0])
        rgb = self.ncnn.Mat.PixelType.PIXEL_RGB
        extractor = self.net.create_extractor()
        extractor.input("image", self.ncnn.Mat.from_pixels(pixels, rgb, width, height))
        return [np.array(extractor.extract(blob)[1], dtype=np.float32) for blob in blobs]


def open_engine(
    backbone: Backbone, head: str, size: int, arrays: Mapping[str, np.ndarray], precision: str, boundary: str
) -> NcnnEngine:
    """Writes the graph in ncnn's formats and loads it.

    By way of a file, since ncnn would need weights given in memory to stay there beside its own. Where the
    system has files in memory no disk is touched.
    """
    assert precision == "f32-winograd"
    with _temporary() as data:
        operations = NcnnOperations(backbone, size, arrays, data)
        vgg.graph(backbone, head, operations)
        data.flush()
        data.seek(0)
        return NcnnEngine(operations.param(), f"/dev/fd/{data.fileno()}", boundary)


@contextmanager
def _short_waits() -> Iterator[None]:
    """Has ncnn's threads spin for some 15 µs where they wait for one another, and sleep then.

    By itself libgomp, which reads this when it is loaded, spins for milliseconds: as fast where the machine
    has nothing else to do, but beside one busy program a third of the rate, as the thread that all wait for
    gets no core. Where there are more of its threads than cores, as in a server, it hardly spins: a tenth
    slower. Other libraries that are loaded later must not see this.
    """
    chosen = {} if WAITING.keys() & os.environ.keys() else WAITING
    os.environ.update(chosen)
    try:
        yield
    finally:
        for name in chosen:
            del os.environ[name]


def _give_back() -> None:
    """Returns what is free in the heap to the system: 26 MB after VGG16's kernels have been transformed."""
    with suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)


def _temporary() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("headstart"), "w+b")
    return TemporaryFile()
