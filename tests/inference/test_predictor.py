"""Paths, bytes and arrays get the same answer, views are averaged, bad files are answers too."""

import numpy as np
import pytest
from PIL import Image
from tests import models

from headstart.backbones import specs, weights
from headstart.data import images
from headstart.engines import open_engine
from headstart.errors import InputError
from headstart.inference import bundle
from headstart.inference.predictor import Predictor
from headstart.inference.softmax import softmax

TINY = specs.backbone("vgg-tiny")
HEAD = {
    "head/kernel": (np.random.default_rng(1).normal(size=(64, 2)) * 0.01).astype(np.float32),
    "head/bias": np.array([0.1, -0.1], np.float32),
}


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("images") / "a.png"
    pixels = np.random.default_rng(0).integers(0, 256, (37, 61, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path, pixels


def predictor(folder, views=1, temperature=1.0):
    names = ("left", "right")
    spec = models.spec(image_size=48, views=views, temperature=temperature, class_names=names)
    reference = models.reference(spec)
    bundle.write(folder, spec, weights.random(TINY, 0) | HEAD, reference, bundle.Golden((), ()))
    return Predictor(bundle.load(folder))


def test_path_bytes_and_array_have_one_answer(tmp_path, picture):
    path, pixels = picture

    answers = predictor(tmp_path).predict([path, str(path), path.read_bytes(), pixels])

    assert len({tuple(a.probabilities.values()) for a in answers}) == 1
    assert [a.path for a in answers] == [str(path), str(path), "", ""]
    assert sum(answers[0].probabilities.values()) == pytest.approx(1)
    assert answers[0].confidence == max(answers[0].probabilities.values())
    assert answers[0].probabilities[answers[0].label] == answers[0].confidence


@pytest.mark.parametrize(("views", "temperature"), [(1, 1.0), (8, 1.0), (8, 2.5)])
def test_logits_are_averaged_over_views_and_cooled(tmp_path, picture, views, temperature):
    """Worked out anew from the engine's features."""
    path, pixels = picture
    square = images.fit(pixels, 48, "letterbox")
    engine = open_engine("ncnn", TINY, "taps", 48, weights.random(TINY, 0))
    rows = [engine.run(images.dihedral(square, view)[None])[0] for view in range(views)]
    logits = np.mean([row @ HEAD["head/kernel"] + HEAD["head/bias"] for row in rows], axis=0)
    expected = softmax(logits[None], temperature)[0]

    answer = predictor(tmp_path, views, temperature).predict([path])[0]

    np.testing.assert_allclose(list(answer.probabilities.values()), expected, rtol=1e-5)


def test_a_bad_file_is_an_answer_in_its_place(tmp_path, picture):
    path, _ = picture
    bad = tmp_path / "bad.jpg"
    bad.write_text("no image")
    (tmp_path / "model").mkdir()

    first, second, third = predictor(tmp_path / "model").predict([path, bad, path])

    assert first.label == third.label != ""
    assert (second.path, second.label, second.probabilities) == (str(bad), "", {})
    assert "not an image" in second.error


def test_one_image_is_not_taken_for_many(tmp_path, picture):
    """Of a name the letters would be asked, of an array its rows."""
    path, _ = picture
    (tmp_path / "model").mkdir()
    asked = predictor(tmp_path / "model")
    for one in (str(path), path, path.read_bytes(), np.zeros((40, 50, 3), np.uint8)):
        with pytest.raises(InputError, match="by the list"):
            asked.predict(one)
    for many in (
        np.zeros((2, 40, 50, 3), np.uint8),
        np.zeros((2, 40, 50), np.uint8),
        np.array([str(path)] * 2),
    ):
        assert len(asked.predict(many)) == 2


def test_a_stream_is_read_as_it_is_answered(tmp_path, picture):
    """Bounded memory: of an endless stream only a window is read ahead."""
    path, _ = picture
    asked = []

    def endless():
        while True:
            asked.append(1)
            yield path

    stream = predictor(tmp_path).stream(endless())
    for _ in range(5):
        next(stream)
    stream.close()

    assert len(asked) < 40


@pytest.mark.parametrize("views", [1, 8])
def test_many_have_the_answers_of_each(tmp_path, views):
    """To the last bit, however many are asked for at once."""
    squares = list(np.random.default_rng(2).integers(0, 256, (7, 48, 48, 3), dtype=np.uint8))
    asked = predictor(tmp_path, views)

    assert asked.answers(squares) == [asked.answers([square])[0] for square in squares]
    assert asked.predict(squares) == asked.answers(squares)
