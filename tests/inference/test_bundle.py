"""A bundle is read back whole, and anything changed, missing or foreign in it is refused."""

import json
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headstart.backbones import specs, weights
from headstart.errors import BundleError, InputError
from headstart.inference import bundle
from headstart.inference.decision import ALWAYS, Rule
from headstart.rundir import write_tensors

TINY = specs.backbone("vgg-tiny")
SPEC = bundle.BundleSpec(
    backbone="vgg-tiny",
    head="taps",
    taps=("block3_pool", "block4_pool", "block5_conv1"),
    pixels="imagenet",
    boundary="block5_conv1",
    image_size=48,
    fit="letterbox",
    views=1,
    class_names=("cat", "dög"),
    temperature=1.0,
    engine="ncnn",
    precision="f32-winograd",
)


def parts():
    rng = np.random.default_rng(0)
    arrays = weights.random(TINY, 0)
    arrays |= {
        "head/kernel": rng.normal(size=(64, 2)).astype(np.float32),
        "head/bias": np.array([0.5, -0.5], np.float32),
    }
    reference = bundle.Reference(
        mean=np.arange(16, dtype=np.float32),
        covariance=np.eye(16, dtype=np.float32),
        embeddings=np.ones((2, 16), np.float16),
        classes=np.array([1, 0], np.int32),
        sha256=np.arange(64, dtype=np.uint8).reshape(2, 32),
        paths=("a b/1.png", "ü/2.png"),
    )
    golden = bundle.Golden((b"first", b"second"), ((0.25, 0.75), (1.0, 0.0)))
    return arrays, reference, golden


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    bundle.write(folder, SPEC, *parts())
    return folder


@pytest.fixture
def copy(written, tmp_path):
    return shutil.copytree(written, tmp_path / "model")


def test_everything_comes_back(written):
    arrays, reference, golden = parts()

    loaded = bundle.load(written)

    assert loaded.spec == SPEC
    assert list(loaded.arrays()) == list(arrays)
    for name, array in loaded.arrays().items():
        np.testing.assert_array_equal(array, arrays[name])
    assert loaded.reference().paths == reference.paths
    np.testing.assert_array_equal(loaded.reference().sha256, reference.sha256)
    assert loaded.golden() == golden


def test_the_same_model_gives_the_same_bytes(written, tmp_path):
    bundle.write(tmp_path, SPEC, *parts())

    assert (tmp_path / bundle.MANIFEST).read_bytes() == (written / bundle.MANIFEST).read_bytes()


def _head(path):
    """Bytes of a safetensors header, or of the whole file."""
    size = path.stat().st_size
    return 8 + int.from_bytes(path.read_bytes()[:8], "little") if path.suffix == ".safetensors" else size


def test_any_single_bit_is_noticed(copy):
    """R3: every byte of the small members and of the tensors' headers, and 2,000 bits anywhere."""
    rng = np.random.default_rng(1)
    members = [path for path in copy.rglob("*") if path.is_file()]
    flips = [(path, 8 * at + at % 8) for path in members for at in range(_head(path))]
    for _ in range(2000):
        path = members[rng.integers(len(members))]
        flips.append((path, int(rng.integers(8 * path.stat().st_size))))

    for path, bit in flips:
        content = path.read_bytes()
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        with pytest.raises(BundleError):
            bundle.load(copy)
        path.write_bytes(content)
    assert bundle.load(copy).spec == SPEC


@pytest.mark.parametrize("member", ["model.json", "weights.safetensors", "golden/0.image", bundle.MANIFEST])
def test_a_missing_member_is_noticed(copy, member):
    (copy / member).unlink()

    with pytest.raises(BundleError):
        bundle.load(copy)


def test_a_member_too_many_is_noticed(copy):
    (copy / "extra.py").write_text("print('hello')")

    with pytest.raises(BundleError, match="members missing or too many: extra"):
        bundle.load(copy)


def test_a_link_is_refused(copy, tmp_path):
    shutil.copy(copy / "model.json", tmp_path / "elsewhere.json")
    (copy / "model.json").unlink()
    (copy / "model.json").symlink_to(tmp_path / "elsewhere.json")

    with pytest.raises(BundleError):
        bundle.load(copy)


def test_a_pipe_does_not_hang(copy):
    (copy / "golden" / "0.image").unlink()
    os.mkfifo(copy / "golden" / "0.image")

    with pytest.raises(BundleError, match="not a regular file"):
        bundle.load(copy)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("backbone", "vgg19"),
        ("backbone", ["vgg16"]),
        ("head", "other"),
        ("taps", ["block5_conv1"]),
        ("boundary", "block9_pool"),
        ("pixels", "raw"),
        ("image_size", 10**9),
        ("image_size", True),
        ("fit", "zoom"),
        ("views", 2),
        ("class_names", ["one"]),
        ("class_names", ["same", "same"]),
        ("class_names", ["a", 3]),
        ("class_names", "ab"),
        ("temperature", 0.0),
        ("temperature", "1"),
        ("engine", "abacus"),
        ("precision", "f32"),
        ("format", 5),
        ("format", 4.0),
        ("blocks", 6),
        ("blocks", -1),
        ("blocks", True),
        ("int8", {}),
        ("int8", {"images": 5}),
        ("thresholds", {"confidence": 0.5}),
        ("thresholds", {"confidence": 1.5, "distance": None}),
        ("thresholds", {"confidence": 0.5, "distance": "far"}),
        ("thresholds", {"confidence": 0, "distance": 1.0}),
        ("thresholds", [0.5, 1.0]),
        ("costs", {}),
        ("costs", [[0, 0, 1.0]]),
        ("costs", [[0, 2, 1.0]]),
        ("costs", [[-1, 0, 1.0]]),
        ("costs", [[0, 1, -1.0]]),
        ("costs", [[0, 1, 5]]),
        ("costs", [[0, 1]]),
        ("surprise", 1),
    ],
)
def test_the_spec_is_closed(written, field, value):
    values = json.loads((written / "model.json").read_text()) | {field: value}

    with pytest.raises(BundleError):
        bundle.parse(json.dumps(values).encode())


@pytest.mark.parametrize("content", [b"", b"[]", b"[" * 60_000, b"{", b"\xff\xfe", b"NaN"])
def test_what_is_not_a_spec_is_refused(content):
    with pytest.raises(BundleError):
        bundle.parse(content)


def test_tensors_of_another_model_are_refused_though_their_hash_is_listed(tmp_path):
    """A bundle whose manifest is right but whose head has three classes where the spec says two."""
    arrays, reference, golden = parts()
    three = arrays | {"head/kernel": np.zeros((64, 3), np.float32), "head/bias": np.zeros(3, np.float32)}
    bundle.write(tmp_path, SPEC, three, reference, golden)

    with pytest.raises(BundleError, match="does not hold the tensors"):
        bundle.load(tmp_path)


def test_no_bundle_at_all(tmp_path):
    with pytest.raises(BundleError, match="There is no trained model here"):
        bundle.load(tmp_path)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_bundles_of_earlier_formats_are_read(number, tmp_path):
    """As they were written: without blocks and int8, thresholds and costs, pixels, and without classes."""
    bundle.write(tmp_path, SPEC, *parts())
    values = json.loads((tmp_path / "model.json").read_text()) | {"format": number}
    later = {1: ["pixels"], 2: ["thresholds", "costs"], 3: ["blocks", "int8"]}
    for name in (name for before in range(number, 4) for name in later[before]):
        del values[name]
    (tmp_path / "model.json").write_text(json.dumps(values))
    reference = parts()[1].tensors()
    del reference["classes"]
    write_tensors(tmp_path / "reference.safetensors", reference)
    (tmp_path / bundle.MANIFEST).unlink()
    bundle.seal(tmp_path)

    loaded = bundle.load(tmp_path)
    assert loaded.spec == SPEC
    assert loaded.spec.rule == ALWAYS
    assert loaded.reference().classes.tolist() == [-1, -1]


def test_another_rule_changes_the_spec_and_nothing_else(written, tmp_path):
    spec = replace(SPEC, thresholds=bundle.Thresholds(0.75, 2.5), costs=((1, 0, 50.0),))
    bundle.rewrite(bundle.load(written), tmp_path, spec)

    loaded = bundle.load(tmp_path)
    assert loaded.spec == spec
    assert loaded.spec.rule == Rule(0.75, 2.5, ((1, 0, 50.0),))
    for member in ("weights.safetensors", "reference.safetensors", "golden/0.image", "golden/answers.json"):
        assert (tmp_path / member).read_bytes() == (written / member).read_bytes()


def test_more_costs_than_a_bundle_holds_are_refused(written, tmp_path):
    costs = tuple((0, 1, 1.0 + i) for i in range(3000))
    with pytest.raises(InputError, match=r"are more than a bundle holds.*Name fewer mistakes with --cost"):
        bundle.rewrite(bundle.load(written), tmp_path, replace(SPEC, costs=costs))
    assert not list(tmp_path.iterdir())


def test_familiarity_comes_from_mean_and_covariance(written):
    far = np.arange(16) + np.eye(16)[3] * 8
    assert bundle.load(written).familiarity().distances(far[None])[0] == pytest.approx(8 / np.sqrt(16))


def test_what_may_not_be_read_is_not_called_damaged():
    """Neither a member nor the folder; root may read all, so somebody else tries."""
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "model").mkdir()
        bundle.write(Path(folder) / "model", SPEC, *parts())
        for place in ("model/weights.safetensors", "model"):
            mode = (Path(folder) / place).stat().st_mode
            (Path(folder) / place).chmod(0)
            if root:
                os.seteuid(65534)
            try:
                with pytest.raises(
                    InputError, match=rf"You may not read this model\. Received: '{folder}/model"
                ):
                    bundle.load(Path(folder) / "model")
            finally:
                if root:
                    os.seteuid(0)
                (Path(folder) / place).chmod(mode)


def test_everybody_may_read_all_members(tmp_path):
    before = os.umask(0o077)
    try:
        bundle.write(tmp_path, SPEC, *parts())
        bundle.rewrite(bundle.load(tmp_path), tmp_path / "again", SPEC)
    finally:
        os.umask(before)

    modes = {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_file()}
    assert modes == {0o644}
    assert {(tmp_path / place).stat().st_mode & 0o777 for place in ("golden", "again/golden")} == {0o755}


@pytest.mark.parametrize("path", ["/etc/motd.png", "../secret.png", "a/../../secret.png"])
def test_a_reference_to_a_file_outside_of_the_images_is_refused(tmp_path, path):
    arrays, reference, golden = parts()
    bundle.write(tmp_path, SPEC, arrays, replace(reference, paths=("a..b/1.png", path)), golden)

    with pytest.raises(BundleError, match="names a file outside of its images"):
        bundle.load(tmp_path).reference()
