"""R2: model files that would unpack, or claim, gigabytes: refused before anything is allocated."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import pytest
from tests import models

SECONDS, MEMORY, DISK = 1.0, 64 * 2**20, 2**20

CHILD = """
import json, sys, time
from pathlib import Path
from headstart.backbones import foreign, foreign_reader, weights
from headstart.backbones.specs import BACKBONES
from headstart.errors import HeadstartError
from headstart.inference import bundle
from headstart.resume import read_facts
from headstart.rundir import RunDir
import h5py, onnx, safetensors.numpy  # what they take counts for nobody

def status(name):
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024

def size(folder):
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))

def ask(kind, path):
    if kind == "bundle":
        found = bundle.load(path)
        found.golden(), found.reference()
    elif kind == "run":
        read_facts(RunDir(path))
    else:
        foreign._check_file(path)
        shapes = weights.shapes(BACKBONES["vgg-tiny"])
        if not foreign_reader._named(dict(foreign_reader._arrays(path)), shapes):
            raise foreign_reader.Refused("nothing in it")

top = Path(sys.argv[1])
for path in sorted(top.iterdir()):
    kind = path.name.split(" ")[0]
    Path("/proc/self/clear_refs").write_text("5")
    before, disk, start = status("VmRSS"), size(top), time.perf_counter()
    try:
        ask(kind, path)
        answer = "accepted"
    except (HeadstartError, foreign_reader.Refused) as error:
        answer = "refused"
    except BaseException as error:
        answer = repr(error)[:200]
    seconds, memory = time.perf_counter() - start, status("VmHWM") - before
    print(json.dumps([path.name, answer, seconds, memory, size(top) - disk]), flush=True)
"""


def bundles(top: Path) -> Iterator[tuple[str, Path]]:
    """A bundle each, to be spoilt."""
    for name in (
        "spec of 1 GiB", "spec of depth 1e4", "manifest of 1 GiB", "weights of 4 GiB", "header of 2^60",
        "header of 100 MB", "shape that overflows", "reference of 8 GiB", "picture of 4 GiB",
        "answers of 1 GiB", "answers of depth 1e5", "5000 members", "sound",
    ):  # fmt: skip
        folder = top / f"bundle {name}"
        models.saved(folder)
        yield name, folder


def sparse(path: Path, size: int) -> None:
    """A file that says it is that long, and takes no disk."""
    with path.open("r+b" if path.exists() else "wb") as file:
        file.truncate(size)


def seal(folder: Path) -> None:
    """As `bundle.seal`, with a hash that nobody has worked out where a member is long."""
    lines = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "MANIFEST.sha256"):
        size = path.stat().st_size
        hashed = hashlib.sha256(path.read_bytes()).hexdigest() if size < 2**28 else "0" * 64
        lines.append(f"{hashed} {size} {path.relative_to(folder).as_posix()}\n")
    (folder / "MANIFEST.sha256").write_text("".join(lines))


def spoil(name: str, folder: Path) -> None:
    weights = folder / "weights.safetensors"
    if name == "spec of 1 GiB":
        sparse(folder / "model.json", 2**30)
    elif name == "spec of depth 1e4":
        (folder / "model.json").write_text("[" * 10_000 + "]" * 10_000)
    elif name == "manifest of 1 GiB":
        sparse(folder / "MANIFEST.sha256", 2**30)
        return
    elif name == "weights of 4 GiB":
        sparse(weights, 2**32)
    elif name == "header of 2^60":
        weights.write_bytes(struct.pack("<Q", 2**60) + weights.read_bytes()[8:])
    elif name == "header of 100 MB":
        weights.write_bytes(struct.pack("<Q", 10**8) + b" " * 10**6)
    elif name == "shape that overflows":
        tensor = {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]}
        header = json.dumps({"block1_conv1/kernel": tensor}).encode()
        weights.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 4)
    elif name == "reference of 8 GiB":
        sparse(folder / "reference.safetensors", 2**33)
    elif name == "picture of 4 GiB":
        sparse(folder / "golden" / "0.image", 2**32)
    elif name == "answers of 1 GiB":
        sparse(folder / "golden" / "answers.json", 2**30)
    elif name == "answers of depth 1e5":
        (folder / "golden" / "answers.json").write_text("[" * 100_000 + "]" * 100_000)
    elif name == "5000 members":
        for i in range(5000):
            (folder / "golden" / f"{i}.image").touch()
    seal(folder)


def runs(top: Path) -> None:
    for name in ("of 1 GiB", "of depth 1e5"):
        (top / f"run {name}").mkdir()
    sparse(top / "run of 1 GiB" / "run.json", 2**30)
    (top / "run of depth 1e5" / "run.json").write_text('{"config":' + "[" * 100_000 + "]" * 100_000 + "}")


def packed(size: int, name: str = "model.weights.h5") -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, b"\0" * size)
    return content.getvalue()


def central(content: bytes, offset: int, value: int) -> bytes:
    """Another number in the archive's list: 20 is the packed size, 24 the size."""
    at = content.rfind(b"PK\x01\x02") + offset
    return content[:at] + struct.pack("<I", value) + content[at + 4 :]


def hdf5(make) -> bytes:
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        make(file)
    return content.getvalue()


def nested(file: h5py.File) -> None:
    group = file
    for _ in range(200):
        group = group.create_group("g")


def selfish(file: h5py.File) -> None:
    group = file.create_group("g")
    for i in range(200):
        group[f"again{i}"] = group


def onnx_of(dims: list[int]) -> bytes:
    from onnx import TensorProto, helper

    tensor = TensorProto(name="block1_conv1/kernel", data_type=1, dims=dims, raw_data=b"\0" * 4)
    return helper.make_model(helper.make_graph([], "g", [], [], [tensor])).SerializeToString()


def foreign() -> dict[str, bytes]:
    big = packed(2**26)
    many = packed(10).replace(b"PK\x05\x06\0\0\0\0\x01\0\x01\0", b"PK\x05\x06\0\0\0\0\xfe\xff\xfe\xff")
    one = packed(2**22)
    listed = one.rfind(b"PK\x01\x02")
    entry, end = one[listed : one.rfind(b"PK\x05\x06")], one[one.rfind(b"PK\x05\x06") :]
    counts = struct.pack("<HHI", 500, 500, 500 * len(entry))
    overlapping = one[:listed] + entry * 500 + end[:8] + counts + end[16:]
    kernel = "block1_conv1/kernel"
    whole = (3, 3, 3, 4)
    return {
        "packed 1000 times": big,
        "packed 1000 times, lying": central(big, 20, 2**26),
        "says 4 GiB": central(packed(1000), 24, 2**32 - 1),
        "says 65534 members": many,
        "overlapping members": overlapping,
        "shape of 2^40": hdf5(lambda f: f.create_dataset(kernel, (2**20, 2**20), "f4", chunks=(64, 64))),
        "nested 200 deep": hdf5(nested),
        "a group in itself": hdf5(selfish),
        "20000 arrays": hdf5(lambda f: [f.create_group(f"g{i}") for i in range(20_000)]),
        "one chunk of 2^30": hdf5(lambda f: f.create_dataset(kernel, whole, "f4", maxshape=(None,) * 4,
                                                             chunks=(3, 3, 3, 4096), compression="gzip")),
        "header of 2^62": struct.pack("<Q", 2**62) + b'{"a":{}}',
        "dims of 2^40": onnx_of([2**40, 2**20]),
        "negative dims": onnx_of([-1, 3, 3, 4]),
        "zeros": b"\x08" * 1000,
    }  # fmt: skip


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[str, list]:
    top = tmp_path_factory.mktemp("bombs")
    for name, folder in bundles(top):
        spoil(name, folder)
    runs(top)
    for name, content in foreign().items():
        (top / f"file {name}").write_bytes(content)
    sparse(top / "file of 8 GiB", 2**33)
    (top / "file of zeros, 3 GiB").touch()
    sparse(top / "file of zeros, 3 GiB", 3 * 2**30)
    command = [sys.executable, "-c", CHILD, str(top)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == sorted(path.name for path in top.iterdir()), done.stderr
    return {row[0]: row[1:] for row in rows}


def test_there_are_enough_of_them(found):
    assert len(found) >= 21


def test_all_but_the_sound_one_are_refused(found):
    assert {name for name, (answer, *_) in found.items() if answer != "refused"} == {"bundle sound"}
    assert found["bundle sound"][0] == "accepted"


def test_soon_and_without_memory_or_disk(found):
    for name, (_, seconds, memory, disk) in found.items():
        assert seconds < SECONDS, name
        assert memory < MEMORY, name
        assert disk < DISK, name
