"""Features are computed once an image and view, kept by content, and survive an interruption."""

import numpy as np
import pytest

from headstart.backbones import specs, weights
from headstart.data import images
from headstart.engines import open_engine
from headstart.training import features

TINY = specs.backbone("vgg-tiny")
SIZE = 32


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))
    return tmp_path


def pictures(n, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (n, SIZE, SIZE, 3), dtype=np.uint8)
    return [features.Image(f"{seed:032x}{i:032x}", picture) for i, picture in enumerate(pixels)]


def extract(wanted, views=1, engine="ncnn", seed=0):
    arrays = weights.random(TINY, seed)
    recipe = features.recipe(TINY, arrays, "taps", SIZE, "letterbox", engine)
    return features.extract(wanted, TINY, arrays, "taps", recipe, views)


@pytest.mark.usefixtures("fresh")
def test_views_are_the_symmetries_of_the_square():
    wanted = pictures(2)
    engine = open_engine("ncnn", TINY, "taps", SIZE, weights.random(TINY, 0))

    x = extract(wanted, views=8)

    assert x.shape == (2, 8, TINY.width("taps"))
    for image, row in zip(wanted, x, strict=True):
        for view in range(8):
            np.testing.assert_array_equal(
                row[view], engine.run(images.dihedral(image.content, view)[None])[0]
            )


@pytest.mark.usefixtures("fresh")
def test_a_second_time_nothing_is_computed(monkeypatch):
    wanted = pictures(5)
    first = extract(wanted)
    monkeypatch.setattr(features, "open_engine", lambda *_: pytest.fail("an engine was opened"))

    np.testing.assert_array_equal(extract(wanted[::-1])[::-1], first)


def test_another_recipe_is_another_store(fresh):
    wanted = pictures(3)

    assert not np.array_equal(extract(wanted), extract(wanted, seed=1))
    extract(wanted, engine="openvino")
    assert len(list((fresh / "features").iterdir())) == 3


@pytest.mark.usefixtures("fresh")
def test_the_same_content_twice_is_computed_once():
    one = pictures(1)[0]

    x = extract([one, one, one])

    np.testing.assert_array_equal(x[0], x[2])
    assert len(features.Store(_recipe(), TINY.width("taps")).vectors) == 1


def test_an_interruption_loses_nothing_that_was_computed(fresh, monkeypatch):
    wanted = pictures(10)
    monkeypatch.setattr(features, "SHARD", 4)
    real = features.images.fit

    def interrupted(image, size, mode):
        if image is wanted[7].content:
            raise KeyboardInterrupt
        return real(image, size, mode)

    monkeypatch.setattr(features.images, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        extract(wanted)

    assert len(features.Store(_recipe(), TINY.width("taps")).vectors) == 7
    assert not list(fresh.rglob(".*"))  # nothing half-written


def test_a_damaged_shard_is_computed_again(fresh):
    wanted = pictures(3)
    first = extract(wanted)
    shard = next(fresh.rglob("*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-5])

    np.testing.assert_array_equal(extract(wanted), first)


def _recipe():
    return features.recipe(TINY, weights.random(TINY, 0), "taps", SIZE, "letterbox", "ncnn")
