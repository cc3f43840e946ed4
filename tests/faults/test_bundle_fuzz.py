"""R4 in full: a million damaged specs, and 30,000 damaged bundles."""

import pytest
from tests import models
from tests.safety import fuzz

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("seed", range(1, 11))
def test_damaged_specs(tmp_path, seed):
    models.saved(tmp_path / "model")
    assert fuzz.specs((tmp_path / "model" / "model.json").read_bytes(), seed, 100_000) > 0


@pytest.mark.parametrize("seed", range(1, 4))
def test_damaged_bundles(tmp_path, seed):
    models.saved(tmp_path / "model")
    fuzz.bundles(tmp_path / "model", tmp_path / "copy", seed, 10_000)
