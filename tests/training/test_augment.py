"""A view depends on preset, seed, view and image, and on nothing else."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from tests.data.pictures import photo

from headstart.data.geometry import dihedral
from headstart.data.loader import ahead
from headstart.training import random_layers
from headstart.training.augment import PRESETS, augment, distinct

SIZE = 64
SHA = hashlib.sha256(b"picture").hexdigest()
DRAWN = ("photo", "strong")
VIEWS = [(preset, seed, view) for preset in DRAWN for seed in (0, 2**32 - 1) for view in range(1, 9)]


@pytest.fixture(scope="module")
def square() -> np.ndarray:
    return photo(SIZE, SIZE)


def digests(square: np.ndarray, wanted: list[tuple[str, int, int]], workers: int = 1) -> dict[str, str]:
    def one(job: tuple[str, int, int]) -> str:
        return hashlib.sha256(augment(square, *job, SHA).tobytes()).hexdigest()

    names = [f"{preset} {seed} {view}" for preset, seed, view in wanted]
    return dict(zip(names, ahead(one, wanted, workers=workers), strict=True))


@pytest.mark.parametrize("preset", PRESETS)
def test_view_0_is_the_picture_itself(preset, square):
    assert augment(square, preset, 5, 0, SHA) is square


@pytest.mark.parametrize("preset", PRESETS)
def test_a_view_is_a_picture_of_the_same_kind(preset, square):
    before = square.copy()
    view = augment(square, preset, 5, 3, SHA)
    assert view.shape == (SIZE, SIZE, 3)
    assert view.dtype == np.uint8
    assert view.flags.c_contiguous
    assert np.array_equal(square, before)


def test_none_never_changes_anything(square):
    assert all(augment(square, "none", 0, view, SHA) is square for view in range(20))


def test_flip_mirrors_odd_views(square):
    for view in range(6):
        expected = square[:, ::-1] if view in {1, 3, 5} else square
        assert np.array_equal(augment(square, "flip", 0, view, SHA), expected)


def test_dihedral_goes_through_the_eight_symmetries_again_and_again(square):
    for view in range(20):
        assert np.array_equal(augment(square, "dihedral", 0, view, SHA), dihedral(square, view % 8))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("views", [1, 2, 3, 8, 12])
def test_distinct_views_are_as_many_as_said(preset, views, square):
    made = [augment(square, preset, 0, view, SHA).tobytes() for view in range(views)]
    count = distinct(preset, views)
    assert len(set(made)) == len(set(made[:count])) == count


@pytest.mark.parametrize(
    ("preset", "counts"),
    [("none", [1, 1, 1]), ("flip", [1, 2, 2]), ("dihedral", [1, 7, 8]), ("photo", [1, 7, 30])],
)
def test_distinct_counts(preset, counts):
    assert [distinct(preset, views) for views in (1, 7, 30)] == counts


@pytest.mark.parametrize("preset", DRAWN)
def test_seed_view_and_image_each_settle_what_is_drawn(preset, square):
    other = hashlib.sha256(b"another").hexdigest()
    jobs = itertools.product((0, 1), (1, 2, 11), (SHA, other))
    made = {augment(square, preset, seed, view, sha).tobytes() for seed, view, sha in jobs}
    assert len(made) == 2 * 3 * 2


def test_unknown_presets_and_views_are_refused(square):
    with pytest.raises(ValueError, match="none, flip, photo, dihedral, strong, not autoaugment"):
        augment(square, "autoaugment", 0, 1, SHA)
    with pytest.raises(ValueError, match="0 or more, not -1"):
        augment(square, "flip", 0, -1, SHA)


def test_threads_and_order_change_nothing(square):
    first = digests(square, VIEWS)
    random_layers._built.cache_clear()  # so that the threads meet where the layers are built, too
    assert digests(square, VIEWS[::-1], workers=8) == first
    assert digests(square, VIEWS[5:9]).items() <= first.items()


CHILD = """
import json, sys
import numpy as np
from tests.training.test_augment import VIEWS, augment, digests, photo, SHA, SIZE
square = photo(SIZE, SIZE)
for preset in ("none", "flip", "dihedral"):
    augment(square, preset, 0, 3, SHA)
early = sorted(sys.modules.keys() & {"tensorflow", "keras"})
print(json.dumps([early, digests(square, VIEWS[::-1])]))
"""


def test_another_process_with_other_threads_makes_the_same_views_and_needs_keras_only_to_draw(square):
    settings = {"PYTHONHASHSEED": "123", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    settings |= {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", CHILD]
    done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=True)
    early, theirs = json.loads(done.stdout)
    assert early == []
    assert theirs == digests(square, VIEWS, workers=4)
