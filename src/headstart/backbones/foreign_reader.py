"""Reads one foreign file of weights: ``python -P -m headstart.backbones.foreign_reader FILE``.

It gets the wanted names and shapes as JSON and answers with safetensors on stdout. Before it opens the file
it gives up most of what a process may do.

Layouts: HDF5 groups that are called as our layers (Keras Applications' own files); Keras 3's
``layers/conv2d_3/vars/0``, which count the layers of a kind; names with the layer's in them (safetensors,
ONNX). Kernels of convolutions may be HWIO or OIHW, those of dense layers as Keras has them.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import resource
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from headstart.backbones import own
from headstart.backbones.foreign import OWN, REFUSED, SECONDS, Shapes

NEWUSER, NEWNET = 0x10000000, 0x40000000  # unshare(2)
ROOM = 2 * 2**30  # bytes of memory beside the arrays: the libraries' own, and an ONNX file as it is parsed
MOST = 10_000  # arrays, groups or members in a file
HEADER = 2**23  # bytes of a safetensors header
TIMES = 20  # a member of an archive may be larger than what it is packed in
CHUNK = 2**16  # numbers that HDF5 may pack together, though an array has fewer
IR_VERSION = b"\x08"  # field 1 of a ModelProto, which all exporters write first
END_OF_ARCHIVE = struct.Struct("<4s4H2LH")  # of the zip format, APPNOTE 4.3.16
OPTIMIZER = re.compile(r"optimizer")  # its state has the names of what it trains
COUNTED = re.compile(r"(?P<place>.*?)(?P<kind>conv2d|dense)(?:_(?P<number>\d{1,6}))?/vars/(?P<variable>[01])")


class Refused(Exception):  # noqa: N818 - an answer, not an error
    """The file does not hold what is wanted; in one line."""


class Own(Refused):
    """As `Refused`, but it can be imported, if it is said of what kind it is."""


class Found(NamedTuple):
    """An array of a file: its shape, and how to get it."""

    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]


def main(path: Path, wanted: dict[str, Shapes], colours: str = "") -> None:
    """Writes the wanted arrays to stdout; where they are to be `bgr` or `rgb`, only if that can be true."""
    shapes = wanted["required"] | wanted["optional"]
    expected = sum(4 * int(np.prod(shape)) for shape in shapes.values())
    _confine(3 * expected + 2 * path.stat().st_size + ROOM)
    from safetensors.numpy import save

    found = {name: array for name, array in _arrays(path) if not OPTIMIZER.match(name)}
    if colours:
        _check_own(own.pixels(path, found), colours)
    arrays = _named(found, shapes)
    if missing := [name for name in wanted["required"] if name not in arrays]:
        raise Refused(f"{missing[0]} of shape {list(shapes[missing[0]])} is missing")
    sys.stdout.buffer.write(save(arrays))


def _check_own(pixels: own.Wrote, colours: str) -> None:
    if pixels == "unit":
        raise Refused("headstart trained them from scratch, on pixels of another scale")
    if pixels == "unknown":
        raise Refused("headstart wrote them, and nothing beside them says what pixels they expect")
    if pixels and colours == "bgr":
        raise Own("headstart wrote them, so they expect red first, and not blue")


def _confine(memory: int) -> None:
    """No more memory and time than the job needs, no file may be written, and no network be reached."""
    for limit, most in (
        (resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, SECONDS), (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):  # fmt: skip
        _limit(limit, most)
    with suppress(OSError, AttributeError):  # where the system has it
        unshare = ctypes.CDLL(None).unshare
        # Root goes alone: among users of its own it could not read the files of others. Some containers allow
        # neither, and that is what the documents say.
        if unshare(NEWNET):
            unshare(NEWUSER | NEWNET)


def _limit(kind: int, most: int) -> None:
    """Sets a limit, which is lower still where the user has set one."""
    hard = resource.getrlimit(kind)[1]
    least = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (least, least))


def _arrays(path: Path) -> Iterator[tuple[str, Found]]:
    """All arrays of a file, to be read later: it stays open, as long as this process lives."""
    file = path.open("rb")
    start = file.read(16)
    file.seek(0)
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        return _of_hdf5(file)
    if start.startswith(b"PK\x03\x04"):
        return _of_hdf5(_member(file))
    if start[8:9] == b"{":
        if int.from_bytes(start[:8], "little") > HEADER:
            raise Refused("its header is too long")
        return _of_safetensors(path)
    if not start.startswith(IR_VERSION):
        raise Refused("it is of none of these kinds")
    return _of_onnx(file)


def _member(file: BinaryIO) -> BinaryIO:
    """The weights inside a ``.keras`` archive, which is stored, not compressed."""
    name = "model.weights.h5"
    length = file.seek(0, os.SEEK_END)
    _check_members(file, length)
    try:
        with zipfile.ZipFile(file) as archive:
            entry = archive.getinfo(name)
            if entry.file_size > TIMES * min(entry.compress_size, length):
                raise Refused(f"{name} in it unpacks to {entry.file_size} bytes")
            with archive.open(entry) as member:
                content = member.read(entry.file_size + 1)
    except (
        zipfile.BadZipFile, zlib.error, KeyError, NotImplementedError, EOFError, RuntimeError, ValueError,
    ) as error:  # fmt: skip
        raise Refused(f"it is an archive without a sound {name}") from error
    if len(content) != entry.file_size:
        raise Refused(f"{name} in it is not as long as it says")
    return BytesIO(content)


def _check_members(file: BinaryIO, length: int) -> None:
    """Counts the members by the record at the end, before a list of them is made."""
    file.seek(max(0, length - END_OF_ARCHIVE.size - 2**16))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < END_OF_ARCHIVE.size:
        raise Refused("it is no sound archive")
    if END_OF_ARCHIVE.unpack_from(tail, at)[4] > MOST:
        raise Refused("it is an archive of too many files")
    file.seek(0)


def _of_hdf5(file: BinaryIO) -> Iterator[tuple[str, Found]]:
    import h5py

    try:
        for name, item in _datasets(h5py.File(file, "r"), "", 0, count()):
            yield name, Found(item.shape, partial(item.__getitem__, ()))
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise Refused(f"it is no sound HDF5 file ({error})") from error


def _datasets(group: Any, place: str, depth: int, seen: Iterator[int]) -> Iterator[tuple[str, Any]]:
    """All arrays below a group; links to other places, and arrays that lie elsewhere, are refused.

    `seen` counts: a group may hold itself, many times.
    """
    import h5py

    if depth > 16 or len(group) > MOST:
        raise Refused("its groups are too deep, or too many")
    for name in group:
        path = f"{place}{name}"
        if next(seen) > MOST:
            raise Refused("its groups are too many")
        if group.get(name, getlink=True, getclass=True) is not h5py.HardLink:
            raise Refused(f"{path} is a link to somewhere else")
        item = group[name]
        if isinstance(item, h5py.Group):
            yield from _datasets(item, f"{path}/", depth + 1, seen)
        elif isinstance(item, h5py.Dataset):
            if item.external is not None or item.is_virtual:
                raise Refused(f"{path} lies in another file")
            if item.chunks and np.prod(item.chunks, dtype=float) > max(item.size, CHUNK):
                raise Refused(f"{path} would be unpacked to more than it holds")
            if item.dtype.kind == "f":
                yield path, item


def _of_safetensors(path: Path) -> Iterator[tuple[str, Found]]:
    from safetensors import SafetensorError, safe_open

    try:
        file: Any = safe_open(path, framework="numpy")
        for name in file.keys():  # noqa: SIM118 - not a dict
            shape = tuple(file.get_slice(name).get_shape())
            yield name, Found(shape, partial(file.get_tensor, name))
    except (SafetensorError, TypeError, ValueError) as error:
        raise Refused(f"it is no sound safetensors file ({error})") from error


def _of_onnx(file: BinaryIO) -> Iterator[tuple[str, Found]]:
    try:
        import onnx
        from google.protobuf.message import DecodeError
        from onnx import numpy_helper
    except ImportError as error:
        raise Refused("it is of none of these kinds, or ONNX: `pip install 'headstart[export]'`") from error
    try:
        model = onnx.load_model_from_string(file.read())
    except (DecodeError, ValueError) as error:
        raise Refused("it is of none of these kinds") from error
    if not model.graph.initializer:
        raise Refused("it is of none of these kinds")
    for item in model.graph.initializer:
        if item.data_location == onnx.TensorProto.EXTERNAL or item.external_data:
            raise Refused(f"{item.name} lies in another file")
        yield item.name, Found(tuple(item.dims), partial(numpy_helper.to_array, item))


def _named(found: dict[str, Found], shapes: Shapes) -> dict[str, np.ndarray]:
    """The wanted arrays, float32, by our names."""
    if len(found) > MOST:
        raise Refused("it holds too many arrays")
    taken = {}
    counted = _counted(found, shapes)
    for name, shape in shapes.items():
        if one := counted.get(name) or _by_name(found, name, shape):
            taken[name] = np.ascontiguousarray(_turned(one, shape), np.float32)
    return taken


def _by_name(found: dict[str, Found], name: str, shape: tuple[int, ...]) -> Found | None:
    """The one array whose name has the layer's in it, and whose shape fits."""
    layer = re.compile(rf"(^|[/._]){re.escape(name.partition('/')[0])}(?![0-9a-zA-Z])")
    fitting = [array for key, array in found.items() if layer.search(key) and _fits(array.shape, shape)]
    if len(fitting) > 1:
        raise Refused(f"it has {len(fitting)} arrays that could be {name}")
    return fitting[0] if fitting else None


def _counted(found: dict[str, Found], shapes: Shapes) -> dict[str, Found]:
    """Keras 3's own counting: the n-th convolution of a model is that of the backbone, the same for dense."""
    places: dict[str, dict[tuple[str, int, int], Found]] = {}
    for key, array in found.items():
        if match := COUNTED.fullmatch(key):
            number, variable = int(match["number"] or 0), int(match["variable"])
            places.setdefault(match["place"], {})[match["kind"], number, variable] = array
    for arrays in places.values():
        taken, numbers = {}, {"conv2d": -1, "dense": -1}
        for name, shape in shapes.items():
            layer, _, what = name.partition("/")
            kind = "dense" if layer.startswith("fc") else "conv2d"
            numbers[kind] += what == "kernel"
            one = arrays.get((kind, numbers[kind], int(what == "bias")))
            if one and _fits(one.shape, shape):
                taken[name] = one
        if taken and all(name in taken for name in shapes if not name.startswith("fc")):
            return taken
    return {}


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    if len(wanted) == 1:  # a bias, which ONNX may keep as (1, C, 1, 1)
        return int(np.prod(shape)) == wanted[0] == max(shape, default=0)
    turned = (wanted[3], wanted[2], wanted[0], wanted[1]) if len(wanted) == 4 else wanted
    return tuple(shape) in (wanted, turned)


def _turned(array: Found, wanted: tuple[int, ...]) -> np.ndarray:
    try:
        values = np.asarray(array.read())
    except (OSError, ValueError, RuntimeError) as error:  # a checksum of HDF5, say
        raise Refused(f"an array in it is damaged ({error})") from error
    if values.dtype.kind != "f":
        raise Refused("its weights are no floating-point numbers")
    if len(wanted) == 4 and values.shape != wanted:
        values = values.transpose(2, 3, 1, 0)
    return values.reshape(wanted)


if __name__ == "__main__":
    asked = json.loads(sys.stdin.buffer.read())
    colours = asked.pop("colours")
    try:
        main(
            Path(sys.argv[1]),
            {part: {name: tuple(shape) for name, shape in shapes.items()} for part, shapes in asked.items()},
            colours,
        )
    except Refused as refusal:
        sys.stderr.write(f"{refusal}\n".replace("\n", " ") + "\n")
        sys.exit(OWN if isinstance(refusal, Own) else REFUSED)
