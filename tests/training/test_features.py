"""Features are computed once an image and view, kept by content, and survive an interruption."""

import hashlib

import numpy as np
import pytest
from PIL import Image as Picture
from safetensors.numpy import load_file

from headstart.backbones import specs, weights
from headstart.data import images
from headstart.engines import open_engine
from headstart.errors import ImageError
from headstart.training import features, store

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

    assert x.shape == (2, 8, TINY.width("taps", SIZE))
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
    assert len(kept([one])) == 1


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

    assert len(kept(wanted)) == 7
    assert not list(fresh.rglob(".*"))  # nothing half-written


@pytest.mark.parametrize("damage", ["cut", "one bit"])
def test_a_damaged_shard_is_computed_again(fresh, damage):
    wanted = pictures(3)
    first = extract(wanted)
    shard = next(fresh.rglob("*.safetensors"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1  # among the features
    shard.write_bytes(content[:-5] if damage == "cut" else content)

    np.testing.assert_array_equal(extract(wanted), first)


def test_many_small_shards_become_few(fresh, monkeypatch):
    """As where pictures come one at a time, for weeks."""
    monkeypatch.setattr(store, "LOOSE", 3)
    monkeypatch.setattr(store, "SHARD", 4)
    wanted = pictures(9)
    first = [extract([image]) for image in wanted]

    assert np.array_equal(extract(wanted), np.concatenate(first))
    shards = [load_file(shard)["keys"] for shard in fresh.rglob("*.safetensors")]
    assert sum(map(len, shards)) == 9  # each is kept once
    assert len(shards) <= 3 + 9 // 4
    monkeypatch.setattr(features, "open_engine", None)  # nothing is computed again
    for image, expected in zip(wanted, first, strict=True):
        np.testing.assert_array_equal(extract([image]), expected)


def test_a_cache_that_cannot_be_written_is_read(fresh, monkeypatch):
    monkeypatch.setattr(store, "LOOSE", 1)
    wanted = pictures(3)
    first = [extract([image]) for image in wanted[:2]]
    extract([wanted[2]])

    def refused(*_):
        raise PermissionError

    monkeypatch.setattr(store, "write_bytes", refused)
    before = sorted(fresh.rglob("*.safetensors"))
    assert np.array_equal(extract(wanted[:2]), np.concatenate(first))
    assert sorted(fresh.rglob("*.safetensors")) == before


@pytest.mark.usefixtures("fresh")
def test_a_file_that_changes_meanwhile_does_not_enter_the_cache(tmp_path):
    """Hashed as one picture, another by the time it is read."""
    path = tmp_path / "a.png"
    Picture.fromarray(np.zeros((40, 40, 3), np.uint8)).save(path)
    image = features.Image(hashlib.sha256(path.read_bytes()).hexdigest(), path)
    Picture.fromarray(np.full((40, 40, 3), 200, np.uint8)).save(path)

    with pytest.raises(ImageError, match=r"a\.png: The file has changed"):
        extract([image])
    assert not kept([image])


def kept(wanted):
    recipe = features.recipe(TINY, weights.random(TINY, 0), "taps", SIZE, "letterbox", "ncnn")
    keys = {bytes.fromhex(image.sha256) + b"\0" for image in wanted}
    return store.Store(recipe.key, keys).vectors
