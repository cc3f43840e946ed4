"""R4, for a while: whatever is done to a bundle, its parser answers with a spec or a BundleError, soon."""

from tests import models
from tests.safety import fuzz


def test_damaged_specs(tmp_path):
    models.saved(tmp_path / "model")
    content = (tmp_path / "model" / "model.json").read_bytes()

    accepted = fuzz.specs(content, 0, 30_000)

    assert 0 < accepted < 10_000  # some damage is none: another class name, another temperature


def test_damaged_bundles(tmp_path):
    models.saved(tmp_path / "model")

    accepted = fuzz.bundles(tmp_path / "model", tmp_path / "copy", 0, 1_500)

    assert 0 < accepted < 300  # other pictures, or other paths, under a manifest that lists them
