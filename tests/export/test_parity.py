"""The parity check passes a sound bundle, and stops one that answers otherwise."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from headstart.backbones import specs, weights
from headstart.engines import TOLERANCE
from headstart.errors import GateError
from headstart.export import parity
from headstart.inference import bundle
from headstart.inference.predictor import Predictor

TINY = specs.backbone("vgg-tiny")


def spec(views=1, engine="ncnn", precision="f32-winograd"):
    return bundle.BundleSpec(
        backbone="vgg-tiny",
        head="taps",
        taps=TINY.taps("taps"),
        pixels="imagenet",
        boundary=TINY.last_map,
        image_size=40,
        fit="letterbox",
        views=views,
        class_names=("a", "b", "c"),
        temperature=1.0,
        engine=engine,
        precision=precision,
    )


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
    reference = bundle.Reference(
        np.zeros(16, np.float32),
        np.eye(16, dtype=np.float32),
        np.zeros((1, 16), np.float16),
        np.zeros(1, np.int32),
        np.zeros((1, 32), np.uint8),
        ("x.png",),
    )
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
    assert certificate.max_difference <= certificate.tolerance == TOLERANCE[precision]
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


class Answers:
    """A predictor that gives the probabilities it was made with."""

    engine_name = "openvino"

    def __init__(self, rows):
        self.rows = rows

    def predict(self, contents):
        from headstart.inference.predictor import Prediction

        return [Prediction("", "", 0.0, {"a": row[0], "b": row[1]}) for row in self.rows]


@pytest.mark.parametrize(
    ("answer", "reference", "passed"),
    [
        ([0.60, 0.40], [0.60005, 0.39995], True),  # 5e-5 apart, within 1e-4
        ([0.60, 0.40], [0.6002, 0.3998], False),  # 2e-4 apart
        ([0.49996, 0.50004], [0.50003, 0.49997], True),  # another label, but a margin of 6e-5 < 2e-4
    ],
)
def test_the_rule_by_hand(answer, reference, passed):
    certificate = parity.certify(Answers([answer]), [b""], np.array([reference]))

    assert certificate.passed is passed
    assert certificate.max_difference == pytest.approx(abs(answer[0] - reference[0]))
