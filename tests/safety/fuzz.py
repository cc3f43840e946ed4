"""Random damage to a bundle: bytes of its small files, and values of its spec that mean something."""

from __future__ import annotations

import copy
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import BundleError
from headstart.inference import bundle

SECONDS = 1.0
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 8, 224, 2**31, 2**63, 10**400, 0.0, -0.0, 1e-320, 1e308,
    float("nan"), float("inf"), "", "a", "\0", "\ud800", "é" * 300, "vgg16", "vgg-tiny", "taps",
    "image", "../x", [], {}, [[]], [[[[[]]]]], ["a"], ["a", "a"], ["a", 1], [0, 1, 1.0], [[0, 1, 1.0]],
    {"images": 1}, {"confidence": 1.0, "distance": None}, list(range(2000)), "x" * 70_000,
]  # fmt: skip


PIECES = [b"[" * 500, b'"', b"{}", b"1e999", b"\\u0000", b"\xff", b",", b"null"]


def bytes_of(content: bytes, rng: np.random.Generator) -> bytes:
    """The content with some bytes flipped, cut out, doubled or put in."""
    changed = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        at, length = int(rng.integers(len(changed) + 1)), int(rng.integers(1, 20))
        way = rng.integers(5)
        if way == 0 and at < len(changed):
            changed[at] ^= 1 << int(rng.integers(8))
        elif way == 1:
            del changed[at : at + length]
        elif way == 2:
            changed[at:at] = changed[at : at + length]
        elif way == 3:
            changed[at:at] = rng.bytes(length)
        else:
            changed[at:at] = PIECES[rng.integers(len(PIECES))]
    return bytes(changed)


def values_of(content: bytes, rng: np.random.Generator) -> bytes:
    """The spec with other values, more fields or fewer, at any depth."""
    values = json.loads(content)
    for _ in range(rng.integers(1, 4)):
        place: Any = values
        while isinstance(place, dict | list) and len(place):
            keys: list[Any] = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = keys[rng.integers(len(keys))]
            inner = place[key]
            if isinstance(inner, dict | list) and len(inner) and rng.random() < 0.5:
                place = inner
                continue
            if rng.random() < 0.1:
                del place[key]
            else:
                place[key] = copy.deepcopy(VALUES[rng.integers(len(VALUES))])
            break
        if isinstance(values, dict) and rng.random() < 0.1:
            values[str(rng.choice(["extra", "__class__", "format ", ""]))] = 1
    return json.dumps(values).encode("utf-8", "surrogatepass")


def specs(content: bytes, seed: int, count: int) -> int:
    """Parses `count` damaged specs; how many were accepted. Each answer is a spec or a BundleError, soon."""
    rng, accepted = np.random.default_rng(seed), 0
    ways: list[Callable[[bytes, np.random.Generator], bytes]] = [bytes_of, values_of]
    for i in range(count):
        damaged = ways[i % 2](content, rng)
        start = time.perf_counter()
        try:
            found = bundle.parse(damaged)
            assert found.shapes()
            assert found.int8_shapes() is not None
            assert found.rule is not None
            accepted += 1
        except BundleError:
            pass
        assert time.perf_counter() - start < SECONDS, damaged
    return accepted


def bundles(folder: Path, place: Path, seed: int, count: int) -> int:
    """Loads `count` bundles with one damaged member; every second manifest says that it is right."""
    rng, accepted = np.random.default_rng(seed), 0
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    shutil.copytree(folder, place)
    for i in range(count):
        name = names[rng.integers(len(names))]
        content = (folder / name).read_bytes()
        head, rest = content[:4096], content[4096:]
        (place / name).write_bytes(bytes_of(head, rng) + rest)
        if i % 2 and name != bundle.MANIFEST:
            (place / bundle.MANIFEST).unlink()
            bundle.seal(place)
        start = time.perf_counter()
        try:
            found = bundle.load(place)
            found.arrays(), found.reference(), found.golden(), found.familiarity()
            accepted += 1
        except BundleError:
            pass
        assert time.perf_counter() - start < SECONDS, (name, i)
        for restored in (name, bundle.MANIFEST):
            shutil.copy(folder / restored, place / restored)
    return accepted
