"""What belongs together: links that are known, links that are guessed, and guesses that are too many."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from headstart.data import groups, manifest
from headstart.data.clusters import clusters
from headstart.errors import InputError


def table(*rows):
    """Of (content, group) pairs, in the order given."""
    names = [
        {
            "path": f"{i:05}",
            "label": "x",
            "sha256": hashlib.sha256(str(content).encode()).hexdigest(),
            "group": group,
        }
        for i, (content, group) in enumerate(rows)
    ]
    return manifest.from_rows(names, Path("/data")).table


def test_hash_group_and_guess_join():
    # 0 and 1 share bytes, 1 and 2 a group, 2 and 3 are guessed: one cluster; 4 is alone.
    rows = table(("a", ""), ("a", "g"), ("b", "g"), ("c", ""), ("d", ""))
    numbers, too_large = clusters(rows, np.array([[3, 2]]))
    assert numbers.tolist() == [0, 0, 0, 0, 1]
    assert too_large == []


@pytest.mark.parametrize(
    ("images", "chain", "kept"), [(2000, 20, True), (2000, 21, False), (50, 10, True), (50, 11, False)]
)
def test_guesses_hold_up_to_one_percent_or_ten(images, chain, kept):
    rows = table(*((i, "") for i in range(images)))
    guesses = np.array([[i, i + 1] for i in range(chain - 1)] + [[40, 41]])
    numbers, too_large = clusters(rows, guesses)
    assert len(set(numbers)) == (images - chain + 1 if kept else images) - 1
    assert numbers[40] == numbers[41]  # the other guess holds either way
    assert [list(found) for found in too_large] == ([] if kept else [list(range(chain))])


def test_what_is_known_counts_as_one():
    """Thirty copies and a guess are a pair; a chain of guesses over eleven groups is too long."""
    rows = table(*(("same", "") for _ in range(30)), *((i, f"g{i // 5}") for i in range(60)))
    numbers, too_large = clusters(rows, np.array([[0, 30], [31, 32]]))
    assert len(set(numbers[:35])) == 1
    assert too_large == []

    chain = np.array([[30 + 5 * i, 35 + 5 * i] for i in range(10)])
    numbers, too_large = clusters(rows, np.concatenate([chain, [[0, 89]]]))
    assert len(set(numbers[30:85])) == 11  # the guesses are dropped, the groups stay together
    assert numbers[89] == numbers[0]
    assert [list(found) for found in too_large] == [list(range(30, 85))]


def named(*paths):
    return manifest.from_rows([{"path": path, "label": "x"} for path in paths], Path("/data")).table


def test_bursts_by_the_names_of_cameras():
    rows = named(
        "a/00001IMG_00001_BURST20190412101500123.jpg",
        "a/00002IMG_00002_BURST20190412101500123_COVER.jpg",
        "a/IMG_20190412_101500_BURST001.jpg",
        "a/IMG_20190412_101500_BURST002.jpg",
        "a/clip07_frame_0001.png",
        "a/clip07_frame_0002.png",
        "a/clip08_frame_0001.png",
        "b/IMG_20190412_101500_BURST001.jpg",
        "a/cell0001.png",
        "a/cell0002.png",
        "a/frame_0001.png",
        "a/frame_0002.png",
    )
    paths = rows["path"].to_numpy()
    pairs = {tuple(sorted(paths[pair])) for pair in groups.bursts(rows)}
    assert ("a/IMG_20190412_101500_BURST001.jpg", "a/IMG_20190412_101500_BURST002.jpg") in pairs
    assert ("a/clip07_frame_0001.png", "a/clip07_frame_0002.png") in pairs
    assert (
        "a/00001IMG_00001_BURST20190412101500123.jpg",
        "a/00002IMG_00002_BURST20190412101500123_COVER.jpg",
    ) in pairs
    assert len(pairs) == 3


def test_a_burst_that_given_splits_tear_apart_is_one():
    """But a class may be called train, where no splits are given."""
    paths = ("train/a/clip07_frame_0001.png", "Test/a/clip07_frame_0002.png", "train/b/clip07_frame_0003.png")
    rows = named(*paths)
    assert len(groups.bursts(rows)) == 0
    torn = rows.assign(split=["train", "test", "train"])
    places = {path: at for at, path in enumerate(torn["path"])}
    assert [sorted(pair) for pair in groups.bursts(torn).tolist()] == [
        sorted(places[path] for path in paths[:2])
    ]


def test_groups_by_regular_expression():
    rows = named("p1/eye-left.png", "p1/eye-right.png", "p22/eye.png", "other.png")
    assert groups.by_regex(rows, r"^(p\d+)/").tolist() == ["", "p1", "p1", "p22"]
    assert groups.by_regex(rows, r"p\d+").tolist() == ["", "p1", "p1", "p22"]


@pytest.mark.parametrize("pattern", ["(", "nowhere"])
def test_a_useless_expression_is_refused(pattern):
    with pytest.raises(InputError, match=r"--group-regex .* Received: "):
        groups.by_regex(named("a.png"), pattern)
