"""What a phase reads at the boundary is the same from the cache, computed anew, or of plain pixels."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.backbones import specs, weights
from headstart.data.geometry import dihedral
from headstart.engines import open_engine
from headstart.training import boundary, features
from headstart.training.boundary import Frozen

TINY = specs.backbone("vgg-tiny")
ARRAYS = weights.random(TINY, 3)
SIZE = 32
PLENTY = 1e9


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))
    return tmp_path


def pictures(n):
    pixels = np.random.default_rng(0).integers(0, 256, (n, SIZE, SIZE, 3), dtype=np.uint8)
    return [features.Image(f"{i:064x}", picture) for i, picture in enumerate(pixels)]


def frozen(tensor="block4_pool", head="gap"):
    return Frozen(TINY, head, ARRAYS, tensor)


def opened(images, views=2, part=None, engine="ncnn", budget=PLENTY):
    part = part or frozen()
    recipe = features.recipe(TINY, ARRAYS, part.head, SIZE, "letterbox", engine, "dihedral", 0, part.boundary)
    return boundary.read(part, images, views, recipe, budget)


@pytest.mark.parametrize(
    ("name", "tensor", "size", "shape"),
    [
        ("vgg16", "block4_pool", 224, (14, 14, 512)),
        ("vgg16", "block5_conv2", 224, (14, 14, 512)),
        ("vgg16", "block3_conv3", 224, (56, 56, 256)),
        ("vgg16", "block4_pool", 300, (18, 18, 512)),
        ("vgg16", "block1_conv1", 300, (300, 300, 64)),
        ("vgg-tiny", "block2_pool", 70, (17, 17, 4)),
    ],
)
def test_the_shape_of_a_map_by_hand(name, tensor, size, shape):
    assert Frozen(specs.backbone(name), "gap", {}, tensor).shape(size) == shape


@pytest.mark.parametrize("tensor", ["block1_conv1", "block3_conv1", "block4_pool"])
def test_the_shape_of_a_map_is_what_an_engine_gives(tensor):
    engine = open_engine("ncnn", TINY, "gap", 70, ARRAYS, tensor)

    maps = engine.run_with_map(np.zeros((1, 70, 70, 3), np.uint8))[1]

    assert maps.shape[1:] == frozen(tensor).shape(70)


def test_inputs_behind_the_map_are_taps_that_it_does_not_lead_to():
    """`taps` reads the pools of blocks 3 and 4 and the last map: two of 8 channels are frozen here."""
    assert frozen(head="taps").taps == ("block3_pool", "block4_pool")
    assert frozen(head="taps").lengths == [8, 8, 8, 8]
    assert frozen("block3_conv1", "taps").lengths == []
    assert frozen(head="gap").lengths == []


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("head", ["gap", "taps"])
def test_a_batch_is_what_the_engine_says_of_each_view(head):
    """Through float16; the frozen taps come first among the features."""
    part, images = frozen(head=head), pictures(5)
    engine = open_engine("ncnn", TINY, head, SIZE, ARRAYS, "block4_pool")

    found = opened(images, views=8, part=part)

    for view in (0, 5):
        maps, *taps = found.source.batch(np.array([4, 1]), view)
        for place, row in enumerate((4, 1)):
            vector, tensor = engine.run_with_map(dihedral(images[row].content, view)[None])
            np.testing.assert_array_equal(maps[place], tensor[0].astype(np.float16))
            np.testing.assert_array_equal(found.features[row, view], vector[0])
            if head == "taps":
                np.testing.assert_array_equal(np.concatenate([t[place] for t in taps]), vector[0, :32])
    assert found.features.shape == (5, 8, TINY.width(head, SIZE))
    assert maps.dtype == np.float32
    assert len(taps) == (4 if head == "taps" else 0)


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("engine", ["ncnn", "openvino", "keras"])
def test_over_budget_it_is_computed_anew_to_the_same_bits(engine):
    """In other batches, in another order, and one image twice."""
    images, part = pictures(9), frozen(head="taps")
    size = part.bytes(2 * 9, SIZE)

    cached = opened(images, part=part, engine=engine, budget=size)
    streamed = opened(images, part=part, engine=engine, budget=size - 1)

    assert isinstance(streamed.source, boundary.Streamed)
    assert not isinstance(cached.source, boundary.Streamed)
    assert streamed.features is None
    for rows, view in (([3], 0), ([8, 0, 5, 5], 1), (range(9), 1)):
        pairs = zip(
            cached.source.batch(np.array(rows), view),
            streamed.source.batch(np.array(rows), view),
            strict=True,
        )
        for one, other in pairs:
            np.testing.assert_array_equal(one, other)


def test_over_budget_says_so(fresh, capsys):
    from headstart.progress import shown

    with shown():
        opened(pictures(2), budget=1.0)

    said = capsys.readouterr().err
    assert "more than --cache-gb" in said
    assert "block4_pool" in said
    assert not list(fresh.rglob("*.safetensors"))


@pytest.mark.usefixtures("fresh")
def test_a_second_time_nothing_is_computed(monkeypatch):
    images = pictures(4)
    first = opened(images)
    monkeypatch.setattr(boundary, "open_engine", lambda *_: pytest.fail("an engine was opened"))

    again = opened(images[::-1])

    np.testing.assert_array_equal(again.features[::-1], first.features)
    rows = np.arange(4)
    np.testing.assert_array_equal(again.source.batch(3 - rows, 1)[0], first.source.batch(rows, 1)[0])


@pytest.mark.usefixtures("fresh")
def test_only_what_is_new_is_computed(monkeypatch):
    opened(pictures(4))
    asked = []
    real = features.Recipe.view
    monkeypatch.setattr(
        features.Recipe, "view", lambda *job: asked.append((job[1].sha256, job[2])) or real(*job)
    )

    opened(pictures(5), views=3)

    names = [image.sha256 for image in pictures(5)]
    assert sorted(asked) == [(name, 2) for name in names[:4]] + [(names[4], view) for view in range(3)]


@pytest.mark.usefixtures("fresh")
def test_the_same_content_under_two_names_is_computed_once(monkeypatch):
    one, two = pictures(2)
    asked = []
    real = features.Recipe.view
    monkeypatch.setattr(features.Recipe, "view", lambda *job: asked.append(job[1].sha256) or real(*job))

    found = opened([one, two, one], views=1)

    assert sorted(asked) == sorted([one.sha256, two.sha256])
    maps = found.source.batch(np.arange(3), 0)[0]
    np.testing.assert_array_equal(maps[0], maps[2])
    assert not np.array_equal(maps[0], maps[1])


def test_another_boundary_engine_or_augmentation_is_another_folder(fresh):
    images = pictures(1)
    opened(images)
    opened(images, part=frozen("block3_pool"))
    opened(images, engine="openvino")
    opened(images, part=frozen(head="vgg"))
    drawn = features.recipe(TINY, ARRAYS, "gap", SIZE, "letterbox", "ncnn", "flip", 0, "block4_pool")
    boundary.read(frozen(), images, 2, drawn, PLENTY)

    assert len(list((fresh / "maps").iterdir())) == 5


def test_where_nothing_is_frozen_pixels_are_read_and_nothing_is_kept(fresh):
    images = pictures(3)

    found = opened(images, views=8, part=frozen("image"))

    [pixels] = found.source.batch(np.array([2, 0]), 3)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, [dihedral(images[row].content, 3) for row in (2, 0)])
    assert found.features is None
    assert not list(fresh.iterdir())


@pytest.mark.parametrize(("held", "reads"), [(1e9, 3), (2.0 * 3 * SIZE**2, 3 + 2)])
def test_pixels_are_read_once_as_far_as_memory_is_meant_for_them(monkeypatch, held, reads):
    """Three views of three pictures; where two find room, the third is read for each view."""
    monkeypatch.setattr(boundary, "HELD", held)
    asked = []
    square = features.Image.square
    monkeypatch.setattr(
        features.Image, "square", lambda self, *how: asked.append(self.sha256) or square(self, *how)
    )
    images = pictures(3)
    source = opened(images, part=frozen("image")).source

    for view in range(3):
        (found,) = source.batch(np.arange(3), view)
        np.testing.assert_array_equal(found, [dihedral(image.content, view) for image in images])
    assert len(asked) == reads
