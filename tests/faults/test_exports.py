"""Five exports of a frozen and of a fine-tuned VGG16 with true weights, on solar cells."""

from __future__ import annotations

import json

import pytest

import headstart as hs
from headstart.data.sources import elpv
from headstart.engines import TOLERANCE
from headstart.exports.formats import FORMATS

pytestmark = pytest.mark.faults

KINDS = {
    "frozen": {"views": 8},
    "fine-tuned": {"strategy": "finetune", "epochs": 2, "patience": 0, "class_weight": "balanced"},
}


@pytest.fixture(scope="module", params=KINDS)
def run(request, tmp_path_factory):
    labels = elpv.read_labels().iloc[::11]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(elpv, "read_labels", lambda: labels)
        yield hs.train("elpv", tmp_path_factory.mktemp("runs") / request.param, **KINDS[request.param])


@pytest.mark.parametrize("to", FORMATS)
def test_every_format_answers_as_keras_does(run, to, tmp_path):
    hs.export(run, to, tmp_path / to)

    found = json.loads((tmp_path / to / "parity.json").read_text())
    assert found["passed"]
    assert found["images"] == 32
    assert found["routes"][-1]["max_difference"] <= TOLERANCE["f32"]
    assert found["routes"][-1]["top1_agreement"] == 1.0
