"""The parity check passes a sound bundle, and stops one that answers otherwise."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from tests import models

from headstart.backbones import specs, weights
from headstart.engines import TOLERANCE
from headstart.errors import GateError
from headstart.exports import parity
from headstart.inference import bundle
from headstart.inference.predictor import Predictor

TINY = specs.backbone("vgg-tiny")


def spec(views=1, engine="ncnn", precision="f32-winograd"):
    return models.spec(image_size=40, views=views, engine=engine, precision=precision, temperature=1.0)


@pytest.fixture(scope="module")
def contents(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for i in range(6):
        Image.fromarray(rng.integers(0, 256, (30 + i, 50, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    return [path.read_bytes() for path in sorted(folder.iterdir())]


def arrays(seed=0):
    kernel = np.random.default_rng(seed).normal(size=(TINY.width("taps", 40), 3)) * 5e-4
    return weights.random(TINY, seed) | {
        "head/kernel": kernel.astype(np.float32),
        "head/bias": np.zeros(3, np.float32),
    }


def saved(folder, spec, arrays):
    reference = models.reference(spec)
    bundle.write(folder, spec, arrays, reference, bundle.Golden((), ()))
    return bundle.load(folder)


@pytest.mark.parametrize("views", [1, 8])
@pytest.mark.parametrize(
    ("engine", "precision"),
    [("ncnn", "f32-winograd"), ("openvino", "f32"), ("openvino-bf16", "bf16"), ("keras", "f32")],
)
def test_a_sound_bundle_agrees(tmp_path, contents, views, engine, precision):
    model = spec(views, engine, precision)
    reference = parity.keras_probabilities(model, arrays(), contents)

    certificate = parity.certify(Predictor(saved(tmp_path, model, arrays())), contents, reference)

    assert certificate.passed
    python, command = certificate.routes
    assert (python.route, python.images, command.route, command.images) == ("Python", 6, "files to JSON", 6)
    assert python.max_difference <= python.tolerance == TOLERANCE[precision]
    assert command.max_difference <= TOLERANCE[precision] + 5e-7  # six digits
    assert certificate.to_dict()["max_difference"] == max(python.max_difference, command.max_difference)
    assert reference.std(axis=0).min() > 1e-3  # the answers do differ from image to image
    parity.require(certificate)


def test_another_backbone_is_noticed(tmp_path, contents):
    """The head is right; one kernel of the backbone is not."""
    reference = parity.keras_probabilities(spec(), arrays(), contents)
    other = arrays()
    other["block4_conv1/kernel"] = other["block4_conv1/kernel"] * 1.05

    certificate = parity.certify(Predictor(saved(tmp_path, spec(), other)), contents, reference)

    assert not certificate.passed
    with pytest.raises(GateError, match="answers differently from Keras"):
        parity.require(certificate)


def test_another_fit_is_noticed(tmp_path, contents):
    reference = parity.keras_probabilities(spec(), arrays(), contents)
    stretched = replace(spec(), fit="stretch")

    assert not parity.certify(Predictor(saved(tmp_path, stretched, arrays())), contents, reference).passed


@pytest.mark.parametrize(
    ("answer", "reference", "tolerance", "precision", "passed"),
    [
        ([0.60, 0.40], [0.60005, 0.39995], 1e-4, "f32", True),  # 5e-5 apart
        ([0.60, 0.40], [0.6002, 0.3998], 1e-4, "f32", False),  # 2e-4 apart
        ([0.49996, 0.50004], [0.50003, 0.49997], 1e-4, "f32", True),  # another label, a margin of 6e-5 < 2e-4
        ([0.48, 0.52], [0.53, 0.47], 1.0, "int8", False),  # another label, a margin of 0.06
        ([0.48, 0.52], [0.51, 0.49], 1.0, "int8", True),  # a margin of 0.02 < 0.04
    ],
)
def test_the_rule_by_hand(answer, reference, tolerance, precision, passed):
    by = ("openvino", precision, "1")
    route = parity.compared("Python", by, np.array([answer]), np.array([reference]), tolerance)

    assert route.passed is passed
    assert route.max_difference == pytest.approx(abs(answer[0] - reference[0]))


def test_in_8_bits_two_of_a_hundred_may_differ():
    reference = np.tile([0.9, 0.1], (100, 1))
    for differ, passed in ((2, True), (3, False)):
        answers = reference.copy()
        answers[:differ] = [0.1, 0.9]
        by = ("openvino-int8", "int8", "1")
        assert parity.compared("Python", by, answers, reference, 1.0).passed is passed


def test_a_command_line_that_fails_is_a_gate_that_says_no(tmp_path, contents):
    (tmp_path / "model").mkdir()
    saved(tmp_path / "model", spec(), arrays())
    (tmp_path / "model" / "model.json").write_text("{}")

    with pytest.raises(GateError, match=r"`headstart predict` fails on the saved model.*damaged"):
        parity.commanded(tmp_path / "model", "ncnn", contents)
