"""Fixtures for all tests."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest


def pytest_configure() -> None:
    """Gives each of pytest-xdist's workers cores of its own: engines would get in each other's way."""
    if "PYTEST_XDIST_WORKER" in os.environ and hasattr(os, "sched_setaffinity"):
        number = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw"))
        cores = sorted(os.sched_getaffinity(0))
        own = cores[number :: int(os.environ["PYTEST_XDIST_WORKER_COUNT"])]
        os.sched_setaffinity(0, own or cores)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One cache for the whole session, so features with the true weights are computed once.

    It is a fresh one, never the user's own, unless HEADSTART_TEST_CACHE names one to keep between sessions.
    """
    kept = os.environ.get("HEADSTART_TEST_CACHE")
    path = Path(kept) if kept else tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_CACHE", str(path))
        yield path


# --- CIFAR's archives, small, in the layouts of https://www.cs.toronto.edu/~kriz/cifar.html -----------------

CIFAR10 = "airplane automobile bird cat deer dog frog horse ship truck".split()
CIFAR100 = (
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly"
    " camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile"
    " cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp"
    " lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree"
    " orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum"
    " rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider"
    " squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train"
    " trout tulip turtle wardrobe whale willow_tree wolf woman worm"
).split()
CIFAR100_COARSE = (
    "aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices"
    " household_furniture insects large_carnivores large_man-made_outdoor_things"
    " large_natural_outdoor_scenes large_omnivores_and_herbivores medium_mammals"
    " non-insect_invertebrates people reptiles small_mammals trees vehicles_1 vehicles_2"
).split()


class Pickle2:
    """Writes what Python 2's cPickle wrote in protocol 2, opcode by opcode, memo included."""

    def __init__(self) -> None:
        self.memo = 0

    def put(self, code: bytes) -> bytes:
        self.memo += 1
        return code + (b"q%c" % self.memo if self.memo < 256 else b"r" + self.memo.to_bytes(4, "little"))

    def string(self, text: bytes) -> bytes:
        short = len(text) < 256
        return self.put((b"U%c" % len(text) if short else b"T" + len(text).to_bytes(4, "little")) + text)

    def integer(self, value: int) -> bytes:
        for code, size in ((b"K", 1), (b"M", 2)):
            if 0 <= value < 256**size:
                return code + value.to_bytes(size, "little")
        return b"J" + value.to_bytes(4, "little", signed=True)

    def value(self, value: object) -> bytes:
        if isinstance(value, bytes):
            return self.string(value)
        if isinstance(value, int):
            return self.integer(value)
        if isinstance(value, list):
            parts = [value[i : i + 1000] for i in range(0, len(value), 1000)]
            return self.put(b"]") + b"".join(b"(" + b"".join(map(self.value, part)) + b"e" for part in parts)
        if isinstance(value, dict):
            return self.put(b"}") + b"(" + b"".join(map(self.value, sum(value.items(), ()))) + b"u"
        assert isinstance(value, np.ndarray)
        return self.array(value)

    def array(self, value: np.ndarray) -> bytes:
        made = self.put(b"cnumpy.core.multiarray\n_reconstruct\n") + self.put(b"cnumpy\nndarray\n")
        made += self.put(b"K\x00\x85") + self.string(b"b") + self.put(b"\x87") + self.put(b"R")
        state = b"(K\x01" + self.put(b"".join(map(self.integer, value.shape)) + b"\x86")
        kind = self.put(b"cnumpy\ndtype\n") + self.string(b"u1") + self.put(b"K\x00K\x01\x87")
        kind += self.put(b"R") + b"(K\x03" + self.string(b"|")
        kind += self.put(b"NNN" + 2 * self.integer(-1) + b"K\x00t") + b"b"
        return made + state + kind + b"\x89" + self.string(value.tobytes()) + self.put(b"t") + b"b"

    def file(self, value: object) -> bytes:
        return b"\x80\x02" + self.value(value) + b"."


def cifar_part(labels: list[int], seed: int) -> tuple[np.ndarray, list[int]]:
    """An image for each label, of its class's colour with noise: (N, 3072) uint8, and the labels."""
    rng = np.random.default_rng(seed)
    colours = np.random.default_rng(0).integers(30, 225, (100, 3))[labels]
    noise = rng.integers(-25, 26, (len(labels), 3, 1024))
    return (colours[:, :, None] + noise).astype(np.uint8).reshape(-1, 3072), labels


def cifar_members(dataset: str, version: str, classes: int) -> dict[str, bytes]:
    """Names and contents; the first `classes` of CIFAR-10's labels occur, or that many of CIFAR-100's."""
    ten = dataset == "cifar10"
    names = CIFAR10 if ten else CIFAR100
    labels = list(range(0, len(names), len(names) // classes))[:classes]
    if ten:
        parts = {f"data_batch_{i}": cifar_part(labels * 2, i) for i in range(1, 6)}
        parts["test_batch"] = cifar_part(labels * 2, 9)
    else:
        parts = {"train": cifar_part(labels * 6, 1), "test": cifar_part(labels * 2, 9)}
    if version == "binary":
        found = {f"{name}.bin": cifar_binary(ten, *part) for name, part in parts.items()}
        listed = "\n".join(names) + "\n" * (2 if ten else 1)
        found["batches.meta.txt" if ten else "fine_label_names.txt"] = listed.encode()
        folder = "cifar-10-batches-bin" if ten else "cifar-100-binary"
    else:
        found = {name: cifar_pickle(name, ten, *part) for name, part in parts.items()}
        found["batches.meta" if ten else "meta"] = cifar_meta(ten)
        folder = "cifar-10-batches-py" if ten else "cifar-100-python"
    found["readme.html" if ten else "file.txt~"] = b"<p>"
    # tar found them in the order of a folder, not of the alphabet.
    return {f"{folder}/{name}": content for name, content in reversed(found.items())}


def cifar_meta(ten: bool) -> bytes:
    names = [name.encode() for name in (CIFAR10 if ten else CIFAR100)]
    coarse = [name.encode() for name in CIFAR100_COARSE]
    if ten:
        return Pickle2().file({b"num_cases_per_batch": 10000, b"label_names": names, b"num_vis": 3072})
    return Pickle2().file({b"fine_label_names": names, b"coarse_label_names": coarse})


def cifar_binary(ten: bool, pixels: np.ndarray, labels: list[int]) -> bytes:
    before = [[label] if ten else [label // 5, label] for label in labels]
    return b"".join(bytes(label) + row.tobytes() for label, row in zip(before, pixels, strict=True))


def cifar_pickle(name: str, ten: bool, pixels: np.ndarray, labels: list[int]) -> bytes:
    files = [b"image_s_%06d.png" % i for i in range(len(labels))]
    if ten:
        entries = {b"batch_label": name.encode(), b"labels": labels, b"data": pixels, b"filenames": files}
    else:
        entries = {b"filenames": files, b"batch_label": name.encode(), b"fine_labels": labels}
        entries |= {b"coarse_labels": [label // 5 for label in labels], b"data": pixels}
    return Pickle2().file(entries)


@pytest.fixture(scope="session")
def cifar(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """(dataset, version) → an archive; `changes` replaces members, or leaves out those of None."""

    def make(
        dataset: str, version: str, changes: dict[str, bytes | None] | None = None, classes: int = 10
    ) -> Path:
        path = tmp_path_factory.mktemp("cifar") / f"{dataset.replace('cifar', 'cifar-')}-{version}.tar.gz"
        with tarfile.open(path, "w:gz", format=tarfile.GNU_FORMAT) as tar:
            members = cifar_members(dataset, version, classes)
            top = tarfile.TarInfo(next(iter(members)).split("/")[0])
            top.type, top.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(top)
            for name, content in (members | (changes or {})).items():
                if content is not None:
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
        return path

    return make


@pytest.fixture(scope="session")
def cpickle() -> Callable[[object], bytes]:
    """A value → the bytes that Python 2's cPickle wrote for it in protocol 2."""
    return lambda value: Pickle2().file(value)
